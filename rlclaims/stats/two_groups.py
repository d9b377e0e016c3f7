"""Methods for the difference of two means, of runs on different seeds: Welch's t, and permutations."""

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

from rlclaims.stats.mean import MAX_ENUMERATED, RESAMPLES
from rlclaims.stats.method import Floats, Groups, Guarantee, Method, apply_in_blocks, kth_smallest, rounding_tolerance


@dataclass(frozen=True)
class Welch(Method):
    """Welch's t for the difference of two means, with unequal variances."""

    name = "Welch's t"
    guarantee = Guarantee.ASYMPTOTIC
    assumption = "many seeds, or normal seeds of similar variance"
    n_groups = 2

    def lower(self, data: Groups, alpha: float) -> Floats:  # noqa: D102
        standard_error_R, df_R = _welch(data)
        return np.asarray(self.estimate(data) - stats.t.isf(alpha, df_R) * standard_error_R)

    def p_value(self, data: Groups, null: float) -> Floats:  # noqa: D102
        standard_error_R, df_R = _welch(data)
        return np.asarray(stats.t.sf((self.estimate(data) - null) / standard_error_R, df_R))


def _welch(data: Groups) -> tuple[Floats, Floats]:
    """Return the standard error of the difference and Satterthwaite's degrees of freedom, (R,) each."""
    variances = [x.var(-1, ddof=1) / x.shape[-1] for x in data]
    total_R = variances[0] + variances[1]
    df_R = total_R**2 / sum(v**2 / (x.shape[-1] - 1) for v, x in zip(variances, data, strict=True))
    return np.sqrt(total_R), df_R


@dataclass(frozen=True)
class Permutation(Method):
    """Permutation test of two groups whose distributions are equal up to a shift.

    After subtracting a shift, swapping some seeds of one group for as many of the other lowers the difference of means
    if and only if the shift is below the difference of the swapped subsets' means. So the bounds are order statistics
    of those differences.
    """

    name = "permutations"
    guarantee = Guarantee.EXACT
    assumption = "distributions equal up to a shift"
    n_groups = 2
    rearranges = True

    def lower(self, data: Groups, alpha: float) -> Floats:  # noqa: D102
        first_NB, second_MB = _swap_weights(data[0].shape[-1], data[1].shape[-1])
        n_permutations = first_NB.shape[1] + 1  # including the unchanged sample
        k = math.floor(alpha * n_permutations * (1 + 1e-12))

        def bound(block: Groups) -> Floats:
            return kth_smallest(block[0] @ first_NB - block[1] @ second_MB, k) - rounding_tolerance(block)

        return apply_in_blocks(data, n_permutations, bound)

    def p_value(self, data: Groups, null: float) -> Floats:  # noqa: D102
        first_NB, second_MB = _swap_weights(data[0].shape[-1], data[1].shape[-1])

        def p(block: Groups) -> Floats:
            shifts_RB = block[0] @ first_NB - block[1] @ second_MB
            at_most_RB = shifts_RB <= null + rounding_tolerance(block)[:, None]
            return np.asarray((1 + at_most_RB.sum(-1)) / (shifts_RB.shape[1] + 1))

        return apply_in_blocks(data, first_NB.shape[1], p)


@lru_cache(maxsize=32)
def _swap_weights(n: int, m: int) -> tuple[Floats, Floats]:
    """Return subsets of equal size to swap, as weights of their means, (n, B) and (m, B): all, or a random draw."""
    if math.comb(n + m, n) <= MAX_ENUMERATED:
        first = np.array([np.isin(np.arange(n + m), c) for c in itertools.combinations(range(n + m), n)])
    else:
        order = np.random.default_rng([n, m, 3]).permuted(np.tile(np.arange(n + m), (RESAMPLES, 1)), axis=1)
        first = order < n  # the pooled seeds that make up the first group
    out_BN = ~first[:, :n]
    in_BM = first[:, n:]
    swaps = out_BN.any(1)  # all but the unchanged sample
    out_BN = out_BN[swaps]
    in_BM = in_BM[swaps]
    size_B1 = out_BN.sum(1, keepdims=True)
    return np.ascontiguousarray((out_BN / size_B1).T), np.ascontiguousarray((in_BM / size_B1).T)
