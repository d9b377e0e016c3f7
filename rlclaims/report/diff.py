"""Changes from one record to another: verdicts, estimates, definitions, scopes, versions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.text import Text

from rlclaims.report.grid import Grid, rows_by_section, say
from rlclaims.report.record import Json, RecordError, all_results, comparisons, read, reading

NUMBERS = ("estimate", "lower", "upper")


@dataclass(frozen=True)
class Estimate:
    """One comparison, as reported."""

    key: str
    """Key of the estimated quantity."""
    estimate: float | None
    lower: float | None
    """None for no bound."""
    upper: float | None
    settings: tuple[tuple[str, int], ...]
    """Tasks and steps that it is about."""

    def holds(self, other: "Estimate") -> bool:
        """Return whether another's estimate lies in the interval; True if one of the two has no estimate."""
        if other.estimate is None or self.estimate is None:
            return True
        above = self.lower is None or self.lower <= other.estimate
        return above and (self.upper is None or other.estimate <= self.upper)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a claim or a theorem in one record."""

    verdict: str
    expected: str
    sha256: str
    """Digest of its declaration and its code."""
    estimates: tuple[Estimate, ...]
    """The estimate of each comparison that it is made of."""
    baselines: tuple[tuple[str, str], ...]
    """Names and checksums of the baselines that it takes."""
    runs: Mapping[tuple[str, int], tuple[str, ...]]
    """Digests by fixture and seed: one each, or one for each combination of a factorial."""


@dataclass(frozen=True)
class Change:
    """A claim or a theorem in two records; None if one does not have it."""

    name: str
    before: Outcome | None
    after: Outcome | None

    @property
    def step(self) -> int:
        """The distance that its verdict moved towards the expected one, from -2 to 2.

        The earlier record says what is expected: a verdict that turned got worse, even if it is expected now.
        """
        if self.before is None or self.after is None:
            return 0
        expected = self.before.expected
        ranks = [2 if o.verdict == expected else int(o.verdict == "inconclusive") for o in (self.before, self.after)]
        return ranks[1] - ranks[0]

    @cached_property
    def moved(self) -> tuple[int, ...]:
        """The numbers, from 1, of its comparisons whose estimate is outside the interval of the other record."""
        if self.before is None or self.after is None:
            return ()
        pairs = enumerate(zip(self.before.estimates, self.after.estimates, strict=False), start=1)
        same = [(n, one, other) for n, (one, other) in pairs if one.key == other.key]
        return tuple(n for n, one, other in same if not (one.holds(other) and other.holds(one)))

    @cached_property
    def changed(self) -> tuple[str, ...]:
        """Differences beside its verdict, in words. Other code or seeds of its runs are not counted."""
        before, after = self.before, self.after
        if before is None or after is None:
            return ()
        joined = len(after.estimates) > 1
        words = [f"moved in part {n}" if joined else "moved beyond its interval" for n in self.moved]
        words += ["definition"] if before.sha256 != after.sha256 else []
        settings = [{one.settings for one in outcome.estimates} for outcome in (before, after)]
        words += ["scope"] if all(settings) and settings[0] != settings[1] else []
        words += ["baseline"] if before.baselines != after.baselines else []
        return tuple(words)

    @property
    def other_seeds(self) -> bool:
        """True if both have runs, and none on the same seed."""
        both = self.before is not None and self.after is not None and self.before.runs and self.after.runs
        return bool(both) and not self._shared

    @property
    def other_runs(self) -> bool:
        """True if runs of the same seed are by other code, settings or libraries."""
        return any(one != other for one, other in self._shared)

    @cached_property
    def _shared(self) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
        if self.before is None or self.after is None:
            return ()
        one, other = self.before.runs, self.after.runs
        return tuple((digests, other[key]) for key, digests in one.items() if key in other)

    @property
    def is_listed(self) -> bool:
        """True if it has a row in the table."""
        if self.before is None or self.after is None:
            return True
        return self.before.verdict != self.after.verdict or bool(self.changed)


@dataclass(frozen=True)
class Diff:
    """The changes from one record to another."""

    changes: tuple[Change, ...]
    """The claims and theorems of either, changed or not."""
    session: tuple[tuple[str, str, str], ...]
    """Differences between the last sessions: name, before and after."""

    @property
    def worse(self) -> int:
        """The number of verdicts that are further from the expected ones than they were."""
        return sum(change.step < 0 for change in self.changes)


def diff(before: Path, after: Path) -> Diff:
    """Compare two files, claim by claim. Verdicts that are no evidence are left out, unless neither file has others.

    Raises:
        RecordError: a file is not a record, or has no verdicts that count while the other has.
    """
    records = [read(path) for path in (before, after)]
    outcomes: list[dict[str, Outcome]] = []
    sessions: list[dict[str, str]] = []
    counts: list[bool] = []
    for path, record in zip((before, after), records, strict=True):
        with reading(path):
            sessions.append(_session(record))
            counts.append(_counts(record))
    for path, record in zip((before, after), records, strict=True):
        with reading(path):
            if any(counts) and not _counts(record):
                name = record["profile"]["name"]
                raise RecordError(f"{path} is of the profile {name}, whose verdicts are no evidence.")
            counted = [result for result in all_results(record) if result["judged"]["evidence"] or not any(counts)]
            outcomes.append({result["name"]: _outcome(result) for result in counted})
    names = dict.fromkeys(name for by_name in outcomes for name in by_name)
    sections = list(dict.fromkeys(map(_section, names)))
    ordered = sorted(names, key=lambda name: sections.index(_section(name)))
    changes = [Change(name, *(of.get(name) for of in outcomes)) for name in ordered]
    one, other = sessions
    return Diff(
        tuple(changes),
        tuple(
            (name, one.get(name, "none"), other.get(name, "none"))
            for name in dict.fromkeys([*one, *other])
            if one.get(name) != other.get(name)
        ),
    )


def _counts(record: Json) -> bool:
    """Return whether a record has verdicts that are evidence."""
    return bool(record["profile"]["evidence"]) or any(result["judged"]["evidence"] for result in all_results(record))


def _section(name: str) -> str:
    return name.partition("/")[0]


def _outcome(result: Json) -> Outcome:
    digests: dict[tuple[str, int], tuple[str, ...]] = {}
    for taken in result.get("runs", []):
        for seed, digest in zip(taken["seeds"], taken["digests"], strict=True):
            digests[taken["fixture"], seed] = (*digests.get((taken["fixture"], seed), ()), digest)
    return Outcome(
        verdict=result["verdict"],
        expected=result["expected"],
        sha256=result["sha256"],
        estimates=tuple(_estimates(result.get("evidence"))),
        baselines=tuple((baseline["name"], baseline["sha256"]) for baseline in result.get("baselines", [])),
        runs=digests,
    )


def _estimates(evidence: Json | None) -> Iterator[Estimate]:
    for part in comparisons(evidence):
        estimate, lower, upper = (None if (x := part[name]) is None else float(x) for name in NUMBERS)
        settings = tuple((setting["task"], setting["steps"]) for setting in part["settings"])
        yield Estimate(key=part["key"], estimate=estimate, lower=lower, upper=upper, settings=settings)


def _session(record: Json) -> dict[str, str]:
    """Return what a session's verdicts depend on beside its claims, by name."""
    environment, profile = record["environment"], record["profile"]
    return {
        "profile": profile["name"],
        "looks": ", ".join(map(str, profile["looks"])),
        "first seed": str(record["first_seed"]),
        **{name: environment[name] for name in ("python", "machine", "system")},
        **environment["packages"],
        "rlclaims' code": environment["rlclaims_sha256"][:8],
    }


def diff_table(changes: Diff, file: TextIO, width: int) -> None:
    """Print a row for each claim and theorem that changed, and the versions that did."""
    console = Console(file=file, width=max(width, 80))
    rows = [{"name": change.name, "change": change} for change in changes.changes if change.is_listed]
    if rows:
        rows_by_section(Grid("claim", "verdict", "estimate", "changed~"), rows, _cells).print(console)
    for name, before, after in changes.session:
        say(console, f"{name}: {before} -> {after}")
    say(console, summary_of(changes))


def _cells(row: Json) -> tuple[Text, ...]:
    change: Change = row["change"]
    outcomes = [outcome for outcome in (change.before, change.after) if outcome is not None]
    verdicts = " -> ".join(dict.fromkeys(outcome.verdict for outcome in outcomes))
    if len(outcomes) < 2:
        verdicts = f"{'disappeared' if change.after is None else 'appeared'}, {verdicts}"
    style = {-1: "red", 0: "", 1: "green"}[max(-1, min(1, change.step))]
    words = [*change.changed, *(["seeds"] if change.other_seeds else []), *(["runs"] if change.other_runs else [])]
    single = [outcome.estimates[0].estimate for outcome in outcomes if len(outcome.estimates) == 1]
    estimates = " -> ".join("none" if estimate is None else f"{estimate:.3g}" for estimate in single)
    return Text(verdicts, style), Text(estimates), Text(", ".join(words))


def summary_of(diff: Diff) -> str:
    """Return the changes in one sentence."""
    changes = diff.changes
    both = [change for change in changes if change.before is not None and change.after is not None]
    counts = [
        (diff.worse, "got worse"),
        (sum(change.step > 0 for change in both), "got better"),
        (sum(change.before is None for change in changes), "appeared"),
        (sum(change.after is None for change in changes), "disappeared"),
        (sum(bool(change.moved) for change in both), "moved beyond their intervals"),
        (sum("definition" in change.changed for change in both), "have other definitions"),
        (sum(change.other_seeds for change in both), "are on other seeds"),
        (sum(change.other_runs for change in both), "have runs by other code, settings or libraries"),
    ]
    words = ", ".join(f"{n} {what}" for n, what in counts if n) or "nothing changed"
    return f"Of {len(changes)} claims and theorems: {words}."
