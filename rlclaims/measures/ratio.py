"""How far an update moved the probabilities of the actions taken: ratios new/old over the pairs of a batch."""

from torch import Tensor

from rlclaims.update import Update


def ratio(update: Update) -> Tensor:
    """pi_new(a|s) / pi_old(a|s) of each pair of the batch, (S, B) (float64, from float32 log densities)."""
    return update.ratio


def max_ratio(update: Update) -> Tensor:
    """Largest ratio among the batch's pairs, (S,); it grows with their number."""
    return ratio(update).amax(1)


def min_ratio(update: Update) -> Tensor:
    """Smallest ratio among the batch's pairs, (S,); it falls with their number."""
    return ratio(update).amin(1)


def q99_ratio(update: Update) -> Tensor:
    """Ratio that 99 of 100 of the batch's pairs stay below, (S,); unlike the largest it does not grow with them."""
    return ratio(update).quantile(0.99, dim=1)


def q01_ratio(update: Update) -> Tensor:
    """Ratio that 99 of 100 of the batch's pairs stay above, (S,)."""
    return ratio(update).quantile(0.01, dim=1)


def mean_deviation(update: Update) -> Tensor:
    """Mean over the batch's pairs of |ratio - 1|, (S,).

    On average over actions it is twice the total variation between the policies. 2401.16025 calls it ratio deviation,
    and 2202.00079 stops its epochs by it.
    """
    return (ratio(update) - 1).abs().mean(1)


def exceedance(update: Update, epsilon: float) -> Tensor:
    """Fraction of the batch's pairs whose ratio lies outside [1 - epsilon, 1 + epsilon], (S,)."""
    return ((ratio(update) - 1).abs() > epsilon).double().mean(1)
