"""What the update was meant to raise: the surrogate of the return, on the pairs of a batch."""

from torch import Tensor

from rlclaims.measures.ratio import ratio
from rlclaims.update import Update


def surrogate_old(update: Update) -> Tensor:
    """Mean advantage of the batch's pairs, (S,): the surrogate at the old policy, where every ratio is 1."""
    return update.batch.advantage_SB.double().mean(1)


def surrogate_new(update: Update) -> Tensor:
    """Mean of ratio times advantage over the batch's pairs, (S,): the unclipped surrogate at the new policy.

    Advantages are not standardised, so it is in the units of the rewards the algorithm learns from (scaled ones
    where it scales them).
    """
    return (ratio(update) * update.batch.advantage_SB.double()).mean(1)
