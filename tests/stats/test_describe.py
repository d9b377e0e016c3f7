"""Descriptive statistics against scipy and numpy, and in the cases where those lose precision."""

import math

import numpy as np
import pytest
from scipy import stats

from rlclaims.stats.describe import correlation, skewness, standard_deviation

RNG = np.random.default_rng(7)
X, Y = RNG.lognormal(size=(2, 9))


@pytest.mark.parametrize("scale", [1.0, 1e-50, -1e200])
def test_numbers_of_any_size_are_described(scale):
    assert standard_deviation(X * scale) == pytest.approx(np.std(X, ddof=1) * abs(scale))
    assert skewness(X * scale) == pytest.approx(stats.skew(X) * np.sign(scale))
    assert correlation(X * scale, Y) == pytest.approx(np.corrcoef(X, Y)[0, 1] * np.sign(scale))


@pytest.mark.parametrize("equal", [[0.1] * 12, [0.1 + 0.2, 0.3, 0.3], [0.0, 0.0, 0.0]])
def test_numbers_equal_up_to_rounding_count_as_constant(equal):
    assert standard_deviation(np.array(equal)) == 0
    assert math.isnan(skewness(np.array(equal)))
    assert math.isnan(correlation(np.array(equal), np.arange(len(equal), dtype=float)))


@pytest.mark.parametrize("few", [[], [1.0]])
def test_too_few_numbers_give_nan(few):
    assert math.isnan(standard_deviation(np.array(few)))
    assert math.isnan(correlation(np.array([1.0, 2.0]), np.array([1.0, 2.0])))


def test_a_pair_that_is_not_finite_is_left_out():
    x, y = np.append(X, [math.nan, 1.0]), np.append(Y, [1.0, math.inf])
    assert correlation(x, y) == pytest.approx(np.corrcoef(X, Y)[0, 1])
