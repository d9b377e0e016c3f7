"""What one claim or theorem came to, in lines for people: `rlclaims explain`."""

import textwrap

from rlclaims.report.record import Json


def tried(result: Json) -> list[str]:
    """What a theorem came to."""
    held = "" if result["examples"] is None else f" ({result['examples']} examples)"
    # As it was written: what hypothesis tells is Python.
    failed = textwrap.indent(result["counterexample"] or "", " " * 13).splitlines()
    return [row("verdict", result["verdict"] + held), *failed]


def judged(result: Json, test: str, options: str) -> list[str]:
    """What a claim came to.

    Args:
        result: of the record.
        test: its node id.
        options: of the session, each with a space.
    """
    evidence = result["evidence"]
    lines = [row("verdict", f"{result['verdict']} ({result['status']})")]
    if evidence is not None:
        lines += [row("", line) for part in evidence.get("parts", [evidence]) for line in _evidence(part)]
    for runs in result["runs"]:
        lines.append(
            row(
                "runs",
                f"{runs['fixture']}: {runs['kind']} of {runs['algorithm']} on {runs['task']}, {runs['iterations']} "
                f"iterations, seeds {runs['seeds'][0]} to {runs['seeds'][-1]}",
            )
        )
    for kept in result.get("baselines", []):
        lines.append(row("baseline", f"{kept['fixture']}: {kept['name']}, sha256 {kept['sha256']}"))
    if result["runs"]:
        seed = result["runs"][0]["seeds"][0]
        # On one line, so that it can be copied.
        lines.append(f"  {'replay':<10} pytest {test!r} {options}--claims-replay {seed}")
        lines.append(row("", "trains that seed again, bit for bit"))
    return lines


def _evidence(evidence: Json) -> list[str]:
    if "parts" in evidence:  # joined within what was joined
        return [line for part in evidence["parts"] for line in _evidence(part)]
    why = f" ({evidence['reason']}: {evidence['detail']})" if evidence["reason"] else ""
    lines = [
        f"{evidence['verdict']}{why}: {evidence['quantity']} {evidence['region']}",
        f"by {evidence['method']} ({evidence['guarantee']}: {evidence['assumption']})",
    ]
    for look in evidence["looks"]:
        bounds = ", ".join("none" if look[side] is None else f"{look[side]:.4g}" for side in ("lower", "upper"))
        estimate = "none" if look["estimate"] is None else f"{look['estimate']:.4g}"
        lines.append(f"look at {look['n']} seeds: {estimate} [{bounds}]")
    return lines


def row(title: str, text: str) -> str:
    """A title and a text below each other's like, wrapped."""
    return textwrap.fill(
        text, 100, initial_indent=f"  {title:<10} ", subsequent_indent=" " * 13, break_long_words=False
    )
