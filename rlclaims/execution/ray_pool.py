"""Worker processes on the nodes of a Ray cluster: a task that takes one core runs each and passes its messages on.

Ray itself restarts nothing. A task that is lost, with its worker or its node, is submitted again by this module, which
knows the results that were received; runs that the store has are not trained again. A node that rounds differently from
this machine is excluded.
"""

import json
import logging
import os
import re
import secrets
import socket
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from queue import Queue
from typing import Any

from rlclaims.execution.pool import Messages, TrainingError, WorkItem, completes_job
from rlclaims.execution.ray_task import run_on_node
from rlclaims.execution.worker_process import job_text
from rlclaims.store.rounding import arithmetic
from rlclaims.store.run_spec import RunSpec, SpecError
from rlclaims.store.store import Store

MOST_LOSSES = 5
"""Losses of one work item after which no node is expected to be able to do it."""
KILLED = (-9, -15)
"""Exit statuses of processes that were killed from outside: for lack of memory, or with their node."""
OBJECT_STORE_BYTES = 80 * 2**20
"""Size of the object store of a cluster on this machine alone; messages are lines of text."""
REACHED_SECONDS = 10.0
"""Time within which a running cluster accepts a connection."""
SEEN_SECONDS = 90.0
"""Longest time until files of another node are visible on a shared file system."""

Warn = Callable[[str], None]


@dataclass
class _Task:
    """A work item and its state."""

    place: int
    item: WorkItem
    skip: int = 0
    """Number of its jobs whose results were received."""
    losses: int = 0
    node: str = ""
    """Name of its node, once it has started."""
    node_id: str = ""
    rounding: str | None = None
    """The rounding of its node, if it differs from this machine's."""
    exit: dict[str, Any] = field(default_factory=dict)
    """The message on how its process ended, once it has."""


class RayPool:
    """Worker processes on the nodes of a cluster.

    It is the cluster at `RAY_ADDRESS`, or one started on this machine, or else a new one of this machine alone.

    Args:
        store: the store, on a file system that all nodes share.
        cores: cores of this machine, for a cluster of its own.
        warn: called with a sentence when a node is lost or excluded.

    Raises:
        SpecError: the cluster cannot be reached, or the store's mark cannot be read.
    """

    def __init__(self, store: Store, cores: int, warn: Warn = lambda _: None) -> None:
        self._store = store
        self._warn = warn
        self._excluded: dict[str, str] = {}  # how these nodes round, by their ids
        with _quiet():
            self._mine = not _ray().is_initialized()
        if store.root.is_dir():  # otherwise a dry run only asks for the number of cores
            _ = self._mark
        if self._mine:
            _connect(cores)

    @cached_property
    def _mark(self) -> str:
        """Content of the file that nodes recognise the store by."""
        return read_mark(self._store.root)

    def close(self) -> None:
        """Leave the cluster, and shut it down if it is of this machine alone."""
        if self._mine:
            with _quiet():
                _ray().shutdown()

    @property
    def cores(self) -> int:
        """Number of cores of the cluster at present."""
        return max(1, int(_ray().cluster_resources().get("CPU", 0)))

    def seen(self, missing: Callable[[], Sequence[RunSpec]]) -> Sequence[RunSpec]:
        """Return runs that are not visible in the store: files of other nodes may take some time to appear in it."""
        until = time.monotonic() + SEEN_SECONDS
        while left := missing():
            if time.monotonic() > until:
                break
            time.sleep(0.5)
            os.listdir(self._store.root / "runs")  # noqa: PTH208  (makes a network file system look again)
        return left

    def run(self, module: str, items: Sequence[WorkItem], at_once: int) -> Messages:
        """Run as `rlclaims.execution.pool.WorkerPool.run` describes.

        Raises:
            TrainingError: a process died by its own fault, was lost too often, or no node can do a work item.
        """
        ray = _ray()
        lines: Queue[tuple[_Task, str | BaseException | None]] = Queue()
        waiting = deque(_Task(place, item) for place, item in enumerate(items))
        working: dict[int, tuple[Any, threading.Thread]] = {}

        def listen(task: _Task, refs: Any) -> None:
            try:
                for ref in refs:
                    lines.put((task, ray.get(ref)))
                lines.put((task, None))
            except BaseException as error:
                lines.put((task, error))

        try:
            while waiting or working:
                while waiting and len(working) < at_once:
                    task = waiting.popleft()
                    refs = self._submit(module, task)
                    thread = threading.Thread(target=listen, args=(task, refs), daemon=True)
                    working[task.place] = refs, thread
                    thread.start()
                task, line = lines.get()
                if isinstance(line, str):
                    yield from self._receive(task, json.loads(line))
                    continue
                del working[task.place]
                if line is None and task.exit.get("code") == 0 and task.rounding is None:
                    yield task.place, {"exited": task.exit["summary"]}
                    continue
                yield task.place, {"lost": self._lost(task, line)}
                waiting.appendleft(task)
        finally:
            for refs, _ in working.values():
                with suppress(Exception):
                    ray.cancel(refs, force=True)
            for _, thread in working.values():
                thread.join(timeout=10)

    def _submit(self, module: str, task: _Task) -> Any:
        ray = _ray()
        others = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] not in self._excluded]
        if self._excluded and not any(node["Resources"].get("CPU", 0) >= 1 for node in others):
            theirs = ", ".join(sorted(set(self._excluded.values())))
            raise TrainingError(
                f"No node of the Ray cluster rounds as this machine does ({theirs} there, {arithmetic()} here), so its "
                "runs would differ: start the command on a machine like the nodes."
            )
        if not any(node["Resources"].get("CPU", 0) >= 1 for node in others):
            self._warn("rlclaims: the Ray cluster has no node with a core now; waiting for one.")
        task.node = ""
        task.node_id = ""
        task.rounding = None
        task.exit = {}
        payload = {**task.item.payload, "skip": task.skip}
        where = {"ray.io/node-id": f"!in({','.join(self._excluded)})"} if self._excluded else None
        remote = ray.remote(run_on_node).options(
            num_cpus=1,
            num_returns="streaming",
            max_retries=0,
            label_selector=where,
            name=f"rlclaims: {task.item.specs[0].name}",
        )
        return remote.remote(module, job_text(task.item.specs, payload), self._mark)

    def _receive(self, task: _Task, message: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
        if "node" in message:
            task.node = message["node"]
            task.node_id = message["node_id"]
        elif "refused" in message:
            raise TrainingError(message["refused"])
        elif "rounding" in message:
            task.rounding = message["rounding"]
        elif "code" in message:
            code = message["code"]
            if code != 0 and code not in KILLED:
                sentence = task.item.describe_failure(code, message["summary"])
                raise TrainingError(f"{sentence} (Ray node {task.node})")
            task.exit = message
        else:
            task.skip += completes_job(message)
            yield task.place, message

    def _lost(self, task: _Task, error: BaseException | None) -> str:
        """Return why a task is submitted again.

        Raises:
            TrainingError: it is not submitted again.
        """
        ray = _ray()
        who = task.item.specs[0].name
        where = f" on {task.node}" if task.node else ""
        if task.rounding is not None:
            self._excluded[task.node_id] = task.rounding
            why = (
                f"The Ray node {task.node} rounds differently ({task.rounding}) from this machine ({arithmetic()}), so "
                "its runs would differ; it gets no more of them."
            )
            self._warn(f"rlclaims: {why}")
            return why
        if isinstance(error, ray.exceptions.RayTaskError) or not isinstance(error, ray.exceptions.RayError | None):
            raise TrainingError(f"The Ray task of {who}{where} failed. Its last output: {_last_line(error)}.") from None
        task.losses += 1
        how = type(error).__name__ if error is not None else f"its process was killed, {task.exit.get('code')}"
        if task.losses > MOST_LOSSES:
            raise TrainingError(
                f"The Ray task of {who} and other runs was lost {task.losses} times, the last time{where} ({how}). "
                "Finished runs are stored; run the same command again to resume."
            )
        why = f"A Ray task of {who} and other runs was lost{where} ({how}); its unfinished work starts again."
        self._warn(f"rlclaims: {why}")
        return why


def _last_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1].rstrip(".")


def _ray() -> Any:
    import ray

    return ray


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress warnings that Ray raises about itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_mark(root: Path) -> str:
    """Return the content of a store's file `mark`, by which nodes recognise it; write the file if it is missing.

    Raises:
        SpecError: the file cannot be written or read.
    """
    path = root / "mark"
    new = root / f".mark-{secrets.token_hex(8)}"
    try:
        if not path.exists():
            new.write_text(secrets.token_hex(16))
            try:
                path.hardlink_to(new)
            except FileExistsError:  # another session was faster
                pass
            except OSError:  # a file system without such links
                new.rename(path)
            new.unlink(missing_ok=True)
        return path.read_text()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise SpecError(
            f"{path}, by which nodes recognise the store, cannot be read or written ({why}): move away what is in "
            "its place, or choose another folder with --claims-store DIR or RLCLAIMS_STORE."
        ) from None


def _connect(cores: int) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    given = os.environ.get("RAY_ADDRESS", "")
    if given.startswith("ray://"):
        raise SpecError(
            f"RAY_ADDRESS is {given}, a Ray client's address: start the command on a node of the cluster, with the "
            "address that ray start printed, or without RAY_ADDRESS."
        )
    address = _started_here() if given in ("", "auto") else given
    local = given == "local" or (not given and address is None)
    with _quiet():
        init = partial(_ray().init, log_to_driver=False, logging_level=logging.ERROR)
        if local:
            init(address="local", num_cpus=cores, include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES)
            return
        try:
            if address is None:
                raise ConnectionError("none was started on this machine")
            _reach(address)
            # Ray finds the token of a cluster that was started here by itself.
            init(address=None if given in ("", "auto") else address)
        except (OSError, ValueError, RuntimeError, _ray().exceptions.RayError) as error:
            raise SpecError(
                f"The Ray cluster at {f'RAY_ADDRESS={given}' if given else address} cannot be reached "
                f"({_last_line(error)}); check by ray status whether it is running. RAY_ADDRESS=local starts one "
                "of this machine alone."
            ) from None


def _started_here() -> str | None:
    """Return the address of a running cluster that `ray start` started on this machine, or None."""
    try:
        address = (Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray" / "ray_current_cluster").read_text().strip()
        _reach(address)
    except (OSError, ValueError):
        return None
    return address


def _reach(address: str) -> None:
    """Check that an address accepts connections; Ray itself would try for minutes."""
    place = re.fullmatch(r"\[?(.+?)\]?:(\d+)", address)
    if place is None:
        raise ValueError("an address is HOST:PORT")
    socket.create_connection((place[1], int(place[2])), REACHED_SECONDS).close()
