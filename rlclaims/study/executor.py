"""Trains what a plan lacks on this machine: one process per core, each a cohort in lockstep."""

import json
import os
import subprocess
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Queue
from typing import IO

from rlclaims.study.plan import Plan, cohorts
from rlclaims.study.process import kill, last_words, start
from rlclaims.study.spec import RunSpec
from rlclaims.study.store import Store


@dataclass(frozen=True)
class CohortProgress:
    """How far the runs of one process are."""

    algorithms: dict[str, int]
    """Runs of each."""
    task: str
    """Gymnasium's id."""
    iteration: int
    """Those done."""
    iterations: int
    """Those planned."""


@dataclass(frozen=True)
class Progress:
    """How far training is."""

    steps_done: int
    """Training steps of all runs."""
    steps_total: int
    """Those planned."""
    cohorts: tuple[CohortProgress, ...] = ()
    """Those that are training now."""


class TrainingError(RuntimeError):
    """A training process ended before its runs did; finished runs are stored."""


@dataclass
class _Worker:
    process: subprocess.Popen[str]
    log: IO[bytes]
    specs: tuple[RunSpec, ...]
    iteration: int = 0
    stored: bool = False

    @property
    def progress(self) -> CohortProgress:
        names = Counter(spec.title for spec in self.specs)
        return CohortProgress(dict(names), self.specs[0].task, self.iteration, self.specs[0].iterations)


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def execute(plan: Plan, store: Store, processes: int, on_progress: Callable[[Progress], None]) -> None:
    """Train the plan's missing runs into the store.

    Args:
        plan: what to train.
        store: where finished runs go, each cohort's as soon as it is done.
        processes: how many cohorts train at a time.
        on_progress: called after each iteration of a process, and when one ends.

    Raises:
        TrainingError: a process died; the others are stopped. What was finished is in the store.
    """
    waiting = deque(cohorts(plan.missing, processes))
    lines: Queue[tuple[_Worker, str | None]] = Queue()
    running: list[_Worker] = []
    finished_steps = 0
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                running.append(_start_worker(waiting.popleft(), store, lines))
            worker, line = lines.get()
            if line is None:
                _close(worker)
                running.remove(worker)
                finished_steps += _steps(worker.specs, worker.specs[0].iterations)
            else:
                answer = json.loads(line)
                if "told" in answer:
                    store.tell(answer["told"])
                if "broken" in answer:
                    raise TrainingError(answer["broken"])
                worker.iteration = answer.get("iteration", worker.iteration)
                worker.stored = "stored" in answer
            steps = finished_steps + sum(_steps(w.specs, w.iteration) for w in running)
            on_progress(Progress(steps, plan.environment_steps, tuple(worker.progress for worker in running)))
    finally:
        for worker in running:
            kill(worker.process)
            worker.process.wait()
            worker.log.close()


def _steps(specs: Sequence[RunSpec], iterations: int) -> int:
    return sum(spec.algorithm.steps * iterations for spec in specs)


def _start_worker(specs: tuple[RunSpec, ...], store: Store, lines: "Queue[tuple[_Worker, str | None]]") -> _Worker:
    process, log = start("rlclaims.study.worker", specs, store=str(store.root.absolute()))
    worker = _Worker(process, log, specs)
    threading.Thread(target=_listen, args=(worker, process.stdout, lines), daemon=True).start()
    return worker


def _listen(worker: _Worker, stdout: IO[str], lines: "Queue[tuple[_Worker, str | None]]") -> None:
    with stdout:
        for line in stdout:
            lines.put((worker, line))
    lines.put((worker, None))


def _close(worker: _Worker) -> None:
    code = worker.process.wait()
    said = last_words(worker.log)
    if code != 0 or not worker.stored:
        names = ", ".join(spec.name for spec in worker.specs[:3]) + (", ..." if len(worker.specs) > 3 else "")
        raise TrainingError(
            f"The process that trained {names} ended with exit status {code}.{said} "
            "What was finished before is stored; run the same command again to go on."
        )
