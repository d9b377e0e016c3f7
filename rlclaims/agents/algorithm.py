"""What PPO and TRPO share: settings, the state of a learning agent, advantages, and the value regression.

An algorithm is a frozen dataclass of settings with a `learn` method. An `Agent` is the state that `learn` moves:
S seeds, each one row of every tensor.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlclaims import compiled
from rlclaims.agents.adam import Adam
from rlclaims.agents.advantages import RewardScale, RewardScaler, generalized_advantages
from rlclaims.agents.networks import ACTIVATIONS, MLP, NetworkPolicy, policy_network
from rlclaims.agents.settings import paper_settings
from rlclaims.randomness import Purpose, state_of, stream, stream_at, torch_stream
from rlclaims.shown import shown
from rlclaims.update import Batch, Rollout, Update

MOST, MOST_TIMES, MOST_WIDE, MOST_DEEP = 1e38, 10**8, 2**14, 32
"""Beyond them a number, a count, and a width and a number of hidden layers are slips of the pen, which no memory holds
and no day is long enough for."""


@dataclass(frozen=True)
class Algorithm(ABC):
    """Settings of an actor-critic with separate networks; subclasses add theirs and say how to learn."""

    steps: int = 2048
    """Environment steps between two updates, T."""
    gamma: float = 0.99
    """Discount factor."""
    gae_lambda: float = 0.95
    """Lambda of generalised advantage estimation."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of both networks."""
    value_learning_rate: float = 2.5e-4
    """Adam's step size for the value network."""
    value_epochs: int = 10
    """Passes over the rollout in the value regression."""
    minibatches: int = 32
    """Parts into which a pass splits the rollout."""
    adam_epsilon: float = 1e-5
    """Adam's denominator offset."""
    value_baseline: bool = True
    """Advantages by the value network; without it the discounted returns to go take their place (1811.02553)."""

    value_clip: float | None = None
    """Optimisation 1: how far a value may move from its old prediction before it stops learning."""
    scale_rewards: bool = False
    """Optimisation 2: scale rewards by a running standard deviation."""
    reward_scaling: str = "returns"
    """Of what: "returns", the discounted return so far, or "rewards", about their mean; needs `scale_rewards`."""
    initialization: str = "xavier"
    """Optimisation 3: "orthogonal" with scaled heads, or "xavier"."""
    anneal_learning_rates: bool = False
    """Optimisation 4: both learning rates fall linearly to 0 over the planned iterations."""
    reward_clip: float | None = None
    """Optimisation 5: bound on a reward: on what scaling makes of it, or on the task's own without `scale_rewards`."""
    normalize_observations: bool = True
    """Optimisation 6: subtract the running mean and divide by the running standard deviation."""
    observation_clip: float | None = None
    """Optimisation 7: bound on an observation: on what normalising makes of it, or on the task's own without that."""
    activation: str = "tanh"
    """Optimisation 8: nonlinearity of the hidden layers."""
    gradient_clip: float | None = None
    """Optimisation 9: bound on the l2 norm of the policy's gradient (off in the papers' code but for PPO-NoClip)."""

    def __post_init__(self) -> None:
        for name in ("steps", "minibatches", "value_epochs"):
            self._require_positive(name, int)
        for name in ("value_learning_rate", "adam_epsilon"):
            self._require_positive(name)
        for name in ("value_clip", "reward_clip", "observation_clip", "gradient_clip"):
            if getattr(self, name) is not None:
                self._require_positive(name)
        for name in ("gamma", "gae_lambda"):
            value = getattr(self, name)
            self._require(_is_number(value) and 0 <= value <= 1, f"{name} must lie in [0, 1], not {shown(value)}")
        self._require(
            self.steps % self.minibatches == 0 and self.steps > self.minibatches,
            f"steps ({self.steps}) must be a multiple of minibatches ({self.minibatches}), and more than one",
        )
        for name in ("scale_rewards", "anneal_learning_rates", "normalize_observations", "value_baseline"):
            self._require_boolean(name)
        self._require(
            isinstance(self.hidden, tuple)
            and all(type(width) is int and 0 < width <= MOST_WIDE for width in self.hidden)
            and len(self.hidden) <= MOST_DEEP,
            f"hidden must be a tuple of positive widths, at most {MOST_DEEP} of at most {MOST_WIDE:,}, not "
            f"{shown(self.hidden)}",
        )
        self._require(
            isinstance(self.initialization, str) and self.initialization in ("orthogonal", "xavier"),
            f"initialization must be 'orthogonal' or 'xavier', not {shown(self.initialization)}",
        )
        self._require(
            isinstance(self.activation, str) and self.activation in ACTIVATIONS,
            f"activation must be one of {', '.join(sorted(ACTIVATIONS))}, not {shown(self.activation)}",
        )
        self._require(
            isinstance(self.reward_scaling, str) and self.reward_scaling in ("returns", "rewards"),
            f"reward_scaling must be 'returns' or 'rewards', not {shown(self.reward_scaling)}",
        )
        self._require(
            self.reward_scaling == "returns" or self.scale_rewards,
            "reward_scaling='rewards' says how rewards are scaled and needs scale_rewards=True",
        )
        for field in fields(self):
            value = getattr(self, field.name)
            # 10 and 10.0 are one setting, and must name one run.
            if "float" in str(field.type) and _is_number(value) and abs(value) < MOST:
                object.__setattr__(self, field.name, float(value) + 0.0)

    def check(self) -> None:
        """Try what can be tried without training.

        Raises:
            ValueError: the class is not written as an algorithm.
        """
        for cls in type(self).__mro__[: type(self).__mro__.index(Algorithm)]:
            known = {field.name for field in fields(cls)}
            annotated = set(inspect.get_annotations(cls))
            if annotated and "__dataclass_fields__" not in vars(cls):
                raise ValueError(f"{cls.__name__} has settings of its own and needs @dataclass(frozen=True) above it.")
            if bare := sorted(known.intersection(vars(cls)) - annotated):
                raise ValueError(f"{cls.__name__}.{bare[0]} needs a type, or it sets nothing: {bare[0]}: float = ...")

    def _require(self, condition: bool, sentence: str) -> None:
        if not condition:
            raise ValueError(f"{type(self).__name__}: {sentence}.")

    def _require_positive(self, name: str, kind: type = float) -> None:
        value = getattr(self, name)
        fits = type(value) is int and value <= MOST_TIMES if kind is int else _is_number(value)
        number = "whole number" if kind is int else "number"
        if type(value) is int and value > MOST_TIMES:
            number += f", {MOST_TIMES:,} at the most" if kind is int else ""
        off = ", or None for off" if "None" in str(type(self).__dataclass_fields__[name].type) else ""
        self._require(fits and 0 < value < MOST, f"{name} must be a positive {number}{off}, not {shown(value)}")

    def _require_nonzero(self, name: str) -> None:
        value = getattr(self, name)
        fits = _is_number(value) and 0 < abs(value) < MOST
        self._require(fits, f"{name} must be a number other than 0, or None for off, not {shown(value)}")

    def _require_boolean(self, name: str) -> None:
        value = getattr(self, name)
        self._require(isinstance(value, bool), f"{name} must be True or False, not {shown(value)}")

    @classmethod
    def for_task(cls, task: str, **changes: Any) -> Self:
        """The papers' settings for a Gymnasium id, else the defaults; `changes` go on top.

        A subclass inherits the settings of the class the papers name, but a default that it sets itself wins.

        Raises:
            ValueError: a setting is unknown or does not fit.
        """
        known = {field.name for field in fields(cls)}
        if unknown := sorted(changes.keys() - known):
            raise ValueError(f"{cls.__name__} has no setting {shown(unknown[0])}; it has {', '.join(sorted(known))}.")
        name = task.partition("(")[0]  # "Hopper-v5(healthy_reward=2.0)" is Hopper
        for owner in cls.__mro__:
            found = paper_settings(owner.__name__, name) if owner.__module__.startswith("rlclaims.") else None
            if found is not None:
                subclasses = cls.__mro__[: cls.__mro__.index(owner)]
                own = {name for subclass in subclasses for name in inspect.get_annotations(subclass)}
                return cls(**{**{name: value for name, value in found.items() if name not in own}, **changes})
        return cls(**changes)

    @property
    def gradient_steps(self) -> int:
        """Minibatch steps of an iteration: what its learning costs, roughly, whatever the number of seeds."""
        return self.value_epochs * self.minibatches

    @property
    def ratio_epsilon(self) -> float:
        """The eps of the interval [1 - eps, 1 + eps] that ratios are held against; .2, as the papers draw it."""
        return 0.2

    @property
    def standardizes_advantages(self) -> bool:
        """Whether the objective weighs pairs by advantages at mean 0 and standard deviation 1."""
        return True

    def objective(self, update: Update) -> Tensor:
        """What the policy's update climbs, (S,), on all pairs of the batch at once; for landscapes, which ask for it.

        Raises:
            NotImplementedError: the algorithm does not say.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what its update climbs.")

    def weights(self, batch: Batch) -> Tensor:
        """What the objective weighs pairs by, (S, B), float64."""
        advantage_SB = batch.advantage_SB
        return (standardized(advantage_SB) if self.standardizes_advantages else advantage_SB).double()

    @abstractmethod
    def learn(self, agent: "Agent", rollout: Rollout) -> Batch:
        """Improve the policy and refit the values on a rollout of the current policy.

        Returns:
            The pairs and advantages that the policy learned from.
        """


class Agent:
    """S learning agents: parameters, optimisers, running statistics, and each seed's minibatch order."""

    def __init__(
        self,
        algorithm: Algorithm,
        seeds: Sequence[int],
        n_observation: int,
        n_action: int,
        iterations: int,
        choices: tuple[int, ...] = (),
    ):
        """`choices` are those of each entry of an action, where it is not a number."""
        self.algorithm, self.seeds, self.iterations, self.choices = algorithm, tuple(seeds), iterations, choices
        self.iteration = 0
        hidden, activation = algorithm.hidden, algorithm.activation
        self.network = policy_network(n_observation, n_action, choices, hidden, activation)
        self.value_network = MLP((n_observation, *hidden, 1), activation)
        self.theta_SP = self.network.initial(
            [torch_stream(s, Purpose.POLICY_INIT) for s in seeds], algorithm.initialization
        ).requires_grad_()
        self.phi_SP = self.value_network.initial(
            [torch_stream(s, Purpose.VALUE_INIT) for s in seeds], algorithm.initialization, head_gain=1.0
        ).requires_grad_()
        self.policy_adam = Adam(self.theta_SP, algorithm.adam_epsilon)
        self.value_adam = Adam(self.phi_SP, algorithm.adam_epsilon)
        self._scaler = RewardScaler(len(seeds), algorithm.reward_scaling, algorithm.gamma, algorithm.reward_clip)
        self._minibatch_rngs = [stream(s, Purpose.MINIBATCHES) for s in seeds]

    def policy(self) -> NetworkPolicy:
        """The policies as they stand, at a copy of their parameters."""
        return NetworkPolicy(self.network, self.theta_SP.detach().clone())

    def log_prob(self, batch: Batch) -> Tensor:
        """Log densities of a batch's actions under the policies as they stand, (S, B), in nats."""
        with torch.no_grad():
            return self.policy()(batch.observation_SBO).log_prob(batch.action_SBA)

    def of_seeds(self, which: Sequence[int]) -> "Agent":
        """Some of the seeds, by their rows, as an agent of their own, which moves without moving this one."""
        those, rows = copy(self), list(which)
        those.seeds = tuple(self.seeds[i] for i in rows)
        those.theta_SP = self.theta_SP.detach()[rows].requires_grad_()
        those.phi_SP = self.phi_SP.detach()[rows].requires_grad_()
        those.policy_adam = self.policy_adam.of_rows(rows, those.theta_SP)
        those.value_adam = self.value_adam.of_rows(rows, those.phi_SP)
        those._scaler = self._scaler.of_rows(rows)
        those._minibatch_rngs = [stream_at(state_of(self._minibatch_rngs[i])) for i in rows]
        return those

    def take(self, which: Sequence[int], those: "Agent") -> None:
        """Let some of the seeds stand where the agent that `of_seeds` made of them has come to; others stay."""
        rows = list(which)
        with torch.no_grad():
            self.theta_SP[rows], self.phi_SP[rows] = those.theta_SP, those.phi_SP
        self.policy_adam.take_rows(rows, those.policy_adam)
        self.value_adam.take_rows(rows, those.value_adam)
        self._scaler.take_rows(rows, those._scaler)
        for i, rng in zip(rows, those._minibatch_rngs, strict=True):
            self._minibatch_rngs[i] = stream_at(state_of(rng))

    def annealed(self, learning_rate: float) -> float:
        """The learning rate at this iteration."""
        left = 1 - self.iteration / self.iterations if self.algorithm.anneal_learning_rates else 1.0
        return learning_rate * left

    def estimate(self, rollout: Rollout) -> tuple[Tensor, Tensor]:
        """Values and generalised advantages of a rollout to learn from, (S, T) each; moves the reward statistic."""
        value_ST, next_value_ST = self.values(rollout)
        return value_ST, self.advantages(rollout, value_ST, next_value_ST)

    def values(self, rollout: Rollout) -> tuple[Tensor, Tensor]:
        """What the value network says of each step's state and of the state it led to, (S, T) each; 0 without it."""
        if not self.algorithm.value_baseline:
            nothing_ST = torch.zeros_like(rollout.reward_ST, dtype=torch.float32)
            return nothing_ST, nothing_ST
        with torch.no_grad():
            value_ST = self.value_network(self.phi_SP, rollout.observation_STO).squeeze(-1)
            next_value_ST = self.value_network(self.phi_SP, rollout.next_observation_STO).squeeze(-1)
        return value_ST, next_value_ST

    @property
    def reward_scale(self) -> RewardScale:
        """How rewards are scaled and bounded by the statistic as it stands, at 1 where they are only bounded."""
        return self._scaler.standing

    def with_scaled_rewards(self, rollout: Rollout) -> Rollout:
        """A rollout with the rewards that are learnt from, by the statistic as it stands, which stays."""
        return replace(rollout, reward_ST=torch.from_numpy(self.reward_scale(rollout.reward_ST.numpy())))

    def reward_states(self) -> npt.NDArray[np.floating]:
        """That statistic itself, seed by seed (`RewardScaler.state`)."""
        return self._scaler.state()

    def take_reward_states(self, states: Sequence[npt.NDArray[np.floating]]) -> None:
        """Let each seed's statistic of rewards go on from where `reward_states` said."""
        self._scaler.take_state(np.stack(states))

    def advantages(self, rollout: Rollout, value_ST: Tensor, next_value_ST: Tensor, *, frozen: bool = False) -> Tensor:
        """Generalised advantages, (S, T); with `frozen` the reward statistic stays as it is, for measuring."""
        algorithm = self.algorithm
        if frozen or not algorithm.scale_rewards:
            rollout = self.with_scaled_rewards(rollout)
        reward_ST, terminated_ST, truncated_ST = (
            x.numpy() for x in (rollout.reward_ST, rollout.terminated_ST, rollout.truncated_ST)
        )
        if algorithm.scale_rewards and not frozen:
            reward_ST = self._scaler(reward_ST, terminated_ST | truncated_ST)
        advantage_ST = generalized_advantages(
            reward_ST,
            value_ST.double().numpy(),
            next_value_ST.double().numpy(),
            terminated_ST,
            truncated_ST,
            gamma=algorithm.gamma,
            lam=algorithm.gae_lambda if algorithm.value_baseline else 1.0,
        )
        return torch.from_numpy(advantage_ST).float()

    def minibatches(self, epochs: int, *data: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Each seed's own shuffles of (S, T, ...) tensors, cut into minibatches (S, B, ...) of nearly equal B."""
        for _ in range(epochs):
            index_ST = torch.from_numpy(self._order(data[0].shape[1]))
            shuffled = [_taken(x, index_ST) for x in data]
            yield from zip(*(x.tensor_split(self.algorithm.minibatches, dim=1) for x in shuffled), strict=True)

    def _order(self, n_pairs: int) -> npt.NDArray[np.int64]:
        return np.stack([rng.permutation(n_pairs) for rng in self._minibatch_rngs])

    def minibatch_states(self) -> list[npt.NDArray[np.uint64]]:
        """Where each seed's stream of minibatch orders stands."""
        return [state_of(rng) for rng in self._minibatch_rngs]

    def take_minibatch_states(self, states: Sequence[npt.NDArray[np.uint64]]) -> None:
        """Let each seed's stream of minibatch orders go on from where `minibatch_states` said."""
        self._minibatch_rngs = [stream_at(state) for state in states]

    @property
    def is_whole(self) -> bool:
        """Whether its optimisers are those it began with, whose state `kept` tells."""
        return type(self.policy_adam) is type(self.value_adam) is Adam

    def kept(self, i: int) -> dict[str, npt.NDArray[Any]]:
        """All that one seed learns on from, as arrays by name."""
        adams = {"policy_adam": self.policy_adam, "value_adam": self.value_adam}
        return {
            "theta_P": self.theta_SP[i].detach().numpy(),
            "phi_P": self.phi_SP[i].detach().numpy(),
            "rewards": self.reward_states()[i],
            "minibatches": state_of(self._minibatch_rngs[i]),
            **{f"{of}/{name}": array for of, adam in adams.items() for name, array in adam.kept(i).items()},
        }

    def take_kept(self, rows: Sequence[Mapping[str, npt.NDArray[Any]]]) -> None:
        """Let every seed learn on from what `kept` said."""
        with torch.no_grad():
            self.theta_SP.copy_(torch.from_numpy(np.stack([row["theta_P"] for row in rows])))
            self.phi_SP.copy_(torch.from_numpy(np.stack([row["phi_P"] for row in rows])))
        self.take_reward_states([row["rewards"] for row in rows])
        self.take_minibatch_states([row["minibatches"] for row in rows])
        for of, adam in (("policy_adam/", self.policy_adam), ("value_adam/", self.value_adam)):
            adam.take_kept([{name.removeprefix(of): x for name, x in row.items()} for row in rows])

    def fit_values(self, observation_STO: Tensor, old_value_ST: Tensor, advantage_ST: Tensor) -> None:
        """Regress values on the GAE target V_old + A, by Adam on minibatches of squared errors.

        With `value_clip`, the larger of the error and the error of the value clipped to within that distance of
        its old prediction counts (MadryLab/implementation-matters `steps.py`, `value_loss_gae`).
        """
        algorithm = self.algorithm
        if not algorithm.value_baseline:
            return
        learning_rate = self.annealed(algorithm.value_learning_rate)
        data = (observation_STO, old_value_ST, old_value_ST + advantage_ST)
        kernels, adam = self.value_network.kernels, self.value_adam
        if kernels is not None and type(adam) is Adam and all(x.dtype == torch.float32 for x in (self.phi_SP, *data)):
            for _ in range(algorithm.value_epochs):
                order_ST, steps = self._order(data[1].shape[1]), adam.begun(learning_rate, algorithm.minibatches)
                kernels.fit_values(self.phi_SP.detach(), data, order_ST, algorithm.value_clip, steps)
            return
        for observation_SBO, old_value_SB, target_SB in self.minibatches(algorithm.value_epochs, *data):
            value_SB = self.value_network(self.phi_SP, observation_SBO).squeeze(-1)
            squared_error_SB = (value_SB - target_SB).square()
            if algorithm.value_clip is not None:
                near_SB = old_value_SB + (value_SB - old_value_SB).clamp(-algorithm.value_clip, algorithm.value_clip)
                squared_error_SB = torch.maximum(squared_error_SB, (near_SB - target_SB).square())
            # A sum over seeds gives each seed the gradient of its own mean.
            loss = squared_error_SB.mean(1).sum()
            (gradient_SP,) = torch.autograd.grad(loss, self.phi_SP)
            self.value_adam.step(gradient_SP, learning_rate)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _taken(x: Tensor, index_ST: Tensor) -> Tensor:
    """Each seed's own order of its pairs."""
    if compiled.library() is not None and x.dtype == torch.float32:
        return compiled.take(x, index_ST)
    return x.gather(1, index_ST if x.ndim == 2 else index_ST.unsqueeze(-1).expand(x.shape))


def standardized(advantage_SB: Tensor) -> Tensor:
    """Each seed's advantages at mean 0 and (unbiased) standard deviation 1."""
    mean_S1, std_S1 = advantage_SB.mean(1, keepdim=True), advantage_SB.std(1, keepdim=True)
    return (advantage_SB - mean_S1) / (std_S1 + 1e-8)
