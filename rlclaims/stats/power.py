"""What a design can see: the smallest effect that it detects reliably, and the seeds that a given one needs."""

import math
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy import optimize, stats

from rlclaims.stats.mean import BootstrapT, StudentT
from rlclaims.stats.method import Groups, Method
from rlclaims.stats.verdict import MIN_SEEDS, Design, Region, decide

POWER = 0.8
"""Probability of detecting the minimal detectable effect."""
REPETITIONS = 4000
"""Simulated samples behind a power: its standard error at .8 is .6 points, and 1.8 for methods that rearrange."""

Side = Literal["support", "refute"]


def power(method: Method, design: Design, effect: float, side: Side) -> float:
    """Probability of a verdict when the estimand is `effect` standard deviations inside or outside the region.

    Seeds are normal; with two groups, `effect` is the difference of their means. For bootstrap-t it is that of t, which
    is close on normal seeds.
    """
    method = StudentT() if isinstance(method, BootstrapT) else method
    noise = _standard_normal(method.n_groups, REPETITIONS // (8 if method.rearranges else 1), design.looks[-1])
    groups = tuple(x + (effect if i == 0 else 0.0) for i, x in enumerate(noise))
    # Support of "> 0" and refutation of "<= 0" are one event, each with its own error rate.
    region = Region.of(">", 0.0) if side == "support" else Region.of("<=", 0.0)
    decisions = decide(method, groups, region, design)
    return float(np.mean(decisions.supported if side == "support" else decisions.refuted))


@lru_cache(maxsize=256)
def minimal_detectable_effect(method: Method, design: Design, side: Side) -> float | None:
    """The effect, in standard deviations of a seed, that the design detects with probability `POWER`.

    None where the method's estimand has no such unit (a probability, a bounded mean) or no effect suffices.
    """
    if not method.in_standard_deviations:
        return None
    high = 0.5
    while power(method, design, high, side) < POWER:
        high *= 2
        if high > 100:
            return None
    found: float = optimize.brentq(lambda d: power(method, design, d, side) - POWER, 0.0, high, xtol=2e-3)
    return found


@lru_cache(maxsize=256)
def seeds_needed(effect: float, alpha: float) -> int | None:
    """Seeds for which one look by t detects an effect, in standard deviations, with probability `POWER`; up to 1000."""
    for n in range(MIN_SEEDS, 1001):
        if stats.nct.sf(stats.t.isf(alpha, n - 1), n - 1, effect * math.sqrt(n)) >= POWER:
            return n
    return None


def pilot_bound(standard_deviation: float, n: int) -> float:
    """The 80% upper confidence bound of a standard deviation estimated from n normal seeds."""
    return standard_deviation * math.sqrt((n - 1) / stats.chi2.ppf(0.2, n - 1))


@lru_cache(maxsize=32)
def _standard_normal(groups: int, repetitions: int, n: int) -> Groups:
    rng = np.random.default_rng([groups, n, 4])
    return tuple(rng.standard_normal((groups, repetitions, n)))
