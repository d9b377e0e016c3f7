"""Probability that a few seeds rank two algorithms in the wrong order, both being run on the same seeds."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from rlclaims.stats.method import Floats, Groups, Guarantee, Method

MAX_SECANTS = 20
"""Maximum secant steps towards a bound; half as many suffice."""
LARGEST_T = 1e3
"""Size of a t statistic beyond which scipy's noncentral t distribution is slow or wrong."""
SMALLEST_PROBABILITY = 1e-12
"""Probability below which scipy's noncentral t distribution is wrong."""


@dataclass(frozen=True)
class WrongOrder(Method):
    """Probability that the mean of k seeds' paired differences is below 0, where the true mean is positive.

    The mean of k normal differences with a mean of delta standard deviations is below 0 with probability
    Phi(-sqrt(k) delta). The t statistic of n seeds is noncentral t with noncentrality sqrt(n) delta, and its
    distribution function decreases in the noncentrality: the upper bound of delta is where it equals alpha (Steiger and
    Fouladi 1997, "Noncentrality interval estimation and the evaluation of statistical models"). For normal differences
    this is exact. For others, the mean of k seeds is below 0 with another probability, to which the bounds do not
    converge.
    """

    seeds: int = 3
    """Number of seeds k in a ranking; not the number that the claim is judged on."""
    negated: bool = False
    """True for the mirror image: bounds minus the probability, from negated differences."""

    name = "noncentral t"
    guarantee = Guarantee.MODEL
    assumption = "normal differences"
    in_standard_deviations = False

    def estimate(self, data: Groups) -> Floats:
        """Return the probability at the sample's own mean and standard deviation; NaN where all seeds are equal."""
        t_R, n = _t(data)
        return self._at(t_R * math.sqrt(self.seeds / n))

    def lower(self, data: Groups, alpha: float) -> Floats:  # noqa: D102
        t_R, n = _t(data)
        z_R = _largest_noncentrality(t_R, n - 1, alpha) * math.sqrt(self.seeds / n)
        # The probability is never 0 or 1 but by rounding, which must not put the bound there.
        return np.maximum(np.nextafter(self._at(z_R), -np.inf), -1.0 if self.negated else 0.0)

    def p_value(self, data: Groups, null: float) -> Floats:  # noqa: D102
        t_R, n = _t(data)
        # The estimand is at most the null if delta is at least z / sqrt(k), which is infinite for a null of 0 or 1.
        probability = min(max(-null if self.negated else null, 0.0), 1.0)
        z = float(special.ndtri(probability)) * (1 if self.negated else -1)
        return _at_most(t_R, n - 1, np.full(len(t_R), z * math.sqrt(n / self.seeds)))

    def mirrored(self) -> Method:  # noqa: D102
        return WrongOrder(self.seeds, not self.negated)

    def _at(self, z_R: Floats) -> Floats:
        """Return the estimand at sqrt(k) delta = z."""
        return np.asarray(-special.ndtr(z_R) if self.negated else special.ndtr(-z_R))


def _t(data: Groups) -> tuple[Floats, int]:
    """Return t statistics against 0, (R,), NaN where all seeds are equal; and the number of seeds."""
    (x_RN,) = data
    n = x_RN.shape[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        x_RN = x_RN / np.abs(x_RN).max(-1, keepdims=True)  # squares of large numbers would overflow
        t_R = x_RN.mean(-1) / x_RN.std(-1, ddof=1) * math.sqrt(n)
    return np.where(np.isfinite(t_R), t_R, np.nan), n


def _largest_noncentrality(t_R: Floats, df: int, alpha: float) -> Floats:
    """Return the noncentrality at which P(T <= t) = alpha, (R,), or a larger one where rounding hides the root.

    P(T <= t) is the probability that t W + Z exceeds the noncentrality, with Z standard normal and df W^2 chi-square
    (Lecoutre 2007, "Another look at confidence intervals for the noncentral t distribution"). Giving each of the two
    half of alpha starts the search above the root. The sum's density is log-concave, and so is its tail: a secant
    through two points above the root reaches alpha above the root again, so that every step errs on the safe side.
    """
    w_R = np.sqrt(np.where(t_R > 0, stats.chi2.isf(alpha / 2, df), stats.chi2.ppf(alpha / 2, df)) / df)
    found_R = t_R * w_R + stats.norm.isf(alpha / 2)
    before_R = found_R + 0.1

    def excess(noncentrality_R: Floats) -> Floats:
        return np.asarray(np.log(_at_most(t_R, df, noncentrality_R) / alpha))

    with np.errstate(divide="ignore", invalid="ignore"):
        excess_before_R, excess_R = excess(before_R), excess(found_R)
        for _ in range(MAX_SECANTS):
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
    """Return P(T <= t) of the noncentral t distribution, (R,), rounded up rather than down."""
    easy_R = np.abs(t_R) <= LARGEST_T
    p_R = np.asarray(stats.nct.cdf(np.where(easy_R, t_R, 0.0), df, noncentrality_R))
    # NaN counts as hard, too: scipy returns it for some probabilities near 0 and 1.
    hard_R = ~(easy_R & (p_R > SMALLEST_PROBABILITY))
    p_R[hard_R] = _upper_sum(t_R[hard_R], df, noncentrality_R[hard_R])
    # On some processors the sum of all probabilities rounds to less than 1.
    return np.where(np.isneginf(noncentrality_R) & ~np.isnan(t_R), 1.0, p_R)


def _upper_sum(t_R: Floats, df: int, noncentrality_R: Floats) -> Floats:
    """Return P(t W + Z > noncentrality), (R,), with Z rounded up to the ends of short intervals."""
    t_R1 = np.where(t_R == 0, 1e-200, t_R)[:, None]
    z_K = np.linspace(-8, 40, 961)
    chance_K = -np.diff(stats.norm.sf(z_K), prepend=1.0)
    with np.errstate(over="ignore"):
        chi2_RK = df * np.maximum((noncentrality_R[:, None] - z_K) / t_R1, 0) ** 2
    w_RK = np.where(t_R1 > 0, special.chdtrc(df, chi2_RK), special.chdtr(df, chi2_RK))
    return np.minimum(w_RK @ chance_K, 1.0)
