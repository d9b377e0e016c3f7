"""Squares, products, maxima and signs of noisy means, without the bias that noise gives them.

Each of N points has G group means, x_NG. Groups are of episodes and independent of each other, while the points may
share a group's random numbers, so the noise of one group may be correlated across points in any way. A square of noisy
means is too large on average by their variance, and the best of several is in part the luckiest. But if each factor of
a product comes from another group, the factors' noise is independent and averages out: such products are unbiased for
products of the points' true values, for any distribution of the noise. A ratio or a root of unbiased estimates is not
itself unbiased, but converges as they do.

Estimates net of noise may have the wrong sign, even that of a square. Points that are equal up to rounding count as
constant. NaN in, NaN out.
"""

import math

import numpy as np
from scipy import stats

from rlclaims.stats.method import Floats
from rlclaims.stats.verdict import nearly_constant


def mean_product(x_NG: Floats, y_NG: Floats) -> Floats:
    """Return the product of two true values at each point, (N,): the mean of x_g y_h over ordered pairs g != h.

    Unbiased, as different groups are independent. Within a group, the noise of x and of y may be correlated.

    Raises:
        ValueError: the shapes differ, or there are fewer than 2 groups.
    """
    _check(x_NG, groups=2)
    if x_NG.shape != y_NG.shape:
        raise ValueError(f"Products need arrays of one shape, not {x_NG.shape} and {y_NG.shape}.")
    groups = x_NG.shape[1]
    all_N, same_N = x_NG.sum(1) * y_NG.sum(1), (x_NG * y_NG).sum(1)
    return np.asarray((all_N - same_N) / (groups * (groups - 1)))


def mean_square(x_NG: Floats) -> Floats:
    """Return the square of the true value at each point, (N,), unbiased as `mean_product` is.

    Raises:
        ValueError: there are fewer than 2 groups.
    """
    return mean_product(x_NG, x_NG)


def signal_variance(x_NG: Floats) -> float:
    """Return the variance of true values over points, with N - 1: the mean covariance of two different groups.

    Unbiased, both for these points and, if they were sampled, for the distribution that they were sampled from.

    Raises:
        ValueError: there are fewer than 2 points or groups.
    """
    _check(x_NG, groups=2, points=2)
    return float(mean_square(_centred(x_NG)).sum()) / (len(x_NG) - 1)


def third_central_moment(x_NG: Floats) -> float:
    """Return the third central moment of true values over points: the mean over ordered triples of different groups.

    Unbiased as `signal_variance` is. The sum over points of products of three deviations is multiplied by
    N / ((N-1) (N-2)), as in Fisher's third k-statistic, as the deviations are from the points' own mean.

    Raises:
        ValueError: there are fewer than 3 points or groups.
    """
    _check(x_NG, groups=3, points=3)
    d_NG, (points, groups) = _centred(x_NG), x_NG.shape
    # Newton's identity: the cube of the sum, less the triples that repeat a group.
    p1_N, p2_N, p3_N = ((d_NG**k).sum(1) for k in (1, 2, 3))
    product_N = (p1_N**3 - 3 * p1_N * p2_N + 2 * p3_N) / (groups * (groups - 1) * (groups - 2))
    return float(product_N.sum() * points / ((points - 1) * (points - 2)))


def skewness(x_NG: Floats) -> float:
    """Return the skewness of true values over points: `third_central_moment` / `signal_variance`^1.5.

    NaN if the variance is not positive.

    Raises:
        ValueError: there are fewer than 3 points or groups.
    """
    third = third_central_moment(x_NG)
    variance = signal_variance(x_NG)
    return third / variance / math.sqrt(variance) if variance > 0 else math.nan


def share_below_zero(x_NG: Floats) -> float:
    """Return the share of points whose true value is negative, if true values are normal: Phi(-mean / sd).

    The mean and the variance in it are unbiased. If the variance is not positive, all points are taken to equal their
    mean: the share is 1, 0, or 1/2 if the mean is 0.

    Raises:
        ValueError: there are fewer than 2 points or groups.
    """
    mean = float(x_NG.mean())
    variance = signal_variance(x_NG)
    if variance > 0:
        return float(stats.norm.cdf(-mean / math.sqrt(variance)))
    return float(np.heaviside(-mean, 0.5))


def raw_share_below_zero(x_NG: Floats) -> float:
    """Return the share of points whose mean over groups is negative. It is biased: noise pulls it towards 1/2.

    Raises:
        ValueError: there are no points or groups.
    """
    _check(x_NG)
    mean_N = x_NG.mean(1)
    return float(np.where(np.isnan(mean_N), np.nan, mean_N < 0).mean())


def slope_through_origin(y_NG: Floats, x_N: Floats) -> float:
    """Return the least-squares slope through (0, 0) of true values of y on exact x; NaN if every x is 0.

    Unbiased, as it is linear in y.

    Raises:
        ValueError: x and y differ in their points, or have no points.
    """
    _check(y_NG)
    if x_N.shape != y_NG.shape[:1]:
        raise ValueError(f"A slope needs one x for each of {len(y_NG)} points, not {x_N.shape}.")
    square = float(x_N @ x_N)
    return float(x_N @ y_NG.mean(1)) / square if square else math.nan


def roughness(x_NG: Floats, added_variance_N: Floats | None = None) -> float:
    """Return a function's roughness on a line of equally spaced points: mean square second by first differences.

    It is 2 (1 - r), with r the uncentred correlation of neighbouring increments: 0 for a straight line, below 1 if
    neighbouring increments mostly agree (r above 1/2), 2 for a random walk, and 3 for white noise. Both mean squares
    are unbiased, by `mean_square`.

    Args:
        x_NG: values at the points in their order; (N,) if they are exact.
        added_variance_N: variance of independent noise to add to each point, such as that which an agent with few
            pairs would see: the result is the roughness of the sum. None adds no noise.

    Returns:
        The ratio; inf if only the second differences' mean square is positive, NaN if neither is.

    Raises:
        ValueError: there are fewer than 3 points or 2 groups, or the variances do not match the points.
    """
    return roughness_ratio(*difference_squares(x_NG, added_variance_N))


def difference_squares(x_NG: Floats, added_variance_N: Floats | None = None) -> tuple[float, float]:
    """Return the mean squares of second and of first differences, whose ratio is `roughness`, to be summed over lines.

    Raises:
        ValueError: there are fewer than 3 points or 2 groups, or the variances do not match the points.
    """
    if x_NG.ndim == 1:
        x_NG = np.stack([x_NG, x_NG], 1)  # exact values: two groups without noise are equal
    _check(x_NG, groups=2, points=3)
    v_N = np.zeros(len(x_NG)) if added_variance_N is None else added_variance_N
    if v_N.shape != x_NG.shape[:1]:
        raise ValueError(f"Noise needs one variance for each of {len(x_NG)} points, not {v_N.shape}.")
    first, second = (float(mean_square(np.diff(_zero_if_constant(x_NG), n, axis=0)).mean()) for n in (1, 2))
    first += float((v_N[1:] + v_N[:-1]).mean())
    second += float((v_N[2:] + 4 * v_N[1:-1] + v_N[:-2]).mean())
    return second, first


def roughness_ratio(second: float, first: float) -> float:
    """Return second / first; inf if only the second is positive, NaN if neither is."""
    if first > 0:
        return second / first
    return math.inf if second > 0 else math.nan


def best_gain(x_NG: Floats, reference: int) -> float:
    """Return the best point's gain over the reference: chosen by all groups but one, and compared in that one.

    The result is the mean over the group that is left out. It is unbiased for the expected true gain of a point chosen
    by G - 1 groups, as the group that compares had no part in the choice; that is at most the truly best point's gain.

    Args:
        x_NG: values; ties go to the first point.
        reference: index of a point, whose own gain is 0.

    Raises:
        ValueError: there are fewer than 2 groups.
        IndexError: there is no such point.
    """
    chosen_G, reference_G = _chosen(x_NG, reference, sign=1)
    return float((chosen_G - reference_G).mean())


def lowest_and_reference(x_NG: Floats, reference: int) -> tuple[float, float]:
    """Return the values of the lowest point, chosen by all groups but one, and of the reference, both in that one.

    Both are means over the group that is left out, and unbiased as `best_gain` is; their ratio is not.

    Raises:
        ValueError: there are fewer than 2 groups.
        IndexError: there is no such point.
    """
    chosen_G, reference_G = _chosen(x_NG, reference, sign=-1)
    return float(chosen_G.mean()), float(reference_G.mean())


def chance_of_right_order(gap: float, noise_variance: float) -> float:
    """Return the chance that fresh noisy values of two points are in the order of their true values: Phi(|gap| / sd).

    Args:
        gap: difference of the true values; if it is 0, the chance is 1/2. The gap of noisy means is too large on
            average: `chance_with_pairs` takes an estimate of its square instead.
        noise_variance: variance of the difference of the two noisy values, which is normal.

    Raises:
        ValueError: the variance is negative.
    """
    if noise_variance < 0:
        raise ValueError(f"The noise's variance must not be negative, but is {noise_variance:g}.")
    if noise_variance == 0:
        return float(np.heaviside(abs(gap), 0.5))
    return float(stats.norm.cdf(abs(gap) / math.sqrt(noise_variance)))


def chance_with_pairs(pairs: float, gap_square: float, pair_variance: float) -> float:
    """Return the `chance_of_right_order` of two points' returns, each from a number of state-action pairs.

    Args:
        pairs: number of pairs for each point; more than 0.
        gap_square: square of the difference of true returns, as `mean_square` estimates it; the chance is 1/2 if it
            is not positive.
        pair_variance: variance of the difference of returns, times the number of pairs: see `pairs_needed`.

    Raises:
        ValueError: there are no pairs, or the variance is negative.
    """
    if pairs <= 0:
        raise ValueError(f"The number of pairs must be positive, but is {pairs:g}.")
    gap = 0.0 if gap_square <= 0 else math.sqrt(gap_square)
    return chance_of_right_order(gap, pair_variance / pairs)


def pairs_needed(gap_square: float, pair_variance: float, chance: float = 0.95) -> float:
    """Return the pairs per point at which `chance_with_pairs` equals `chance`: z^2 pair_variance / gap_square.

    n pairs hold about n / length whole episodes, whose mean return has variance (variance length) / n, even if returns
    are correlated with lengths (by the central limit theorem for renewal processes, to first order in 1 / n).

    Args:
        gap_square: square of the difference of true returns, as `mean_square` estimates it.
        pair_variance: sum, over the two points, of an episode's variance of return times its mean length.
        chance: probability of the right order, between 1/2 and 1.

    Returns:
        The number of state-action pairs, not rounded; inf if `gap_square` is not positive.

    Raises:
        ValueError: the chance is not between 1/2 and 1, or the variance is negative.
    """
    if not 0.5 < chance < 1:
        raise ValueError(f"The chance of the right order must lie between 1/2 and 1, but is {chance:g}.")
    if pair_variance < 0:
        raise ValueError(f"The variance of pairs must not be negative, but is {pair_variance:g}.")
    if gap_square <= 0:
        return math.inf
    return float(stats.norm.ppf(chance)) ** 2 * pair_variance / gap_square


def _check(x_NG: Floats, groups: int = 1, points: int = 1) -> None:
    if x_NG.ndim != 2:
        raise ValueError(f"Group means must have the axes points and groups, not the shape {x_NG.shape}.")
    for name, least, given in (("points", points, x_NG.shape[0]), ("groups", groups, x_NG.shape[1])):
        if given < least:
            raise ValueError(f"At least {least} {name} are needed, not {given}.")


def _zero_if_constant(x_NG: Floats) -> Floats:
    """Return the values, with zeros in groups whose points are equal up to rounding."""
    return np.where(nearly_constant(x_NG.T), 0.0, x_NG)


def _centred(x_NG: Floats) -> Floats:
    x_NG = _zero_if_constant(x_NG)
    return np.asarray(x_NG - x_NG.mean(0))


def _chosen(x_NG: Floats, reference: int, sign: int) -> tuple[Floats, Floats]:
    """Return the values, in each group, of the reference and of the point chosen by all other groups, chosen first.

    The chosen point is the largest for sign 1, the smallest for sign -1.
    """
    _check(x_NG, groups=2)
    if np.isnan(x_NG).any():  # argmax would choose a point that is NaN in one group, and compare it in the others
        x_NG = np.full_like(x_NG, np.nan)
    choices = [int(np.argmax(sign * np.delete(x_NG, g, axis=1).mean(1))) for g in range(x_NG.shape[1])]
    return x_NG[choices, np.arange(x_NG.shape[1])], x_NG[reference]
