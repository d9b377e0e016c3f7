"""Policies that answer with `torch.distributions`: Gaussian of any spread, squashed, categorical, several at once."""

import copy
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, TanhTransform, Transform, kl_divergence

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
        self._parts: list[Any] = [_kept(part) for part in parts]

    def log_prob(self, action_SBA: Tensor) -> Tensor:
        """Log density of the actions, (1, B), in nats.

        Raises:
            ValueError: they are of another shape than the policy speaks of.
        """
        action = action_SBA[0]
        columns = [action] if len(self._parts) == 1 else list(action.unbind(-1))
        if len(columns) != len(self._parts) or (len(columns) > 1 and action.ndim != 2):
            raise ValueError(
                f"The policy speaks of {len(self._parts)} parts of an action, and those taken are of shape "
                f"{tuple(action.shape)}."
            )
        return _total(_log_prob(part, column) for part, column in zip(self._parts, columns, strict=True))

    def kl(self, other: Self) -> Tensor:
        """KL(self || other) in each state, exact, (1, B), in nats.

        Raises:
            NotImplementedError: torch knows none of such distributions.
        """
        return _total(_kl(one, two) for one, two in zip(self._parts, other._parts, strict=True))

    def sample(self) -> Tensor:
        """Actions drawn by torch's global random numbers, (B,) or (B, A)."""
        drawn: list[Tensor] = [part.sample() for part in self._parts]
        return drawn[0] if len(drawn) == 1 else torch.stack(drawn, dim=1)


def _log_prob(part: Any, action: Tensor) -> Any:
    # The one number of an action may be kept in a column or not, by either side; torch would broadcast the two.
    shape = part.batch_shape + part.event_shape
    if shape[:1] != action.shape[:1] or shape.numel() != action.numel():
        raise ValueError(
            f"The policy speaks of actions of shape {tuple(shape)}, and those taken are of shape {tuple(action.shape)}."
        )
    return part.log_prob(action.cpu().double().reshape(shape))


def _kl(one: Any, other: Any) -> Any:
    try:
        return kl_divergence(one, other)
    except NotImplementedError:
        raise NotImplementedError(
            f"torch.distributions knows no KL of one {type(one).__name__} from another; a policy answers with some "
            "whose KL it knows."
        ) from None


def _total(by_part: Any) -> Tensor:
    """Of parts, and of columns that are independent and come one by one, the sum: (1, B)."""
    return torch.stack([x.reshape(len(x), -1).sum(1).double() for x in by_part]).sum(0, keepdim=True)


class _Tanh(TanhTransform):
    """Whose inverse takes 1 for what single precision rounds to 1, around 9.

    Of double precision it would be 18, and the logarithm of a ratio twice what it is.
    """

    def _inverse(self, y: Tensor) -> Tensor:
        return torch.where(y.abs() < 1, y, y.sign() * (1 - 2**-25)).atanh()


def _kept(x: Any) -> Any:
    """A copy of a distribution or of what it is made of: in memory of its own, and in double precision.

    A standard deviation may be the parameter itself, which the optimiser moves in place; and between close policies,
    KL in single precision cancels to noise.
    """
    if isinstance(x, Tensor):
        copied = x.detach().cpu().clone()
        return copied.double() if copied.is_floating_point() else copied
    if isinstance(x, Categorical):  # whose logits are normalised, which holds in single precision only
        return Categorical(logits=_kept(x.logits), validate_args=False)
    if isinstance(x, Bernoulli):  # as a choice of two: torch's KL is infinite where a choice is all but sure
        logits = _kept(x.logits)
        return Categorical(logits=torch.stack([torch.zeros_like(logits), logits], -1), validate_args=False)
    if type(x) is TanhTransform:
        return _Tanh()
    if isinstance(x, list):
        return [_kept(entry) for entry in x]
    if isinstance(x, Distribution | Transform):
        whole = copy.copy(x)
        vars(whole).update({name: _kept(part) for name, part in vars(x).items()})
        if isinstance(whole, Distribution):
            whole._validate_args = False
        return whole
    return x
