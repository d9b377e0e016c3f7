"""From an interval and a region to a verdict: supported, refuted or inconclusive."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np

from rlclaims.stats.intervals import MIN_SEEDS, DegenerateSampleError, Interval, sign_interval, t_interval

Statistic = Literal["mean", "median"]


class Verdict(StrEnum):
    """What the seeds say of a claim."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"


class Reason(StrEnum):
    """Why a claim is inconclusive."""

    BELOW_MIN_N = "below_min_n"
    UNDERPOWERED = "underpowered"
    ASSUMPTION_FAILED = "assumption_failed"
    RUN_FAILED = "run_failed"


@dataclass(frozen=True)
class HalfLine:
    """The numbers on one side of a bound: what a claim says its estimand lies in."""

    relation: Literal["<", "<=", ">", ">="]
    bound: float

    def contains(self, interval: Interval) -> bool:
        """Whether the whole interval lies in the region; a bare touch counts only where the bound itself does."""
        match self.relation:
            case "<":
                return interval.upper < self.bound
            case "<=":
                return interval.upper <= self.bound
            case ">":
                return interval.lower > self.bound
            case ">=":
                return interval.lower >= self.bound

    @property
    def complement(self) -> "HalfLine":
        """The numbers outside."""
        opposite: dict[str, Literal["<", "<=", ">", ">="]] = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
        return HalfLine(opposite[self.relation], self.bound)

    def __str__(self) -> str:
        return f"{self.relation} {self.bound:.4g}"


@dataclass(frozen=True)
class Judgement:
    """A verdict and the interval it rests on."""

    verdict: Verdict
    reason: Reason | None
    """Why it is inconclusive, or None."""
    detail: str
    """The reason in a few words, or empty."""
    interval: Interval | None
    """None where no interval could be computed."""


def judge(values: Sequence[float], region: HalfLine, *, alpha: float, statistic: Statistic) -> Judgement:
    """The verdict on a region from one number per seed, NaN for a seed whose run failed.

    Supported if both bounds, each wrong with probability at most `alpha`, put the estimand into the region; refuted
    if they put it outside; inconclusive otherwise. Of a half line only one wrong verdict is possible, so each is
    wrong with probability at most `alpha`. A failed seed is never left out: with one there is no verdict.

    Args:
        values: the seeds' numbers.
        region: where the claim says that the estimand lies.
        alpha: one-sided error rate of each bound.
        statistic: "mean" (by t) or "median" (by the exact sign test) over seeds.
    """
    n = len(values)
    if failed := int(np.isnan(values).sum()):
        return _inconclusive(Reason.RUN_FAILED, f"{failed} of {n} seeds failed")
    if infinite := int(np.isinf(values).sum()):
        return _inconclusive(Reason.ASSUMPTION_FAILED, f"{infinite} of {n} seeds have no finite value")
    if n < MIN_SEEDS:
        return _inconclusive(Reason.BELOW_MIN_N, f"{n} seeds, a verdict needs {MIN_SEEDS}")
    try:
        interval = t_interval(values, alpha) if statistic == "mean" else sign_interval(values, alpha)
    except DegenerateSampleError as error:
        return _inconclusive(Reason.ASSUMPTION_FAILED, str(error))
    if region.contains(interval):
        return Judgement(Verdict.SUPPORTED, None, "", interval)
    if region.complement.contains(interval):
        return Judgement(Verdict.REFUTED, None, "", interval)
    return Judgement(Verdict.INCONCLUSIVE, Reason.UNDERPOWERED, f"the interval holds {region.bound:.4g}", interval)


def _inconclusive(reason: Reason, detail: str) -> Judgement:
    return Judgement(Verdict.INCONCLUSIVE, reason, detail, None)
