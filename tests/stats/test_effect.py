"""The probability of a wrong order, against simulated rankings and another form of its integral; its invariances."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import STEPS
from samples import sample as named_sample
from scipy import optimize, special, stats

from rlclaims.claims.evidence import ClaimError, recording
from rlclaims.claims.judging_terms import JudgingTerms, Pilot
from rlclaims.claims.quantity import named
from rlclaims.claims.scope import Scope
from rlclaims.results.checkpoint_series import CheckpointSeries
from rlclaims.stats.effect import WrongOrder, _largest_noncentrality
from rlclaims.stats.verdict import Design, Reason, Region, Verdict, decide


def with_t(t, n):
    """Return a sample of n seeds whose t statistic is t."""
    x = np.random.default_rng(n).normal(size=n)
    return (x - x.mean()) / x.std(ddof=1) + t / math.sqrt(n)


def bounds(x, seeds=3, alpha=0.05):
    data = (np.asarray(x, dtype=float)[None, :],)
    return WrongOrder(seeds).lower(data, alpha)[0], WrongOrder(seeds).upper(data, alpha)[0]


def cdf(t, df, noncentrality):
    """Return P(T <= t) of the noncentral t distribution, as the mean of Phi(t W - noncentrality) over chi-like W."""

    def part(w):
        log_density = (df - 1) * np.log(w) - df * w**2 / 2 + math.log(2) + df / 2 * math.log(df / 2)
        return np.exp(log_density - special.gammaln(df / 2)) * special.ndtr(t * w - noncentrality)

    # Split the integral where Phi rises and where W has its mass.
    spread = 1 / math.sqrt(2 * df)
    edges = {1e-9, *(1 + spread * np.array([-6, -3, 0, 3, 6, 12, 25]))}
    if t:
        edges |= {(noncentrality + z) / t for z in (-8, -3, 0, 3, 8)}
    edges = sorted(edge for edge in edges if 0 < edge <= 1 + 25 * spread)
    nodes, weights = np.polynomial.legendre.leggauss(80)
    pieces = itertools.pairwise(edges)
    return sum((b - a) / 2 * float(weights @ part((a + b) / 2 + (b - a) / 2 * nodes)) for a, b in pieces)


@pytest.mark.parametrize("seeds", [1, 3, 10])
@pytest.mark.parametrize("effect", [-0.3, 0.0, 0.5, 1.2])
def test_wrong_order_estimates_how_often_the_mean_is_below_0(effect, seeds):
    rankings = np.random.default_rng(0).normal(effect, 1, (100_000, seeds)).mean(1) < 0
    estimate = WrongOrder(seeds).estimate((with_t(effect * math.sqrt(8), 8)[None, :],))[0]
    # Four standard errors.
    assert estimate == pytest.approx(rankings.mean(), abs=4 * math.sqrt(estimate * (1 - estimate) / 100_000))


@pytest.mark.parametrize("n", [5, 6, 12])
@pytest.mark.parametrize("effect", [-0.4, 0.0, 0.5, 1.5])
def test_wrong_order_bounds_err_at_the_nominal_rate(n, effect):
    truth = stats.norm.cdf(-math.sqrt(3) * effect)
    data = (np.random.default_rng(n).normal(effect, 1, (12_000, n)),)
    few = (data[0][:1200],)
    for alpha in (0.05, 0.005):
        error = 4 * math.sqrt(alpha * (1 - alpha))  # four standard errors, of one repetition
        method = WrongOrder()
        too_high, too_low = (p(data, truth) <= alpha for p in (method.p_value, method.p_value_above))
        for wrong in (too_high, too_low):
            assert wrong.mean() == pytest.approx(alpha, abs=error / math.sqrt(12_000))
        # Bounds take longer to compute; fewer repetitions show that they agree with the p-values.
        assert np.array_equal(method.lower(few, alpha) > truth, too_high[:1200])
        assert np.array_equal(method.upper(few, alpha) < truth, too_low[:1200])


@pytest.mark.parametrize("n", [5, 6, 20])
@pytest.mark.parametrize("t", [-30.0, -2.0, 0.0, 0.7, 3.0, 12.0])
@pytest.mark.parametrize("alpha", [0.3, 0.05, 1e-3, 1e-5])
def test_wrong_order_bounds_equal_a_search_with_scipys_nct(n, t, alpha):
    def search(probability):
        def excess(noncentrality):
            return stats.nct.cdf(t, n - 1, noncentrality) - probability

        step = math.copysign(0.5 * math.hypot(1, t / math.sqrt(2 * n)), excess(t))
        end = t
        while excess(end) * step > 0:  # in small steps, as scipy's is NaN far from the root
            end += step
        return optimize.brentq(excess, end - step, end, xtol=1e-13)

    expected = [stats.norm.sf(math.sqrt(3 / n) * search(p)) for p in (alpha, 1 - alpha)]
    assert bounds(with_t(t, n), alpha=alpha) == pytest.approx(expected, rel=1e-5, abs=1e-12)


@pytest.mark.parametrize("df", [4, 5, 11])
@pytest.mark.parametrize("t", [-1e5, -1e3, -40.0, -2.0, -1e-3, 0.0, 0.2, 5.0, 1e3, 1e5])
def test_wrong_order_integral_is_at_most_alpha_at_its_bound(df, t):
    for alpha in (0.3, 0.05, 1e-5, 1e-8, 1e-12):
        reached = cdf(t, df, _largest_noncentrality(np.array([t]), df, alpha)[0])
        assert reached <= alpha * (1 + 1e-6)
        if alpha >= 1e-5:  # smaller ones are limited by rounding; beyond |t| = 1000 a coarser sum is used
            assert reached >= alpha * (1 - (1e-6 if abs(t) <= 1e3 else 5e-3))


@pytest.mark.parametrize("n", [5, 12])
@pytest.mark.parametrize("t", [-500.0, -20.0, -3.0, 0.0, 1.0, 10.0, 500.0, 1e6])
def test_wrong_order_tail_p_values_are_slightly_conservative(n, t):
    data = (with_t(t, n)[None, :],)
    for null in (1e-9, 0.01, 0.5, 0.99):
        exact = cdf(t, n - 1, math.sqrt(n / 3) * stats.norm.isf(null))
        p = WrongOrder().p_value(data, null)[0]
        assert exact * (1 - 1e-4) <= p <= 2 * exact + 1e-300
        if exact > 1e-11 and t < 1e3:
            assert p == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("t", [-1e13, -1e4, -999.0, 0.0, 999.0, 1e4, 1e13])
@pytest.mark.parametrize("alpha", [0.4, 0.05, 1e-5, 1e-12])
def test_wrong_order_bounds_exclude_0_and_1(t, alpha):
    data = (np.arange(-2.0, 3.0)[None, :] + t,)
    for seeds in (1, 3, 100):
        lower, upper = (side(data, alpha)[0] for side in (WrongOrder(seeds).lower, WrongOrder(seeds).upper))
        assert 0 <= lower < upper <= 1
        assert lower < 1 and upper > 0  # so that a claim such as "it is 0" is never supported


samples = st.lists(st.floats(-1e3, 1e3, allow_subnormal=False), min_size=5, max_size=12).filter(
    lambda values: np.ptp(values) > 1e-3
)


@settings(max_examples=40, deadline=None)
@given(samples, st.floats(0.01, 100), st.floats(1e-3, 1e3), st.data())
def test_wrong_order_falls_as_differences_grow_in_any_unit(values, up, scale, data):
    before, after = bounds(values), bounds(np.array(values) + up)
    assert after[0] <= before[0] * (1 + 1e-6) and after[1] <= before[1] * (1 + 1e-6)
    shuffled = scale * np.array(data.draw(st.permutations(values)))
    assert bounds(shuffled) == pytest.approx(before, rel=1e-6, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(samples)
def test_wrong_order_of_negated_differences_is_mirrored(values):
    lower, upper = bounds(values)
    assert bounds([-v for v in values]) == pytest.approx((1 - upper, 1 - lower), abs=1e-9)
    mirror = WrongOrder().mirrored()
    assert mirror.mirrored() == WrongOrder()
    negated = (-np.array(values)[None, :],)
    assert (mirror.lower(negated, 0.05)[0], mirror.upper(negated, 0.05)[0]) == pytest.approx((-upper, -lower))
    assert mirror.estimate(negated) == pytest.approx(-WrongOrder().estimate((-negated[0],)))


@settings(max_examples=40, deadline=None)
@given(samples, st.floats(0.001, 0.999), st.sampled_from([0.05, 1e-4]))
def test_wrong_order_p_values_agree_with_bounds(values, null, alpha):
    data = (np.array(values)[None, :],)
    lower, upper = bounds(values, alpha=alpha)
    if abs(lower - null) > 1e-6:
        assert (WrongOrder().p_value(data, null)[0] <= alpha) == (lower > null)
    if abs(upper - null) > 1e-6:
        assert (WrongOrder().p_value_above(data, null)[0] <= alpha) == (upper < null)


@pytest.mark.parametrize("t", [-1e6, -3.0, 0.0, 3.0, 1e6])
def test_wrong_order_p_values_of_impossible_nulls_need_no_data(t):
    data = (with_t(t, 6)[None, :],)
    assert [WrongOrder().p_value(data, null)[0] for null in (-0.1, 0.0, 1.0, 1.1)] == [0, 0, 1, 1]
    assert [WrongOrder().p_value_above(data, null)[0] for null in (-0.1, 0.0, 1.0, 1.1)] == [1, 1, 0, 0]


def test_wrong_order_of_huge_and_tiny_differences():
    x = with_t(2.0, 6)
    for scale in (1e200, 1e-90):
        assert bounds(scale * x) == pytest.approx(bounds(x))


def test_wrong_order_of_many_repetitions_equals_each():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(0.5, 1, (50, 6)), rng.normal(300, 1, (3, 6)), rng.normal(-9e4, 1, (3, 6))])
    for bound in (WrongOrder().lower, WrongOrder().upper):
        assert bound((rows,), 0.01) == pytest.approx([bound((row[None, :],), 0.01)[0] for row in rows], rel=1e-8)


def test_wrong_order_keeps_its_error_rate_over_looks():
    # Four standard errors of 5% at 1,000 repetitions are 2.8 points.
    x = np.random.default_rng(5).normal(0.4, 1, (1000, 12))
    truth = stats.norm.sf(math.sqrt(3) * 0.4)
    design = Design((6, 8, 10, 12), alpha_support=0.05, alpha_refute=0.05)
    for false, true in (("<", ">="), (">", "<=")):
        assert decide(WrongOrder(), (x,), Region.half_line(false, truth), design).supported.mean() <= 0.05 + 0.028
        assert decide(WrongOrder(), (x,), Region.half_line(true, truth), design).refuted.mean() <= 0.05 + 0.028


def paired(differences, first_seed=0):
    """Return a sample of one algorithm's numbers minus another's on the same seeds."""
    seeds = tuple(range(first_seed, first_seed + len(differences)))
    other = np.random.default_rng(7).normal(size=len(differences))
    return named_sample("PPO's", other + differences, seeds) - named_sample("PPO-M's", other, seeds)


def test_claim_on_a_ranking_uses_paired_differences():
    x = with_t(2.5, 12)
    evidence = paired(x).wrong_order(seeds=4) > 0.05
    assert evidence.quantity.label == (
        "probability of the wrong order (a mean below 0) by 4 seeds of (PPO's) - (PPO-M's)"
    )
    noncentrality = optimize.brentq(lambda nc: stats.nct.cdf(2.5, 11, nc) - 0.05, 0, 9)
    assert evidence.interval.lower == pytest.approx(stats.norm.sf(2 * noncentrality / math.sqrt(12)), rel=1e-6)
    assert evidence.interval.estimate == pytest.approx(stats.norm.sf(2 * 2.5 / math.sqrt(12)))
    assert evidence.judgement.p_value == pytest.approx(
        stats.nct.cdf(2.5, 11, math.sqrt(12) * stats.norm.isf(0.05) / 2), rel=1e-6
    )
    assert evidence.verdict is Verdict.INCONCLUSIVE and evidence.reason is Reason.UNDERPOWERED
    assert "by noncentral t (model-based: normal differences), n = 12" in str(evidence)
    assert "by 1 seed of" in (paired(x).wrong_order(1) > 0.05).quantity.label
    assert "by 3 seeds of" in (paired(x).wrong_order() > 0.05).quantity.label


@pytest.mark.parametrize(
    ("t", "relation", "verdict"),
    [(0.0, ">", "supported"), (0.0, "<", "refuted"), (9.0, ">", "refuted"), (9.0, "<", "supported")],
)
def test_claim_on_a_ranking_is_decided_in_a_design(t, relation, verdict):
    with recording(JudgingTerms(looks=(6, 8, 10, 12), alpha_refute=0.01)):
        order = paired(with_t(t, 12)).wrong_order()
        evidence = order > 0.05 if relation == ">" else order < 0.05
    assert evidence.verdict == verdict


def test_wrong_order_evidence_has_no_power_and_no_seeds_needed():
    key = "wrong_order(difference(PPO's, PPO-M's), 3)"
    pilot = Pilot(1.0, tuple(range(10_000, 10_010)), key, (("a task", STEPS),))
    with recording(JudgingTerms(margin=0.9, pilot=pilot)):
        evidence = paired(with_t(1.0, 12)).wrong_order() > 0.05
    assert evidence.pilot is pilot
    record = evidence.to_json()
    assert [record[key] for key in ("mde", "mde_refuting", "detects_in_sd", "can_support", "n_needed")] == [None] * 5
    assert json.loads(json.dumps(record, allow_nan=False))["method"] == "noncentral t"


def test_claim_on_a_ranking_has_a_probability_as_margin():
    x = with_t(0.0, 1000)
    estimate = WrongOrder(1).estimate((x[None, :],))[0]
    for margin, reason in ((0.05, Reason.AT_BOUNDARY), (0.001, Reason.UNDERPOWERED)):
        with recording(JudgingTerms(margin=margin)):
            assert (paired(x).wrong_order(1) > float(estimate)).reason is reason


GOOD = [0.5, 1.5, -0.2, 0.9, 1.1, 0.4]


@pytest.mark.parametrize(
    ("differences", "reason"),
    [
        ([2.0] * 6, Reason.ASSUMPTION_FAILED),
        ([0.0] * 6, Reason.ASSUMPTION_FAILED),
        ([*GOOD, math.inf], Reason.ASSUMPTION_FAILED),
        ([*GOOD, math.nan], Reason.RUN_FAILED),
        (GOOD[:4], Reason.BELOW_MIN_N),
    ],
)
def test_claim_on_a_ranking_needs_varying_finite_seeds(differences, reason):
    sample = named_sample("the difference", differences, range(len(differences)))
    evidence = sample.wrong_order() < 0.9
    assert (evidence.verdict, evidence.reason, evidence.interval) == (Verdict.INCONCLUSIVE, reason, None)
    json.dumps(evidence.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("misuse", "sentence"),
    [
        (lambda s, o: s.wrong_order(0), r"^PPO's: a wrong order is by a whole number of seeds from 1 up, not 0\.$"),
        (lambda s, o: s.wrong_order(2.5), "a whole number of seeds from 1 up, not 2.5"),
        (lambda s, o: s.wrong_order(True), "a whole number of seeds from 1 up, not True"),
        (lambda s, o: (s - o).wrong_order(), "is between runs on different seeds, which a wrong order is not for"),
        (lambda s, o: (s / s).wrong_order(), r"is a ratio; a wrong order is of a difference: \(a - b\)"),
        (lambda s, o: s.median.wrong_order(), "already: combine samples first"),
        (lambda s, o: s.wrong_order() - 0.5, "already: combine samples first"),
        (lambda s, o: s.wrong_order().median, "by noncentral t already: combine samples first"),
        (
            lambda s, o: CheckpointSeries(named("PPO's"), ((1.0, 2.0),), (0,), Scope(()), ()).wrong_order(),
            "number per iteration",
        ),
        (lambda s, o: s.wrong_order() < math.nan, "compared with a finite number"),
    ],
)
def test_misuse_of_wrong_order_is_reported(misuse, sentence):
    values = (1.0, 2.0, 4.0, 3.0, 7.0)
    one, other = named_sample("PPO's", values, range(5)), named_sample("TRPO's", values, range(5, 10))
    with pytest.raises(ClaimError, match=sentence):
        misuse(one, other)
