"""Lists a store's runs, checks them, and compares them with the same runs trained again: for `rlclaims store`."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from rlclaims.execution.cohorts import plan
from rlclaims.execution.train import execute
from rlclaims.store.files import DamagedError, read, read_json, sha256
from rlclaims.store.run_spec import RunSpec
from rlclaims.store.store import CHECKED, Store, read_measured
from rlclaims.studies.registry import length, study_files
from rlclaims.text import describe_bad_file

UNREADABLE = (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError)
"""Errors of reading a file that is missing or damaged."""


@dataclass(frozen=True)
class StoredRun:
    """A run's folder, as `rlclaims store ls` lists it."""

    folder: Path
    description: dict[str, Any]
    """Content of `run.json`; empty if it cannot be read."""
    bytes: int


def stored_runs(store: Store) -> Iterator[StoredRun]:
    """Yield all runs of a store, by name."""
    for folder in sorted((store.root / "runs").glob("[!.]*/")):
        try:
            description = read_json(folder / "run.json")
        except UNREADABLE:
            description = {}
        yield StoredRun(folder, description, size(folder))


def size(folder: Path) -> int:
    """Return the bytes of all files in a folder and below."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def problems(store: Store) -> Iterator[str]:
    """Yield what is wrong with a store's runs, a sentence each."""
    for folder in sorted((store.root / "runs").glob(".partial-*")):
        yield f"{folder.name}: half a run; unless a session is writing it now, it was broken off and can be deleted"
    for run in stored_runs(store):
        try:
            wrong = list(_wrong(run.folder))
        except UNREADABLE as error:
            wrong = [f"cannot be read ({describe_bad_file(error)})"]
        yield from (f"{run.folder.name}: {sentence}; pytest makes it again when a claim needs it" for sentence in wrong)


def _wrong(folder: Path) -> Iterator[str]:
    try:
        described = read_json(folder / "run.json")
    except DamagedError as error:
        yield f"run.json is not what was written ({error})"
        return
    digest, finished, iterations = described["digest"], described["status"] == "finished", described["iterations"]
    if not folder.name.endswith(digest[:32]):
        yield "run.json is of another run"
    whole = {}
    for checksum, name in CHECKED.items():
        try:
            content = read(folder / name)
            if sha256(content) != described[checksum]:
                raise DamagedError("its checksum is another")
            whole[name] = content
        except FileNotFoundError:
            yield f"{name} is gone"
        except DamagedError as error:
            yield f"{name} is not what was written ({error})"
    run = whole.get("run.safetensors")
    theta_KP = np.zeros(0) if run is None else safetensors.numpy.load(run)["theta_KP"]
    if run is not None and finished and (len(theta_KP) != iterations + 1 or not np.isfinite(theta_KP).all()):
        yield f"it has {len(theta_KP)} policies, of which some may not be finite, for {iterations} iterations"
    for path, study in study_files(folder):
        try:
            measured = read_measured(path, digest)
        except DamagedError as error:
            yield f"{path.name} is not what was written ({error})"
            continue
        for name, values in measured.series.items():
            expected = length(study, name, iterations)
            if finished and measured.failure is None and len(values) != expected:
                yield f"{path.name} has {len(values)} values of {name}, and should have {expected}"


def differences(specs: Sequence[RunSpec], store: Store) -> dict[RunSpec, list[str]]:
    """Train runs again, each alone in a process, and return what differs from the store in any bit, by run.

    Raises:
        TrainingError: one cannot be trained.
    """
    with tempfile.TemporaryDirectory() as folder:
        again = Store(Path(folder))
        again.prepare()
        for spec in specs:
            execute(plan([spec], again), again, 1, lambda _: None)
        return {spec: list(_differences(spec, store, again)) for spec in specs}


def _differences(spec: RunSpec, store: Store, again: Store) -> Iterator[str]:
    for file in CHECKED.values():
        fresh = safetensors.numpy.load_file(again.folder(spec) / file)
        try:
            arrays = safetensors.numpy.load_file(store.folder(spec) / file)
        except UNREADABLE as error:
            yield f"{file}, which cannot be read ({type(error).__name__}: {error})"
            return
        for name in sorted(arrays.keys() | fresh.keys()):
            if name not in arrays or name not in fresh:
                yield f"{name}, which is {'new' if name in fresh else 'in the store alone'}"
            elif not _same_bits(arrays[name], fresh[name]):
                yield f"{name}{_first_difference(arrays[name], fresh[name])}"
    try:
        before, now = store.measured(spec), again.measured(spec)
    except UNREADABLE as error:
        yield f"its measurements, which cannot be read ({type(error).__name__}: {error})"
        return
    if before.failure != now.failure:
        yield f"how it ended ({now.failure!r}, and in the store {before.failure!r})"
    yield from (name for name in now.series if before.series.get(name) != now.series[name])


def _same_bits(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    return one.shape == other.shape and one.tobytes() == other.tobytes()


def _first_difference(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> str:
    if one.shape != other.shape:
        return f" (shape {other.shape}, and in the store {one.shape})"
    rows = np.flatnonzero((one.view(np.uint8) != other.view(np.uint8)).reshape(len(one), -1).any(1))
    return f" (from row {rows[0]} of {len(one)})"
