"""Evidence of seeds against a sentence: the side of the bound, and joined sentences."""

import numpy as np
import pytest
from samples import sample as named_sample
from scipy import stats

from rlclaims.claims.combination import all_of, any_of
from rlclaims.claims.e_values import evidence_against
from rlclaims.stats.detector import e_values_from_p, e_values_from_t

X = np.random.default_rng(2).normal(1.0, 0.5, 8)
Y = np.random.default_rng(3).normal(1.4, 0.5, 8)


def sample(values, first_seed=0):
    seeds = tuple(range(first_seed, first_seed + len(values)))
    return named_sample("the quantity", values, seeds)


def e_of(values, null, side):
    """Against a mean on the other side of a number, by scipy's t."""
    return float(e_values_from_t(side * stats.ttest_1samp(values, null).statistic, len(values)))


def test_a_bound_is_spoken_against_by_what_lies_beyond_it():
    assert evidence_against(sample(X) <= 0.7) == pytest.approx(e_of(X, 0.7, 1))
    assert evidence_against(sample(X) >= 0.7) == pytest.approx(e_of(X, 0.7, -1))
    assert evidence_against(sample(X) < sample(Y)) == pytest.approx(e_of(X - Y, 0, 1))
    assert evidence_against(sample(np.exp(X)) / sample(np.exp(Y)) <= 0.5) == pytest.approx(e_of(X - Y, np.log(0.5), 1))


def test_evidence_against_a_refuted_sentence_is_what_supports_it():
    assert evidence_against(sample(X) <= 0.7, true=False) == pytest.approx(e_of(X, 0.7, -1))


def test_a_region_can_be_left_on_either_side():
    beyond, inside = (e_of(X, 0.7, -1), e_of(X, 1.2, 1)), (e_of(X, 0.7, 1), e_of(X, 1.2, -1))
    evidence = sample(X).within(0.7, 1.2)
    assert evidence_against(evidence) == pytest.approx(np.mean(beyond))
    assert evidence_against(evidence, true=False) == pytest.approx(min(inside))


def test_joined_sentences():
    x, y = e_of(X, 0.7, 1), e_of(Y, 1.9, 1)
    every = all_of(sample(X) <= 0.7, sample(Y) <= 1.9)
    one = any_of(sample(X) <= 0.7, sample(Y) <= 1.9)
    assert evidence_against(every) == pytest.approx((x + y) / 2)
    assert evidence_against(one) == pytest.approx(min(x, y))
    x, y = e_of(X, 0.7, -1), e_of(Y, 1.9, -1)
    assert evidence_against(every, true=False) == pytest.approx(min(x, y))
    assert evidence_against(one, true=False) == pytest.approx((x + y) / 2)


def test_other_methods_speak_by_their_p_values():
    p = stats.binomtest(int((X > 0.7).sum()), len(X), 0.5, alternative="greater").pvalue
    assert evidence_against(sample(X).median <= 0.7) == pytest.approx(float(e_values_from_p(p)))
    welch = stats.ttest_ind(X, Y, equal_var=False, alternative="less").pvalue
    assert evidence_against(sample(X) > sample(Y, 100)) == pytest.approx(float(e_values_from_p(welch)))


def test_seeds_without_a_value_give_no_evidence_equal_ones_most():
    assert evidence_against(sample([*X, np.nan]) <= 0.7) is None
    assert evidence_against(all_of(sample([*X, np.nan]) <= 0.7, sample([*X, 1]) <= 2)) is None
    assert evidence_against(sample([2.0] * 8) <= 1) == pytest.approx(float(e_values_from_t(1e12, 8)))
    assert evidence_against(sample([2.0] * 8) <= 3) == pytest.approx(float(e_values_from_t(-1e12, 8)))


def test_sample_compared_with_itself_gives_no_evidence():
    """All differences are 0, so that neither side of the bound is spoken against, also where rounding moved a mean."""
    on_the_bound = pytest.approx(float(e_values_from_t(0.0, 8)))
    assert float(e_values_from_t(0.0, 8)) < 1
    assert evidence_against(sample(X) <= sample(X)) == on_the_bound
    assert evidence_against(sample(X) >= sample(X)) == on_the_bound
    assert evidence_against(sample(X**2) / sample(X**2) <= 1) == on_the_bound
    for third in (0.1 + 0.2, 0.3):
        assert evidence_against(sample([third] * 8) <= 0.3) == on_the_bound
        assert evidence_against(sample([third] * 8) >= 0.3) == on_the_bound


def test_of_equal_seeds_other_methods_say_nothing():
    ones, later = sample([1.0] * 8), sample([1.0] * 8, 100)
    assert evidence_against(ones <= later) is None
    assert evidence_against(ones.by("bootstrap-t") <= 1) is None
    assert evidence_against((sample(X) - sample(X)).wrong_order(seeds=3) > 0.05) is None
    assert evidence_against(ones.median <= 1) is not None
