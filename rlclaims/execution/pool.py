"""Processes that do a job in shares, and what all have in common that make something of finished runs."""

import json
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from queue import Queue
from typing import IO, Any, Protocol

from rlclaims.execution.child_process import Child, end, failure_summary, kill
from rlclaims.execution.worker_process import start
from rlclaims.store.rounding import arithmetic
from rlclaims.store.run_spec import RunSpec
from rlclaims.store.store import Store
from rlclaims.studies.registry import Studied


class TrainingError(RuntimeError):
    """A training process ended before its runs did; finished runs are stored."""


@dataclass(frozen=True)
class WorkItem:
    """What one process does of a job."""

    specs: Sequence[RunSpec]
    """The runs that it is about."""
    told: dict[str, Any]
    """What else it is told, as plain data."""
    broken: Callable[[int, str], str]
    """The sentence on a process that died, by its exit status and last words."""


def is_item(answer: Mapping[str, Any]) -> bool:
    """Whether an answer is one of the things that a job is made of, and not on how it fares."""
    return answer.keys().isdisjoint(("iteration", "steps", "stored", "told", "broken", "unlike"))


Messages = Generator[tuple[int, dict[str, Any]], None, None]
"""The place of a share, and an answer. All that works on it is ended when this is closed, and by Ctrl-C."""


class WorkerPool(Protocol):
    """Who runs such processes."""

    def answers(self, module: str, shares: Sequence[WorkItem], at_once: int) -> Messages:
        """Run a module in one process for each share of a job.

        Args:
            module: what is run; it answers one JSON object a line.
            shares: what each process is to do.
            at_once: how many of them run at a time.

        Yields:
            What the processes answer; {"lost": why} where one was lost by no fault of its own, and another takes up its
            share, told to "skip" the items that answers were heard of (`is_item`); {"ended": last words} of each, last.

        Raises:
            TrainingError: a process died; the others are killed.
        """
        ...

    def seen(self, missing: Callable[[], Sequence[RunSpec]]) -> Sequence[RunSpec]:
        """What is missing in the store when all that was stored shows there."""
        ...

    @property
    def cores(self) -> int:
        """How many processes it can run at a time."""
        ...

    def close(self) -> None:
        """Let it go."""
        ...


class LocalPool:
    """Processes of this machine."""

    def answers(self, module: str, shares: Sequence[WorkItem], at_once: int) -> Messages:
        """As `WorkerPool` has it; none is lost here."""
        lines: Queue[tuple[int, str | None]] = Queue()

        def listen(place: int, stdout: IO[str]) -> None:
            for line in stdout:
                lines.put((place, line))
            lines.put((place, None))

        waiting, working = deque(enumerate(shares)), dict[int, Child]()
        with ExitStack() as closing:
            while waiting or working:
                while waiting and len(working) < at_once:
                    place, share = waiting.popleft()
                    working[place] = child = start(module, share.specs, **share.told)
                    listener = threading.Thread(target=listen, args=(place, child[0].stdout), daemon=True)
                    closing.callback(_end, child, listener)  # if another one failed, or there was Ctrl-C
                    listener.start()
                place, line = lines.get()
                if line is None:
                    yield place, {"ended": _last(working.pop(place), shares[place])}
                    continue
                answer = json.loads(line)
                if "unlike" in answer:
                    raise TrainingError(
                        f"A process of this machine rounds otherwise ({answer['unlike']}) than this one "
                        f"({arithmetic()}): what compiles its kernels, or its environment, has changed since. Run the "
                        "same command again."
                    )
                yield place, answer

    def seen(self, missing: Callable[[], Sequence[RunSpec]]) -> Sequence[RunSpec]:
        """At once."""
        return missing()

    @property
    def cores(self) -> int:
        """Those that this process may use."""
        return cores()

    def close(self) -> None:
        """Nothing is kept."""


def cores() -> int:
    """Cores of this machine that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _end(child: Child, listener: threading.Thread) -> None:
    kill(child[0])
    if listener.ident is not None:  # it reads what is closed next
        listener.join()
    end(child)


def _last(child: Child, share: WorkItem) -> str:
    process, log = child
    code, words = process.wait(), failure_summary(log)
    end(child)
    if code != 0:
        raise TrainingError(share.broken(code, words))
    return words


def of_finished(missing: Sequence[Studied], store: Store) -> list[Studied]:
    """Those whose runs are finished; of a failed run, put its failure into the store instead."""
    finished = []
    for run, study in missing:
        failure = store.measured(run).failure
        if failure is None:
            finished.append((run, study))
        else:
            store.put_study(run, study, failure, {})
    return finished
