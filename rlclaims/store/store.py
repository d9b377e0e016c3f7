"""The store: one folder per finished run, named by its digest. Training fills it, judging reads it.

    runs/PPO-Hopper-v5-seed3-1f0c.../
        run.json             what the run is, how it ended, which machine and libraries made it
        run.safetensors      theta before and after every update, observation statistics, episodes
        starts.safetensors   the full state before four of the updates, and the pairs around them
        measured-9ab2.json   the measures' series, one file per version of the measuring code
        twins-71ce.json      those four updates with mechanisms switched, if a claim has asked for them
        landscapes-04bd.json and one file for each other study that claims asked for (`rlclaims.studies.registry`)
    unfinished/              checkpoints of runs in training (`rlclaims.store.resume`)
    quarantine/              damaged or unrecognised files, moved out of the way

A run's folder is written under a temporary name and renamed, so that it is never half written. Files that are added to
an existing folder are written the same way, one by one. Before a file is used, its checksum and the digest of its run
are compared: a JSON file contains both (`rlclaims.store.files`), and the checksums of arrays are in `run.json`. All
files are JSON or safetensors, so reading one cannot execute code.
"""

import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from rlclaims.checkpoints import History, Start, checkpoints_to_arrays, start_from_arrays
from rlclaims.records import RunRecord
from rlclaims.results.measured import Measured
from rlclaims.store.digest import library_versions, measurement_digest, run_digest, study_digest
from rlclaims.store.files import DamagedError, json_content, quarantine, read, read_json, sha256, write
from rlclaims.store.rounding import arithmetic
from rlclaims.store.run_spec import RunSpec, SpecError
from rlclaims.studies.registry import Study
from rlclaims.text import describe_error, printable

CHECKED = {"run_sha256": "run.safetensors", "starts_sha256": "starts.safetensors"}
"""Files of arrays, by the entry of `run.json` that holds their checksum."""
STATISTICS = ("offset_KO", "inverse_std_KO")
"""Arrays of the statistics that normalised observations at each update."""
_NO_CHECKSUM = "run.json has no checksum for it"
UNREADABLE = (OSError, DamagedError)
"""Errors that reading measurements raises if they are missing or damaged."""


class StoreError(RuntimeError):
    """A store that can no longer be written; finished runs are in it."""


class Store:
    """A folder of finished runs."""

    def __init__(self, root: Path, notify: Callable[[str], None] = lambda _: None) -> None:
        self.root = root.expanduser()
        self.notify = notify
        """Callback for the message about each file that is moved to quarantine."""

    def prepare(self) -> None:
        """Create the store's folder and check that it can be written.

        Raises:
            SpecError: it cannot be written.
        """
        try:
            new = not self.root.exists()
            (self.root / "runs").mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root / "runs"):
                pass
            if new:  # an existing folder may hold files that git tracks
                (self.root / ".gitignore").write_text("*\n")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or describe_error(error)
            raise SpecError(
                f"The store {printable(str(self.root))} cannot be written ({reason}); choose another folder with "
                "--claims-store DIR or RLCLAIMS_STORE."
            ) from None

    def prepared(self) -> bool:
        """Create the store's folder if possible, and return whether it can be written."""
        try:
            self.prepare()
        except SpecError:
            return False
        return True

    def folder(self, spec: RunSpec) -> Path:
        """Return the folder of a run, whether or not it exists."""
        return self.root / "runs" / folder_name(spec, run_digest(spec))

    def measurements(self, spec: RunSpec) -> Path:
        """Return the path of a run's measurements by the current code, whether or not it exists."""
        return self.folder(spec) / f"measured-{measurement_digest(spec)[:32]}.json"

    def has(self, spec: RunSpec) -> bool:
        """Return whether the run and its measurements by the current code are stored and readable."""
        try:
            self.measured(spec)
        except UNREADABLE:
            return False
        return True

    def measured(self, spec: RunSpec) -> Measured:
        """Return the measurements of a stored run.

        Raises:
            OSError, DamagedError: they are missing or damaged.
        """
        return read_measured(self.measurements(spec), run_digest(spec))

    def study_file(self, spec: RunSpec, study: Study) -> Path:
        """Return the path of a study of a run by the current code, whether or not it exists."""
        return self.folder(spec) / f"{study.name}-{study_digest(spec, study)[:32]}.json"

    def study(self, spec: RunSpec, study: Study) -> Measured:
        """Return the results of a study of a stored run.

        Raises:
            OSError, DamagedError: they are missing or damaged.
        """
        return read_measured(self.study_file(spec, study), run_digest(spec))

    def has_study(self, spec: RunSpec, study: Study) -> bool:
        """Return whether the results of a study are stored and readable."""
        try:
            self.study(spec, study)
        except UNREADABLE:
            return False
        return True

    def put_study(self, spec: RunSpec, study: Study, failure: str | None, series: dict[str, list[float]]) -> None:
        """Store the results of a study of a stored run.

        Raises:
            StoreError: they cannot be written.
        """
        path = self.study_file(spec, study)
        self.clear(spec, study)
        with self._writing():
            write(path, json_content(path.name, run_digest(spec), {"failure": failure, "series": series}))

    def start(self, spec: RunSpec) -> Start:
        """Return the states from which a stored run's updates can be repeated.

        Raises:
            SpecError: they cannot be read.
        """
        with self._reading(f"The start states of the updates of {spec.name}"):
            run, starts = (self._arrays(spec, digest) for digest in CHECKED)
            return start_from_arrays(spec.seed, run["theta_KP"], starts)

    def history(self, spec: RunSpec) -> History:
        """Return the policies of a stored run, and the statistics that normalised their observations.

        Raises:
            SpecError: they cannot be read.
        """
        with self._reading(f"The policies of {spec.name}"):
            run = self._arrays(spec, "run_sha256")
            return History(run["theta_KP"], *(run[name] for name in STATISTICS))

    def mean_episode(self, spec: RunSpec) -> float:
        """Return the mean length in steps of a stored run's training episodes; 1 if none ended.

        Raises:
            SpecError: they cannot be read.
        """
        with self._reading(f"The episode lengths of {spec.name}"):
            length_E = self._arrays(spec, "run_sha256")["episodes_start_length_return"][:, 1]
            return float(length_E.mean()) if len(length_E) else 1.0

    def is_whole(self, spec: RunSpec) -> bool:
        """Return whether all arrays that studies are computed from are stored and undamaged."""
        try:
            for digest in CHECKED:
                self._content(spec, digest)
        except UNREADABLE:
            return False
        return True

    def clear(self, spec: RunSpec, study: Study | None = None) -> None:
        """Move damaged files of a run to quarantine and report them.

        Args:
            spec: the run.
            study: check the results of this study only, instead of the run's own files.

        Raises:
            StoreError: a file cannot be moved.
        """
        folder = self.folder(spec)
        if study is not None:
            path = self.study_file(spec, study)
            self._clear(path, lambda: self.study(spec, study), "it is computed again")
            return
        again = "its run is trained again"
        # In this order: another process may create the folder at any moment.
        exists = os.path.lexists(folder)
        usable = folder.is_dir() and not folder.is_symlink() and os.access(folder, os.R_OK | os.W_OK | os.X_OK)
        if exists and not usable:
            self.quarantine(folder, "is not a usable folder", again)
            return
        self._clear(self.measurements(spec), lambda: self.measured(spec), again)
        # `run.json` comes last, because the others are checked against it.
        for digest, name in CHECKED.items():
            if os.path.lexists(folder / "run.json") and os.path.lexists(folder / name):
                self._clear(folder / name, partial(self._content, spec, digest), again)
        self._clear(folder / "run.json", lambda: read_json(folder / "run.json", run_digest(spec)), again)

    def _clear(self, path: Path, read: Callable[[], object], consequence: str) -> None:
        if not os.path.lexists(path):
            return
        try:
            read()
        except DamagedError as error:
            if str(error) != _NO_CHECKSUM:
                self.quarantine(path, f"is damaged ({error})", consequence)
        except OSError:  # a broken link
            self.quarantine(path, "is damaged (it is a broken link)", consequence)

    def quarantine(self, path: Path, problem: str, consequence: str) -> None:
        """Move a file or folder to quarantine and report it.

        Args:
            path: the file or folder.
            problem: what is wrong with it, as a predicate: "is damaged".
            consequence: what happens next, as a clause: "its run is trained again".

        Raises:
            StoreError: it cannot be moved.
        """
        with self._writing():
            target = quarantine(self.root, path)
        if target is not None:
            self.notify(f"{path} {problem}; moved to {target.parent.name}/{target.name}, and {consequence}.")

    def _content(self, spec: RunSpec, digest: str) -> bytes:
        """Return the content of a file of arrays, with its checksum verified.

        Raises:
            OSError, DamagedError: it is missing or damaged.
        """
        folder = self.folder(spec)
        try:
            described = read_json(folder / "run.json", run_digest(spec))
        except UNREADABLE:
            raise DamagedError(_NO_CHECKSUM) from None
        content = read(folder / CHECKED[digest])
        if sha256(content) != described.get(digest):
            raise DamagedError(f"the checksum of {CHECKED[digest]} differs")
        return content

    def _arrays(self, spec: RunSpec, digest: str) -> dict[str, Any]:
        arrays: dict[str, Any] = safetensors.numpy.load(self._content(spec, digest))
        return arrays

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        """Turn errors of reading into a SpecError that says what cannot be read."""
        try:
            yield
        except (*UNREADABLE, KeyError, ValueError, safetensors.SafetensorError) as error:
            raise SpecError(
                f"{what} cannot be read ({type(error).__name__}: {error}). Run the claims again to train the run again."
            ) from None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn errors of writing into a StoreError."""
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"The store {self.root} can no longer be written ({error.strerror or error}). Finished runs are "
                "stored. Make room, or choose another folder with --claims-store DIR or RLCLAIMS_STORE, and run the "
                "same command again to resume."
            ) from None

    def put(self, spec: RunSpec, record: RunRecord) -> None:
        """Store a finished or failed run.

        If the run's folder exists with the same bits, missing files are added. If its bits differ, the whole folder is
        moved to quarantine first.

        Raises:
            StoreError: it cannot be written. No partial folder is left.
        """
        folder = self.folder(spec)
        contents = self._contents(spec, record)
        with self._writing():
            self.clear(spec)
            if folder.exists() and not self._has_same_arrays(folder, contents):
                self.quarantine(folder, "differs from what its run gives on this machine", "the run was trained again")
            if not folder.exists():
                temporary = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
                try:
                    temporary.chmod(0o755)  # mkdtemp's folders are for one user only
                    for name, content in contents.items():
                        write(temporary / name, content)
                    temporary.rename(folder)
                except OSError:
                    if not folder.exists():  # otherwise another process has stored the run meanwhile
                        raise
                finally:
                    shutil.rmtree(temporary, ignore_errors=True)
            for name, content in contents.items():
                if not os.path.lexists(folder / name):
                    write(folder / name, content)

    def _has_same_arrays(self, folder: Path, contents: dict[str, bytes]) -> bool:
        """Return whether a folder's arrays, as far as their checksums are known, are these."""
        try:
            known = read_json(folder / "run.json")
        except UNREADABLE:
            paths = {digest: folder / name for digest, name in CHECKED.items() if (folder / name).exists()}
            try:
                known = {digest: sha256(read(path)) for digest, path in paths.items()}
            except UNREADABLE:
                return False
        return all(known.get(digest) in (None, sha256(contents[name])) for digest, name in CHECKED.items())

    def _contents(self, spec: RunSpec, record: RunRecord) -> dict[str, bytes]:
        """Return the content of a run's files, by name."""
        arrays: dict[str, np.ndarray[Any, Any]] = {
            "theta_KP": np.stack(record.policy_parameters),
            **dict(zip(STATISTICS, map(np.array, zip(*record.normalizations, strict=True)), strict=False)),
            "episodes_start_length_return": np.array(record.episodes, dtype=np.float64).reshape(-1, 3),
        }
        contents: dict[str, bytes] = {
            "run.safetensors": safetensors.numpy.save(arrays),
            "starts.safetensors": safetensors.numpy.save(checkpoints_to_arrays(record.checkpoints)),
        }
        digest = run_digest(spec)
        measured = self.measurements(spec).name
        checksums = {entry: sha256(contents[name]) for entry, name in CHECKED.items()}
        measurements = {"failure": record.failure, "series": record.series}
        return {
            **contents,
            "run.json": json_content("run.json", digest, {**self._description(spec, record), **checksums}),
            measured: json_content(measured, digest, measurements),
        }

    def _description(self, spec: RunSpec, record: RunRecord) -> dict[str, Any]:
        described = spec.to_json()
        described["algorithm"].pop("file")
        return {
            **described,
            "status": "finished" if record.failure is None else "failed",
            "failure": record.failure,
            "libraries": library_versions(),
            "machine": {"python": platform.python_version(), "processor": arithmetic()},
        }


def folder_name(spec: RunSpec, digest: str) -> str:
    """Return a run's folder name: letters, digits, dots and dashes only, for any algorithm and task."""
    # File systems limit the length of names.
    readable = re.sub(r"[^\w.-]+", "-", spec.name, flags=re.ASCII).lstrip(".-")[:100]
    return f"{readable}-{digest[:32]}"


def read_measured(path: Path, digest: str) -> Measured:
    """Return a run's series from a file.

    Raises:
        OSError, DamagedError: the file is missing or damaged.
    """
    content = read_json(path, digest)
    failure = content.get("failure")
    series = content.get("series")
    if (
        not isinstance(series, dict)
        or not all(map(_are_numbers, series.values()))
        or not isinstance(failure, str | None)
    ):
        raise DamagedError("its values are not numbers")
    return Measured(failure, series)


def _are_numbers(values: object) -> bool:
    return isinstance(values, list) and all(type(value) in (int, float) for value in values)
