"""A figure with its data, and the style that all figures share: inks, looks, axes, room for labels."""

import csv
import gc
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import TightLayoutEngine
from matplotlib.ticker import LogFormatter

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""The palette of Okabe and Ito, which colour-blind readers can tell apart."""
LOOKS = ("-", (0, (6, 2)), (0, (4, 1, 1, 1)), (0, (1, 1)))
"""Line styles, so that colour is never the only difference."""
MARKERS = ("o", "s", "^", "D")
INK = "#010203"
"""Colour of lines and letters; on the page it is replaced by the page's own."""
MULTIPLES = "multiple of the update"
STYLE = {
    "text.parse_math": False,  # names may have dollar signs
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "font.size": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "svg.hashsalt": "rlclaims",  # equal figures make equal files
}


@dataclass(frozen=True)
class Drawn:
    """A figure and its data."""

    figure: Figure
    caption: str
    """Description in words."""
    columns: Mapping[str, Sequence[object]]
    """Data that are drawn, columns of one length."""
    title: str = ""
    """Heading among other figures."""

    def svg(self, prefix: str = "") -> str:
        """Return SVG for a page: without a prolog, in the page's ink, and with ids that begin with the prefix."""
        with styled():
            file = io.StringIO()
            self.figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        text = file.getvalue()
        text = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{prefix}", text[text.index("<svg") :])
        return rounded(text.replace(INK, "currentColor"))

    def csv(self) -> str:
        """Return its data, one row a line."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(zip(*self.columns.values(), strict=True))
        return file.getvalue()

    def save(self, folder: Path, name: str) -> list[Path]:
        """Write NAME.svg, NAME.pdf and NAME.csv into a folder, and return their paths.

        Raises:
            OSError: they cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{name}.{ending}" for ending in ("svg", "pdf", "csv")]
        with styled():
            for path, undated in zip(paths, ("Date", "CreationDate"), strict=False):
                metadata = {undated: None, "Creator": None}
                self.figure.savefig(path, metadata=metadata, facecolor="white")
        paths[0].write_text(rounded(paths[0].read_text(encoding="utf-8")), encoding="utf-8")
        paths[2].write_text(self.csv(), encoding="utf-8")
        return paths


def rounded(svg: str) -> str:
    """Return an SVG whose coordinates have two decimals, a hundredth of a point; text is left as it is."""

    def shorter(number: re.Match[str]) -> str:
        return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")

    return re.sub(r'="[^"]*"', lambda attribute: re.sub(r"-?\d+\.\d{3,}", shorter, attribute[0]), svg)


@contextmanager
def styled() -> Iterator[None]:
    """Apply the style while drawing, without garbage collection, which would search all objects of a session."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        with mpl.rc_context(STYLE):  # type: ignore[arg-type]  # its keys are known to matplotlib alone
            yield
    finally:
        if collecting:
            gc.enable()


def side_by_side(of: Mapping[str, object], *, alike: bool = True) -> tuple[Figure, list[Axes]]:
    """Return a figure with as many axes side by side, with a common vertical axis or not."""
    n = max(1, len(of))
    figure = Figure(figsize=(4.2 if n == 1 else min(2.6 * n, 10.5), 2.8))
    axes = figure.subplots(1, n, sharey=alike, squeeze=False)
    return figure, list(axes[0])


def lay_out(figure: Figure, above: float = 0.0) -> None:
    """Make room for labels, and above them for a part of the figure's height. Drawing moves nothing afterwards.

    No rectangle is given: matplotlib would measure all labels again, which takes longer than drawing them.
    """
    TightLayoutEngine(rect=None).execute(figure)  # type: ignore[arg-type]  # its default is the whole figure
    figure.subplots_adjust(top=figure.subplotpars.top - above)


def logarithmic(ax: Axes, which: Literal["x", "y"]) -> None:
    """Give an axis a logarithmic scale with plain numbers."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    ax.set(**{f"{which}scale": "log"})
    axis.set_major_formatter(Plain())
    axis.set_minor_formatter(Plain(labelOnlyBase=False, minor_thresholds=(1, 0.4)))


class Plain(LogFormatter):
    """Labels at the ticks that matplotlib chooses, as 0.01, 100, 10k, 1M."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return the label of a place; empty for a tick without one."""
        if not super().__call__(x, pos):
            return ""
        if abs(x) >= 1e4:
            return f"{x / 1e6:g}M" if abs(x) >= 1e6 else f"{x / 1e3:g}k"
        return f"{x:g}"
