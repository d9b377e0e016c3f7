"""pilots.json beside a file of claims: what development seeds say of the spread over seeds.

A claim's minimal detectable effect needs the standard deviation of a seed, which the seeds that judge it must not tell.
"""

import json
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from rlclaims.judging.terms import Pilot, setting_of

FILE = "pilots.json"
DEVELOPMENT_SEEDS_FROM = 10_000
"""Seeds that judge are below, seeds to look at beforehand from here up."""


def read_pilots(folder: Path) -> Mapping[str, Pilot]:
    """The pilots of the claims in a folder, by their names; none where there is no file.

    Raises:
        pytest.UsageError: the file is not what `--claims-write-pilots` writes.
    """
    path = folder / FILE
    if not path.exists():
        return {}
    try:
        return {
            name: Pilot(**{**pilot, "seeds": tuple(pilot["seeds"])})
            for name, pilot in json.loads(path.read_text(encoding="utf-8")).items()
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise pytest.UsageError(f"{path} is no file of pilots ({error}); --claims-write-pilots makes one.") from None


def write_pilots(reports: Iterable[Any], root: Path) -> Iterator[Path]:
    """Write the spread of each judged claim beside its file; claims that were not run keep what they had."""
    by_folder: dict[Path, dict[str, Any]] = {}
    for report in reports:
        evidence = report.rlclaims["evidence"] or {}
        if "values" in evidence and not any(value is None for group in evidence["values"] for value in group):
            folder = (root / report.nodeid.partition("::")[0]).parent
            by_folder.setdefault(folder, {})[report.rlclaims["name"]] = _pilot(evidence)
    for folder, pilots in by_folder.items():
        path = folder / FILE
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        lines = [
            f" {json.dumps(name)}: {json.dumps(pilot, ensure_ascii=False)}"
            for name, pilot in sorted({**before, **pilots}.items())
        ]
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        yield path


def _pilot(evidence: Mapping[str, Any]) -> dict[str, Any]:
    # Of two groups, the spread of the one that spreads more.
    scale = math.log if evidence["log_scale"] else float
    deviation = max(statistics.stdev(map(scale, group)) for group in evidence["values"])
    return {
        "standard_deviation": float(f"{deviation:.4g}"),
        "seeds": [seed for group in evidence["seeds"] for seed in group],
        "quantity": evidence["quantity"],
        "setting": setting_of(evidence["scope"]),
    }
