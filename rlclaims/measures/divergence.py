"""How far an update moved the policy: KL(old || new), exact in each state, over the states of a batch."""

import torch
from torch import Tensor

from rlclaims.update import Update


def kl_old_new(update: Update) -> Tensor:
    """KL(old || new) in each state of the batch, (S, B), in nats (float64, from float32 policies).

    Of the parameters alone: both policies see the same normalised observations. The direction is TRPO's constraint's
    (1502.05477 eq. 14) and that of the papers' figures (MadryLab/implementation-matters `logging.py`).
    """
    with torch.no_grad():
        return update.old_actions.kl(update.new_actions).double()


def mean_kl_old_new(update: Update) -> Tensor:
    """Mean over the batch's states of KL(old || new), (S,), in nats."""
    return kl_old_new(update).mean(1)


def max_kl_old_new(update: Update) -> Tensor:
    """Largest KL(old || new) among the batch's states, (S,), in nats; it grows with their number."""
    return kl_old_new(update).amax(1)
