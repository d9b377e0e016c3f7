"""The kinds of studies: what can be computed from finished runs, on demand.

Every folder beside this file holds a kind, or a few that share their code. What a claim can ask for is an attribute of
`rlclaims.studies.runs.Runs`. A run's study is a file of series in its folder, beside its measurements: one for each
version of its code.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from rlclaims.studies.kind import StudyKind
from rlclaims.training import times_held_out

KINDS: dict[str, StudyKind] = {
    kind.name: kind
    for folder in iter_modules([str(Path(__file__).parent)])
    if folder.ispkg
    for kind in import_module(f"rlclaims.studies.{folder.name}.kind").KINDS
}
"""All kinds, by name: each folder of this package lists its own in `kind.py`."""


@dataclass(frozen=True)
class Study:
    """One study of a finished run."""

    kind: str
    """Name of one of `KINDS`."""
    pairs: int | None = None
    """Size of the batches, for kinds that are asked for with a number of pairs."""

    @property
    def definition(self) -> StudyKind:
        """Its kind."""
        return KINDS[self.kind]

    @property
    def name(self) -> str:
        """Its name in file names."""
        return self.kind if self.pairs is None else f"{self.kind}-{self.pairs}"

    @property
    def words(self) -> str:
        """Its kind's label for people."""
        return self.definition.words


def length(study: Study | None, name: str, iterations: int) -> int:
    """Return how many numbers a series has.

    Args:
        study: the study that it belongs to; None for a run's own measurements.
        name: name of the series.
        iterations: iterations of the run.
    """
    if study is None:
        return iterations if name.endswith("/training") else times_held_out(iterations)
    return study.definition.length(name, iterations)


def study_files(folder: Path) -> Iterator[tuple[Path, Study | None]]:
    """Yield the files of series in a run's folder, by name, each with its study; None for the run's measurements."""
    for path in sorted(folder.glob("*-*.json")):
        kind, _, rest = path.stem.partition("-")
        pairs = re.match(r"(\d+)-", rest)
        if kind == "measured":
            yield path, None
        elif kind in KINDS:
            yield path, Study(kind, int(pairs[1]) if pairs else None)
