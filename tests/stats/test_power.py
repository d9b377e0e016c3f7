import math

import pytest
from scipy import stats

from rlclaims.stats.distribution_free import Betting, ClopperPearson, Quantile
from rlclaims.stats.effect import WrongOrder
from rlclaims.stats.mean import StudentT
from rlclaims.stats.power import minimal_detectable_effect, pilot_bound, power, seeds_needed
from rlclaims.stats.two_groups import Permutation, Welch
from rlclaims.stats.verdict import Design


@pytest.mark.parametrize("n", [5, 10, 20])
def test_mde_of_t_at_one_look_is_noncentral_ts(n):
    effect = minimal_detectable_effect(StudentT(), Design((n,)), "support")
    reached = stats.nct.sf(stats.t.isf(0.05, n - 1), n - 1, effect * math.sqrt(n))
    assert reached == pytest.approx(0.8, abs=0.02)


def test_mde_uses_the_error_rate_of_its_side():
    design = Design((10,), alpha_support=0.05, alpha_refute=0.001)
    effect = minimal_detectable_effect(StudentT(), design, "refute")
    assert stats.nct.sf(stats.t.isf(0.001, 9), 9, effect * math.sqrt(10)) == pytest.approx(0.8, abs=0.02)
    assert effect > minimal_detectable_effect(StudentT(), design, "support")


def test_mde_of_two_groups_is_larger():
    one = minimal_detectable_effect(StudentT(), Design((10,)), "support")
    two = minimal_detectable_effect(Welch(), Design((10,)), "support")
    assert two / one == pytest.approx(math.sqrt(2), rel=0.1)


def test_median_of_five_seeds_is_detected_when_all_are_above():
    effect = minimal_detectable_effect(Quantile(), Design((5,)), "support")
    assert stats.norm.cdf(effect) ** 5 == pytest.approx(0.8, abs=0.02)


def test_mde_is_infinite_at_an_unreachable_error_rate():
    assert minimal_detectable_effect(Quantile(), Design((5,), alpha_refute=0.01), "refute") == math.inf


@pytest.mark.parametrize("method", [Betting(), ClopperPearson(), WrongOrder()])
def test_mde_of_probabilities_is_none(method):
    assert minimal_detectable_effect(method, Design((10,)), "support") is None
    assert seeds_needed(method, 0.7, 0.05) is None


def test_power_accounts_for_looks():
    # Known from the study of error rates: four looks at up to 20 seeds nearly always detect one standard deviation.
    assert power(StudentT(), Design((6, 10, 14, 20)), 1.0, "support") >= 0.98


def test_seeds_needed_is_the_smallest_sufficient_number():
    n = seeds_needed(StudentT(), 0.7, 0.05)
    reached = [stats.nct.sf(stats.t.isf(0.05, m - 1), m - 1, 0.7 * math.sqrt(m)) for m in (n - 1, n)]
    assert reached[0] < 0.8 <= reached[1]


@pytest.mark.parametrize("method", [StudentT(), Welch(), Quantile(), Quantile(0.25)])
def test_seeds_needed_is_the_smallest_design_with_enough_power(method):
    n = seeds_needed(method, 0.9, 0.05)
    assert power(method, Design((n,)), 0.9, "support") >= 0.8 - 0.025
    assert power(method, Design((n - 1,)), 0.9, "support") < 0.8 + 0.025


def noncentral_welch(effect, n, m):
    """Return the power of Welch's t with n and m seeds at 5%, with the degrees of freedom of equal variances."""
    deviation = math.sqrt(1 / n + 1 / m)
    df = deviation**4 / (1 / (n**2 * (n - 1)) + 1 / (m**2 * (m - 1)))
    return stats.nct.sf(stats.t.isf(0.05, df), df, effect / deviation)


@pytest.mark.parametrize(("saved", "n", "m"), [(0, 20, 6), (1, 20, 6), (1, 8, 8)])
def test_detectable_effect_uses_the_size_of_the_saved_group(saved, n, m):
    effect = minimal_detectable_effect(Welch(), Design((n,), saved=saved, saved_seeds=m), "support")
    assert noncentral_welch(effect, n, m) == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("saved", [5, 6, 8])
@pytest.mark.parametrize("effect", [1.2, 1.35, 1.5, 1.7])
def test_seeds_needed_against_a_saved_group_are_of_the_other(saved, effect):
    reached = [n for n in range(5, 1001) if noncentral_welch(effect, n, saved) >= 0.8]
    # With few saved seeds, no number of other seeds may suffice.
    assert seeds_needed(Welch(), effect, 0.05, saved_seeds=saved) == (reached[0] if reached else None)


def test_seeds_needed_by_permutations_have_enough_power():
    n = seeds_needed(Permutation(), 1.5, 0.05, saved_seeds=6)
    one_less, enough = (power(Permutation(), Design((k,), saved=1, saved_seeds=6), 1.5, "support") for k in (n - 1, n))
    assert one_less < 0.8 <= enough
    assert seeds_needed(Permutation(), 0.8, 0.05, saved_seeds=8) is None


def test_seeds_needed_is_none_above_the_maximum():
    assert seeds_needed(StudentT(), 0.01, 0.05) is None


def test_pilot_bound_is_an_80_percent_upper_bound():
    # The bound is exceeded if the estimate's chi-square statistic is in its lower fifth.
    bound = pilot_bound(2.0, 10)
    assert stats.chi2.cdf(9 * (2.0 / bound) ** 2, 9) == pytest.approx(0.2)
