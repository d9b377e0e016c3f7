"""Two one-sided confidence bounds for one number per seed.

An interval here is a lower bound and an upper bound, each wrong with probability at most alpha, so the pair is a
1 - 2 alpha interval. Seeds are the sample: nothing within a run is ever a replicate.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

MIN_SEEDS = 5
"""Fewest seeds a verdict is given on: below it an exact one-sided sign test cannot reach 5% (2^-5 = .031)."""


@dataclass(frozen=True)
class Interval:
    """A point estimate between two one-sided bounds."""

    estimate: float
    lower: float
    """Lower bound, below the estimand except with probability at most alpha."""
    upper: float
    """Upper bound, above the estimand except with probability at most alpha."""
    method: str
    """What was computed, in words."""
    guarantee: str
    """What the error rate rests on: "exact" (any continuous distribution) or "model-based" (normal seeds)."""

    def mapped(self, increasing: Callable[[float], float]) -> "Interval":
        """The interval on another scale."""
        return Interval(
            increasing(self.estimate),
            increasing(self.lower),
            increasing(self.upper),
            self.method,
            self.guarantee,
        )


def t_interval(values: Sequence[float], alpha: float) -> Interval:
    """Student's t for the mean over seeds: each bound at one-sided level alpha, exact for normal values.

    Raises:
        DegenerateSampleError: all values are equal, where t would give a bound without width.
    """
    x = np.asarray(values, dtype=float)
    n, mean, sd = len(x), float(x.mean()), float(x.std(ddof=1))
    # Equal numbers can have a spread of a few roundings; that is no information about the spread of seeds.
    if sd <= 1e-12 * max(abs(mean), np.finfo(float).tiny):
        raise DegenerateSampleError(f"all {n} seeds gave {mean:.4g}, from which t cannot tell how seeds vary")
    half_width = float(stats.t.ppf(1 - alpha, n - 1)) * sd / math.sqrt(n)
    return Interval(mean, mean - half_width, mean + half_width, "t over seeds", "model-based")


def sign_interval(values: Sequence[float], alpha: float) -> Interval:
    """The bounds that invert the exact sign test, for the median over seeds.

    With k the largest number for which P(Binomial(n, 1/2) <= k - 1) <= alpha, the k-th smallest and k-th largest
    values are the bounds (k = 0: no bound). Valid for every distribution, ties included.
    """
    x = np.sort(np.asarray(values, dtype=float))
    n = len(x)
    k = int(np.sum(stats.binom.cdf(np.arange(n), n, 0.5) <= alpha))
    lower, upper = (float(x[k - 1]), float(x[n - k])) if k else (-math.inf, math.inf)
    return Interval(float(np.median(x)), lower, upper, "exact sign test over seeds", "exact")


class DegenerateSampleError(ValueError):
    """A sample whose method's assumptions are plainly not met."""
