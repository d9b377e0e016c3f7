"""Levels over several looks, against simulation, enumeration and multivariate normal theory."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from rlclaims.stats.sequential import binomial_levels, early_spending, late_spending, t_levels

LOOKS = [(6, 8, 10, 12), (6, 10, 14, 20), (5, 6, 7), (5, 40)]


def crossings(looks, levels, repetitions, rng):
    """Return the share of samples of normal seeds whose t statistic first passes its level at each look."""
    first = np.zeros(len(looks))
    for _ in range(repetitions // 100_000):
        x = rng.standard_normal((100_000, looks[-1]))
        crossed = np.zeros(100_000, bool)
        for k, n in enumerate(looks):
            t = stats.ttest_1samp(x[:, :n], 0.0, axis=1).statistic
            now = t > stats.t.isf(levels[k], n - 1)
            first[k] += np.sum(now & ~crossed)
            crossed |= now
    return first / repetitions


@pytest.mark.parametrize("spending", [early_spending, late_spending])
@pytest.mark.parametrize("looks", LOOKS)
def test_t_levels_spend_the_planned_rate_at_each_look(looks, spending):
    spent = spending(looks, 0.05)
    repetitions = 400_000
    rates = crossings(looks, t_levels(looks, spent), repetitions, np.random.default_rng(list(looks)))
    planned = np.diff([0.0, *spent])
    # Four standard errors of each rate, and half a percent of the rate for the levels' own quadrature.
    assert np.all(np.abs(rates - planned) < 4 * np.sqrt(planned / repetitions) + 0.005 * planned)


def test_t_levels_at_the_error_rates_of_a_large_family():
    spent = early_spending((6, 8, 10, 12), 0.001)
    repetitions = 1_000_000
    rates = crossings((6, 8, 10, 12), t_levels((6, 8, 10, 12), spent), repetitions, np.random.default_rng(0))
    assert rates.sum() == pytest.approx(0.001, abs=4 * math.sqrt(0.001 / repetitions))


def test_t_levels_of_many_seeds_are_brownian():
    # With thousands of seeds t is normal, and two looks have correlation sqrt(n1 / n2).
    looks, alpha = (2000, 4000), 0.05
    spent = early_spending(looks, alpha)
    first, second = (stats.norm.isf(level) for level in t_levels(looks, spent))
    joint = stats.multivariate_normal([0, 0], [[1, math.sqrt(0.5)], [math.sqrt(0.5), 1]])
    assert 1 - joint.cdf([first, second]) == pytest.approx(alpha, rel=2e-3)


def test_t_levels_of_six_seeds_are_not_brownian():
    looks = (6, 8, 10, 12)
    spent = early_spending(looks, 0.001)
    ours, brownian = t_levels(looks, spent), t_levels(tuple(500 * n for n in looks), spent)
    assert ours[0] == pytest.approx(brownian[0])
    assert max(b / a for a, b in zip(ours, brownian, strict=True)) > 1.2


def test_one_look_spends_the_whole_error_rate():
    assert t_levels((10,), early_spending((10,), 0.05)) == (pytest.approx(0.05),)
    assert late_spending((10,), 0.05) == (0.05,)


@pytest.mark.parametrize("spending", [early_spending, late_spending])
def test_spending_rises_to_alpha(spending):
    spent = spending((6, 10, 14, 20), 0.03)
    assert list(spent) == sorted(spent) and spent[0] > 0 and spent[-1] == pytest.approx(0.03)


@pytest.mark.parametrize("p", [0.5, 0.2])
@pytest.mark.parametrize("looks", [(5,), (6, 8, 10), (5, 7, 9, 11)])
def test_binomial_levels_keep_the_error_rate(looks, p):
    spent = early_spending(looks, 0.05)
    levels = binomial_levels(looks, spent, p)
    total = np.zeros(len(looks))
    for sequence in itertools.product((0, 1), repeat=looks[-1]):  # for each seed, whether the event happened
        chance = p ** sum(sequence) * (1 - p) ** (looks[-1] - sum(sequence))
        for k, n in enumerate(looks):
            if stats.binom.cdf(sum(sequence[:n]), n, p) <= levels[k] * (1 + 1e-9):
                total[k:] += chance
                break
    assert np.all(total <= np.array(spent) * (1 + 1e-9))


def test_binomial_levels_pass_unused_error_to_the_next_look():
    # Of 5 seeds, 1/32 is the least that can be spent; so little of it is allowed that the first look spends nothing.
    levels = binomial_levels((5, 20), (0.01, 0.05), 0.5)
    assert levels == (0.0, pytest.approx(stats.binom.cdf(5, 20, 0.5)))
