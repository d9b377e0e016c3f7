"""Check that an algorithm's runs, and a task, allow a study."""

from rlclaims.adapters.external import ExternalTraining
from rlclaims.agents.algorithm import Algorithm
from rlclaims.store.run_spec import SpecError
from rlclaims.studies.kind import StudyError
from rlclaims.studies.registry import Study


def check_study(study: Study, algorithm: Algorithm | ExternalTraining) -> None:
    """Check that a study can be made of an algorithm's runs.

    Raises:
        SpecError: it cannot.
    """
    try:
        study.definition.check_algorithm(study.pairs, algorithm)
    except StudyError as error:
        raise SpecError(str(error)) from None


def check_playable(study: Study, task: str) -> None:
    """Check that a study can be made of runs on a task.

    Raises:
        SpecError: it cannot, or there is no such task.
    """
    try:
        study.definition.check_task(task)
    except StudyError as error:
        raise SpecError(str(error)) from None
