"""How far an update moved the policy: KL(old || new), exact in each state, over the states of a batch."""

import torch
from torch import Tensor

from rlclaims.update import Update


def kl_old_new(update: Update) -> Tensor:
    """KL(old || new) in each state of the batch, (S, B), in nats (float64, from float32 policies).

    Of the parameters alone where both policies take the same normalised observations; of the policies as deployed where
    they take raw ones, and each normalises them by its own statistics (`rlclaims.training.DeployedPolicy`). The
    direction is that of TRPO's constraint (1502.05477 eq. 14) and of the papers' figures
    (MadryLab/implementation-matters `logging.py`).
    """
    with torch.no_grad():
        return update.old_actions.kl(update.new_actions).double()


def mean_kl_old_new(update: Update) -> Tensor:
    """Mean over the batch's states of KL(old || new), (S,), in nats."""
    return kl_old_new(update).mean(1)


def q99_kl_old_new(update: Update) -> Tensor:
    """KL(old || new) that 99 of 100 of the batch's states stay within, (S,), in nats; it does not grow with them."""
    return kl_old_new(update).quantile(0.99, dim=1)


def max_kl_old_new(update: Update) -> Tensor:
    """Largest KL(old || new) among the batch's states, (S,), in nats; it grows with their number."""
    return kl_old_new(update).amax(1)
