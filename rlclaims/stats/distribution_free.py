"""Estimands with bounds for every distribution: quantiles, probabilities, and means of bounded quantities.

A failed seed (NaN) takes the worst value for each bound, so the bounds hold for any value that it could have had.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from rlclaims.stats.method import Floats, Groups, Guarantee, Method
from rlclaims.stats.sequential import binomial_levels

HUGE = 1e300
"""Replacement for infinity in computations in which infinity would give NaN."""


@dataclass(frozen=True)
class Quantile(Method):
    """Quantile over seeds, bounded by the exact binomial test; for the median, the sign test.

    A seed is at most the q-quantile with probability q or more. So with k the largest number for which
    P(Binomial(n, q) <= k - 1) <= alpha, the k-th smallest value is a lower bound. It stays valid with ties.
    """

    q: float = 0.5
    """Share of seeds below the quantile."""

    @property
    def name(self) -> str:  # noqa: D102
        return "sign test" if self.q == 0.5 else "binomial test"

    guarantee = Guarantee.EXACT
    takes_any_value = True
    assumption = "any distribution"

    def estimate(self, data: Groups) -> Floats:
        """Return the sample's quantile; NaN if it depends on the values of failed seeds."""
        # numpy interpolates between two seeds, which gives NaN for infinite ones.
        low_R, high_R = (
            np.quantile(_filled(data, worst).clip(-HUGE, HUGE), self.q, axis=-1) for worst in (-HUGE, HUGE)
        )
        infinite_R = np.where(np.abs(low_R) > HUGE / 1e3, np.copysign(np.inf, low_R), low_R)
        return np.where(low_R == high_R, infinite_R, np.nan)

    def lower(self, data: Groups, alpha: float) -> Floats:  # noqa: D102
        x_RN = np.sort(_filled(data, -np.inf), axis=-1)
        n = x_RN.shape[-1]
        # A level may itself be such a probability: the slack keeps rounding from rejecting equality.
        k = int(np.sum(stats.binom.cdf(np.arange(n), n, self.q) <= alpha * (1 + 1e-9)))
        return x_RN[..., k - 1] if k else np.full(len(x_RN), -np.inf)

    def p_value(self, data: Groups, null: float) -> Floats:  # noqa: D102
        x_RN = _filled(data, -np.inf)
        return np.asarray(stats.binom.cdf((x_RN <= null).sum(-1), x_RN.shape[-1], self.q))

    def mirrored(self) -> Method:  # noqa: D102
        return Quantile(1 - self.q)

    def levels(self, looks: tuple[int, ...], spent: tuple[float, ...]) -> tuple[float, ...]:
        """Return exact levels; error rate that a look cannot use, as the counts are whole, passes to later looks."""
        return binomial_levels(looks, spent, self.q)


@dataclass(frozen=True)
class ClopperPearson(Method):
    """Probability of an event over seeds, each 1 (it happened) or 0, by Clopper and Pearson (1934)."""

    never: float = 0.0
    """Value of a seed in which the event did not happen; `never` + 1 is that of a seed in which it did."""

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
"""Shares of the capital at stake; the capitals of all stakes are averaged."""


@dataclass(frozen=True)
class Betting(Method):
    """Mean over seeds of a quantity that lies in a known interval, bounded by betting.

    If the mean is at most m, a bettor whose capital is multiplied by 1 + c (x / m - 1) at each seed (x and m measured
    from the interval's lower end) gains nothing on average for any stake c in [0, 1]. So the capital averaged over the
    stakes ever exceeds 1 / alpha with probability at most alpha (Ville 1939; Waudby-Smith and Ramdas 2020, 2010.09686,
    who predict the stakes instead). The bound therefore holds at any number of looks.
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
        below_R = np.zeros(len(x_RN))
        width = 1.0
        # The capital decreases in m: narrow the interval in which it crosses 1 / alpha by 32 each time.
        for _ in range(4):
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
        """Return all of alpha at every look, as the bound holds at all looks simultaneously."""
        return (spent[-1],) * len(looks)

    def _scaled(self, data: Groups) -> Floats:
        return np.asarray((_filled(data, self.low) - self.low) / (self.high - self.low))


def _log_capital(x_RN: Floats, m_RM: Floats) -> Floats:
    """Return the log of the capital after all seeds against each mean m, averaged over the stakes, (R, M)."""
    gain_RM1N = (x_RN[:, None, :] / m_RM[:, :, None] - 1)[:, :, None, :]
    with np.errstate(divide="ignore"):
        log_RMC = np.log1p(STAKES[:, None] * gain_RM1N).sum(-1)
        largest_RM = log_RMC.max(-1)  # finite, as a stake below 1 never loses the whole capital
        return np.asarray(largest_RM + np.log(np.exp(log_RMC - largest_RM[..., None]).mean(-1)))


def _filled(data: Groups, value: float) -> Floats:
    """Return the one group with failed seeds replaced by a value."""
    return np.where(np.isnan(data[0]), value, data[0])
