"""All measures of an update that take nothing but its two policies and its pairs, by name."""

import numpy as np
import numpy.typing as npt

from rlclaims.measures.divergence import max_kl_old_new, mean_kl_old_new, q99_kl_old_new
from rlclaims.measures.ratio import exceedance, max_ratio, mean_deviation, min_ratio, q01_ratio, q99_ratio
from rlclaims.measures.surrogate import surrogate_new, surrogate_old
from rlclaims.update import Update

Floats = npt.NDArray[np.float64]


def divergences(update: Update) -> dict[str, Floats]:
    """KL(old || new) over the states, (S,) each."""
    found = {"mean": mean_kl_old_new(update), "q99": q99_kl_old_new(update), "max": max_kl_old_new(update)}
    return {name: value_S.numpy() for name, value_S in found.items()}


def measures(update: Update, epsilon: float) -> dict[str, Floats]:
    """All of them, (S,) each; exceedance is of 1 - epsilon to 1 + epsilon."""
    found = {
        "ratio/max": max_ratio(update),
        "ratio/q99": q99_ratio(update),
        "ratio/q01": q01_ratio(update),
        "ratio/min": min_ratio(update),
        "ratio/deviation": mean_deviation(update),
        "ratio/exceedance": exceedance(update, epsilon),
        "surrogate/old": surrogate_old(update),
        "surrogate/new": surrogate_new(update),
    }
    return {f"kl_old_new/{name}": value_S for name, value_S in divergences(update).items()} | {
        name: value_S.numpy() for name, value_S in found.items()
    }
