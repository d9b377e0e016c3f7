"""Sentences and their verdicts as Markdown, by work and place, each with its claims."""

from collections.abc import Iterable, Mapping
from typing import Any

from rlclaims.claims.declaration import Claim
from rlclaims.claims.theorem import Theorem
from rlclaims.report.record import Json, all_results, runs_in_words

Declared = Claim | Theorem


def sentences(declared: Iterable[tuple[str, Declared]], record: Json) -> str:
    """Return every sentence, in the order of the files that claim it, with ids and verdicts.

    Args:
        declared: names, which are ids with parameters, and declarations.
        record: of the last session (`rlclaims.report.record`).
    """
    results = {result["name"]: result for result in all_results(record)}
    places: dict[str, dict[str, list[str]]] = {}
    for name, one in declared:
        row = f"| `{name}` | {_verdict(one, results.get(name), record['profile']['name'])} |"
        places.setdefault(str(one.source), {}).setdefault(one.says, []).append(row)
    scope = runs_in_words(record["claims"])
    lines = [
        "# Sentences and their claims",
        "",
        f"Written by `rlclaims sentences` on {record['created'][:10]}, from the last verdicts"
        f"{f': {scope}' if scope else ''}. `rlclaims explain ID` shows what a claim means and how it was judged.",
        "",
        "An asterisk marks claims that are expected to be refuted, on evidence that they name.",
    ]
    for place, by_sentence in places.items():
        lines += ["", f"## {place}"]
        for says, rows in by_sentence.items():
            lines += ["", f"> {says}", "", "| claim | verdict |", "|---|---|", *rows]
    return "\n".join(lines) + "\n"


def _verdict(one: Declared, result: Mapping[str, Any] | None, profile: str) -> str:
    if result is None:
        others = getattr(one, "profiles", None) or (profile,)
        return "not run" if profile in others else f"in the profile {' and '.join(others)} alone"
    if result.get("status") == "smoke":
        return "smoke run only"
    star = "*" if one.expected == "refuted" else ""
    evidence = result.get("evidence") or {}
    details = [evidence["reason"].replace("_", " ")] if evidence.get("reason") else []
    details += [f"{evidence['n']} seeds"] if evidence.get("n") else []
    return f"{result['verdict']}{star}" + (f" ({', '.join(details)})" if details else "")
