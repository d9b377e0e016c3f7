import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rlclaims.stats.intervals import DegenerateSampleError, sign_interval, t_interval

finite = st.floats(-1e6, 1e6, allow_nan=False, allow_subnormal=False)
samples = st.lists(finite, min_size=5, max_size=20)


@pytest.mark.parametrize("n", [5, 10, 20])
def test_t_bounds_are_scipys(n):
    values = np.random.default_rng(n).lognormal(size=n)
    ours = t_interval(values, alpha=0.05)
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.90)
    assert ours.estimate == pytest.approx(np.mean(values), rel=1e-12)
    assert (ours.lower, ours.upper) == pytest.approx((theirs.low, theirs.high), rel=1e-10)


@pytest.mark.parametrize("values", [[0.0] * 10, [0.3] * 7, [0.1 + 0.2, 0.3, 0.3, 0.3, 0.3]])
def test_equal_seeds_leave_the_t_path(values):
    with pytest.raises(DegenerateSampleError, match="from which t cannot tell"):
        t_interval(values, alpha=0.05)


@pytest.mark.parametrize("n", range(5, 15))
def test_sign_bounds_err_at_most_alpha_and_are_the_tightest_that_do(n):
    # Which side of the median each seed falls on is a fair coin, so all 2^n patterns are equally likely. The k-th
    # smallest value is above the median exactly if fewer than k seeds are below it.
    interval = sign_interval(np.arange(1.0, n + 1), alpha=0.05)
    below = np.array([sum(pattern) for pattern in itertools.product((0, 1), repeat=n)])
    k = int(interval.lower)
    assert np.mean(below < k) <= 0.05 < np.mean(below < k + 1)
    assert interval.upper == n + 1 - k


def test_four_seeds_have_no_sign_bound():
    interval = sign_interval([1.0, 2.0, 3.0, 4.0], alpha=0.05)
    assert (interval.lower, interval.upper) == (-np.inf, np.inf)


@given(samples, st.floats(-100, 100))
def test_sign_bounds_agree_with_scipys_sign_test(values, b):
    interval = sign_interval(values, alpha=0.05)
    above = sum(v > b for v in values)
    p = stats.binomtest(above, len(values), alternative="greater").pvalue  # of "median <= b", ties counted against
    assert (interval.lower > b) == (p <= 0.05)


@pytest.mark.parametrize("method", [t_interval, sign_interval])
@given(values=samples, shift=finite, scale=st.floats(0.1, 10), data=st.data())
def test_intervals_shift_and_scale_with_the_data_and_ignore_its_order(method, values, shift, scale, data):
    try:
        original = method(values, 0.05)
        moved = method([scale * v + shift for v in data.draw(st.permutations(values))], 0.05)
    except DegenerateSampleError:
        return  # a spread that shifting rounds away
    size = max(1.0, abs(shift), *map(abs, values)) * 1e-9 * 100
    assert moved.lower == pytest.approx(scale * original.lower + shift, abs=size)
    assert moved.upper == pytest.approx(scale * original.upper + shift, abs=size)


@pytest.mark.parametrize("n", [5, 10])
def test_each_t_bound_errs_at_its_nominal_rate_on_normal_seeds(n):
    values = np.random.default_rng(1).normal(size=(4000, n))
    intervals = [t_interval(v, alpha=0.05) for v in values]
    # Three standard errors of a 5% rate at 4,000 repetitions are 1.03 points.
    assert np.mean([i.lower > 0 for i in intervals]) == pytest.approx(0.05, abs=0.0103)
    assert np.mean([i.upper < 0 for i in intervals]) == pytest.approx(0.05, abs=0.0103)
