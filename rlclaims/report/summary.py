"""A session in Markdown for a pull request, and GitHub's annotations for the claims that turned red."""

import html
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from rlclaims.report.diff import Diff, summary_of
from rlclaims.report.record import (
    Json,
    State,
    all_results,
    comparisons,
    interval_text,
    is_theorem,
    runs_in_words,
    state,
)

MARKS: dict[State, str] = {"expected": "✅", "contrary": "❌", "open": "❔", "error": "💥"}
WORDS: dict[State, str] = {
    "expected": "as expected",
    "contrary": "contrary to expectation",
    "open": "inconclusive",
    "error": "in error",
}
RED = ("contrary", "error")


def summary(record: Json, changes: Diff | None = None) -> str:
    """Return the verdicts of a session, those that turned red first.

    Args:
        record: of the session.
        changes: from an earlier record, if it is compared with one.
    """
    results = all_results(record)
    profile = record["profile"]
    scope = runs_in_words(record["claims"])
    red = [result for result in results if state(result) in RED]
    counts = Counter(map(state, results))
    words = ", ".join(f"{counts[name]} {words}" for name, words in WORDS.items() if counts[name])
    lines = [
        "## Claims",
        "",
        f"{words or 'None'}. Profile {_text(profile['name'])}{f': {_text(scope)}' if scope else ''}.",
    ]
    if not profile["evidence"]:
        lines += ["", "This profile shows that the claims run. Its verdicts are no evidence."]
    if red:
        lines += ["", *_table(red)]
    if changes is not None:
        lines += ["", "### What changed", "", *_changed(changes)]
    lines += ["", "<details><summary>All verdicts</summary>", "", *_table(results), "", "</details>"]
    return "\n".join(lines) + "\n"


def write_summary(record: Json, folder: Path, changes: Diff | None = None) -> Path:
    """Write `summary.md` into a folder, and return its path.

    Raises:
        OSError: it cannot be written.
    """
    path = folder / "summary.md"
    path.write_text(summary(record, changes), encoding="utf-8")
    return path


def annotations(located: Iterable[tuple[Json, str, int]]) -> Iterator[str]:
    """Yield GitHub's commands for claims and theorems that turned red.

    Args:
        located: each result, with its file and its line, from 1.
    """
    for result, file, line in located:
        if state(result) not in RED:
            continue
        estimate = "; ".join(f"{quantity}: {x} [{lower}, {upper}]" for quantity, x, lower, upper in _estimates(result))
        message = f'{result["verdict"]}: "{result["says"]}"' + (f" ({estimate})" if estimate else "")
        where = f"file={_property(file)},line={line},title={_property(result['name'])}"
        yield f"::error {where}::{_data(message)}"


def _table(results: Iterable[Json]) -> list[str]:
    rows = ["| | claim | verdict | estimate | 90% interval |", "|---|---|---|---|---|"]
    for result in results:
        mark = MARKS[state(result)]
        expected = " (as it ships)" if result["verdict"] == result["expected"] == "refuted" else ""
        parts = list(_estimates(result))
        estimate, interval = "", f"{len(parts)} parts" if parts else ""
        if len(parts) == 1:
            ((_, estimate, lower, upper),) = parts
            interval = f"{lower} to {upper}"
        rows.append(f"| {mark} | {_name(result['name'])} | {result['verdict']}{expected} | {estimate} | {interval} |")
    return rows


def _estimates(result: Json) -> Iterator[tuple[str, str, str, str]]:
    """Yield quantity, estimate and 90% interval of each comparison of a claim."""
    for evidence in () if is_theorem(result) else comparisons(result["evidence"]):
        if evidence["estimate"] is not None:
            lower, upper = interval_text(evidence, "{}|{}").split("|")
            yield evidence["quantity"], f"{evidence['estimate']:.3g}", lower, upper


def _changed(changes: Diff) -> list[str]:
    listed = [change for change in changes.changes if change.is_listed]
    rows = ["| claim | before | after | changed |", "|---|---|---|---|"] if listed else []
    for change in listed:
        before, after = ("none" if o is None else o.verdict for o in (change.before, change.after))
        worse = f"{MARKS['contrary']} " if change.step < 0 else ""
        rows.append(f"| {_name(change.name)} | {before} | {worse}{after} | {', '.join(change.changed)} |")
    return [*rows, *([""] if rows else []), summary_of(changes)]


def _name(x: str) -> str:
    """Return a name as code in a cell of a table: on one line, and left to right."""
    plain = " ".join("".join(c for c in x if unicodedata.category(c) != "Cf").replace("`", "").split())
    return f"`{plain}`".replace("|", "\\|")


def _text(x: str) -> str:
    """Return text with the characters of Markdown and HTML escaped."""
    escaped = html.escape(x, quote=False)
    for character in "\\`*_{}[]#|":
        escaped = escaped.replace(character, f"\\{character}")
    return " ".join(escaped.split())


def _data(x: str) -> str:
    return x.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(x: str) -> str:
    return _data(x).replace(":", "%3A").replace(",", "%2C")
