"""Makes the updates of finished runs again, with mechanisms switched, on all cores of this machine."""

from collections.abc import Callable, Sequence
from contextlib import closing

from rlclaims.study.crew import answers, of_finished
from rlclaims.study.spec import RunSpec
from rlclaims.study.store import Store
from rlclaims.study.studies import TWINS
from rlclaims.twin_updates import parts

Done = Callable[[int, int], None]
"""Told how many parts are done, and of how many."""


def lockstep(specs: Sequence[RunSpec]) -> list[tuple[RunSpec, ...]]:
    """Runs whose updates are made again together: those of one algorithm, task and length."""
    keys = dict.fromkeys((spec.algorithm, spec.task, spec.iterations) for spec in specs)
    return [tuple(s for s in specs if (s.algorithm, s.task, s.iterations) == key) for key in keys]


def make_twins(missing: Sequence[RunSpec], store: Store, processes: int, on_progress: Done = lambda *_: None) -> None:
    """Put twin updates of finished runs into the store; those of a failed run are its failure.

    Raises:
        TrainingError: a process died. What was finished before is in the store.
    """
    groups = lockstep([run for run, _ in of_finished([(run, TWINS) for run in missing], store)])
    total, done = len(groups) * len(parts()), 0
    for group in groups:
        # Dealt out like cards, the costliest first: each process has as much to do.
        dealt = filter(None, (parts()[i::processes] for i in range(processes)))
        shares = [(group, {"store": str(store.root.absolute()), "parts": some}) for some in dealt]
        broken = f"The updates of {group[0].name} and its like cannot be made again."
        found: dict[str, list[list[float]]] = {}  # by name, one row per run
        with closing(answers("rlclaims.study.twin_worker", shares, broken)) as said:
            for _, series in said:
                found |= series
                done += 1
                on_progress(done, total)
        for i, spec in enumerate(group):
            store.put_study(spec, TWINS, None, {name: rows[i] for name, rows in found.items()})
