"""Ratios new/old of the probabilities of the actions taken, over the pairs of a batch."""

import math

from torch import Tensor

from rlclaims.measures.measure import Measure, Plot
from rlclaims.update import Update


def ratio(update: Update) -> Tensor:
    """Return pi_new(a|s) / pi_old(a|s) for each pair of the batch, (S, B) (float64, from float32 log densities)."""
    return update.ratio


def max_ratio(update: Update) -> Tensor:
    """Return the largest ratio among the batch's pairs, (S,); it grows with their number."""
    return ratio(update).amax(1)


def min_ratio(update: Update) -> Tensor:
    """Return the smallest ratio among the batch's pairs, (S,); it falls with their number."""
    return ratio(update).amin(1)


def q99_ratio(update: Update) -> Tensor:
    """Return the 99% quantile of the ratio over the batch's pairs, (S,); it does not grow with their number."""
    return ratio(update).quantile(0.99, dim=1)


def q01_ratio(update: Update) -> Tensor:
    """Return the 1% quantile of the ratio over the batch's pairs, (S,)."""
    return ratio(update).quantile(0.01, dim=1)


def mean_deviation(update: Update) -> Tensor:
    """Return the mean over the batch's pairs of |ratio - 1|, (S,).

    Its expectation over actions is twice the total variation between the policies. 2401.16025 calls it ratio deviation,
    and 2202.00079 stops its epochs by it.
    """
    return (ratio(update) - 1).abs().mean(1)


def exceedance(update: Update, epsilon: float) -> Tensor:
    """Return the fraction of the batch's pairs whose ratio lies outside [1 - epsilon, 1 + epsilon], (S,)."""
    return ((ratio(update) - 1).abs() > epsilon).double().mean(1)


NEAR_ONE = 1.1, 1.9
"""Imagined values of a largest ratio, which is above 1."""

MEASURES = (
    Measure(
        key="ratio/max",
        function=max_ratio,
        label="max ratio",
        bounds=(0.0, math.inf),
        imagined_range=NEAR_ONE,
        plot=Plot("largest-ratio", "Largest ratio over training", "largest ratio new/old", log=True),
        scale="log",
    ),
    Measure(
        key="ratio/q99",
        function=q99_ratio,
        label="99% quantile of the ratio",
        bounds=(0.0, math.inf),
        imagined_range=NEAR_ONE,
        scale="log",
    ),
    Measure(key="ratio/q01", function=q01_ratio, label="1% quantile of the ratio", bounds=(0.0, math.inf), scale="log"),
    Measure(key="ratio/min", function=min_ratio, label="min ratio", bounds=(0.0, math.inf), scale="log"),
    Measure(
        key="ratio/deviation",
        function=mean_deviation,
        label="mean deviation of ratios from 1",
        bounds=(0.0, math.inf),
        scale="log",
    ),
    Measure(
        key="ratio/exceedance",
        function=exceedance,
        label="share of ratios outside 1±{epsilon}",
        bounds=(0.0, 1.0),
        plot=Plot(
            "exceedance", "Ratios outside of the clipping range over training", "share of ratios outside 1±{epsilon}"
        ),
        takes_epsilon=True,
    ),
)
