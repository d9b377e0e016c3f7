"""A comparison: one estimand, held against one region. Most claims assert one."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from rlclaims.claims.evidence import ClaimError, Evidence
from rlclaims.claims.judging_terms import JudgingTerms, Pilot
from rlclaims.claims.numbers import number
from rlclaims.claims.quantity import Quantity
from rlclaims.claims.scope import Scope
from rlclaims.stats.describe import skewness, standard_deviation
from rlclaims.stats.effect import WrongOrder
from rlclaims.stats.method import Method
from rlclaims.stats.power import MOST_SEEDS, minimal_detectable_effect, seeds_needed
from rlclaims.stats.verdict import (
    Design,
    Interval,
    Judgement,
    Reason,
    Region,
    Verdict,
    decide,
    judge,
    seeds_at_look,
)

if TYPE_CHECKING:
    from rlclaims.claims.sample import Sample

TAIL = 0.05
"""Error rate on each side of the 90% interval that tables and pages show."""


@dataclass(frozen=True, eq=False)
class Comparison(Evidence):
    """One estimand, held against one region."""

    quantity: Quantity
    """The estimated quantity: a mean, median or probability over seeds of a sample's quantity."""
    region: Region
    """The region that the claim states, on the scale it is judged on."""
    method: Method
    groups: tuple[tuple[float, ...], ...]
    """The seeds' numbers on that scale, in one group or two; NaN for a seed that failed."""
    seeds: tuple[tuple[int, ...], ...]
    """The seeds of each group."""
    log_scale: bool
    """True if it is judged on logarithms of the reported numbers."""
    scope: Scope
    """Tasks, steps and seeds that the verdict is about."""
    terms: JudgingTerms
    """Looks, error rates and margin that it is judged on."""
    failures: tuple[str, ...] = ()
    """The failed runs and why they failed."""
    correlation: float | None = None
    """Correlation over seeds of the two sides of paired numbers, NaN if one does not vary; None if not paired."""
    saved: int | None = None
    """The group that is a baseline's, 0 or 1, which has all its seeds from the first look on; None for neither."""
    samples: "tuple[Sample, ...]" = ()
    """The samples that were read from runs and that the numbers are made of."""
    bounds: tuple[float, float] | None = None
    """The natural bounds of the numbers, infinite on a side that has none; None if they are not known."""

    def __post_init__(self) -> None:
        _ = self._margin  # raises if the margin does not fit the quantity

    @cached_property
    def design(self) -> Design:
        """The looks and error rates: the terms' own looks, or all seeds at once."""
        design = self.terms.design(self._fresh)
        return design if self.saved is None else replace(design, saved=self.saved, saved_seeds=self._saved_seeds or 0)

    @cached_property
    def judgement(self) -> Judgement:
        """The verdict and what it rests on, on the scale it is judged on."""
        judgement = judge(self.method, self.groups, self.region, self.design, self._margin)
        if self.terms.no_evidence is None:
            return judgement
        return replace(
            judgement, verdict=Verdict.INCONCLUSIVE, reason=Reason.NO_EVIDENCE, detail=self.terms.no_evidence
        )

    @property
    def verdict(self) -> Verdict:  # noqa: D102
        return self.judgement.verdict

    @property
    def reason(self) -> Reason | None:  # noqa: D102
        return self.judgement.reason

    @property
    def n(self) -> int:  # noqa: D102
        return self.judgement.looks[-1].n if self.judgement.looks else self._fresh

    @property
    def comparisons(self) -> tuple["Comparison", ...]:  # noqa: D102
        return (self,)

    @property
    def definition(self) -> tuple[Any, ...]:  # noqa: D102
        return self.quantity.key, self.region, self.method, self.log_scale, len(self.groups)

    @property
    def _fresh(self) -> int:
        """The number of seeds in each group of current runs."""
        return min(len(group) for i, group in enumerate(self.groups) if i != self.saved)

    @property
    def _saved_seeds(self) -> int | None:
        """The number of the baseline's seeds, or None."""
        return None if self.saved is None else len(self.groups[self.saved])

    @property
    def look(self) -> int:
        """The number, from 1, of the look that decided; 0 if none was taken."""
        return len(self.judgement.looks)

    @property
    def interval(self) -> Interval | None:
        """The estimate and its bounds as reported, or None if they could not be computed."""
        return self._reported(self.judgement.interval)

    @cached_property
    def interval90(self) -> tuple[float, float]:
        """The bounds of a two-sided 90% interval over the seeds that were judged, as reported; NaN without one.

        The verdict's own bounds are wider: they hold over all looks, at the claim's share of the error rate. These are
        for readers, by the same method at one look with 5% on each side, within the natural bounds of the quantity.
        """
        if not self.judgement.looks:
            return math.nan, math.nan
        groups = tuple(np.asarray(group, dtype=float)[None, :] for group in self.groups)
        judged = seeds_at_look(self.look - 1, groups, self.design)
        design = replace(self.design, looks=(self.n,), alpha_support=TAIL, alpha_refute=TAIL)
        # Both sides of a half line are bounded at the same level, whichever half it is.
        decisions = decide(self.method, judged, Region(upper=0.0), design)
        low, high = self._natural_bounds
        lower = self._unscaled(float(decisions.lower[0][0]))
        upper = self._unscaled(float(decisions.upper[0][0]))
        return float(np.clip(lower, low, high)), float(np.clip(upper, low, high))

    @property
    def _natural_bounds(self) -> tuple[float, float]:
        """The bounds of the estimand that hold for any data, as reported."""
        if self.log_scale:
            return 0.0, math.inf
        if isinstance(self.method, WrongOrder):  # a probability, in any case
            return 0.0, 1.0
        return self.bounds or (-math.inf, math.inf)

    @property
    def shown_region(self) -> Region:
        """The region that the claim states, as reported."""
        return replace(self.region, lower=self._unscaled(self.region.lower), upper=self._unscaled(self.region.upper))

    @property
    def values(self) -> tuple[tuple[float, ...], ...]:
        """The seeds' numbers as reported, group by group."""
        return tuple(tuple(self._unscaled(v) for v in group) for group in self.groups)

    @cached_property
    def detectable(self) -> tuple[float | None, float | None]:
        """The minimal detectable effects of supporting and of refuting, in standard deviations of a seed."""
        if len(self.region.ends) == 2:  # the effect depends on where in the region the truth is
            return None, None
        supports, refutes = self._one_sided
        support = minimal_detectable_effect(supports, self.design, "support")
        return support, minimal_detectable_effect(refutes, self.design, "refute")

    @property
    def _one_sided(self) -> tuple[Method, Method]:
        """The methods whose lower bounds support and refute; mirrored where the upper bound does."""
        sides = self.method, self.method.mirrored()
        return sides if math.isfinite(self.region.lower) else sides[::-1]

    def judge_on(self, terms: JudgingTerms) -> "Comparison":  # noqa: D102
        return replace(self, terms=terms)

    def __str__(self) -> str:
        judgement = self.judgement
        parts = [f"{self.verdict}: {self.quantity} {self.shown_region}"]
        if (i := self.interval) is not None:
            kind = "repeated interval" if len(self.design.looks) > 1 else "interval"
            parts.append(
                f"estimate {number(i.estimate)}, {kind} [{number(i.lower)}, {number(i.upper)}] by {self.method.name} "
                f"({self.method.guarantee}: {self.method.assumption}), n = {self.n}"
            )
            parts.append(f"p = {judgement.p_value:.2g} against {judgement.level:.2g}")
        if len(self.design.looks) > 1 and self.look:
            looks = [
                f"{look.n}: " + ("none" if at is None else f"[{number(at.lower)}, {number(at.upper)}]")
                for look in judgement.looks
                for at in [self._reported(look.interval)]
            ]
            parts.append(f"look {self.look} of {len(self.design.looks)} (seeds and interval: {', '.join(looks)})")
        if self.reason is not None:
            parts.append(f"{self.reason}: {judgement.detail}")
        parts.append(self.sensitivity)
        return "; ".join([*filter(None, parts), *self.failures, self.scope.label])

    @cached_property
    def sensitivity(self) -> str:
        """The effects that the design can detect, next to the margin; empty if the method has no such unit."""
        support, refute = self.detectable
        if support is None or refute is None:
            return ""
        never = [verb for verb, effect in (("support", support), ("refute", refute)) if effect == math.inf]
        if never:
            return f"at its error rates the design can never {' or '.join(never)}"
        if (deviation := self._deviation) is None:
            return f"detects {support:.2g} standard deviations of a seed, refutes {refute:.2g}"
        message = f"MDE {self._distance(support * deviation)}"
        if (margin := self._margin) is not None and self.terms.margin is not None:
            message += f", margin {number(self.terms.margin)}"
            if support * deviation > margin:
                message += f", needs n = {self.seeds_needed or f'more than {MOST_SEEDS}'}"
        return f"{message}; refutes from {self._distance(refute * deviation)}"

    @property
    def stop_reason(self) -> str:
        """The reason why no more seeds were looked at."""
        match self.reason:
            case None:
                return "decided"
            case Reason.UNDERPOWERED | Reason.ASSUMPTION_FAILED:
                return "all looks taken" if self.look == len(self.design.looks) else "no more seeds"
        return str(self.reason)

    def to_json(self) -> dict[str, Any]:  # noqa: D102
        judgement = self.judgement
        region = self.shown_region
        support, refute = self.detectable
        return {
            "quantity": self.quantity.label,
            "key": self.quantity.key,
            "structure": self.quantity.to_json(),
            "unit": "seed",
            "region": str(region),
            "region_ends": [_finite(region.lower), _finite(region.upper)],
            "verdict": str(self.verdict),
            "reason": None if self.reason is None else str(self.reason),
            "detail": judgement.detail,
            **_interval_entries(self.interval),
            "interval90": dict(zip(("lower", "upper"), map(_finite, self.interval90), strict=True)),
            "log_scale": self.log_scale,
            "method": self.method.name,
            "guarantee": str(self.method.guarantee),
            "assumption": self.method.assumption,
            # The permutations' generator is seeded by the number of seeds: the same seeds get the same verdict.
            "rearranges": self.method.rearranges,
            "p_value": judgement.p_value,
            "level": judgement.level,
            "alpha_support": self.design.alpha_support,
            "alpha_refute": self.design.alpha_refute,
            "paired": self.correlation is not None,
            "correlation": None if self.correlation is None else _finite(self.correlation),
            "planned_looks": list(self.design.looks),
            "looks": [{"n": look.n, **_interval_entries(self._reported(look.interval))} for look in judgement.looks],
            "n": self.n,
            "stop_reason": self.stop_reason,
            "margin": self.terms.margin,
            "can_support": None if support is None else support < math.inf,
            "can_refute": None if refute is None else refute < math.inf,
            "detects_in_sd": None if support is None else _finite(support),
            "refutes_in_sd": None if refute is None else _finite(refute),
            "mde": self._in_units(support),
            "mde_refuting": self._in_units(refute),
            "n_needed": self.seeds_needed,
            "saved_group": self.saved,
            "seeds": [list(group) for group in self.seeds],
            "values": [[_finite(value) for value in group] for group in self.values],
            "diagnostics": [_diagnostics(group) for group in self.groups],
            "failures": list(self.failures),
            "scope": self.scope.label,
            "settings": [{"task": task, "steps": steps} for task, steps in self.scope.settings],
        }

    @property
    def seeds_needed(self) -> int | None:
        """The number of seeds at which one look would detect the margin; None if unknown or too many."""
        if self._deviation is None or self._margin is None or len(self.region.ends) == 2:
            return None
        effect = self._margin / self._deviation
        return seeds_needed(self._one_sided[0], effect, self.design.alpha_support, self._saved_seeds)

    @property
    def _deviation(self) -> float | None:
        """The standard deviation of a seed, from the pilot if one fits."""
        return None if self.pilot is None else self.pilot.standard_deviation_bound

    @property
    def pilot(self) -> Pilot | None:
        """The spread of the same quantity over development seeds, or None."""
        pilot = self.terms.pilot
        seeds = tuple(seed for group in self.seeds for seed in group)
        return pilot if pilot is not None and pilot.fits(self.quantity.key, self.scope, seeds) else None

    def _in_units(self, effect: float | None) -> float | None:
        """Return an effect in standard deviations as a distance or a factor."""
        if effect is None or effect == math.inf or self._deviation is None:
            return None
        return self._unscaled(effect * self._deviation)

    @property
    def _margin(self) -> float | None:
        """The claim's margin on the scale it is judged on."""
        margin = self.terms.margin
        if margin is None or not self.log_scale:
            return margin
        if margin <= 1:
            raise ClaimError(f"The margin of a ratio is a factor above 1, unlike {margin:g}.")
        return math.log(margin)

    def _distance(self, x: float) -> str:
        return f"a factor of {number(self._unscaled(x))}" if self.log_scale else number(x)

    def _unscaled(self, x: float) -> float:
        if not self.log_scale:
            return x
        return math.exp(x) if x < 700 else math.inf

    def _reported(self, interval: Interval | None) -> Interval | None:
        if interval is None:
            return None
        # An unbounded logarithm stays unbounded: that a ratio is above 0 is true of all.
        lower = interval.lower if interval.lower == -math.inf else self._unscaled(interval.lower)
        return Interval(self._unscaled(interval.estimate), lower, self._unscaled(interval.upper))


def _diagnostics(group: tuple[float, ...]) -> dict[str, Any]:
    """Return a group's spread, skewness, ties and missing numbers, on the scale it is judged on."""
    finite = np.array([value for value in group if math.isfinite(value)])
    return {
        "standard_deviation": _finite(standard_deviation(finite)),
        "skewness": _finite(skewness(finite)),
        "ties": len(finite) - len(set(finite)),
        "not_finite": len(group) - len(finite),
    }


def _interval_entries(interval: Interval | None) -> dict[str, float | None]:
    """Return an interval as plain data, with None for a number that does not exist."""
    numbers = (math.nan,) * 3 if interval is None else (interval.estimate, interval.lower, interval.upper)
    return dict(zip(("estimate", "lower", "upper"), map(_finite, numbers), strict=True))


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None
