"""pilots.json beside a file of claims: the spread over development seeds.

A claim's minimal detectable effect needs the standard deviation of a seed, which must not come from the seeds that
judge it.
"""

import json
import math
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from rlclaims.claims.judging_terms import Pilot
from rlclaims.claims.numbers import is_number
from rlclaims.text import describe, describe_bad_file, read_json

FILE = "pilots.json"
MOST = 1e100
"""Largest standard deviation that is accepted."""


def read_pilots(folder: Path) -> Mapping[str, Pilot]:
    """Return the pilots of the claims in a folder, by claim name; empty if there is no file.

    Raises:
        pytest.UsageError: the file is not what `--claims-write-pilots` writes.
    """
    path = folder / FILE
    if not path.exists():
        return {}
    try:
        return {name: _read(pilot) for name, pilot in read_json(path).items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        why = describe_bad_file(error)
        raise pytest.UsageError(f"{path} is not a file of pilots ({why}); --claims-write-pilots writes one.") from None


def _read(pilot: dict[str, Any]) -> Pilot:
    settings = tuple((setting["task"], setting["steps"]) for setting in pilot["settings"])
    read = Pilot(**{**pilot, "seeds": tuple(pilot["seeds"]), "settings": settings})
    if not (is_number(read.standard_deviation) and 0 < read.standard_deviation < MOST):
        raise ValueError(f"a standard deviation of {describe(read.standard_deviation)}")
    if len(read.seeds) < 2 or not all(type(seed) is int for seed in read.seeds):
        raise ValueError(f"seeds {describe(pilot['seeds'])}")
    if read.seeds_used is not None and (type(read.seeds_used) is not int or read.seeds_used < 1):
        raise ValueError(f"{describe(read.seeds_used)} seeds used")
    if not isinstance(read.key, str):
        raise ValueError(f"the key {describe(read.key)}")
    if not all(isinstance(task, str) and type(steps) is int for task, steps in settings):
        raise ValueError(f"settings {describe(pilot['settings'])}")
    return read


def write_pilots(reports: Iterable[Any]) -> list[str]:
    """Write the spread of each judged claim beside its file, and return a message for each file.

    Other claims keep their pilots. A claim gets none if it joins several comparisons, if a seed has no finite value, or
    if all seeds are equal.
    """
    by_folder: dict[Path, dict[str, Any]] = {}
    for report in reports:
        pilot = _pilot(report.rlclaims.get("evidence") or {})
        if pilot is not None:
            by_folder.setdefault(Path(report.rlclaims_folder), {})[report.rlclaims["name"]] = pilot
    told = []
    for folder, pilots in by_folder.items():
        path = folder / FILE
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        lines = [
            f" {json.dumps(name)}: {json.dumps(pilot, ensure_ascii=False)}"
            for name, pilot in sorted({**before, **pilots}.items())
        ]
        try:
            path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
            told.append(f"The spread over these seeds is in {path}")
        except OSError as error:
            told.append(f"{path} could not be written ({error})")
    return told


def _pilot(evidence: Mapping[str, Any]) -> dict[str, Any] | None:
    groups = evidence.get("values", [[None]])
    least = 0.0 if evidence.get("log_scale") else -math.inf
    if any(value is None or value <= least for group in groups for value in group):
        return None
    # With two groups, the larger spread counts.
    scale = math.log if evidence["log_scale"] else float
    deviation = max(statistics.stdev(map(scale, group)) for group in groups)
    if deviation == 0 or deviation >= MOST:
        return None
    return {
        "standard_deviation": float(f"{deviation:.4g}"),
        # A baseline's seeds are not development seeds.
        "seeds": [seed for i, of in enumerate(evidence["seeds"]) if i != evidence["saved_group"] for seed in of],
        "key": evidence["key"],
        "settings": evidence["settings"],
        "seeds_used": evidence["n"],
    }
