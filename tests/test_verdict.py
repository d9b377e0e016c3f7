import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlclaims.stats.verdict import HalfLine, Reason, Verdict, judge

NEAR_ONE = [0.9, 1.0, 1.1, 1.05, 0.95, 1.02]


def verdict(values, relation, bound, statistic="mean"):
    return judge(values, HalfLine(relation, bound), alpha=0.05, statistic=statistic).verdict


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_an_interval_inside_the_region_supports_and_outside_refutes(statistic):
    assert verdict(NEAR_ONE, "<=", 2, statistic) is Verdict.SUPPORTED
    assert verdict(NEAR_ONE, ">", 2, statistic) is Verdict.REFUTED
    assert verdict(NEAR_ONE, ">=", 0, statistic) is Verdict.SUPPORTED
    assert verdict(NEAR_ONE, "<", 0, statistic) is Verdict.REFUTED


def test_an_interval_across_the_bound_decides_nothing_and_says_so():
    judged = judge(NEAR_ONE, HalfLine("<=", 1.0), alpha=0.05, statistic="mean")
    assert (judged.verdict, judged.reason) == (Verdict.INCONCLUSIVE, Reason.UNDERPOWERED)
    assert judged.interval.lower < 1.0 < judged.interval.upper


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_a_failed_seed_is_never_left_out(statistic):
    judged = judge([*NEAR_ONE, math.nan], HalfLine("<=", 2.0), alpha=0.05, statistic=statistic)
    assert (judged.verdict, judged.reason) == (Verdict.INCONCLUSIVE, Reason.RUN_FAILED)


def test_four_seeds_are_too_few():
    judged = judge(NEAR_ONE[:4], HalfLine("<=", 2.0), alpha=0.05, statistic="mean")
    assert (judged.verdict, judged.reason) == (Verdict.INCONCLUSIVE, Reason.BELOW_MIN_N)


def test_constant_seeds_never_support_by_an_interval_without_width():
    judged = judge([0.0] * 10, HalfLine("<=", 1.0), alpha=0.05, statistic="mean")
    assert (judged.verdict, judged.reason) == (Verdict.INCONCLUSIVE, Reason.ASSUMPTION_FAILED)


def test_constant_seeds_have_an_exact_median():
    assert verdict([0.0] * 10, "<=", 1.0, "median") is Verdict.SUPPORTED


def test_a_seed_at_infinity_decides_nothing():
    judged = judge([*NEAR_ONE, math.inf], HalfLine(">", 0.0), alpha=0.05, statistic="median")
    assert (judged.verdict, judged.reason) == (Verdict.INCONCLUSIVE, Reason.ASSUMPTION_FAILED)


values = st.lists(st.floats(-100, 100), min_size=5, max_size=12)
relations = st.sampled_from(["<", "<=", ">", ">="])
statistics = st.sampled_from(["mean", "median"])
OPPOSITE = {Verdict.SUPPORTED: Verdict.REFUTED, Verdict.REFUTED: Verdict.SUPPORTED}


@given(values, relations, st.floats(-100, 100), statistics)
def test_a_claim_is_supported_exactly_when_its_negation_is_refuted(seeds, relation, bound, statistic):
    negation = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}[relation]
    one, other = verdict(seeds, relation, bound, statistic), verdict(seeds, negation, bound, statistic)
    assert other is OPPOSITE.get(one, one)


@given(values, st.floats(-100, 100), st.floats(0, 50), statistics)
def test_a_looser_bound_never_turns_supported_into_anything_else(seeds, bound, slack, statistic):
    if verdict(seeds, "<=", bound, statistic) is Verdict.SUPPORTED:
        assert verdict(seeds, "<=", bound + slack, statistic) is Verdict.SUPPORTED


@given(values, relations, st.floats(-100, 100), statistics)
def test_what_a_smaller_alpha_decides_a_larger_one_decides_alike(seeds, relation, bound, statistic):
    strict = judge(seeds, HalfLine(relation, bound), alpha=0.01, statistic=statistic).verdict
    if strict is not Verdict.INCONCLUSIVE:
        assert judge(seeds, HalfLine(relation, bound), alpha=0.05, statistic=statistic).verdict is strict
