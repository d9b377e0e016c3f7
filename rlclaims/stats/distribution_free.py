"""Estimands with bounds for every distribution: quantiles, probabilities, and means of bounded quantities.

A failed seed (NaN) takes the worst value for each bound: the bounds hold whatever it would have been.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from rlclaims.stats.method import Floats, Groups, Guarantee, Method
from rlclaims.stats.sequential import binomial_levels

HUGE = 1e300
"""Stands in for infinity where that would make NaN."""


@dataclass(frozen=True)
class Quantile(Method):
    """A quantile over seeds, by the exact binomial test: the sign test for the median.

    A seed is at most the q-quantile with probability q or more. So with k the largest number for which
    P(Binomial(n, q) <= k - 1) <= alpha, the k-th smallest value is the lower bound; ties do no harm.
    """

    q: float = 0.5
    """The share of seeds below it."""

    @property
    def name(self) -> str:  # noqa: D102
        return "sign test" if self.q == 0.5 else "binomial test"

    guarantee = Guarantee.EXACT
    takes_any_value = True
    assumption = "any distribution"

    def estimate(self, data: Groups) -> Floats:
        """The sample's quantile; NaN if it hangs on seeds that failed."""
        # numpy interpolates between two seeds, which infinite ones do not allow.
        low_R, high_R = (
            np.quantile(_filled(data, worst).clip(-HUGE, HUGE), self.q, axis=-1) for worst in (-HUGE, HUGE)
        )
        infinite_R = np.where(np.abs(low_R) > HUGE / 1e3, np.copysign(np.inf, low_R), low_R)
        return np.where(low_R == high_R, infinite_R, np.nan)

    def lower(self, data: Groups, alpha: float) -> Floats:  # noqa: D102
        x_RN = np.sort(_filled(data, -np.inf), axis=-1)
        n = x_RN.shape[-1]
        # The slack is for levels that were themselves computed as such a probability.
        k = int(np.sum(stats.binom.cdf(np.arange(n), n, self.q) <= alpha * (1 + 1e-9)))
        return x_RN[..., k - 1] if k else np.full(len(x_RN), -np.inf)

    def p_value(self, data: Groups, null: float) -> Floats:  # noqa: D102
        x_RN = _filled(data, -np.inf)
        return np.asarray(stats.binom.cdf((x_RN <= null).sum(-1), x_RN.shape[-1], self.q))

    def mirrored(self) -> Method:  # noqa: D102
        return Quantile(1 - self.q)

    def levels(self, looks: tuple[int, ...], spent: tuple[float, ...]) -> tuple[float, ...]:
        """Exact: what is too little for one seed at a look is left to later ones."""
        return binomial_levels(looks, spent, self.q)


@dataclass(frozen=True)
class ClopperPearson(Method):
    """The probability of an event over seeds, each 1 (it happened) or 0, by Clopper and Pearson (1934)."""

    never: float = 0.0
    """The value of a seed where it did not happen; `never` + 1 where it did."""

    name = "Clopper-Pearson"
    guarantee = Guarantee.EXACT
    takes_any_value = True
    assumption = "any probability"
    in_standard_deviations = False

    def lower(self, data: Groups, alpha: float) -> Floats:  # noqa: D102
        happened_R, n = self._counts(data)
        with np.errstate(invalid="ignore"):
            p_R = np.where(happened_R == 0, 0.0, stats.beta.ppf(alpha, happened_R, n - happened_R + 1))
        return self.never + p_R

    def p_value(self, data: Groups, null: float) -> Floats:  # noqa: D102
        happened_R, n = self._counts(data)
        return np.asarray(stats.binom.sf(happened_R - 1, n, np.clip(null - self.never, 0.0, 1.0)))

    def mirrored(self) -> Method:  # noqa: D102
        return ClopperPearson(-self.never - 1)

    def _counts(self, data: Groups) -> tuple[Floats, int]:
        x_RN = _filled(data, self.never)
        return np.round((x_RN - self.never).sum(-1)), x_RN.shape[-1]


STAKES = np.linspace(0.0625, 1.0, 16)
"""Shares of the capital that are put at risk, side by side."""


@dataclass(frozen=True)
class Betting(Method):
    """The mean over seeds of a quantity that lies in a known interval, by betting against it.

    Against "the mean is at most m", a bettor whose capital is multiplied by 1 + c (x / m - 1) at each seed (x and m
    measured from the interval's lower end) gains nothing on average for any stake c in [0, 1], so that the average
    over the stakes ever exceeds 1 / alpha with probability at most alpha (Ville 1939; Waudby-Smith and Ramdas 2020,
    2010.09686, whose stakes are predicted instead). Looking at any time is paid for already.
    """

    low: float = 0.0
    high: float = 1.0

    name = "betting"
    guarantee = Guarantee.BOUNDED
    takes_any_value = True

    @property
    def assumption(self) -> str:  # noqa: D102
        return f"any distribution on [{self.low:g}, {self.high:g}]"

    in_standard_deviations = False

    def lower(self, data: Groups, alpha: float) -> Floats:  # noqa: D102
        x_RN = self._scaled(data)
        below_R, width = np.zeros(len(x_RN)), 1.0
        for _ in range(4):  # the capital falls in m: find the part of the interval in which it passes 1 / alpha, ...
            width /= 32
            m_RM = below_R[:, None] + width * np.arange(1, 32)
            excluded_RM = _log_capital(x_RN, m_RM) >= -np.log(alpha)
            below_R = below_R + width * excluded_RM.sum(-1)
        return self.low + (self.high - self.low) * below_R

    def p_value(self, data: Groups, null: float) -> Floats:  # noqa: D102
        x_RN = self._scaled(data)
        m = (null - self.low) / (self.high - self.low)
        if m >= 1:
            return np.ones(len(x_RN))
        log_capital_R = _log_capital(x_RN, np.full((len(x_RN), 1), max(m, 1e-300)))[:, 0]
        return np.exp(-np.maximum(log_capital_R, 0.0))

    def mirrored(self) -> Method:  # noqa: D102
        return Betting(-self.high, -self.low)

    def levels(self, looks: tuple[int, ...], spent: tuple[float, ...]) -> tuple[float, ...]:
        """All of alpha at every look: the bound holds at all of them at once."""
        return (spent[-1],) * len(looks)

    def _scaled(self, data: Groups) -> Floats:
        return np.asarray((_filled(data, self.low) - self.low) / (self.high - self.low))


def _log_capital(x_RN: Floats, m_RM: Floats) -> Floats:
    """Logarithm of the capital after all seeds against each mean m, averaged over the stakes, (R, M)."""
    gain_RM1N = (x_RN[:, None, :] / m_RM[:, :, None] - 1)[:, :, None, :]
    with np.errstate(divide="ignore"):
        log_RMC = np.log1p(STAKES[:, None] * gain_RM1N).sum(-1)
        largest_RM = log_RMC.max(-1)  # finite: of a stake below all, something is always left
        return np.asarray(largest_RM + np.log(np.exp(log_RMC - largest_RM[..., None]).mean(-1)))


def _filled(data: Groups, value: float) -> Floats:
    return np.where(np.isnan(data[0]), value, data[0])
