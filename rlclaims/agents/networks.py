"""Multilayer perceptrons of S seeds at once, as functions of a flat parameter tensor theta_SP.

A policy is a point in parameter space, so the parameters of a seed are one row of one tensor: snapshots are
copies, steps are additions, and Fisher-vector products need no reshaping. A seed's results do not
depend on the seeds it is computed with, bit for bit. Values and first derivatives come from compiled kernels where
they are available (`rlclaims.compiled`); otherwise, and for higher derivatives, from batched matrix products.
"""

import itertools
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
        """Number of weights and biases of all layers."""
        return sum((i + 1) * o for i, o in pairwise(self.sizes))

    def __call__(self, theta_SP: Tensor, x_SBI: Tensor) -> Tensor:
        """Return outputs (S, B, sizes[-1]) for inputs (S, B, sizes[0])."""
        if self.kernels is not None and _supported(theta_SP) and _supported(x_SBI) and not x_SBI.requires_grad:
            theta_SP = compiled.contiguous_rows(theta_SP)
            x_SBI = compiled.contiguous_rows(x_SBI)
            if torch.is_grad_enabled() and theta_SP.requires_grad:
                out_SBO: Tensor = _Compiled.apply(theta_SP, x_SBI, self)  # type: ignore[no-untyped-call]
                return out_SBO
            return self.kernels.forward(theta_SP, x_SBI, keep=False)[0]
        return self.matrix_products(theta_SP, x_SBI)

    def matrix_products(self, theta_SP: Tensor, x_SBI: Tensor) -> Tensor:
        """Return the same outputs by batched matrix products, which can be differentiated any number of times."""
        activation = ACTIVATIONS[self.activation]
        layers = self.layers(theta_SP)
        for weight_SIO, bias_S1O in layers[:-1]:
            x_SBI = activation(_affine(x_SBI, weight_SIO, bias_S1O))
        return _affine(x_SBI, *layers[-1])

    @cached_property
    def kernels(self) -> compiled.Network | None:
        """The same network in compiled code, or None if it is not available."""
        if compiled.library() is None or len(self.sizes) > compiled.MAX_LAYERS:
            return None
        return compiled.Network(self.sizes, self.activation)

    def layers(self, theta_SP: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return weights (S, in, out) and biases (S, 1, out) of each layer, as views of the parameters."""
        shapes = list(pairwise(self.sizes))
        # The gradient of one split is one concatenation; slicing layer by layer would need many.
        parts = theta_SP.split_with_sizes([n for i, o in shapes for n in (i * o, o)], dim=1)
        return [
            (weight.view(-1, i, o), bias.unsqueeze(1))
            for weight, bias, (i, o) in zip(parts[::2], parts[1::2], shapes, strict=True)
        ]

    def initial(self, generators: Sequence[torch.Generator], scheme: str, head_gain: float) -> Tensor:
        """Return initial parameters (S, P); biases are 0.

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
            weight_OI = torch.empty(n_out, n_in)  # torch's orientation, which the initialisers' gains assume
            if scheme == "orthogonal":
                gain = head_gain if layer == len(self.sizes) - 2 else math.sqrt(2)
                nn.init.orthogonal_(weight_OI, gain, generator=generator)
            else:
                nn.init.xavier_uniform_(weight_OI, generator=generator)
            parts += [weight_OI.T.reshape(-1), torch.zeros(n_out)]
        return torch.cat(parts)


def _supported(x: Tensor) -> bool:
    """Return True if the kernels can read a tensor; tests use float64 to bypass them."""
    return x.dtype == torch.float32 and x.device.type == "cpu"


class _Compiled(torch.autograd.Function):
    """Network outputs and parameter gradients computed by kernels."""

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
        if torch.is_grad_enabled():  # a double backward, which kernels do not support
            out_SBO = ctx.mlp.matrix_products(theta_SP, x_SBI)
            return *torch.autograd.grad(out_SBO, theta_SP, gradient_SBO, create_graph=True), None, None
        return ctx.mlp.kernels.backward(theta_SP, x_SBI, hidden, gradient_SBO), None, None


def _affine(x_SBI: Tensor, weight_SIO: Tensor, bias_S1O: Tensor) -> Tensor:
    """Return x W + b of each seed, with the same bits for a seed in any company.

    The library computes a batch of one product differently from a batch of several (other kernels, and threads inside
    the product), with different rounding. A lone seed is therefore multiplied beside a copy of itself, which keeps
    values and first derivatives bit-identical. A seed's block of numbers whose size is not a multiple of 16 bytes is
    aligned differently from seed to seed, which changes the rounding of narrow products; these are padded with zeros.
    """
    n_rows, (n_in, n_out) = x_SBI.shape[1], weight_SIO.shape[1:]
    if n_out > 4 and n_out % 4 and min(n_in, n_out) < 12:  # found by trying all sizes
        # Rows pad the blocks of values and of input gradients, columns those of weight gradients.
        rows = -n_rows % 4
        columns = -n_out % 4 if n_in * n_out % 4 else 0
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
    """A diagonal Gaussian policy: an MLP for the mean, then A log standard deviations independent of the state."""

    mlp: MLP

    @property
    def n_parameters(self) -> int:
        """Number of parameters: those of the mean's network and one log standard deviation per action entry."""
        return self.mlp.n_parameters + self.mlp.sizes[-1]

    def __call__(self, theta_SP: Tensor, observation_SBO: Tensor) -> NetworkActions:
        """Return action distributions of S policies in B states each."""
        mean_SP, log_std_SA = theta_SP.split_with_sizes([self.mlp.n_parameters, self.mlp.sizes[-1]], dim=1)
        return DiagonalGaussian(self.mlp(mean_SP, observation_SBO), log_std_SA.unsqueeze(1))

    def actor(self, theta_SP: Tensor) -> "Actor":
        """Return the policies in the form that acts on one observation at a time."""
        return Actor(self, theta_SP)

    def initial(self, generators: Sequence[torch.Generator], scheme: str) -> Tensor:
        """Return initial parameters (S, P): policy head gain .01 under "orthogonal", log standard deviation 0."""
        mean_SP = self.mlp.initial(generators, scheme, head_gain=0.01)
        return torch.cat([mean_SP, torch.zeros(len(generators), self.mlp.sizes[-1])], dim=1)


@dataclass(frozen=True)
class CategoricalNetwork:
    """A policy for discrete actions: an MLP for the logits of each entry of an action."""

    mlp: MLP
    choices: tuple[int, ...]
    """Number of choices of each entry; they add up to the MLP's outputs."""

    @property
    def n_parameters(self) -> int:
        """Number of parameters of the logits' network."""
        return self.mlp.n_parameters

    def __call__(self, theta_SP: Tensor, observation_SBO: Tensor) -> NetworkActions:
        """Return action distributions of S policies in B states each."""
        return Categorical(self.mlp(theta_SP, observation_SBO), self.choices)

    def actor(self, theta_SP: Tensor) -> "Actor":
        """Return the policies in the form that acts on one observation at a time."""
        return ChoosingActor(self, theta_SP)

    def initial(self, generators: Sequence[torch.Generator], scheme: str) -> Tensor:
        """Return initial parameters (S, P): policy head gain .01 under "orthogonal"."""
        return self.mlp.initial(generators, scheme, head_gain=0.01)


PolicyNetwork = GaussianNetwork | CategoricalNetwork


def policy_network(
    n_observation: int, n_action: int, choices: tuple[int, ...], hidden: Sequence[int], activation: str
) -> PolicyNetwork:
    """Return the network of a policy for actions of `n_action` numbers, or of `choices` if these are not empty."""
    if choices:
        return CategoricalNetwork(MLP((n_observation, *hidden, sum(choices)), activation), choices)
    return GaussianNetwork(MLP((n_observation, *hidden, n_action), activation))


def kernels_for(
    network: PolicyNetwork, theta_SP: Tensor, observation_SBO: Tensor, action_SBA: Tensor, *of_pairs_SB: Tensor
) -> compiled.Network | None:
    """Return a Gaussian policy's network in compiled code if its gradient has the same bits as autograd's, else None.

    Custom networks, hooks on gradients, anomaly detection and tensors of unexpected shapes need autograd.
    """
    if type(network) is not GaussianNetwork or type(network.mlp) is not MLP or not theta_SP.requires_grad:
        return None
    inputs = observation_SBO, action_SBA, *of_pairs_SB
    if theta_SP._backward_hooks or any(x.requires_grad for x in inputs):
        return None
    if torch.is_anomaly_enabled() or not torch.is_grad_enabled():
        return None
    pairs = len(theta_SP), max(1, observation_SBO.shape[1])
    n_observation, n_action = network.mlp.sizes[0], network.mlp.sizes[-1]
    shapes = (*pairs, n_observation), (*pairs, n_action), *[pairs] * len(of_pairs_SB)
    fits = theta_SP.shape[1:] == (network.n_parameters,) and tuple(x.shape for x in inputs) == shapes
    return (
        network.mlp.kernels if fits and theta_SP.stride(1) == 1 and all(map(_supported, (theta_SP, *inputs))) else None
    )


class Actor:
    """S policies at fixed parameters, acting in numpy: one observation a seed, thousands of times.

    Without compiled kernels, numpy multiplies the seeds' matrices one after another, so that a seed's actions do not
    depend on the other seeds, in a tenth of the time that torch takes to launch such a small product. Gradients and
    measures do not use this class.
    """

    def __init__(self, network: PolicyNetwork, theta_SP: Tensor) -> None:
        n_mean = network.mlp.n_parameters
        with torch.no_grad():
            mean_SP, log_std_SA = theta_SP.split_with_sizes([n_mean, network.n_parameters - n_mean], dim=1)
            self.std_SA: Floats = log_std_SA.exp().numpy()
            """Standard deviations, the same in every state; no entries for discrete actions."""
            self._kernels = network.mlp.kernels
            self._layers = [
                (weight_SIO.contiguous().numpy(), bias_S1O.contiguous().numpy())
                for weight_SIO, bias_S1O in network.mlp.layers(mean_SP)
                if self._kernels is None
            ]
            # The kernels read contiguous parameters; without kernels this is unused.
            self._mean_SP = mean_SP.numpy().copy() if self._kernels is not None else np.zeros((0, 0), np.float32)
        self._activation = NUMPY_ACTIVATIONS[network.mlp.activation]

    def assign(self, which: npt.NDArray[np.int_], other: "Actor", rows: npt.NDArray[np.int_]) -> None:
        """Replace some of the policies by rows of another actor."""
        self.std_SA[which] = other.std_SA[rows]
        if self._kernels is not None:
            self._mean_SP[which] = other._mean_SP[rows]
        for layer, other_layer in zip(self._layers, other._layers, strict=True):
            for array, source in zip(layer, other_layer, strict=True):
                array[which] = source[rows]

    def act(self, observation_SO: Floats, noise_SA: Floats) -> Floats:
        """Return actions (S, A): means plus standard deviations times the given standard normal noise."""
        return self.mean(observation_SO) + self.std_SA * noise_SA

    def mean(self, observation_SO: Floats) -> Floats:
        """Return mean actions (S, A), or logits (S, L)."""
        if self._kernels is not None:
            return self._kernels.act(self._mean_SP, observation_SO)
        x_S1I = observation_SO[:, None, :]
        for weight_SIO, bias_S1O in self._layers[:-1]:
            x_S1I = self._activation(x_S1I @ weight_SIO + bias_S1O)
        weight_SIO, bias_S1O = self._layers[-1]
        mean_S1A: Floats = x_S1I @ weight_SIO + bias_S1O
        return mean_S1A[:, 0, :]


class ChoosingActor(Actor):
    """S policies for discrete actions at fixed parameters, acting in numpy."""

    def __init__(self, network: CategoricalNetwork, theta_SP: Tensor) -> None:
        super().__init__(network, theta_SP)
        self._ends = np.cumsum(network.choices)[:-1]

    def act(self, observation_SO: Floats, noise_SA: Floats) -> Floats:
        """Return choices (S, A): each distribution's quantile at the normal probability of the noise, or NaN."""
        action_SA = np.empty_like(noise_SA)
        parts = np.split(self.mean(observation_SO).astype(np.float64), self._ends, axis=1)
        level_SA = ndtr(noise_SA.astype(np.float64))
        for column, logits_SN in enumerate(parts):
            up_to_SN = np.exp(logits_SN - logits_SN.max(1, keepdims=True)).cumsum(1)
            reached_S = (up_to_SN[:, :-1] <= level_SA[:, [column]] * up_to_SN[:, -1:]).sum(1)
            action_SA[:, column] = np.where(np.isfinite(up_to_SN[:, -1]), reached_S, np.nan)
        return action_SA


class Actors:
    """All seeds of a cohort acting at once; neighbouring groups with the same network act as one."""

    def __init__(self, policies: Sequence[tuple[PolicyNetwork, Tensor]]) -> None:
        runs = [(network, list(same)) for network, same in itertools.groupby(policies, key=lambda p: p[0])]
        self._actors = [network.actor(torch.cat([theta_SP for _, theta_SP in same])) for network, same in runs]
        bounds = np.cumsum([0, *(len(actor.std_SA) for actor in self._actors)])
        self._slices = [slice(a, b) for a, b in pairwise(bounds)]

    def act(self, observation_SO: Floats, noise_SA: Floats) -> Floats:
        """Return actions (S, A) for standard normal noise."""
        acting = zip(self._actors, self._slices, strict=True)
        return np.concatenate([actor.act(observation_SO[which], noise_SA[which]) for actor, which in acting])


@dataclass(frozen=True)
class NetworkPolicy:
    """A network at given parameters, which implements `rlclaims.update.Policy`."""

    network: PolicyNetwork
    theta_SP: Tensor

    def __call__(self, observation_SBO: Tensor) -> NetworkActions:
        """Return action distributions in the given normalised observations."""
        return self.network(self.theta_SP, observation_SBO)
