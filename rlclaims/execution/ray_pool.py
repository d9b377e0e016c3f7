"""Processes on the nodes of a Ray cluster: each is run by a task that takes a core, and passes its answers on.

Ray restarts nothing by itself. A task that is lost, with its worker or its node, is handed out again here, where it is
known which answers were heard; what the store has is not trained again. A node that rounds otherwise than this machine
is set aside.
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

from rlclaims.execution.pool import Messages, TrainingError, WorkItem, is_item
from rlclaims.execution.ray_task import attend
from rlclaims.execution.worker_process import job_text
from rlclaims.store.rounding import arithmetic
from rlclaims.store.run_spec import RunSpec, SpecError
from rlclaims.store.store import Store

MOST_LOSSES = 5
"""Of one share, before it is taken for one that no node can do."""
KILLED = (-9, -15)
"""Exit statuses of processes that others ended: for want of memory, or as a node is taken away."""
OBJECT_STORE_BYTES = 80 * 2**20
"""Of a cluster on this machine alone; answers are lines of text."""
REACHED_SECONDS = 10.0
"""Within which a cluster answers that is there."""
SEEN_SECONDS = 90.0
"""Until what another node wrote shows on a shared file system, at the most."""

Tell = Callable[[str], None]


@dataclass
class _Task:
    """A share, and how it fares."""

    place: int
    share: WorkItem
    skip: int = 0
    """Answers that were heard of it, which need not be given again."""
    losses: int = 0
    node: str = ""
    """By name, once it has begun."""
    node_id: str = ""
    unlike: str | None = None
    """How its node rounds, if otherwise than this machine."""
    last: dict[str, Any] = field(default_factory=dict)
    """How its process ended, once it has."""


class RayPool:
    """Processes on the nodes of a cluster.

    That is the one at `RAY_ADDRESS`, or that was started on this machine, or else one of this machine alone.

    Args:
        store: where runs go, on a file system that all nodes share.
        cores: of this machine, for a cluster of its own.
        tell: is told a sentence when a node is lost or set aside.

    Raises:
        SpecError: its cluster cannot be reached, or what nodes know the store by cannot be read.
    """

    def __init__(self, store: Store, cores: int, tell: Tell = lambda _: None) -> None:
        self._store, self._tell = store, tell
        self._set_aside: dict[str, str] = {}  # how these nodes round, by their ids
        with _quiet():
            self._mine = not _ray().is_initialized()
        if store.root.is_dir():  # else what is asked is how many cores there are, for a dry run
            _ = self._mark
        if self._mine:
            _connect(cores)

    @cached_property
    def _mark(self) -> str:
        """What the store is known by on other nodes."""
        return _marked(self._store.root)

    def close(self) -> None:
        """Leave the cluster, and end it if it is of this machine alone."""
        if self._mine:
            with _quiet():
                _ray().shutdown()

    @property
    def cores(self) -> int:
        """Of the cluster as it is now."""
        return max(1, int(_ray().cluster_resources().get("CPU", 0)))

    def seen(self, missing: Callable[[], Sequence[RunSpec]]) -> Sequence[RunSpec]:
        """Runs that do not show in the store, after a while: it may take some until what another node wrote does."""
        until = time.monotonic() + SEEN_SECONDS
        while left := missing():
            if time.monotonic() > until:
                break
            time.sleep(0.5)
            os.listdir(self._store.root / "runs")  # noqa: PTH208  (asks a network file system anew)
        return left

    def answers(self, module: str, shares: Sequence[WorkItem], at_once: int) -> Messages:
        """As `rlclaims.execution.pool.Crew` has it.

        Raises:
            TrainingError: a process died by its own fault, was lost too often, or no node can do a share.
        """
        ray = _ray()
        lines: Queue[tuple[_Task, str | BaseException | None]] = Queue()
        waiting = deque(_Task(place, share) for place, share in enumerate(shares))
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
                    refs = self._hand_out(module, task)
                    thread = threading.Thread(target=listen, args=(task, refs), daemon=True)
                    working[task.place] = refs, thread
                    thread.start()
                task, said = lines.get()
                if isinstance(said, str):
                    yield from self._heard(task, json.loads(said))
                    continue
                del working[task.place]
                if said is None and task.last.get("code") == 0 and task.unlike is None:
                    yield task.place, {"ended": task.last["words"]}
                    continue
                yield task.place, {"lost": self._lost(task, said)}
                waiting.appendleft(task)
        finally:
            for refs, _ in working.values():
                with suppress(Exception):
                    ray.cancel(refs, force=True)
            for _, thread in working.values():
                thread.join(timeout=10)

    def _hand_out(self, module: str, task: _Task) -> Any:
        ray = _ray()
        others = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] not in self._set_aside]
        if self._set_aside and not any(node["Resources"].get("CPU", 0) >= 1 for node in others):
            theirs = ", ".join(sorted(set(self._set_aside.values())))
            raise TrainingError(
                f"No node of the Ray cluster rounds as this machine does ({theirs} there, {arithmetic()} here), so "
                "that its runs would be others: start the command on a machine of the kind that trains."
            )
        if not any(node["Resources"].get("CPU", 0) >= 1 for node in others):
            self._tell("rlclaims: the Ray cluster has no node with a core now; waiting for one.")
        task.node, task.node_id, task.unlike, task.last = "", "", None, {}
        told = {**task.share.told, "skip": task.skip}
        where = {"ray.io/node-id": f"!in({','.join(self._set_aside)})"} if self._set_aside else None
        remote = ray.remote(attend).options(
            num_cpus=1,
            num_returns="streaming",
            max_retries=0,
            label_selector=where,
            name=f"rlclaims: {task.share.specs[0].name}",
        )
        return remote.remote(module, job_text(task.share.specs, told), self._mark)

    def _heard(self, task: _Task, answer: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
        if "node" in answer:
            task.node, task.node_id = answer["node"], answer["node_id"]
        elif "refused" in answer:
            raise TrainingError(answer["refused"])
        elif "unlike" in answer:
            task.unlike = answer["unlike"]
        elif "code" in answer:
            if answer["code"] != 0 and answer["code"] not in KILLED:
                raise TrainingError(task.share.broken(answer["code"], answer["words"]) + f" (Ray node {task.node})")
            task.last = answer
        else:
            task.skip += is_item(answer)
            yield task.place, answer

    def _lost(self, task: _Task, error: BaseException | None) -> str:
        """Why a task is to be handed out again.

        Raises:
            TrainingError: it is not.
        """
        ray, who = _ray(), task.share.specs[0].name
        where = f" on {task.node}" if task.node else ""
        if task.unlike is not None:
            self._set_aside[task.node_id] = task.unlike
            why = (
                f"The Ray node {task.node} rounds otherwise ({task.unlike}) than this machine ({arithmetic()}), so "
                "that its runs would be others; it gets no more of them."
            )
            self._tell(f"rlclaims: {why}")
            return why
        if isinstance(error, ray.exceptions.RayTaskError) or not isinstance(error, ray.exceptions.RayError | None):
            raise TrainingError(f"The Ray task of {who}{where} failed. Its last words: {_last_line(error)}.") from None
        task.losses += 1
        how = type(error).__name__ if error is not None else f"its process was killed, {task.last.get('code')}"
        if task.losses > MOST_LOSSES:
            raise TrainingError(
                f"The Ray task of {who} and its like was lost {task.losses} times, at last{where} ({how}). What was "
                "finished before is stored; run the same command again to go on."
            )
        why = f"A Ray task of {who} and its like was lost{where} ({how}); what it had not finished begins again."
        self._tell(f"rlclaims: {why}")
        return why


def _last_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1].rstrip(".")


def _ray() -> Any:
    import ray

    return ray


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what Ray says of its own affairs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _marked(root: Path) -> str:
    """What a store is known by on other nodes, as its file `mark` has it.

    Raises:
        SpecError: it cannot be written or read.
    """
    path, new = root / "mark", root / f".mark-{secrets.token_hex(8)}"
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
        why = getattr(error, "strerror", None) or "it is no text"
        raise SpecError(
            f"{path}, by which nodes know the store, cannot be read or written ({why}): move away what is in its "
            "place, or choose another folder with --claims-store DIR or RLCLAIMS_STORE."
        ) from None


def _connect(cores: int) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    given = os.environ.get("RAY_ADDRESS", "")
    if given.startswith("ray://"):
        raise SpecError(
            f"RAY_ADDRESS is {given}, a client's: start the command on a node of the cluster, with the address that "
            "ray start told, or without RAY_ADDRESS."
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
            # Of one that was started here, Ray finds the token by itself, if it has one.
            init(address=None if given in ("", "auto") else address)
        except (OSError, ValueError, RuntimeError, _ray().exceptions.RayError) as error:
            raise SpecError(
                f"The Ray cluster at {f'RAY_ADDRESS={given}' if given else address} cannot be reached "
                f"({_last_line(error)}); ray status tells whether it runs. With RAY_ADDRESS=local, one of this machine "
                "alone is started."
            ) from None


def _started_here() -> str | None:
    """The address of a cluster that `ray start` started on this machine, and that has not ended since."""
    try:
        address = (Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray" / "ray_current_cluster").read_text().strip()
        _reach(address)
    except (OSError, ValueError):
        return None
    return address


def _reach(address: str) -> None:
    """See that something answers there; Ray itself would try for minutes."""
    place = re.fullmatch(r"\[?(.+?)\]?:(\d+)", address)
    if place is None:
        raise ValueError("an address is HOST:PORT")
    socket.create_connection((place[1], int(place[2])), REACHED_SECONDS).close()
