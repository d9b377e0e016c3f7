"""Large updates as a kind of study."""

from typing import TYPE_CHECKING

from rlclaims.agents.algorithm import Algorithm
from rlclaims.agents.ppo import PPO
from rlclaims.agents.trpo import TRPO
from rlclaims.studies.kind import REPLAY_CODE, StudyError, StudyKind, replayed
from rlclaims.studies.landscape.kind import check_objective
from rlclaims.studies.large_updates.compute import expected_steps, large_update, length
from rlclaims.text import describe

if TYPE_CHECKING:
    from rlclaims.results.runs import TrainedRuns


def _query() -> "type[TrainedRuns]":
    from rlclaims.studies.large_updates.query import LargeUpdates

    return LargeUpdates


def _check_update(pairs: int | None, algorithm: Algorithm) -> None:
    """Refuse an algorithm whose policy update cannot be made on other pairs, and a batch that is too small for it."""
    cls = type(algorithm)
    if not callable(getattr(cls, "improve", None)) or cls.learn not in (PPO.learn, TRPO.learn):
        raise StudyError(
            f"{cls.__name__} learns in a way of its own, in which an update of the policy is not made by itself: large "
            "updates are of rlclaims.PPO, rlclaims.TRPO and their subclasses that leave learn as it is."
        )
    if type(pairs) is not int or pairs < algorithm.steps:
        raise StudyError(
            f"Large updates of {cls.__name__} are made on a whole number of pairs, no fewer than the {algorithm.steps} "
            f"that it learns from itself, not {describe(pairs)}."
        )


KINDS = (
    StudyKind(
        name="large_updates",
        words="large updates",
        query=_query,
        compute=replayed(large_update),
        length=length,
        expected_steps=expected_steps,
        code=(*REPLAY_CODE, "studies/large_updates/compute.py", "studies/landscape/compute.py"),
        bytes=lambda _: 1_000,
        algorithm_checks=(_check_update, check_objective),
    ),
)
