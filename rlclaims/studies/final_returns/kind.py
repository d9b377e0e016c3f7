"""Final returns as a kind of study."""

from typing import TYPE_CHECKING

from rlclaims.studies.final_returns.compute import expected_steps, final_returns, length
from rlclaims.studies.kind import REPLAY_CODE, StudyKind, replayed

if TYPE_CHECKING:
    from rlclaims.results.runs import TrainedRuns


def _query() -> "type[TrainedRuns]":
    from rlclaims.studies.final_returns.query import FinalReturns

    return FinalReturns


KINDS = (
    StudyKind(
        name="final_returns",
        words="final returns",
        query=_query,
        compute=replayed(lambda run, _: final_returns(run)),
        length=length,
        expected_steps=expected_steps,
        code=(*REPLAY_CODE, "studies/final_returns/compute.py"),
        bytes=lambda _: 500,
    ),
)
