"""What a person sees: training's progress, and the table of verdicts."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from rlclaims.judging.terms import ALPHA
from rlclaims.stats.power import MOST_SEEDS

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


def table(results: Sequence[dict[str, Any]], families: "Iterable[Family]", file: TextIO, width: int) -> None:
    """What each claim came to, and below it how and what that is worth: one row a claim, in its id's section."""
    from rich.console import Console

    console = Console(file=file, width=max(width, 80))
    verdicts = _grid("claim", "verdict", "estimate>", "interval", "n>")
    methods = _grid("claim", "method", "look", "MDE>", "margin>", "needs n>", "refutes>")
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
    for result in results:
        if (evidence := result["evidence"]) is not None and evidence["reason"] is not None:
            why = f"{evidence['reason']}: {evidence['detail']}" if "detail" in evidence else evidence["reason"]
            console.print(f"{result['name']} is inconclusive, {why}", highlight=False, markup=False)
    console.print()
    console.print(methods)
    for sentence in (*_legend(results), "", *_promises(families)):
        console.print(sentence, highlight=False, markup=False)


def _promises(families: "Iterable[Family]") -> Iterator[str]:
    """What each family's verdicts are worth, in a sentence."""
    for family in dict.fromkeys(families):
        yield (
            f"Family {family.name!r}, of {family.size} shares: if every sentence is as it ships, its claims turn red "
            f"with probability at most {100 * family.rate:.3g}%; a false sentence is declared supported with "
            f"probability at most {100 * ALPHA:.3g}%; each up to its method's guarantee."
        )


def _grid(*columns: str) -> Any:
    from rich.table import Table

    # Names of claims are long, and terminals 80 columns wide.
    grid = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
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
    if not evidence or all(evidence[part] is None for part in ("estimate", "lower", "upper")):
        return shown, "", "", n
    bounds = ", ".join(_number(evidence[side]) for side in ("lower", "upper"))
    estimate = "" if evidence["estimate"] is None else _number(evidence["estimate"])
    return shown, estimate, _escaped(f"[{bounds}]"), n


def _method_cells(result: dict[str, Any]) -> tuple[Any, ...]:
    evidence = result["evidence"] or {}
    if "method" not in evidence:
        return ("",)
    look = f"{len(evidence['looks'])}/{len(evidence['planned_looks'])}"
    times, sd = "x" if evidence["log_scale"] else "", "{:.2g} sd"
    detects, margin, refutes = (
        "" if evidence[key] is None else f"{times}{_number(evidence[key])}" for key in ("mde", "margin", "mde_refuting")
    )
    if evidence["mde"] is None:  # no pilot
        detects, refutes = (
            "" if evidence[key] is None else sd.format(evidence[key]) for key in ("detects_in_sd", "refutes_in_sd")
        )
    if evidence["can_support"] is False:
        detects = "never"
    if evidence["can_refute"] is False:
        refutes = "never"
    needed = ""
    if evidence["mde"] is not None and evidence["margin"] is not None:
        needed = str(evidence["n_needed"] or f"> {MOST_SEEDS}")
    return evidence["method"], look, detects, margin, needed, refutes


def _legend(results: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What the methods in use guarantee, and what the columns say."""
    used = [e for result in results if (e := result["evidence"]) is not None and "method" in e]
    for method, guarantee, assumption in dict.fromkeys((e["method"], e["guarantee"], e["assumption"]) for e in used):
        yield f"{method}: {guarantee} ({assumption})"
    if used:
        yield (
            "MDE: the distance from the bound that is detected with probability .8 over all looks, refutes: the same "
            "on the far side, for normal seeds by the spread in pilots.json (else in standard deviations of a seed); "
            "needs n: the seeds with which one look, at the same error rate, detects the margin"
        )


def _escaped(text: str, style: str = "") -> Any:
    from rich.text import Text

    return Text(text, style=style)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}"
