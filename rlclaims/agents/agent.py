"""The state of S learning agents, which an algorithm's `learn` updates; each seed is one row of every tensor."""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlclaims import compiled
from rlclaims.agents.adam import Adam
from rlclaims.agents.advantages import RewardScale, RewardScaler, generalized_advantages
from rlclaims.agents.algorithm import Algorithm
from rlclaims.agents.networks import MLP, NetworkPolicy, policy_network
from rlclaims.randomness import Purpose, stream, stream_from_array, stream_to_array, torch_stream
from rlclaims.text import describe
from rlclaims.update import Batch, Rollout


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
        """Initialise the agents; `choices` holds the number of choices per action entry, none for continuous ones."""
        self.algorithm = algorithm
        self.seeds = tuple(seeds)
        self.iterations = iterations
        self.choices = choices
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

    def learn(self, rollout: Rollout) -> Batch:
        """Run one iteration of the algorithm and return the batch it learned from.

        Raises:
            TypeError, ValueError: the algorithm's `learn` did not return a batch of these seeds.
        """
        batch = self.algorithm.learn(self, rollout)
        check_batch(batch, len(self.seeds), f"{type(self.algorithm).__name__}.learn")
        return batch

    def policy(self) -> NetworkPolicy:
        """Return the current policies, on a copy of their parameters."""
        return NetworkPolicy(self.network, self.theta_SP.detach().clone())

    def log_prob(self, batch: Batch) -> Tensor:
        """Return log densities of a batch's actions under the current policies, (S, B), in nats."""
        with torch.no_grad():
            return self.policy()(batch.observation_SBO).log_prob(batch.action_SBA)

    def select(self, which: Sequence[int]) -> "Agent":
        """Return an agent with a copy of the state of some seeds, by their rows."""
        selected = copy(self)
        rows = list(which)
        selected.seeds = tuple(self.seeds[i] for i in rows)
        selected.theta_SP = self.theta_SP.detach()[rows].requires_grad_()
        selected.phi_SP = self.phi_SP.detach()[rows].requires_grad_()
        selected.policy_adam = self.policy_adam.select(rows, selected.theta_SP)
        selected.value_adam = self.value_adam.select(rows, selected.phi_SP)
        selected._scaler = self._scaler.select(rows)
        selected._minibatch_rngs = [stream_from_array(stream_to_array(self._minibatch_rngs[i])) for i in rows]
        return selected

    def assign(self, which: Sequence[int], selected: "Agent") -> None:
        """Copy the state of `selected`, which `select` returned, back into its rows; other rows are unchanged."""
        rows = list(which)
        with torch.no_grad():
            self.theta_SP[rows] = selected.theta_SP
            self.phi_SP[rows] = selected.phi_SP
        self.policy_adam.assign(rows, selected.policy_adam)
        self.value_adam.assign(rows, selected.value_adam)
        self._scaler.assign(rows, selected._scaler)
        for i, rng in zip(rows, selected._minibatch_rngs, strict=True):
            self._minibatch_rngs[i] = stream_from_array(stream_to_array(rng))

    def annealed(self, learning_rate: float) -> float:
        """Return the learning rate at this iteration."""
        left = 1 - self.iteration / self.iterations if self.algorithm.anneal_learning_rates else 1.0
        return learning_rate * left

    def estimate(self, rollout: Rollout) -> tuple[Tensor, Tensor]:
        """Return values and generalised advantages of a training rollout, (S, T) each; updates the reward statistic."""
        value_ST, next_value_ST = self.values(rollout)
        return value_ST, self.advantages(rollout, value_ST, next_value_ST)

    def values(self, rollout: Rollout) -> tuple[Tensor, Tensor]:
        """Return values of each step's state and of the state it led to, (S, T) each; 0 without `value_baseline`."""
        if not self.algorithm.value_baseline:
            zero_ST = torch.zeros_like(rollout.reward_ST, dtype=torch.float32)
            return zero_ST, zero_ST
        with torch.no_grad():
            value_ST = self.value_network(self.phi_SP, rollout.observation_STO).squeeze(-1)
            next_value_ST = self.value_network(self.phi_SP, rollout.next_observation_STO).squeeze(-1)
        return value_ST, next_value_ST

    @property
    def reward_scale(self) -> RewardScale:
        """Scaling and clipping of rewards by the current statistic; without `scale_rewards` it only clips."""
        return self._scaler.current

    def with_scaled_rewards(self, rollout: Rollout) -> Rollout:
        """Return a rollout with rewards scaled by the current statistic, which is not updated."""
        return replace(rollout, reward_ST=torch.from_numpy(self.reward_scale(rollout.reward_ST.numpy())))

    def reward_states(self) -> npt.NDArray[np.floating]:
        """Return the reward statistic of each seed (`RewardScaler.state`)."""
        return self._scaler.state()

    def load_reward_states(self, states: Sequence[npt.NDArray[np.floating]]) -> None:
        """Restore each seed's reward statistic from what `reward_states` returned."""
        self._scaler.load_state(np.stack(states))

    def advantages(self, rollout: Rollout, value_ST: Tensor, next_value_ST: Tensor, *, frozen: bool = False) -> Tensor:
        """Return generalised advantages, (S, T); with `frozen`, for measuring, the reward statistic is not updated."""
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
        """Shuffle (S, T, ...) tensors by each seed's own order and yield minibatches (S, B, ...) of nearly equal B."""
        for _ in range(epochs):
            index_ST = torch.from_numpy(self._order(data[0].shape[1]))
            shuffled = [_gather(x, index_ST) for x in data]
            yield from zip(*(x.tensor_split(self.algorithm.minibatches, dim=1) for x in shuffled), strict=True)

    def _order(self, n_pairs: int) -> npt.NDArray[np.int64]:
        return np.stack([rng.permutation(n_pairs) for rng in self._minibatch_rngs])

    def minibatch_states(self) -> list[npt.NDArray[np.uint64]]:
        """Return the state of each seed's random stream of minibatch orders."""
        return [stream_to_array(rng) for rng in self._minibatch_rngs]

    def load_minibatch_states(self, states: Sequence[npt.NDArray[np.uint64]]) -> None:
        """Restore each seed's random stream of minibatch orders from what `minibatch_states` returned."""
        self._minibatch_rngs = [stream_from_array(state) for state in states]

    @property
    def resumable(self) -> bool:
        """True if both optimisers are plain `Adam`s, whose state `state_dict` captures."""
        return type(self.policy_adam) is type(self.value_adam) is Adam

    def state_dict(self, i: int) -> dict[str, npt.NDArray[Any]]:
        """Return the whole state of one seed as arrays by name."""
        adams = {"policy_adam": self.policy_adam, "value_adam": self.value_adam}
        return {
            "theta_P": self.theta_SP[i].detach().numpy(),
            "phi_P": self.phi_SP[i].detach().numpy(),
            "rewards": self.reward_states()[i],
            "minibatches": stream_to_array(self._minibatch_rngs[i]),
            **{f"{part}/{name}": array for part, adam in adams.items() for name, array in adam.state_dict(i).items()},
        }

    def load_state_dict(self, rows: Sequence[Mapping[str, npt.NDArray[Any]]]) -> None:
        """Restore every seed from what `state_dict` returned."""
        with torch.no_grad():
            self.theta_SP.copy_(torch.from_numpy(np.stack([row["theta_P"] for row in rows])))
            self.phi_SP.copy_(torch.from_numpy(np.stack([row["phi_P"] for row in rows])))
        self.load_reward_states([row["rewards"] for row in rows])
        self.load_minibatch_states([row["minibatches"] for row in rows])
        for prefix, adam in (("policy_adam/", self.policy_adam), ("value_adam/", self.value_adam)):
            adam.load_state_dict([{name.removeprefix(prefix): x for name, x in row.items()} for row in rows])

    def fit_values(self, observation_STO: Tensor, old_value_ST: Tensor, advantage_ST: Tensor) -> None:
        """Regress values on the GAE target V_old + A, by Adam on minibatches of squared errors.

        With `value_clip`, the loss is the larger of two errors: that of the value, and that of the value clipped to
        within this distance of its old prediction (MadryLab/implementation-matters `steps.py`, `value_loss_gae`).
        """
        algorithm = self.algorithm
        if not algorithm.value_baseline:
            return
        learning_rate = self.annealed(algorithm.value_learning_rate)
        data = (observation_STO, old_value_ST, old_value_ST + advantage_ST)
        kernels = self.value_network.kernels
        adam = self.value_adam
        if kernels is not None and type(adam) is Adam and all(x.dtype == torch.float32 for x in (self.phi_SP, *data)):
            for _ in range(algorithm.value_epochs):
                kernels.fit_values(
                    self.phi_SP.detach(),
                    data,
                    order_ST=self._order(data[1].shape[1]),
                    clip=algorithm.value_clip,
                    steps=adam.next_steps(learning_rate, algorithm.minibatches),
                )
            return
        for observation_SBO, old_value_SB, target_SB in self.minibatches(algorithm.value_epochs, *data):
            value_SB = self.value_network(self.phi_SP, observation_SBO).squeeze(-1)
            squared_error_SB = (value_SB - target_SB).square()
            if algorithm.value_clip is not None:
                near_SB = old_value_SB + (value_SB - old_value_SB).clamp(-algorithm.value_clip, algorithm.value_clip)
                squared_error_SB = torch.maximum(squared_error_SB, (near_SB - target_SB).square())
            # The gradient of the sum over seeds is, in each seed's row, that of its own mean.
            loss = squared_error_SB.mean(1).sum()
            (gradient_SP,) = torch.autograd.grad(loss, self.phi_SP)
            self.value_adam.step(gradient_SP, learning_rate)


def check_batch(batch: object, n_seeds: int, name: str) -> None:
    """Check that the method `name` returned a `Batch` of `n_seeds` seeds.

    Raises:
        TypeError: it is not a `Batch`.
        ValueError: its tensors have other shapes.
    """
    if not isinstance(batch, Batch):
        raise TypeError(
            f"{name} must return the Batch that it learned from, not {describe(batch)}; end it with return."
        )
    shapes = [tuple(x_SB.shape) for x_SB in (batch.observation_SBO, batch.action_SBA, batch.advantage_SB)]
    if [len(shape) for shape in shapes] != [3, 3, 2] or any(shape[:2] != (n_seeds, shapes[2][1]) for shape in shapes):
        rows = "one row" if n_seeds == 1 else f"{n_seeds} rows"
        given = ", ".join(map(str, shapes))
        raise ValueError(
            f"{name} must return a Batch of {rows}, with observations ({n_seeds}, B, O), actions ({n_seeds}, B, A) and "
            f"advantages ({n_seeds}, B), not of shapes {given}."
        )


def _gather(x: Tensor, index_ST: Tensor) -> Tensor:
    """Reorder the pairs of each seed by its own indices."""
    if compiled.library() is not None and x.dtype == torch.float32:
        return compiled.take(x, index_ST)
    return x.gather(1, index_ST if x.ndim == 2 else index_ST.unsqueeze(-1).expand(x.shape))
