"""The judgement of one claim or theorem, in lines for people: `rlclaims explain`."""

import textwrap

from rlclaims.report.record import Json, interval_text, judged_in_words
from rlclaims.report.table import SENSITIVITY, promises


def tried(result: Json) -> list[str]:
    """Return the verdict on a theorem, with its examples or its counterexample."""
    held = "" if result["examples"] is None else f" ({result['examples']} examples)"
    # Unwrapped: hypothesis writes the counterexample in Python.
    counterexample = textwrap.indent(result["counterexample"] or "", " " * 13).splitlines()
    return [row("verdict", result["verdict"] + held), *counterexample, row("judged", judged_in_words(result))]


def judged(result: Json, test: str, options: str) -> list[str]:
    """Return the verdict on a claim, with its evidence and runs.

    Args:
        result: of the record.
        test: pytest's id of it.
        options: of the session, each with a space.
    """
    evidence = result["evidence"]
    lines = [row("verdict", f"{result['verdict']} ({result['status']})"), row("judged", judged_in_words(result))]
    if evidence is not None:
        lines += [row("", line) for line in _evidence(evidence)]
        lines += [row("", SENSITIVITY), *(row("", line) for line in promises([result], result["judged"]["alpha"]))]
    for runs in result["runs"]:
        seeds = f", seeds {runs['seeds'][0]} to {runs['seeds'][-1]}" if runs["seeds"] else ""
        kind = "" if runs["kind"] == "runs" else f" ({runs['kind']})"
        lines.append(row("runs", f"{runs['label']}{kind} on {runs['task']}, {runs['iterations']} iterations{seeds}"))
    for baseline in result.get("baselines", []):
        lines.append(row("baseline", f"{baseline['fixture']}: {baseline['name']}, sha256 {baseline['sha256']}"))
    if result["runs"]:
        seed = result["runs"][0]["seeds"][0]
        # On one line, so that it can be copied.
        lines.append(f"  {'replay':<10} pytest {test!r} {options}--claims-replay {seed}")
        lines.append(row("", "trains that seed again, bit for bit"))
    return lines


def _evidence(evidence: Json) -> list[str]:
    if "parts" in evidence:
        return [line for part in evidence["parts"] for line in _evidence(part)]
    why = f" ({evidence['reason']}: {evidence['detail']})" if evidence["reason"] else ""
    lines = [f"{evidence['verdict']}{why}: {evidence['quantity']} {evidence['region']}"]
    if evidence["estimate"] is not None:
        lines.append(f"estimate {_number(evidence['estimate'])}, 90% interval {interval_text(evidence)}")
    lines.append(f"by {evidence['method']} ({evidence['guarantee']}: {evidence['assumption']})")
    lines += [
        f"look at {look['n']} seeds: {_number(look['estimate'])} [{_number(look['lower'])}, {_number(look['upper'])}], "
        "the bounds that the verdict rests on"
        for look in evidence["looks"]
    ]
    if evidence["can_support"] is not None:
        effects = [(name, evidence[key]) for name, key in (("MDE", "detects_in_sd"), ("refutes", "refutes_in_sd"))]
        words = [f"{name} {'never' if effect is None else f'{effect:.2g} sd'}" for name, effect in effects]
        if evidence["mde"] is not None:
            words.append(f"by the pilot MDE {_number(evidence['mde'])}")
        if evidence["n_needed"] is not None:
            words.append(f"needs n {evidence['n_needed']}")
        lines.append(", ".join(words))
    return lines


def row(title: str, text: str) -> str:
    """Return a title and a wrapped text beside it."""
    return textwrap.fill(
        text,
        100,
        initial_indent=f"  {title:<10} ",
        subsequent_indent=" " * 13,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _number(x: float | None) -> str:
    return "none" if x is None else f"{x:.4g}"
