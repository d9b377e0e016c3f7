"""claims.json: everything a reader needs to check a verdict, as plain data.

Its form is `claims.schema.json` beside this file; `FORMAT` goes up when a reader of the old form would misread the new.
"""

import hashlib
import json
import platform
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from jinja2 import UndefinedError

from rlclaims.planning.profile import Profile
from rlclaims.text import describe, describe_bad_file, read_json

FORMAT = 4
SCHEMA = Path(__file__).with_name("claims.schema.json")
PACKAGES = ("rlclaims", "gymnasium", "mujoco", "numpy", "pytest", "scipy", "torch")
"""Those whose versions a record names."""

Json = dict[str, Any]


def document(results: Iterable[Json], profile: Profile, first_seed: int) -> Json:
    """The record of a session.

    Args:
        results: what each claim and each theorem came to, in the order they ran.
        profile: the budget of the session.
        first_seed: of its runs.
    """
    results = list(results)
    claims = [result for result in results if not is_theorem(result)]
    return {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "profile": {**asdict(profile), "tasks": list(profile.tasks), "looks": list(profile.looks)},
        "first_seed": first_seed,
        "families": list({result["family"]["name"]: result["family"] for result in claims}.values()),
        "environment": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "system": platform.system(),
            "packages": {name: version(name) for name in PACKAGES},
            "rlclaims_sha256": package_digest(),
        },
        "claims": claims,
        "theorems": [result for result in results if is_theorem(result)],
    }


def is_theorem(result: Json) -> bool:
    """Whether a result is a theorem's, which has examples in place of evidence."""
    return "examples" in result


State = Literal["expected", "contrary", "open", "error"]


def state(result: Json) -> State:
    """What a claim or a theorem came to, by what was expected of it: "contrary" and "error" turn a session red."""
    verdict = result["verdict"]
    if verdict == "error":
        return "error"
    if "night" in result:  # one night says nothing by itself
        night = result["night"]
        return "contrary" if night and night["alarm"] else "expected" if verdict == result["expected"] else "open"
    if verdict == "inconclusive":
        return "open"
    return "expected" if verdict == result["expected"] else "contrary"


def session_options(record: Json) -> str:
    """The options of the session that wrote a record, as far as they say which runs it took, each with a space."""
    profile, told = record["profile"], ""
    if profile["name"] != "standard":
        told += f"--claims-profile {profile['name']} "
    if record["first_seed"]:
        told += f"--claims-first-seed {record['first_seed']} "
    if len(profile["looks"]) == 1 and profile["evidence"]:
        told += f"--claims-seeds {profile['looks'][0]} "
    return told


def write(results: Iterable[Json], profile: Profile, first_seed: int, folder: Path) -> Path:
    """Write the record of a session into a folder, and tell where."""
    path = folder / "claims.json"
    text = json.dumps(document(results, profile, first_seed), indent=1, ensure_ascii=False, allow_nan=False)
    # Whoever reads it meanwhile reads the old one.
    partial = path.with_suffix(".partial")
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path)
    return path


UNREADABLE = (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, UndefinedError)
"""What is raised by a record that is not as its schema says, wherever it is used."""


class RecordError(ValueError):
    """A record that cannot be read, in one sentence."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say that a file is no record where that shows only as it is used.

    Raises:
        RecordError: it is none.
    """
    try:
        yield
    except RecordError:
        raise
    except UNREADABLE as error:
        raise RecordError(f"{path} is no record of claims ({describe_bad_file(error)}); pytest writes one.") from error


def read(path: Path) -> Json:
    """The record in a file.

    Raises:
        RecordError: there is none of today's form.
    """
    with reading(path):
        record = read_json(path)
        found = record["format"]
        if found == FORMAT:
            record.setdefault("theorems", [])  # which came later
            if not all(isinstance(result["name"], str) for result in (*record["claims"], *record["theorems"])):
                raise ValueError("a claim without a name")
    if found != FORMAT:
        raise RecordError(
            f"{path} is a record of form {describe(found)}, and this version reads {FORMAT}; run pytest again."
        )
    return dict(record)


def adjusted(evidence: Mapping[str, Any], support_rate: float, refute_rate: float) -> Json:
    """Evidence with p-values that are held against the rate that its verdict shares, whatever its look and its shares.

    Args:
        evidence: as plain data.
        support_rate: the whole rate that support has a share of.
        refute_rate: the same of refutation.
    """
    if "parts" in evidence:
        return {**evidence, "parts": [adjusted(part, support_rate, refute_rate) for part in evidence["parts"]]}
    p, level = evidence["p_value"], evidence["level"]
    rate = refute_rate if evidence["verdict"] == "refuted" else support_rate
    # At a level of 0, which a look has that can afford none, nothing is small enough.
    p_adjusted = None if p is None else min(1.0, p * rate / level) if level else 1.0
    return {**evidence, "p_adjusted": p_adjusted, "p_adjusted_rate": rate}


@cache
def package_digest() -> str:
    """One digest of all of rlclaims' own source files."""
    package = Path(__file__).parents[1]
    sources = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        sources.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return sources.hexdigest()
