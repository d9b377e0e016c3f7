"""Means over seeds: Student's t, bootstrap-t, sign flips."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

from rlclaims.stats.method import Floats, Groups, Guarantee, Method, by_blocks, kth_smallest, rounding
from rlclaims.stats.sequential import t_levels

RESAMPLES = 9999
"""Resamples, where they are drawn and not enumerated."""
ENUMERATED_UP_TO = 20_000
"""Rearrangements of a sample that are all looked at; of more, `RESAMPLES` are drawn."""


@dataclass(frozen=True)
class StudentT(Method):
    """Student's t for the mean of one group."""

    name = "t"
    guarantee = Guarantee.MODEL
    assumption = "normal seeds"

    def lower(self, data: Groups, alpha: float) -> Floats:  # noqa: D102
        (x_RN,) = data
        n = x_RN.shape[-1]
        standard_error_R = x_RN.std(-1, ddof=1) / math.sqrt(n)
        return np.asarray(x_RN.mean(-1) - stats.t.isf(alpha, n - 1) * standard_error_R)

    def p_value(self, data: Groups, null: float) -> Floats:  # noqa: D102
        (x_RN,) = data
        n = x_RN.shape[-1]
        t_R = (x_RN.mean(-1) - null) / (x_RN.std(-1, ddof=1) / math.sqrt(n))
        return np.asarray(stats.t.sf(t_R, n - 1))

    def levels(self, looks: tuple[int, ...], spent: tuple[float, ...]) -> tuple[float, ...]:
        """Calibrated on the joint distribution of the t statistics."""
        return t_levels(looks, spent)


@dataclass(frozen=True)
class BootstrapT(Method):
    """Bootstrap-t for the mean of one group: what t assumes of the statistic's distribution is resampled.

    On skewed data at few seeds it errs less than t on the side of the long tail, and still above nominal (Hesterberg
    2015, 1411.5279). Resamples are the same for every sample of a size, so a verdict is a function of its numbers.
    """

    name = "bootstrap-t"
    rearranges = True
    guarantee = Guarantee.ASYMPTOTIC
    assumption = "many seeds, with a variance"

    def lower(self, data: Groups, alpha: float) -> Floats:  # noqa: D102
        # The quantile is taken from above, so that it errs on the safe side, and is infinite beyond the resamples.
        k = math.floor(alpha * (RESAMPLES + 1))

        def bound(block: Groups) -> Floats:
            (x_RN,) = block
            quantile_R = -kth_smallest(-self._statistics(x_RN), k)
            return np.asarray(x_RN.mean(-1) - quantile_R * x_RN.std(-1, ddof=1) / math.sqrt(x_RN.shape[-1]))

        return by_blocks(data, RESAMPLES, bound)

    def p_value(self, data: Groups, null: float) -> Floats:  # noqa: D102
        def p(block: Groups) -> Floats:
            (x_RN,) = block
            t_R = (x_RN.mean(-1) - null) / (x_RN.std(-1, ddof=1) / math.sqrt(x_RN.shape[-1]))
            return np.asarray((1 + (self._statistics(x_RN) >= t_R[:, None]).sum(-1)) / (RESAMPLES + 1))

        return by_blocks(data, RESAMPLES, p)

    def _statistics(self, x_RN: Floats) -> Floats:
        """The t statistics of the resamples about the sample's own mean, (R, B)."""
        n = x_RN.shape[-1]
        centred_RN = np.sort(x_RN, axis=-1)  # in an order of their own: the seeds' order says nothing
        centred_RN = centred_RN - centred_RN.mean(-1, keepdims=True)
        weights_NB = _resample_weights(n)
        mean_RB = centred_RN @ weights_NB
        variance_RB = (centred_RN**2 @ weights_NB - mean_RB**2) * n / (n - 1)
        # A resample of one value over and over has no spread: its statistic is infinite, and rounding must not hide it.
        none_RB = variance_RB <= 1e-12 * (centred_RN**2).mean(-1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            t_RB = mean_RB / np.sqrt(variance_RB / n)
            t_RB = np.where(none_RB, np.where(mean_RB < 0, -np.inf, np.inf), t_RB)
        return np.asarray(t_RB)


@lru_cache(maxsize=32)
def _resample_weights(n: int) -> Floats:
    """Shares of each seed in `RESAMPLES` draws with replacement, (n, B)."""
    rng = np.random.default_rng([n, 1])
    return np.ascontiguousarray(rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES).T / n)


@dataclass(frozen=True)
class SignFlip(Method):
    """Sign flips for the centre of a symmetric distribution, paired differences above all.

    Flipping the signs of some values lowers their sum about a centre c exactly if their own mean is above c. So the
    bounds are order statistics of the means of all subsets ("typical values", Hartigan 1969).
    """

    name = "sign flips"
    guarantee = Guarantee.EXACT
    assumption = "symmetric about the centre"
    rearranges = True

    def lower(self, data: Groups, alpha: float) -> Floats:  # noqa: D102
        weights_NB = _subset_weights(data[0].shape[-1])
        n_flips = weights_NB.shape[1] + 1  # and the sample as it is
        k = math.floor(alpha * n_flips * (1 + 1e-12))

        def bound(block: Groups) -> Floats:
            return kth_smallest(block[0] @ weights_NB, k) - rounding(block)

        return by_blocks(data, n_flips, bound)

    def p_value(self, data: Groups, null: float) -> Floats:  # noqa: D102
        weights_NB = _subset_weights(data[0].shape[-1])

        def p(block: Groups) -> Floats:
            at_most_RB = block[0] @ weights_NB <= null + rounding(block)[:, None]
            return np.asarray((1 + at_most_RB.sum(-1)) / (weights_NB.shape[1] + 1))

        return by_blocks(data, weights_NB.shape[1], p)


@lru_cache(maxsize=32)
def _subset_weights(n: int) -> Floats:
    """The subsets whose signs are flipped, as weights of their means, (n, B): all but the empty one, or a draw."""
    if 2**n <= ENUMERATED_UP_TO:
        member_BN = (np.arange(1, 2**n)[:, None] >> np.arange(n)) & 1
    else:
        member_BN = np.random.default_rng([n, 2]).integers(0, 2, size=(RESAMPLES, n))
        member_BN = member_BN[member_BN.any(1)]
    return np.ascontiguousarray((member_BN / member_BN.sum(1, keepdims=True)).T)
