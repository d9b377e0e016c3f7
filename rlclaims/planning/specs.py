"""The runs that a fixture stands for, as they are trained."""

from dataclasses import replace

from rlclaims.adapters.external import ExternalTraining
from rlclaims.agents.algorithm import Algorithm
from rlclaims.planning.profile import MOST_ITERATIONS, Profile
from rlclaims.planning.subjects import cells, check_playable, check_study
from rlclaims.results.runs import RunsRequest
from rlclaims.store.run_spec import RunSpec, SpecError, checked
from rlclaims.studies.registry import FINAL_RETURNS
from rlclaims.text import describe

FEW_STEPS = 4096
"""Environment steps between two updates, at the most, where nothing counts as evidence."""


def runs_of_a_seed(spec: RunsRequest, profile: Profile, seed: int) -> list[RunSpec]:
    """What is trained of one seed: a run, or one for each combination of a factorial.

    Raises:
        SpecError: it cannot be made.
    """
    # What is longer, or cannot be printed, is a slip that no registry's answer makes clearer.
    if not isinstance(spec.task, str) or not spec.task.isprintable() or len(spec.task) > 500:
        raise SpecError(f"A task is the name of an environment, such as 'Hopper-v5', not {describe(spec.task)}.")
    if type(spec.block) is not int or not 0 <= spec.block < 10:
        raise SpecError(f"A block of seeds is a number from 0 to 9, not {describe(spec.block)}.")
    iterations = profile.iterations if spec.iterations is None else spec.iterations
    if type(iterations) is int and iterations > MOST_ITERATIONS:
        raise SpecError(f"Runs have at most {MOST_ITERATIONS:,} iterations, not {describe(iterations)}.")
    made = algorithms(spec)
    if not profile.evidence:
        iterations = min(iterations, profile.iterations) if type(iterations) is int else iterations
        made = [_on_few_steps(algorithm) for algorithm in made]
    return [checked(RunSpec(algorithm, spec.task, iterations, seed)) for algorithm in made]


def _on_few_steps(algorithm: Algorithm | ExternalTraining) -> Algorithm | ExternalTraining:
    """The same, if it learns from many steps at a time with fewer."""
    if isinstance(algorithm, ExternalTraining) or algorithm.steps <= FEW_STEPS:
        return algorithm
    return replace(algorithm, steps=max(2, FEW_STEPS // algorithm.minibatches) * algorithm.minibatches)


def algorithms(spec: RunsRequest) -> list[Algorithm | ExternalTraining]:
    """The algorithm that a fixture asks for, or those of its factorial.

    Raises:
        SpecError: it asks for none.
    """
    assert spec.task is not None
    if type(spec.full) is not bool:
        raise SpecError(f"A factorial is full or not, full=True or False, not {describe(spec.full)}.")
    if spec.factors == ():
        raise SpecError("A factorial varies settings: rlclaims.factorial(PPO, epochs=(10, 5)), say.")
    if spec.factors is not None and spec.study not in (None, FINAL_RETURNS):
        raise SpecError(f"A factorial is of runs, or of='final_returns', not of {describe(spec.study.kind)}.")
    made: list[Algorithm | ExternalTraining]
    if isinstance(spec.algorithm, Algorithm | ExternalTraining):
        if spec.changes or spec.factors is not None:
            raise SpecError("Settings are given for a class, rlclaims.PPO, say; an instance has its own.")
        made = [spec.algorithm]
    elif isinstance(spec.algorithm, type) and issubclass(spec.algorithm, Algorithm):
        try:
            made = list(cells(spec.algorithm, spec, spec.task))
        except (ValueError, TypeError) as error:
            raise SpecError(str(error)) from None
    else:
        raise SpecError(
            f"Runs are of an algorithm, such as rlclaims.PPO or a subclass of it, not of {describe(spec.algorithm)}."
        )
    if spec.study is not None:
        check_study(spec.study, made[0])
        check_playable(spec.study, spec.task)
    return made
