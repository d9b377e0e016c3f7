"""Methods of inference against independent computations: scipy, statsmodels, enumeration, or a naive loop."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from rlclaims.stats.distribution_free import STAKES, Betting, ClopperPearson, Quantile
from rlclaims.stats.effect import WrongOrder
from rlclaims.stats.mean import BootstrapT, SignFlip, StudentT
from rlclaims.stats.two_groups import Permutation, Welch

ONE_GROUP = [StudentT(), BootstrapT(), SignFlip(), Quantile(), Quantile(0.25)]
TWO_GROUPS = [Welch(), Permutation()]


def rows(*groups):
    return tuple(np.asarray(group, dtype=float)[None, :] for group in groups)


def bounds(method, *groups, alpha=0.05):
    data = rows(*groups)
    return float(method.lower(data, alpha)[0]), float(method.upper(data, alpha)[0])


def skewed(n, key=0):
    return np.random.default_rng([n, key]).lognormal(size=n)


@pytest.mark.parametrize("n", [5, 10, 20])
def test_t_is_scipys(n):
    theirs = stats.ttest_1samp(skewed(n), 1.2, alternative="greater")
    interval = stats.ttest_1samp(skewed(n), 0).confidence_interval(0.90)
    assert bounds(StudentT(), skewed(n)) == pytest.approx((interval.low, interval.high), rel=1e-10)
    assert StudentT().p_value(rows(skewed(n)), 1.2)[0] == pytest.approx(theirs.pvalue, rel=1e-10)


@pytest.mark.parametrize(("n", "m"), [(5, 5), (6, 12), (20, 7)])
def test_welch_is_scipys(n, m):
    x, y = skewed(n), 3 * skewed(m, 1)
    interval = stats.ttest_ind(x, y, equal_var=False).confidence_interval(0.90)
    p = stats.ttest_ind(x, y, equal_var=False, alternative="greater").pvalue
    assert bounds(Welch(), x, y) == pytest.approx((interval.low, interval.high), rel=1e-10)
    assert Welch().p_value(rows(x, y), 0.0)[0] == pytest.approx(p, rel=1e-10)


def test_bootstrap_t_is_a_loop_over_resamples():
    x = skewed(8)
    rng = np.random.default_rng(0)
    statistics = []
    for _ in range(60_000):
        resample = rng.choice(x, size=len(x))
        spread = resample.std(ddof=1) / np.sqrt(len(x))
        statistics.append((resample.mean() - x.mean()) / spread if spread > 0 else np.inf)
    standard_error = x.std(ddof=1) / np.sqrt(len(x))
    expected = x.mean() - np.quantile(statistics, [0.95, 0.05]) * standard_error
    # The 5% quantiles of two independent draws of resamples differ by a few percent of the interval's width.
    assert bounds(BootstrapT(), x) == pytest.approx(expected, abs=0.08 * (expected[1] - expected[0]))


def test_bootstrap_t_is_unbounded_with_too_few_resamples():
    # With five seeds, one resample in 3125 consists of the largest value only, and its statistic is infinite.
    assert bounds(BootstrapT(), skewed(5), alpha=1e-4) == (-np.inf, np.inf)


@pytest.mark.parametrize("n", range(5, 13))
def test_sign_flips_are_the_tightest_bound_with_error_alpha(n):
    # All 2^n signs are equally likely, so the rate at which the bound passes the centre, 0, can be counted.
    size = skewed(n)
    signs = np.array(list(itertools.product((-1, 1), repeat=n)))
    lower = SignFlip().lower((signs * size,), 0.05)
    rate = np.mean(lower > 0)
    assert rate <= 0.05 < rate + 2 / 2**n


@pytest.mark.parametrize("n", [5, 10, 14])
def test_sign_flips_are_scipys(n):
    x = skewed(n) - 1
    theirs = stats.permutation_test((x,), np.mean, permutation_type="samples", alternative="greater", n_resamples=2**n)
    assert SignFlip().p_value(rows(x), 0.0)[0] == pytest.approx(theirs.pvalue)


@pytest.mark.parametrize("n", [15, 20])
def test_drawn_sign_flips_err_at_most_alpha(n):
    # A random 4,000 of too many sign vectors: three standard errors of 5% are 1.03 points.
    signs = np.random.default_rng(n).choice([-1, 1], size=(4000, n))
    assert np.mean(SignFlip().lower((signs * skewed(n),), 0.05) > 0) <= 0.05 + 0.0103


def test_drawn_sign_flips_approximate_all_of_them():
    x = skewed(16) - 1.5
    member = (np.arange(1, 2**16)[:, None] >> np.arange(16)) & 1
    means = np.sort(member @ x / member.sum(1))
    lower = bounds(SignFlip(), x)[0]
    # Three standard errors of a share of 5% at 9,999 draws are .7 points.
    assert np.mean(means <= lower) == pytest.approx(0.05, abs=0.007)
    assert SignFlip().p_value(rows(x), -0.2)[0] == pytest.approx(np.mean(means <= -0.2), abs=0.015)


def test_drawn_permutations_approximate_all_of_them():
    x, y = skewed(9), skewed(9, 1)
    chosen = np.array([np.isin(np.arange(18), c) for c in itertools.combinations(range(18), 9)])
    # With the shift at the bound, 5% of all choices have a difference of means no smaller than the observed one.
    lower = bounds(Permutation(), x, y)[0]
    shifted = np.concatenate([x - lower, y])
    differences = (np.where(chosen, shifted, 0).sum(1) - np.where(chosen, 0, shifted).sum(1)) / 9
    observed = (x - lower).mean() - y.mean()
    assert np.mean(differences >= observed - 1e-9) == pytest.approx(0.05, abs=0.007)


@pytest.mark.parametrize("centre", [0.3, 0.7])
def test_sign_flips_of_lattice_values_are_robust_to_rounding(centre):
    # Seeds at multiples of a tenth from the centre: many subsets have the centre as their mean, up to rounding.
    size = np.array([0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 0.5])
    signs = np.array(list(itertools.product((-1, 1), repeat=8)))
    for alpha in (0.02, 0.05, 0.1):
        assert np.mean(SignFlip().lower((centre + signs * size,), alpha) > centre) <= alpha
        assert np.mean(SignFlip().p_value((centre + signs * size,), centre) <= alpha) <= alpha


def test_default_levels_share_the_error_rate_between_looks():
    assert ClopperPearson().levels((6, 8, 10), (0.01, 0.03, 0.05)) == pytest.approx((0.01, 0.02, 0.02))


@pytest.mark.parametrize(("n", "m"), [(4, 4), (5, 3), (5, 5), (9, 3), (6, 6), (7, 7)])
def test_permutations_are_the_tightest_bound_with_error_alpha(n, m):
    # Every choice of n from the pooled seeds is equally likely to be the first group.
    pooled = skewed(n + m)
    chosen = np.array([np.isin(np.arange(n + m), c) for c in itertools.combinations(range(n + m), n)])
    x = np.array([pooled[c] for c in chosen])
    y = np.array([pooled[~c] for c in chosen])
    rate = np.mean(Permutation().lower((x, y), 0.05) > 0)
    assert rate <= 0.05 < rate + 1.5 / len(chosen)


@pytest.mark.parametrize("n", [8, 9, 10, 20])
def test_permutations_of_larger_groups_err_at_most_alpha(n):
    # With 2,000 random choices of the first group, three standard errors of 5% are 1.5 points.
    pooled = np.random.default_rng(n).permuted(np.tile(skewed(2 * n), (2000, 1)), axis=1)
    assert np.mean(Permutation().lower((pooled[:, :n], pooled[:, n:]), 0.05) > 0) <= 0.05 + 0.015


@pytest.mark.parametrize("n", [6, 10])
def test_permutations_are_scipys(n):
    x, y = skewed(n), skewed(n, 1)

    def difference(a, b, axis):
        return a.mean(axis) - b.mean(axis)

    theirs = stats.permutation_test((x, y), difference, alternative="greater", n_resamples=20_000, vectorized=True)
    # With ten seeds per group both draw: three standard errors of a proportion at 10,000 draws are at most 1.5 points.
    assert Permutation().p_value(rows(x, y), 0.0)[0] == pytest.approx(theirs.pvalue, abs=1e-12 if n == 6 else 0.015)


@pytest.mark.parametrize("q", [0.5, 0.25, 0.9])
@pytest.mark.parametrize("n", range(5, 21))
def test_quantile_bounds_are_the_tightest_with_error_alpha(n, q):
    # The number of seeds below the quantile is binomial. The k-th smallest is above it if fewer than k are below.
    lower, upper = bounds(Quantile(q), np.arange(1.0, n + 1))
    below = stats.binom.pmf(np.arange(n + 1), n, q)
    if np.isfinite(lower):
        assert below[: int(lower)].sum() <= 0.05
    assert below[: (int(lower) if np.isfinite(lower) else 0) + 1].sum() > 0.05
    # The k-th largest, n + 1 - k here, is below the quantile if fewer than k seeds are above.
    k = n + 1 - int(upper) if np.isfinite(upper) else 0
    above = below[::-1]
    assert above[:k].sum() <= 0.05 < above[: k + 1].sum()


@given(st.lists(st.integers(-3, 3), min_size=5, max_size=20), st.integers(-3, 3))
def test_median_is_scipys_sign_test_also_with_ties(values, b):
    p = stats.binomtest(sum(v > b for v in values), len(values), alternative="greater").pvalue
    assert Quantile().p_value(rows(values), b)[0] == pytest.approx(p)
    assert (bounds(Quantile(), values)[0] > b) == (p <= 0.05)


@pytest.mark.parametrize("n", [5, 12, 20])
def test_clopper_pearson_is_statsmodels(n):
    for happened in range(n + 1):
        low, high = proportion_confint(happened, n, alpha=0.10, method="beta")
        ours = bounds(ClopperPearson(), [1.0] * happened + [0.0] * (n - happened))
        assert ours == pytest.approx((low, high), abs=1e-12)


@pytest.mark.parametrize("n", range(5, 21))
def test_clopper_pearson_errs_at_most_alpha_at_every_probability(n):
    outcomes = np.tril(np.ones((n + 1, n)), -1)  # 0, 1, ..., n events
    lower, upper = ClopperPearson().lower((outcomes,), 0.05), ClopperPearson().upper((outcomes,), 0.05)
    for p in np.arange(1, 1000) / 1000:
        chance = stats.binom.pmf(np.arange(n + 1), n, p)
        assert chance[lower > p].sum() <= 0.05 + 1e-12
        assert chance[upper < p].sum() <= 0.05 + 1e-12


def test_clopper_pearsons_p_value_is_scipys_binomial_test():
    values = [1.0] * 9 + [0.0] * 3
    for p in (0.3, 0.5, 0.8):
        theirs = stats.binomtest(9, 12, p, alternative="greater").pvalue
        assert ClopperPearson().p_value(rows(values), p)[0] == pytest.approx(theirs)
        theirs = stats.binomtest(9, 12, p, alternative="less").pvalue
        assert ClopperPearson().p_value_above(rows(values), p)[0] == pytest.approx(theirs)


def naive_capital(values, m):
    """Return the capital of a bettor who puts a sixteenth of the money on each stake, seed after seed."""
    accounts = []
    for stake in STAKES:
        money = 1.0
        for x in values:
            money *= 1 + stake * (x / m - 1)
        accounts.append(money)
    return sum(accounts) / len(accounts)


@pytest.mark.parametrize("n", [5, 20])
def test_betting_bound_is_where_a_naive_bettor_won_twentyfold(n):
    values = np.random.default_rng(n).beta(2, 3, n)
    lower, upper = bounds(Betting(), values)
    assert naive_capital(values, lower) >= 20 > naive_capital(values, lower + 2e-6)
    assert naive_capital(1 - values, 1 - upper) >= 20 > naive_capital(1 - values, 1 - upper + 2e-6)
    assert Betting().p_value(rows(values), 0.1)[0] == pytest.approx(1 / naive_capital(values, 0.1))


def test_betting_on_any_interval_scales_the_unit_interval():
    values = np.random.default_rng(0).uniform(size=10)
    low, high = bounds(Betting(), values)
    assert bounds(Betting(-2.0, 3.0), 5 * values - 2) == pytest.approx((5 * low - 2, 5 * high - 2))


def test_betting_on_all_zero_seeds_leaves_room_above_zero():
    # 1 - alpha^(1/n) is what Clopper and Pearson's exact bound would be; a bettor who hedges cannot do better.
    for n in (5, 10, 20):
        lower, upper = bounds(Betting(), np.zeros(n))
        assert lower == 0 and 1 - 0.05 ** (1 / n) < upper < 1 - 0.05 ** (1 / n) + 0.15


@pytest.mark.parametrize("method", [Quantile(), Quantile(0.8), Betting(-10, 10)])
def test_failed_seed_takes_the_worst_value_for_each_bound(method):
    values = np.random.default_rng(1).normal(size=12).clip(-9, 9)
    lower, upper = bounds(method, [*values, np.nan])
    assert lower == bounds(method, [*values, -10.0])[0] or method.lower(rows([*values, -10.0]), 0.05) <= -10
    assert upper == bounds(method, [*values, 10.0])[1] or method.upper(rows([*values, 10.0]), 0.05) >= 10


def test_failed_seed_counts_against_either_bound_of_an_event():
    lower, upper = bounds(ClopperPearson(), [1.0] * 6 + [0.0] * 3 + [np.nan])
    assert lower == bounds(ClopperPearson(), [1.0] * 6 + [0.0] * 4)[0]
    assert upper == bounds(ClopperPearson(), [1.0] * 7 + [0.0] * 3)[1]


finite = st.floats(-1e3, 1e3, allow_nan=False, allow_subnormal=False)
samples = st.lists(finite, min_size=5, max_size=12)


# Exact in binary, so that rounding cannot make equal seeds differ: a constant resample makes bootstrap-t infinite.
eighths = st.lists(st.integers(-8_000, 8_000).map(lambda n: n / 8), min_size=5, max_size=12)


@settings(max_examples=50)
@pytest.mark.parametrize("method", ONE_GROUP)
@given(values=eighths, shift=finite, scale=st.floats(0.1, 10), data=st.data())
def test_bounds_shift_and_scale_with_seeds_and_ignore_order(method, values, shift, scale, data):
    assume(len(set(values)) > 1)
    original = bounds(method, values)
    moved = bounds(method, [scale * v + shift for v in data.draw(st.permutations(values))])
    size = max(1.0, abs(shift), *map(abs, values)) * 1e-7
    if isinstance(method, BootstrapT):
        # If a resample hardly varies, cancellation limits the precision of its variance, and so of the bound: here to
        # n * 2e-16 of the mean square, which is at most 3e9 times as large as the variance.
        size += 1e-5 * scale * max((abs(bound) for bound in original if np.isfinite(bound)), default=0.0)
    assert moved == pytest.approx([scale * bound + shift for bound in original], abs=size)


@settings(max_examples=50)
@pytest.mark.parametrize("method", [*ONE_GROUP, Betting(-1e3, 1e3), WrongOrder()])
@given(values=samples)
def test_lower_bound_of_the_negation_is_the_negated_upper_bound(method, values):
    assume(np.ptp(values) > 1e-6)
    lower, upper = bounds(method, values)
    mirrored = method.mirrored()
    negated = [-v for v in values]
    assert bounds(mirrored, negated) == pytest.approx((-upper, -lower), abs=1e-9)


@settings(max_examples=50)
@pytest.mark.parametrize("method", [*ONE_GROUP, Betting(-1e3, 1e3), WrongOrder()])
@given(values=samples)
def test_smaller_alpha_never_raises_the_lower_bound(method, values):
    assume(np.ptp(values) > 1e-6)
    assert method.lower(rows(values), 0.01)[0] <= method.lower(rows(values), 0.05)[0]


@settings(max_examples=50)
@pytest.mark.parametrize("method", [*ONE_GROUP, Betting(-1e3, 1e3), WrongOrder()])
@given(values=samples, null=finite)
def test_p_value_is_below_alpha_where_the_bound_exceeds_the_null(method, values, null):
    assume(np.ptp(values) > 1e-6)
    lower = method.lower(rows(values), 0.05)[0]
    assume(abs(lower - null) > 1e-2)
    assert (method.p_value(rows(values), null)[0] <= 0.05) == (lower > null)


@pytest.mark.parametrize("method", TWO_GROUPS)
def test_swapping_two_groups_negates_their_difference(method):
    x, y = skewed(7), skewed(7, 1)
    lower, upper = bounds(method, x, y)
    assert bounds(method, y, x) == pytest.approx((-upper, -lower))
