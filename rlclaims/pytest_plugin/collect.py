"""Collection of claims and theorems without running them, for the command line."""

from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from rlclaims.claims.declaration import Claim
from rlclaims.claims.judging_terms import Family
from rlclaims.claims.theorem import Theorem
from rlclaims.pytest_plugin.options import settings
from rlclaims.pytest_plugin.session import ClaimSession, claim_name, claim_of, claim_session
from rlclaims.pytest_plugin.theorems import theorem_name, theorem_of


@dataclass(frozen=True)
class Collected:
    """A claim or a theorem, and the test that judges it."""

    declared: Claim | Theorem
    """Declaration: what it says and means."""
    name: str
    """Its id, with its parameters."""
    test: str
    """pytest's node id."""
    file: Path
    """File that declares it."""
    line: int
    """First line of its function, counted from 1."""
    item: pytest.Item
    """The test that judges it."""
    family: Family | None
    """Claims that share its error rate; None for a theorem."""
    record: Path
    """Record that a session with these options writes."""
    session: ClaimSession
    """Session that would judge it."""


QUIET = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
"""Options that silence pytest about rlclaims being imported already; no assert of rlclaims itself needs rewriting."""


class CollectError(RuntimeError):
    """A failure of pytest to collect, with what it printed."""


class _Collector:
    def __init__(self) -> None:
        self.claims: list[Collected] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            claim, theorem = claim_of(item), theorem_of(item)
            declared = claim or theorem
            # Invalid claims have no family; pytest reports what is wrong with them.
            if declared is None or (claim is not None and claim.id not in claim_session(item.config).families):
                continue
            claims = claim_session(item.config)
            file, line, _ = item.reportinfo()
            self.claims.append(
                Collected(
                    declared=declared,
                    name=theorem_name(item) if claim is None else claim_name(item),
                    test=item.nodeid,
                    file=Path(file),
                    line=(line or 0) + 1,
                    item=item,
                    family=None if claim is None else claims.families[claim.id],
                    record=settings(item.config).report / "claims.json",
                    session=claims,
                )
            )


def collect(paths: Sequence[str], *options: str) -> list[Collected]:
    """Return the claims and theorems of files and folders, in pytest's order.

    Raises:
        CollectError: pytest failed.
    """
    collector = _Collector()
    output = StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        code = pytest.main(["--collect-only", "-q", *QUIET, *options, *paths], plugins=[collector])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        _, error, message = output.getvalue().partition("\nERROR: ")
        # For an invalid option or claim the message alone; for a file that cannot be imported, the whole output.
        usage_error = code == pytest.ExitCode.USAGE_ERROR and error
        raise CollectError(f"ERROR: {message}".strip() if usage_error else output.getvalue().strip())
    return collector.claims
