import math

import numpy as np
import pytest
from samples import STEPS
from samples import sample as named_sample
from scipy import stats

from rlclaims.agents.ppo import PPO
from rlclaims.claims.combination import all_of, any_of
from rlclaims.claims.evidence import ClaimError, InconclusiveError, recording
from rlclaims.claims.judging_terms import JudgingTerms, Pilot
from rlclaims.results.measured import Measured
from rlclaims.stats.verdict import Reason, Verdict
from rlclaims.studies.runs import Runs

A = np.random.default_rng(2).lognormal(0.0, 0.5, 10)
B = A * np.random.default_rng(3).lognormal(1.0, 0.2, 10)


def sample(values, first_seed=0, **changes):
    seeds = tuple(range(first_seed, first_seed + len(values)))
    return named_sample("the quantity", values, seeds, "the task", **changes)


SETTINGS = (("the task", STEPS),)


def test_a_difference_of_samples_is_a_paired_t_test():
    evidence = sample(A) < sample(B)
    theirs = stats.ttest_rel(A, B).confidence_interval(0.90)
    assert (evidence.interval.lower, evidence.interval.upper) == pytest.approx((theirs.low, theirs.high))
    assert evidence.verdict is Verdict.SUPPORTED


def test_ratio_is_judged_on_the_log_scale_and_reported_as_ratio():
    evidence = sample(B) / sample(A) > 2
    theirs = stats.ttest_1samp(np.log(B / A), 0).confidence_interval(0.90)
    assert evidence.interval.estimate == pytest.approx(stats.gmean(B / A))
    assert (evidence.interval.lower, evidence.interval.upper) == pytest.approx(tuple(np.exp(theirs)))
    assert evidence.values[0] == pytest.approx(tuple(B / A))
    assert evidence.quantity.label.startswith("geometric mean")


def test_the_median_of_a_ratio_is_judged_by_the_sign_test():
    evidence = (sample(B) / sample(A)).median > 1
    assert evidence.method.name == "sign test"
    assert evidence.interval.estimate == pytest.approx(np.exp(np.median(np.log(B / A))))


def test_samples_on_other_seeds_are_two_groups():
    x, y = sample(A), sample(B[:8], first_seed=100)
    evidence = x < y
    theirs = stats.ttest_ind(A, B[:8], equal_var=False).confidence_interval(0.90)
    assert (evidence.interval.lower, evidence.interval.upper) == pytest.approx((theirs.low, theirs.high))
    assert evidence.method.name == "Welch's t"
    assert evidence.seeds == (tuple(range(10)), tuple(range(100, 108)))
    ratio = x / y < 1
    theirs = stats.ttest_ind(np.log(A), np.log(B[:8]), equal_var=False).confidence_interval(0.90)
    assert (ratio.interval.lower, ratio.interval.upper) == pytest.approx(tuple(np.exp(theirs)))


def test_a_mean_can_be_judged_by_the_methods_that_fit_it():
    difference = sample(A) - sample(B)
    assert (difference.by("sign flips") < 0).interval.estimate == pytest.approx(np.mean(A - B))
    assert (difference.by("bootstrap-t") < 0).method.guarantee == "asymptotic"
    share = sample(A / 10, bounds=(0.0, 1.0)).by("betting")
    assert (share < 0.9).method.assumption == "any distribution on [0, 1]"
    between = sample(A / 10, bounds=(0.0, 1.0)) - sample(B / 100, bounds=(0.0, 1.0))
    assert (between.by("betting") < 1).method.assumption == "any distribution on [-1, 1]"
    assert ((sample(A) - sample(B, first_seed=50)).by("permutations") < 0).method.name == "permutations"


def test_probability_of_an_event_counts_the_seeds_with_it():
    above = float(np.sort(A)[2]) + 1e-9  # seven of ten are above
    evidence = sample(A).chance_above(above) > 0.3
    theirs = stats.binomtest(7, 10).proportion_ci(0.90, method="exact")
    assert (evidence.interval.lower, evidence.interval.upper) == pytest.approx((theirs.low, theirs.high))
    assert (sample(A).chance_below(above) > 0.3).interval.estimate == pytest.approx(0.3)


def test_within_is_an_interval_of_numbers_or_of_factors():
    assert (sample(A) - sample(A + 0.01 * np.arange(10))).within(-1, 1).verdict is Verdict.SUPPORTED
    evidence = (sample(A) / sample(B)).within(0.1, 0.9)
    assert str(evidence.shown_region) == "in [0.1, 0.9]"
    assert evidence.verdict is Verdict.SUPPORTED
    assert (sample(A) / sample(B)).within(1.5, 2.5).verdict is Verdict.REFUTED


TRUE, FALSE = (lambda: sample(A) < 1e9), (lambda: sample(A) > 1e9)
OPEN = lambda: sample(A) < float(np.mean(A))  # noqa: E731


@pytest.mark.parametrize(
    ("join", "parts", "verdict"),
    [
        (all_of, (TRUE, TRUE), "supported"),
        (all_of, (TRUE, OPEN), "inconclusive"),
        (all_of, (OPEN, FALSE, TRUE), "refuted"),
        (any_of, (FALSE, FALSE), "refuted"),
        (any_of, (FALSE, OPEN), "inconclusive"),
        (any_of, (OPEN, TRUE, FALSE), "supported"),
    ],
)
def test_several_comparisons_are_one_judgement(join, parts, verdict):
    with recording() as recorder:
        joined = join(*(part() for part in parts))
        assert bool(joined) is (verdict != "refuted")
    assert [id(evidence) for evidence in recorder.evidence] == [id(joined)]
    assert joined.verdict == verdict


def test_joining_splits_only_the_error_rate_that_it_multiplies():
    with recording(JudgingTerms(alpha_support=0.04, alpha_refute=0.02)):
        both = all_of(TRUE(), any_of(TRUE(), FALSE(), OPEN()))
    first, *others = (comparison.design for comparison in both.comparisons)
    assert (first.alpha_support, first.alpha_refute) == (0.04, 0.01)
    for design in others:
        assert (design.alpha_support, design.alpha_refute) == (pytest.approx(0.04 / 3), 0.01)


def test_joined_comparisons_err_at_their_own_rate():
    # The least favourable truths; three standard errors of 20% at 1,500 repetitions are 3.1 points.
    rng = np.random.default_rng(0)
    supported = refuted = 0
    for _ in range(1500):
        x, y, sure = (sample(rng.normal(mean, 1, 6)) for mean in (0, 0, 9))
        with recording(JudgingTerms(alpha_support=0.2, alpha_refute=0.2)):
            supported += any_of(x > 0, y > 0).verdict is Verdict.SUPPORTED
            supported += all_of(x > 0, sure > 0).verdict is Verdict.SUPPORTED
            refuted += all_of(x <= 0, y <= 0).verdict is Verdict.REFUTED
            refuted += any_of(x <= 0, sure <= 0).verdict is Verdict.REFUTED
    # any_of of two errs at 1 - .9^2 = .19, all_of with a sure one at .2; both verdicts alike.
    assert supported / 3000 == pytest.approx(0.195, abs=0.025)
    assert refuted / 3000 == pytest.approx(0.195, abs=0.025)


def test_pilot_gives_the_detectable_effect_in_the_claims_units():
    pilot = Pilot(0.5, tuple(range(10_000, 10_010)), "mean(the quantity)", SETTINGS)
    with recording(JudgingTerms(margin=0.2, pilot=pilot)):
        evidence = sample(A) < 1
    # 80% bound of a standard deviation from ten seeds; one look by t at n = 10.
    deviation = 0.5 * math.sqrt(9 / stats.chi2.ppf(0.2, 9))
    detectable = evidence.to_json()["mde"] / deviation
    assert stats.nct.sf(stats.t.isf(0.05, 9), 9, detectable * math.sqrt(10)) == pytest.approx(0.8, abs=0.02)
    needed = evidence.seeds_needed
    reached = [
        stats.nct.sf(stats.t.isf(0.05, n - 1), n - 1, 0.2 / deviation * math.sqrt(n)) for n in (needed - 1, needed)
    ]
    assert reached[0] < 0.8 <= reached[1]
    assert f"needs n = {needed}" in str(evidence)


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": (3, 10_000)},
        {"key": "mean(another quantity)"},
        {"settings": (("another task", STEPS),)},
        {"settings": (("the task", STEPS + 1),)},
    ],
)
def test_pilot_on_the_judging_seeds_or_other_quantity_is_ignored(changes):
    fitting = {"seeds": (10_000, 10_001), "key": "mean(the quantity)", "settings": SETTINGS}
    with recording(JudgingTerms(margin=0.2, pilot=Pilot(0.5, **{**fitting, **changes}))):
        assert (sample(A) < 1).to_json()["mde"] is None


def test_a_ratios_margin_is_a_factor():
    with recording(JudgingTerms(margin=0.5)), pytest.raises(ClaimError, match="a factor above 1"):
        bool(sample(A) / sample(B) < 1)


@pytest.mark.parametrize("join", [all_of, any_of])
def test_margin_cannot_be_a_factor_and_a_distance_in_one_claim(join):
    with recording(JudgingTerms(margin=1.25)):
        assert join(sample(A) / sample(B) < 1, sample(A) / sample(B) < 2).verdict is Verdict.SUPPORTED
        with pytest.raises(ClaimError, match=f"^The margin 1.25 applies to each part of {join.__name__}, which"):
            join(sample(A) / sample(B) < 1, join(sample(A) - sample(B) < 0))
    assert join(sample(A) / sample(B) < 1, sample(A) - sample(B) < 0).verdict is Verdict.SUPPORTED


def test_evidence_in_a_claim_is_judged_at_the_claims_looks():
    with recording(JudgingTerms(looks=(6, 8, 10), alpha_support=0.05, alpha_refute=0.001)):
        evidence = sample(A) < 1e9
    assert (evidence.n, evidence.look) == (6, 1)
    assert "look 1 of 3" in str(evidence)


def test_combined_sample_refers_to_its_plain_samples():
    of = runs(range(8), range(10, 18))
    kl = of.kl_old_new.mean.training
    late, early, other = kl.last(0.25), kl.first(0.25), sample([1.0, 2.0])
    assert late.runs is of and late.plain == (late,)
    for combined, parts in (
        (late / early, [late, early]),
        (late - other, [late, other]),
        (late - 0.1, [late]),
        (late.chance_above(0.1).sample, [late]),
        ((late - 0.1) - early, [late, early]),
        (late - sample([1.0, 2.0, 3.0], first_seed=50), [late, None]),
    ):
        assert combined.runs is None
        assert [part is None or made is part for made, part in zip(combined.plain, parts, strict=True)] == [True] * len(
            parts
        )
        assert (combined < 9).samples == combined.plain
    assert late.median.sample is late


def kept(values, first_seed=50, **changes):
    return sample(values, first_seed, baseline="v1", **changes)


@pytest.mark.parametrize("kept_first", [False, True])
def test_baseline_is_a_second_group_whose_error_counts(kept_first):
    x, y = sample(A), kept(B[:6])
    judged = (y - x if kept_first else x - y) < 0
    ours, theirs = (B[:6], A) if kept_first else (A, B[:6])
    expected = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.90)
    assert (judged.interval.lower, judged.interval.upper) == pytest.approx((expected.low, expected.high))
    # Of the ten current seeds, and not of the six that both sides have.
    assert (judged.n, judged.saved) == (10, int(not kept_first))
    with recording(JudgingTerms(looks=(8, 10), alpha_support=0.05)):
        first = (x - y).within(-1e-9, 1e-9).judgement.looks[0].interval.estimate
    assert first == pytest.approx(A[:8].mean() - B[:6].mean())


def test_a_ratio_to_a_baseline_is_one_of_geometric_means():
    judged = sample(A) / kept(B[:6]) <= 1.1
    theirs = stats.ttest_ind(np.log(A), np.log(B[:6]), equal_var=False).confidence_interval(0.90)
    assert judged.interval.estimate == pytest.approx(stats.gmean(A) / stats.gmean(B[:6]))
    assert (judged.interval.lower, judged.interval.upper) == pytest.approx(tuple(np.exp(theirs)))


def test_as_bound_of_a_baseline_is_its_mean_or_other_statistic():
    assert kept(A, first_seed=0).as_bound == pytest.approx(np.mean(A))
    assert kept(A).median.as_bound == pytest.approx(np.median(A))
    assert kept(np.log(A), log_scale=True).as_bound == pytest.approx(stats.gmean(A))
    one, other = sample(A) < kept(B, first_seed=0).as_bound, sample(A) < float(np.mean(B))
    assert one.to_json() == other.to_json()


def test_detectable_effect_against_a_baseline_uses_both_groups():
    key = "mean(difference(the quantity, the quantity))"
    pilot = Pilot(0.5, tuple(range(10_000, 10_010)), key, SETTINGS)
    with recording(JudgingTerms(margin=1.0, pilot=pilot)):
        evidence = sample(A) - kept(B[:8]) < 1
        # The judging seeds are no pilot for themselves.
        assert (sample(A, first_seed=10_000) - kept(B[:8]) < 1).to_json()["mde"] is None
    deviation = 0.5 * math.sqrt(9 / stats.chi2.ppf(0.2, 9))
    detectable = evidence.to_json()["mde"] / deviation
    spread = math.sqrt(1 / 10 + 1 / 8)
    df = spread**4 / (1 / (100 * 9) + 1 / (64 * 7))
    assert stats.nct.sf(stats.t.isf(0.05, df), df, detectable / spread) == pytest.approx(0.8, abs=0.02)
    assert evidence.to_json()["saved_group"] == 1


def test_a_shifted_sample_keeps_its_bounds_where_they_are():
    share = sample(A / 10, bounds=(0.0, 1.0))
    shifted = (share - 0.5).by("betting") < 0
    straight = share.by("betting") < 0.5
    assert shifted.interval.lower == pytest.approx(straight.interval.lower - 0.5)


def test_numbers_of_numpys_are_numbers():
    assert sample(A) < np.int64(1000)
    assert sample(A) < np.float32(1000)


def test_detectable_effect_of_a_quantile_depends_on_the_side():
    # Twelve seeds bound the .9-quantile from below, and would need to be 29 to bound it from above.
    above, below = sample(A).quantile(0.9) > 0, sample(A).quantile(0.9) < 100
    assert math.isfinite(above.detectable[0]) and below.detectable[0] == math.inf
    assert above.detectable[1] == math.inf and math.isfinite(below.detectable[1])
    assert "can never support" in str(below) and "can never refute" in str(above)


def test_the_median_of_ratios_with_zeros_is_a_median():
    evidence = (sample([0.0] * 6 + [1.0] * 4) / sample(B[:10] * 0 + 1)).median < 2
    assert (evidence.verdict, evidence.interval.estimate) == (Verdict.SUPPORTED, 0.0)


def test_runs_with_settings_of_their_own_are_named_by_them():
    usual = Runs(PPO(), "Hopper-v5", 8, (), ())
    changed = Runs(PPO(learning_rate=0.01), "Hopper-v5", 8, (), ())
    assert (usual.name, changed.name) == ("PPO", "PPO(learning_rate=0.01)")


def test_a_ratio_with_a_zero_decides_nothing():
    evidence = sample([0.0, *A[1:]]) / sample(B) < 10
    assert (evidence.verdict, evidence.reason) == (Verdict.INCONCLUSIVE, Reason.ASSUMPTION_FAILED)


def test_the_ratio_of_a_failed_seed_is_a_failed_seed():
    evidence = sample([math.nan, *A[1:]]) / sample(B) < 10
    assert (evidence.verdict, evidence.reason) == (Verdict.INCONCLUSIVE, Reason.RUN_FAILED)


@pytest.mark.parametrize(
    ("misuse", "sentence"),
    [
        (lambda: sample(A) == 1.0, "never equal"),
        (lambda: sample(A) != sample(B), "never equal"),
        (lambda: bool(sample(A)), "neither true nor false"),
        (lambda: sample(A) < sample(B, first_seed=1), "share the seed 1 and not all"),
        (lambda: sample(A) / sample(B, first_seed=1), "share the seed 1 and not all"),
        (lambda: sample(A) < kept(B, first_seed=0), "and the baseline 'v1' share the seed 0: take fresh seeds, "),
        (lambda: kept(B, first_seed=9) / sample(A), "and the baseline 'v1' share the seed 9: take fresh seeds, "),
        (lambda: kept(A) < kept(B, first_seed=90), "both of baselines"),
        (lambda: kept(A) < 3, "a baseline's, and current runs are judged"),
        (lambda: kept(A).chance_above(1) < 0.5, "a baseline's, and current runs are judged"),
        (lambda: 1.1 * kept(A), "no other arithmetic"),
        (lambda: sample(A).as_bound, "as_bound needs a baseline's sample"),
        (lambda: (sample(A) - kept(B)).as_bound, "as_bound needs a baseline's sample"),
        (lambda: sample(A).median - sample(B), "combine samples first"),
        (lambda: sample(A).by("bootstrap"), "no method 'bootstrap' for a mean; there are 't', 'bootstrap-t'"),
        (lambda: sample(A).by("permutations"), "permutations is not for one number per seed"),
        (lambda: (sample(A) - sample(B, first_seed=50)).by("sign flips"), "not for runs on different seeds"),
        (lambda: (sample(A) - sample(B, first_seed=50)).median, "which a quantile is not for"),
        (lambda: sample(A).by("betting"), "has no bounds of its own"),
        (lambda: sample(A).quantile(1.0), "lies between 0 and 1"),
        (lambda: sample(A).quantile("a"), "lies between 0 and 1"),
        (lambda: sample(A).by([]), "no method"),
        (lambda: sample(A).median.by("t"), "already: combine samples first"),
        (lambda: sample(A).chance_above(1).median, "already: combine samples first"),
        (lambda: sample(A).chance_above(1) - 0.5, "already: combine samples first"),
        (lambda: sample(A, bounds=(0.0, 99.0)).by("betting") - 0.5, "already: combine samples first"),
        (lambda: sample(A) - math.nan, "compared with a finite number"),
        (lambda: sample(A) < 10**400, "compared with a finite number"),
        (lambda: 1 - sample(A), "no other arithmetic"),
        (lambda: 2 * sample(A), "no other arithmetic"),
        (lambda: -sample(A), "no other arithmetic"),
        (lambda: runs(range(8)).kl_old_new.mean.training < 3, "is a series"),
        (lambda: runs(range(8)).kl_old_new.mean.training.last("a"), "fraction of training"),
        (lambda: sample(A).within(2, 1), "the first end must be below"),
        (lambda: (sample(A) / sample(B)).within(-1, 1), "compared with a positive number"),
        (lambda: all_of(), "at least one"),
        (lambda: any_of(sample(A) < 1, True), "joins comparisons"),
        (lambda: sample(A) / 2.0, "both sides must be samples"),
        (lambda: (sample(A) / sample(B)) / sample(A), "a ratio already"),
        (lambda: sample(A) / sample(B) < 0, "compared with a positive number"),
        (lambda: (sample(A) < 1) == True, "cannot be compared with =="),  # noqa: E712
    ],
)
def test_misuse_is_one_sentence(misuse, sentence):
    with recording(), pytest.raises(ClaimError, match=sentence):
        misuse()


def test_truth_inside_a_claim_records_the_verdict():
    with recording() as recorder:
        assert sample(A) < 1e9
        assert not sample(A) > 1e9
        assert sample(A) < float(np.mean(A))  # inconclusive is true: only the record counts
    assert [str(e.verdict) for e in recorder.evidence] == ["supported", "refuted", "inconclusive"]


def test_outside_a_claim_inconclusive_evidence_has_no_truth():
    assert sample(A) < 1e9
    with pytest.raises(InconclusiveError, match="Outside a claim"):
        bool(sample(A) < float(np.mean(A)))


def runs(*rows, failure=None):
    measured = [Measured(None, {"kl_old_new/mean/training": list(row)}) for row in rows]
    if failure:
        measured.append(Measured(failure, {"kl_old_new/mean/training": [9.0]}))
    return Runs(PPO(), "Hopper-v5", 8, tuple(range(len(measured))), tuple(measured))


def test_parts_of_training_are_means_over_its_iterations():
    series = runs(range(8), range(10, 18)).kl_old_new.mean.training
    assert series.last(0.25).values == (6.5, 16.5)
    assert series.first(0.5).values == (1.5, 11.5)
    assert series.overall().values == (3.5, 13.5)
    assert series.highest().values == (7.0, 17.0)


def test_a_quarter_of_ten_iterations_is_three():
    series = runs(range(10)).kl_old_new.mean.training
    assert (series.first(0.25).values, series.last(0.25).values) == ((1.0,), (8.0,))


def test_what_a_failed_run_measured_before_it_failed_is_not_used():
    last = runs(range(8), failure="it broke").kl_old_new.mean.training.last(0.25)
    assert last.values[0] == 6.5 and math.isnan(last.values[1])
    assert "it broke" in str(last < 100)


@pytest.mark.parametrize("fraction", [0, -1, 1.5])
def test_a_fraction_of_training_lies_between_0_and_1(fraction):
    with pytest.raises(ClaimError, match="fraction"):
        runs(range(8)).kl_old_new.mean.training.last(fraction)
