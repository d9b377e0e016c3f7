"""The store: one folder per finished run, named by its digest; anything may fill it, judging reads it.

    runs/PPO-Hopper-v5-seed3-1f0c.../
        run.json             what the run is, how it ended, on what it was made
        run.safetensors      theta before and after every update, how observations were normalised, episodes
        starts.safetensors   what else four of the updates started from, and the pairs around them
        measured-9ab2.json   the measures' series, one file per version of the measuring code
        twins-71ce.json      what these four updates are with mechanisms switched, once a claim has asked
        landscapes-04bd.json and so on: whatever else claims ask of finished runs (`rlclaims.study.studies`)

A run's folder is written under a temporary name and renamed, so that there is never half of one; the measurements of
a run whose folder is there already are added to it, file by file, in the same way. JSON and safetensors: nothing that
is read back can execute.
"""

import hashlib
import json
import os
import platform
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from rlclaims.checkpoints import History, Start, arrays_of, start_from
from rlclaims.study.arithmetic import arithmetic
from rlclaims.study.digest import library_versions, measurement_digest, run_digest, study_digest
from rlclaims.study.spec import RunSpec, SpecError
from rlclaims.study.studies import Study
from rlclaims.training import RunRecord

FORMAT = 1
CHECKED = {"sha256": "run.safetensors", "starts_sha256": "starts.safetensors"}
"""By which entry of `run.json` damage to a file is told."""
STATISTICS = ("offset_KO", "inverse_std_KO")
"""What observations were normalised by when each update was made, by the names of their arrays."""
UNREADABLE = (OSError, ValueError, KeyError, TypeError)
"""What reading measurements raises where there are none, or other ones than were written."""


@dataclass(frozen=True)
class Measured:
    """A run's measurements."""

    failure: str | None
    """Why the run failed, or None."""
    series: dict[str, list[float]]
    """Measures by name; one value per iteration measured."""


class Store:
    """A folder of finished runs."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser()

    def prepare(self) -> None:
        """Make the store's folder and see that it can be written.

        Raises:
            SpecError: it can not.
        """
        try:
            new = not self.root.exists()
            (self.root / "runs").mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root / "runs"):
                pass
            if new:  # in a folder that was there, git may have other things to see
                (self.root / ".gitignore").write_text("*\n")
        except OSError as error:
            raise SpecError(
                f"The store {self.root} cannot be written ({error.strerror or error}); choose another folder with "
                "--claims-store DIR or RLCLAIMS_STORE."
            ) from None

    def folder(self, spec: RunSpec) -> Path:
        """Where a run lies or would lie."""
        return self.root / "runs" / f"{spec.name}-{run_digest(spec)[:32]}"

    def measurements(self, spec: RunSpec) -> Path:
        """Where today's measurements of a run lie or would lie."""
        return self.folder(spec) / f"measured-{measurement_digest(spec)[:32]}.json"

    def has(self, spec: RunSpec) -> bool:
        """Whether the run and today's measurements of it are here, and can be read."""
        try:
            self.measured(spec)
        except UNREADABLE:
            return False
        return True

    def measured(self, spec: RunSpec) -> Measured:
        """The measurements of a run that is here.

        Raises:
            OSError, ValueError, KeyError, TypeError: they are not, or are not what was written.
        """
        return _read_measured(self.measurements(spec))

    def study_file(self, spec: RunSpec, study: Study) -> Path:
        """Where what today's code derives from a run lies or would lie."""
        return self.folder(spec) / f"{study.name}-{study_digest(spec, study)[:32]}.json"

    def study(self, spec: RunSpec, study: Study) -> Measured:
        """What was derived from a run that is here.

        Raises:
            OSError, ValueError, KeyError, TypeError: it is not here, or is not what was written.
        """
        return _read_measured(self.study_file(spec, study))

    def has_study(self, spec: RunSpec, study: Study) -> bool:
        """Whether that is here, and can be read."""
        try:
            self.study(spec, study)
        except UNREADABLE:
            return False
        return True

    def put_study(self, spec: RunSpec, study: Study, failure: str | None, series: dict[str, list[float]]) -> None:
        """Keep what was derived from a run that is here."""
        _put_measured(self.study_file(spec, study), failure, series)

    def start(self, spec: RunSpec) -> Start:
        """Where updates of a finished run that is here started.

        Raises:
            SpecError: it cannot be read.
        """
        with self._reading(spec, f"Where the updates of {spec.name} started"):
            run, starts = (self._arrays(spec, digest) for digest in CHECKED)
            return start_from(spec.seed, run["theta_KP"], starts)

    def history(self, spec: RunSpec) -> History:
        """The policies of a finished run that is here, and what their observations were normalised by.

        Raises:
            SpecError: they cannot be read.
        """
        with self._reading(spec, f"What the policies of {spec.name} were"):
            run = self._arrays(spec, "sha256")
            return History(run["theta_KP"], *(run[name] for name in STATISTICS))

    def mean_episode(self, spec: RunSpec) -> float:
        """Mean length of the episodes of a run that is here, in steps, over all of its training; 1 if it has none.

        Raises:
            SpecError: they cannot be read.
        """
        with self._reading(spec, f"How long the episodes of {spec.name} were"):
            length_E = self._arrays(spec, "sha256")["episodes_start_length_return"][:, 1]
            return float(length_E.mean()) if len(length_E) else 1.0

    def _arrays(self, spec: RunSpec, digest: str) -> dict[str, Any]:
        """A file's arrays, if they are what was written."""
        folder = self.folder(spec)
        described = json.loads((folder / "run.json").read_text())
        return _read_arrays(folder / CHECKED[digest], described[digest])

    @contextmanager
    def _reading(self, spec: RunSpec, what: str) -> Iterator[None]:
        """Say in a sentence what of a run cannot be read."""
        try:
            yield
        except (*UNREADABLE, safetensors.SafetensorError) as error:
            raise SpecError(
                f"{what} cannot be read ({type(error).__name__}: {error}); delete the folder {self.folder(spec)}, and "
                "it is trained again."
            ) from None

    def put(self, spec: RunSpec, record: RunRecord) -> None:
        """Keep a finished (or failed) run."""
        folder = self.folder(spec)
        damaged = folder.exists()  # unless it is whole; asked first, as another process may be writing it
        if all((folder / name).exists() for name in ("run.json", "run.safetensors", "starts.safetensors")):
            _put_measured(self.measurements(spec), record.failure, record.series)
            return
        if damaged:
            shutil.rmtree(folder, ignore_errors=True)
        temporary = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
        try:
            temporary.chmod(0o755)  # mkdtemp's folders are for one user only
            arrays: dict[str, np.ndarray[Any, Any]] = {
                "theta_KP": np.stack(record.policy_parameters),
                **dict(zip(STATISTICS, map(np.array, zip(*record.normalizations, strict=True)), strict=False)),
                "episodes_start_length_return": np.array(record.episodes, dtype=np.float64).reshape(-1, 3),
            }
            safetensors.numpy.save_file(arrays, temporary / "run.safetensors")
            safetensors.numpy.save_file(arrays_of(record.checkpoints), temporary / "starts.safetensors")
            written = {
                digest: hashlib.sha256((temporary / file).read_bytes()).hexdigest() for digest, file in CHECKED.items()
            }
            _write_json(temporary / "run.json", {**self._description(spec, record), **written})
            _put_measured(temporary / self.measurements(spec).name, record.failure, record.series)
            temporary.rename(folder)
        except BaseException as error:
            shutil.rmtree(temporary, ignore_errors=True)
            if not (isinstance(error, OSError) and folder.exists()):  # else another process was faster with the run
                raise

    def _description(self, spec: RunSpec, record: RunRecord) -> dict[str, Any]:
        described = spec.to_json()
        described["algorithm"].pop("file")
        return {
            "format": FORMAT,
            "digest": run_digest(spec),
            **described,
            "status": "finished" if record.failure is None else "failed",
            "failure": record.failure,
            "libraries": library_versions(),
            "machine": {"python": platform.python_version(), "processor": arithmetic()},
        }


def series_digest(series: dict[str, list[float]]) -> str:
    """A digest of measurements, by which a damaged file is told."""
    return hashlib.sha256(json.dumps(series, sort_keys=True).encode()).hexdigest()


def _put_measured(path: Path, failure: str | None, series: dict[str, list[float]]) -> None:
    """Write measurements, or nothing."""
    measured = {"format": FORMAT, "failure": failure, "sha256": series_digest(series), "series": series}
    # A name of its own: another process may be writing the same.
    partial = path.with_name(f".{path.stem}-{secrets.token_hex(8)}.partial")
    try:
        _write_json(partial, measured)
        partial.rename(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _read_measured(path: Path) -> Measured:
    data = json.loads(path.read_text())
    if series_digest(data["series"]) != data["sha256"]:
        raise ValueError(f"{path} is not what was written.")
    return Measured(data["failure"], data["series"])


def _read_arrays(path: Path, sha256: str) -> dict[str, Any]:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{path.name} is not what was written")
    return safetensors.numpy.load(content)


def _write_json(path: Path, data: object) -> None:
    with path.open("w") as file:
        json.dump(data, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
