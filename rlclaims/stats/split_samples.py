"""What can be said of many points that are each estimated from a few noisy groups, without noise faking it.

Each of N points has G numbers, the means of independent groups of observations. Noise may be common to the points of a
group, as where they share random numbers; between groups it is independent. So a product of two different groups has
the product of the true values as its mean, while a square has the noise's variance on top; and of a point that some
groups chose, another group tells the true value. Arrays are x_NG, points by groups, or x_NE, points by observations.
"""

import math

import numpy as np
from scipy.special import ndtr, ndtri

from rlclaims.stats.method import Floats


def group_means(x_NE: Floats, groups: int) -> Floats:
    """Means of consecutive groups of observations, (N, groups).

    Raises:
        ValueError: the observations cannot be split evenly.
    """
    if x_NE.shape[1] % groups:
        raise ValueError(f"{x_NE.shape[1]} observations do not make {groups} equal groups.")
    means: Floats = x_NE.reshape(len(x_NE), groups, -1).mean(2)
    return means


def mean_product(x_NG: Floats, y_NG: Floats) -> Floats:
    """Unbiased estimates of the products of the true values, (N,): means of x_g y_h over different groups g and h."""
    n_groups = x_NG.shape[1]
    all_N, same_N = x_NG.sum(1) * y_NG.sum(1), (x_NG * y_NG).sum(1)
    product_N: Floats = (all_N - same_N) / (n_groups * (n_groups - 1))
    return product_N


def mean_square(x_NG: Floats) -> Floats:
    """Unbiased estimates of the squares of the true values, (N,), which may be negative."""
    return mean_product(x_NG, x_NG)


def spread(x_NG: Floats) -> float:
    """Unbiased estimate of the variance over points of their true values; it may be negative."""
    # Products of centred values: within a group noise may be shared, which centring takes out of no other group.
    return float(mean_square(x_NG - x_NG.mean(0)).sum() / (len(x_NG) - 1))


def third_moment(x_NG: Floats) -> float:
    """Unbiased estimate of the third central moment over points of their true values.

    Products of three different groups, with the factor n / ((n - 1) (n - 2)) of Fisher's third k-statistic.

    Raises:
        ValueError: there are fewer than three groups.
    """
    n, n_groups = x_NG.shape
    if n_groups < 3:
        raise ValueError(f"A third moment takes three groups, not {n_groups}.")
    c_NG = x_NG - x_NG.mean(0)
    one_N, two_N, three_N = (np.power(c_NG, k).sum(1) for k in (1, 2, 3))
    # Newton's identity: sums over different triples, from power sums.
    triples_N = one_N**3 - 3 * one_N * two_N + 2 * three_N
    cubes_N = triples_N / (n_groups * (n_groups - 1) * (n_groups - 2))
    return float(cubes_N.sum() * n / ((n - 1) * (n - 2)))


def skewness(x_NG: Floats) -> float:
    """Third central moment in units of the spread; NaN where that is not positive."""
    variance = spread(x_NG)
    return third_moment(x_NG) / variance**1.5 if variance > 0 else math.nan


def share_below(x_NG: Floats) -> float:
    """Share of points whose true value is below 0, if true values are normal; without a spread, all, none or half."""
    mean, variance = float(x_NG.mean()), spread(x_NG)
    if variance <= 0:
        return 0.5 - 0.5 * float(np.sign(mean))
    return float(ndtr(-mean / math.sqrt(variance)))


def raw_share_below(x_NG: Floats) -> float:
    """Share of points whose mean over groups is below 0; noise pulls it towards 1/2."""
    return float((x_NG.mean(1) < 0).mean())


def slope(y_NG: Floats, x_N: Floats) -> float:
    """Slope through the origin of noisy y on exact x; NaN where all x are 0."""
    square = float((x_N**2).sum())
    return float((y_NG.mean(1) * x_N).sum()) / square if square > 0 else math.nan


def difference_squares(x_NG: Floats, noise_N: Floats | None = None) -> tuple[float, float]:
    """Mean squares of second and of first differences of the true values at equally spaced points; see `roughness`.

    Args:
        x_NG: the points, in order.
        noise_N: variances of independent noise that an observer of the points has on top, or None.
    """
    first, second = (float(mean_square(np.diff(x_NG, n, axis=0)).mean()) for n in (1, 2))
    if noise_N is not None:
        first += float((noise_N[1:] + noise_N[:-1]).mean())
        second += float((noise_N[2:] + 4 * noise_N[1:-1] + noise_N[:-2]).mean())
    return second, first


def exact_difference_squares(x_N: Floats) -> tuple[float, float]:
    """The same of points that are known exactly."""
    return float((np.diff(x_N, 2) ** 2).mean()), float((np.diff(x_N) ** 2).mean())


def ratio_of(second: float, first: float) -> float:
    """Roughness from the two mean squares, net of noise: none of them can be below 0 but by chance, which counts as 0.

    So it is infinite where only the first differences are lost in noise, and NaN where both are.
    """
    if first > 0:
        return max(second, 0.0) / first
    return math.inf if second > 0 else math.nan


def roughness(x_NG: Floats, noise_N: Floats | None = None) -> float:
    """How rough equally spaced points are: the mean square of second differences over that of first ones.

    0 for a line; below 1 where neighbouring increments correlate by more than 1/2; 2 where they know nothing of each
    other, as a random walk's; 3 for white noise; 4 for a zigzag.
    """
    return ratio_of(*difference_squares(x_NG, noise_N))


def best(x_NG: Floats) -> float:
    """What a point is worth that is the best of N by all groups but one, by that one; mean over which one it is."""
    others_NG = x_NG.sum(1, keepdims=True) - x_NG
    return float(np.take_along_axis(x_NG, others_NG.argmax(0)[None], 0).mean())


def worst(x_NG: Floats) -> float:
    """The same of the worst."""
    return -best(-x_NG)


def chance_of_order(gap_square: float, variance: float, pairs: float) -> float:
    """Probability that independent estimates put two points in the right order.

    Args:
        gap_square: square of their true difference; below 0, by chance, counts as 0.
        variance: of the difference of two estimates, times the state-action pairs that each is from: the sum over both
            points of the variance of an episode's return times its mean length, since n pairs are n / length episodes.
        pairs: at each point.
    """
    if variance <= 0:
        return 1.0 if gap_square > 0 else 0.5
    return float(ndtr(math.sqrt(max(gap_square, 0.0) * pairs / variance)))


def pairs_to_order(gap_square: float, variance: float, chance: float = 0.95) -> float:
    """Pairs at each point that put two points in the right order with a probability; infinite where there is no gap."""
    return float(ndtri(chance)) ** 2 * variance / gap_square if gap_square > 0 else math.inf
