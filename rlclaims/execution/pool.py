"""Pools of worker processes, which work through a list of work items."""

import json
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from queue import Queue
from typing import IO, Any, Protocol

from rlclaims.execution.child_process import Child, failure_summary, kill, reap
from rlclaims.execution.worker_process import start
from rlclaims.store.rounding import arithmetic
from rlclaims.store.run_spec import RunSpec


class TrainingError(RuntimeError):
    """A worker process that exited before its work was done; finished runs are stored."""


@dataclass(frozen=True)
class WorkItem:
    """The work of one process."""

    specs: Sequence[RunSpec]
    """Runs that it is about."""
    payload: dict[str, Any]
    """The rest of its job, as plain data."""
    describe_failure: Callable[[int, str], str]
    """The sentence on a process that died, from its exit status and failure summary."""


def completes_job(message: Mapping[str, Any]) -> bool:
    """Return whether a message is the result of one of the jobs in a work item, and not about its progress."""
    return "job" in message


Messages = Generator[tuple[int, dict[str, Any]], None, None]
"""The place of a work item, and a message. Closing it kills all processes, as Ctrl-C does."""


class WorkerPool(Protocol):
    """Runs worker processes."""

    def run(self, module: str, items: Sequence[WorkItem], at_once: int) -> Messages:
        """Run a module in one process for each work item.

        Args:
            module: the module to run; it writes one JSON object a line.
            items: the work of each process.
            at_once: number of processes at a time.

        Yields:
            The messages of the processes; {"lost": why} if one was lost through no fault of its own, when another takes
            over its item, told to "skip" the jobs whose results were received (`completes_job`); and {"exited": failure
            summary} as the last of each.

        Raises:
            TrainingError: a process died; the others are killed.
        """
        ...

    def seen(self, missing: Callable[[], Sequence[RunSpec]]) -> Sequence[RunSpec]:
        """Return the runs that the store lacks, once everything that was stored is visible in it."""
        ...

    @property
    def cores(self) -> int:
        """Number of processes it can run at a time."""
        ...

    def close(self) -> None:
        """Release its resources."""
        ...


class LocalPool:
    """Worker processes on this machine."""

    def run(self, module: str, items: Sequence[WorkItem], at_once: int) -> Messages:
        """Run as `WorkerPool.run` describes; no process is lost here."""
        lines: Queue[tuple[int, str | None]] = Queue()

        def listen(place: int, stdout: IO[str]) -> None:
            for line in stdout:
                lines.put((place, line))
            lines.put((place, None))

        waiting = deque(enumerate(items))
        working = dict[int, Child]()
        with ExitStack() as closing:
            while waiting or working:
                while waiting and len(working) < at_once:
                    place, item = waiting.popleft()
                    working[place] = child = start(module, item.specs, **item.payload)
                    listener = threading.Thread(target=listen, args=(place, child[0].stdout), daemon=True)
                    closing.callback(_stop, child, listener)  # needed if another one failed, or on Ctrl-C
                    listener.start()
                place, line = lines.get()
                if line is None:
                    yield place, {"exited": _wait(working.pop(place), items[place])}
                    continue
                message = json.loads(line)
                if "rounding" in message:
                    raise TrainingError(
                        f"A worker process on this machine rounds differently ({message['rounding']}) from this one "
                        f"({arithmetic()}): the compiler of its kernels, or its environment, has changed since. Run "
                        "the same command again."
                    )
                yield place, message

    def seen(self, missing: Callable[[], Sequence[RunSpec]]) -> Sequence[RunSpec]:
        """Return them at once: this machine sees its own files."""
        return missing()

    @property
    def cores(self) -> int:
        """Number of cores that this process may use."""
        return cores()

    def close(self) -> None:
        """Do nothing: there are no resources between calls."""


def cores() -> int:
    """Return the number of cores of this machine that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _stop(child: Child, listener: threading.Thread) -> None:
    kill(child[0])
    if listener.ident is not None:  # it reads the stream that is closed next
        listener.join()
    reap(child)


def _wait(child: Child, item: WorkItem) -> str:
    """Return the failure summary of a process that has closed its output.

    Raises:
        TrainingError: its exit status is not 0.
    """
    process, log = child
    code = process.wait()
    summary = failure_summary(log)
    reap(child)
    if code != 0:
        raise TrainingError(item.describe_failure(code, summary))
    return summary
