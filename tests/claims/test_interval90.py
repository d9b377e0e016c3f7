"""The 90% interval of a comparison, by scipy, and its natural bounds."""

import math

import numpy as np
import pytest
from samples import sample as named_sample
from scipy import stats

from rlclaims.claims.evidence import recording
from rlclaims.claims.judging_terms import JudgingTerms

SEEDS = np.random.default_rng(0).normal(0.3, 1.0, 12)
"""Numbers of twelve seeds, of which looks take six or more."""


def sample(values, **changes):
    return named_sample("something", values, range(len(values)), **changes)


def by_scipy(values):
    interval = stats.ttest_1samp(values, 0).confidence_interval(0.90)
    return pytest.approx((interval.low, interval.high))


@pytest.mark.parametrize("region", [lambda s: s < 99, lambda s: s > 99, lambda s: s < 0.3, lambda s: s.within(-9, 9)])
def test_interval90_is_one_look_at_five_percent_a_side(region):
    with recording(JudgingTerms(looks=(6, 8, 10, 12), alpha_refute=0.05 / 200)):
        comparison = region(sample(SEEDS))
    assert comparison.interval90 == by_scipy(SEEDS[: comparison.n])
    wide = comparison.interval
    assert wide.lower < comparison.interval90[0] < wide.estimate < comparison.interval90[1] < wide.upper


def test_interval90_of_a_ratio_is_a_factor():
    one, other = sample(np.exp(SEEDS)), sample(np.exp(SEEDS[::-1]))
    lower, upper = (one / other < 9).interval90
    assert (math.log(lower), math.log(upper)) == by_scipy(SEEDS - SEEDS[::-1])


def test_interval90_stays_within_natural_bounds():
    values = [0.0, 0.0, 0.0, 0.0, 0.0, 0.1]
    free, bounded = sample(values) < 9, sample(values, bounds=(0.0, math.inf)) < 9
    assert free.interval90[0] < 0 and bounded.interval90 == (0.0, free.interval90[1])
    assert bounded.interval.lower < 0  # the verdict's own bound is left as it was
    assert (sample(values, bounds=(0.0, 0.02)) < 9).interval90 == (0.0, 0.02)


def test_interval90_without_a_bound_has_the_natural_one():
    # Six seeds bound a 90% quantile from below alone.
    assert (sample(SEEDS[:6]).quantile(0.9) < 9).to_json()["interval90"]["upper"] is None
    assert (sample(SEEDS[:6], bounds=(-9.0, 9.0)).quantile(0.9) < 9).interval90[1] == 9.0


def test_interval90_is_missing_without_a_look():
    assert (sample(SEEDS[:3]) < 9).to_json()["interval90"] == {"lower": None, "upper": None}
    assert (sample([1.0] * 6) < 9).to_json()["interval90"] == {"lower": None, "upper": None}


def test_interval90_of_a_wrong_order_is_a_probability():
    lower, upper = (sample(SEEDS, bounds=(-9.0, 9.0)).wrong_order(3) < 0.5).interval90
    assert 0 <= lower < upper <= 1
