"""Run a claim's body on imagined runs before any is trained, to report its mistakes and to find its studies.

The body runs as if what it judges were supported and as if it were refuted, so that evidence which is negated, caught
or left unused is noticed before any seed is known. Each time the runs have other numbers, so that a bound or a
method which depends on them, or on chance, is noticed as well: what a claim means is fixed before the data. An error in
a body is never passed over: imagined numbers lie in each measure's natural range, so a body that fails on them would
fail on real ones too.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from hashlib import shake_128
from struct import iter_unpack
from traceback import extract_tb
from typing import Any

import pytest

from rlclaims.claims.evidence import ClaimError, Evidence, Recorder, recording
from rlclaims.measures.registry import measure_of_series
from rlclaims.planning.resolve import ResolvedRuns, Results
from rlclaims.planning.study_checks import check_playable, check_study
from rlclaims.pytest_plugin.looks import WHATEVER_IS_WRONG, arguments, muted
from rlclaims.pytest_plugin.session import STUDIES, ClaimSession, claim_name, claim_of
from rlclaims.pytest_plugin.verdict_outcome import settle
from rlclaims.results.measured import Measured
from rlclaims.stats.verdict import Verdict
from rlclaims.store.run_spec import RunSpec, SpecError
from rlclaims.studies.registry import Study, length

ROUNDS = 3
"""Trials of each verdict: a body that tosses a coin escapes them once in 32."""
ANY_RANGE = 0.1, 0.9
"""Range of imagined numbers of a series that is not a measure's."""
DEFINITION = pytest.StashKey[tuple[Any, ...]]()
"""The definition of an item's claim, which does not depend on the numbers of its runs."""


def check_bodies(session: ClaimSession, items: Iterable[pytest.Item]) -> None:
    """Refuse claims whose body fails, does not make one judgement, or makes it depend on the numbers of its runs.

    Raises:
        pytest.UsageError: some do, and why, a sentence each.
    """
    mistakes = [sentence for item in items if claim_of(item) is not None and (sentence := _mistake(session, item))]
    if mistakes:
        raise pytest.UsageError("\n".join(dict.fromkeys(mistakes)))


def imagined_evidence(session: ClaimSession, item: pytest.Item) -> list[Evidence]:
    """Return the evidence of a claim on imagined numbers: its quantities, regions and methods are real."""
    return _tried(session, item, Verdict.SUPPORTED, 0)[0].evidence


def asked_studies(session: ClaimSession, item: pytest.Item, study: Study) -> list[ResolvedRuns]:
    """Return the runs of which an item's claim asks for a study; of anything else than a claim, none."""
    if claim_of(item) is None:
        return []
    if STUDIES not in item.stash:
        _tried(session, item, Verdict.SUPPORTED, 0)
    return [runs for fixture, runs in session.resolved(item).items() if study in item.stash[STUDIES][fixture]]


def _mistake(session: ClaimSession, item: pytest.Item) -> str | None:
    declared, name = claim_of(item), claim_name(item)
    assert declared is not None
    definitions = []
    for time, assumed in enumerate((Verdict.SUPPORTED, Verdict.REFUTED) * ROUNDS):
        recorder, raised = _tried(session, item, assumed, time)
        if isinstance(raised, pytest.skip.Exception | pytest.xfail.Exception) and not recorder.evidence:
            return None  # given up before it judged
        try:
            definitions.append(settle(declared, name, recorder, raised).evidence.definition)
        except ClaimError as error:
            return str(error) if repr(name) in str(error) else f"The claim {name!r}: {error}"
        except SpecError as error:  # a study that cannot be made, which names its fixture
            return f"{error} of {item.nodeid})"
        except (Exception, SystemExit, pytest.fail.Exception) as error:
            where = extract_tb(error.__traceback__)[-1]
            return (
                f"The claim {name!r} fails when it is tried on imagined runs: {type(error).__name__}: {error} "
                f"({where.filename}:{where.lineno}). It has its runs and parameters, no fixtures and no setup methods."
            )
    if any(other != definitions[0] for other in definitions):
        return depends(name)
    item.stash[DEFINITION] = definitions[0]
    return None


def depends(name: str) -> str:
    """Return the message for a claim whose definition is not fixed."""
    return (
        f"The claim {name!r} judges something else on other numbers: its quantity, bound or method depends on them or "
        "on chance. What a claim means is fixed before the data."
    )


def _tried(
    session: ClaimSession, item: pytest.Item, assumed: Verdict, time: int
) -> tuple[Recorder, BaseException | None]:
    """Return what a claim's body judges and raises on imagined runs, if its evidence has that verdict."""
    # With the seeds of the last look: a comparison with a baseline's seeds is refused whichever look meets them.
    n = session.profile.looks[-1 if session.baselines_of(item) else 0]
    imagined = {fixture: ImaginedRuns(fixture, runs, n, time) for fixture, runs in session.resolved(item).items()}
    results = {fixture: runs.results for fixture, runs in imagined.items()}
    with recording(session.terms(item), assumed) as recorder, muted():
        raised: BaseException | None = None
        try:
            item.obj(**arguments(session, item, results))  # type: ignore[attr-defined]
        except WHATEVER_IS_WRONG as error:
            raised = error
    known = item.stash.get(STUDIES, {})
    item.stash[STUDIES] = {
        fixture: tuple(dict.fromkeys((*known.get(fixture, ()), *runs.asked))) for fixture, runs in imagined.items()
    }
    return recorder, raised


class ImaginedRuns:
    """Runs that nobody trained, and what is asked of them.

    Args:
        fixture: their name in a claim.
        runs: as they would be trained.
        n: number of seeds.
        time: each time has other numbers.
    """

    def __init__(self, fixture: str, runs: ResolvedRuns, n: int, time: int) -> None:
        self._fixture = fixture
        self._runs = runs
        self._time = time
        self.asked: dict[Study | None, None] = {}
        """The studies that were asked for, in order; None for the runs' own measures."""
        self.results: Results = runs.results(n, partial(self._imagined, study=None), self._study)

    def _study(self, specs: Sequence[RunSpec], study: Study) -> list[Measured]:
        for algorithm in self._runs.algorithms if self._time == 0 else ():
            try:
                check_study(study, algorithm)
                check_playable(study, self._runs.task)
            except SpecError as error:
                raise SpecError(f"{error} (the runs {self._fixture!r}") from None
        return self._imagined(specs, study)

    def _imagined(self, specs: Sequence[RunSpec], study: Study | None) -> list[Measured]:
        self.asked[study] = None
        return [Measured(None, _AnySeries(spec, self._time, study)) for spec in specs]


class _AnySeries(dict[str, list[float]]):
    """Numbers for a series of any name, different for each seed and time, in the range that its measure states."""

    def __init__(self, spec: RunSpec, time: int, study: Study | None) -> None:
        super().__init__()
        self._iterations = spec.iterations
        self._study = study
        self._seed = f"{spec.seed} {time} {spec.name}"

    def __missing__(self, name: str) -> list[float]:
        measure = measure_of_series(name)
        low, high = ANY_RANGE if measure is None else measure.imagined_range
        n = length(self._study, name, self._iterations)
        # A hundred thousand of these are made, of a few numbers each: a hash is quicker to start than a generator.
        whole = iter_unpack("=I", shake_128(f"{self._seed} {name}".encode()).digest(4 * n))
        return [low + (high - low) * x / 2**32 for (x,) in whole]
