"""Landscapes as a kind of study."""

from typing import TYPE_CHECKING

from rlclaims.agents.algorithm import Algorithm
from rlclaims.studies.kind import REPLAY_CODE, StudyError, StudyKind, replayed
from rlclaims.studies.landscape.compute import expected_steps, landscapes, length

if TYPE_CHECKING:
    from rlclaims.results.runs import TrainedRuns


def _query() -> "type[TrainedRuns]":
    from rlclaims.studies.landscape.query import Landscapes

    return Landscapes


def check_objective(_pairs: int | None, algorithm: Algorithm) -> None:
    """Refuse an algorithm that overrides how it learns below the class that defines its objective."""
    mro = type(algorithm).__mro__

    def home(method: str) -> int:
        return next((i for i, cls in enumerate(mro) if method in vars(cls)), len(mro))

    defines = home("objective")
    if mro[defines] is Algorithm or min(map(home, ("learn", "improve", "run_epoch"))) < defines:
        name = mro[0].__name__
        raise StudyError(
            f"{name} learns in a way of its own, and landscapes need the objective that its update climbs: give it a "
            "method objective(update) -> one number per seed, as rlclaims.PPO and rlclaims.TRPO have."
        )


KINDS = (
    StudyKind(
        name="landscapes",
        words="landscapes",
        query=_query,
        compute=replayed(lambda run, _: landscapes(run)),
        length=length,
        expected_steps=expected_steps,
        code=(*REPLAY_CODE, "studies/landscape/compute.py"),
        bytes=lambda _: 60_000,
        algorithm_checks=(check_objective,),
    ),
)
