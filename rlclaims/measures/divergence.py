"""KL(old || new) of an update, exact in each state, over the states of a batch: how far the policy moved."""

import math

import torch
from torch import Tensor

from rlclaims.measures.measure import Measure, Plot
from rlclaims.update import Update


def kl_old_new(update: Update) -> Tensor:
    """Return KL(old || new) in each state of the batch, (S, B), in nats (float64, from float32 policies).

    It compares the parameters alone if both policies take the same normalised observations, and the policies as
    deployed if they take raw ones that each normalises by its own statistics (`rlclaims.training.DeployedPolicy`). The
    direction is that of TRPO's constraint (1502.05477 eq. 14) and of the papers' figures
    (MadryLab/implementation-matters `logging.py`).
    """
    with torch.no_grad():
        return update.old_actions.kl(update.new_actions).double()


def mean_kl_old_new(update: Update) -> Tensor:
    """Return the mean over the batch's states of KL(old || new), (S,), in nats."""
    return kl_old_new(update).mean(1)


def q99_kl_old_new(update: Update) -> Tensor:
    """Return the 99% quantile over states of KL(old || new), (S,), in nats; it does not grow with their number."""
    return kl_old_new(update).quantile(0.99, dim=1)


def max_kl_old_new(update: Update) -> Tensor:
    """Return the largest KL(old || new) among the batch's states, (S,), in nats; it grows with their number."""
    return kl_old_new(update).amax(1)


def _divergences(group: str, what: str, *, deployed: bool = False, plot: Plot | None = None) -> tuple[Measure, ...]:
    functions = {
        "mean": (mean_kl_old_new, f"mean {what}", plot),
        "q99": (q99_kl_old_new, f"99% quantile of {what}", None),
        "max": (max_kl_old_new, f"max {what}", None),
    }
    return tuple(
        Measure(
            key=f"{group}/{name}",
            function=function,
            label=label,
            unit="nats",
            bounds=(0.0, math.inf),
            plot=drawn,
            scale="log",
            deployed=deployed,
        )
        for name, (function, label, drawn) in functions.items()
    )


MEASURES = (
    *_divergences(
        "kl_old_new",
        "KL(old||new)",
        plot=Plot("kl", "KL over training", "mean KL(old||new) in nats", log=True),
    ),
    *_divergences("kl_deployed", "KL(old||new) as deployed", deployed=True),
)
