"""Verdicts from bounds and a region: supported, refuted or inconclusive, over one look or several."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
import numpy.typing as npt

from rlclaims.stats.method import Floats, Groups, Method
from rlclaims.stats.sequential import early_spending, late_spending

MIN_SEEDS = 5
"""Minimum number of seeds for a verdict: with fewer, an exact one-sided sign test cannot reach 5% (2^-5 = .031)."""

Relation = Literal["<", "<=", ">", ">="]


class Verdict(StrEnum):
    """Outcome of judging a claim on its seeds."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"


class Reason(StrEnum):
    """Reason for an inconclusive verdict."""

    BELOW_MIN_N = "below_min_n"
    """Too few seeds for any verdict."""
    UNDERPOWERED = "underpowered"
    """The interval has numbers inside and outside the claim's region."""
    AT_BOUNDARY = "at_boundary"
    """The interval has both, within the margin of the boundary: more seeds would decide nothing that matters."""
    ASSUMPTION_FAILED = "assumption_failed"
    """The sample clearly violates the method's assumption."""
    RUN_FAILED = "run_failed"
    """A seed has no value; failed seeds are never left out."""
    NO_EVIDENCE = "no_evidence"
    """The profile's runs are too short to count as evidence."""


@dataclass(frozen=True)
class Region:
    """Half line or interval in which the estimand lies according to the claim."""

    lower: float = -math.inf
    upper: float = math.inf
    closed: bool = True
    """True if the ends belong to the region."""

    @classmethod
    def half_line(cls, relation: Relation, bound: float) -> "Region":
        """Return the region of the numbers that are in a relation to the bound."""
        closed = relation in ("<=", ">=")
        return cls(upper=bound, closed=closed) if relation in ("<", "<=") else cls(lower=bound, closed=closed)

    @property
    def ends(self) -> tuple[float, ...]:
        """Finite ends of the region."""
        return tuple(end for end in (self.lower, self.upper) if math.isfinite(end))

    def contains(self, lower: Floats, upper: Floats) -> npt.NDArray[np.bool_]:
        """Return for each interval whether it lies inside; an open region's end is outside."""
        if self.closed:
            return (lower >= self.lower) & (upper <= self.upper)
        return self._above(lower) & self._below(upper)

    def excludes(self, lower: Floats, upper: Floats) -> npt.NDArray[np.bool_]:
        """Return for each interval whether it lies outside."""
        if self.closed:
            return (upper < self.lower) | (lower > self.upper)
        return ((upper <= self.lower) & math.isfinite(self.lower)) | ((lower >= self.upper) & math.isfinite(self.upper))

    def _above(self, lower: Floats) -> npt.NDArray[np.bool_]:
        return (lower > self.lower) | (self.lower == -math.inf)

    def _below(self, upper: Floats) -> npt.NDArray[np.bool_]:
        return (upper < self.upper) | (self.upper == math.inf)

    def __str__(self) -> str:
        equal = "=" if self.closed else ""
        if len(self.ends) == 2:
            return f"in [{self.lower:.4g}, {self.upper:.4g}]"
        return f"<{equal} {self.upper:.4g}" if math.isfinite(self.upper) else f">{equal} {self.lower:.4g}"


@dataclass(frozen=True)
class Design:
    """Sequential design: the looks at the seeds, and the error rate of each verdict."""

    looks: tuple[int, ...]
    """Numbers of seeds, ascending; the verdict is that of the first look that decides."""
    alpha_support: float = 0.05
    """Probability of supporting a false claim, over all looks; spent early."""
    alpha_refute: float = 0.05
    """Probability of refuting a true claim, over all looks; spent late, as it is small for a claim in a family."""
    saved: int | None = None
    """Index of the group, of two, that was saved before the first look and is used whole at each; None for neither."""
    saved_seeds: int = 0
    """Number of seeds of the saved group."""

    def __post_init__(self) -> None:
        ascending = all(a < b for a, b in zip(self.looks, self.looks[1:], strict=False))
        if not self.looks or self.looks[0] < 2 or not ascending:
            raise ValueError(f"Looks must be ascending numbers of seeds, 2 or more, not {self.looks}.")
        for alpha in (self.alpha_support, self.alpha_refute):
            if not 0 < alpha < 0.5:
                raise ValueError(f"An error rate must lie between 0 and .5, but is {alpha}.")


@dataclass(frozen=True)
class Decisions:
    """Verdicts on R repetitions, as arrays."""

    supported: npt.NDArray[np.bool_]
    refuted: npt.NDArray[np.bool_]
    look: npt.NDArray[np.int_]
    """Index of the look that decided, or of the last look taken if none did."""
    lower: tuple[Floats, ...]
    """Lower bounds (R,), at each look taken, of the interval to show; NaN where the method gives none."""
    upper: tuple[Floats, ...]
    """Upper bounds of the same intervals."""


def decide(method: Method, data: Groups, region: Region, design: Design) -> Decisions:
    """Judge R repetitions of a claim.

    At each look the estimand is bounded from both sides, each side at its own level. The claim is supported if the
    bounds put the estimand into its region, refuted if they put it outside. Each of these errors has, over all looks,
    at most the design's probability. A region with two ends is refuted on either side; the sides share `alpha_refute`.
    Looks that need more seeds than there are yet are not taken.

    Args:
        method: how the estimand is bounded.
        data: groups (R, n) of seeds in the order of their numbers, NaN for a seed that failed.
        region: numbers among which the estimand lies according to the claim.
        design: looks and error rates.
    """
    n_repetitions = len(data[0])
    levels = _levels(method, region, design)
    supported, refuted = np.zeros(n_repetitions, bool), np.zeros(n_repetitions, bool)
    look = np.zeros(n_repetitions, int)
    lowers, uppers = [], []
    for k in range(looks_taken(data, design)):
        so_far = seeds_at_look(k, data, design)
        support = _bounds(method, so_far, levels.support_lower[k], levels.support_upper[k])
        # A half line is supported by one bound and refuted by the other: `_levels` gives each its own level, and one
        # interval serves both verdicts.
        refute = support
        if len(region.ends) == 2:
            refute = _bounds(method, so_far, levels.refute_lower[k], levels.refute_upper[k])
        open_R = ~(supported | refuted)
        look = np.where(open_R, k, look)
        supported |= open_R & region.contains(*support)
        refuted |= open_R & ~supported & region.excludes(*refute)
        # The interval at the supporting levels may lie outside while the wider one that refutation needs does not. Show
        # the wider one then, too, so that an inconclusive claim never comes with an interval outside its region.
        outside = refuted | region.excludes(*support)
        shown = [np.where(outside, r, s) for r, s in zip(refute, support, strict=True)]
        lowers.append(shown[0])
        uppers.append(shown[1])
    return Decisions(supported, refuted, look, tuple(lowers), tuple(uppers))


def looks_taken(data: Groups, design: Design) -> int:
    """Return how many of the design's looks the seeds suffice for."""
    return sum(n <= _unsaved_seeds(data, design) for n in design.looks)


def _unsaved_seeds(data: Groups, design: Design) -> int:
    """Return the number of seeds of each group that is not saved."""
    return min(int(x.shape[-1]) for i, x in enumerate(data) if i != design.saved)


def seeds_at_look(look: int, data: Groups, design: Design) -> Groups:
    """Return each group's first seeds, as many as the look takes; at the last look of two groups, all seeds."""
    if len(data) == 2 and look == len(design.looks) - 1:
        return data
    return tuple(x if i == design.saved else x[:, : design.looks[look]] for i, x in enumerate(data))


@dataclass(frozen=True)
class _Levels:
    """Nominal levels, at each look, of the bounds that support and of those that refute."""

    support_lower: tuple[float, ...]
    support_upper: tuple[float, ...]
    refute_lower: tuple[float, ...]
    refute_upper: tuple[float, ...]


def _levels(method: Method, region: Region, design: Design) -> _Levels:
    def of_lower(spent: tuple[float, ...]) -> tuple[float, ...]:
        return method.levels(design.looks, spent)

    def of_upper(spent: tuple[float, ...]) -> tuple[float, ...]:
        return method.mirrored().levels(design.looks, spent)

    support = early_spending(design.looks, design.alpha_support)
    refute = late_spending(design.looks, design.alpha_refute / len(region.ends))
    if len(region.ends) == 2:
        return _Levels(
            support_lower=of_lower(support),
            support_upper=of_upper(support),
            refute_lower=of_lower(refute),
            refute_upper=of_upper(refute),
        )
    # "Below a bound" is supported by the upper end of the interval and refuted by its lower end; "above a bound" is
    # supported by the lower end and refuted by the upper one.
    below = math.isfinite(region.upper)
    lower = of_lower(refute if below else support)
    upper = of_upper(support if below else refute)
    return _Levels(support_lower=lower, support_upper=upper, refute_lower=lower, refute_upper=upper)


def _bounds(method: Method, data: Groups, alpha_lower: float, alpha_upper: float) -> tuple[Floats, Floats]:
    """Return lower and upper bounds (R,), NaN where the method cannot take the groups' seeds."""
    good_R = np.ones(len(data[0]), bool)
    if not method.takes_any_value:
        finite_R = np.all([np.isfinite(x).all(-1) for x in data], axis=0)
        data = tuple(np.where(finite_R[:, None], x, 0.0) for x in data)
        good_R = ~np.all([nearly_constant(x) for x in data], axis=0)
        data = tuple(np.where(good_R[:, None], x, np.arange(x.shape[-1])) for x in data)
    lower_R, upper_R = (
        np.full(len(good_R), side * np.inf) if alpha == 0.0 else np.where(good_R, bound(data, alpha), np.nan)
        for side, bound, alpha in ((-1, method.lower, alpha_lower), (1, method.upper, alpha_upper))
    )
    return lower_R, upper_R


def nearly_constant(x_RN: Floats) -> npt.NDArray[np.bool_]:
    """Return whether seeds are equal up to rounding, so that they do not show how seeds vary."""
    spread_R = x_RN.max(-1) - x_RN.min(-1)
    return np.asarray(spread_R <= np.maximum(1e-12 * np.abs(x_RN).max(-1), 1e-100))


@dataclass(frozen=True)
class Interval:
    """Point estimate and two one-sided bounds, each at its own level."""

    estimate: float
    lower: float
    upper: float


@dataclass(frozen=True)
class LookResult:
    """Result of one look."""

    n: int
    """Number of seeds in each group that is not saved."""
    interval: Interval | None
    """Interval at this look; None if the method gives none."""


@dataclass(frozen=True)
class Judgement:
    """Verdict and the numbers behind it."""

    verdict: Verdict
    reason: Reason | None
    """Reason for an inconclusive verdict, else None."""
    detail: str
    """The reason in a few words, or empty."""
    looks: tuple[LookResult, ...]
    """Looks taken, up to the one that decided."""
    p_value: float | None
    """One-sided p-value at the last of these looks: of the region's complement, or of the region if it is refuted."""
    level: float | None
    """Nominal level at that look, to which the p-value compares."""

    @property
    def interval(self) -> Interval | None:
        """Interval behind the verdict, that of the last look; a repeated confidence interval if there were several."""
        return self.looks[-1].interval if self.looks else None


def judge(
    method: Method, groups: Sequence[Sequence[float]], region: Region, design: Design, margin: float | None = None
) -> Judgement:
    """Return the verdict on one claim, with everything a reader needs to check it.

    Args:
        method: how the estimand is bounded.
        groups: the seeds' numbers, one group or two, NaN for a seed that failed.
        region: numbers among which the estimand lies according to the claim.
        design: looks and error rates.
        margin: smallest distance from the region's boundary that matters.
    """
    data = tuple(np.asarray(values, dtype=float)[None, :] for values in groups)
    n = _unsaved_seeds(data, design)
    if n < design.looks[0] or min(design.looks[0], *(x.shape[-1] for x in data)) < MIN_SEEDS:
        return Judgement(
            verdict=Verdict.INCONCLUSIVE,
            reason=Reason.BELOW_MIN_N,
            detail=f"{n} seeds, a verdict needs {max(design.looks[0], MIN_SEEDS)}",
            looks=(),
            p_value=None,
            level=None,
        )
    decisions = decide(method, data, region, design)
    last = int(decisions.look[0])
    looks = []
    for k in range(last + 1):
        so_far = seeds_at_look(k, data, design)
        lower = float(decisions.lower[k][0])
        upper = float(decisions.upper[k][0])
        estimate = float(method.estimate(so_far)[0]) if method.takes_any_value or _finite(so_far) else math.nan
        undefined = math.isnan(lower) or math.isnan(upper)
        looks.append(LookResult(design.looks[k], None if undefined else Interval(estimate, lower, upper)))
    verdict = Verdict.INCONCLUSIVE
    if decisions.supported[0]:
        verdict = Verdict.SUPPORTED
    elif decisions.refuted[0]:
        verdict = Verdict.REFUTED
    so_far = seeds_at_look(last, data, design)
    p_value = level = None
    if looks[-1].interval is not None:
        p_value, level = _p_value(method, so_far, region, design, last, refuted=verdict is Verdict.REFUTED)
    reason = None
    detail = ""
    if verdict is Verdict.INCONCLUSIVE:
        reason, detail = _inconclusive_reason(so_far, region, looks[-1], margin)
    return Judgement(verdict=verdict, reason=reason, detail=detail, looks=tuple(looks), p_value=p_value, level=level)


def _p_value(
    method: Method, data: Groups, region: Region, design: Design, look: int, *, refuted: bool
) -> tuple[float, float]:
    """Return the p-value and level of the test behind a verdict, at the end of the region that counts."""
    levels = _levels(method, region, design)
    # The null hypothesis is the complement of the decision. A closed region that is supported, or an open one that is
    # refuted, leaves it an open half line: the end itself is no part of the null, so test the next number beyond it.
    strict = region.closed != refuted

    def from_below(null: float) -> float:
        return float(method.p_value(data, np.nextafter(null, -np.inf) if strict else null)[0])

    def from_above(null: float) -> float:
        return float(method.p_value_above(data, np.nextafter(null, np.inf) if strict else null)[0])

    tests = []
    if math.isfinite(region.lower):
        p, level = (from_above, levels.refute_upper) if refuted else (from_below, levels.support_lower)
        tests.append((p(region.lower), level[look]))
    if math.isfinite(region.upper):
        p, level = (from_below, levels.refute_lower) if refuted else (from_above, levels.support_upper)
        tests.append((p(region.upper), level[look]))
    # To be inside an interval, the estimand must be shown to be within both ends; to be outside, beyond one.
    return min(tests) if refuted else max(tests)


def _inconclusive_reason(data: Groups, region: Region, look: LookResult, margin: float | None) -> tuple[Reason, str]:
    n = sum(x.shape[-1] for x in data)
    if failed := sum(int(np.isnan(x).sum()) for x in data):
        return Reason.RUN_FAILED, f"{failed} of {n} seeds have no value"
    if look.interval is None:
        if not _finite(data):
            return Reason.ASSUMPTION_FAILED, f"some of {n} seeds have no finite value"
        return Reason.ASSUMPTION_FAILED, f"all {n} seeds are equal, so their variance is unknown"
    lower, upper = look.interval.lower, look.interval.upper
    bound = "the bound" if len(region.ends) == 1 else "an end of the region"
    if margin is not None and any(end - margin <= lower and upper <= end + margin for end in region.ends):
        return Reason.AT_BOUNDARY, f"the interval is within the margin of {bound}"
    return Reason.UNDERPOWERED, f"the interval includes {bound}"


def _finite(data: Groups) -> bool:
    return all(bool(np.isfinite(x).all()) for x in data)
