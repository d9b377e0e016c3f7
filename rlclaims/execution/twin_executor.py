"""Makes the updates of finished runs again, with mechanisms switched, on several processes."""

from collections.abc import Callable, Sequence
from contextlib import closing

from rlclaims.execution.pool import LocalPool, WorkerPool, WorkItem, of_finished
from rlclaims.store.run_spec import RunSpec
from rlclaims.store.store import Store
from rlclaims.studies.registry import TWINS
from rlclaims.studies.twin_updates.compute import parts

Done = Callable[[int, int], None]
"""Told how many parts are done, and of how many."""


def lockstep(specs: Sequence[RunSpec]) -> list[tuple[RunSpec, ...]]:
    """Runs whose updates are made again together: those of one algorithm, task and length."""
    keys = dict.fromkeys((spec.algorithm, spec.task, spec.iterations) for spec in specs)
    return [tuple(s for s in specs if (s.algorithm, s.task, s.iterations) == key) for key in keys]


def make_twins(
    missing: Sequence[RunSpec],
    store: Store,
    processes: int,
    on_progress: Done = lambda *_: None,
    crew: WorkerPool | None = None,
) -> None:
    """Put twin updates of finished runs into the store; those of a failed run are its failure.

    Args:
        missing: runs that are in the store.
        store: where it goes.
        processes: how many work at a time.
        on_progress: told how far it is.
        crew: who runs the processes; None for this machine.

    Raises:
        TrainingError: a process died. What was finished before is in the store.
    """
    groups = lockstep([run for run, _ in of_finished([(run, TWINS) for run in missing], store)])
    total, done = len(groups) * len(parts()), 0
    for group in groups:
        # Dealt out like cards, the costliest first: each process has as much to do.
        dealt = filter(None, (parts()[i::processes] for i in range(processes)))
        broken = f"The updates of {group[0].name} and its like cannot be made again."
        told = [{"store": str(store.root.absolute()), "parts": some} for some in dealt]
        shares = [WorkItem(group, one, lambda _, words, broken=broken: broken + words) for one in told]  # type: ignore[misc]
        found: dict[str, list[list[float]]] = {}  # by name, one row per run
        with closing((crew or LocalPool()).answers("rlclaims.execution.twin_worker", shares, processes)) as said:
            for _, series in said:
                if "lost" in series or "ended" in series:
                    continue
                found |= series
                done += 1
                on_progress(done, total)
        for i, spec in enumerate(group):
            store.put_study(spec, TWINS, None, {name: rows[i] for name, rows in found.items()})
