"""Makes the updates of finished runs again, with mechanisms switched, on all cores of this machine."""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from queue import Queue
from typing import IO

from rlclaims.study.executor import TrainingError
from rlclaims.study.process import last_words, start
from rlclaims.study.spec import RunSpec
from rlclaims.study.store import Store
from rlclaims.twin_updates import parts

Done = Callable[[int, int], None]
"""Told how many parts are done, and of how many."""


def lockstep(specs: Sequence[RunSpec]) -> list[tuple[RunSpec, ...]]:
    """Runs whose updates are made again together: those of one algorithm, task and length."""
    keys = dict.fromkeys((spec.algorithm, spec.task, spec.iterations) for spec in specs)
    return [tuple(s for s in specs if (s.algorithm, s.task, s.iterations) == key) for key in keys]


def check_starts(specs: Sequence[RunSpec], store: Store) -> None:
    """Read where the updates of finished runs started, before any process is.

    Raises:
        SpecError: it cannot be read.
    """
    for spec in specs:
        if store.measured(spec).failure is None:
            store.start(spec)


def make_twins(missing: Sequence[RunSpec], store: Store, processes: int, on_progress: Done = lambda *_: None) -> None:
    """Put twin updates of finished runs into the store; those of a failed run are its failure.

    Raises:
        TrainingError: a process died. What was finished before is in the store.
    """
    groups = []
    for group in lockstep(missing):
        failures = {spec: store.measured(spec).failure for spec in group}
        for spec, failure in failures.items():
            if failure is not None:
                store.put_twins(spec, failure, {})
        if finished := tuple(spec for spec in group if failures[spec] is None):
            groups.append(finished)
    total, done = len(groups) * len(parts()), 0
    for group in groups:
        found: dict[str, list[list[float]]] = {}
        for series in _made(group, store, processes):
            found |= series
            done += 1
            on_progress(done, total)
        for i, spec in enumerate(group):
            store.put_twins(spec, None, {name: rows[i] for name, rows in found.items()})


def _made(specs: tuple[RunSpec, ...], store: Store, processes: int) -> Iterator[dict[str, list[list[float]]]]:
    """The parts, as they are done: one row per run for each of their names."""
    lines: Queue[tuple[int, str | None]] = Queue()

    def listen(worker: int, stdout: IO[str]) -> None:
        for line in stdout:
            lines.put((worker, line))
        lines.put((worker, None))

    with ExitStack() as closing:
        workers: list[tuple[subprocess.Popen[str], IO[bytes]]] = []
        # Dealt out like cards, the costliest first: each process has as much to do.
        for dealt in filter(None, (parts()[i::processes] for i in range(processes))):
            process, log = start("rlclaims.study.twin_worker", specs, store=str(store.root.absolute()), parts=dealt)
            closing.callback(log.close)
            closing.enter_context(process)
            closing.callback(process.kill)  # if another one failed, or there was Ctrl-C
            threading.Thread(target=listen, args=(len(workers), process.stdout), daemon=True).start()
            workers.append((process, log))
        talking = len(workers)
        while talking:
            worker, line = lines.get()
            if line is not None:
                yield json.loads(line)
                continue
            talking -= 1
            process, log = workers[worker]
            if process.wait() != 0:
                name = f"{specs[0].name} and its like"
                raise TrainingError(f"The updates of {name} cannot be made again.{last_words(log)}")
