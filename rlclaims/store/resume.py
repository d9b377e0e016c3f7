"""Where unfinished runs stand, kept now and then, so that training that was killed goes on from there.

    unfinished/PPO-Hopper-v5-seed3-1f0c.../at-40-9e2d....safetensors

One file for each run, as its state after 40 iterations is the same in any company: whatever processes there are
afterwards, and whatever runs each of them is given, every run goes on from its own. The name of a file has its
checksum, and the file tells its run. It is gone when the run is in the store.
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
from rlclaims.store.files import DamagedError, read, set_aside, sha256, write
from rlclaims.store.run_spec import RunSpec
from rlclaims.store.store import Store, folder_name
from rlclaims.training import Cohort

KEEP_EVERY_SECONDS = 300.0
"""Between two times that a cohort's state is kept, and before the first: what a kill can cost. Short ones keep none."""
SHARE = 0.02
"""Of a training's time that keeping may take, at the most."""
_NAME = re.compile(r"at-(\d{1,9})-([0-9a-f]{64})\.safetensors")

Arrays = dict[str, npt.NDArray[Any]]


def unfinished(store: Store, spec: RunSpec) -> Path:
    """The folder of where an unfinished run stands. What was measured so far is part of it, by today's code."""
    return store.root / "unfinished" / folder_name(spec, measurement_digest(spec))


def resume_point(store: Store, spec: RunSpec) -> tuple[int, Arrays]:
    """Where a run goes on from: after how many iterations, and from what; after none if nothing was kept.

    What is not what was kept is set aside, and told.
    """
    folder = unfinished(store, spec)
    for path in sorted(folder.glob("at-*"), key=_iteration, reverse=True):
        with suppress(FileNotFoundError):  # another process has finished it
            arrays = _read(path, spec)
            if arrays is not None:
                return _iteration(path), arrays
            store.put_aside(path, "is not what was kept of an unfinished run", "the run starts from its beginning")
    return 0, {}


def keep(store: Store, spec: RunSpec, iteration: int, arrays: Arrays) -> None:
    """Keep where a run stands, instead of where it stood before.

    Raises:
        OSError: it cannot be written.
    """
    folder = unfinished(store, spec)
    if folder.is_symlink():
        set_aside(store.root, folder)
    folder.mkdir(parents=True, exist_ok=True)
    content = safetensors.numpy.save({**arrays, "of": _of(spec, iteration)})
    path = folder / f"at-{iteration}-{sha256(content)}.safetensors"
    write(path, content)
    for other in folder.iterdir():
        if other != path:
            with suppress(OSError):  # another process may be at the same run
                other.unlink()


def forget(store: Store, spec: RunSpec) -> None:
    """Delete where a run stood, which is finished."""
    shutil.rmtree(unfinished(store, spec), ignore_errors=True)
    with suppress(OSError):  # others are in it
        (store.root / "unfinished").rmdir()


def tidy(store: Store, specs: Iterable[RunSpec]) -> None:
    """Delete where those of the runs stood that the store has: a kill may come after the one and before the other."""
    if os.path.exists(store.root / "unfinished"):  # noqa: PTH110  (of a name that is none, or a closed folder, False)
        for spec in specs:
            if unfinished(store, spec).exists() and store.has(spec):
                forget(store, spec)


def keeping(store: Store, specs: Sequence[RunSpec], cohort: Cohort, every_seconds: float) -> Callable[[], None]:
    """What keeps a cohort's runs, called after each iteration; it does so when it is time, if that can be done."""
    due = time.monotonic() + every_seconds

    def after_iteration() -> None:
        nonlocal due
        begun = time.monotonic()
        if begun < due or cohort.iteration == cohort.iterations or not cohort.resumable:
            return
        with suppress(OSError):  # a full disk, say, ends no training that may come to its end
            for i, spec in enumerate(specs):
                keep(store, spec, cohort.iteration, cohort.state_dict(i))
        ended = time.monotonic()
        due = ended + max(every_seconds, (ended - begun) / SHARE if every_seconds else 0.0)

    return after_iteration


def _iteration(path: Path) -> int:
    named = _NAME.fullmatch(path.name)
    return int(named[1]) if named else 0


def _of(spec: RunSpec, iteration: int) -> npt.NDArray[np.uint8]:
    return np.frombuffer(f"{measurement_digest(spec)} {iteration}".encode(), np.uint8)


def _read(path: Path, spec: RunSpec) -> Arrays | None:
    """What was kept; None if this is not it.

    Raises:
        FileNotFoundError: it is gone.
    """
    named = _NAME.fullmatch(path.name)
    try:
        content = read(path)
    except FileNotFoundError:
        if path.is_symlink():
            return None
        raise
    except DamagedError:
        return None
    if named is None or sha256(content) != named[2]:
        return None
    try:
        arrays: Arrays = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, ValueError):  # somebody has made a checksum of it
        return None
    return arrays if np.array_equal(arrays.pop("of", np.zeros(0)), _of(spec, int(named[1]))) else None
