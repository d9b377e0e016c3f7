"""The common types of algorithms and measures: policies, state-action pairs, and an update from old to new policy.

The leading axis of tensors is the seed, S: S independent agents are one batched program. The other axes are B
state-action pairs (or T consecutive time steps), O observation entries and A action entries.
"""

import math
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from rlclaims import compiled


class ActionDistribution(Protocol):
    """Action distributions in B states of each of S seeds."""

    def log_prob(self, action_SBA: Tensor) -> Tensor:
        """Return the log density of the actions, (S, B), in nats."""

    def kl(self, other: Self) -> Tensor:
        """Return KL(self || other) in each state, (S, B), in nats."""


class NetworkActions(ActionDistribution, Protocol):
    """Action distributions of the built-in networks, which have an entropy."""

    def entropy(self) -> Tensor:
        """Return the mean entropy over the states, (S,), in nats."""


class Policy(Protocol):
    """S policies, one per seed, at fixed parameters."""

    def __call__(self, observation_SBO: Tensor) -> ActionDistribution:
        """Return the action distributions in the given (already normalised) observations."""


@dataclass(frozen=True)
class DiagonalGaussian:
    """Independent normal actions: means depend on the state, standard deviations on the seed alone."""

    mean_SBA: Tensor
    """Mean action in each state, (S, B, A)."""
    log_std_S1A: Tensor
    """Log standard deviation, (S, 1, A)."""

    def log_prob(self, action_SBA: Tensor) -> Tensor:
        """Return the log density of the actions, (S, B), in nats."""
        if self._has_kernels(action_SBA):
            tensors = self.mean_SBA.contiguous(), compiled.contiguous_rows(self.log_std_S1A), action_SBA.contiguous()
            log_prob_SB: Tensor = _CompiledLogProb.apply(*tensors)  # type: ignore[no-untyped-call]
            return log_prob_SB
        z_SBA = (action_SBA - self.mean_SBA) * (-self.log_std_S1A).exp()
        log_normalizer_S1 = self.log_std_S1A.sum(-1) + 0.5 * math.log(2 * math.pi) * action_SBA.shape[-1]
        return -0.5 * (z_SBA * z_SBA).sum(-1) - log_normalizer_S1

    def _has_kernels(self, action_SBA: Tensor) -> bool:
        tensors = self.mean_SBA, self.log_std_S1A, action_SBA
        return (
            compiled.library() is not None
            and all(x.dtype == torch.float32 and x.device.type == "cpu" for x in tensors)
            and self.mean_SBA.shape == action_SBA.shape
            and self.log_std_S1A.shape == (len(action_SBA), 1, action_SBA.shape[2])
            and not action_SBA.requires_grad
        )

    def entropy(self) -> Tensor:
        """Return the entropy, the same in every state, (S,), in nats: sum over actions of log(s) + log(2 pi e) / 2."""
        log_std_SA = self.log_std_S1A.squeeze(1)
        return log_std_SA.sum(1) + 0.5 * math.log(2 * math.pi * math.e) * log_std_SA.shape[1]

    def kl(self, other: Self) -> Tensor:
        """Return KL(self || other) in each state, exact, (S, B), in nats.

        Sum over actions of log(s2/s1) + (s1^2 + (m1 - m2)^2) / (2 s2^2) - 1/2. The part that depends on the
        standard deviations alone uses expm1, so that close policies do not cancel to noise.
        """
        log_ratio_S1A = self.log_std_S1A - other.log_std_S1A
        spread_S1 = (0.5 * (2 * log_ratio_S1A).expm1() - log_ratio_S1A).sum(-1)
        shift_SBA = (self.mean_SBA - other.mean_SBA) * (-other.log_std_S1A).exp()
        return spread_S1 + 0.5 * (shift_SBA * shift_SBA).sum(-1)


class _CompiledLogProb(torch.autograd.Function):
    """Log densities, and gradients of means and log standard deviations, computed by kernels."""

    @staticmethod
    def forward(ctx: Any, mean_SBA: Tensor, log_std_S1A: Tensor, action_SBA: Tensor) -> Tensor:
        ctx.save_for_backward(mean_SBA, log_std_S1A, action_SBA)
        return compiled.log_prob(mean_SBA, log_std_S1A, action_SBA)

    @staticmethod
    def backward(ctx: Any, gradient_SB: Tensor) -> tuple[Tensor, Tensor, None]:
        mean_SBA, log_std_S1A, action_SBA = ctx.saved_tensors
        if torch.is_grad_enabled():  # a double backward, which kernels do not support
            inverse_S1A, gradient_SB1 = (-log_std_S1A).exp(), gradient_SB.unsqueeze(-1)
            z_SBA = (action_SBA - mean_SBA) * inverse_S1A
            return gradient_SB1 * z_SBA * inverse_S1A, (gradient_SB1 * (z_SBA * z_SBA - 1)).sum(1, keepdim=True), None
        return *compiled.log_prob_backward(mean_SBA, log_std_S1A, action_SBA, gradient_SB), None


@dataclass(frozen=True)
class Categorical:
    """Independent discrete choices, one per entry of an action; entries are indices, counted from 0."""

    logits_SBL: Tensor
    """Log probabilities up to a constant, concatenated over entries."""
    choices: tuple[int, ...]
    """Number of choices of each entry; they add up to L."""

    def log_probs(self) -> list[Tensor]:
        """Return each entry's log probabilities, (S, B, n), in float64 because KL cancels in single precision."""
        return [part_SBN.double().log_softmax(-1) for part_SBN in self.logits_SBL.split_with_sizes(self.choices, -1)]

    def log_prob(self, action_SBA: Tensor) -> Tensor:
        """Return the log probability of the actions, (S, B), in nats."""
        chosen = zip(self.log_probs(), action_SBA.long().unbind(-1), strict=True)
        return self._total([log_SBN.gather(-1, action_SB[..., None]).squeeze(-1) for log_SBN, action_SB in chosen])

    def entropy(self) -> Tensor:
        """Return the mean entropy over the states, (S,), in nats."""
        return self._total([-(log_SBN.exp() * log_SBN).sum(-1) for log_SBN in self.log_probs()]).mean(1)

    def kl(self, other: Self) -> Tensor:
        """Return KL(self || other) in each state, exact, (S, B), in nats."""
        both = zip(self.log_probs(), other.log_probs(), strict=True)
        return self._total([(log_p_SBN.exp() * (log_p_SBN - log_q_SBN)).sum(-1) for log_p_SBN, log_q_SBN in both])

    def levels(self, action_SBA: Tensor, within_SBA: Tensor) -> Tensor:
        """Return cumulative probabilities of actions, (S, B, A), at the fraction `within` of each choice's interval.

        They are uniform if the action is drawn from this distribution and `within` from [0, 1); `at` is the inverse.
        """
        levels = []
        for a, log_SBN in enumerate(self.log_probs()):
            action_SB1, p_SBN = action_SBA[..., a, None].long(), log_SBN.exp()
            up_to_SB1, own_SB1 = p_SBN.cumsum(-1).gather(-1, action_SB1), p_SBN.gather(-1, action_SB1)
            levels.append(up_to_SB1 - (1 - within_SBA[..., a, None]) * own_SB1)
        return torch.cat(levels, -1)

    def at(self, level_SBA: Tensor) -> Tensor:
        """Return the actions at given cumulative probabilities, (S, B, A)."""
        ends = [log_SBN.exp().cumsum(-1)[..., :-1] for log_SBN in self.log_probs()]
        return torch.stack([(end_SBN <= level_SBA[..., a, None]).sum(-1) for a, end_SBN in enumerate(ends)], -1)

    def _total(self, of_entries: list[Tensor]) -> Tensor:
        return torch.stack(of_entries).sum(0).to(self.logits_SBL.dtype)


@dataclass(frozen=True)
class Rollout:
    """T consecutive steps of S seeds, whose episodes continue across rollouts."""

    observation_STO: Tensor
    """Normalised observations that the policy acted on, float32."""
    action_STA: Tensor
    """Actions of the policy, float32: numbers, not clipped to the action bounds, or indices of choices."""
    reward_ST: Tensor
    """The task's own reward, float64."""
    next_observation_STO: Tensor
    """Normalised observations after the step; at an episode's end its last one, not that of the reset."""
    terminated_ST: Tensor
    """True if the task ended the episode: no further reward."""
    truncated_ST: Tensor
    """True if the time limit cut the episode: values are bootstrapped here."""

    def select(self, which: slice | list[int]) -> "Rollout":
        """Return the steps of some of the seeds, by their rows."""
        return Rollout(*(getattr(self, field.name)[which] for field in fields(self)))


@dataclass(frozen=True)
class Batch:
    """B state-action pairs drawn from the old policy of each seed."""

    observation_SBO: Tensor
    action_SBA: Tensor
    advantage_SB: Tensor
    """Generalised advantage estimates in the units the algorithm learns from, not standardised."""

    def select(self, which: slice | list[int]) -> "Batch":
        """Return the pairs of some of the seeds, by their rows."""
        return Batch(*(getattr(self, field.name)[which] for field in fields(self)))


@dataclass(frozen=True)
class Update:
    """One policy-improvement step, and the pairs on which it is measured."""

    old: Policy
    new: Policy
    batch: Batch

    # All measures use the same states, so each policy is evaluated once.
    @cached_property
    def old_actions(self) -> ActionDistribution:
        """Return the old policy's action distributions in the batch's states."""
        with torch.no_grad():
            return self.old(self.batch.observation_SBO)

    @cached_property
    def new_actions(self) -> ActionDistribution:
        """Return the new policy's action distributions in the batch's states."""
        with torch.no_grad():
            return self.new(self.batch.observation_SBO)

    @cached_property
    def ratio(self) -> Tensor:
        """Return pi_new(a|s) / pi_old(a|s) of each pair of the batch, (S, B) (float64, from float32 log densities)."""
        with torch.no_grad():
            action_SBA = self.batch.action_SBA
            old_SB, new_SB = self.old_actions.log_prob(action_SBA), self.new_actions.log_prob(action_SBA)
            return (new_SB.double() - old_SB.double()).exp()
