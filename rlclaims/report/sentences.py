"""Sentences and what became of them, as Markdown: by the work and the place where they stand, each with its claims."""

from collections.abc import Iterable, Mapping
from typing import Any

from rlclaims.claims.declaration import Claim
from rlclaims.claims.theorem import Theorem

Declared = Claim | Theorem


def sentences(declared: Iterable[tuple[str, Declared]], record: Mapping[str, Any]) -> str:
    """Every sentence, in the order of the files that they are claimed in, with ids and verdicts.

    Args:
        declared: names, which are ids with parameters, and what they declare.
        record: of the last session (`rlclaims.report.record`).
    """
    results = {result["name"]: result for result in (*record["claims"], *record["theorems"])}
    places: dict[str, dict[str, list[str]]] = {}
    for name, one in declared:
        row = f"| `{name}` | {_verdict(one, results.get(name), record['profile']['name'])} |"
        places.setdefault(str(one.source), {}).setdefault(one.says, []).append(row)
    profile = record["profile"]
    lines = [
        "# Sentences and their claims",
        "",
        "Written by `rlclaims sentences`, from the record of the last session: "
        f"profile {profile['name']}, {', '.join(profile['tasks'])}, {profile['iterations']} updates a run, "
        f"{record['created'][:10]}. `rlclaims explain ID` tells what a claim means and how it was judged.",
        "",
        "An asterisk is at claims that ship as refuted, on evidence that they name.",
    ]
    for place, by_sentence in places.items():
        lines += ["", f"## {place}"]
        for says, rows in by_sentence.items():
            lines += ["", f"> {says}", "", "| claim | verdict |", "|---|---|", *rows]
    return "\n".join(lines) + "\n"


def _verdict(one: Declared, result: Mapping[str, Any] | None, profile: str) -> str:
    others = getattr(one, "profiles", None)
    if others is not None and profile not in others:
        return f"in the profile {' and '.join(others)} alone"
    if result is None:
        return "not run"
    if result.get("status") == "smoke":
        return "smoke run only"
    star = "*" if one.expected == "refuted" else ""
    evidence = result.get("evidence") or {}
    told = [evidence["reason"].replace("_", " ")] if evidence.get("reason") else []
    told += [f"{evidence['n']} seeds"] if evidence.get("n") else []
    return f"{result['verdict']}{star}" + (f" ({', '.join(told)})" if told else "")
