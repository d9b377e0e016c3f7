"""Baselines: numbers of a version of an algorithm, seed by seed, saved for later versions to be compared with.

kl / before[kl] <= 1.1
     ------ the file reports/baselines/NAME.json, which `rlclaims baseline save NAME` makes of the last record
            -- which of its numbers: the same quantity, task and steps as of the current runs

The file is small text, for git. It is JSON, so that reading it executes nothing, and has a checksum, which shows
whether an editor or a merge has changed a number.
"""

import hashlib
import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from rlclaims.claims.estimand import Judgeable
from rlclaims.claims.evidence import ClaimError
from rlclaims.claims.sample import Sample
from rlclaims.claims.scope import Part, Scope, Setting, label_of
from rlclaims.store.digest import library_versions
from rlclaims.text import describe, describe_bad_file, read_json

FORMAT = 2
Json = dict[str, Any]


class BaselineError(ValueError):
    """A baseline that cannot be saved or read, in one sentence."""


@dataclass(frozen=True)
class BaselineSpec:
    """The request of a baseline fixture."""

    name: str
    """Name of the file."""
    runs: str | None = None
    """The fixture whose numbers are meant, if the file has those of several; None for any."""


@dataclass(frozen=True)
class SavedQuantity:
    """One quantity of the runs of a fixture, as it was saved."""

    fixture: str
    """Name of the fixture."""
    task: str
    steps: int
    """Environment steps in each run."""
    key: str
    """Key of the quantity without the algorithm, whose name is a version's own (`Quantity.general_key`)."""
    label: str
    """The same for people."""
    log_scale: bool
    """True if the values are logarithms of the reported numbers."""
    values: tuple[float, ...]
    """One per seed; NaN where the run failed or the number does not exist."""
    seeds: tuple[int, ...]

    @property
    def setting(self) -> Setting:
        """Task and steps."""
        return self.task, self.steps


class Baseline:
    """The saved numbers of a version, as a claim receives them: a sample for each that current runs ask for."""

    def __init__(
        self,
        spec: BaselineSpec,
        saved: Iterable[SavedQuantity],
        versions: Mapping[str, str],
        sha256: str,
        *,
        smoke: bool = False,
    ) -> None:
        self.name = spec.name
        self.sha256 = sha256
        """Checksum of the file."""
        self._saved = tuple(one for one in saved if spec.runs in (None, one.fixture))
        now = library_versions()
        self._made_with = tuple((name, then) for name, then in versions.items() if now.get(name, then) != then)
        self._smoke = smoke

    def __repr__(self) -> str:
        return f"<baseline {self.name!r}>"

    def __getitem__(self, sample: Sample) -> Sample:
        """Return the saved numbers of the quantity that a sample of current runs is.

        They are compared with current runs on other seeds, as two groups. `as_bound` is their mean as a plain number.

        Raises:
            ClaimError: the sample is not a plain quantity of runs; or the baseline has no numbers of it on its task and
                steps, or those of several fixtures, or a seed has none.
        """
        if not isinstance(sample, Sample) or sample.runs is None:
            given = str(sample.quantity) if isinstance(sample, Judgeable) else repr(sample)
            raise ClaimError(
                f"The baseline {self.name!r} is indexed by a plain quantity of current runs, such as "
                f"before[mine.kl_old_new.mean.held_out.last(0.25)], not by {given}."
            )
        one = self._found(sample)
        if lost := [seed for seed, value in zip(one.seeds, one.values, strict=True) if not math.isfinite(value)]:
            raise ClaimError(
                f"The baseline {self.name!r} has no finite number of seed {lost[0]} for {one.label!r}, and no seed is "
                "left out of a mean."
            )
        part = Part(one.task, one.steps, one.seeds, baseline=self.name, made_with=self._made_with)
        return Sample(
            quantity=sample.quantity.by(self.name),
            values=one.values,
            seeds=one.seeds,
            scope=Scope((part,)),
            log_scale=one.log_scale,
            baseline=self.name,
        )

    def _found(self, sample: Sample) -> SavedQuantity:
        key, label = sample.quantity.general_key, sample.quantity.general_label
        (setting,) = sample.scope.settings
        same = [one for one in self._saved if one.key == key]
        if not same:
            labels = {one.key: one.label for one in self._saved}
            close = [labels[other] for other in get_close_matches(key, labels, n=3, cutoff=0.0)]
            raise ClaimError(
                f"The baseline {self.name!r} has no {label!r} ({key}). Closest of what it has: "
                f"{', '.join(map(repr, close))}."
            )
        fitting = [one for one in same if one.setting == setting]
        if not fitting and self._smoke:  # a smoke test's runs are shorter than any that are saved
            return same[0]
        if not fitting:
            there = " and ".join(dict.fromkeys(label_of(one.setting) for one in same))
            raise ClaimError(f"The baseline {self.name!r} has {label!r} of {there}, and not of {label_of(setting)}.")
        if len(fitting) > 1:
            raise ClaimError(
                f"The baseline {self.name!r} has {label!r} of {' and '.join(one.fixture for one in fitting)}: say "
                f"which, rlclaims.baseline({self.name!r}, runs={fitting[0].fixture!r}), or save one alone, with --runs."
            )
        return fitting[0]


def baseline_file(folder: Path, name: object) -> Path:
    """Return the path of a baseline.

    Raises:
        BaselineError: its name is not valid.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise BaselineError(
            f"A baseline's name is up to 100 letters, digits, dots and dashes, my-ppo-1.0, say, not {describe(name)}."
        )
    return folder / f"{name}.json"


def check_baseline(spec: BaselineSpec) -> None:
    """Check the names in a request.

    Raises:
        BaselineError: one is not valid.
    """
    baseline_file(Path(), spec.name)
    if not (spec.runs is None or isinstance(spec.runs, str)):
        raise BaselineError(
            f"Runs of the baseline {spec.name!r} are named by their fixture, not {describe(spec.runs)}."
        )


def read_baseline(spec: BaselineSpec, folder: Path, *, smoke: bool = False) -> Baseline:
    """Read a baseline from its file.

    Args:
        spec: the request.
        folder: the project's folder of baselines.
        smoke: whether no verdict counts as evidence, and runs are short.

    Raises:
        BaselineError: the file is missing, was changed since it was saved, or has no such runs.
    """
    path = baseline_file(folder, spec.name)
    try:
        document = read_json(path)
        found, sha256 = document["format"], document["sha256"]
        if found == FORMAT and sha256 != _checksum(document):
            raise BaselineError(
                f"{path} is not as it was kept, by its checksum: take it from git as it was committed, or keep another."
            )
        kept = [SavedQuantity(**_fields(runs, measured)) for runs in document["runs"] for measured in runs["measured"]]
        versions = dict(document["environment"]["packages"])
    except FileNotFoundError:
        there = ", ".join(sorted(other.stem for other in folder.glob("*.json"))) or "none"
        raise BaselineError(
            f"There is no baseline {spec.name!r} in {folder}, of {there} that there are; `rlclaims baseline save "
            f"{spec.name}` keeps one of the last record."
        ) from None
    except BaselineError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BaselineError(
            f"{path} is no baseline ({describe_bad_file(error)}); `rlclaims baseline save` makes one."
        ) from None
    if found != FORMAT:
        raise BaselineError(f"{path} is a baseline of form {describe(found)}, and this version reads {FORMAT}.")
    if spec.runs is not None and all(one.fixture != spec.runs for one in kept):
        fixtures = ", ".join(dict.fromkeys(one.fixture for one in kept))
        raise BaselineError(
            f"The baseline {spec.name!r} has no runs {describe(spec.runs)}; it has those of {fixtures}."
        )
    return Baseline(spec, kept, versions, sha256, smoke=smoke)


def _fields(runs: Json, measured: Json) -> Json:
    values = tuple(math.nan if value is None else float(value) for value in measured["values"])
    return {
        **{name: runs[name] for name in ("fixture", "task", "steps")},
        **{name: measured[name] for name in ("key", "label", "log_scale")},
        "values": values,
        "seeds": tuple(runs["seeds"][: len(values)]),
    }


def save_baseline(
    record: Json, folder: Path, name: str, claims: Collection[str], fixtures: Collection[str] = ()
) -> tuple[Path, list[SavedQuantity]]:
    """Save the numbers that claims of a record judged, and return the path and what was saved.

    Args:
        record: the record of a session (`rlclaims.report.record`).
        folder: the project's folder of baselines.
        name: the baseline's name.
        claims: names of the claims whose numbers are saved.
        fixtures: fixtures whose runs are saved; empty for all.

    Raises:
        BaselineError: there are no numbers, or none that count as evidence, or the name is taken, or the file cannot be
            written.
    """
    path = baseline_file(folder, name)
    document = _document(record, claims, fixtures)
    document["sha256"] = _checksum(document)
    kept = [SavedQuantity(**_fields(runs, measured)) for runs in document["runs"] for measured in runs["measured"]]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(_pretty(document) + "\n")
    except FileExistsError:
        if not folder.is_dir():
            raise BaselineError(f"{path} cannot be written: {folder} is no folder.") from None
        raise BaselineError(f"{path} is there already, and may be compared with; choose another name.") from None
    except OSError as error:
        raise BaselineError(f"{path} cannot be written ({error.strerror or error}).") from None
    return path, kept


def _document(record: Json, claims: Collection[str], fixtures: Collection[str]) -> Json:
    judged = [claim for claim in record["claims"] if claim["name"] in claims]
    for claim in judged:
        if claim["status"] != "confirmatory":
            why = "a smoke run, which is no evidence" if claim["status"] == "smoke" else "development seeds"
            raise BaselineError(f"The claim {claim['name']!r} of the last record is of {why}: run it on others first.")
        if claim["judged"]["environment_sha256"] != record["environment_sha256"]:
            raise BaselineError(
                f"The claim {claim['name']!r} was judged with other packages or on another machine than those of "
                "the last session: run it again first."
            )
    taken = [runs for claim in judged for runs in claim["runs"]]
    if unknown := [fixture for fixture in fixtures if all(runs["fixture"] != fixture for runs in taken)]:
        there = ", ".join(dict.fromkeys(runs["fixture"] for runs in taken)) or "none"
        raise BaselineError(f"There are no runs {unknown[0]!r} in the last record; there are {there}.")
    merged: dict[tuple[Any, ...], Json] = {}
    for runs in taken:
        if not runs.get("measured") or (fixtures and runs["fixture"] not in fixtures):
            continue
        # Fixtures of one name may stand for different runs in different files.
        key = runs["fixture"], runs["kind"], runs["pairs"] or 0, runs["task"], runs["iterations"], runs["digests"][0]
        of = merged.setdefault(key, {**runs, "measured": {}})
        # Of two claims, one may have been decided on fewer seeds than the other: they are its first.
        for part in ("seeds", "digests"):
            of[part] = max(of[part], runs[part], key=len)
        for measured in runs["measured"]:
            before = of["measured"].setdefault(measured["key"], measured)
            of["measured"][measured["key"]] = max(before, measured, key=lambda one: len(one["values"]))
    if not merged:
        raise BaselineError(
            "The last record has no numbers of these claims to keep; run them, and know that no factorial's are kept."
        )
    return {
        "format": FORMAT,
        "created": max(claim["judged"]["created"] for claim in judged),
        "profile": ", ".join(dict.fromkeys(claim["judged"]["profile"] for claim in judged)),
        "environment": record["environment"],
        "runs": [
            {**of, "measured": [measured for _, measured in sorted(of["measured"].items())]}
            for _, of in sorted(merged.items())
        ],
    }


def _checksum(document: Json) -> str:
    """Return the digest of the contents, which does not depend on line ends."""
    content = {name: part for name, part in document.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _pretty(value: Any, indent: str = "\n") -> str:
    """Return JSON with one entry a line; a list of numbers is one line."""
    deeper = indent + " "
    if isinstance(value, dict) and value:
        entries = (f"{json.dumps(name)}: {_pretty(part, deeper)}" for name, part in value.items())
        return f"{{{deeper}{f',{deeper}'.join(entries)}{indent}}}"
    if isinstance(value, list) and any(isinstance(part, dict | str) for part in value):
        return f"[{deeper}{f',{deeper}'.join(_pretty(part, deeper) for part in value)}{indent}]"
    # Python's shortest text of a number is read back as the same number.
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
