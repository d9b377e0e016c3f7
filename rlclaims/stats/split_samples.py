"""Squares, products, maxima and signs of noisy means, without the bias that noise gives them.

Each of N points has G group means, x_NG: of groups of episodes that are independent of each other, while the points
may share a group's random numbers, so that the noise of one group may go together across points in any way. A square
of noisy means is too large on average by their variance, and the best of several is in part the luckiest. But where
each factor of a product comes from another group, noise is independent of noise and averages out: such products are
unbiased for products of the points' true values, whatever the noise's distribution. A ratio or a root of unbiased
estimates is not itself unbiased, but tends to the truth as these do.

An estimate that is net of noise may fall on the other side of 0, a square's too. Points that are equal but for a few
roundings do not vary, and where a number is NaN, so is what is made of it.
"""

import math

import numpy as np
from scipy import stats

from rlclaims.stats.method import Floats
from rlclaims.stats.verdict import nearly_constant


def mean_product(x_NG: Floats, y_NG: Floats) -> Floats:
    """The product of two true values at each point, (N,): the mean of x_g y_h over ordered pairs of groups g != h.

    Unbiased, as different groups are independent. Within a group, noise of x and of y may go together.

    Raises:
        ValueError: the shapes differ, or there are fewer than 2 groups.
    """
    _check(x_NG, groups=2)
    if x_NG.shape != y_NG.shape:
        raise ValueError(f"Products need the same points and groups, not {x_NG.shape} and {y_NG.shape}.")
    groups = x_NG.shape[1]
    all_N, same_N = x_NG.sum(1) * y_NG.sum(1), (x_NG * y_NG).sum(1)
    return np.asarray((all_N - same_N) / (groups * (groups - 1)))


def mean_square(x_NG: Floats) -> Floats:
    """The square of the true value at each point, (N,): unbiased, as a `mean_product`.

    Raises:
        ValueError: there are fewer than 2 groups.
    """
    return mean_product(x_NG, x_NG)


def spread(x_NG: Floats) -> float:
    """The variance of true values over points, with N - 1: the mean covariance over points of two different groups.

    Unbiased, both for these points' and, where points were drawn, for the distribution that they were drawn from.

    Raises:
        ValueError: there are fewer than 2 points or groups.
    """
    _check(x_NG, groups=2, points=2)
    return float(mean_square(_centred(x_NG)).sum()) / (len(x_NG) - 1)


def third_central_moment(x_NG: Floats) -> float:
    """The third central moment of true values over points: the mean over ordered triples of different groups.

    Unbiased as `spread` is. The sum over points of products of three deviations is multiplied by N / ((N-1) (N-2)), as
    in Fisher's third k-statistic, which pays for the deviations being from the points' own mean.

    Raises:
        ValueError: there are fewer than 3 points or groups.
    """
    _check(x_NG, groups=3, points=3)
    d_NG, (points, groups) = _centred(x_NG), x_NG.shape
    # Newton's identity: the cube of a sum, less the triples in which a group comes twice or three times.
    p1_N, p2_N, p3_N = ((d_NG**k).sum(1) for k in (1, 2, 3))
    product_N = (p1_N**3 - 3 * p1_N * p2_N + 2 * p3_N) / (groups * (groups - 1) * (groups - 2))
    return float(product_N.sum() * points / ((points - 1) * (points - 2)))


def skewness(x_NG: Floats) -> float:
    """Of true values over points: `third_central_moment` by `spread` to the 1.5; NaN where the spread is not positive.

    Raises:
        ValueError: there are fewer than 3 points or groups.
    """
    third, variance = third_central_moment(x_NG), spread(x_NG)
    return third / variance / math.sqrt(variance) if variance > 0 else math.nan


def share_below_zero(x_NG: Floats) -> float:
    """The share of points whose true value is negative, if true values are normal: Phi(-mean / sqrt(spread)).

    Its two ingredients are unbiased. Where the spread is not positive, all points are on the side of their mean: 1, 0,
    or 1/2 where the mean is 0.

    Raises:
        ValueError: there are fewer than 2 points or groups.
    """
    mean, variance = float(x_NG.mean()), spread(x_NG)
    if variance > 0:
        return float(stats.norm.cdf(-mean / math.sqrt(variance)))
    return float(np.heaviside(-mean, 0.5))


def raw_share_below_zero(x_NG: Floats) -> float:
    """The share of points whose mean over groups is negative: biased, as noise pulls it towards 1/2.

    Raises:
        ValueError: there are no points or groups.
    """
    _check(x_NG)
    mean_N = x_NG.mean(1)
    return float(np.where(np.isnan(mean_N), np.nan, mean_N < 0).mean())


def slope_through_origin(y_NG: Floats, x_N: Floats) -> float:
    """The least-squares slope of true values of y on x, known exactly, through (0, 0); NaN where every x is 0.

    Unbiased, as it is linear in y.

    Raises:
        ValueError: the points are not the same, or there are none.
    """
    _check(y_NG)
    if x_N.shape != y_NG.shape[:1]:
        raise ValueError(f"A slope needs one x for each of {len(y_NG)} points, not {x_N.shape}.")
    square = float(x_N @ x_N)
    return float(x_N @ y_NG.mean(1)) / square if square else math.nan


def roughness(x_NG: Floats, added_variance_N: Floats | None = None) -> float:
    """How rough a function is along a line of equally spaced points: mean squares of its second by first differences.

    It is 2 (1 - r), with r the correlation, about 0, of neighbouring increments: 0 for a line, below 1 where increments
    agree more than they contradict each other (r above 1/2), 2 for a random walk, and 3 for white noise. Both mean
    squares are unbiased, by `mean_square`.

    Args:
        x_NG: values at the points in their order; (N,) where they are exact.
        added_variance_N: of noise that is then added to each point independently, such as an agent would see that has
            few pairs: what the ratio would be of the sum. None for none.

    Returns:
        The ratio; inf where the first differences' mean square is not positive but the second ones' is, NaN where
        neither is.

    Raises:
        ValueError: there are fewer than 3 points, or 2 groups, or not one variance for each point.
    """
    return roughness_of(*difference_squares(x_NG, added_variance_N))


def difference_squares(x_NG: Floats, added_variance_N: Floats | None = None) -> tuple[float, float]:
    """The mean squares of second and of first differences that `roughness` is the ratio of, to be summed over lines.

    Raises:
        ValueError: there are fewer than 3 points, or 2 groups, or not one variance for each point.
    """
    if x_NG.ndim == 1:
        x_NG = np.stack([x_NG, x_NG], 1)  # without noise, two groups are the same
    _check(x_NG, groups=2, points=3)
    v_N = np.zeros(len(x_NG)) if added_variance_N is None else added_variance_N
    if v_N.shape != x_NG.shape[:1]:
        raise ValueError(f"Noise needs one variance for each of {len(x_NG)} points, not {v_N.shape}.")
    first, second = (float(mean_square(np.diff(_settled(x_NG), n, axis=0)).mean()) for n in (1, 2))
    first += float((v_N[1:] + v_N[:-1]).mean())
    second += float((v_N[2:] + 4 * v_N[1:-1] + v_N[:-2]).mean())
    return second, first


def roughness_of(second: float, first: float) -> float:
    """The ratio; inf where the first is not positive but the second is, NaN where neither is."""
    if first > 0:
        return second / first
    return math.inf if second > 0 else math.nan


def best_of(x_NG: Floats, reference: int) -> float:
    """How much more the best point has than the reference: chosen by all groups but one, and compared in that one.

    The mean over which group is left out. Unbiased for the expected true gain of a point that is chosen by G - 1
    groups, as the group that compares had no part in the choice; that is at most the gain of the truly best.

    Args:
        x_NG: values; the first of equal ones is chosen.
        reference: a point, by its index. Choosing it is a gain of 0.

    Raises:
        ValueError: there are fewer than 2 groups.
        IndexError: there is no such point.
    """
    chosen_G, reference_G = _chosen(x_NG, reference, sign=1)
    return float((chosen_G - reference_G).mean())


def worst_of(x_NG: Floats, reference: int) -> tuple[float, float]:
    """The value of the lowest point and of the reference: chosen by all groups but one, and taken in that one.

    Both are means over which group is left out, and unbiased as `best_of` is; their ratio is not.

    Raises:
        ValueError: there are fewer than 2 groups.
        IndexError: there is no such point.
    """
    chosen_G, reference_G = _chosen(x_NG, reference, sign=-1)
    return float(chosen_G.mean()), float(reference_G.mean())


def chance_of_right_order(gap: float, noise_variance: float) -> float:
    """The chance that two points, each drawn anew, come in the order of their true values: Phi(|gap| / sd).

    Args:
        gap: the difference of true values; where it is 0, the chance is 1/2. The gap of noisy means is too large on
            average: `chance_at` takes an estimate of its square instead.
        noise_variance: of the difference of the two draws, which is normal.

    Raises:
        ValueError: the variance is negative.
    """
    if noise_variance < 0:
        raise ValueError(f"A variance is not negative, but the noise's is {noise_variance:g}.")
    if noise_variance == 0:
        return float(np.heaviside(abs(gap), 0.5))
    return float(stats.norm.cdf(abs(gap) / math.sqrt(noise_variance)))


def chance_at(pairs: float, gap_square: float, pair_variance: float) -> float:
    """`chance_of_right_order` by the returns of so many state-action pairs for each of two points.

    Args:
        pairs: for each point; more than 0.
        gap_square: the square of the difference of true returns, as `mean_square` estimates it; the chance is 1/2 where
            it is not positive.
        pair_variance: of the difference of returns, times pairs: see `pairs_for`.

    Raises:
        ValueError: there are no pairs, or the variance is negative.
    """
    if pairs <= 0:
        raise ValueError(f"An order needs some pairs, not {pairs:g}.")
    gap = 0.0 if gap_square <= 0 else math.sqrt(gap_square)
    return chance_of_right_order(gap, pair_variance / pairs)


def pairs_for(gap_square: float, pair_variance: float, chance: float = 0.95) -> float:
    """The state-action pairs of each of two points for which `chance_at` is so large: z^2 pair_variance / gap_square.

    n pairs hold about n / length whole episodes, and the mean return of these has variance (variance length) / n, even
    where returns go together with lengths (the central limit theorem of renewals: to first order in 1 / n).

    Args:
        gap_square: the square of the difference of true returns, as `mean_square` estimates it.
        pair_variance: the sum, over the two points, of an episode's variance of return times its mean length.
        chance: between 1/2 and 1.

    Returns:
        Pairs, not rounded; inf where `gap_square` is not positive.

    Raises:
        ValueError: the chance is not between 1/2 and 1, or the variance is negative.
    """
    if not 0.5 < chance < 1:
        raise ValueError(f"A chance of the right order is between 1/2 and 1, not {chance:g}.")
    if pair_variance < 0:
        raise ValueError(f"A variance is not negative, but that of pairs is {pair_variance:g}.")
    if gap_square <= 0:
        return math.inf
    return float(stats.norm.ppf(chance)) ** 2 * pair_variance / gap_square


def _check(x_NG: Floats, groups: int = 1, points: int = 1) -> None:
    if x_NG.ndim != 2:
        raise ValueError(f"Group means are an array of points by groups, not one of shape {x_NG.shape}.")
    for name, least, there in (("points", points, x_NG.shape[0]), ("groups", groups, x_NG.shape[1])):
        if there < least:
            raise ValueError(f"At least {least} {name} are needed, not {there}.")


def _settled(x_NG: Floats) -> Floats:
    """The same, with zeros in groups whose points are equal but for rounding."""
    return np.where(nearly_constant(x_NG.T), 0.0, x_NG)


def _centred(x_NG: Floats) -> Floats:
    settled_NG = _settled(x_NG)
    return np.asarray(settled_NG - settled_NG.mean(0))


def _chosen(x_NG: Floats, reference: int, sign: int) -> tuple[Floats, Floats]:
    """In each group, the point that all others have as the largest (sign 1) or smallest (-1), and the reference."""
    _check(x_NG, groups=2)
    if np.isnan(x_NG).any():  # a point that is NaN in one group would be chosen by it, and be a number in others
        x_NG = np.full_like(x_NG, np.nan)
    choices = [int(np.argmax(sign * np.delete(x_NG, g, axis=1).mean(1))) for g in range(x_NG.shape[1])]
    return x_NG[choices, np.arange(x_NG.shape[1])], x_NG[reference]
