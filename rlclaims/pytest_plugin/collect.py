"""Collect claims and theorems without running them, for the command line."""

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
    """A claim or a theorem where it stands."""

    declared: Claim | Theorem
    """What it says and means."""
    name: str
    """Its id, with its parameters."""
    test: str
    """pytest's id of it."""
    file: Path
    """Where it stands."""
    line: int
    """Its first line there."""
    item: pytest.Item
    """The test that judges it."""
    family: Family | None
    """The claims it shares an error rate with; a theorem has none."""
    record: Path
    """Where a session writes its record."""
    session: ClaimSession
    """Which would judge it."""


QUIET = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
"""The command has imported rlclaims before pytest could rewrite its asserts, of which it has none that matter."""


class CollectError(RuntimeError):
    """pytest could not collect; what it printed."""


class _Collector:
    def __init__(self) -> None:
        self.claims: list[Collected] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            claim, theorem = claim_of(item), theorem_of(item)
            declared = claim or theorem
            # Claims that were refused have no family, and pytest says why.
            if declared is None or (claim is not None and claim.id not in claim_session(item.config).families):
                continue
            claims, (file, line, _) = claim_session(item.config), item.reportinfo()
            self.claims.append(
                Collected(
                    declared,
                    theorem_name(item) if claim is None else claim_name(item),
                    item.nodeid,
                    Path(file),
                    (line or 0) + 1,
                    item,
                    None if claim is None else claims.families[claim.id],
                    settings(item.config).report / "claims.json",
                    claims,
                )
            )


def collect(paths: Sequence[str], *options: str) -> list[Collected]:
    """The claims and theorems of files and folders, in pytest's order.

    Raises:
        CollectError: pytest failed.
    """
    collector, said = _Collector(), StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = pytest.main(["--collect-only", "-q", *QUIET, *options, *paths], plugins=[collector])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        listed, error, why = said.getvalue().partition("\nERROR: ")
        # Of a wrong option or claim the sentence; of a file that cannot be imported, all that pytest says.
        refused = code == pytest.ExitCode.USAGE_ERROR and error
        raise CollectError(f"ERROR: {why}".strip() if refused else (listed + error + why).strip())
    return collector.claims
