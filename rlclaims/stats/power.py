"""What a design can see: the smallest effect that it detects reliably, and the seeds that a given one needs."""

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
"""Probability of detecting the minimal detectable effect."""
MOST_SEEDS = 1000
"""Designs beyond it are not looked for."""
REPETITIONS = 4000
"""Simulated samples behind a power: its standard error at .8 is .6 points, and 1.8 for methods that rearrange."""

Side = Literal["support", "refute"]


def power(method: Method, design: Design, effect: float, side: Side) -> float:
    """Probability of a verdict when the estimand is `effect` standard deviations inside or outside the region.

    Seeds are normal; with two groups, `effect` is the difference of their means. The lower bound decides: for what the
    upper bound decides, ask for `method.mirrored()`.
    """
    repetitions, n = REPETITIONS // (8 if method.rearranges else 1), design.looks[-1]
    noise = _standard_normal(method.n_groups, repetitions, n)
    if design.saved is not None:
        whole = _standard_normal(method.n_groups, repetitions, design.saved_seeds)
        # Of different groups of one draw, so that they are independent even where they are as large.
        noise = tuple((whole if i == design.saved else noise)[i] for i in range(2))
    # Shifted so that the estimand itself is the effect.
    shift = effect - (stats.norm.ppf(method.q) if isinstance(method, Quantile) else 0.0)
    groups = tuple(x + (shift if i == 0 else 0.0) for i, x in enumerate(noise))
    # Support of "> 0" and refutation of "<= 0" are one event, each with its own error rate.
    region = Region.of(">", 0.0) if side == "support" else Region.of("<=", 0.0)
    decisions = decide(method, groups, region, design)
    return float(np.mean(decisions.supported if side == "support" else decisions.refuted))


@lru_cache(maxsize=256)
def minimal_detectable_effect(method: Method, design: Design, side: Side) -> float | None:
    """The effect, in standard deviations of a seed, that the design detects with probability `POWER`.

    None where the method's estimand has no such unit (a probability, a bounded mean), inf where no effect suffices.
    """
    if not method.in_standard_deviations:
        return None
    high = 0.5
    while power(method, design, high, side) < POWER:
        high *= 2
        if high > 100:
            return math.inf
    found: float = optimize.brentq(lambda d: power(method, design, d, side) - POWER, 0.0, high, xtol=2e-3)
    return found


@lru_cache(maxsize=256)
def seeds_needed(method: Method, effect: float, alpha: float, saved_seeds: int | None = None) -> int | None:
    """Seeds, in each group, for which one look detects an effect with probability `POWER`; None above `MOST_SEEDS`.

    With `saved_seeds`, which the second of two groups has and keeps, in the first: no number of them may be enough.
    None too where the method's estimand has no such unit, as for `minimal_detectable_effect`.

    By theory, for normal seeds and an effect in their standard deviations: the binomial distribution for quantiles,
    noncentral t for t and Welch's; methods that rearrange are simulated, from the seeds that t would need.
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
            # Rejects when so few seeds are at most the null as P(Binomial(n, q) <= r) <= alpha allows.
            r = int(stats.binom.ppf(alpha, n, method.q))
            r -= stats.binom.cdf(r, n, method.q) > alpha
            reached = stats.binom.cdf(r, n, stats.norm.cdf(stats.norm.ppf(method.q) - effect))
        else:
            sizes = (n,) if method.n_groups == 1 else (n, saved_seeds or n)
            variance = sum(1 / size for size in sizes)  # in those of a seed
            df = variance**2 / sum(1 / (size**2 * (size - 1)) for size in sizes)
            reached = stats.nct.sf(stats.t.isf(alpha, df), df, effect / math.sqrt(variance))
        # A binomial test's power falls where its critical number does not rise: the seeds from which it stays above.
        needed = (needed or n) if reached >= POWER else None
        if needed is not None and n >= needed + (10 if isinstance(method, Quantile) else 0):
            return needed
    return None


def pilot_bound(standard_deviation: float, n: int) -> float:
    """The 80% upper confidence bound of a standard deviation estimated from n normal seeds."""
    return standard_deviation * math.sqrt((n - 1) / stats.chi2.ppf(0.2, n - 1))


@lru_cache(maxsize=32)
def _standard_normal(groups: int, repetitions: int, n: int) -> Groups:
    rng = np.random.default_rng([groups, n, 4])
    return tuple(rng.standard_normal((groups, repetitions, n)))
