"""What is derived from finished runs, on demand: their twin updates, and what `rlclaims.studies.kinds` measures.

A run's study is a file of series in its folder, beside its measurements: one for each version of its code.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rlclaims.checkpoints import checkpoint_iterations
from rlclaims.store.run_spec import RunSpec, times_held_out
from rlclaims.studies.kinds import KINDS
from rlclaims.training import HELD_OUT_EVERY

CODE = {
    "twins": ("studies/twin_updates/compute.py", "stats/factorial.py"),
    **{name: kind.code for name, kind in KINDS.items()},
}
"""By kind, what makes it beside what trains and measures a run: files of the package."""


@dataclass(frozen=True)
class Study:
    """One thing that is derived from a finished run."""

    kind: str
    """One of `CODE`."""
    pairs: int | None = None
    """Of the batch that an update is made on, for large updates; None for the others."""

    @property
    def name(self) -> str:
        """In the names of files."""
        return self.kind if self.pairs is None else f"{self.kind}-{self.pairs}"

    @property
    def words(self) -> str:
        """For people."""
        return "twin updates" if self == TWINS else self.kind.replace("_", " ")

    @property
    def code(self) -> tuple[str, ...]:
        """What makes it beside what trains and measures a run: files of the package."""
        return CODE[self.kind]

    def expected_steps(self, run: RunSpec) -> int:
        """Steps of the simulator that it takes for one run, roughly."""
        return 0 if self == TWINS else KINDS[self.kind].expected_steps(self.pairs, run.iterations)


TWINS = Study("twins")
FINAL_RETURNS = Study("final_returns")

Studied = tuple[RunSpec, Study]
"""A run, and what is derived from it."""


def length(study: Study | None, name: str, iterations: int) -> int:
    """How many numbers a series has.

    Args:
        study: what it belongs to; None for a run's own measurements.
        name: of the series.
        iterations: of the run.
    """
    if study is None:
        return iterations if name.endswith("/training") else times_held_out(iterations)
    if study == TWINS:
        return len(checkpoint_iterations(iterations, HELD_OUT_EVERY))
    return KINDS[study.kind].length(name, iterations)


def study_files(folder: Path) -> Iterator[tuple[Path, Study | None]]:
    """The files of series in a run's folder, by name: its studies, and as None its own measurements."""
    for path in sorted(folder.glob("*-*.json")):
        kind, _, rest = path.stem.partition("-")
        pairs = re.match(r"(\d+)-", rest)
        if kind == "measured":
            yield path, None
        elif kind in CODE:
            yield path, Study(kind, int(pairs[1]) if pairs else None)
