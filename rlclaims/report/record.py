"""claims.json: everything a reader needs to check a verdict, as plain data.

Its form is `claims.schema.json` beside this file. `FORMAT` goes up when a reader of the old form would misread the new.

A session writes the claims that it judged, and keeps those that it did not judge as earlier sessions left them. The
sections `profile`, `first_seed` and `environment` are the last session's; `judged` of each claim is its own session's.
A session whose verdicts are no evidence, such as one of the profile `smoke`, does not replace a verdict that is.
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
"""Packages whose versions a record names."""

Json = dict[str, Any]


def document(results: Iterable[Json], profile: Profile, first_seed: int, earlier: Json | None = None) -> Json:
    """Return the record of a session.

    Args:
        results: of its claims and theorems, in the order they ran.
        profile: its budget.
        first_seed: the first seed of its runs.
        earlier: the record that it takes the place of, whose other claims are kept; or None.
    """
    environment = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
        "packages": {name: version(name) for name in PACKAGES},
        "rlclaims_sha256": package_digest(),
    }
    created = datetime.now(UTC).isoformat(timespec="microseconds")
    judged = {
        "created": created,
        "profile": profile.name,
        "evidence": profile.evidence,
        "alpha": profile.alpha,
        "looks": list(profile.looks),
        "first_seed": first_seed,
        "environment_sha256": _digest(environment),
    }
    claims: list[Json] = []
    theorems: list[Json] = []
    for result in _merged([{**result, "judged": judged} for result in results], earlier):
        (theorems if is_theorem(result) else claims).append(result)
    return {
        "format": FORMAT,
        "created": created,
        "profile": {**asdict(profile), "tasks": list(profile.tasks), "looks": list(profile.looks)},
        "first_seed": first_seed,
        "families": list({claim["family"]["name"]: claim["family"] for claim in reversed(claims)}.values())[::-1],
        "environment": environment,
        "environment_sha256": judged["environment_sha256"],
        "claims": claims,
        "theorems": theorems,
    }


def _merged(results: list[Json], earlier: Json | None) -> Iterator[Json]:
    """Yield a session's results, then what an earlier record has beside them."""
    before = {} if earlier is None else {result["name"]: result for result in all_results(earlier)}
    for result in results:
        known = before.get(result["name"])
        weaker = known is not None and known["judged"]["evidence"] and not result["judged"]["evidence"]
        if not weaker or is_theorem(result):
            yield result
            before.pop(result["name"], None)
    yield from before.values()


def all_results(record: Json) -> list[Json]:
    """Return the claims and theorems of a record."""
    return [*record["claims"], *record["theorems"]]


def of_last_session(record: Json) -> Json:
    """Return a record without what earlier sessions judged."""
    return record | {
        part: [result for result in record[part] if not is_earlier(record, result)] for part in ("claims", "theorems")
    }


def is_earlier(record: Json, result: Json) -> bool:
    """Return whether a claim or theorem of a record was judged by an earlier session than its last."""
    return bool(result["judged"]["created"] != record["created"])


def is_theorem(result: Json) -> bool:
    """Return whether a result is a theorem's, which has examples in place of evidence."""
    return "examples" in result


State = Literal["expected", "contrary", "open", "error"]


def state(result: Json) -> State:
    """Return how a verdict compares with the expected one: "contrary" and "error" turn a session red."""
    verdict = result["verdict"]
    if verdict == "error":
        return "error"
    if "night" in result:  # a night decides nothing by itself
        night = result["night"]
        return "contrary" if night and night["alarm"] else "expected" if verdict == result["expected"] else "open"
    if verdict == "inconclusive":
        return "open"
    return "expected" if verdict == result["expected"] else "contrary"


def comparisons(evidence: Json | None) -> Iterator[Json]:
    """Yield the comparisons that a claim's evidence is made of, in the order they are written in."""
    if evidence is not None and "parts" in evidence:
        for part in evidence["parts"]:
            yield from comparisons(part)
    elif evidence is not None:
        yield evidence


def interval_text(evidence: Json, form: str = "[{}, {}]") -> str:
    """Return the 90% interval of a comparison in words."""
    interval = evidence["interval90"]
    return form.format(*("none" if interval[end] is None else f"{interval[end]:.3g}" for end in ("lower", "upper")))


def runs_in_words(claims: Iterable[Json]) -> str:
    """Return tasks, steps and seeds of the runs that claims were judged on; empty without runs."""
    settings: dict[tuple[str, int | None], set[int]] = {}
    for claim in claims:
        for runs in claim["runs"]:
            settings.setdefault((runs["task"], runs.get("steps")), set()).update(runs["seeds"])
    if len(settings) <= MOST_SETTINGS:
        return "; ".join(
            ", ".join(filter(None, (task, _steps(steps, steps), _seeds(seeds))))
            for (task, steps), seeds in settings.items()
        )
    lengths = [steps for _, steps in settings if steps is not None]
    words = _steps(min(lengths), max(lengths)) if lengths else ""
    tasks = ", ".join(dict.fromkeys(task for task, _ in settings))
    return "; ".join(filter(None, (tasks, words, _seeds(set().union(*settings.values())))))


MOST_SETTINGS = 3
"""Tasks and lengths that are named one by one."""


def _steps(least: int | None, most: int | None) -> str:
    if least is None:
        return ""
    return f"{least:,} steps" if least == most else f"{least:,} to {most:,} steps"


def _seeds(seeds: set[int]) -> str:
    if not seeds:
        return "no seeds"
    first, last = min(seeds), max(seeds)
    if last - first + 1 == len(seeds):
        return f"seeds {first} to {last}" if last > first else f"seed {first}"
    return f"{len(seeds)} seeds from {first} to {last}"


def session_options(result: Json) -> str:
    """Return the options of the session that judged a claim, as far as they choose its runs, each with a space."""
    judged = result["judged"]
    options = ""
    if judged["profile"] != "standard":
        options += f"--claims-profile {judged['profile']} "
    if judged["first_seed"]:
        options += f"--claims-first-seed {judged['first_seed']} "
    if len(judged["looks"]) == 1 and judged["evidence"]:
        options += f"--claims-seeds {judged['looks'][0]} "
    return options


def judged_in_words(result: Json) -> str:
    """Return when, by which profile and on which runs a claim or theorem was judged."""
    judged = result["judged"]
    scope = "" if is_theorem(result) else runs_in_words([result])
    return f"{judged['created'][:10]}, profile {judged['profile']}" + (f", {scope}" if scope else "")


def write(results: Iterable[Json], profile: Profile, first_seed: int, folder: Path) -> Path:
    """Write the record of a session into a folder, and return its path. Claims that are there already are kept."""
    path = folder / "claims.json"
    try:
        earlier = read(path)
    except RecordError:  # missing, damaged, or of another version
        earlier = None
    record = document(results, profile, first_seed, earlier)
    text = as_text(record)
    # A reader sees the old file until the new one is complete.
    partial = path.with_suffix(".partial")
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path)
    return path


UNREADABLE = (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, UndefinedError)
"""Errors that a record raises, wherever it is used, if it is not as its schema says."""


class RecordError(ValueError):
    """A record that cannot be read, in one sentence."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Report a file as no record where that shows only as it is used.

    Raises:
        RecordError: the file is not a record.
    """
    try:
        yield
    except RecordError:
        raise
    except UNREADABLE as error:
        raise RecordError(f"{path} is no record of claims ({describe_bad_file(error)}); pytest writes one.") from error


def read(path: Path) -> Json:
    """Return the record in a file.

    Raises:
        RecordError: the file is missing, or is not a record of this format.
    """
    with reading(path):
        record = read_json(path)
        form = record["format"]
        if form == FORMAT:
            record.setdefault("theorems", [])
            for result in all_results(record):
                if not isinstance(result["name"], str):
                    raise ValueError("a claim without a name")
                if not isinstance(result["judged"]["created"], str):
                    raise ValueError("a claim without a date")
    if form != FORMAT:
        raise RecordError(
            f"{path} is a record of form {describe(form)}, and this version reads {FORMAT}; run pytest again."
        )
    return dict(record)


def adjusted(evidence: Mapping[str, Any], support_rate: float, refute_rate: float) -> Json:
    """Return evidence with p-values that are held against the whole rate, of which their verdict has a share.

    Args:
        evidence: as plain data.
        support_rate: the rate that support has a share of.
        refute_rate: the rate that refutation has a share of.
    """
    if "parts" in evidence:
        return {**evidence, "parts": [adjusted(part, support_rate, refute_rate) for part in evidence["parts"]]}
    p, level = evidence["p_value"], evidence["level"]
    rate = refute_rate if evidence["verdict"] == "refuted" else support_rate
    # At a level of 0, which belongs to a look that spends nothing, no p-value is small enough.
    p_adjusted = None if p is None else min(1.0, p * rate / level) if level else 1.0
    return {**evidence, "p_adjusted": p_adjusted, "p_adjusted_rate": rate}


def as_text(value: Any, indent: str = "\n") -> str:
    """Return JSON with one entry a line, but lists of numbers and what is short on one line each."""
    flat = json.dumps(value, ensure_ascii=False, allow_nan=False)
    numbers = isinstance(value, list) and not any(isinstance(part, dict | list | str) for part in value)
    if numbers or len(flat) <= SHORT or not isinstance(value, dict | list):
        return flat
    deeper = indent + " "
    if isinstance(value, dict):
        entries = [f"{json.dumps(name)}: {as_text(part, deeper)}" for name, part in value.items()]
        return f"{{{deeper}{f',{deeper}'.join(entries)}{indent}}}"
    return f"[{deeper}{f',{deeper}'.join(as_text(part, deeper) for part in value)}{indent}]"


SHORT = 160
"""Characters of an entry that is written on one line."""


def _digest(data: Json) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


@cache
def package_digest() -> str:
    """Return one digest of all source files of rlclaims."""
    package = Path(__file__).parents[1]
    sources = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        sources.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return sources.hexdigest()
