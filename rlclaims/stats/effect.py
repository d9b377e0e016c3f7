"""How likely a few seeds are to rank two algorithms the wrong way round, where both are run on the same seeds."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from rlclaims.stats.method import Floats, Groups, Guarantee, Method

STEPS = 20
"""Most secants that are drawn towards a bound; half as many do."""
FAR, RARE = 1e3, 1e-12
"""Beyond such t statistics, and below such probabilities, scipy's noncentral t distribution is slow or wrong."""


@dataclass(frozen=True)
class WrongOrder(Method):
    """The probability that the mean of some seeds' paired differences is below 0, if it is positive in the long run.

    Of normal differences with a mean of delta standard deviations, the mean of k is below 0 with probability
    Phi(-sqrt(k) delta). The t statistic of n is noncentral t, with noncentrality sqrt(n) delta, in which its
    distribution function falls: delta is at most where that has come down to alpha (Steiger and Fouladi 1997,
    "Noncentrality interval estimation and the evaluation of statistical models"). For normal differences this is exact.
    For others a mean of k has another chance to be below 0, and more seeds bring the bounds no closer to it.
    """

    seeds: int = 3
    """How many the ranking takes, k; not those that it is judged on."""
    negated: bool = False
    """Whether it is minus the probability that is bounded, from differences that are negated: the mirror image."""

    name = "noncentral t"
    guarantee = Guarantee.MODEL
    assumption = "normal differences"
    in_standard_deviations = False

    def estimate(self, data: Groups) -> Floats:
        """That of the sample's own mean and standard deviation; NaN where all seeds are equal."""
        t_R, n = _t(data)
        return self._at(t_R * math.sqrt(self.seeds / n))

    def lower(self, data: Groups, alpha: float) -> Floats:  # noqa: D102
        t_R, n = _t(data)
        z_R = _largest_noncentrality(t_R, n - 1, alpha) * math.sqrt(self.seeds / n)
        # Only rounding makes 0 or 1 of it, and must not put a bound there.
        return np.maximum(np.nextafter(self._at(z_R), -np.inf), -1.0 if self.negated else 0.0)

    def p_value(self, data: Groups, null: float) -> Floats:  # noqa: D102
        t_R, n = _t(data)
        # The estimand is at most the null where delta is at least z / sqrt(k), which is infinite for a null of 0 or 1.
        probability = min(max(-null if self.negated else null, 0.0), 1.0)
        z = float(special.ndtri(probability)) * (1 if self.negated else -1)
        return _at_most(t_R, n - 1, np.full(len(t_R), z * math.sqrt(n / self.seeds)))

    def mirrored(self) -> Method:  # noqa: D102
        return WrongOrder(self.seeds, not self.negated)

    def _at(self, z_R: Floats) -> Floats:
        """The estimand where sqrt(k) delta is z."""
        return np.asarray(-special.ndtr(z_R) if self.negated else special.ndtr(-z_R))


def _t(data: Groups) -> tuple[Floats, int]:
    """T statistics against 0, (R,), NaN where all seeds are equal; and the number of seeds."""
    (x_RN,) = data
    n = x_RN.shape[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        x_RN = x_RN / np.abs(x_RN).max(-1, keepdims=True)  # squares of what is large would be infinite
        t_R = x_RN.mean(-1) / x_RN.std(-1, ddof=1) * math.sqrt(n)
    return np.where(np.isfinite(t_R), t_R, np.nan), n


def _largest_noncentrality(t_R: Floats, df: int, alpha: float) -> Floats:
    """The noncentrality at which P(T <= t) has come down to alpha, (R,), or where rounding is too coarse a larger one.

    P(T <= t) is the probability that t W + Z is above the noncentrality, with Z standard normal and df W^2 chi-square
    (Lecoutre 2007, "Another look at confidence intervals for the noncentral t distribution"). With half of alpha for
    each of the two we start beyond the root. The sum's density is log-concave, and so is its tail: a secant through two
    points beyond the root comes down to alpha beyond it again, so that every step is on the safe side.
    """
    w_R = np.sqrt(np.where(t_R > 0, stats.chi2.isf(alpha / 2, df), stats.chi2.ppf(alpha / 2, df)) / df)
    found_R = t_R * w_R + stats.norm.isf(alpha / 2)
    before_R = found_R + 0.1

    def excess(noncentrality_R: Floats) -> Floats:
        return np.asarray(np.log(_at_most(t_R, df, noncentrality_R) / alpha))

    with np.errstate(divide="ignore", invalid="ignore"):
        excess_before_R, excess_R = excess(before_R), excess(found_R)
        for _ in range(STEPS):
            secant_R = found_R - excess_R * (found_R - before_R) / (excess_R - excess_before_R)
            next_R = np.where(excess_R < -1e-9, secant_R, found_R)
            excess_next_R = excess(next_R)
            closer_R = (next_R < found_R) & (excess_next_R <= 1e-9)
            before_R, found_R = np.where(closer_R, found_R, before_R), np.where(closer_R, next_R, found_R)
            excess_before_R = np.where(closer_R, excess_R, excess_before_R)
            excess_R = np.where(closer_R, excess_next_R, excess_R)
            if not closer_R.any():
                break
    return found_R


def _at_most(t_R: Floats, df: int, noncentrality_R: Floats) -> Floats:
    """P(T <= t) of the noncentral t distribution, (R,); rather more than less."""
    easy_R = np.abs(t_R) <= FAR
    p_R = np.asarray(stats.nct.cdf(np.where(easy_R, t_R, 0.0), df, noncentrality_R))
    hard_R = ~(easy_R & (p_R > RARE))  # NaN too, which scipy has for some probabilities near 0 and 1
    p_R[hard_R] = _upper_sum(t_R[hard_R], df, noncentrality_R[hard_R])
    # Some processors' sums of all chances round to less than 1.
    return np.where(np.isneginf(noncentrality_R) & ~np.isnan(t_R), 1.0, p_R)


def _upper_sum(t_R: Floats, df: int, noncentrality_R: Floats) -> Floats:
    """P(t W + Z > noncentrality), (R,), with Z at the upper ends of many short intervals."""
    t_R1 = np.where(t_R == 0, 1e-200, t_R)[:, None]
    z_K = np.linspace(-8, 40, 961)
    chance_K = -np.diff(stats.norm.sf(z_K), prepend=1.0)
    with np.errstate(over="ignore"):
        chi2_RK = df * np.maximum((noncentrality_R[:, None] - z_K) / t_R1, 0) ** 2
    w_RK = np.where(t_R1 > 0, special.chdtrc(df, chi2_RK), special.chdtr(df, chi2_RK))
    return np.minimum(w_RK @ chance_K, 1.0)
