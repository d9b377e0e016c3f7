"""Sequential designs: spending functions, and levels for which the error rate over all looks is as stated.

At each look, a bound is computed again from all seeds so far, at that look's level. The levels of a bound take no
account of the other bound, so each keeps its own error rate whether or not one stops at the other.
"""

import itertools
import math
from functools import lru_cache

import numpy as np
from scipy import special, stats

POINTS = 4181
"""Points of the two-dimensional lattice over which a transition is integrated (a Fibonacci number)."""


def early_spending(looks: tuple[int, ...], alpha: float) -> tuple[float, ...]:
    """Return the error rate that may be spent by each look: alpha log(1 + (e - 1) n / n_last).

    This spending function of Lan and DeMets (1983) resembles Pocock's boundary: it decides large effects early.
    """
    return tuple(alpha * math.log1p((math.e - 1) * n / looks[-1]) for n in looks)


def late_spending(looks: tuple[int, ...], alpha: float) -> tuple[float, ...]:
    """Return the error rate that may be spent by each look: alpha (n / n_last)^3 (Kim and DeMets 1987).

    It leaves most to the last look, for error rates so small that few seeds cannot meet them anyway.
    """
    return tuple(alpha * (n / looks[-1]) ** 3 for n in looks)


@lru_cache(maxsize=256)
def t_levels(looks: tuple[int, ...], spent: tuple[float, ...]) -> tuple[float, ...]:
    """Return nominal levels for one-sided t bounds at several looks, by the joint distribution of the t statistics.

    The direction of a vector of n normal seeds is independent of its length, and the t statistic is a function of the
    direction. So under the null hypothesis the t statistics of growing samples are a Markov chain, which can be
    followed backwards: given tau = t / sqrt(N - 1) of all N seeds, that of the first n is

        (tau sqrt(n / N) sqrt(1 + z^2) + z sqrt((N - n) / N)) / sqrt(W)

    with z sqrt(N - 2) Student's t with N - 2 degrees of freedom, W Beta((n - 1) / 2, (N - n - 1) / 2), all independent.
    `uncrossed` is the probability, given tau, that no earlier look crossed its boundary. A look's level is the tail
    probability up to which its integral is what may be spent. Levels of a Brownian motion would be wrong for six
    seeds. The test is a Monte Carlo simulation of the statistics.

    Args:
        looks: numbers of seeds, ascending, from 2.
        spent: error rate over all looks so far, at each.
    """
    levels = [spent[0]]
    tail = special.expit(np.linspace(-40, 22, 900))  # upper tail probabilities, dense at both ends
    first = (np.arange(POINTS) + 0.5) / POINTS
    second = (np.arange(POINTS) * (math.sqrt(5) - 1) / 2 + 0.5 / POINTS) % 1
    uncrossed, tau_before = np.ones_like(tail), np.zeros_like(tail)
    for k, (n, total) in enumerate(itertools.pairwise(looks), start=1):
        boundary = stats.t.isf(levels[-1], n - 1) / math.sqrt(n - 1)
        z = stats.t.ppf(first, total - 2) / math.sqrt(total - 2)
        w = stats.beta.ppf(second, (n - 1) / 2, (total - n - 1) / 2) if total - n > 1 else 1.0
        tau = stats.t.isf(tail, total - 1) / math.sqrt(total - 1)
        slope, offset = np.sqrt(n / total * (1 + z**2) / w), z * np.sqrt((total - n) / total / w)
        earlier = tau[:, None] * slope + offset
        # tail rises, so tau falls; np.interp wants it rising.
        before = 1.0 if k == 1 else np.interp(earlier, tau_before[::-1], uncrossed[::-1])
        uncrossed, tau_before = np.where(earlier < boundary, before, 0.0).mean(1), tau
        steps = np.diff(tail) * (uncrossed[1:] + uncrossed[:-1]) / 2
        crossing = np.concatenate([[0.0], np.cumsum(steps)]) + tail[0] * uncrossed[0]
        levels.append(float(np.interp(spent[k] - spent[k - 1], crossing, tail)))
    return tuple(levels)


@lru_cache(maxsize=256)
def binomial_levels(looks: tuple[int, ...], spent: tuple[float, ...], p: float) -> tuple[float, ...]:
    """Return nominal levels for exact tests that reject when few of n independent events of probability p happened.

    The number of events is a random walk, whose probability of having crossed is computed exactly. A level is the
    attained one, P(Binomial(n, p) <= r), or 0 if even r = 0 exceeds what may be spent. What a look cannot spend is
    left to later looks.

    Args:
        looks: numbers of seeds, ascending.
        spent: error rate over all looks so far, at each.
        p: probability of the event.
    """
    alive = np.ones(1)  # by number of events: the probability of it and of no crossing so far
    used = 0.0
    before = 0
    levels = []
    for n, allowed in zip(looks, spent, strict=True):
        alive = np.convolve(alive, stats.binom.pmf(np.arange(n - before + 1), n - before, p))
        crossing = np.cumsum(alive)
        r = int(np.sum(used + crossing <= allowed * (1 + 1e-12)))  # counts 0 to r - 1 cross
        used += float(crossing[r - 1]) if r else 0.0
        alive[:r] = 0.0
        levels.append(float(stats.binom.cdf(r - 1, n, p)) if r else 0.0)
        before = n
    return tuple(levels)
