"""Twin updates as a kind of study."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlclaims.agents.algorithm import Algorithm
from rlclaims.agents.ppo import PPO
from rlclaims.checkpoints import checkpoint_iterations
from rlclaims.studies.kind import NUMBER_BYTES, Learning, RunData, StudyError, StudyKind
from rlclaims.studies.replayed_run import Numbers, OnSteps
from rlclaims.studies.twin_updates.compute import Twins, cost_in_updates, jobs, measure
from rlclaims.training import HELD_OUT_EVERY

if TYPE_CHECKING:
    from rlclaims.results.runs import TrainedRuns

SERIES_PER_JOB = 6
"""Series that most jobs compute."""


def _query() -> "type[TrainedRuns]":
    from rlclaims.studies.twin_updates.query import TwinUpdates

    return TwinUpdates


def _compute(runs: Sequence[RunData], _pairs: int | None, job: str, _on_steps: OnSteps) -> list[Numbers]:
    first = runs[0]
    assert isinstance(first.algorithm, PPO)
    twins = Twins(first.algorithm, first.iterations, [run.start for run in runs])
    series = {name: value_SK.tolist() for name, value_SK in measure(twins, job).items()}
    return [{name: rows[i] for name, rows in series.items()} for i in range(len(runs))]


def _updates(iterations: int) -> int:
    return len(checkpoint_iterations(iterations, HELD_OUT_EVERY))


def _learning(algorithm: Algorithm) -> float:
    assert isinstance(algorithm, PPO)
    return cost_in_updates() * algorithm.policy_gradient_steps / algorithm.gradient_steps


def _check_mechanisms(_pairs: int | None, algorithm: Algorithm) -> None:
    """Refuse an algorithm whose updates cannot be made again with mechanisms switched."""
    cls = type(algorithm)
    if not issubclass(cls, PPO):
        raise StudyError(f"Twin updates are of rlclaims.PPO and its subclasses, and {cls.__name__} is not one of them.")
    if any(getattr(cls, name) is not getattr(PPO, name) for name in ("learn", "improve", "run_epoch")):
        raise StudyError(
            f"{cls.__name__} learns in a way of its own, without the mechanisms that are switched: twin updates are of "
            "subclasses of PPO that change settings or policy_loss."
        )


KINDS = (
    StudyKind(
        name="twins",
        words="twin updates",
        query=_query,
        compute=_compute,
        length=lambda _name, iterations: _updates(iterations),
        code=("studies/twin_updates/compute.py", "stats/factorial.py"),
        bytes=lambda iterations: _updates(iterations) * SERIES_PER_JOB * len(jobs()) * NUMBER_BYTES,
        learning=Learning(iterations=_learning, updates=_updates),
        lockstep=True,
        jobs=jobs,
        whole_episodes=False,
        algorithm_checks=(_check_mechanisms,),
    ),
)
