"""Policies that answer with `torch.distributions`: Gaussian of any spread, squashed, categorical, several at once."""

import copy
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Independent,
    Normal,
    TransformedDistribution,
    kl_divergence,
)

Said = Distribution | Sequence[Distribution]
"""Over actions in each of B states; several are over parts of an action, independent of each other."""


class TorchActions:
    """What a policy of one seed says in B states (`rlclaims.update.ActionDistribution`), kept as it was when asked.

    Args:
        said: a distribution over the B states, or one for each column of the actions.

    Raises:
        TypeError: it is neither.
    """

    def __init__(self, said: Said) -> None:
        parts = [said] if isinstance(said, Distribution) else list(said) if isinstance(said, Sequence) else []
        if not parts or not all(isinstance(part, Distribution) for part in parts):
            raise TypeError(f"A policy answers with a torch.distributions.Distribution, or several, not {said!r}.")
        # A standard deviation may be the parameter itself, which the optimiser moves in place.
        self._parts = [_in_double_precision(copy.deepcopy(part)) for part in parts]

    def log_prob(self, action_SBA: Tensor) -> Tensor:
        """Log density of the actions, (1, B), in nats."""
        if len(self._parts) == 1:
            return _summed(_log_prob(self._parts[0], action_SBA[0]))[None]
        columns = action_SBA[0].unbind(-1)
        return sum(
            (_summed(_log_prob(part, column_B)) for part, column_B in zip(self._parts, columns, strict=True)),
            start=torch.zeros(()),
        )[None]

    def kl(self, other: Self) -> Tensor:
        """KL(self || other) in each state, exact, (1, B), in nats.

        Raises:
            NotImplementedError: torch knows none of such distributions.
        """
        both = zip(self._parts, other._parts, strict=True)
        return sum((_summed(kl_divergence(one, two)) for one, two in both), start=torch.zeros(()))[None]


def _log_prob(distribution: Any, action: Tensor) -> Any:
    # Some keep the one number of a choice in a column.
    chosen = isinstance(distribution, Categorical)
    return distribution.log_prob(action.reshape(distribution.batch_shape) if chosen else action.double())


def _summed(by_state: Tensor) -> Tensor:
    """Of columns that are independent and come one by one, the sum: (B,)."""
    return by_state.reshape(by_state.shape[0], -1).sum(1).double()


def _in_double_precision(distribution: Any) -> Any:
    """The same with parameters as float64: between close policies, KL in single precision cancels to noise."""
    if isinstance(distribution, Independent):
        inner = _in_double_precision(distribution.base_dist)
        return Independent(inner, distribution.reinterpreted_batch_ndims, validate_args=False)
    if isinstance(distribution, TransformedDistribution):
        inner = _in_double_precision(distribution.base_dist)
        return TransformedDistribution(inner, distribution.transforms, validate_args=False)
    if isinstance(distribution, Normal):
        return Normal(distribution.loc.detach().double(), distribution.scale.detach().double(), validate_args=False)
    if isinstance(distribution, Categorical):
        return Categorical(logits=distribution.logits.detach().double(), validate_args=False)
    if isinstance(distribution, Bernoulli):
        return Bernoulli(logits=distribution.logits.detach().double(), validate_args=False)
    return distribution
