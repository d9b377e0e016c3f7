"""Text in columns, in which an id is never broken, and lines of text, for a terminal or a pipe."""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from rlclaims.report.record import Json

GAP = " "
"""Space between columns."""
NARROWEST_ID, NARROWEST = 24, 12
"""Columns that ids, and cells that may wrap, keep where a terminal has little room."""

Cells = Callable[[Json], tuple[Any, ...]]


def is_piped(console: Console) -> bool:
    """Return whether lines go to a program or a file, which wrap nothing. `console.is_terminal` is about colours."""
    return not console.file.isatty()


def say(console: Console, sentence: str, style: str = "") -> None:
    """Print a sentence: on a terminal wrapped between words, in a pipe on one line."""
    lines = [sentence] if is_piped(console) else _wrapped(sentence, console.width)
    for line in lines:
        console.print(Text(line, style), soft_wrap=True, highlight=False)


class Grid:
    """A table without rules.

    The first column holds names. On a terminal, a name that does not fit has a line of its own, whole, above the rest
    of its row, so that it can be copied. In a pipe every row is one line, as wide as it takes.

    Args:
        columns: titles. One that ends in ">" aligns its column to the right, one that ends in "~" lets it wrap.
    """

    def __init__(self, *columns: str) -> None:
        self._titles = [title.rstrip(">~") for title in columns]
        self._right = [title.endswith(">") for title in columns]
        self._wraps = [title.endswith("~") for title in columns]
        self._rows: list[list[Text]] = []

    def add_row(self, *cells: str | Text, style: str = "") -> None:
        """Add a row; a single cell is a heading, which may be wider than its column."""
        self._rows.append([cell if isinstance(cell, Text) else Text(cell, style) for cell in cells])

    def print(self, console: Console) -> None:
        """Print the table, as wide as the terminal, or as the rows are in a pipe."""
        for line in self.lines(None if is_piped(console) else console.width):
            console.print(line, soft_wrap=True, highlight=False)

    def lines(self, width: int | None) -> Iterator[Text]:
        """Yield the lines of the table.

        Args:
            width: of the terminal; None for no limit.
        """
        widths = self._widths(width)
        yield from self._lines([Text(title, "bold") for title in self._titles], widths)
        for row in self._rows:
            if len(row) == 1:
                yield row[0]
            elif row[0].cell_len > widths[0]:
                yield row[0]
                yield from self._lines([Text(), *row[1:]], widths)
            else:
                yield from self._lines(row, widths)

    def _widths(self, width: int | None) -> list[int]:
        full = [Text(title) for title in self._titles]
        rows = [full, *(row for row in self._rows if len(row) > 1)]
        widths = [max(row[i].cell_len for row in rows if i < len(row)) for i in range(len(full))]
        if width is None or (excess := sum(widths) + len(GAP) * (len(widths) - 1) - width) <= 0:
            return widths
        cut = min(excess, max(widths[0] - NARROWEST_ID, 0))
        widths[0] -= cut
        wrapping = [i for i, wraps in enumerate(self._wraps) if wraps]
        for _ in range(excess - cut):  # a column at a time, the widest first
            widest = max(wrapping, key=lambda i: widths[i], default=0)
            if widths[widest] > NARROWEST:
                widths[widest] -= 1
        return widths

    def _lines(self, row: Sequence[Text], widths: Sequence[int]) -> Iterator[Text]:
        """Yield a row's lines: one, unless a cell wraps."""
        cells = [
            _wrapped(cell.plain, width) if wraps else [cell.plain]
            for cell, width, wraps in zip(row, widths, self._wraps, strict=False)
        ]
        for n in range(max(map(len, cells))):
            line = Text()
            for i, (cell, parts) in enumerate(zip(row, cells, strict=True)):
                part = parts[n] if n < len(parts) else ""
                space = " " * max(widths[i] - Text(part).cell_len, 0)
                line.append(space * self._right[i])
                line.append(part, cell.style)
                line.append(space * (not self._right[i]) + GAP)
            line.rstrip()
            yield line


def rows_by_section(into: Grid, results: Iterable[Json], cells: Cells) -> Grid:
    """Add a row for each result, by its name, below a heading for the part of its name before the first slash."""
    section = None
    for result in results:
        head, slash, name = result["name"].partition("/")
        if slash and head != section:
            section = head
            into.add_row(Text(head, "bold"))
        into.add_row(Text(f"  {name}" if slash else head), *cells(result))
    return into


def _wrapped(text: str, width: int) -> list[str]:
    """Return lines that are broken between words alone."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
