"""Proximal policy optimisation for S seeds at once, PPO-M (clipping alone), and PPO-NoClip (all but the clipping).

PPO (Schulman et al. 2017, 1707.06347) is implemented as in MadryLab/implementation-matters, every optimisation a
setting.

PPO-M is PPO with these removed, and nothing else: value clipping (1), reward scaling (2), orthogonal
initialisation with scaled heads (3), learning-rate annealing (4), reward clipping (5), observation clipping (7).
Observation normalisation (6) and tanh (8) stay on, as in the papers' code, although their text says that
PPO-M has none; global gradient clipping (9) is off in both. Both standardise advantages in every minibatch, an
optimisation that is not among the nine listed.

PPO-NoClip does not clip ratios. It keeps optimisations that PPO-M removes, with its own values, clips the policy's
gradient (9), and adds the policy's entropy to its objective, with a negative weight on Hopper and Walker2d and a
positive one on Humanoid, which is not among the nine either.

Defects of that code are not reproduced: see `Agent.estimate` (true bootstraps) and `rlclaims.training` (seeds,
episodes that continue across iterations, measurements that do not affect training).
"""

import math
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from rlclaims.agents.agent import Agent
from rlclaims.agents.algorithm import Algorithm, standardized
from rlclaims.agents.networks import kernels_for
from rlclaims.update import Batch, Categorical, DiagonalGaussian, Rollout, Update


@dataclass(frozen=True)
class PPO(Algorithm):
    """PPO with the optimisations of the papers' code; defaults are its settings for Hopper."""

    learning_rate: float = 3e-4
    """Adam's step size for the policy."""
    epochs: int = 10
    """Passes over the rollout in the policy update."""
    clip_epsilon: float | None = 0.2
    """eps: pairs with a ratio beyond 1 +- eps in the direction of their advantage get no gradient."""
    normalize_advantages: bool = True
    """Standardise advantages in every minibatch."""
    entropy_coefficient: float | None = None
    """Weight of the policy's entropy, in nats, in the objective; a negative one makes actions less random."""

    scale_rewards: bool = True
    initialization: str = "orthogonal"
    anneal_learning_rates: bool = True
    reward_clip: float | None = 10.0
    observation_clip: float | None = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_positive("learning_rate")
        self._require_positive("epochs", int)
        if self.clip_epsilon is not None:
            self._require_positive("clip_epsilon")
        self._require_boolean("normalize_advantages")
        if self.entropy_coefficient is not None:
            self._require_nonzero("entropy_coefficient")

    def check(self) -> None:
        """Check the objective on four pairs of two seeds.

        Raises:
            ValueError: it fails, or does not return a separate loss for each seed that depends on the ratio.
        """
        super().check()
        ratio_SB = torch.tensor([[0.7, 0.9, 1.1, 1.5], [0.5, 1.0, 1.05, 1.3]], requires_grad=True)
        advantage_SB = torch.tensor([[1.0, -1.0, 0.5, -0.5], [-1.0, 1.0, -0.5, 0.5]])
        name = f"{type(self).__name__}.policy_loss"
        try:
            loss_S = self.policy_loss(ratio_SB, advantage_SB)
        except Exception as error:
            raise ValueError(f"{name} fails on ratios of shape (2, 4): {type(error).__name__}: {error}") from error
        if not isinstance(loss_S, Tensor) or loss_S.shape != (2,):
            got = f"shape {tuple(loss_S.shape)}" if isinstance(loss_S, Tensor) else repr(loss_S)
            raise ValueError(
                f"{name} must return one loss per seed, of shape (2,) for ratios of shape (2, 4), not {got}; "
                "end it with .mean(1)."
            )
        if not loss_S.requires_grad:
            raise ValueError(f"{name} must depend on the ratio; its result has no gradient.")
        other_SB = torch.tensor([[0.7, 0.9, 1.1, 1.5], [2.0, 0.4, 1.2, 0.8]], requires_grad=True)
        beside_S = self.policy_loss(other_SB, torch.tensor([[1.0, -1.0, 0.5, -0.5], [3.0, 1.0, 2.0, -0.25]]))
        if not torch.allclose(beside_S[0], loss_S[0], rtol=1e-4, equal_nan=True):
            raise ValueError(
                f"{name} mixes seeds: the first seed's loss changes with the pairs of the second; reduce over the "
                "pairs of each seed alone, for example with .mean(1, keepdim=True)."
            )

    @property
    def gradient_steps(self) -> int:
        """Minibatch steps per iteration, of the policy and of the values."""
        return self.policy_gradient_steps + super().gradient_steps

    @property
    def policy_gradient_steps(self) -> int:
        """Minibatch steps per policy update."""
        return self.epochs * self.minibatches

    @property
    def standardizes_advantages(self) -> bool:
        """The setting `normalize_advantages`, applied in every minibatch."""
        return self.normalize_advantages

    def objective(self, update: Update) -> Tensor:
        """Return the objective that the epochs maximise, (S,), on all pairs at once instead of on minibatches."""
        gain_S = -self.policy_loss(update.ratio, self.weights(update.batch))
        if self.entropy_coefficient is not None:
            assert isinstance(update.new_actions, DiagonalGaussian | Categorical)
            gain_S = gain_S + self.entropy_coefficient * update.new_actions.entropy()
        return gain_S

    @property
    def ratio_epsilon(self) -> float:
        """The eps of the clipping, or .2 without clipping."""
        return 0.2 if self.clip_epsilon is None else self.clip_epsilon

    def learn(self, agent: Agent, rollout: Rollout) -> Batch:
        """Run one iteration of the algorithm box: advantages, epochs of minibatch ascent, value regression."""
        value_ST, advantage_ST = agent.estimate(rollout)
        batch = Batch(rollout.observation_STO, rollout.action_STA, advantage_ST)
        self.improve(agent, batch)
        agent.fit_values(rollout.observation_STO, value_ST, advantage_ST)
        return batch

    def improve(self, agent: Agent, batch: Batch) -> None:
        """Run epochs of minibatch ascent on the objective; ratios are relative to the agent's policy at the beginning.

        Updates the agent's theta_SP, policy Adam and minibatch generators, nothing else. A pass splits a batch of any
        size into `minibatches`.
        """
        old_log_prob_SB = agent.log_prob(batch)
        for _ in range(self.epochs):
            self.run_epoch(agent, batch, old_log_prob_SB)

    def run_epoch(self, agent: Agent, batch: Batch, old_log_prob_SB: Tensor) -> None:
        """Run one pass over the batch, given the log densities of its actions at the beginning of the first epoch.

        Override `improve` to change the number of epochs, for example to stop some seeds early with `Agent.select`.
        """
        learning_rate = agent.annealed(self.learning_rate)
        data = (batch.observation_SBO, batch.action_SBA, old_log_prob_SB, batch.advantage_SB)
        for observation_SBO, action_SBA, old_log_prob_SB, advantage_SB in agent.minibatches(1, *data):
            if self.normalize_advantages:
                advantage_SB = standardized(advantage_SB)
            gradient_SP = self._gradient(agent, observation_SBO, action_SBA, old_log_prob_SB, advantage_SB)
            agent.policy_adam.step(self._clipped(gradient_SP), learning_rate)

    def _gradient(
        self, agent: Agent, observation_SBO: Tensor, action_SBA: Tensor, old_log_prob_SB: Tensor, advantage_SB: Tensor
    ) -> Tensor:
        """Return the loss's gradient, (S, P), by autograd or, for PPO's objective, by kernels with the same bits."""
        pairs = observation_SBO, action_SBA, old_log_prob_SB, advantage_SB
        kernels = kernels_for(agent.network, agent.theta_SP, *pairs) if self._has_ppo_objective() else None
        if kernels is not None:
            epsilon = math.inf if self.clip_epsilon is None else self.clip_epsilon
            return kernels.ratio_gradient(agent.theta_SP.detach(), pairs, (1 - epsilon, 1 + epsilon))
        new_actions = agent.network(agent.theta_SP, observation_SBO)
        ratio_SB = (new_actions.log_prob(action_SBA) - old_log_prob_SB).exp()
        loss_S = self.policy_loss(ratio_SB, advantage_SB)
        if self.entropy_coefficient is not None:
            loss_S = loss_S - self.entropy_coefficient * new_actions.entropy()
        # The gradient of the sum over seeds is, in each seed's row, that of its own loss.
        return torch.autograd.grad(loss_S.sum(), agent.theta_SP)[0]

    def _has_ppo_objective(self) -> bool:
        """Return True if the objective is that of `PPO.policy_loss`, clipped or not, without an entropy term."""
        loss = self.policy_loss
        epsilon = self.clip_epsilon
        own = getattr(loss, "__func__", None) is CLIPPED_OBJECTIVE and getattr(loss, "__self__", None) is self
        return (
            own and self.entropy_coefficient is None and (epsilon is None or (type(epsilon) is float and epsilon > 0))
        )

    def policy_loss(self, ratio_SB: Tensor, advantage_SB: Tensor) -> Tensor:
        """Return the clipped objective, negated, (S,): minus the mean of min(rho A, clip(rho, 1-eps, 1+eps) A).

        Override this one method for another objective of the ratio (1707.06347 eq. 7).
        """
        if self.clip_epsilon is None:
            return -(ratio_SB * advantage_SB).mean(1)
        clipped_SB = ratio_SB.clamp(1 - self.clip_epsilon, 1 + self.clip_epsilon)
        return -torch.minimum(ratio_SB * advantage_SB, clipped_SB * advantage_SB).mean(1)

    def _clipped(self, gradient_SP: Tensor) -> Tensor:
        if self.gradient_clip is None:
            return gradient_SP
        norm_S1 = gradient_SP.square().sum(1, keepdim=True).sqrt()
        return gradient_SP * (self.gradient_clip / (norm_S1 + 1e-6)).clamp(max=1.0)


CLIPPED_OBJECTIVE = PPO.policy_loss
"""The objective that the kernels implement; subclasses and instances may replace `policy_loss`."""


@dataclass(frozen=True)
class PPOM(PPO):
    """PPO-M: PPO with the named code-level optimisations off; defaults are the papers' for Hopper."""

    learning_rate: float = 1.7e-4
    value_learning_rate: float = 4e-4

    value_clip: float | None = None
    scale_rewards: bool = False
    initialization: str = "xavier"
    anneal_learning_rates: bool = False
    reward_clip: float | None = None
    observation_clip: float | None = None


@dataclass(frozen=True)
class PPOMAtPPOsRates(PPOM):
    """PPO-M with PPO's learning rates, so that the two differ in the named optimisations alone; in no paper."""

    learning_rate: float = 3e-4
    value_learning_rate: float = 2.5e-4

    @classmethod
    def for_task(cls, task: str, **changes: Any) -> Self:
        """Return PPO-M's settings with PPO's learning rates for the task, with `changes` applied."""
        ppo = PPO.for_task(task)
        rates = {name: getattr(ppo, name) for name in ("learning_rate", "value_learning_rate")}
        return super().for_task(task, **{**rates, **changes})


@dataclass(frozen=True)
class PPONoClip(PPO):
    """PPO-NoClip: PPO without clipping of ratios; defaults are the papers' for Hopper."""

    learning_rate: float = 6e-5
    value_learning_rate: float = 4e-4
    gae_lambda: float = 0.925
    clip_epsilon: float | None = None
    entropy_coefficient: float | None = -0.005

    reward_scaling: str = "rewards"
    reward_clip: float | None = 2.5
    gradient_clip: float | None = 4.0
