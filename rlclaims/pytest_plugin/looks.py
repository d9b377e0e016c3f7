"""Looking at the seeds: train those of the next look for the claims that are still undecided, until none is.

Before pytest runs a claim its body is judged here, on the seeds so far, as often as there are looks. What is decided is
not judged again with more seeds, so the seeds that a claim gets do not depend on the claims it is selected with.
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
    from rlclaims.store.run_spec import RunSpec
    from rlclaims.studies.registry import Studied

WHATEVER_IS_WRONG = (Exception, SystemExit, pytest.skip.Exception, pytest.fail.Exception, pytest.xfail.Exception)
"""What a claim's body may raise while it is looked at; pytest says so when it runs the claim."""

MANY = 10
"""Claims open after the first look of which, as good as surely, one stays open to the last."""
FEW = 4
"""Seeds more at a look whose cohorts are not dear any more."""


@dataclass(frozen=True)
class Look:
    """Where a session is before it trains the seeds of a look."""

    number: int
    """From 1."""
    of: int
    """Looks planned."""
    seeds: int
    """Per algorithm."""
    undecided: int
    """Claims that it is taken for."""
    claims: int
    """All that are selected."""
    made: int | None = None
    """Seeds per algorithm whose runs are made now, if also those of later looks."""


def take_looks(
    session: ClaimSession,
    items: Sequence[pytest.Item],
    train: "Callable[[Sequence[RunSpec], Sequence[Studied]], None]",
    is_open: Callable[[pytest.Item], bool],
    announce: Callable[[Look], None] = lambda _: None,
) -> None:
    """Train what the items need, look by look.

    If many claims are open and the looks are close, that is what all looks take: two seeds more at a time make cohorts
    of a few, whose runs cost up to twice as much. Where looks are further apart, claims that are decided on the way
    save more than that. No verdict depends on it.

    A test that takes runs and is no claim gets all seeds.

    Args:
        session: whose claims they are.
        items: claims and tests; what takes no runs is passed over.
        train: makes sure of runs, and of what is derived from some of them.
        is_open: whether a claim needs more seeds than it has been given.
        announce: called before each look.

    Raises:
        TrainingError: training broke off; what was finished is stored.
    """
    items = [item for item in items if session.requests_of(item)]
    claims = {item for item in items if claim_of(item) is not None}
    undecided = items
    # A pilot is made on all seeds, whatever they decide.
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
    """Whether a claim is open on the seeds it has, and further ones may decide it."""
    runs = {name: session.results(taken, item.stash[SEEDS]) for name, taken in session.resolved(item).items()}
    with recording(session.terms(item)) as recorder, muted(), suppress(*WHATEVER_IS_WRONG):
        item.obj(**arguments(session, item, runs))  # type: ignore[attr-defined]
    undecided = [evidence for evidence in recorder.evidence if evidence.verdict is Verdict.INCONCLUSIVE]
    return any(map(_open, (comparison for evidence in undecided for comparison in evidence.comparisons)))


@contextmanager
def muted() -> Iterator[None]:
    """Let a claim's body run before its turn: what it prints and warns is told when it has its turn, as is a break."""
    stop, sys.breakpointhook = sys.breakpointhook, lambda *_, **__: None
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.breakpointhook = stop


def _open(comparison: Comparison) -> bool:
    match comparison.reason:
        case None | Reason.AT_BOUNDARY | Reason.NO_EVIDENCE:  # it is decided, or decides nothing that matters
            return False
        case Reason.RUN_FAILED:  # a mean does not get well again
            return comparison.method.takes_any_value
    return True


def arguments(session: ClaimSession, item: pytest.Item, runs: "Mapping[str, Results]") -> dict[str, Any]:
    """What a claim is called with: its runs, its baselines and its parameters."""
    assert isinstance(item, pytest.Function)
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    baselines = {name: session.baseline(spec) for name, spec in session.baselines_of(item).items()}
    given = {**parameters, **baselines, **runs}
    return {name: given.get(name) for name in item._fixtureinfo.argnames}
