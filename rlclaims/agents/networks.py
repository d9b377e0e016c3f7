"""Multilayer perceptrons of S seeds at once, as functions of a flat parameter tensor theta_SP.

A policy is a point in parameter space, so the parameters of a seed are one row of one tensor: snapshots are
copies, steps are additions, and Fisher-vector products need no reshaping. Seeds are kept apart: what one seed
computes does not depend on how many others it is computed with. Values and first derivatives come from compiled
kernels where the machine has them (`rlclaims.compiled`), else, and where more is asked, from batched matrix products.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import ndtr
from torch import Tensor, nn

from rlclaims import compiled
from rlclaims.update import Categorical, DiagonalGaussian, NetworkActions

Floats = npt.NDArray[np.float32]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "relu": torch.relu}
NUMPY_ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {"tanh": np.tanh, "relu": lambda x: x.clip(min=0)}


@dataclass(frozen=True)
class MLP:
    """The shape of a fully connected network; its parameters are passed in."""

    sizes: tuple[int, ...]
    """Widths from input to output, for example (11, 64, 64, 3)."""
    activation: str = "tanh"
    """Nonlinearity of the hidden layers: tanh or relu."""

    @property
    def n_parameters(self) -> int:
        """Weights and biases of all layers."""
        return sum((i + 1) * o for i, o in pairwise(self.sizes))

    def __call__(self, theta_SP: Tensor, x_SBI: Tensor) -> Tensor:
        """Outputs (S, B, sizes[-1]) for inputs (S, B, sizes[0])."""
        if self.kernels is not None and _plain(theta_SP) and _plain(x_SBI) and not x_SBI.requires_grad:
            theta_SP, x_SBI = compiled.rows_of(theta_SP), compiled.rows_of(x_SBI)
            if torch.is_grad_enabled() and theta_SP.requires_grad:
                out_SBO: Tensor = _Compiled.apply(theta_SP, x_SBI, self)  # type: ignore[no-untyped-call]
                return out_SBO
            return self.kernels.forward(theta_SP, x_SBI, keep=False)[0]
        return self.by_products(theta_SP, x_SBI)

    def by_products(self, theta_SP: Tensor, x_SBI: Tensor) -> Tensor:
        """The same by batched matrix products, which can be differentiated as often as one likes."""
        activation = ACTIVATIONS[self.activation]
        layers = self.layers(theta_SP)
        for weight_SIO, bias_S1O in layers[:-1]:
            x_SBI = activation(_affine(x_SBI, weight_SIO, bias_S1O))
        return _affine(x_SBI, *layers[-1])

    @cached_property
    def kernels(self) -> compiled.Network | None:
        """The same network in compiled code, where there is any."""
        if compiled.library() is None or len(self.sizes) > compiled.MOST_LAYERS:
            return None
        return compiled.Network(self.sizes, self.activation)

    def layers(self, theta_SP: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Weights (S, in, out) and biases (S, 1, out) of each layer, as views of the parameters."""
        shapes = list(pairwise(self.sizes))
        # One split has one concatenation as its gradient; slicing layer by layer would have many.
        parts = theta_SP.split_with_sizes([n for i, o in shapes for n in (i * o, o)], dim=1)
        return [
            (weight.view(-1, i, o), bias.unsqueeze(1))
            for weight, bias, (i, o) in zip(parts[::2], parts[1::2], shapes, strict=True)
        ]

    def initial(self, generators: Sequence[torch.Generator], scheme: str, head_gain: float) -> Tensor:
        """Fresh parameters (S, P), one generator per seed; biases are 0.

        Args:
            generators: one source of randomness per seed.
            scheme: "orthogonal" (gain sqrt 2 in hidden layers, `head_gain` in the last) or "xavier" (uniform
                in every layer, `head_gain` unused), as in MadryLab/implementation-matters `models.py`.
            head_gain: gain of the last layer under "orthogonal".
        """
        return torch.stack([self._initial_one(g, scheme, head_gain) for g in generators])

    def _initial_one(self, generator: torch.Generator, scheme: str, head_gain: float) -> Tensor:
        parts = []
        for layer, (n_in, n_out) in enumerate(pairwise(self.sizes)):
            weight_OI = torch.empty(n_out, n_in)  # the usual orientation, so that gains mean the usual thing
            if scheme == "orthogonal":
                gain = head_gain if layer == len(self.sizes) - 2 else math.sqrt(2)
                nn.init.orthogonal_(weight_OI, gain, generator=generator)
            else:
                nn.init.xavier_uniform_(weight_OI, generator=generator)
            parts += [weight_OI.T.reshape(-1), torch.zeros(n_out)]
        return torch.cat(parts)


def _plain(x: Tensor) -> bool:
    """Whether the kernels can read a tensor; tests of other routes take float64."""
    return x.dtype == torch.float32 and x.device.type == "cpu"


class _Compiled(torch.autograd.Function):
    """A network's outputs by kernels, and the gradient of its parameters."""

    @staticmethod
    def forward(ctx: Any, theta_SP: Tensor, x_SBI: Tensor, mlp: MLP) -> Tensor:
        assert mlp.kernels is not None
        out_SBO, hidden = mlp.kernels.forward(theta_SP, x_SBI, keep=True)
        ctx.save_for_backward(theta_SP, x_SBI, hidden)
        ctx.mlp = mlp
        return out_SBO

    @staticmethod
    def backward(ctx: Any, gradient_SBO: Tensor) -> tuple[Tensor, None, None]:
        theta_SP, x_SBI, hidden = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient is to be differentiated itself, which kernels cannot be
            out_SBO = ctx.mlp.by_products(theta_SP, x_SBI)
            return *torch.autograd.grad(out_SBO, theta_SP, gradient_SBO, create_graph=True), None, None
        return ctx.mlp.kernels.backward(theta_SP, x_SBI, hidden, gradient_SBO), None, None


def _affine(x_SBI: Tensor, weight_SIO: Tensor, bias_S1O: Tensor) -> Tensor:
    """Products x W + b of each seed, with the same bits for a seed in any company.

    A batch of one product takes other ways through the library than a batch of several (other kernels, and threads
    inside the product), which round differently. So a lone seed is multiplied beside a copy of itself, which keeps
    values and first derivatives alike. And a seed's block of numbers that is no multiple of 16 bytes lies otherwise in
    memory from seed to seed, which rounds differently in narrow products: there zeros fill it up.
    """
    n_rows, (n_in, n_out) = x_SBI.shape[1], weight_SIO.shape[1:]
    if n_out > 4 and n_out % 4 and min(n_in, n_out) < 12:  # as found by trying all
        # For the blocks of values and of their inputs' derivatives, and for those of weights' derivatives.
        rows, columns = -n_rows % 4, -n_out % 4 if n_in * n_out % 4 else 0
        if rows or columns:
            pad = nn.functional.pad
            filled = pad(x_SBI, (0, 0, 0, rows)), pad(weight_SIO, (0, columns)), pad(bias_S1O, (0, columns))
            return _affine(*filled)[:, :n_rows, :n_out].contiguous()
    if len(x_SBI) > 1:
        return torch.baddbmm(bias_S1O, x_SBI, weight_SIO)
    twice = (2, -1, -1)
    return torch.baddbmm(bias_S1O.expand(twice), x_SBI.expand(twice), weight_SIO.expand(twice))[:1]


@dataclass(frozen=True)
class GaussianNetwork:
    """A diagonal Gaussian policy: an MLP for the mean, then A log standard deviations free of the state."""

    mlp: MLP

    @property
    def n_parameters(self) -> int:
        """Those of the mean and one log standard deviation per action entry."""
        return self.mlp.n_parameters + self.mlp.sizes[-1]

    def __call__(self, theta_SP: Tensor, observation_SBO: Tensor) -> NetworkActions:
        """Action distributions of S policies in B states each."""
        mean_SP, log_std_SA = theta_SP.split_with_sizes([self.mlp.n_parameters, self.mlp.sizes[-1]], dim=1)
        return DiagonalGaussian(self.mlp(mean_SP, observation_SBO), log_std_SA.unsqueeze(1))

    def actor(self, theta_SP: Tensor) -> "Actor":
        """The same policies, made ready to act one observation at a time."""
        return Actor(self, theta_SP)

    def initial(self, generators: Sequence[torch.Generator], scheme: str) -> Tensor:
        """Fresh parameters (S, P): policy head gain .01 under "orthogonal", log standard deviation 0."""
        mean_SP = self.mlp.initial(generators, scheme, head_gain=0.01)
        return torch.cat([mean_SP, torch.zeros(len(generators), self.mlp.sizes[-1])], dim=1)


@dataclass(frozen=True)
class CategoricalNetwork:
    """A policy that chooses: an MLP for the logits of each entry of an action."""

    mlp: MLP
    choices: tuple[int, ...]
    """Among how many each entry is chosen; the MLP's outputs together."""

    @property
    def n_parameters(self) -> int:
        """Those of the logits."""
        return self.mlp.n_parameters

    def __call__(self, theta_SP: Tensor, observation_SBO: Tensor) -> NetworkActions:
        """Action distributions of S policies in B states each."""
        return Categorical(self.mlp(theta_SP, observation_SBO), self.choices)

    def actor(self, theta_SP: Tensor) -> "Actor":
        """The same policies, made ready to act one observation at a time."""
        return ChoosingActor(self, theta_SP)

    def initial(self, generators: Sequence[torch.Generator], scheme: str) -> Tensor:
        """Fresh parameters (S, P): policy head gain .01 under "orthogonal"."""
        return self.mlp.initial(generators, scheme, head_gain=0.01)


PolicyNetwork = GaussianNetwork | CategoricalNetwork


def policy_network(
    n_observation: int, n_action: int, choices: tuple[int, ...], hidden: Sequence[int], activation: str
) -> PolicyNetwork:
    """The network of a policy for actions of `n_action` numbers, or of `choices` where these are not empty."""
    if choices:
        return CategoricalNetwork(MLP((n_observation, *hidden, sum(choices)), activation), choices)
    return GaussianNetwork(MLP((n_observation, *hidden, n_action), activation))


def kernels_for(
    network: PolicyNetwork, theta_SP: Tensor, observation_SBO: Tensor, action_SBA: Tensor, *of_pairs_SB: Tensor
) -> compiled.Network | None:
    """A Gaussian policy's network in compiled code, if all is such that its gradient there is what autograd would have.

    Somebody's own network, or hooks on gradients, are autograd's; and so is what does not fit.
    """
    if type(network) is not GaussianNetwork or type(network.mlp) is not MLP or not theta_SP.requires_grad:
        return None
    given = observation_SBO, action_SBA, *of_pairs_SB
    if theta_SP._backward_hooks or any(x.requires_grad for x in given):
        return None
    if torch.is_anomaly_enabled() or not torch.is_grad_enabled():  # of which torch tells
        return None
    pairs = len(theta_SP), max(1, observation_SBO.shape[1])
    n_observation, n_action = network.mlp.sizes[0], network.mlp.sizes[-1]
    shapes = (*pairs, n_observation), (*pairs, n_action), *[pairs] * len(of_pairs_SB)
    fits = theta_SP.shape[1:] == (network.n_parameters,) and tuple(x.shape for x in given) == shapes
    return network.mlp.kernels if fits and theta_SP.stride(1) == 1 and all(map(_plain, (theta_SP, *given))) else None


class Actor:
    """S policies at fixed parameters, acting in numpy: one observation a seed, thousands of times.

    Where no kernels are compiled, numpy multiplies the seeds' matrices one after another, so that a seed acts alike in
    any company, at a tenth of what torch takes to launch so small a product. Gradients and measures never pass through
    here.
    """

    def __init__(self, network: PolicyNetwork, theta_SP: Tensor) -> None:
        n_mean = network.mlp.n_parameters
        with torch.no_grad():
            mean_SP, log_std_SA = theta_SP.split_with_sizes([n_mean, network.n_parameters - n_mean], dim=1)
            self.std_SA: Floats = log_std_SA.exp().numpy()
            """Standard deviations, the same in every state; of none where policies choose."""
            self._kernels = network.mlp.kernels
            self._layers = [
                (weight_SIO.contiguous().numpy(), bias_S1O.contiguous().numpy())
                for weight_SIO, bias_S1O in network.mlp.layers(mean_SP)
                if self._kernels is None
            ]
            # As the kernels take them, if they do: in one piece.
            self._mean_SP = mean_SP.numpy().copy() if self._kernels is not None else np.zeros((0, 0), np.float32)
        self._activation = NUMPY_ACTIVATIONS[network.mlp.activation]

    def become(self, which: npt.NDArray[np.int_], other: "Actor", rows: npt.NDArray[np.int_]) -> None:
        """Let some of the policies act as rows of another actor from here on."""
        self.std_SA[which] = other.std_SA[rows]
        if self._kernels is not None:
            self._mean_SP[which] = other._mean_SP[rows]
        for mine, its in zip(self._layers, other._layers, strict=True):
            for array, source in zip(mine, its, strict=True):
                array[which] = source[rows]

    def act(self, observation_SO: Floats, noise_SA: Floats) -> Floats:
        """Actions (S, A), by standard normal noise: the policies' means plus their standard deviations times it."""
        return self.mean(observation_SO) + self.std_SA * noise_SA

    def mean(self, observation_SO: Floats) -> Floats:
        """Mean actions (S, A), or logits (S, L)."""
        if self._kernels is not None:
            return self._kernels.act(self._mean_SP, observation_SO)
        x_S1I = observation_SO[:, None, :]
        for weight_SIO, bias_S1O in self._layers[:-1]:
            x_S1I = self._activation(x_S1I @ weight_SIO + bias_S1O)
        weight_SIO, bias_S1O = self._layers[-1]
        mean_S1A: Floats = x_S1I @ weight_SIO + bias_S1O
        return mean_S1A[:, 0, :]


class ChoosingActor(Actor):
    """The same of policies that choose."""

    def __init__(self, network: CategoricalNetwork, theta_SP: Tensor) -> None:
        super().__init__(network, theta_SP)
        self._ends = np.cumsum(network.choices)[:-1]

    def act(self, observation_SO: Floats, noise_SA: Floats) -> Floats:
        """Choices (S, A): those at which the distribution reaches the level of the noise in its own; NaN if by NaN."""
        action_SA = np.empty_like(noise_SA)
        parts = np.split(self.mean(observation_SO).astype(np.float64), self._ends, axis=1)
        level_SA = ndtr(noise_SA.astype(np.float64))
        for column, logits_SN in enumerate(parts):
            up_to_SN = np.exp(logits_SN - logits_SN.max(1, keepdims=True)).cumsum(1)
            reached_S = (up_to_SN[:, :-1] <= level_SA[:, [column]] * up_to_SN[:, -1:]).sum(1)
            action_SA[:, column] = np.where(np.isfinite(up_to_SN[:, -1]), reached_S, np.nan)
        return action_SA


@dataclass(frozen=True)
class NetworkPolicy:
    """A network at given parameters: what `rlclaims.update.Policy` asks for."""

    network: PolicyNetwork
    theta_SP: Tensor

    def __call__(self, observation_SBO: Tensor) -> NetworkActions:
        """Action distributions in the given normalised observations."""
        return self.network(self.theta_SP, observation_SBO)
