"""Evidence that a sentence is false, gathered over sessions on fresh seeds and looked at after each.

A verdict at 5% a night is wrong on one night in twenty. Here each session yields an e-value instead, a number that is
at most 1 on average while the sentence is true, and the detector of Shiryaev and Roberts adds them up:

    R = (R before + 1) e

While the sentence is true, R less the number of sessions falls or stays on average. So it takes at least A sessions on
average until R reaches A, for any session at which one stops or starts to look (e-detectors: Shin, Ramdas and Rinaldo
2022, 2203.03532). Of k sentences the first alarm at k A comes after at least A sessions too: a mean of detectors is
one.
"""

import numpy as np
import numpy.typing as npt
from scipy import special

from rlclaims.stats.method import Floats

EFFECTS = (0.25, 0.5, 1.0, 2.0)
"""Alternatives that an e-value averages over, with equal weights, in standard deviations between seeds."""
_POINTS = np.linspace(-9, 9, 61)
"""Nodes of the trapezoid rule, as distances from the integrand's mode."""


def e_values_from_t(t: npt.ArrayLike, n: int) -> Floats:
    """Return e-values of t statistics of n normal seeds against "the mean is at most 0".

    An e-value is the likelihood ratio of t under a mean of one of `EFFECTS` to that under 0, averaged over `EFFECTS`.
    The ratio increases in t, so it is at most 1 on average under any mean up to 0, for every standard deviation.

    Args:
        t: statistics of any shape; infinite where all seeds are equal.
        n: number of seeds behind each statistic, at least 5.
    """
    t = np.asarray(t, dtype=float)
    with np.errstate(invalid="ignore"):
        r = np.where(np.isinf(t), np.sign(t), t / np.sqrt(t**2 + n - 1))
    ratios = [np.exp(_log_likelihood_ratio(r, n, effect * np.sqrt(n))) for effect in EFFECTS]
    return np.asarray(np.mean(ratios, axis=0))


def _log_likelihood_ratio(r: Floats, n: int, noncentrality: float) -> Floats:
    """Return the log likelihood ratio of noncentral to central t, as a function of r = t / sqrt(t^2 + n - 1).

    Given t, the root x of the seeds' sum of squares is chi with n degrees of freedom under a mean of 0; under another
    mean, its density is weighted by exp(noncentrality * r * x).
    """
    slope = noncentrality * r
    return np.asarray(_log_integral(slope, n) - _log_integral(np.zeros(()), n) - noncentrality**2 / 2)


def _log_integral(slope: Floats, n: int) -> Floats:
    """Return the log integral of x^(n-1) exp(slope x - x^2 / 2) over x > 0.

    The trapezoid rule is accurate here, as the integrand is smooth and narrower than a normal density.
    """
    mode = (slope + np.sqrt(slope**2 + 4 * (n - 1))) / 2
    x = mode[..., None] + _POINTS
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.where(x > 0, (n - 1) * np.log(x) + slope[..., None] * x - x**2 / 2, -np.inf)
    return np.asarray(special.logsumexp(log, axis=-1))


def e_values_from_p(p: npt.ArrayLike) -> Floats:
    """Return e-values of p-values of any test, which are weaker evidence than likelihood ratios (Vovk and Wang 2021).

    An e-value is the mean over a from 0 to 1 of a p^(a-1), which is at most 1 on average if p is stochastically at
    least uniform.
    """
    p = np.clip(np.asarray(p, dtype=float), 1e-300, 1.0)
    log = np.log(np.minimum(p, 1 - 1e-6))  # at p = 1 the formula is 0/0; its limit is 1/2
    return np.asarray((1 - np.exp(log) + np.exp(log) * log) / (np.exp(log) * log**2))


def update_detector(before: npt.ArrayLike, e_value: npt.ArrayLike) -> Floats:
    """Return the detectors' values after one more session, from those before it and the session's e-values."""
    return np.asarray((np.asarray(before, dtype=float) + 1) * np.asarray(e_value, dtype=float))


def sessions_until_alarm(
    effect: float, n: int, threshold: float, rng: np.random.Generator, repetitions: int = 400, most: int = 2000
) -> Floats:
    """Simulate how many sessions of n normal seeds it takes until the detector reaches a threshold; (repetitions,).

    Args:
        effect: how far the mean is beyond the bound, in standard deviations between seeds; 0 is the bound itself.
        n: number of seeds in a session.
        threshold: value of the detector that raises the alarm.
        rng: generator of the seeds' numbers.
        repetitions: number of simulated detectors.
        most: sessions after which a simulation ends; a detector without an alarm by then counts as `most`.
    """
    sessions = np.full(repetitions, float(most))
    running = np.arange(repetitions)
    value = np.zeros(repetitions)
    for session in range(1, most):
        mean = effect + rng.standard_normal(len(running)) / np.sqrt(n)
        t = mean / np.sqrt(rng.chisquare(n - 1, len(running)) / (n - 1) / n)
        value = update_detector(value, e_values_from_t(t, n))
        alarm = value >= threshold
        sessions[running[alarm]] = session
        running = running[~alarm]
        value = value[~alarm]
        if not len(running):
            break
    return sessions
