"""What changed from one record to another: verdicts, estimates, definitions, scopes, versions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.text import Text

from rlclaims.report.record import Json, RecordError, read, reading
from rlclaims.report.table import grid, rows_by_section

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
        """Whether another's estimate lies in the interval, or there is none that could lie elsewhere."""
        if other.estimate is None or self.estimate is None:
            return True
        above = self.lower is None or self.lower <= other.estimate
        return above and (self.upper is None or other.estimate <= self.upper)


@dataclass(frozen=True)
class Outcome:
    """What a claim or a theorem came to in one record."""

    verdict: str
    expected: str
    sha256: str
    """Of its declaration and its code."""
    estimates: tuple[Estimate, ...]
    """Of each comparison that it is made of."""
    baselines: tuple[tuple[str, str], ...]
    """Names and checksums."""
    runs: Mapping[tuple[str, int], tuple[str, ...]]
    """Digests by fixture and seed: one, or those of a factorial's combinations."""


@dataclass(frozen=True)
class Change:
    """A claim or a theorem in two records; None where one does not have it."""

    name: str
    before: Outcome | None
    after: Outcome | None

    @property
    def step(self) -> int:
        """How far its verdict came towards what was expected of it, from -2 to 2.

        Held against what the earlier record expects: a verdict that turned got worse, even if it is now expected.
        """
        if self.before is None or self.after is None:
            return 0
        expected = self.before.expected
        ranks = [2 if o.verdict == expected else int(o.verdict == "inconclusive") for o in (self.before, self.after)]
        return ranks[1] - ranks[0]

    @cached_property
    def moved(self) -> tuple[int, ...]:
        """Which of its comparisons, from 1, have an estimate outside of the interval that the other record has."""
        if self.before is None or self.after is None:
            return ()
        pairs = enumerate(zip(self.before.estimates, self.after.estimates, strict=False), start=1)
        same = [(n, one, other) for n, (one, other) in pairs if one.key == other.key]
        return tuple(n for n, one, other in same if not (one.holds(other) and other.holds(one)))

    @cached_property
    def changed(self) -> tuple[str, ...]:
        """What is another beside its verdict, in words; not the code and the seeds of its runs alone."""
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
        """Whether both have runs, and none on the same seed."""
        both = self.before is not None and self.after is not None and self.before.runs and self.after.runs
        return bool(both) and not self._shared

    @property
    def other_runs(self) -> bool:
        """Whether runs of a seed are by other code, settings or libraries."""
        return any(one != other for one, other in self._shared)

    @cached_property
    def _shared(self) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
        if self.before is None or self.after is None:
            return ()
        one, other = self.before.runs, self.after.runs
        return tuple((digests, other[key]) for key, digests in one.items() if key in other)

    @property
    def told(self) -> bool:
        """Whether it has a row."""
        if self.before is None or self.after is None:
            return True
        return self.before.verdict != self.after.verdict or bool(self.changed)


@dataclass(frozen=True)
class Diff:
    """What changed from one record to another."""

    changes: tuple[Change, ...]
    """All claims and theorems of either, changed or not."""
    session: tuple[tuple[str, str, str], ...]
    """What is another of the sessions: its name, before and after."""

    @property
    def worse(self) -> int:
        """Verdicts that are further from what was expected than they were."""
        return sum(change.step < 0 for change in self.changes)


def diff(before: Path, after: Path) -> Diff:
    """What changed from one file to another.

    Raises:
        RecordError: one is no record, or one alone has verdicts that count.
    """
    records = [read(path) for path in (before, after)]
    outcomes, sessions = [], []
    for path, record in zip((before, after), records, strict=True):
        with reading(path):
            outcomes.append({r["name"]: _outcome(r) for r in (*record["claims"], *record["theorems"])})
            sessions.append(_session(record))
    for path, record, other in zip((before, after), records, reversed(records), strict=True):
        with reading(path):
            counts, name = record["profile"]["evidence"], record["profile"]["name"]
        if not counts and other["profile"].get("evidence"):
            raise RecordError(f"{path} is of the profile {name}, whose verdicts are no evidence.")
    names = dict.fromkeys(name for found in outcomes for name in found)
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


def _section(name: str) -> str:
    return name.partition("/")[0]


def _outcome(result: Json) -> Outcome:
    digests: dict[tuple[str, int], tuple[str, ...]] = {}
    for taken in result.get("runs", []):
        for seed, digest in zip(taken["seeds"], taken["digests"], strict=True):
            digests[taken["fixture"], seed] = (*digests.get((taken["fixture"], seed), ()), digest)
    return Outcome(
        result["verdict"],
        result["expected"],
        result["sha256"],
        tuple(_estimates(result.get("evidence"))),
        tuple((kept["name"], kept["sha256"]) for kept in result.get("baselines", [])),
        digests,
    )


def _estimates(evidence: Json | None) -> Iterator[Estimate]:
    if evidence is None:
        return
    if "parts" in evidence:
        for part in evidence["parts"]:
            yield from _estimates(part)
        return
    estimate, lower, upper = (None if (x := evidence[name]) is None else float(x) for name in NUMBERS)
    settings = tuple((setting["task"], setting["steps"]) for setting in evidence["settings"])
    yield Estimate(key=evidence["key"], estimate=estimate, lower=lower, upper=upper, settings=settings)


def _session(record: Json) -> dict[str, str]:
    """What a session's verdicts depend on beside its claims, by name."""
    environment, profile = record["environment"], record["profile"]
    return {
        "profile": profile["name"],
        "looks": ", ".join(map(str, profile["looks"])),
        "first seed": str(record["first_seed"]),
        **{name: environment[name] for name in ("python", "machine", "system")},
        **environment["packages"],
        "rlclaims' code": environment["rlclaims_sha256"][:8],
    }


def diff_table(found: Diff, file: TextIO, width: int) -> None:
    """Print what changed: a row for each claim and theorem that did, and the sessions' versions."""
    console = Console(file=file, width=max(width, 80))
    told = [change for change in found.changes if change.told]
    if told:
        table = grid("claim", "verdict", "estimate", "changed")
        table.columns[3].no_wrap = False
        console.print(rows_by_section(table, [{"name": change.name, "change": change} for change in told], _cells))
    for name, before, after in found.session:
        console.print(f"{name}: {before} -> {after}", highlight=False, markup=False)
    console.print(summary_of(found), highlight=False, markup=False)


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


def summary_of(found: Diff) -> str:
    """What changed, in one sentence."""
    of = found.changes
    both = [change for change in of if change.before is not None and change.after is not None]
    counts = [
        (found.worse, "got worse"),
        (sum(change.step > 0 for change in both), "got better"),
        (sum(change.before is None for change in of), "appeared"),
        (sum(change.after is None for change in of), "disappeared"),
        (sum(bool(change.moved) for change in both), "moved beyond their intervals"),
        (sum("definition" in change.changed for change in both), "have other definitions"),
        (sum(change.other_seeds for change in both), "are on other seeds"),
        (sum(change.other_runs for change in both), "have runs by other code, settings or libraries"),
    ]
    told = ", ".join(f"{n} {what}" for n, what in counts if n) or "nothing changed"
    return f"Of {len(of)} claims and theorems: {told}."
