"""What a person sees: training's progress, and the table of verdicts."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
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
    """Claim, verdict, estimate, interval, n: one row a claim, under the section its id names."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("claim", overflow="fold")
    grid.add_column("verdict", no_wrap=True)
    grid.add_column("estimate", justify="right", no_wrap=True)
    grid.add_column("interval", no_wrap=True)
    grid.add_column("n", justify="right", no_wrap=True)
    section = None
    for result in results:
        head, slash, name = result["name"].partition("/")
        if slash and head != section:
            section = head
            grid.add_row(f"[bold]{escape(head)}[/bold]")
        name = f"  {escape(name)}" if slash else escape(head)
        verdict, evidence = result["verdict"], result["evidence"] or {}
        decided = verdict in ("supported", "refuted")
        style = ("green" if verdict == result["expected"] else "red") if decided else STYLES[verdict]
        mark = "*" if result["expected"] == "refuted" else ""
        shown = f"[{style}]{verdict}{mark}[/{style}]"
        if evidence.get("estimate") is None:
            grid.add_row(name, shown, "", evidence.get("reason") or "", str(evidence.get("n", "")))
            continue
        bounds = ", ".join(_number(evidence[side]) for side in ("lower", "upper"))
        grid.add_row(name, shown, _number(evidence["estimate"]), f"\\[{bounds}]", str(evidence["n"]))
    console = Console(file=file, width=max(width, 80))
    console.print(grid)
    if any(result["expected"] == "refuted" for result in results):
        console.print("* expected to be refuted: the claim says on what evidence", highlight=False)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}"
