"""Looks at the seeds: train the seeds of the next look for the claims that are undecided, until all are decided.

Before pytest runs a claim, its body is judged here at each look, on the seeds so far. A decided claim is not judged
again with more seeds, so the seeds that a claim gets do not depend on the claims it is selected with.
"""

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest

from rlclaims.claims.comparison import Comparison
from rlclaims.claims.evidence import recording
from rlclaims.pytest_plugin.session import SEEDS, ClaimSession, claim_of
from rlclaims.stats.verdict import Reason, Verdict

if TYPE_CHECKING:
    from rlclaims.planning.resolve import Results
    from rlclaims.store.run_spec import RunSpec, Studied

WHATEVER_IS_WRONG = (Exception, SystemExit, pytest.skip.Exception, pytest.fail.Exception, pytest.xfail.Exception)
"""Exceptions that a claim's body may raise at a look; pytest reports them when it runs the claim."""

MANY = 10
"""Open claims after the first look from which on one almost surely stays open to the last."""
FEW = 4
"""Additional seeds at a look from which on their cohorts are efficient."""


@dataclass(frozen=True)
class Look:
    """The state of a session before it trains the seeds of a look."""

    number: int
    """Number of the look, from 1."""
    of: int
    """Looks planned."""
    seeds: int
    """Seeds per algorithm."""
    undecided: int
    """Claims that the look is taken for."""
    claims: int
    """Selected claims."""
    made: int | None = None
    """Seeds per algorithm that are trained now, if they include those of later looks."""


def take_looks(
    session: ClaimSession,
    items: Sequence[pytest.Item],
    train: "Callable[[Sequence[RunSpec], Sequence[Studied]], None]",
    is_open: Callable[[pytest.Item], bool],
    announce: Callable[[Look], None] = lambda _: None,
) -> None:
    """Train what the items need, look by look.

    If many claims are open and the looks are close, the seeds of all looks are trained at once: two more seeds at a
    time make small cohorts, whose runs cost up to twice as much. If looks are further apart, claims that are decided on
    the way save more than that. No verdict depends on it.

    A test that takes runs and is not a claim gets all seeds.

    Args:
        session: the session of the claims.
        items: claims and tests; items that take no runs are skipped.
        train: trains runs, and computes studies of them.
        is_open: returns whether a claim needs more seeds than it has been given.
        announce: called before each look.

    Raises:
        TrainingError: training broke off; what was finished is stored.
    """
    items = [item for item in items if session.requests_of(item)]
    claims = {item for item in items if claim_of(item) is not None}
    undecided = items
    # A pilot uses all seeds, also after they have decided.
    looks = session.profile.looks[-1:] if session.asked.writes_pilots else session.profile.looks
    for number, n in enumerate(looks, start=1):
        n_open = sum(item in claims for item in undecided)
        dear = number > 1 and n_open > MANY and n - looks[number - 2] < FEW
        made = looks[-1] if session.asked.ahead or dear else n
        announce(Look(number, len(looks), n, n_open, len(claims), made if made > n else None))
        train(session.wanted(undecided, made), session.studied(undecided, made))
        for item in undecided:
            item.stash[SEEDS] = n
        undecided = [item for item in undecided if item not in claims or is_open(item)]
        if not undecided:
            break


def more_seeds_may_help(session: ClaimSession, item: pytest.Item) -> bool:
    """Return whether a claim is open on the seeds it has, and more seeds may decide it."""
    runs = {name: session.results(taken, item.stash[SEEDS]) for name, taken in session.resolved(item).items()}
    with recording(session.terms(item)) as recorder, muted(), suppress(*WHATEVER_IS_WRONG):
        item.obj(**arguments(session, item, runs))  # type: ignore[attr-defined]
    undecided = [evidence for evidence in recorder.evidence if evidence.verdict is Verdict.INCONCLUSIVE]
    return any(map(_open, (comparison for evidence in undecided for comparison in evidence.comparisons)))


@contextmanager
def muted() -> Iterator[None]:
    """Mute a claim's body that runs before its turn: output, warnings and breakpoints come when pytest runs it."""
    stop, sys.breakpointhook = sys.breakpointhook, lambda *_, **__: None
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.breakpointhook = stop


def _open(comparison: Comparison) -> bool:
    match comparison.reason:
        case None | Reason.AT_BOUNDARY | Reason.NO_EVIDENCE:  # decided, or not worth deciding
            return False
        case Reason.RUN_FAILED:  # more seeds do not mend a mean
            return comparison.method.takes_any_value
    return True


def arguments(session: ClaimSession, item: pytest.Item, runs: "Mapping[str, Results]") -> dict[str, Any]:
    """Return the arguments of a claim: its runs, its baselines and its parameters."""
    assert isinstance(item, pytest.Function)
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    baselines = {name: session.baseline(spec) for name, spec in session.baselines_of(item).items()}
    given = {**parameters, **baselines, **runs}
    return {name: given.get(name) for name in item._fixtureinfo.argnames}
