"""What seeds look like: their spread, their skewness, and how two numbers of each seed go together.

Numbers that are equal but for a few roundings do not vary, and numbers of any size are scaled before they are squared.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from rlclaims.stats.method import Floats
from rlclaims.stats.verdict import nearly_constant


def standard_deviation(x_N: Floats) -> float:
    """Of finite numbers, with n - 1; NaN for fewer than two."""
    if len(x_N) < 2:
        return math.nan
    scaled_N, scale = _scaled(x_N)
    return float(scaled_N.std(ddof=1)) * scale


def skewness(x_N: Floats) -> float:
    """The third standardised moment of finite numbers; NaN where they do not vary."""
    scaled_N, _ = _scaled(x_N)
    return float((((scaled_N - scaled_N.mean()) / scaled_N.std()) ** 3).mean()) if scaled_N.any() else math.nan


def correlation(x_N: Floats, y_N: Floats) -> float:
    """Pearson's, of the pairs whose two numbers are finite; NaN for fewer than three, or where one does not vary."""
    both_N = np.isfinite(x_N) & np.isfinite(y_N)
    (x_N, _), (y_N, _) = _scaled(x_N[both_N]), _scaled(y_N[both_N])
    if both_N.sum() < 3 or not (x_N.any() and y_N.any()):
        return math.nan
    return float(np.corrcoef(x_N, y_N)[0, 1])


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's, ties at their mean ranks; NaN for fewer than three pairs, or where one does not vary or is NaN."""
    if len(x) != len(y) or not np.isfinite([*x, *y]).all():
        return math.nan
    ranks_x, ranks_y = (rankdata(_scaled(np.array(side))[0]) for side in (x, y))  # rounding has no ranks
    return correlation(ranks_x, ranks_y)


def _scaled(x_N: Floats) -> tuple[Floats, float]:
    """Numbers about their middle, at most 1 in size, and by what they were divided; zeros where they do not vary."""
    if len(x_N) == 0 or nearly_constant(x_N[None, :])[0]:
        return np.zeros_like(x_N), 0.0
    centred_N = x_N - (x_N.max() + x_N.min()) / 2
    scale = float(np.abs(centred_N).max())
    return centred_N / scale, scale
