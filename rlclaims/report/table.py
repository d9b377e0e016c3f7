"""The verdicts of a session, for people: a line for each claim, then the reasons of those that are not as expected."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from rlclaims.planning.profile import Profile
from rlclaims.report.grid import Grid, rows_by_section, say
from rlclaims.report.record import Json, comparisons, interval_text, is_theorem, runs_in_words, state
from rlclaims.stats.power import MOST_SEEDS

STYLES = {"inconclusive": "yellow", "error": "red"}


def verdict_table(results: Sequence[Json], profile: Profile, file: TextIO, width: int, *, verbose: bool) -> None:
    """Print a line for each claim and theorem, then why some are open or contrary to expectation.

    Args:
        results: of the session's claims and theorems.
        profile: the budget of the session.
        file: where to.
        width: of the terminal, if it is one.
        verbose: whether to add the parts of joined claims, the methods, and what their numbers mean.
    """
    console = Console(file=file, width=max(width, 80))
    claims = [result for result in results if not is_theorem(result)]
    theorems = [result for result in results if is_theorem(result)]
    if scope := runs_in_words(claims):
        say(console, scope)
    if profile.no_evidence is not None:
        note = f" ({profile.no_evidence})"
        rows_by_section(Grid("claim", "verdict"), results, lambda result: _smoke_cells(result, note)).print(console)
        if claims:
            say(console, f"{profile.no_evidence}: these claims run, and nothing is said about their truth.")
        if theorems:
            say(console, "Theorems take no seeds and are judged as in any profile.")
        _star(theorems, console)
        return
    table = Grid("claim", "verdict", "estimate>", "90% interval", "seeds>")
    rows_by_section(table, _with_parts(results) if verbose else results, _verdict_cells).print(console)
    _star(results, console)
    for result in results:
        if (reason := _reason(result)) is not None:
            say(console, f"{result['name']} {reason}")
    if verbose and claims:
        console.print()
        methods = Grid("claim", "method", "look", "MDE>", "margin>", "needs n>", "refutes>")
        rows_by_section(methods, _with_parts(claims), _method_cells).print(console)
        for sentence in (*_legend(claims), "", *promises(claims, profile.alpha)):
            say(console, sentence)


def verdict_text(result: Json) -> Text:
    """Return the verdict in its colour, with a star if the claim is expected to be refuted."""
    verdict = result["verdict"]
    decided = verdict in ("supported", "refuted")
    style = ("green" if verdict == result["expected"] else "red") if decided else STYLES[verdict]
    return Text(f"{verdict}{'*' if result['expected'] == 'refuted' else ''}", style)


def promises(results: Iterable[Json], alpha: float) -> Iterator[str]:
    """Yield what the verdicts of each family are worth, a sentence each."""
    results = list(results)
    for family in {result["family"]["name"]: result["family"] for result in results}.values():
        shares = "one share" if family["size"] == 1 else f"{family['size']} shares"
        at_most = f"{100 * family['rate']:.3g}%"
        red = f"if every sentence is as it ships, its claims turn red with probability at most {at_most}"
        if any("night" in result for result in results):
            red = "its claims turn red at the alarm of all sessions"
        yield (
            f"Family {family['name']!r}, of {shares}: {red}; a false sentence is declared supported with "
            f"probability at most {100 * alpha:.3g}%; each up to its method's guarantee."
        )


SENSITIVITY = (
    "MDE: the distance from the bound that is detected with probability .8 over all looks; refutes: the same on the "
    "far side. Both are for normal seeds, with the spread in pilots.json, or else in standard deviations of a seed. "
    "needs n: the number of seeds at which one look, at the same error rate, detects the margin."
)
"""Explanation of the columns about a design's power."""


def _star(results: Sequence[Json], console: Console) -> None:
    if any(result["expected"] == "refuted" for result in results):
        say(console, "* expected to be refuted: the claim says on what evidence")


def _reason(result: Json) -> str | None:
    """Return why a claim or theorem is not as expected; None if it is."""
    if state(result) == "expected":
        return None
    if result["verdict"] == "error":
        return "is in error: pytest's output above says why"
    if result["verdict"] == "inconclusive":
        evidence = result["evidence"]
        detail = f": {evidence['detail']}" if "detail" in evidence else ""
        return f"is inconclusive, {evidence['reason']}{detail}"
    message = f"is {result['verdict']}, and was expected to be {result['expected']}"
    if is_theorem(result):
        return f"{message}: `rlclaims explain` shows the counterexample"
    parts = "; ".join(
        f"{part['quantity']} is {_number(part['estimate'])} {interval_text(part)}, the claim says {part['region']}"
        for part in comparisons(result["evidence"])
        if part["estimate"] is not None
    )
    return f"{message}: {parts}" if parts else message


def _with_parts(results: Iterable[Json]) -> Iterator[Json]:
    """Yield each result, and after a joined one its parts by their number, as results of their own."""
    for result in results:
        yield result
        for n, part in enumerate((result.get("evidence") or {}).get("parts", []), start=1):
            head = result["name"].partition("/")[0]
            yield {**result, "name": f"{head}/  {n}.", "verdict": part["verdict"], "evidence": part, "part": True}


def _smoke_cells(result: Json, note: str) -> tuple[Any, ...]:
    if is_theorem(result):
        return (verdict_text(result),)
    verdict = result["verdict"]
    return (Text(verdict + (note if verdict == "inconclusive" else ""), STYLES.get(verdict, "")),)


def _verdict_cells(result: Json) -> tuple[Any, ...]:
    verdict = Text(result["verdict"]) if "part" in result else verdict_text(result)
    if is_theorem(result):
        return verdict, "", "", "" if result["examples"] is None else f"{result['examples']} examples"
    evidence = result["evidence"] or {}
    n = str(evidence.get("n", ""))
    if "parts" in evidence:
        return verdict, "", f"{evidence['operator']} of {len(evidence['parts'])}", n
    if not evidence or evidence["estimate"] is None:
        return verdict, "", "", n
    return verdict, _number(evidence["estimate"]), interval_text(evidence), n


def _method_cells(result: Json) -> tuple[Any, ...]:
    evidence = result["evidence"] or {}
    if "method" not in evidence:
        return ("", "")
    look = f"{len(evidence['looks'])}/{len(evidence['planned_looks'])}"
    times = "x" if evidence["log_scale"] else ""
    detects, margin, refutes = (
        "" if evidence[key] is None else f"{times}{_number(evidence[key])}" for key in ("mde", "margin", "mde_refuting")
    )
    if evidence["mde"] is None:  # no pilot
        detects, refutes = (
            "" if evidence[key] is None else f"{evidence[key]:.2g} sd" for key in ("detects_in_sd", "refutes_in_sd")
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
    """Yield what the methods in use guarantee, and what the columns mean."""
    used = [part for result in results for part in comparisons(result["evidence"])]
    for method, guarantee, assumption in dict.fromkeys((e["method"], e["guarantee"], e["assumption"]) for e in used):
        yield f"{method}: {guarantee} ({assumption})"
    if used:
        yield SENSITIVITY


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}"
