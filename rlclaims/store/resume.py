"""Checkpoints of unfinished runs, from which interrupted training resumes.

    unfinished/PPO-Hopper-v5-seed3-1f0c.../at-40-9e2d....safetensors

There is one file per run: a run's state after 40 iterations does not depend on the runs that train beside it, so each
run can resume in any process and any cohort. The file's name contains its checksum, and its content names the run. It
is deleted once the run is in the store.
"""

import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from rlclaims.store.digest import measurement_digest
from rlclaims.store.files import DamagedError, quarantine, read, sha256, write
from rlclaims.store.run_spec import RunSpec
from rlclaims.store.store import Store, folder_name
from rlclaims.training import Cohort

KEEP_EVERY_SECONDS = 300.0
"""Seconds between a cohort's checkpoints, and before the first: the most that a kill can cost."""
SHARE = 0.02
"""Largest share of training time that checkpoints may take."""
_NAME = re.compile(r"at-(\d{1,9})-([0-9a-f]{64})\.safetensors")

Arrays = dict[str, npt.NDArray[Any]]


def unfinished(store: Store, spec: RunSpec) -> Path:
    """Return the folder of a run's checkpoint, which includes its measurements so far by the current code."""
    return store.root / "unfinished" / folder_name(spec, measurement_digest(spec))


def resume_point(store: Store, spec: RunSpec) -> tuple[int, Arrays]:
    """Return the iterations that a run has completed and the state to resume from; 0 and no state without a checkpoint.

    Damaged checkpoints are moved to quarantine and reported.
    """
    folder = unfinished(store, spec)
    for path in sorted(folder.glob("at-*"), key=_iteration, reverse=True):
        with suppress(FileNotFoundError):  # another process has finished it
            arrays = _read(path, spec)
            if arrays is not None:
                return _iteration(path), arrays
            store.quarantine(path, "is not a valid checkpoint of its run", "the run starts from its beginning")
    return 0, {}


def keep(store: Store, spec: RunSpec, iteration: int, arrays: Arrays) -> None:
    """Write a run's checkpoint, replacing the previous one.

    Raises:
        OSError: it cannot be written.
    """
    folder = unfinished(store, spec)
    if folder.is_symlink():
        quarantine(store.root, folder)
    folder.mkdir(parents=True, exist_ok=True)
    content = safetensors.numpy.save({**arrays, "of": _identity(spec, iteration)})
    path = folder / f"at-{iteration}-{sha256(content)}.safetensors"
    write(path, content)
    for other in folder.iterdir():
        if other != path:
            with suppress(OSError):  # another process may be training the same run
                other.unlink()


def forget(store: Store, spec: RunSpec) -> None:
    """Delete the checkpoint of a finished run."""
    shutil.rmtree(unfinished(store, spec), ignore_errors=True)
    with suppress(OSError):  # not empty while other runs are unfinished
        (store.root / "unfinished").rmdir()


def tidy(store: Store, specs: Iterable[RunSpec]) -> None:
    """Delete checkpoints of runs that are in the store, which a kill between storing and deleting leaves behind."""
    if os.path.exists(store.root / "unfinished"):  # noqa: PTH110  (False for an invalid name or an unreadable folder)
        for spec in specs:
            if unfinished(store, spec).exists() and store.has(spec):
                forget(store, spec)


def keeping(store: Store, specs: Sequence[RunSpec], cohort: Cohort, every_seconds: float) -> Callable[[], None]:
    """Return a callback for after each iteration, which writes the cohort's checkpoints when they are due."""
    due = time.monotonic() + every_seconds

    def after_iteration() -> None:
        nonlocal due
        started = time.monotonic()
        if started < due or cohort.iteration == cohort.iterations or not cohort.resumable:
            return
        with suppress(OSError):  # training goes on without checkpoints if, for example, the disk is full
            for i, spec in enumerate(specs):
                keep(store, spec, cohort.iteration, cohort.state_dict(i))
        ended = time.monotonic()
        due = ended + max(every_seconds, (ended - started) / SHARE if every_seconds else 0.0)

    return after_iteration


def _iteration(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else 0


def _identity(spec: RunSpec, iteration: int) -> npt.NDArray[np.uint8]:
    return np.frombuffer(f"{measurement_digest(spec)} {iteration}".encode(), np.uint8)


def _read(path: Path, spec: RunSpec) -> Arrays | None:
    """Return the arrays of a checkpoint; None if it is damaged or another run's.

    Raises:
        FileNotFoundError: it was deleted meanwhile.
    """
    match = _NAME.fullmatch(path.name)
    try:
        content = read(path)
    except FileNotFoundError:
        if path.is_symlink():
            return None
        raise
    except DamagedError:
        return None
    if match is None or sha256(content) != match[2]:
        return None
    try:
        arrays: Arrays = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, ValueError):  # possible even with a matching checksum
        return None
    return arrays if np.array_equal(arrays.pop("of", np.zeros(0)), _identity(spec, int(match[1]))) else None
