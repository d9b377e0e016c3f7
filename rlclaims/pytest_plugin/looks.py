"""Looking at the seeds: train those of the next look for the claims that are still undecided, until none is.

Before pytest runs a claim its body is judged here, on the seeds so far, as often as there are looks. What is decided is
not judged again with more seeds, so the seeds that a claim gets do not depend on the claims it is selected with.
"""

from collections.abc import Callable, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from typing import Any

import pytest

from rlclaims.judging.evidence import Comparison, recording
from rlclaims.judging.runs import Runs
from rlclaims.pytest_plugin.session import SEEDS, ClaimSession, ShowProgress, claim_of, runs_of
from rlclaims.stats.verdict import Reason, Verdict

WHATEVER_IS_WRONG = (Exception, pytest.skip.Exception, pytest.fail.Exception, pytest.xfail.Exception)
"""What a claim's body may raise while it is looked at; pytest says so when it runs the claim."""


@dataclass(frozen=True)
class Look:
    """Where a session is before it trains the seeds of a look."""

    number: int
    of: int
    seeds: int
    """Per algorithm."""
    undecided: int
    claims: int


def train_looks(
    session: ClaimSession,
    items: Sequence[pytest.Item],
    show_progress: ShowProgress,
    announce: Callable[[Look], None],
) -> None:
    """Train what the items need, look by look.

    A test that takes runs and is no claim gets all seeds.

    Raises:
        TrainingError: training broke off; what was finished is stored.
    """
    items = [item for item in items if runs_of(item)]
    claims = [item for item in items if claim_of(item) is not None]
    undecided = items
    # A pilot is made on all seeds, whatever they decide.
    looks = session.profile.looks[-1:] if session.writes_pilots else session.profile.looks
    for number, n in enumerate(looks, start=1):
        announce(Look(number, len(looks), n, sum(item in claims for item in undecided), len(claims)))
        wanted = [run for item in undecided for spec in runs_of(item).values() for run in session.run_specs(spec, n)]
        session.train(wanted, show_progress)
        for item in undecided:
            item.stash[SEEDS] = n
        undecided = [item for item in undecided if item not in claims or more_seeds_may_help(session, item)]
        if not undecided:
            break


def more_seeds_may_help(session: ClaimSession, item: pytest.Item) -> bool:
    """Whether a claim is open on the seeds it has, and further ones may decide it."""
    with recording(session.terms(item)) as recorder, redirect_stdout(StringIO()), suppress(*WHATEVER_IS_WRONG):
        item.obj(**arguments(session, item))  # type: ignore[attr-defined]
    undecided = [evidence for evidence in recorder.evidence if evidence.verdict is Verdict.INCONCLUSIVE]
    return any(map(_open, (comparison for evidence in undecided for comparison in evidence.comparisons)))


def _open(comparison: Comparison) -> bool:
    match comparison.reason:
        case None | Reason.AT_BOUNDARY:  # it is decided, or decides nothing that matters
            return False
        case Reason.RUN_FAILED:  # a mean does not get well again
            return comparison.method.takes_any_value
    return True


def arguments(session: ClaimSession, item: pytest.Item) -> dict[str, Any]:
    """What a claim is called with: its runs, as many as it is judged on, and its parameters."""
    function = item
    assert isinstance(function, pytest.Function)
    runs: dict[str, Runs] = {name: session.runs(spec, item.stash[SEEDS]) for name, spec in runs_of(item).items()}
    parameters = function.callspec.params if hasattr(function, "callspec") else {}
    return {name: runs.get(name, parameters.get(name)) for name in function._fixtureinfo.argnames}
