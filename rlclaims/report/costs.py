"""The table of a dry run: what each claim would train, and all of them together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console

from rlclaims.planning.cost import Cost
from rlclaims.report.grid import Grid, rows_by_section, say


@dataclass(frozen=True)
class Range:
    """The cost of some claims, which depends on the looks that they take: least, expected and most."""

    stored: int
    """Runs that they may take and that are in the store."""
    least: Cost
    expected: Cost
    most: Cost

    def describe(self, number: Callable[[Cost], str]) -> str:
        """Return the three numbers, or one if they are equal."""
        numbers = [number(cost) for cost in (self.least, self.expected, self.most)]
        return numbers[0] if len(set(numbers)) == 1 else "/".join(numbers)


def cost_table(claims: Mapping[str, Range], total: Range, file: TextIO) -> None:
    """Print the cost of each claim as if it ran alone, and in the last row of all together.

    Args:
        claims: costs by name.
        total: cost of all together, where shared runs are trained once.
        file: where to.
    """
    console = Console(file=file)
    table = Grid("claim", "have>", "train>", "Msteps>", "minutes>", "MB>")
    rows = [{"name": name, "range": cost} for name, cost in claims.items()]
    rows_by_section(table, rows, lambda row: _cells(row["range"]))
    table.add_row("")
    table.add_row("all, once", *_cells(total), style="bold")
    table.print(console)
    for sentence in (
        "have: runs in the store; train: runs to train; Msteps: millions of environment steps; minutes: on this "
        "machine, estimated by a short test; MB: added to the store. Nothing was trained.",
        "Three numbers are least / expected / most: they depend on the looks. An open claim is decided at its next "
        "look at the least, at the look where its pilot was decided (without a pilot, the middle one) as expected, or "
        "never.",
    ):
        say(console, sentence)


def _cells(cost: Range) -> tuple[str, ...]:
    return (
        str(cost.stored),
        cost.describe(lambda c: str(c.runs)),
        cost.describe(lambda c: _short(c.steps / 1e6)),
        cost.describe(lambda c: _short(c.seconds / 60)),
        cost.describe(lambda c: _short(c.bytes / 1e6)),
    )


def _short(x: float) -> str:
    if 0 < x < 0.05:
        return "<0.1"
    return f"{x:.0f}" if x >= 9.95 or x == 0 else f"{x:.1f}"
