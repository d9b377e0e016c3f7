"""One number per seed, and the comparisons that judge it.

A `Sample` is compared with a number, divided by or subtracted from another sample on the same seeds (which pairs
them), and yields `Evidence`. Only `<`, `<=`, `>` and `>=` judge; an estimate is never equal to anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NoReturn

from rlclaims.judging.evidence import ClaimError, Evidence
from rlclaims.stats.verdict import HalfLine, Statistic, judge

ALPHA = 0.05
"""Error rate of each one-sided bound; the printed two-sided interval is a 90% one."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Numbers, one per seed, of a quantity that a claim is about."""

    quantity: str
    """What the numbers are, in words."""
    values: tuple[float, ...]
    """One per seed; NaN where the run failed."""
    seeds: tuple[int, ...]
    scope: str
    failures: tuple[str, ...] = ()
    statistic: Statistic = "mean"
    """What is estimated over seeds: the mean (by t) or the median (by the exact sign test)."""
    log_scale: bool = False
    """Whether the values are logarithms of what is reported (ratios of positive quantities)."""

    @property
    def median(self) -> Sample:
        """The same numbers, judged by their median over seeds: exact, and at ease with heavy tails."""
        return replace(self, statistic="median")

    def __truediv__(self, other: Sample) -> Sample:
        """Ratio to a positive sample on the same seeds: paired, and judged on the log scale.

        Its mean is a geometric mean over seeds. A seed with a value that is not positive has no ratio, and leaves the
        verdict inconclusive.

        Raises:
            ClaimError: the other is no sample or has other seeds.
        """
        self._paired(other, "/")
        logs = tuple(_log_ratio(a, b) for a, b in zip(self.values, other.values, strict=True))
        return self._combined(other, f"({self.quantity}) / ({other.quantity})", logs, log_scale=True)

    def __sub__(self, other: Sample | float) -> Sample:
        """Difference from a sample on the same seeds (paired), or from a number."""
        if isinstance(other, int | float):
            self._not_a_ratio("-")
            return replace(self, quantity=f"{self.quantity} - {other:g}", values=tuple(a - other for a in self.values))
        self._paired(other, "-")
        differences = tuple(a - b for a, b in zip(self.values, other.values, strict=True))
        return self._combined(other, f"({self.quantity}) - ({other.quantity})", differences, log_scale=False)

    def __lt__(self, other: Sample | float) -> Evidence:
        return self._judge("<", other)

    def __le__(self, other: Sample | float) -> Evidence:
        return self._judge("<=", other)

    def __gt__(self, other: Sample | float) -> Evidence:
        return self._judge(">", other)

    def __ge__(self, other: Sample | float) -> Evidence:
        return self._judge(">=", other)

    def __eq__(self, other: object) -> NoReturn:
        raise ClaimError("An estimate is never equal to a number; claim a bound with <, <=, > or >=.")

    def __ne__(self, other: object) -> NoReturn:
        raise ClaimError("An estimate is never equal to a number; claim a bound with <, <=, > or >=.")

    def __bool__(self) -> NoReturn:
        raise ClaimError(f"{self.quantity} is a sample, which is neither true nor false; compare it with something.")

    __hash__ = None  # type: ignore[assignment]

    def _judge(self, relation: Literal["<", "<=", ">", ">="], other: Sample | float) -> Evidence:
        if isinstance(other, Sample):
            return (self - other)._judge(relation, 0.0)
        if isinstance(other, bool) or not isinstance(other, int | float) or not math.isfinite(other):
            raise ClaimError(f"{self.quantity} is compared with a finite number or another sample, not {other!r}.")
        if self.log_scale and other <= 0:
            raise ClaimError(f"A ratio of positive quantities is compared with a positive number, not {other:g}.")
        to_scale: Callable[[float], float] = math.log if self.log_scale else float
        average = "geometric mean" if self.log_scale and self.statistic == "mean" else self.statistic
        judgement = judge(self.values, HalfLine(relation, to_scale(other)), alpha=ALPHA, statistic=self.statistic)
        if self.log_scale and judgement.interval is not None:
            judgement = replace(judgement, interval=judgement.interval.mapped(math.exp))
        return Evidence(
            quantity=f"{average} over seeds of {self.quantity}",
            region=HalfLine(relation, float(other)),
            judgement=judgement,
            values=tuple(math.exp(v) for v in self.values) if self.log_scale else self.values,
            seeds=self.seeds,
            alpha=ALPHA,
            scope=self.scope,
            failures=self.failures,
        )

    def _combined(self, other: Sample, quantity: str, values: tuple[float, ...], *, log_scale: bool) -> Sample:
        scope = self.scope if self.scope == other.scope else f"{self.scope}; {other.scope}"
        return Sample(
            quantity,
            values,
            self.seeds,
            scope,
            tuple(dict.fromkeys(self.failures + other.failures)),
            "median" if "median" in (self.statistic, other.statistic) else "mean",
            log_scale,
        )

    def _paired(self, other: object, operator: str) -> None:
        if not isinstance(other, Sample):
            raise ClaimError(f"{self.quantity} {operator} {other!r}: both sides must be samples of runs.")
        if self.seeds != other.seeds:
            raise ClaimError(
                f"{self.quantity} and {other.quantity} have different seeds, and only runs on the same seeds can be "
                "compared."
            )
        self._not_a_ratio(operator)
        other._not_a_ratio(operator)

    def _not_a_ratio(self, operator: str) -> None:
        if self.log_scale:
            raise ClaimError(
                f"{self.quantity} is a ratio already; compare it with a number instead of using {operator}."
            )


def _log_ratio(a: float, b: float) -> float:
    if math.isnan(a) or math.isnan(b):
        return math.nan
    return math.log(a) - math.log(b) if a > 0 and b > 0 else math.inf
