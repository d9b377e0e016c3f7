"""Compare two records of claims number by number, for a change that must not alter what is computed.

    python benchmarks/compare_records.py before/claims.json after/claims.json

Verdicts, seeds, per-seed values, estimates and bounds of every claim have to be equal, bit for bit. Names of fixtures,
labels of quantities and digests of runs may differ. The exit status is 1 if any number differs.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]

NUMBERS = (
    "verdict", "reason", "n", "seeds", "values", "estimate", "lower", "upper", "region_ends", "p_value", "p_adjusted",
    "level", "looks", "planned_looks", "method", "guarantee", "log_scale", "correlation", "margin", "mde",
    "mde_refuting", "n_needed", "detects_in_sd", "refutes_in_sd", "diagnostics", "stop_reason",
)  # fmt: skip
"""Entries of a comparison's evidence that have to be equal."""


def comparisons(evidence: Json | None) -> list[Json]:
    """Return the comparisons that evidence is made of."""
    if evidence is None:
        return []
    if "parts" in evidence:
        return [leaf for part in evidence["parts"] for leaf in comparisons(part)]
    return [evidence]


def differences(before: Json, after: Json) -> Iterator[str]:
    """Yield what differs between the entries of one claim or theorem."""
    for name in ("verdict", "expected", "status"):
        if before.get(name) != after.get(name):
            yield f"{name}: {before.get(name)} -> {after.get(name)}"
    one, other = comparisons(before.get("evidence")), comparisons(after.get("evidence"))
    if len(one) != len(other):
        yield f"comparisons: {len(one)} -> {len(other)}"
    for i, (left, right) in enumerate(zip(one, other, strict=False), start=1):
        for name in NUMBERS:
            if left.get(name) != right.get(name):
                yield f"part {i}, {name}: {left.get(name)} -> {right.get(name)}"


def main() -> int:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="claims.json before the change")
    parser.add_argument("after", type=Path, help="claims.json after the change")
    options = parser.parse_args()
    records = [json.loads(path.read_text(encoding="utf-8")) for path in (options.before, options.after)]
    entries = [{e["name"]: e for e in (*record["claims"], *record["theorems"])} for record in records]
    before, after = entries
    compared = {name: list(differences(before[name], after[name])) for name in before if name in after}
    wrong = {name: lines for name, lines in compared.items() if lines}
    for name, lines in wrong.items():
        print(name, *lines, sep="\n  ")
    for title, one, other in (("missing", before, after), ("new", after, before)):
        for name in sorted(one.keys() - other.keys()):
            print(f"{title}: {name}")
    values = sum(
        len(group) for name in compared for part in comparisons(after[name].get("evidence")) for group in part["values"]
    )
    missing = before.keys() ^ after.keys()
    print(
        f"{len(compared) - len(wrong)} of {len(before)} claims and theorems equal; {values:,} per-seed values compared"
    )
    return int(bool(wrong or missing))


if __name__ == "__main__":
    raise SystemExit(main())
