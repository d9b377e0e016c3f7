"""Planes as a kind of study, for pictures only."""

from rlclaims.studies.kind import REPLAY_CODE, StudyKind, replayed
from rlclaims.studies.planes.compute import expected_steps, length, planes

KINDS = (
    StudyKind(
        name="planes",
        words="planes",
        query=None,
        compute=replayed(lambda run, _: planes(run)),
        length=length,
        expected_steps=expected_steps,
        code=(*REPLAY_CODE, "studies/planes/compute.py", "studies/landscape/compute.py"),
        bytes=lambda _: 20_000,
    ),
)
