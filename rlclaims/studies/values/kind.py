"""Values as a kind of study."""

from typing import TYPE_CHECKING

from rlclaims.agents.algorithm import Algorithm
from rlclaims.sim.environment import Environment
from rlclaims.sim.tasks import TASKS, AnyTask
from rlclaims.studies.kind import REPLAY_CODE, StudyError, StudyKind, replayed
from rlclaims.studies.values.compute import expected_steps, length, values

if TYPE_CHECKING:
    from rlclaims.results.runs import TrainedRuns


def _query() -> "type[TrainedRuns]":
    from rlclaims.studies.values.query import Values

    return Values


def check_value_network(words: str, algorithm: Algorithm) -> None:
    """Refuse an algorithm without a value network, by the label of the study that needs one."""
    if not algorithm.value_baseline:
        raise StudyError(
            f"{words.capitalize()} are of algorithms with a value network, and {type(algorithm).__name__} has none "
            "with value_baseline=False."
        )


def _check_settable(task: str, found: AnyTask) -> None:
    """Refuse a task whose simulator cannot be put into a given state."""
    if isinstance(found, Environment):
        raise StudyError(
            "Values are compared with the states' true values, by episodes played from given states, and "
            f"{task!r} can only be reset; the tasks whose state can be set are {', '.join(TASKS)}."
        )


KINDS = (
    StudyKind(
        name="values",
        words="values",
        query=_query,
        compute=replayed(lambda run, _: values(run)),
        length=length,
        expected_steps=expected_steps,
        code=(*REPLAY_CODE, "studies/values/compute.py"),
        bytes=lambda _: 2_000,
        algorithm_checks=(lambda _pairs, algorithm: check_value_network("values", algorithm),),
        task_checks=(_check_settable,),
    ),
)
