"""What a person sees: training's progress, and the table of verdicts."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from rlclaims.judging.terms import ALPHA

if TYPE_CHECKING:
    from rlclaims.judging.terms import Family
    from rlclaims.study.executor import Progress
    from rlclaims.study.plan import Plan

LINE_EVERY_SECONDS = 30.0

STYLES = {"inconclusive": "yellow", "error": "red"}


@contextmanager
def progress(training: "Plan", file: TextIO) -> "Iterator[Callable[[Progress], None]]":
    """Show how far training is: one live bar on a terminal, a line every half minute elsewhere."""
    from rich.console import Console

    console = Console(file=file)
    console.print(_announcement(training), highlight=False, soft_wrap=True)
    shown = _live_bar(training, console) if console.is_terminal else _lines(console)
    with shown as on_progress:
        yield on_progress


def _announcement(training: "Plan") -> str:
    n, stored = len(training.missing), len(training.wanted) - len(training.missing)
    names = dict.fromkeys(type(spec.algorithm).__name__ for spec in training.missing)
    return (
        f"rlclaims: training {n} runs of {', '.join(names)} ({training.environment_steps:,} steps); "
        f"{stored} are in the store."
    )


@contextmanager
def _live_bar(training: "Plan", console: Any) -> "Iterator[Callable[[Progress], None]]":
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("training"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]:,.0f} steps/s"),
        TextColumn("ETA"),
        # Iterations take seconds, so the estimate needs a long memory.
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Bar(*columns, console=console, transient=True, speed_estimate_period=120) as bar:
        task = bar.add_task("training", total=training.environment_steps, rate=0.0)
        start = time.monotonic()

        def on_progress(progress: "Progress") -> None:
            rate = progress.steps_done / (time.monotonic() - start)
            bar.update(task, completed=progress.steps_done, rate=rate)

        yield on_progress


@contextmanager
def _lines(console: Any) -> "Iterator[Callable[[Progress], None]]":
    start = last = time.monotonic()

    def on_progress(progress: "Progress") -> None:
        nonlocal last
        now = time.monotonic()
        if progress.steps_done and now - last >= LINE_EVERY_SECONDS:
            rate = progress.steps_done / (now - start)
            left = (progress.steps_total - progress.steps_done) / rate
            share = progress.steps_done / progress.steps_total
            console.print(f"rlclaims: {share:.0%} trained, {rate:,.0f} steps/s, ETA {_clock(left)}", highlight=False)
            last = now

    yield on_progress


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def table(results: Sequence[dict[str, Any]], file: TextIO, width: int) -> None:
    """What each claim came to, and below it how: one row a claim, under the section its id names."""
    from rich.console import Console

    console = Console(file=file, width=max(width, 80))
    verdicts = _grid("claim", "verdict", "estimate>", "interval", "n>")
    methods = _grid("claim", "method", "guarantee", "look", "MDE, margin", "refutes")
    for grid, cells in ((verdicts, _verdict_cells), (methods, _method_cells)):
        section = None
        for result in results:
            head, slash, name = result["name"].partition("/")
            if slash and head != section:
                section = head
                grid.add_row(_escaped(head, "bold"))
            grid.add_row(_escaped(f"  {name}" if slash else head), *cells(result))
    console.print(verdicts)
    if any(result["expected"] == "refuted" for result in results):
        console.print("* expected to be refuted: the claim says on what evidence", highlight=False)
    console.print()
    console.print(methods)


def promises(families: "Iterable[Family]") -> Iterator[str]:
    """What each family's verdicts are worth, in a sentence."""
    for family in dict.fromkeys(families):
        yield (
            f"Family {family.name!r}, {family.size} shares: if every sentence is as it ships, the build goes red with "
            f"probability at most {family.rate:.2g}; a false sentence is declared supported with probability at most "
            f"{ALPHA:.2g}; each up to its method's guarantee."
        )


def _grid(*columns: str) -> Any:
    from rich.table import Table

    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        right = column.endswith(">")
        first = column == "claim"
        grid.add_column(
            column.rstrip(">"),
            justify="right" if right else "left",
            no_wrap=not first,
            overflow="fold",
        )
    return grid


def _verdict_cells(result: dict[str, Any]) -> tuple[Any, ...]:
    verdict, evidence = result["verdict"], result["evidence"] or {}
    decided = verdict in ("supported", "refuted")
    style = ("green" if verdict == result["expected"] else "red") if decided else STYLES[verdict]
    shown = _escaped(f"{verdict}{'*' if result['expected'] == 'refuted' else ''}", style)
    n = str(evidence.get("n", ""))
    if "parts" in evidence:
        return shown, "", f"{evidence['operator']} of {len(evidence['parts'])}", n
    if evidence.get("estimate") is None:
        return shown, "", evidence.get("reason") or "", n
    bounds = ", ".join(_number(evidence[side]) for side in ("lower", "upper"))
    return shown, _number(evidence["estimate"]), _escaped(f"[{bounds}]"), n


def _method_cells(result: dict[str, Any]) -> tuple[Any, ...]:
    evidence = result["evidence"] or {}
    if "method" not in evidence:
        return ("",)
    look = f"{len(evidence['looks'])}/{len(evidence['planned_looks'])}"
    times = "x" if evidence["log_scale"] else ""
    detects, margin = evidence["mde"], evidence["margin"]
    if detects is None:
        deviations, refuting = evidence["detects_in_sd"], evidence["refutes_in_sd"]
        told = "" if deviations is None else f"{deviations:.2g} sd"
        refutes = "" if refuting is None else f"{refuting:.2g} sd"
    else:
        told = f"{times}{_number(detects)}"
        refutes = "" if evidence["mde_refuting"] is None else f"{times}{_number(evidence['mde_refuting'])}"
        if margin is not None and detects <= margin:
            told += f" <= {times}{_number(margin)}"
        elif margin is not None:
            told += f", needs n = {evidence['n_needed'] or 'over 1000'}"
    return evidence["method"], evidence["guarantee"], look, told, refutes


def _escaped(text: str, style: str = "") -> Any:
    from rich.text import Text

    return Text(text, style=style)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}"
