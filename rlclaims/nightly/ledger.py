"""The file of `--claims-nightly`: the evidence against each claim from all sessions so far, each on fresh seeds."""

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
from rlclaims.report.grid import Grid
from rlclaims.report.record import Json
from rlclaims.stats.detector import sessions_until_alarm, update_detector
from rlclaims.text import describe, describe_bad_file, read_json

FORMAT = 1
RUN_LENGTH = 1000
"""Default lower bound on the average number of sessions between false alarms."""
SESSIONS_LISTED = 100
"""Latest sessions whose evidence is listed one by one; earlier ones count in the accumulated values only."""
BLOCKS = 10
"""Blocks of seeds that claims may ask for; each session reserves all of them."""
MAX_SESSIONS = 200_000
"""Sessions for which there are fresh seeds."""


UNREADABLE = (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError)
"""Errors that reading an invalid file raises."""


class NightsError(ValueError):
    """An error of reading or writing the file, as one sentence."""


@dataclass(frozen=True)
class Nights:
    """Evidence of the sessions so far, and the file that holds it."""

    path: Path
    run_length: int
    """Lower bound on the average number of sessions between false alarms."""
    subject: str | None = None
    """Name of the gate's algorithm; None if the gate is not used."""
    sessions: int = 0
    """Number of sessions so far."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Accumulated evidence against each claim, by the claim's digest."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Names of these claims, by digest."""
    last: tuple[Json, ...] = ()
    """The latest sessions, listed for readers."""

    @property
    def first_seed(self) -> int:
        """First seed of the next session; no earlier session used a seed of its blocks."""
        return DEVELOPMENT_SEEDS.stop + BLOCKS * MOST_SEEDS * self.sessions

    def threshold(self, claims: Sequence[str]) -> float:
        """Return the value that raises an alarm, given the digests of a session's claims."""
        return float(self.run_length * len(set(claims) | self.values.keys()))

    def after(self, results: Sequence[Json], seeds: int) -> "Nights":
        """Return the evidence with a session added.

        After an alarm all claims start again at 0, so that the run length holds for the next alarm as well.

        Args:
            results: the session's results, with a `night` entry for each claim whose seeds are evidence.
            seeds: the number of seeds of each algorithm.
        """
        judged = {result["night"]["sha256"]: result for result in results if result.get("night")}
        alarms = [result["name"] for result in judged.values() if result["night"]["alarm"]]
        values = {**self.values, **{digest: result["night"]["value"] for digest, result in judged.items()}}
        session = {
            "session": self.sessions + 1,
            "date": datetime.now(UTC).date().isoformat(),
            "seeds": [self.first_seed, self.first_seed + seeds - 1],
            "e_values": {result["name"]: float(f"{result['night']['e_value']:.4g}") for result in judged.values()},
            "alarms": alarms,
        }
        return Nights(
            path=self.path,
            run_length=self.run_length,
            subject=self.subject,
            sessions=self.sessions + 1,
            values=dict.fromkeys(values, 0.0) if alarms else values,
            names={**self.names, **{digest: result["name"] for digest, result in judged.items()}},
            last=(*self.last, session)[-SESSIONS_LISTED:],
        )

    def write(self) -> None:
        """Write the file atomically.

        Raises:
            NightsError: another session on the same seeds has written it since this one started.
            OSError: it cannot be written.
        """
        current = read_nights(self.path, self.run_length, self.subject)
        if (current.sessions, current.values) == (self.sessions, self.values):  # the same command, run twice at once
            return
        if current.sessions != self.sessions - 1:
            raise NightsError(
                f"{self.path} was written by another session on the same seeds since this one started, so the evidence "
                "of this session is not added. Do not run two sessions on one file at the same time"
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
    """Read the evidence from a file; return empty evidence if the file does not exist yet.

    Args:
        path: the file.
        run_length: the run length of a new file.
        subject: the name of the gate's algorithm.

    Raises:
        NightsError: the file is invalid or of another subject, or its folder does not exist.
    """
    try:
        exists = path.exists()
        document = read_json(path) if exists else {}
        nights = _parse(path, document) if exists else Nights(path, run_length, subject)
    except UNREADABLE as error:
        raise NightsError(
            f"{describe(str(path))[1:-1]} is not a --claims-nightly file ({describe_bad_file(error)}). "
            "Name another file, or delete this one to start again."
        ) from None
    if not exists:
        if not path.absolute().parent.is_dir():
            raise NightsError(
                f"The folder {path.absolute().parent} of --claims-nightly {path} does not exist: create it first."
            )
        return nights
    if nights.subject != subject:
        raise NightsError(
            f"{path} holds evidence about {nights.subject}, and the subject of this session is {subject}: name another "
            "file."
        )
    return nights


def _parse(path: Path, document: dict[str, Any]) -> Nights:
    if document["format"] != FORMAT:
        raise ValueError(f"format {describe(document['format'])}, and this version reads {FORMAT}")
    claims = document["claims"]
    sessions = document["sessions"]
    run_length = document["run_length"]
    values = {str(digest): float(claim["value"]) for digest, claim in claims.items()}
    if type(sessions) is not int or not 0 <= sessions < MAX_SESSIONS:
        raise ValueError(f"{describe(sessions)} sessions")
    if type(run_length) is not int or run_length < 1:
        raise ValueError(f"a run length of {describe(run_length)}")
    if not all(0 <= value < math.inf for value in values.values()):
        raise ValueError("a claim's value that is not a number from 0 up")
    return Nights(
        path=path,
        run_length=run_length,
        subject=document["subject"],
        sessions=sessions,
        values=values,
        names={str(digest): str(claim["name"]) for digest, claim in claims.items()},
        last=tuple(document["last"]),
    )


def accumulate(nights: Nights, digest: str, claims: Sequence[str], e_value: float) -> Json:
    """Return the evidence against a claim from this session and from the earlier ones.

    Args:
        nights: the evidence of the earlier sessions.
        digest: the claim's digest.
        claims: digests of all claims of this session.
        e_value: the e-value of this session's seeds.
    """
    threshold = nights.threshold(claims)
    value = float(update_detector(nights.values.get(digest, 0.0), e_value))
    # JSON has no infinity.
    value = min(value, 1e300)
    return {"sha256": digest, "e_value": e_value, "value": value, "threshold": threshold, "alarm": value >= threshold}


def print_nights(nights: Nights, results: Sequence[Json], seeds: int, file: TextIO, width: int) -> None:
    """Print the evidence against each claim, and how soon a breach would be detected.

    Args:
        nights: the evidence, this session included.
        results: the results of this session's claims.
        seeds: the number of seeds of each algorithm.
        file: the stream to print to.
        width: the width of a line.
    """
    console = Console(file=file, width=max(width, 80))
    judged = [result for result in results if result.get("night")]
    if not judged:
        return
    table = Grid("claim", "evidence against it: this session>", "accumulated>", "alarm at>")
    for result in judged:
        night = result["night"]
        style = "red" if night["alarm"] else ""
        evidence = (f"{night[name]:.3g}" for name in ("e_value", "value"))
        table.add_row(result["name"], *evidence, f"{night['threshold']:,.0f}", style=style)
    table.print(console)
    threshold = judged[0]["night"]["threshold"]
    sessions_to_alarm = {
        effect: np.median(sessions_until_alarm(effect, seeds, threshold, np.random.default_rng(0), 200))
        for effect in (0.5, 1.0)
    }
    console.print(
        f"Session {nights.sessions}. All claims together raise a false alarm at most once in {nights.run_length:,} "
        "sessions on average. A breach by one standard deviation between seeds is detected after "
        f"{sessions_to_alarm[1.0]:.0f} sessions, by half of one after {sessions_to_alarm[0.5]:.0f} (median of "
        "simulated detectors, normal seeds).",
        highlight=False,
    )
