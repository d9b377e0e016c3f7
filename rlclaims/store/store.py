"""The store: one folder per finished run, named by its digest; anything may fill it, judging reads it.

    runs/PPO-Hopper-v5-seed3-1f0c.../
        run.json             what the run is, how it ended, on what it was made
        run.safetensors      theta before and after every update, how observations were normalised, episodes
        starts.safetensors   what else four of the updates started from, and the pairs around them
        measured-9ab2.json   the measures' series, one file per version of the measuring code
        twins-71ce.json      what these four updates are with mechanisms switched, once a claim has asked
        landscapes-04bd.json and so on: whatever else claims ask of finished runs (`rlclaims.studies.registry`)
    unfinished/              where runs stand that are being trained (`rlclaims.store.resume`)
    set-aside/               what was found in the place of a file and is not what was written there

A run's folder is written under a temporary name and renamed, so that there is never half of one; what joins a run whose
folder is there already is written file by file, in the same way. Every file that is read has its checksum and its run
compared first: JSON files tell both themselves (`rlclaims.store.files`), arrays have theirs in `run.json`. JSON and
safetensors: nothing that is read back can execute.
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
from rlclaims.store.files import DamagedError, json_content, read, read_json, set_aside, sha256, write
from rlclaims.store.rounding import arithmetic
from rlclaims.store.run_spec import RunSpec, SpecError
from rlclaims.studies.registry import Study
from rlclaims.text import describe_error, printable

CHECKED = {"run_sha256": "run.safetensors", "starts_sha256": "starts.safetensors"}
"""By which entry of `run.json` damage to a file is told."""
STATISTICS = ("offset_KO", "inverse_std_KO")
"""What observations were normalised by when each update was made, by the names of their arrays."""
_UNTOLD = "run.json does not tell its checksum"
UNREADABLE = (OSError, DamagedError)
"""What reading measurements raises where there are none, or other ones than were written."""


class StoreError(RuntimeError):
    """The store cannot be written; what was finished is in it."""


class Store:
    """A folder of finished runs."""

    def __init__(self, root: Path, tell: Callable[[str], None] = lambda _: None) -> None:
        self.root = root.expanduser()
        self.tell = tell
        """Told, in a sentence, of what is set aside."""

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
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or describe_error(error)
            raise SpecError(
                f"The store {printable(str(self.root))} cannot be written ({why}); choose another folder with "
                "--claims-store DIR or RLCLAIMS_STORE."
            ) from None

    def prepared(self) -> bool:
        """Make the store's folder if that can be done, and tell whether it can be written."""
        try:
            self.prepare()
        except SpecError:
            return False
        return True

    def folder(self, spec: RunSpec) -> Path:
        """Where a run lies or would lie."""
        return self.root / "runs" / folder_name(spec, run_digest(spec))

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
            OSError, DamagedError: they are not, or are not what was written.
        """
        return read_measured(self.measurements(spec), run_digest(spec))

    def study_file(self, spec: RunSpec, study: Study) -> Path:
        """Where what today's code derives from a run lies or would lie."""
        return self.folder(spec) / f"{study.name}-{study_digest(spec, study)[:32]}.json"

    def study(self, spec: RunSpec, study: Study) -> Measured:
        """What was derived from a run that is here.

        Raises:
            OSError, DamagedError: it is not here, or is not what was written.
        """
        return read_measured(self.study_file(spec, study), run_digest(spec))

    def has_study(self, spec: RunSpec, study: Study) -> bool:
        """Whether that is here, and can be read."""
        try:
            self.study(spec, study)
        except UNREADABLE:
            return False
        return True

    def put_study(self, spec: RunSpec, study: Study, failure: str | None, series: dict[str, list[float]]) -> None:
        """Keep what was derived from a run that is here.

        Raises:
            StoreError: it cannot be written.
        """
        path = self.study_file(spec, study)
        self.clear(spec, study)
        with self._writing():
            write(path, json_content(path.name, run_digest(spec), {"failure": failure, "series": series}))

    def start(self, spec: RunSpec) -> Start:
        """Where updates of a finished run that is here started.

        Raises:
            SpecError: it cannot be read.
        """
        with self._reading(f"Where the updates of {spec.name} started"):
            run, starts = (self._arrays(spec, digest) for digest in CHECKED)
            return start_from_arrays(spec.seed, run["theta_KP"], starts)

    def history(self, spec: RunSpec) -> History:
        """The policies of a finished run that is here, and what their observations were normalised by.

        Raises:
            SpecError: they cannot be read.
        """
        with self._reading(f"What the policies of {spec.name} were"):
            run = self._arrays(spec, "run_sha256")
            return History(run["theta_KP"], *(run[name] for name in STATISTICS))

    def mean_episode(self, spec: RunSpec) -> float:
        """Mean length of the episodes of a run that is here, in steps, over all of its training; 1 if it has none.

        Raises:
            SpecError: they cannot be read.
        """
        with self._reading(f"How long the episodes of {spec.name} were"):
            length_E = self._arrays(spec, "run_sha256")["episodes_start_length_return"][:, 1]
            return float(length_E.mean()) if len(length_E) else 1.0

    def is_whole(self, spec: RunSpec) -> bool:
        """Whether all that studies are made from is here, as it was written."""
        try:
            for digest in CHECKED:
                self._content(spec, digest)
        except UNREADABLE:
            return False
        return True

    def clear(self, spec: RunSpec, study: Study | None = None) -> None:
        """Set aside, and tell, what is in the place of a run's files, or of what is derived from it, and is damaged.

        Raises:
            StoreError: it cannot be moved.
        """
        folder = self.folder(spec)
        if study is not None:
            path = self.study_file(spec, study)
            self._clear(path, lambda: self.study(spec, study), "it is made again")
            return
        again = "its run is trained again"
        usable = folder.is_dir() and not folder.is_symlink() and os.access(folder, os.R_OK | os.W_OK | os.X_OK)
        if os.path.lexists(folder) and not usable:
            self.put_aside(folder, "is no folder that can be used", again)
            return
        self._clear(self.measurements(spec), lambda: self.measured(spec), again)
        # While `run.json` is here it tells of the others.
        for digest, name in CHECKED.items():
            if os.path.lexists(folder / "run.json") and os.path.lexists(folder / name):
                self._clear(folder / name, partial(self._content, spec, digest), again)
        self._clear(folder / "run.json", lambda: read_json(folder / "run.json", run_digest(spec)), again)

    def _clear(self, path: Path, read: Callable[[], object], then: str) -> None:
        if not os.path.lexists(path):
            return
        try:
            read()
        except DamagedError as error:
            if str(error) != _UNTOLD:
                self.put_aside(path, f"is not what was written ({error})", then)
        except OSError:  # a link that leads nowhere
            self.put_aside(path, "is not what was written", then)

    def put_aside(self, path: Path, why: str, then: str) -> None:
        """Set something aside and tell why, and what becomes of it.

        Raises:
            StoreError: it cannot be moved.
        """
        with self._writing():
            target = set_aside(self.root, path)
        if target is not None:
            self.tell(f"{path} {why}; it is in {target.parent.name}/{target.name} now, and {then}.")

    def _content(self, spec: RunSpec, digest: str) -> bytes:
        """A file of arrays, as it was written.

        Raises:
            OSError, DamagedError: there is none, or another.
        """
        folder = self.folder(spec)
        try:
            described = read_json(folder / "run.json", run_digest(spec))
        except UNREADABLE:
            raise DamagedError(_UNTOLD) from None
        content = read(folder / CHECKED[digest])
        if sha256(content) != described.get(digest):
            raise DamagedError(f"the checksum of {CHECKED[digest]} is another")
        return content

    def _arrays(self, spec: RunSpec, digest: str) -> dict[str, Any]:
        arrays: dict[str, Any] = safetensors.numpy.load(self._content(spec, digest))
        return arrays

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        """Say in a sentence what of a run cannot be read."""
        try:
            yield
        except (*UNREADABLE, KeyError, ValueError, safetensors.SafetensorError) as error:
            raise SpecError(
                f"{what} cannot be read ({type(error).__name__}: {error}); the claims that need it train it again."
            ) from None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Say in a sentence that the store cannot be written."""
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"The store {self.root} cannot be written any more ({error.strerror or error}). What was finished "
                "before is stored: make room, or choose another folder with --claims-store DIR or RLCLAIMS_STORE, and "
                "run the same command again to go on."
            ) from None

    def put(self, spec: RunSpec, record: RunRecord) -> None:
        """Keep a finished (or failed) run.

        Of a run whose folder is here, what is lacking is added, if it has the same bits; else it is set aside whole.

        Raises:
            StoreError: it cannot be written. There is no half of it then.
        """
        folder, contents = self.folder(spec), self._contents(spec, record)
        with self._writing():
            self.clear(spec)
            if folder.exists() and not self._joins(folder, contents):
                self.put_aside(folder, "is not of the bits that its run has here", "the run was trained again")
            if not folder.exists():
                temporary = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
                try:
                    temporary.chmod(0o755)  # mkdtemp's folders are for one user only
                    for name, content in contents.items():
                        write(temporary / name, content)
                    temporary.rename(folder)
                except OSError:
                    if not folder.exists():  # else another process was faster with the run
                        raise
                finally:
                    shutil.rmtree(temporary, ignore_errors=True)
            for name, content in contents.items():
                if not os.path.lexists(folder / name):
                    write(folder / name, content)

    def _joins(self, folder: Path, contents: dict[str, bytes]) -> bool:
        """Whether what is known of a folder's arrays is what they are now."""
        try:
            known = read_json(folder / "run.json")
        except UNREADABLE:
            there = {digest: folder / name for digest, name in CHECKED.items() if (folder / name).exists()}
            try:
                known = {digest: sha256(read(path)) for digest, path in there.items()}
            except UNREADABLE:
                return False
        return all(known.get(digest) in (None, sha256(contents[name])) for digest, name in CHECKED.items())

    def _contents(self, spec: RunSpec, record: RunRecord) -> dict[str, bytes]:
        """The files of a run, by name."""
        arrays: dict[str, np.ndarray[Any, Any]] = {
            "theta_KP": np.stack(record.policy_parameters),
            **dict(zip(STATISTICS, map(np.array, zip(*record.normalizations, strict=True)), strict=False)),
            "episodes_start_length_return": np.array(record.episodes, dtype=np.float64).reshape(-1, 3),
        }
        contents: dict[str, bytes] = {
            "run.safetensors": safetensors.numpy.save(arrays),
            "starts.safetensors": safetensors.numpy.save(checkpoints_to_arrays(record.checkpoints)),
        }
        digest, measured = run_digest(spec), self.measurements(spec).name
        checked = {digest: sha256(contents[name]) for digest, name in CHECKED.items()}
        told = {"failure": record.failure, "series": record.series}
        return {
            **contents,
            "run.json": json_content("run.json", digest, {**self._description(spec, record), **checked}),
            measured: json_content(measured, digest, told),
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
    """Of a folder about a run: letters, digits, dots and dashes, whatever its algorithm and its task are called."""
    # A name longer than this is of no help, and file systems have their limits.
    readable = re.sub(r"[^\w.-]+", "-", spec.name, flags=re.ASCII).lstrip(".-")[:100]
    return f"{readable}-{digest[:32]}"


def read_measured(path: Path, digest: str) -> Measured:
    """Series of a run.

    Raises:
        OSError, DamagedError: there are none, or they are not what was written.
    """
    told = read_json(path, digest)
    failure, series = told.get("failure"), told.get("series")
    if (
        not isinstance(series, dict)
        or not all(map(_are_numbers, series.values()))
        or not isinstance(failure, str | None)
    ):
        raise DamagedError("it holds something else than numbers")
    return Measured(failure, series)


def _are_numbers(values: object) -> bool:
    return isinstance(values, list) and all(type(value) in (int, float) for value in values)
