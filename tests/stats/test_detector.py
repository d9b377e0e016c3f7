"""The detector: e-values by scipy's noncentral t, and the frequency and delay of alarms."""

import numpy as np
import pytest
from scipy import integrate, stats

from rlclaims.stats.detector import EFFECTS, e_values_from_p, e_values_from_t, sessions_until_alarm, update_detector


def ratio(t, n):
    """Return the ratio of scipy's noncentral t density, averaged over the effects, to the central one."""
    noncentral = [stats.nct.pdf(t, n - 1, effect * np.sqrt(n)) for effect in EFFECTS]
    return np.mean(noncentral, axis=0) / stats.t.pdf(t, n - 1)


@pytest.mark.parametrize("n", [5, 10, 40])
def test_e_value_of_t_is_the_likelihood_ratio_beyond_the_bound(n):
    t = np.array([-3.0, -0.5, 0.0, 1.0, 2.5, 6.0])
    assert e_values_from_t(t, n) == pytest.approx(ratio(t, n), rel=1e-5)
    assert e_values_from_t(2.5, n) == pytest.approx(ratio(2.5, n), rel=1e-5)


@pytest.mark.parametrize("n", [5, 10])
@pytest.mark.parametrize("effect", [0.0, -0.3, -2.0])
def test_e_value_has_mean_at_most_one_under_the_null(n, effect):
    def weighted(t):
        return float(e_values_from_t(t, n)) * stats.nct.pdf(t, n - 1, effect * np.sqrt(n))

    mean, error = integrate.quad(weighted, -60, 60, points=[-5, 0, 5], limit=200)
    assert error < 1e-4
    assert mean == pytest.approx(1, abs=1e-3) if effect == 0 else mean < 0.95


def test_e_value_of_equal_seeds_is_a_limit():
    for n in (5, 10):
        assert e_values_from_t([-np.inf, np.inf], n) == pytest.approx(e_values_from_t([-1e9, 1e9], n), rel=1e-6)
        assert e_values_from_t(np.inf, n) > e_values_from_t(30.0, n) > 1 > e_values_from_t(-np.inf, n) > 0


def test_e_value_of_p_is_a_mean_over_powers():
    for p in (0.9, 0.3, 0.01, 1e-5):
        mean, _ = integrate.quad(lambda a: a * p ** (a - 1), 0, 1)  # noqa: B023
        assert e_values_from_p(p) == pytest.approx(mean, rel=1e-6)
    assert e_values_from_p(1.0) == pytest.approx(0.5, abs=1e-4)
    assert np.isfinite(e_values_from_p(0.0))
    # The mean under uniform p-values, by antiderivatives: that of a p^(a-1) is p^a.
    below, _ = integrate.quad(lambda p: float(e_values_from_p(p)), 1e-12, 1, limit=500, points=[1e-9, 1e-6, 1e-3])
    exact, _ = integrate.quad(lambda a: 1 - 1e-12**a, 0, 1)
    assert below == pytest.approx(exact, abs=1e-3) and exact < 1


def test_detector_sums_over_the_session_at_which_a_breach_starts():
    e = np.random.default_rng(3).lognormal(0, 1, 12)
    value = 0.0
    for e_value in e:
        value = float(update_detector(value, e_value))
    assert value == pytest.approx(sum(np.prod(e[start:]) for start in range(12)))


@pytest.mark.parametrize("run_length", [10, 25])
def test_detector_keeps_its_promised_run_length(run_length):
    waits = sessions_until_alarm(0.0, 10, run_length, np.random.default_rng(5), 400, most=100 * run_length)
    error = waits.std() / np.sqrt(len(waits))
    assert waits.mean() - 2 * error > run_length  # exactly at the bound, where alarms are most frequent
    inside = sessions_until_alarm(-0.5, 10, run_length, np.random.default_rng(5), 50, most=500)
    assert np.median(inside) > 3 * np.median(waits)


def test_several_sentences_share_the_promise():
    """The first alarm of four true sentences, at four times the run length, comes no earlier than one's."""
    rng, k, run_length, n = np.random.default_rng(7), 4, 15, 200
    value, waits = np.zeros((n, k)), np.full(n, 1500)
    for session in range(1, 1500):
        x = rng.standard_normal((n, k, 6))
        value = update_detector(value, e_values_from_t(x.mean(-1) / stats.sem(x, axis=-1), 6))
        alarm = value.max(-1) >= k * run_length
        waits[alarm & (waits == 1500)] = session
        if (waits < 1500).all():
            break
    assert np.mean(waits) - 2 * np.std(waits) / np.sqrt(n) > run_length


def test_detector_finds_larger_breaches_sooner():
    waits = [np.median(sessions_until_alarm(d, 10, 5000, np.random.default_rng(1), 200)) for d in (0.5, 1.0, 2.0)]
    assert waits[0] > waits[1] > waits[2]
    # Wald: the wait is about the threshold's logarithm over the mean log e-value of a session.
    t = stats.nct.rvs(9, np.sqrt(10), size=4000, random_state=np.random.default_rng(2))
    assert waits[1] == pytest.approx(np.log(5000) / np.log(ratio(t, 10)).mean(), abs=1.5)
