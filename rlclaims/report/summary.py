"""A session in Markdown for a pull request, and GitHub's annotations for the claims that turned red."""

import html
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from rlclaims.report.diff import Diff, summary_of
from rlclaims.report.record import Json, State, is_theorem, state

MARKS: dict[State, str] = {"expected": "✅", "contrary": "❌", "open": "❔", "error": "💥"}
WORDS: dict[State, str] = {
    "expected": "as expected",
    "contrary": "contrary to expectation",
    "open": "inconclusive",
    "error": "in error",
}
RED = ("contrary", "error")


def summary(record: Json, found: Diff | None = None) -> str:
    """What a session came to: what turned red first, all verdicts below.

    Args:
        record: of the session.
        found: what changed from an earlier one, if it is held against one.
    """
    results = [*record["claims"], *record["theorems"]]
    profile = record["profile"]
    red = [result for result in results if state(result) in RED]
    counts = Counter(map(state, results))
    told = ", ".join(f"{counts[name]} {words}" for name, words in WORDS.items() if counts[name])
    lines = [
        "## Claims",
        "",
        f"{told or 'None'}. Profile {_text(profile['name'])}: {_text(', '.join(profile['tasks']))}, "
        f"{profile['iterations']} updates a run, from seed {record['first_seed']} on.",
    ]
    if not profile["evidence"]:
        lines += ["", "This profile proves that the claims run. It is no evidence of their truth."]
    if red:
        lines += ["", *_table(red)]
    if found is not None:
        lines += ["", "### What changed", "", *_changed(found)]
    lines += ["", "<details><summary>All verdicts</summary>", "", *_table(results), "", "</details>"]
    return "\n".join(lines) + "\n"


def write_summary(record: Json, folder: Path, found: Diff | None = None) -> Path:
    """Write `summary.md` into a folder, and tell where.

    Raises:
        OSError: it cannot be written.
    """
    path = folder / "summary.md"
    path.write_text(summary(record, found), encoding="utf-8")
    return path


def annotations(located: Iterable[tuple[Json, str, int]]) -> Iterator[str]:
    """GitHub's commands for claims and theorems that turned red.

    Args:
        located: each result, with the file it is from and its line, from 1.
    """
    for result, file, line in located:
        if state(result) not in RED:
            continue
        estimate = "; ".join(_shown(result, "{}: {} [{}, {}]"))
        message = f'{result["verdict"]}: "{result["says"]}"' + (f" ({estimate})" if estimate else "")
        where = f"file={_property(file)},line={line},title={_property(result['name'])}"
        yield f"::error {where}::{_data(message)}"


def _table(results: Iterable[Json]) -> list[str]:
    rows = ["| | claim | verdict | estimate | interval |", "|---|---|---|---|---|"]
    for result in results:
        mark = MARKS[state(result)]
        expected = " (as it ships)" if result["verdict"] == result["expected"] == "refuted" else ""
        parts = list(_shown(result, "{1}|{2} to {3}"))
        estimate, interval = parts[0].split("|") if len(parts) == 1 else ("", f"{len(parts)} parts" if parts else "")
        rows.append(f"| {mark} | {_name(result['name'])} | {result['verdict']}{expected} | {estimate} | {interval} |")
    return rows


def _shown(result: Json, form: str) -> Iterator[str]:
    """Quantity, estimate and interval of each comparison of a claim."""
    if is_theorem(result) or result["evidence"] is None:
        return
    waiting = [result["evidence"]]
    while waiting:
        evidence = waiting.pop(0)
        if "parts" in evidence:
            waiting[:0] = evidence["parts"]
        elif evidence["estimate"] is not None:
            bounds = ("none" if evidence[end] is None else f"{evidence[end]:.3g}" for end in ("lower", "upper"))
            yield form.format(evidence["quantity"], f"{evidence['estimate']:.3g}", *bounds)


def _changed(found: Diff) -> list[str]:
    told = [change for change in found.changes if change.told]
    rows = ["| claim | before | after | changed |", "|---|---|---|---|"] if told else []
    for change in told:
        before, after = ("none" if o is None else o.verdict for o in (change.before, change.after))
        worse = f"{MARKS['contrary']} " if change.step < 0 else ""
        rows.append(f"| {_name(change.name)} | {before} | {worse}{after} | {', '.join(change.changed)} |")
    return [*rows, *([""] if rows else []), summary_of(found)]


def _name(x: str) -> str:
    """A name as code in a cell of a table: on one line, and left to right."""
    plain = " ".join("".join(c for c in x if unicodedata.category(c) != "Cf").replace("`", "").split())
    return f"`{plain}`".replace("|", "\\|")


def _text(x: str) -> str:
    """Text that is neither Markdown nor HTML."""
    escaped = html.escape(x, quote=False)
    for character in "\\`*_{}[]#|":
        escaped = escaped.replace(character, f"\\{character}")
    return " ".join(escaped.split())


def _data(x: str) -> str:
    return x.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(x: str) -> str:
    return _data(x).replace(":", "%3A").replace(",", "%2C")
