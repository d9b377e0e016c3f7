"""Methods for means over seeds: Student's t, bootstrap-t, sign flips."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

from rlclaims.stats.method import Floats, Groups, Guarantee, Method, apply_in_blocks, kth_smallest, rounding_tolerance
from rlclaims.stats.sequential import t_levels

RESAMPLES = 9999
"""Number of resamples where they are drawn rather than enumerated."""
MAX_ENUMERATED = 20_000
"""Largest number of rearrangements of a sample that are enumerated; beyond it, `RESAMPLES` are drawn."""


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
        """Return levels calibrated on the joint distribution of the t statistics."""
        return t_levels(looks, spent)


@dataclass(frozen=True)
class BootstrapT(Method):
    """Bootstrap-t for the mean of one group: the t statistic's distribution is resampled rather than assumed.

    On skewed data at few seeds it errs less often than t on the side of the long tail, though still above nominal
    (Hesterberg 2015, 1411.5279). The resamples depend only on the sample's size, so a verdict is a function of its
    numbers.
    """

    name = "bootstrap-t"
    rearranges = True
    guarantee = Guarantee.ASYMPTOTIC
    assumption = "many seeds, with a variance"

    def lower(self, data: Groups, alpha: float) -> Floats:  # noqa: D102
        # Counting from the largest statistic rounds the quantile to the safe side; it is infinite where alpha is
        # smaller than one resample's share.
        k = math.floor(alpha * (RESAMPLES + 1))

        def bound(block: Groups) -> Floats:
            (x_RN,) = block
            quantile_R = -kth_smallest(-self._statistics(x_RN), k)
            return np.asarray(x_RN.mean(-1) - quantile_R * x_RN.std(-1, ddof=1) / math.sqrt(x_RN.shape[-1]))

        return apply_in_blocks(data, RESAMPLES, bound)

    def p_value(self, data: Groups, null: float) -> Floats:  # noqa: D102
        def p(block: Groups) -> Floats:
            (x_RN,) = block
            t_R = (x_RN.mean(-1) - null) / (x_RN.std(-1, ddof=1) / math.sqrt(x_RN.shape[-1]))
            return np.asarray((1 + (self._statistics(x_RN) >= t_R[:, None]).sum(-1)) / (RESAMPLES + 1))

        return apply_in_blocks(data, RESAMPLES, p)

    def _statistics(self, x_RN: Floats) -> Floats:
        """Return the t statistics of the resamples about the sample's own mean, (R, B)."""
        n = x_RN.shape[-1]
        centred_RN = np.sort(x_RN, axis=-1)  # so that the result does not depend on the seeds' order
        centred_RN = centred_RN - centred_RN.mean(-1, keepdims=True)
        weights_NB = _resample_weights(n)
        mean_RB = centred_RN @ weights_NB
        variance_RB = (centred_RN**2 @ weights_NB - mean_RB**2) * n / (n - 1)
        # The statistic of a resample that repeats one value is infinite; rounding must not make it finite.
        constant_RB = variance_RB <= 1e-12 * (centred_RN**2).mean(-1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            t_RB = mean_RB / np.sqrt(variance_RB / n)
            t_RB = np.where(constant_RB, np.where(mean_RB < 0, -np.inf, np.inf), t_RB)
        return np.asarray(t_RB)


@lru_cache(maxsize=32)
def _resample_weights(n: int) -> Floats:
    """Return the share of each seed in `RESAMPLES` draws with replacement, (n, B)."""
    rng = np.random.default_rng([n, 1])
    return np.ascontiguousarray(rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES).T / n)


@dataclass(frozen=True)
class SignFlip(Method):
    """Sign-flip test for the centre of a symmetric distribution, above all of paired differences.

    Flipping the signs of a subset's deviations from c lowers the sum if and only if the subset's mean is above c. So
    the bounds are order statistics of the means of all subsets ("typical values", Hartigan 1969).
    """

    name = "sign flips"
    guarantee = Guarantee.EXACT
    assumption = "symmetric about the centre"
    rearranges = True

    def lower(self, data: Groups, alpha: float) -> Floats:  # noqa: D102
        weights_NB = _subset_weights(data[0].shape[-1])
        n_flips = weights_NB.shape[1] + 1  # including the unchanged sample
        k = math.floor(alpha * n_flips * (1 + 1e-12))

        def bound(block: Groups) -> Floats:
            return kth_smallest(block[0] @ weights_NB, k) - rounding_tolerance(block)

        return apply_in_blocks(data, n_flips, bound)

    def p_value(self, data: Groups, null: float) -> Floats:  # noqa: D102
        weights_NB = _subset_weights(data[0].shape[-1])

        def p(block: Groups) -> Floats:
            at_most_RB = block[0] @ weights_NB <= null + rounding_tolerance(block)[:, None]
            return np.asarray((1 + at_most_RB.sum(-1)) / (weights_NB.shape[1] + 1))

        return apply_in_blocks(data, weights_NB.shape[1], p)


@lru_cache(maxsize=32)
def _subset_weights(n: int) -> Floats:
    """Return the subsets to flip, as weights of their means, (n, B): all but the empty one, or a random draw."""
    if 2**n <= MAX_ENUMERATED:
        member_BN = (np.arange(1, 2**n)[:, None] >> np.arange(n)) & 1
    else:
        member_BN = np.random.default_rng([n, 2]).integers(0, 2, size=(RESAMPLES, n))
        member_BN = member_BN[member_BN.any(1)]
    return np.ascontiguousarray((member_BN / member_BN.sum(1, keepdims=True)).T)
