"""What a claim's one comparison yields: a verdict with its numbers, recorded when it is made.

Inside a claim, truth-testing only passes the verdict on: refuted is false, so that `assert` fails, and supported and
inconclusive are true. What counts afterwards is the record. Outside a claim nothing would notice an inconclusive
verdict, so there it raises.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NoReturn

from rlclaims.stats.intervals import Interval
from rlclaims.stats.verdict import HalfLine, Judgement, Reason, Verdict


class ClaimError(Exception):
    """A claim that is not written as one, in one sentence."""


class InconclusiveError(Exception):
    """Inconclusive evidence was truth-tested where nobody would report it."""


@dataclass
class Recorder:
    """What a claim has judged so far."""

    evidence: list["Evidence"] = field(default_factory=list)
    asserted: bool = False
    """Whether some of it was truth-tested."""


_current: ContextVar[Recorder | None] = ContextVar("rlclaims_recorder", default=None)


@contextmanager
def recording() -> Iterator[Recorder]:
    """Collect the evidence that a claim makes while it runs."""
    recorder = Recorder()
    token = _current.set(recorder)
    try:
        yield recorder
    finally:
        _current.reset(token)


@dataclass(frozen=True, eq=False)
class Evidence:
    """A judged comparison."""

    quantity: str
    """What was estimated, in words."""
    region: HalfLine
    """Where the claim says that it lies."""
    judgement: Judgement
    values: tuple[float, ...]
    """The seeds' numbers, NaN for a seed that failed."""
    seeds: tuple[int, ...]
    alpha: float
    """Error rate of each one-sided bound."""
    scope: str
    """Task, steps and seeds that the verdict is about."""
    failures: tuple[str, ...] = ()
    """The failed runs and why they failed."""

    def __post_init__(self) -> None:
        if (recorder := _current.get()) is not None:
            recorder.evidence.append(self)

    @property
    def verdict(self) -> Verdict:
        """Supported, refuted or inconclusive."""
        return self.judgement.verdict

    @property
    def reason(self) -> Reason | None:
        """Why it is inconclusive, or None."""
        return self.judgement.reason

    @property
    def interval(self) -> Interval | None:
        """Estimate and bounds, or None where none could be computed."""
        return self.judgement.interval

    @property
    def n(self) -> int:
        """Seeds."""
        return len(self.seeds)

    def __bool__(self) -> bool:
        if (recorder := _current.get()) is not None:
            recorder.asserted = True
        elif self.verdict is Verdict.INCONCLUSIVE:
            raise InconclusiveError(f"Outside a claim, inconclusive evidence is neither true nor false: {self}")
        return self.verdict is not Verdict.REFUTED

    def __eq__(self, other: object) -> NoReturn:
        raise ClaimError("Evidence cannot be compared with ==; assert it as it is.")

    def __hash__(self) -> int:
        return id(self)

    def __str__(self) -> str:
        head = f"{self.verdict}: {self.quantity} {self.region}"
        if self.interval is not None:
            i = self.interval
            head += (
                f"; estimate {i.estimate:.4g}, {100 * (1 - 2 * self.alpha):g}% interval "
                f"[{i.lower:.4g}, {i.upper:.4g}] by {i.method} ({i.guarantee}), n = {self.n}"
            )
        if self.reason is not None:
            head += f"; {self.reason}: {self.judgement.detail}"
        return "; ".join([head, *self.failures, self.scope])

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        i = self.interval
        return {
            "quantity": self.quantity,
            "region": str(self.region),
            "verdict": str(self.verdict),
            "reason": None if self.reason is None else str(self.reason),
            "detail": self.judgement.detail,
            "estimate": None if i is None else i.estimate,
            "lower": None if i is None or math.isinf(i.lower) else i.lower,
            "upper": None if i is None or math.isinf(i.upper) else i.upper,
            "one_sided_alpha": self.alpha,
            "method": None if i is None else i.method,
            "guarantee": None if i is None else i.guarantee,
            "n": self.n,
            "seeds": list(self.seeds),
            "values": [value if math.isfinite(value) else None for value in self.values],
            "failures": list(self.failures),
            "scope": self.scope,
        }
