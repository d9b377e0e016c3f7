"""Log densities and KL of `torch.distributions`: Gaussian, squashed, categorical, or several for parts of an action."""

import copy
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, TanhTransform, Transform, kl_divergence

PolicyOutput = Distribution | Sequence[Distribution]
"""Distribution over actions in each of B states; a sequence is over parts of an action, independent of each other."""


class TorchActions:
    """A copy of a single seed's policy output in B states (`rlclaims.update.ActionDistribution`).

    Args:
        output: A distribution over the B states, or one for each column of the actions.

    Raises:
        TypeError: The output is neither.
    """

    def __init__(self, output: PolicyOutput) -> None:
        parts = [output] if isinstance(output, Distribution) else list(output) if isinstance(output, Sequence) else []
        if not parts or not all(isinstance(part, Distribution) for part in parts):
            raise TypeError(
                f"A policy must return a torch.distributions.Distribution, or a sequence of them, not {output!r}."
            )
        self._parts: list[Any] = [_copy(part) for part in parts]

    def log_prob(self, action_SBA: Tensor) -> Tensor:
        """Return the log density (1, B) of the actions, in nats.

        Raises:
            ValueError: The actions' shape does not match the policy's output.
        """
        action = action_SBA[0]
        columns = [action] if len(self._parts) == 1 else list(action.unbind(-1))
        if len(columns) != len(self._parts) or (len(columns) > 1 and action.ndim != 2):
            raise ValueError(
                f"The policy's output is for {len(self._parts)} parts of an action, and the actions have shape "
                f"{tuple(action.shape)}."
            )
        return _total(_log_prob(part, column) for part, column in zip(self._parts, columns, strict=True))

    def kl(self, other: Self) -> Tensor:
        """Return the exact KL(self || other) in each state, (1, B), in nats.

        Raises:
            NotImplementedError: torch has no KL divergence of these distributions.
        """
        return _total(_kl(one, two) for one, two in zip(self._parts, other._parts, strict=True))

    def sample(self) -> Tensor:
        """Draw actions, (B,) or (B, A), by torch's global random numbers."""
        samples: list[Tensor] = [part.sample() for part in self._parts]
        return samples[0] if len(samples) == 1 else torch.stack(samples, dim=1)


def _log_prob(part: Any, action: Tensor) -> Any:
    # For one-dimensional actions, either shape may be (B,) or (B, 1); torch would broadcast one against the other.
    shape = part.batch_shape + part.event_shape
    if shape[:1] != action.shape[:1] or shape.numel() != action.numel():
        raise ValueError(
            f"The policy's output is for actions of shape {tuple(shape)}, and the actions have shape "
            f"{tuple(action.shape)}."
        )
    return part.log_prob(action.cpu().double().reshape(shape))


def _kl(one: Any, other: Any) -> Any:
    try:
        return kl_divergence(one, other)
    except NotImplementedError:
        raise NotImplementedError(
            f"torch.distributions has no KL divergence from {type(one).__name__} to {type(other).__name__}; the policy "
            "must return distributions that have one."
        ) from None


def _total(by_part: Any) -> Tensor:
    """Return the sum (1, B) over all parts, and over the columns of a part that has several."""
    return torch.stack([x.reshape(len(x), -1).sum(1).double() for x in by_part]).sum(0, keepdim=True)


class _Tanh(TanhTransform):
    """Tanh with an inverse of 1 that suits actions in single precision, where arguments of about 9 round to 1.

    The inverse in double precision is about 18, which would double the logarithm of a ratio.
    """

    def _inverse(self, y: Tensor) -> Tensor:
        return torch.where(y.abs() < 1, y, y.sign() * (1 - 2**-25)).atanh()


def _copy(x: Any) -> Any:
    """Return a deep copy of a distribution, or of a component of one, in double precision.

    A standard deviation may be the parameter itself, which the optimiser changes in place; and between close policies,
    KL in single precision cancels to noise.
    """
    if isinstance(x, Tensor):
        tensor = x.detach().cpu().clone()
        return tensor.double() if tensor.is_floating_point() else tensor
    if isinstance(x, Categorical):  # normalises the logits again: they are normalised to single precision only
        return Categorical(logits=_copy(x.logits), validate_args=False)
    if isinstance(x, Bernoulli):  # as two categories: torch's KL of Bernoullis is infinite near certainty
        logits = _copy(x.logits)
        return Categorical(logits=torch.stack([torch.zeros_like(logits), logits], -1), validate_args=False)
    if type(x) is TanhTransform:
        return _Tanh()
    if isinstance(x, list):
        return [_copy(entry) for entry in x]
    if isinstance(x, Distribution | Transform):
        duplicate = copy.copy(x)
        vars(duplicate).update({name: _copy(part) for name, part in vars(x).items()})
        if isinstance(duplicate, Distribution):
            duplicate._validate_args = False
        return duplicate
    return x
