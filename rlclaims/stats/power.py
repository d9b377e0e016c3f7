"""Power analysis: the smallest effect that a design detects reliably, and the seeds that a given effect needs."""

import math
from dataclasses import replace
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy import optimize, stats

from rlclaims.stats.distribution_free import Quantile
from rlclaims.stats.mean import StudentT
from rlclaims.stats.method import Groups, Method
from rlclaims.stats.two_groups import Welch
from rlclaims.stats.verdict import MIN_SEEDS, Design, Region, decide

POWER = 0.8
"""Probability with which the minimal detectable effect is detected."""
MOST_SEEDS = 1000
"""Largest number of seeds that `seeds_needed` considers."""
REPETITIONS = 4000
"""Simulated samples per power: the standard error at .8 is .6 points, and 1.8 for methods that rearrange."""

Side = Literal["support", "refute"]


def power(method: Method, design: Design, effect: float, side: Side) -> float:
    """Return the probability of a verdict if the estimand is `effect` standard deviations inside or outside the region.

    Seeds are normal; with two groups, `effect` is the difference of their means. The verdict is that of the lower
    bound; pass `method.mirrored()` for the upper bound's.
    """
    repetitions = REPETITIONS // (8 if method.rearranges else 1)
    n = design.looks[-1]
    noise = _standard_normal(method.n_groups, repetitions, n)
    if design.saved is not None:
        whole = _standard_normal(method.n_groups, repetitions, design.saved_seeds)
        # Each from its own group of a draw, so that the two are independent even where they are of one size.
        noise = tuple((whole if i == design.saved else noise)[i] for i in range(2))
    # Shift the seeds so that the estimand itself equals the effect.
    shift = effect - (stats.norm.ppf(method.q) if isinstance(method, Quantile) else 0.0)
    groups = tuple(x + (shift if i == 0 else 0.0) for i, x in enumerate(noise))
    # Supporting "> 0" and refuting "<= 0" are the same event, at different error rates.
    region = Region.half_line(">", 0.0) if side == "support" else Region.half_line("<=", 0.0)
    decisions = decide(method, groups, region, design)
    return float(np.mean(decisions.supported if side == "support" else decisions.refuted))


@lru_cache(maxsize=256)
def minimal_detectable_effect(method: Method, design: Design, side: Side) -> float | None:
    """Return the effect, in standard deviations of a seed, that the design detects with probability `POWER`.

    None if the method's estimand has no such unit (a probability, a bounded mean), inf if no effect suffices.
    """
    if not method.in_standard_deviations:
        return None
    high = 0.5
    while power(method, design, high, side) < POWER:
        high *= 2
        if high > 100:
            return math.inf
    effect: float = optimize.brentq(lambda d: power(method, design, d, side) - POWER, 0.0, high, xtol=2e-3)
    return effect


@lru_cache(maxsize=256)
def seeds_needed(method: Method, effect: float, alpha: float, saved_seeds: int | None = None) -> int | None:
    """Return the seeds per group with which one look detects an effect with probability `POWER`.

    Seeds are normal, and the effect is in their standard deviations. Quantiles use the binomial distribution, t and
    Welch's the noncentral t; methods that rearrange are simulated, starting from the seeds that t would need.

    Args:
        method: how the estimand is bounded.
        effect: distance from the bound, in standard deviations of a seed.
        alpha: error rate of the look.
        saved_seeds: fixed number of seeds of the second of two groups; the result is then for the first group.

    Returns:
        The number of seeds. None if it is above `MOST_SEEDS`, if no number suffices, or if the estimand has no such
        unit, as for `minimal_detectable_effect`.
    """
    if not method.in_standard_deviations:
        return None
    if method.rearranges:
        simplest = seeds_needed(Welch() if method.n_groups == 2 else StudentT(), effect, alpha, saved_seeds)
        plain = Design((MIN_SEEDS,), alpha_support=alpha)
        if saved_seeds is not None:
            plain = replace(plain, saved=1, saved_seeds=saved_seeds)
        designs = [replace(plain, looks=(n,)) for n in (range(simplest, 2 * simplest) if simplest else ())]
        enough = (d.looks[0] for d in designs if power(method, d, effect, "support") >= POWER)
        return next(enough, None)
    needed = None
    for n in range(MIN_SEEDS, MOST_SEEDS + 1):
        if isinstance(method, Quantile):
            # The test rejects if at most r seeds are at most the null, P(Binomial(n, q) <= r) being at most alpha.
            r = int(stats.binom.ppf(alpha, n, method.q))
            r -= stats.binom.cdf(r, n, method.q) > alpha
            reached = stats.binom.cdf(r, n, stats.norm.cdf(stats.norm.ppf(method.q) - effect))
        else:
            sizes = (n,) if method.n_groups == 1 else (n, saved_seeds or n)
            variance = sum(1 / size for size in sizes)  # in units of a seed's variance
            df = variance**2 / sum(1 / (size**2 * (size - 1)) for size in sizes)
            reached = stats.nct.sf(stats.t.isf(alpha, df), df, effect / math.sqrt(variance))
        # A binomial test's power drops wherever its critical count stays the same: require it to hold for ten more.
        needed = (needed or n) if reached >= POWER else None
        if needed is not None and n >= needed + (10 if isinstance(method, Quantile) else 0):
            return needed
    return None


def pilot_bound(standard_deviation: float, n: int) -> float:
    """Return the 80% upper confidence bound of a standard deviation estimated from n normal seeds."""
    return standard_deviation * math.sqrt((n - 1) / stats.chi2.ppf(0.2, n - 1))


@lru_cache(maxsize=32)
def _standard_normal(groups: int, repetitions: int, n: int) -> Groups:
    rng = np.random.default_rng([groups, n, 4])
    return tuple(rng.standard_normal((groups, repetitions, n)))
