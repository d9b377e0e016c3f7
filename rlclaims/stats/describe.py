"""Descriptive statistics of seeds: standard deviation, skewness and correlations.

Numbers that are equal up to rounding count as constant. Numbers are scaled before they are squared, so that no square
overflows.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from rlclaims.stats.method import Floats
from rlclaims.stats.verdict import nearly_constant


def standard_deviation(x_N: Floats) -> float:
    """Return the standard deviation of finite numbers, with n - 1; NaN for fewer than two."""
    if len(x_N) < 2:
        return math.nan
    scaled_N, scale = _scaled(x_N)
    return float(scaled_N.std(ddof=1)) * scale


def skewness(x_N: Floats) -> float:
    """Return the third standardised moment of finite numbers; NaN if they are constant."""
    scaled_N, _ = _scaled(x_N)
    return float((((scaled_N - scaled_N.mean()) / scaled_N.std()) ** 3).mean()) if scaled_N.any() else math.nan


def correlation(x_N: Floats, y_N: Floats) -> float:
    """Return Pearson's correlation over pairs of finite numbers; NaN for fewer than three, or if either is constant."""
    both_N = np.isfinite(x_N) & np.isfinite(y_N)
    (x_N, _), (y_N, _) = _scaled(x_N[both_N]), _scaled(y_N[both_N])
    if both_N.sum() < 3 or not (x_N.any() and y_N.any()):
        return math.nan
    return float(np.corrcoef(x_N, y_N)[0, 1])


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Return Spearman's correlation, ties at their mean ranks.

    NaN for fewer than three pairs, or if either side is constant or holds a number that is not finite.
    """
    if len(x) != len(y) or not np.isfinite([*x, *y]).all():
        return math.nan
    # Constant sides become zeros, so that differences by rounding get no ranks.
    ranks_x, ranks_y = (rankdata(_scaled(np.array(side))[0]) for side in (x, y))
    return correlation(ranks_x, ranks_y)


def _scaled(x_N: Floats) -> tuple[Floats, float]:
    """Return numbers centred at their mid-range and scaled to at most 1 in size, and the scale; zeros if constant."""
    if len(x_N) == 0 or nearly_constant(x_N[None, :])[0]:
        return np.zeros_like(x_N), 0.0
    centred_N = x_N - (x_N.max() + x_N.min()) / 2
    scale = float(np.abs(centred_N).max())
    return centred_N / scale, scale
