"""From bounds and a region to a verdict: supported, refuted or inconclusive, over one look or several."""

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
"""Fewest seeds a verdict is given on: below it an exact one-sided sign test cannot reach 5% (2^-5 = .031)."""

Relation = Literal["<", "<=", ">", ">="]


class Verdict(StrEnum):
    """What the seeds say of a claim."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"


class Reason(StrEnum):
    """Why a claim is inconclusive."""

    BELOW_MIN_N = "below_min_n"
    """Too few seeds for any verdict."""
    UNDERPOWERED = "underpowered"
    """The interval holds numbers inside and outside of the claim's region."""
    AT_BOUNDARY = "at_boundary"
    """It does, and lies within the margin of the region's boundary: more seeds would decide what does not matter."""
    ASSUMPTION_FAILED = "assumption_failed"
    """The sample is plainly not what the method is for."""
    RUN_FAILED = "run_failed"
    """A seed has no value, and is not left out."""
    NO_EVIDENCE = "no_evidence"
    """The runs only prove the wiring."""


@dataclass(frozen=True)
class Region:
    """The numbers that a claim says its estimand is among: a half line, or an interval."""

    lower: float = -math.inf
    upper: float = math.inf
    closed: bool = True
    """Whether the ends belong to it."""

    @classmethod
    def of(cls, relation: Relation, bound: float) -> "Region":
        """The half line of the numbers in that relation to the bound."""
        closed = relation in ("<=", ">=")
        return cls(upper=bound, closed=closed) if relation in ("<", "<=") else cls(lower=bound, closed=closed)

    @property
    def ends(self) -> tuple[float, ...]:
        """Its finite ends."""
        return tuple(end for end in (self.lower, self.upper) if math.isfinite(end))

    def holds(self, lower: Floats, upper: Floats) -> npt.NDArray[np.bool_]:
        """Whether intervals lie inside; a bare touch counts only where the end itself does."""
        if self.closed:
            return (lower >= self.lower) & (upper <= self.upper)
        return self._above(lower) & self._below(upper)

    def excludes(self, lower: Floats, upper: Floats) -> npt.NDArray[np.bool_]:
        """Whether intervals lie outside."""
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
    """When the seeds are looked at, and how often each verdict may be wrong."""

    looks: tuple[int, ...]
    """Numbers of seeds, ascending; a verdict is frozen at the first look that gives one."""
    alpha_support: float = 0.05
    """Probability of supporting a false claim, over all looks; spent early."""
    alpha_refute: float = 0.05
    """Probability of refuting a true claim, over all looks; spent late, as it is small for a claim in a family."""
    saved: int | None = None
    """Which of two groups was there before the first look, and is looked at whole each time; None for neither."""
    saved_seeds: int = 0
    """How many seeds that group has."""

    def __post_init__(self) -> None:
        ascending = all(a < b for a, b in zip(self.looks, self.looks[1:], strict=False))
        if not self.looks or self.looks[0] < 2 or not ascending:
            raise ValueError(f"Looks are ascending numbers of seeds from 2 up, not {self.looks}.")
        for alpha in (self.alpha_support, self.alpha_refute):
            if not 0 < alpha < 0.5:
                raise ValueError(f"An error rate lies between 0 and .5, unlike {alpha}.")


@dataclass(frozen=True)
class Decisions:
    """Verdicts on R repetitions, as arrays."""

    supported: npt.NDArray[np.bool_]
    refuted: npt.NDArray[np.bool_]
    look: npt.NDArray[np.int_]
    """The look that the verdict is from, the last one taken where there is none."""
    lower: tuple[Floats, ...]
    """At each look taken, the bounds (R,) of the interval that is shown; NaN where there is none."""
    upper: tuple[Floats, ...]


def decide(method: Method, data: Groups, region: Region, design: Design) -> Decisions:
    """Judge R repetitions of a claim.

    At each look the estimand is bounded from both sides, each side at its own level. The claim is supported if the
    bounds put the estimand into its region, refuted if they put it outside. Either is wrong, over all looks, with
    probability at most the design's; a region with two ends can be left on either side, and these share
    `alpha_refute`. Looks for which there are no seeds yet are not taken.

    Args:
        method: how the estimand is bounded.
        data: groups (R, n) of seeds in the order of their numbers, NaN for one that failed.
        region: where the claim says that the estimand is.
        design: looks and error rates.
    """
    n_repetitions = len(data[0])
    levels = _levels(method, region, design)
    supported, refuted = np.zeros(n_repetitions, bool), np.zeros(n_repetitions, bool)
    look = np.zeros(n_repetitions, int)
    lowers, uppers = [], []
    for k in range(looks_taken(data, design)):
        so_far = seeds_at(k, data, design)
        support = _bounds(method, so_far, levels.support_lower[k], levels.support_upper[k])
        # The half line needs one of each pair, so that one interval shows both verdicts.
        refute = support
        if len(region.ends) == 2:
            refute = _bounds(method, so_far, levels.refute_lower[k], levels.refute_upper[k])
        open_R = ~(supported | refuted)
        look = np.where(open_R, k, look)
        supported |= open_R & region.holds(*support)
        refuted |= open_R & ~supported & region.excludes(*refute)
        # An interval that is outside at the supporting levels alone has refuted nothing: the other one tells why.
        outside = refuted | region.excludes(*support)
        shown = [np.where(outside, r, s) for r, s in zip(refute, support, strict=True)]
        lowers.append(shown[0])
        uppers.append(shown[1])
    return Decisions(supported, refuted, look, tuple(lowers), tuple(uppers))


def looks_taken(data: Groups, design: Design) -> int:
    """How many of the design's looks there are seeds for."""
    return sum(n <= _fresh(data, design) for n in design.looks)


def _fresh(data: Groups, design: Design) -> int:
    """Seeds of each group that grows from look to look."""
    return min(int(x.shape[-1]) for i, x in enumerate(data) if i != design.saved)


def seeds_at(look: int, data: Groups, design: Design) -> Groups:
    """The first seeds of each group, as many as the look takes; the last look takes all of two unequal groups."""
    if len(data) == 2 and look == len(design.looks) - 1:
        return data
    return tuple(x if i == design.saved else x[:, : design.looks[look]] for i, x in enumerate(data))


@dataclass(frozen=True)
class _Levels:
    """Nominal levels at each look of the bounds that support and of those that refute."""

    support_lower: tuple[float, ...]
    support_upper: tuple[float, ...]
    refute_lower: tuple[float, ...]
    refute_upper: tuple[float, ...]


def _levels(method: Method, region: Region, design: Design) -> _Levels:
    def pair(lower: tuple[float, ...], upper: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return method.levels(design.looks, lower), method.mirrored().levels(design.looks, upper)

    support = early_spending(design.looks, design.alpha_support)
    refute = late_spending(design.looks, design.alpha_refute / len(region.ends))
    if len(region.ends) == 2:
        return _Levels(*pair(support, support), *pair(refute, refute))
    # Below a bound, the upper bound supports and the lower one refutes; above a bound, the other way round.
    both = pair(refute, support) if math.isfinite(region.upper) else pair(support, refute)
    return _Levels(*both, *both)


def _bounds(method: Method, data: Groups, alpha_lower: float, alpha_upper: float) -> tuple[Floats, Floats]:
    """Lower and upper bounds (R,), NaN where the groups have seeds that the method cannot take."""
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
    """Whether seeds are equal but for a few roundings, and so say nothing of their spread."""
    spread_R = x_RN.max(-1) - x_RN.min(-1)
    return np.asarray(spread_R <= np.maximum(1e-12 * np.abs(x_RN).max(-1), 1e-100))


@dataclass(frozen=True)
class Interval:
    """A point estimate between two one-sided bounds, each at its own level."""

    estimate: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Look:
    """What was seen at one look."""

    n: int
    """Seeds, in each group that is not saved."""
    interval: Interval | None
    """None where the method gives none."""


@dataclass(frozen=True)
class Judgement:
    """A verdict and what it rests on."""

    verdict: Verdict
    reason: Reason | None
    """Why it is inconclusive, or None."""
    detail: str
    """The reason in a few words, or empty."""
    looks: tuple[Look, ...]
    """Those taken, up to the one that decided."""
    p_value: float | None
    """One-sided, at the last of these looks: of the region's complement, or of the region if that is refuted."""
    level: float | None
    """What the p-value is held against at that look."""

    @property
    def interval(self) -> Interval | None:
        """The one the verdict was read from: repeated, if there were several looks."""
        return self.looks[-1].interval if self.looks else None


def judge(
    method: Method, groups: Sequence[Sequence[float]], region: Region, design: Design, margin: float | None = None
) -> Judgement:
    """The verdict on one claim, with everything a reader needs to check it.

    Args:
        method: how the estimand is bounded.
        groups: the seeds' numbers, one group or two, NaN for a seed that failed.
        region: where the claim says that the estimand is.
        design: looks and error rates.
        margin: the distance from the region's boundary that starts to matter.
    """
    data = tuple(np.asarray(values, dtype=float)[None, :] for values in groups)
    n = _fresh(data, design)
    if n < design.looks[0] or min(design.looks[0], *(x.shape[-1] for x in data)) < MIN_SEEDS:
        detail = f"{n} seeds, a verdict needs {max(design.looks[0], MIN_SEEDS)}"
        return Judgement(Verdict.INCONCLUSIVE, Reason.BELOW_MIN_N, detail, (), None, None)
    decisions = decide(method, data, region, design)
    last = int(decisions.look[0])
    looks = []
    for k in range(last + 1):
        so_far = seeds_at(k, data, design)
        lower, upper = float(decisions.lower[k][0]), float(decisions.upper[k][0])
        estimate = float(method.estimate(so_far)[0]) if method.takes_any_value or _finite(so_far) else math.nan
        none = math.isnan(lower) or math.isnan(upper)
        looks.append(Look(design.looks[k], None if none else Interval(estimate, lower, upper)))
    verdict = Verdict.INCONCLUSIVE
    if decisions.supported[0]:
        verdict = Verdict.SUPPORTED
    elif decisions.refuted[0]:
        verdict = Verdict.REFUTED
    so_far = seeds_at(last, data, design)
    p_value = level = None
    if looks[-1].interval is not None:
        p_value, level = _p_value(method, so_far, region, design, last, refuted=verdict is Verdict.REFUTED)
    reason, detail = (None, "") if verdict is not Verdict.INCONCLUSIVE else _why(so_far, region, looks[-1], margin)
    return Judgement(verdict, reason, detail, tuple(looks), p_value, level)


def _p_value(
    method: Method, data: Groups, region: Region, design: Design, look: int, *, refuted: bool
) -> tuple[float, float]:
    """The p-value and level of the test behind a verdict: of each finite end, the one that counts."""
    levels = _levels(method, region, design)
    # Tested is the outside of what was decided: without the end itself, where that was decided to be inside.
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
    # Inside an interval both ends must be passed, outside it one.
    return min(tests) if refuted else max(tests)


def _why(data: Groups, region: Region, look: Look, margin: float | None) -> tuple[Reason, str]:
    n = sum(x.shape[-1] for x in data)
    if failed := sum(int(np.isnan(x).sum()) for x in data):
        return Reason.RUN_FAILED, f"{failed} of {n} seeds have no value"
    if look.interval is None:
        if not _finite(data):
            return Reason.ASSUMPTION_FAILED, f"of {n} seeds some have no finite value"
        return Reason.ASSUMPTION_FAILED, f"{n} equal seeds do not tell how seeds vary"
    lower, upper = look.interval.lower, look.interval.upper
    bound = "the bound" if len(region.ends) == 1 else "an end of the region"
    if margin is not None and any(end - margin <= lower and upper <= end + margin for end in region.ends):
        return Reason.AT_BOUNDARY, f"the interval is within the margin of {bound}"
    return Reason.UNDERPOWERED, f"the interval holds {bound}"


def _finite(data: Groups) -> bool:
    return all(bool(np.isfinite(x).all()) for x in data)
