"""Late updates as a kind of study."""

from typing import TYPE_CHECKING

from rlclaims.studies.kind import REPLAY_CODE, StudyKind, replayed
from rlclaims.studies.late_updates.compute import expected_steps, late_updates, length

if TYPE_CHECKING:
    from rlclaims.results.runs import TrainedRuns


def _query() -> "type[TrainedRuns]":
    from rlclaims.studies.late_updates.query import LateUpdates

    return LateUpdates


KINDS = (
    StudyKind(
        name="late_updates",
        words="late updates",
        query=_query,
        compute=replayed(lambda run, _: late_updates(run)),
        length=length,
        expected_steps=expected_steps,
        code=(*REPLAY_CODE, "studies/late_updates/compute.py"),
        bytes=lambda _: 10_000,
    ),
)
