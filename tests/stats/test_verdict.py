import math
import operator

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.weightstats import ttost_ind, ttost_paired

from rlclaims.stats.distribution_free import Betting, ClopperPearson, Quantile
from rlclaims.stats.mean import BootstrapT, SignFlip, StudentT
from rlclaims.stats.two_groups import Permutation, Welch
from rlclaims.stats.verdict import Decisions, Design, Reason, Region, Verdict, decide, judge

NEAR_ONE = [0.9, 1.0, 1.1, 1.05, 0.95, 1.02]
ONE_GROUP = [StudentT(), BootstrapT(), SignFlip(), Quantile()]


def judged(values, relation, bound, method=None, **changes):
    design = Design((len(values),), **changes)
    return judge(method or StudentT(), (values,), Region.half_line(relation, bound), design)


@pytest.mark.parametrize("method", ONE_GROUP)
def test_interval_inside_the_region_supports_and_outside_refutes(method):
    assert judged(NEAR_ONE, "<=", 2, method).verdict is Verdict.SUPPORTED
    assert judged(NEAR_ONE, ">", 2, method).verdict is Verdict.REFUTED
    assert judged(NEAR_ONE, ">=", 0, method).verdict is Verdict.SUPPORTED
    assert judged(NEAR_ONE, "<", 0, method).verdict is Verdict.REFUTED


def test_interval_across_the_bound_is_inconclusive():
    judgement = judged(NEAR_ONE, "<=", 1.0)
    assert (judgement.verdict, judgement.reason) == (Verdict.INCONCLUSIVE, Reason.UNDERPOWERED)
    assert judgement.interval.lower < 1.0 < judgement.interval.upper


def test_interval_within_the_margin_is_at_the_boundary():
    judgement = judge(StudentT(), (NEAR_ONE,), Region.half_line("<=", 1.0), Design((6,)), margin=0.5)
    assert judgement.reason is Reason.AT_BOUNDARY


@pytest.mark.parametrize("method", [StudentT(), BootstrapT(), SignFlip()])
def test_a_failed_seed_is_never_left_out_of_a_mean(method):
    judgement = judged([*NEAR_ONE, math.nan], "<=", 2.0, method)
    assert (judgement.verdict, judgement.reason) == (Verdict.INCONCLUSIVE, Reason.RUN_FAILED)


def test_failed_seed_takes_the_worst_rank_for_a_median():
    good = [1.0 + i / 100 for i in range(11)]
    assert judged([*good, math.nan], "<=", 2.0, Quantile()).verdict is Verdict.SUPPORTED
    few = good[:4] + [math.nan] * 2
    judgement = judged(few, "<=", 2.0, Quantile())
    assert (judgement.verdict, judgement.reason) == (Verdict.INCONCLUSIVE, Reason.RUN_FAILED)


def test_four_seeds_are_too_few():
    judgement = judged(NEAR_ONE[:4], "<=", 2.0)
    assert (judgement.verdict, judgement.reason) == (Verdict.INCONCLUSIVE, Reason.BELOW_MIN_N)


@pytest.mark.parametrize("method", [StudentT(), BootstrapT(), SignFlip()])
@pytest.mark.parametrize("values", [[0.0] * 10, [0.3] * 7, [0.1 + 0.2, 0.3, 0.3, 0.3, 0.3]])
def test_equal_seeds_decide_no_mean(method, values):
    judgement = judged(values, "<=", 1.0, method)
    assert (judgement.verdict, judgement.reason) == (Verdict.INCONCLUSIVE, Reason.ASSUMPTION_FAILED)


@pytest.mark.parametrize("method", [Welch(), Permutation()])
def test_two_groups_of_equal_seeds_decide_no_difference(method):
    judgement = judge(method, ([1.0] * 6, [2.0] * 6), Region.half_line("<", 0.0), Design((6,)))
    assert (judgement.verdict, judgement.reason) == (Verdict.INCONCLUSIVE, Reason.ASSUMPTION_FAILED)


def test_equal_seeds_have_an_exact_median():
    assert judged([0.0] * 10, "<=", 1.0, Quantile()).verdict is Verdict.SUPPORTED


def test_infinite_seed_has_a_rank_but_no_mean():
    values = [*NEAR_ONE, math.inf, 1.0]
    judgement = judged(values, ">", 0.0)
    assert (judgement.verdict, judgement.reason) == (Verdict.INCONCLUSIVE, Reason.ASSUMPTION_FAILED)
    assert judged(values, ">", 0.0, Quantile()).verdict is Verdict.SUPPORTED


def test_equivalence_is_two_one_sided_tests():
    x, y = (np.random.default_rng(i).normal(0.1 * i, 0.4, 12) for i in range(2))
    region = Region(-0.5, 0.5)
    paired = judge(StudentT(), (x - y,), region, Design((12,)))
    p = ttost_paired(x, y, -0.5, 0.5)[0]
    assert paired.p_value == pytest.approx(p)
    assert (paired.verdict is Verdict.SUPPORTED) == (p <= 0.05)
    unpaired = judge(Welch(), (x, y), region, Design((12,)))
    assert unpaired.p_value == pytest.approx(ttost_ind(x, y, -0.5, 0.5, usevar="unequal")[0])


def test_two_sided_region_has_half_the_error_rate_on_each_side():
    x = np.random.default_rng(0).normal(-0.5, 1, size=10)
    t = x.mean() / (x.std(ddof=1) / math.sqrt(10))
    p = stats.t.cdf(t, 9)
    design = Design((10,), alpha_refute=1.5 * p)
    assert judge(StudentT(), (x,), Region(0.0, 10.0), design).verdict is Verdict.INCONCLUSIVE
    assert judge(StudentT(), (x,), Region.half_line(">=", 0.0), design).verdict is Verdict.REFUTED
    assert judge(StudentT(), (x,), Region(0.0, 10.0), Design((10,), alpha_refute=2.1 * p)).verdict is Verdict.REFUTED


@pytest.mark.parametrize("n_looks", [1, 2, 4])
def test_first_verdict_is_final(n_looks):
    looks = (6, 8, 10, 12)
    first = [5.0, 5.1, 4.9, 5.05, 4.95, 5.02]
    later = [-100.0] * 6
    judgement = judge(StudentT(), ((first + later)[: looks[n_looks - 1]],), Region.half_line(">", 0.0), Design(looks))
    assert judgement.verdict is Verdict.SUPPORTED
    assert [look.n for look in judgement.looks] == [6]


def test_supported_is_not_refuted_at_a_later_look():
    x = np.array([[5.0, 5.1, 4.9, 5.05, 4.95, 5.02, -1000.0, -1000.1, -1000.2, -1000.0, -999.9, -1000.3]])
    for region in (Region.half_line(">", 0.0), Region.half_line("<", 0.0)):
        decisions = decide(StudentT(), (x,), region, Design((6, 12)))
        assert decisions.supported[0] != decisions.refuted[0]
        assert decisions.look[0] == 0


def test_support_is_spent_early_and_refutation_late():
    looks, x = (6, 12), [-5.0, -5.1, -4.9, -5.05, -4.95, -5.02]
    design = Design(looks, alpha_support=0.05, alpha_refute=0.05)
    supported = judge(StudentT(), (x,), Region.half_line("<", 0.0), design)
    refuted = judge(StudentT(), (x,), Region.half_line(">", 0.0), design)
    assert supported.level == pytest.approx(0.05 * math.log1p((math.e - 1) / 2))
    assert refuted.level == pytest.approx(0.05 / 8)


def test_p_value_outside_an_interval_is_that_of_the_passed_end():
    x = np.random.default_rng(0).normal(3, 1, size=10)
    judgement = judge(StudentT(), (x,), Region(0.0, 1.0), Design((10,)))
    theirs = stats.ttest_1samp(x, 1.0, alternative="greater").pvalue
    assert judgement.verdict is Verdict.REFUTED
    assert (judgement.p_value, judgement.level) == (pytest.approx(theirs), pytest.approx(0.025))


def test_interval_agrees_with_the_verdict():
    # Just outside at the levels that support, but not at those that refute.
    x = 1.2 + 0.1 * np.array([-1, 1, -0.5, 0.5, 0.3, -0.3, 0.9, -0.9, 0.1, -0.1])
    judgement = judge(StudentT(), (x,), Region(-1.0, 1.12), Design((10,), alpha_refute=0.0005))
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert judgement.interval.lower < 1.12


def test_looks_without_seeds_are_not_taken():
    values = [0.5, -0.4, 0.3, -0.2, 0.1, -0.3, 0.2, -0.1, 0.6]
    judgement = judge(StudentT(), (values,), Region.half_line(">", 0.0), Design((6, 8, 10)))
    assert [look.n for look in judgement.looks] == [6, 8]
    assert judgement.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("saved", [0, 1])
def test_saved_group_is_used_whole_at_each_look(saved):
    rng = np.random.default_rng(4)
    kept, fresh = rng.normal(0, 1, 7), rng.normal(0.1, 1, 12)
    groups = (kept, fresh) if saved == 0 else (fresh, kept)
    design = Design((6, 8, 12), alpha_support=0.05, alpha_refute=0.05, saved=saved, saved_seeds=7)
    judgement = judge(Welch(), groups, Region.half_line(">", 0.0), design)
    assert [look.n for look in judgement.looks] == [6, 8, 12]
    for look in judgement.looks:
        sides = [group if i == saved else group[: look.n] for i, group in enumerate(groups)]
        assert look.interval.estimate == pytest.approx(sides[0].mean() - sides[1].mean())
    theirs = stats.ttest_ind(*groups, equal_var=False, alternative="greater")
    assert judgement.p_value == pytest.approx(theirs.pvalue)


def test_looks_beside_a_saved_group_keep_their_error_rates():
    # 8,000 repetitions: a standard error of 5% is .24 points. Set aside per look, the rates are kept with room.
    rng = np.random.default_rng(5)
    fresh, kept = rng.normal(0, 1, (8000, 12)), rng.normal(0, 1, (8000, 6))
    design = Design((6, 8, 10, 12), alpha_support=0.05, alpha_refute=0.05, saved=1, saved_seeds=6)
    decisions = decide(Welch(), (fresh, kept), Region.half_line(">", 0.0), design)
    assert 0.02 < decisions.supported.mean() <= 0.0575
    assert 0.02 < decisions.refuted.mean() <= 0.0575


def test_saved_group_of_four_is_too_small():
    design = Design((6,), saved=1, saved_seeds=4)
    assert judge(Welch(), (NEAR_ONE, NEAR_ONE[:4]), Region.half_line("<", 9.0), design).reason is Reason.BELOW_MIN_N
    assert judge(Welch(), (NEAR_ONE, NEAR_ONE[:5]), Region.half_line("<", 9.0), design).verdict is Verdict.SUPPORTED


@pytest.mark.parametrize("looks", [(), (1,), (8, 6), (6, 6)])
def test_looks_must_ascend(looks):
    with pytest.raises(ValueError, match="ascending"):
        Design(looks)


def test_decide_of_many_repetitions_equals_judge_of_each():
    rng = np.random.default_rng(0)
    x, y = rng.normal(0.4, 1, (60, 12)), rng.normal(0, 1, (60, 12))
    for method in (*ONE_GROUP, Welch(), Permutation(), Betting(-9, 9)):
        groups = (x, y) if method.n_groups == 2 else (x,)
        design, region = Design((6, 8, 12)), Region.half_line(">", 0.0)
        together = decide(method, groups, region, design)
        assert isinstance(together, Decisions)
        for r in range(60):
            alone = judge(method, [group[r] for group in groups], region, design)
            assert together.supported[r] == (alone.verdict is Verdict.SUPPORTED)
            assert together.refuted[r] == (alone.verdict is Verdict.REFUTED)
            assert together.look[r] == len(alone.looks) - 1


values = st.lists(st.floats(-100, 100, allow_subnormal=False), min_size=5, max_size=12)
relations = st.sampled_from(["<", "<=", ">", ">="])
methods = st.sampled_from([StudentT(), Quantile(), SignFlip(), Betting(-100, 100)])
OPPOSITE = {Verdict.SUPPORTED: Verdict.REFUTED, Verdict.REFUTED: Verdict.SUPPORTED}
NEGATION = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@given(values, relations, st.floats(-100, 100), methods)
def test_claim_is_supported_exactly_when_its_negation_is_refuted(seeds, relation, bound, method):
    one = judged(seeds, relation, bound, method).verdict
    other = judged(seeds, NEGATION[relation], bound, method).verdict
    assert other is OPPOSITE.get(one, one)


@given(values, st.floats(-100, 100), st.floats(0, 50), methods)
def test_looser_bound_keeps_supported(seeds, bound, slack, method):
    if judged(seeds, "<=", bound, method).verdict is Verdict.SUPPORTED:
        assert judged(seeds, "<=", bound + slack, method).verdict is Verdict.SUPPORTED


@given(values, relations, st.floats(-100, 100), methods)
def test_larger_alpha_keeps_a_decision(seeds, relation, bound, method):
    strict = judged(seeds, relation, bound, method, alpha_support=0.01, alpha_refute=0.01).verdict
    if strict is not Verdict.INCONCLUSIVE:
        assert judged(seeds, relation, bound, method).verdict is strict


@given(st.floats(-100, 100), st.integers(5, 20), relations, st.floats(-100, 100))
def test_equal_seeds_never_decide_a_mean(value, n, relation, bound):
    assert judged([value] * n, relation, bound).verdict is Verdict.INCONCLUSIVE


@given(values, relations, st.floats(-100, 100), methods)
def test_verdict_agrees_with_its_estimate_and_p_value(seeds, relation, bound, method):
    assume(np.ptp(seeds) > 1e-3)
    judgement = judged(seeds, relation, bound, method)
    if judgement.verdict is Verdict.INCONCLUSIVE or abs(judgement.interval.estimate - bound) < 1e-3:
        return
    inside = COMPARE[relation](judgement.interval.estimate, bound)
    assert inside == (judgement.verdict is Verdict.SUPPORTED)
    assert judgement.p_value <= judgement.level * (1 + 1e-6)


def test_event_at_every_seed_supports_that_it_is_likely():
    always = [1.0] * 10
    assert judged(always, ">=", 0.7, ClopperPearson()).verdict is Verdict.SUPPORTED
    assert judged(always, ">=", 0.75, ClopperPearson()).verdict is Verdict.INCONCLUSIVE  # .05^(1/10) = .741
    assert judged(always, "<=", 0.7, ClopperPearson()).verdict is Verdict.REFUTED
