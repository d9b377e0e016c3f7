"""The small file of `--claims-nightly`: what the sessions so far, each on fresh seeds, say against each claim."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from rich.console import Console

from rlclaims.planning.profile import DEVELOPMENT_SEEDS, MOST_SEEDS
from rlclaims.report.record import Json
from rlclaims.report.table import grid
from rlclaims.stats.detector import detected, sessions_until_alarm
from rlclaims.text import describe, describe_bad_file, read_json

FORMAT = 1
RUN_LENGTH = 1000
"""Sessions between false alarms, on average and at least, where no number is asked for."""
KEPT = 100
"""Sessions whose evidence is kept to look at; of earlier ones only what they came to together."""
BLOCKS = 10
"""Blocks of seeds that claims may ask for; each session has them all for itself."""
MOST_NIGHTS = 200_000
"""Sessions that there are seeds for."""


UNREADABLE = (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError)
"""What is raised by a file that is none."""


class NightsError(ValueError):
    """A file that the evidence of sessions is not in, in one sentence."""


@dataclass(frozen=True)
class Nights:
    """What earlier sessions came to, and where this one is written."""

    path: Path
    run_length: int
    """Sessions between false alarms, on average and at least."""
    subject: str | None = None
    """The algorithm that the gate is about, by its name; None where there is none."""
    sessions: int = 0
    """How many there were."""
    values: Mapping[str, float] = field(default_factory=dict)
    """The detector of each claim, by its digest."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Names of these claims, by digest."""
    last: tuple[Json, ...] = ()
    """The last sessions, for people."""

    @property
    def first_seed(self) -> int:
        """Of this session: no seed of any block was another's."""
        return DEVELOPMENT_SEEDS.stop + BLOCKS * MOST_SEEDS * self.sessions

    def threshold(self, claims: Sequence[str]) -> float:
        """Where an alarm is, for these claims' digests and those of earlier sessions."""
        return float(self.run_length * len(set(claims) | self.values.keys()))

    def after(self, results: Sequence[Json], seeds: int) -> "Nights":
        """With this session added. After an alarm all claims start again, so that each alarm has as long a wait.

        Args:
            results: what each claim came to, with a `night` where seeds said something.
            seeds: how many there were of each algorithm.
        """
        taken = {result["night"]["sha256"]: result for result in results if result.get("night")}
        alarms = [result["name"] for result in taken.values() if result["night"]["alarm"]]
        values = {**self.values, **{digest: result["night"]["value"] for digest, result in taken.items()}}
        session = {
            "session": self.sessions + 1,
            "date": datetime.now(UTC).date().isoformat(),
            "seeds": [self.first_seed, self.first_seed + seeds - 1],
            "e_values": {result["name"]: float(f"{result['night']['e_value']:.4g}") for result in taken.values()},
            "alarms": alarms,
        }
        return Nights(
            self.path,
            self.run_length,
            self.subject,
            self.sessions + 1,
            dict.fromkeys(values, 0.0) if alarms else values,
            {**self.names, **{digest: result["name"] for digest, result in taken.items()}},
            (*self.last, session)[-KEPT:],
        )

    def write(self) -> None:
        """Write the file, whole or not at all.

        Raises:
            NightsError: another session has written it since this one began, on the same seeds.
            OSError: it cannot be written.
        """
        since = read_nights(self.path, self.run_length, self.subject)
        if (since.sessions, since.values) == (self.sessions, self.values):  # the same command, run twice at once
            return
        if since.sessions != self.sessions - 1:
            raise NightsError(
                f"{self.path} was written by another session since this one began, on the same seeds: what this one "
                "says is left out. Let one end before the next begins"
            )
        document = {
            "format": FORMAT,
            "run_length": self.run_length,
            "subject": self.subject,
            "sessions": self.sessions,
            "claims": {digest: {"name": self.names[digest], "value": value} for digest, value in self.values.items()},
            "last": list(self.last),
        }
        partial = self.path.with_name(self.path.name + ".partial")
        partial.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(self.path)


def read_nights(path: Path, run_length: int, subject: str | None) -> Nights:
    """What a file holds, or the beginning of one that is not there yet.

    Args:
        path: of the file.
        run_length: of a new one.
        subject: the algorithm that the gate is about, by its name.

    Raises:
        NightsError: it is no such file, of another subject, or there is no folder to write it into.
    """
    try:
        there = path.exists()
        document = read_json(path) if there else {}
        nights = _read(path, document) if there else Nights(path, run_length, subject)
    except UNREADABLE as error:
        raise NightsError(
            f"{describe(str(path))[1:-1]} is not a --claims-nightly file ({describe_bad_file(error)}). "
            "Name another file, or delete this one to start again."
        ) from None
    if not there:
        if not path.absolute().parent.is_dir():
            raise NightsError(
                f"There is no folder {path.absolute().parent} for --claims-nightly {path}: make it first."
            )
        return nights
    if nights.subject != subject:
        raise NightsError(f"{path} is of {nights.subject}, and this session of {subject}: name another file.")
    return nights


def _read(path: Path, document: dict[str, Any]) -> Nights:
    if document["format"] != FORMAT:
        raise ValueError(f"of form {describe(document['format'])}, and this version reads {FORMAT}")
    claims, sessions, run_length = document["claims"], document["sessions"], document["run_length"]
    values = {str(digest): float(claim["value"]) for digest, claim in claims.items()}
    if type(sessions) is not int or not 0 <= sessions < MOST_NIGHTS:
        raise ValueError(f"{describe(sessions)} sessions")
    if type(run_length) is not int or run_length < 1:
        raise ValueError(f"a run length of {describe(run_length)}")
    if not all(0 <= value < math.inf for value in values.values()):
        raise ValueError("a claim's value that is no number from 0 up")
    names = {str(digest): str(claim["name"]) for digest, claim in claims.items()}
    return Nights(path, run_length, document["subject"], sessions, values, names, tuple(document["last"]))


def night_of(nights: Nights, digest: str, claims: Sequence[str], e_value: float) -> Json:
    """What this session says against a claim, with what the others said.

    Args:
        nights: the others.
        digest: of the claim.
        claims: digests of all claims of this session.
        e_value: of its seeds.
    """
    threshold = nights.threshold(claims)
    value = float(detected(nights.values.get(digest, 0.0), e_value))
    # As infinite as makes no difference, and JSON has no word for it.
    value = min(value, 1e300)
    return {"sha256": digest, "e_value": e_value, "value": value, "threshold": threshold, "alarm": value >= threshold}


def tell(nights: Nights, results: Sequence[Json], seeds: int, file: TextIO, width: int) -> None:
    """What this session and those before say against each claim, and how soon a breach would be seen.

    Args:
        nights: with this session.
        results: of its claims.
        seeds: of each algorithm.
        file: where it is told.
        width: of a line.
    """
    console = Console(file=file, width=max(width, 80))
    told = [result for result in results if result.get("night")]
    if not told:
        return
    table = grid("claim", "evidence against it: this session>", "gathered>", "alarm at>")
    for result in told:
        night = result["night"]
        style = "red" if night["alarm"] else ""
        evidence = (f"{night[name]:.3g}" for name in ("e_value", "value"))
        table.add_row(result["name"], *evidence, f"{night['threshold']:,.0f}", style=style)
    console.print(table)
    threshold = told[0]["night"]["threshold"]
    seen = {
        effect: np.median(sessions_until_alarm(effect, seeds, threshold, np.random.default_rng(0), 200))
        for effect in (0.5, 1.0)
    }
    console.print(
        f"Session {nights.sessions}. All claims together raise a false alarm once in {nights.run_length:,} sessions or "
        f"less often, on average. A breach of one standard deviation between seeds is seen in session {seen[1.0]:.0f}, "
        f"of half of one in session {seen[0.5]:.0f} (median of simulated detectors, normal seeds).",
        highlight=False,
    )
