"""--claims-nightly: a claim fails by the accumulated evidence of all sessions, not by that of one unlucky night."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from rlclaims.claims.e_values import evidence_against
from rlclaims.nightly.ledger import Nights, NightsError, accumulate
from rlclaims.pytest_plugin.results import NIGHT, digest
from rlclaims.pytest_plugin.session import ClaimSession, claim_name, claim_of
from rlclaims.pytest_plugin.trial_run import imagined_evidence
from rlclaims.pytest_plugin.verdict_outcome import Judged
from rlclaims.report.record import Json

__all__ = ["NIGHT", "describe_night", "judge_night", "register_claims", "write_nights"]

DIGESTS = pytest.StashKey[Sequence[str]]()
"""Digests of the session's claims, in the config's stash."""


def register_claims(session: ClaimSession, config: pytest.Config, items: Iterable[pytest.Item]) -> None:
    """Remember the digests of the session's claims.

    Raises:
        pytest.UsageError: a claim compares with a baseline's seeds, which would be the same in every session.
    """
    claims = [item for item in items if claim_of(item) is not None]
    for item in claims:
        compared = [c for evidence in imagined_evidence(session, item) for c in evidence.comparisons]
        if any(comparison.saved is not None for comparison in compared):
            raise pytest.UsageError(
                f"The claim {claim_name(item)!r} compares with the seeds of a baseline, which are the same in every "
                "session, so --claims-nightly cannot accumulate evidence: compare with before[...].as_bound instead."
            )
    config.stash[DIGESTS] = [_digest(session, item) for item in claims]


def judge_night(session: ClaimSession, item: pytest.Item, judged: Judged) -> Json | None:
    """Return the evidence against a claim from all sessions, or None if this session's seeds are no evidence."""
    assert session.asked.nights is not None
    e_value = evidence_against(judged.evidence, true=judged.declared.expected == "supported")
    if e_value is None:
        return None
    return accumulate(session.asked.nights, _digest(session, item), item.config.stash[DIGESTS], e_value)


def describe_night(night: Json | None) -> str:
    """Return the evidence against a claim as a line of its message."""
    if night is None:
        return "\n  nightly    no evidence from this session: a seed has no value, or all have the same"
    return (
        f"\n  nightly    evidence against it {night['value']:.3g} after an e-value of {night['e_value']:.3g} in this "
        f"session; the alarm is at {night['threshold']:g}"
    )


def write_nights(nights: Nights, results: Sequence[Json], seeds: int) -> tuple[Nights, str, bool]:
    """Write the file.

    Returns:
        The evidence with this session added, a message about the file, and whether it was written.
    """
    after = nights.after(results, seeds)
    try:
        after.write()
    except NightsError as error:
        return after, str(error), False
    except OSError as error:
        return after, f"{nights.path} cannot be written ({error}): the next session will use the same seeds", False
    sessions = "one session" if after.sessions == 1 else f"{after.sessions} sessions"
    return after, f"The evidence of {sessions} is in {nights.path}", True


def _digest(session: ClaimSession, item: Any) -> str:
    """Return a digest of a claim and its runs. The algorithm does not count: its changes are what is watched."""
    declared = claim_of(item)
    assert declared is not None
    runs = [(fixture, runs.task, runs.iterations) for fixture, runs in session.resolved(item).items()]
    text = f"{digest(declared, item.function)} {claim_name(item)} {runs}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
