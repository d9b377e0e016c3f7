"""--claims-nightly: a claim fails where the evidence of all sessions so far says so, not for one unlucky night."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from rlclaims.claims.e_values import evidence_against
from rlclaims.nightly.ledger import Nights, NightsError, night_of
from rlclaims.pytest_plugin.results import NIGHT, digest
from rlclaims.pytest_plugin.session import ClaimSession, claim_name, claim_of
from rlclaims.pytest_plugin.trial_run import imagined_evidence
from rlclaims.pytest_plugin.verdict_outcome import Judged
from rlclaims.report.record import Json

__all__ = ["NIGHT", "begin", "end", "night", "words"]

DIGESTS = pytest.StashKey[Sequence[str]]()
"""On a config: the claims of the session."""


def begin(session: ClaimSession, config: pytest.Config, items: Iterable[pytest.Item]) -> None:
    """See which claims there are.

    Raises:
        pytest.UsageError: a claim compares with a baseline's seeds, whose luck would be every session's.
    """
    claims = [item for item in items if claim_of(item) is not None]
    for item in claims:
        compared = [c for evidence in imagined_evidence(session, item) for c in evidence.comparisons]
        if any(comparison.saved is not None for comparison in compared):
            raise pytest.UsageError(
                f"The claim {claim_name(item)!r} compares with a baseline's seeds, whose luck would be that of every "
                "session, so that --claims-nightly cannot gather evidence: hold it against before[...].as_bound."
            )
    config.stash[DIGESTS] = [_digest(session, item) for item in claims]


def night(session: ClaimSession, item: pytest.Item, judged: Judged) -> Json | None:
    """What this session says against a claim, with what the others said."""
    assert session.asked.nights is not None
    e_value = evidence_against(judged.evidence, true=judged.declared.expected == "supported")
    if e_value is None:
        return None
    return night_of(session.asked.nights, _digest(session, item), item.config.stash[DIGESTS], e_value)


def words(told: Json | None) -> str:
    """The same, in words."""
    if told is None:
        return "\n  nightly    this session says nothing: a seed has no value, or all have the same"
    return (
        f"\n  nightly    evidence against it {told['value']:.3g} after an e-value of {told['e_value']:.3g} in this "
        f"session; the alarm is at {told['threshold']:g}"
    )


def end(nights: Nights, results: Sequence[Json], seeds: int) -> tuple[Nights, str, bool]:
    """Write the file, tell where, and whether that went well."""
    after = nights.after(results, seeds)
    try:
        after.write()
    except NightsError as error:
        return after, str(error), False
    except OSError as error:
        return after, f"{nights.path} could not be written ({error}): the next session has the same seeds", False
    sessions = "one session" if after.sessions == 1 else f"{after.sessions} sessions"
    return after, f"The evidence of {sessions} is in {nights.path}", True


def _digest(session: ClaimSession, item: Any) -> str:
    """Of what a claim says of which runs; not of the algorithm, which is what may get worse."""
    declared = claim_of(item)
    assert declared is not None
    runs = [(fixture, runs.task, runs.iterations) for fixture, runs in session.resolved(item).items()]
    text = f"{digest(declared, item.function)} {claim_name(item)} {runs}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
