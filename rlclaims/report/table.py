"""The table of verdicts, for people: readable at 80 columns, in colour where there is any."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rlclaims.planning.profile import Profile
from rlclaims.report.record import Json, is_theorem
from rlclaims.stats.power import MOST_SEEDS

STYLES = {"inconclusive": "yellow", "error": "red"}


def table(results: Sequence[Json], profile: Profile, file: TextIO, width: int) -> None:
    """What each claim came to, and below it how and what that is worth: one row a claim, in its id's section.

    Theorems stand among the claims, with examples instead of seeds, and have no method.
    """
    console = Console(file=file, width=max(width, 80))
    claims = [result for result in results if not is_theorem(result)]
    theorems = [result for result in results if is_theorem(result)]
    if profile.no_evidence is not None:
        wired = rows_by_section(
            grid("claim", "verdict"), results, lambda result: _smoke_cells(result, f" ({profile.no_evidence})")
        )
        console.print(wired)
        if claims:
            console.print(
                f"{profile.no_evidence}: these claims run, and nothing is said of their truth", highlight=False
            )
        if theorems:
            console.print("a theorem takes no seeds, and is judged as ever", highlight=False)
        _star(theorems, console)
        return
    verdicts = grid("claim", "verdict", "estimate>", "interval", "n>")
    console.print(rows_by_section(verdicts, results, _verdict_cells, with_parts=True))
    _star(results, console)
    if any(result["examples"] is not None for result in theorems):
        console.print("ex.: examples that a theorem was tried on and held for; it takes no seeds", highlight=False)
    if not claims:
        return
    for result in claims:
        if (evidence := result["evidence"]) is not None and evidence["reason"] is not None:
            why = f"{evidence['reason']}: {evidence['detail']}" if "detail" in evidence else evidence["reason"]
            console.print(f"{result['name']} is inconclusive, {why}", highlight=False, markup=False)
    console.print()
    methods = grid("claim", "method", "look", "MDE>", "margin>", "needs n>", "refutes>")
    console.print(rows_by_section(methods, claims, _method_cells, with_parts=True))
    for sentence in (*_legend(claims), "", *_promises(claims, profile)):
        console.print(sentence, highlight=False, markup=False)


def _star(results: Sequence[Json], console: Console) -> None:
    if any(result["expected"] == "refuted" for result in results):
        console.print("* expected to be refuted: the claim says on what evidence", highlight=False)


def _promises(results: Sequence[Json], profile: Profile) -> Iterator[str]:
    """What each family's verdicts are worth, in a sentence."""
    for family in {result["family"]["name"]: result["family"] for result in results}.values():
        shares = "one share" if family["size"] == 1 else f"{family['size']} shares"
        at_most = f"{100 * family['rate']:.3g}%"
        red = f"if every sentence is as it ships, its claims turn red with probability at most {at_most}"
        if any("night" in result for result in results):
            red = "its claims turn red at the alarm of all sessions"
        yield (
            f"Family {family['name']!r}, of {shares}: {red}; a false sentence is declared supported with "
            f"probability at most {100 * profile.alpha:.3g}%; each up to its method's guarantee."
        )


def rows_by_section(
    into: Table,
    results: Iterable[Json],
    cells: Callable[[Json], tuple[Any, ...]],
    *,
    with_parts: bool = False,
) -> Table:
    """A row for each result, by its name, below the first part of it, and if wanted for each part of a joined one."""
    section = None
    for result in results:
        head, slash, name = result["name"].partition("/")
        if slash and head != section:
            section = head
            into.add_row(Text(head, "bold"))
        into.add_row(Text(f"  {name}" if slash else head), *cells(result))
        for name, part in _parts(result) if with_parts else ():
            into.add_row(name, *cells(part))
    return into


def grid(*columns: str) -> Table:
    """A table without lines; a column whose title ends in > is aligned to the right."""
    # Names of claims are long, and terminals 80 columns wide.
    columns_only = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in columns:
        right = column.endswith(">")
        first = column == "claim"
        columns_only.add_column(
            column.rstrip(">"),
            justify="right" if right else "left",
            no_wrap=not first,
            overflow="fold",
        )
    return columns_only


def _smoke_cells(result: Json, why: str) -> tuple[Any, ...]:
    verdict = result["verdict"]
    if is_theorem(result):
        return (verdict_text(result),)
    return (Text(verdict + (why if verdict == "inconclusive" else ""), STYLES.get(verdict, "")),)


def verdict_text(result: Json) -> Text:
    """The verdict in its colour, with a star where the claim ships as refuted."""
    verdict = result["verdict"]
    decided = verdict in ("supported", "refuted")
    style = ("green" if verdict == result["expected"] else "red") if decided else STYLES[verdict]
    return Text(f"{verdict}{'*' if result['expected'] == 'refuted' else ''}", style)


def _verdict_cells(result: Json) -> tuple[Any, ...]:
    shown = verdict_text(result)
    if is_theorem(result):
        return shown, "", "", "" if result["examples"] is None else f"{result['examples']} ex."
    evidence = result["evidence"] or {}
    n = str(evidence.get("n", ""))
    if "parts" in evidence:
        return shown, "", f"{evidence['operator']} of {len(evidence['parts'])}", n
    if not evidence or all(evidence[part] is None for part in ("estimate", "lower", "upper")):
        return shown, "", "", n
    bounds = ", ".join(_number(evidence[side]) for side in ("lower", "upper"))
    estimate = "" if evidence["estimate"] is None else _number(evidence["estimate"])
    return shown, estimate, Text(f"[{bounds}]"), n


def _parts(result: Json) -> Iterator[tuple[str, Json]]:
    """The parts of a joined claim by their number, in the order they are written in, each as a result of its own."""
    for n, part in enumerate((result.get("evidence") or {}).get("parts", []), start=1):
        yield f"    {n}.", {**result, "verdict": part["verdict"], "evidence": part}


def _method_cells(result: Json) -> tuple[Any, ...]:
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


def _legend(results: Sequence[Json]) -> Iterator[str]:
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


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}"
