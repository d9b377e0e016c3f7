"""The surrogate of the return, which an update is meant to raise, on the pairs of a batch."""

from torch import Tensor

from rlclaims.measures.measure import Measure
from rlclaims.measures.ratio import ratio
from rlclaims.update import Update


def surrogate_old(update: Update) -> Tensor:
    """Return the mean advantage of the batch's pairs, (S,): the surrogate at the old policy, where every ratio is 1."""
    return update.batch.advantage_SB.double().mean(1)


def surrogate_new(update: Update) -> Tensor:
    """Return the mean of ratio times advantage over the batch's pairs, (S,): the unclipped surrogate at the new policy.

    Advantages are not standardised, so the unit is that of the rewards the algorithm learns from (scaled rewards, if
    it scales them).
    """
    return (ratio(update) * update.batch.advantage_SB.double()).mean(1)


MEASURES = (
    Measure(key="surrogate/old", function=surrogate_old, label="surrogate before the update", unit="reward"),
    Measure(key="surrogate/new", function=surrogate_new, label="surrogate after the update", unit="reward"),
)
