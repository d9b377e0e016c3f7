"""Functionals of noisy means, against loops over different groups, and their exact expectations over all noise."""

import math
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from rlclaims.stats.split_samples import (
    best_gain,
    chance_of_right_order,
    chance_with_pairs,
    lowest_and_reference,
    mean_product,
    mean_square,
    pairs_needed,
    raw_share_below_zero,
    roughness,
    share_below_zero,
    signal_variance,
    skewness,
    slope_through_origin,
    third_central_moment,
)

TRUE_N = np.array([1.3, -0.4, 2.0, 0.7])
OTHER_N = np.array([-0.9, 0.6, 1.5, 0.0])
# Possible noise of a group, by point: skewed, and correlated across points. The last row makes its mean 0.
CHANCE_K = np.array([0.5, 0.3, 0.2])
NOISE_KN = np.array([[0.5, -0.9, -1.1, 0.4], [-1.5, 2.5, 1.7, 0.8], [1.0, -1.5, 0.2, -2.2]])
OTHER_KN = np.array([[0.3, 0.9, -0.1, -1.0], [-1.1, -0.5, 0.9, 2.0], [0.9, -1.5, -1.1, -0.5]])


def noise_draws(groups):
    """Yield each combination of the groups' noise, and its probability."""
    for k_G in product(range(3), repeat=groups):
        yield list(k_G), float(np.prod(CHANCE_K[list(k_G)]))


def expected(functional, true_N=TRUE_N, groups=4):
    """Return the exact expectation of a functional of noisy group means."""
    return sum(chance * functional(true_N[:, None] + NOISE_KN[k_G].T) for k_G, chance in noise_draws(groups))


def noiseless(true_N, groups=4):
    """Return groups without noise."""
    return np.repeat(true_N[:, None], groups, 1)


def noisy(shape, seed=3):
    return np.random.default_rng(seed).normal(0.4, 1.3, shape)


def tables(points, groups):
    shapes = st.tuples(st.integers(points, 6), st.integers(groups, 5))
    return shapes.flatmap(lambda shape: arrays(np.float64, shape, elements=st.floats(-10, 10)))


def within(values_R, truth, errors=5):
    """Return True if the mean over repetitions is within some standard errors of the truth."""
    return abs(np.mean(values_R) - truth) < errors * np.std(values_R, ddof=1) / math.sqrt(len(values_R))


def test_noise_has_mean_zero_and_is_correlated():
    for noise_KN in (NOISE_KN, OTHER_KN):
        assert abs(CHANCE_K @ noise_KN).max() < 1e-15
    assert abs((CHANCE_K[:, None, None] * NOISE_KN[:, :, None] * NOISE_KN[:, None, :]).sum(0)).min() > 0.05


# Products


@given(tables(1, 2), st.integers(0, 99))
def test_products_are_of_different_groups(x_NG, seed):
    y_NG, pairs = noisy(x_NG.shape, seed), list(permutations(range(x_NG.shape[1]), 2))
    for i, value in enumerate(mean_product(x_NG, y_NG)):
        assert value == pytest.approx(np.mean([x_NG[i, g] * y_NG[i, h] for g, h in pairs]), abs=1e-10)
    assert mean_square(x_NG) == pytest.approx(mean_product(x_NG, x_NG))


@pytest.mark.parametrize("groups", [2, 3, 4])
def test_products_are_unbiased_unlike_those_of_means(groups):
    def both(of_means):
        total = np.zeros(4)
        for k_G, chance in noise_draws(groups):
            x_NG, y_NG = TRUE_N[:, None] + NOISE_KN[k_G].T, OTHER_N[:, None] + OTHER_KN[k_G].T
            total += chance * (x_NG.mean(1) * y_NG.mean(1) if of_means else mean_product(x_NG, y_NG))
        return total

    assert both(False) == pytest.approx(TRUE_N * OTHER_N, abs=1e-12)
    assert abs(both(True) - TRUE_N * OTHER_N).min() > 0.02
    assert expected(mean_square, groups=groups) == pytest.approx(TRUE_N**2, abs=1e-12)


# Moments over points


def covariance_of_groups(x_NG):
    return np.mean([np.cov(x_NG[:, g], x_NG[:, h])[0, 1] for g, h in permutations(range(x_NG.shape[1]), 2)])


def moment_of_groups(x_NG):
    n, moments = len(x_NG), []
    for triple in permutations(range(x_NG.shape[1]), 3):
        total = 0.0
        for i in range(n):
            total += math.prod(x_NG[i, g] - x_NG[:, g].mean() for g in triple)
        moments.append(total * n / (n - 1) / (n - 2))
    return np.mean(moments)


@given(tables(2, 2))
def test_signal_variance_is_the_covariance_of_groups(x_NG):
    assert signal_variance(x_NG) == pytest.approx(covariance_of_groups(x_NG), abs=1e-9)


@given(tables(3, 3))
def test_third_moment_is_of_different_groups(x_NG):
    assert third_central_moment(x_NG) == pytest.approx(moment_of_groups(x_NG), abs=1e-8)


@given(tables(3, 3), st.integers(0, 99))
def test_moments_ignore_shifts_of_a_group(x_NG, seed):
    moved_NG = x_NG + noisy(x_NG.shape[1], seed)
    assert signal_variance(moved_NG) == pytest.approx(signal_variance(x_NG), abs=1e-9)
    assert third_central_moment(moved_NG) == pytest.approx(third_central_moment(x_NG), abs=1e-8)


def test_moments_without_noise_are_k_statistics():
    x_N = noisy(12)
    assert signal_variance(noiseless(x_N)) == pytest.approx(stats.kstat(x_N, 2))
    assert third_central_moment(noiseless(x_N)) == pytest.approx(stats.kstat(x_N, 3))
    assert skewness(noiseless(x_N)) == pytest.approx(stats.kstat(x_N, 3) / stats.kstat(x_N, 2) ** 1.5)
    assert skewness(noiseless(-x_N)) == pytest.approx(-skewness(noiseless(x_N)))


@pytest.mark.parametrize("groups", [3, 4])
def test_moments_are_unbiased_unlike_those_of_means(groups):
    for functional, order in ((signal_variance, 2), (third_central_moment, 3)):
        truth = stats.kstat(TRUE_N, order)
        assert expected(functional, groups=groups) == pytest.approx(truth, abs=1e-12)
        of_means = expected(lambda x_NG, order=order: stats.kstat(x_NG.mean(1), order), groups=groups)
        assert abs(of_means - truth) > 0.02


def test_moments_of_sampled_points_are_unbiased():
    # All draws of four points from two values, which have variance q (1 - q) d^2 and a third moment with 1 - 2 q.
    q, d = 0.3, 2.0
    second = third = 0.0
    for drawn_N in product((0, 1), repeat=4):
        chance = math.prod(q if one else 1 - q for one in drawn_N)
        x_NG = noiseless(d * np.array(drawn_N, float))
        second, third = second + chance * signal_variance(x_NG), third + chance * third_central_moment(x_NG)
    assert second == pytest.approx(q * (1 - q) * d**2)
    assert third == pytest.approx(q * (1 - q) * (1 - 2 * q) * d**3)


def test_skewness_is_recovered_from_skewed_noise():
    rng = np.random.default_rng(5)
    # A gamma distribution's skewness is 2 / sqrt(shape); the noise's has the opposite sign.
    true_RN1 = rng.gamma(4.0, size=(40, 20_000, 1))
    noise_RNG = -3 * rng.exponential(size=(40, 20_000, 4))
    found_R = [skewness(x_NG) for x_NG in true_RN1 + noise_RNG]
    assert within(found_R, 1.0)
    assert not within([stats.skew(x_NG.mean(1)) for x_NG in true_RN1 + noise_RNG], 1.0)


@pytest.mark.parametrize("equal", [[0.3, 0.1 + 0.2, 0.3], [5.0, 5.0, 5.0], [0.0, 0.0, 0.0]])
def test_points_equal_up_to_rounding_count_as_constant(equal):
    x_NG = noiseless(np.array(equal))
    assert signal_variance(x_NG) == 0 and third_central_moment(x_NG) == 0
    assert math.isnan(skewness(x_NG)) and math.isnan(roughness(x_NG)) and math.isnan(roughness(np.array(equal)))


def test_signal_variance_can_be_negative():
    opposed_NG = np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert signal_variance(opposed_NG) == pytest.approx(-1 / 3)
    assert math.isnan(skewness(opposed_NG))


# Shares below zero


def test_share_below_zero_is_corrected_for_noise():
    rng = np.random.default_rng(11)
    x_RNG = rng.normal(1.0, 2.0, (60, 4000, 1)) + rng.normal(0.0, 3.0, (60, 4000, 4))
    truth, raw = stats.norm.cdf(-0.5), stats.norm.cdf(-1 / math.sqrt(2**2 + 3**2 / 4))
    assert within([share_below_zero(x_NG) for x_NG in x_RNG], truth)
    assert within([raw_share_below_zero(x_NG) for x_NG in x_RNG], raw)
    assert not within([raw_share_below_zero(x_NG) for x_NG in x_RNG], truth)


@given(tables(2, 2))
def test_shares_of_both_sides_sum_to_one(x_NG):
    assert share_below_zero(x_NG) + share_below_zero(-x_NG) == pytest.approx(1)


@pytest.mark.parametrize(("values", "share"), [([2.0, 2.0], 0.0), ([-2.0, -2.0], 1.0), ([0.0, 0.0], 0.5)])
def test_share_of_constant_points_is_the_side_of_their_mean(values, share):
    assert share_below_zero(noiseless(np.array(values))) == share
    opposed_NG = np.array([[1.0, -1.0], [-1.0, 1.0]])
    assert share_below_zero(opposed_NG + np.array(values)[:, None]) == share


def test_raw_share_counts_means_over_groups():
    assert raw_share_below_zero(np.array([[-3.0, 1.0], [3.0, -1.0], [-1.0, 1.0], [-0.1, -0.2]])) == 0.5


# Slopes


def test_slope_is_least_squares_and_unbiased():
    x_N, y_NG = noisy(6), noisy((6, 3), seed=8)
    assert slope_through_origin(y_NG, x_N) == pytest.approx(np.linalg.lstsq(x_N[:, None], y_NG.mean(1))[0][0])
    value = expected(lambda x_NG: slope_through_origin(x_NG, OTHER_N), true_N=1.7 * OTHER_N)
    assert value == pytest.approx(1.7, abs=1e-12)
    assert math.isnan(slope_through_origin(y_NG, np.zeros(6)))


# Roughness


def rough_of_groups(x_NG):
    n, pairs = len(x_NG), list(permutations(range(x_NG.shape[1]), 2))
    first = np.mean(
        [(x_NG[i + 1, g] - x_NG[i, g]) * (x_NG[i + 1, h] - x_NG[i, h]) for i in range(n - 1) for g, h in pairs]
    )
    second = np.mean(
        [
            (x_NG[i + 1, g] - 2 * x_NG[i, g] + x_NG[i - 1, g]) * (x_NG[i + 1, h] - 2 * x_NG[i, h] + x_NG[i - 1, h])
            for i in range(1, n - 1)
            for g, h in pairs
        ]
    )
    return first, second


@given(tables(3, 2))
def test_roughness_is_of_different_groups(x_NG):
    first, second = rough_of_groups(x_NG)
    assume(min(abs(first), abs(second)) > 1e-3)
    if first > 0:
        assert roughness(x_NG) == pytest.approx(second / first, abs=1e-6)
    else:
        assert roughness(x_NG) == math.inf if second > 0 else math.isnan(roughness(x_NG))


def test_roughness_of_planted_landscapes():
    line_N, i_N = 3.0 - 0.5 * np.arange(9), np.arange(9.0)
    assert roughness(line_N) == pytest.approx(0, abs=1e-12)
    assert roughness(i_N**2) == pytest.approx(4 / np.mean((2 * np.arange(8) + 1.0) ** 2))
    assert roughness((-1.0) ** i_N) == pytest.approx(4)  # each increment reverses the one before
    assert roughness(np.array([0.0, 0.0, 1.0, 2.0])) == pytest.approx(0.5 / (2 / 3))
    rng = np.random.default_rng(2)
    steps_RN = rng.normal(size=(60, 3000))
    assert within([roughness(x_N) for x_N in steps_RN.cumsum(1)], 2.0)
    assert within([roughness(x_N) for x_N in steps_RN], 3.0)


def test_roughness_is_below_one_where_increments_correlate():
    rng = np.random.default_rng(4)
    for r in (0.2, 0.5, 0.8):
        d_RN = np.empty((60, 3000))
        d_RN[:, 0] = rng.normal(size=60)
        for i in range(1, 3000):
            d_RN[:, i] = r * d_RN[:, i - 1] + math.sqrt(1 - r**2) * rng.normal(size=60)
        assert within([roughness(x_N) for x_N in d_RN.cumsum(1)], 2 * (1 - r))


def test_roughness_of_a_random_walk_is_recovered_from_noise():
    rng = np.random.default_rng(6)
    walk_RN1 = rng.normal(size=(60, 3000, 1)).cumsum(1)
    x_RNG = walk_RN1 + rng.normal(size=(60, 1, 4)) + 1.5 * rng.normal(size=(60, 3000, 4))
    assert within([roughness(x_NG) for x_NG in x_RNG], 2.0)
    assert not within([roughness(x_NG.mean(1)) for x_NG in x_RNG], 2.0)


def test_roughness_with_added_noise_is_that_of_the_sum():
    v_N = np.array([0.3, 2.0, 0.7, 0.0, 1.1])
    x_N = np.array([0.2, 1.0, -0.5, 0.3, 0.9])
    signs = [np.array(s) for s in product((-1.0, 1.0), repeat=5)]
    first, second = (np.mean([np.diff(x_N + s * np.sqrt(v_N), n) ** 2 for s in signs]) for n in (1, 2))
    assert roughness(x_N, v_N) == pytest.approx(second / first, abs=1e-12)
    assert roughness(noiseless(x_N), v_N) == pytest.approx(second / first, abs=1e-12)
    assert roughness(x_N, np.zeros(5)) == roughness(x_N) != roughness(x_N, v_N)
    assert roughness(np.arange(5.0), np.full(5, 1e9)) == pytest.approx(3, abs=1e-6)


def test_roughness_is_inf_or_nan_where_noise_hides_increments():
    # Increments (1, -2) and (2, 1): their products cancel, while the changes -3 and -1 have one sign.
    assert roughness(np.array([[0.0, 0.0], [1.0, 2.0], [-1.0, 3.0]])) == math.inf
    # (1, -1) and (-1, -1): products cancel, and those of -2 and 0 are 0. (1, -1) and (-1, 1): all have opposite signs.
    assert math.isnan(roughness(np.array([[0.0, 0.0], [1.0, -1.0], [0.0, -2.0]])))
    assert math.isnan(roughness(np.array([[0.0, 0.0], [1.0, -1.0], [0.0, 0.0]])))
    # Added noise gives positive increments.
    assert roughness(np.array([[0.0, 0.0], [1.0, -1.0], [0.0, 0.0]]), np.full(3, 10.0)) == pytest.approx(56 / 19)


# The best and the worst


@pytest.mark.parametrize("groups", [2, 3, 4])
@pytest.mark.parametrize("reference", [0, 1])
def test_best_gain_equals_a_choice_by_one_group_fewer(groups, reference):
    gain = low = 0.0
    for k_G, chance in noise_draws(groups - 1):
        mean_N = TRUE_N + NOISE_KN[k_G].mean(0)
        gain += chance * (TRUE_N[mean_N.argmax()] - TRUE_N[reference])
        low += chance * TRUE_N[mean_N.argmin()]
    assert expected(lambda x_NG: best_gain(x_NG, reference), groups=groups) == pytest.approx(gain, abs=1e-12)
    value = expected(lambda x_NG: np.array(lowest_and_reference(x_NG, reference)), groups=groups)
    assert value == pytest.approx([low, TRUE_N[reference]], abs=1e-12)
    assert gain < TRUE_N.max() - TRUE_N[reference] and low > TRUE_N.min()


def test_best_gain_of_flat_values_is_zero():
    flat_N = np.full(4, 3.0)
    assert expected(lambda x_NG: best_gain(x_NG, 2), flat_N) == pytest.approx(0, abs=1e-12)
    assert expected(lambda x_NG: np.array(lowest_and_reference(x_NG, 2)), flat_N) == pytest.approx([3, 3], abs=1e-12)
    assert expected(lambda x_NG: (x_NG.mean(1) - x_NG[2].mean()).max(), flat_N) > 0.5


def test_best_point_is_chosen_by_the_other_groups():
    # The highest point is 1 by groups 0 and 1, 2 by groups 0 and 2, and 0 by groups 1 and 2.
    x_NG = np.array([[0.0, 4.0, 3.0], [3.0, 5.0, -9.0], [5.0, 1.0, 4.0]])
    assert best_gain(x_NG, 0) == pytest.approx(((0 - 0) + (1 - 4) + (-9 - 3)) / 3)
    # The lowest points are 1, 1 and 0.
    assert lowest_and_reference(x_NG, 2) == pytest.approx(((3 + 5 + 3) / 3, 10 / 3))


def test_best_gain_of_the_reference_is_zero():
    x_NG = noisy((5, 9))
    x_NG[3] += 100
    assert best_gain(np.asfortranarray(x_NG), 3) == 0
    assert best_gain(x_NG, 1) == pytest.approx((x_NG[3] - x_NG[1]).mean())
    x_NG[3] -= 200
    assert lowest_and_reference(x_NG, 1) == pytest.approx((x_NG[3].mean(), x_NG[1].mean()))
    assert best_gain(noiseless(np.array([2.0, 2.0, 1.0])), 0) == 0


def test_point_that_is_nan_in_one_group_is_not_skipped():
    # Its other groups are numbers, and it is never chosen where it is none.
    x_NG = np.array([[math.nan, 0.0, 0.0], [2.0, 1.0, 2.0], [3.0, 3.0, 3.0]])
    assert math.isnan(best_gain(x_NG, 1)) and np.isnan(lowest_and_reference(-x_NG, 1)).all()


# The order of two points


def test_chance_of_right_order_matches_simulated_returns():
    rng = np.random.default_rng(12)
    # One point's episodes have 10 steps and a variance of 9, the other's 25 and 4: 500 pairs are 50 and 20 episodes.
    first_R = rng.normal(1.0, 3.0, (20_000, 50)).mean(1)
    second_R = rng.normal(1.8, 2.0, (20_000, 20)).mean(1)
    chance = chance_with_pairs(500, 0.8**2, 9 * 10 + 4 * 25)
    assert 0.85 < chance < 0.95
    assert within((second_R > first_R).astype(float), chance)
    assert chance == pytest.approx(chance_of_right_order(-0.8, 9 / 50 + 4 / 20))
    assert pairs_needed(0.8**2, 9 * 10 + 4 * 25, chance) == pytest.approx(500)


def test_pairs_hold_as_many_episodes_as_random_lengths_allow():
    rng = np.random.default_rng(13)
    pairs, repetitions, mean_length, variance_of_length = 4000, 3000, 20, (31**2 - 1) / 12

    def mean_return(bonus):
        length_RE = rng.integers(5, 36, (repetitions, 300))
        whole_RE = length_RE.cumsum(1) <= pairs
        assert not whole_RE[:, -1].any()
        return_RE = length_RE + bonus + rng.normal(0, 2, length_RE.shape)  # longer episodes return more
        return (return_RE * whole_RE).sum(1) / whole_RE.sum(1)

    right_R = mean_return(1.3) > mean_return(0.0)
    chance = chance_with_pairs(pairs, 1.3**2, 2 * (variance_of_length + 4) * mean_length)
    assert 0.85 < chance < 0.95
    assert within(right_R.astype(float), chance)


@given(st.floats(0.01, 100), st.floats(0.01, 100), st.floats(0.51, 0.999))
def test_pairs_needed_is_the_inverse_of_the_chance(gap_square, variance, chance):
    assert chance_with_pairs(pairs_needed(gap_square, variance, chance), gap_square, variance) == pytest.approx(chance)


def test_pairs_needed_at_95_percent():
    assert pairs_needed(4.0, 100.0) == pytest.approx(1.6448536**2 * 25)


def test_points_without_a_gap_are_never_distinguished():
    assert pairs_needed(0.0, 1.0) == pairs_needed(-0.3, 1.0) == math.inf
    assert chance_with_pairs(100, -0.3, 1.0) == chance_with_pairs(100, 0.0, 0.0) == 0.5
    assert chance_of_right_order(0.0, 2.0) == 0.5
    assert (
        chance_of_right_order(-1e-3, 0.0)
        == chance_with_pairs(1, 1e-6, 0.0)
        == chance_with_pairs(math.inf, 1.0, 1.0)
        == 1
    )


# Shapes


@pytest.mark.parametrize(
    ("functional", "points", "groups"),
    [
        (mean_square, 1, 2),
        (signal_variance, 2, 2),
        (third_central_moment, 3, 3),
        (skewness, 3, 3),
        (share_below_zero, 2, 2),
        (raw_share_below_zero, 1, 1),
        (lambda x_NG: slope_through_origin(x_NG, np.arange(len(x_NG))), 1, 1),
        (roughness, 3, 2),
        (lambda x_NG: best_gain(x_NG, 0), 1, 2),
        (lambda x_NG: lowest_and_reference(x_NG, 0)[0], 1, 2),
    ],
)
def test_split_samples_refuse_too_few_values_and_propagate_nan(functional, points, groups):
    x_NG = noisy((points, groups))
    functional(x_NG)
    with pytest.raises(ValueError, match=f"At least {points} points are needed, not {points - 1}"):
        functional(x_NG[1:])
    with pytest.raises(ValueError, match=f"At least {groups} groups are needed, not {groups - 1}"):
        functional(x_NG[:, 1:])
    x_NG[-1, -1] = math.nan
    assert np.isnan(functional(x_NG)).all()


def test_invalid_arguments_are_reported():
    with pytest.raises(ValueError, match="axes points and groups"):
        signal_variance(np.zeros(4))
    with pytest.raises(ValueError, match="arrays of one shape"):
        mean_product(np.zeros((3, 4)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="one x for each of 3 points"):
        slope_through_origin(np.zeros((3, 4)), np.zeros(4))
    with pytest.raises(ValueError, match="one variance for each of 3 points"):
        roughness(np.zeros((3, 4)), np.zeros(2))
    with pytest.raises(IndexError):
        best_gain(np.zeros((3, 4)), 3)
    with pytest.raises(ValueError, match="must not be negative"):
        chance_of_right_order(1.0, -1.0)
    with pytest.raises(ValueError, match="must not be negative"):
        pairs_needed(1.0, -1.0)
    with pytest.raises(ValueError, match="must be positive"):
        chance_with_pairs(0, 1.0, 1.0)
    for chance in (0.5, 1.0):
        with pytest.raises(ValueError, match="between 1/2 and 1"):
            pairs_needed(1.0, 1.0, chance)


def test_chance_of_a_nan_gap_is_nan():
    assert math.isnan(chance_with_pairs(9, math.nan, 1.0))
    assert math.isnan(chance_of_right_order(math.nan, 0.0))
    assert math.isnan(pairs_needed(math.nan, 1.0))
