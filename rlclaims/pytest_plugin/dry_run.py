"""`--claims-dry-run`: what the selected claims would train, before any of it is done.

It depends on the looks, so there are three answers. At the least, every open claim is decided at its next look. As
expected, it is decided where its pilot was (`pilots.json`), or at the middle look if it has no pilot. At the most, no
look decides. If the store already has the runs of a look, the look is taken, and nothing is guessed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

import pytest

from rlclaims.planning.cost import NOTHING, Cost, ProbeKey, Speed, cost, cost_of_studies, measured_speeds
from rlclaims.pytest_plugin.looks import more_seeds_may_help, take_looks
from rlclaims.pytest_plugin.session import SEEDS, ClaimSession, claim_name, claim_of
from rlclaims.pytest_plugin.trial_run import imagined_evidence
from rlclaims.report.costs import Range, cost_table
from rlclaims.store.run_spec import RunSpec, Studied

Opens = Callable[[pytest.Item], bool]
"""Returns whether a claim is assumed to be open on the seeds it has been given."""


def dry_run(session: ClaimSession, items: Sequence[pytest.Item], file: TextIO) -> None:
    """Print what the items would train, per claim and in total.

    Raises:
        TrainingError: not even the first steps can be trained.
    """
    stored = _Stored(session)
    items = [item for item in items if session.requests_of(item)]
    most = _looks(session, items, stored, lambda _: True)
    missing = [run for trained, studied in most for run in (*trained, *(run for run, _ in studied))]
    if missing:
        print(
            f"rlclaims: measuring how fast this machine trains, on {session.probes} processes.",
            file=file,
            flush=True,
        )
    speeds = measured_speeds(missing, session.probes)
    expected = {item: _expected_seeds(session, item) for item in items}

    def taken(by: Sequence[pytest.Item]) -> Range:
        return _range(session, by, stored, speeds, expected)

    cost_table({_name(item): taken([item]) for item in items}, taken(items), file)


def _range(
    session: ClaimSession,
    items: Sequence[pytest.Item],
    stored: "_Stored",
    speeds: Mapping[ProbeKey, Speed],
    expected: Mapping[pytest.Item, int],
) -> Range:
    def summed(opens: Opens) -> Cost:
        looks = _looks(session, items, stored, opens)
        costs = (
            cost(trained, session.processes, speeds) + cost_of_studies(studied, session.processes, speeds)
            for trained, studied in looks
        )
        return sum(costs, NOTHING)

    return Range(
        sum(map(stored.has, set(session.wanted(items, session.profile.seeds)))),
        summed(lambda _: False),
        summed(lambda item: item.stash[SEEDS] < expected[item]),
        summed(lambda _: True),
    )


def _looks(
    session: ClaimSession, items: Sequence[pytest.Item], stored: "_Stored", opens: Opens
) -> list[tuple[list[RunSpec], list[Studied]]]:
    """Look by look, what is trained and what is derived, if claims stay open as `opens` has it."""
    looks: list[tuple[list[RunSpec], list[Studied]]] = []
    trained: set[RunSpec] = set()
    derived: set[Studied] = set()

    def train(wanted: Sequence[RunSpec], studied: Sequence[Studied]) -> None:
        runs = [run for run in dict.fromkeys(wanted) if run not in trained and not stored.has(run)]
        studies = [one for one in dict.fromkeys(studied) if one not in derived and not stored.has_study(one)]
        trained.update(runs)
        derived.update(studies)
        looks.append((runs, studies))

    def is_open(item: pytest.Item) -> bool:
        return stored.is_open(item) if stored.all_of(item) else opens(item)

    take_looks(session, items, train, is_open)
    return looks


def _expected_seeds(session: ClaimSession, item: pytest.Item) -> int:
    looks = session.profile.looks
    middle = looks[(len(looks) - 1) // 2]
    if claim_of(item) is None or session.pilot(item) is None:
        return middle
    pilots = [c.pilot for evidence in imagined_evidence(session, item) for c in evidence.comparisons]
    return next((pilot.seeds_used for pilot in pilots if pilot is not None and pilot.seeds_used), middle)


def _name(item: pytest.Item) -> str:
    return claim_name(item) if claim_of(item) is not None else item.name


class _Stored:
    """The contents of the store, looked up once."""

    def __init__(self, session: ClaimSession) -> None:
        self._session = session
        self._has: dict[RunSpec, bool] = {}
        self._has_study: dict[Studied, bool] = {}
        self._open: dict[tuple[str, int], bool] = {}

    def has(self, run: RunSpec) -> bool:
        if run not in self._has:
            self._has[run] = self._session.store.has(run)
        return self._has[run]

    def has_study(self, studied: Studied) -> bool:
        if studied not in self._has_study:
            self._has_study[studied] = self._session.store.has_study(*studied)
        return self._has_study[studied]

    def all_of(self, item: pytest.Item) -> bool:
        """Return whether the store has all runs of the seeds that an item has been given, and their studies."""
        n = item.stash[SEEDS]
        studied = self._session.studied([item], n)
        return all(map(self.has, self._session.wanted([item], n))) and all(map(self.has_study, studied))

    def is_open(self, item: pytest.Item) -> bool:
        key = item.nodeid, item.stash[SEEDS]
        if key not in self._open:
            self._open[key] = more_seeds_may_help(self._session, item)
        return self._open[key]
