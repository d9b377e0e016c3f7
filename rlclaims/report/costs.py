"""The table of a dry run: what each claim would train, and all of them together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console

from rlclaims.planning.cost import Cost
from rlclaims.report.table import grid, rows_by_section


@dataclass(frozen=True)
class Range:
    """What some claims take, as looks decide: at the least, as expected, at the most."""

    stored: int
    """Runs that they may take and the store has."""
    least: Cost
    expected: Cost
    most: Cost

    def shown(self, number: Callable[[Cost], str]) -> str:
        """The three numbers, or the one that they all are."""
        numbers = [number(cost) for cost in (self.least, self.expected, self.most)]
        return numbers[0] if len(set(numbers)) == 1 else "/".join(numbers)


def cost_table(claims: Mapping[str, Range], total: Range, file: TextIO) -> None:
    """Print what claims take, one row each as if it were alone, and a last row for all together.

    Args:
        claims: by name.
        total: of all together, where what they share is trained once.
        file: where to.
    """
    console = Console(file=file, width=None if file.isatty() else 80)
    table = grid("claim", "have>", "train>", "Msteps>", "minutes>", "MB>")
    rows = [{"name": name, "range": found} for name, found in claims.items()]
    rows_by_section(table, rows, lambda row: _cells(row["range"]))
    table.add_row("")
    table.add_row("all, once", *_cells(total), style="bold")
    console.print(table)
    for sentence in (
        "have: runs that the store has, train: runs that it lacks, Msteps: millions of steps of the tasks, minutes: "
        "on this machine, by a probe of it, MB: of the store. Nothing was trained.",
        "Where there are three numbers, looks decide: least / expected / most. An open claim is decided at its next "
        "look, where its pilot was (the middle look, if it has none), or at none.",
    ):
        console.print(sentence, highlight=False, markup=False)


def _cells(found: Range) -> tuple[str, ...]:
    return (
        str(found.stored),
        found.shown(lambda c: str(c.runs)),
        found.shown(lambda c: _short(c.steps / 1e6)),
        found.shown(lambda c: _short(c.seconds / 60)),
        found.shown(lambda c: _short(c.bytes / 1e6)),
    )


def _short(x: float) -> str:
    if 0 < x < 0.05:
        return "<0.1"
    return f"{x:.0f}" if x >= 9.95 or x == 0 else f"{x:.1f}"
