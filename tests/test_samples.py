import math

import numpy as np
import pytest
from scipy import stats

from rlclaims.agents.ppo import PPO
from rlclaims.judging.evidence import ClaimError, InconclusiveError, recording
from rlclaims.judging.runs import Runs
from rlclaims.judging.samples import Sample
from rlclaims.stats.verdict import Reason, Verdict
from rlclaims.study.store import Measured

A = np.random.default_rng(2).lognormal(0.0, 0.5, 10)
B = A * np.random.default_rng(3).lognormal(1.0, 0.2, 10)


def sample(values, first_seed=0, **changes):
    seeds = tuple(range(first_seed, first_seed + len(values)))
    return Sample("the quantity", tuple(map(float, values)), seeds, "the scope", **changes)


def test_a_difference_of_samples_is_a_paired_t_test():
    evidence = sample(A) < sample(B)
    theirs = stats.ttest_rel(A, B).confidence_interval(0.90)
    assert (evidence.interval.lower, evidence.interval.upper) == pytest.approx((theirs.low, theirs.high))
    assert evidence.verdict is Verdict.SUPPORTED


def test_a_ratio_is_judged_on_the_log_scale_and_reported_on_its_own():
    evidence = sample(B) / sample(A) > 2
    theirs = stats.ttest_1samp(np.log(B / A), 0).confidence_interval(0.90)
    assert evidence.interval.estimate == pytest.approx(stats.gmean(B / A))
    assert (evidence.interval.lower, evidence.interval.upper) == pytest.approx(tuple(np.exp(theirs)))
    assert evidence.values == pytest.approx(tuple(B / A))
    assert evidence.quantity.startswith("geometric mean")


def test_the_median_of_a_ratio_is_judged_by_the_sign_test():
    evidence = (sample(B) / sample(A)).median > 1
    assert "sign test" in evidence.interval.method
    assert evidence.interval.estimate == pytest.approx(np.exp(np.median(np.log(B / A))))


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
        (lambda: sample(A) < sample(B, first_seed=1), "different seeds"),
        (lambda: sample(A) / sample(B, first_seed=1), "different seeds"),
        (lambda: sample(A) / 2.0, "both sides must be samples"),
        (lambda: (sample(A) / sample(B)) / sample(A), "a ratio already"),
        (lambda: sample(A) / sample(B) < 0, "compared with a positive number"),
        (lambda: (sample(A) < 1) == True, "cannot be compared with =="),  # noqa: E712
    ],
)
def test_misuse_is_one_sentence(misuse, sentence):
    with recording(), pytest.raises(ClaimError, match=sentence):
        misuse()


def test_inside_a_claim_truth_passes_the_verdict_on_and_the_record_keeps_it():
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
