"""The record everyone speaks: policies, the pairs they made, and one update from an old policy to a new.

Tensors lead with the seed axis S: S independent agents are one batched program. B state-action pairs
(or T time steps, in the order they happened), O observation entries, A action entries.
"""

import math
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from rlclaims import compiled


class ActionDistribution(Protocol):
    """What a policy says about actions in B states of each of S seeds."""

    def log_prob(self, action_SBA: Tensor) -> Tensor:
        """Log density of the actions, (S, B), in nats."""

    def kl(self, other: Self) -> Tensor:
        """KL(self || other) in each state, (S, B), in nats."""


class NetworkActions(ActionDistribution, Protocol):
    """What a network of ours says, which tells its entropy too."""

    def entropy(self) -> Tensor:
        """Mean entropy over the states, (S,), in nats."""


class Policy(Protocol):
    """S policies, one per seed, at fixed parameters."""

    def __call__(self, observation_SBO: Tensor) -> ActionDistribution:
        """The action distributions in the given (already normalised) observations."""


@dataclass(frozen=True)
class DiagonalGaussian:
    """Independent normal actions: means from the state, standard deviations from the seed alone."""

    mean_SBA: Tensor
    """Mean action in each state, (S, B, A)."""
    log_std_S1A: Tensor
    """Log standard deviation, (S, 1, A)."""

    def log_prob(self, action_SBA: Tensor) -> Tensor:
        """Log density of the actions, (S, B), in nats."""
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
        """Entropy, the same in every state, (S,), in nats: sum over actions of log(s) + log(2 pi e) / 2."""
        log_std_SA = self.log_std_S1A.squeeze(1)
        return log_std_SA.sum(1) + 0.5 * math.log(2 * math.pi * math.e) * log_std_SA.shape[1]

    def kl(self, other: Self) -> Tensor:
        """KL(self || other) in each state, exact, (S, B), in nats.

        Sum over actions of log(s2/s1) + (s1^2 + (m1 - m2)^2) / (2 s2^2) - 1/2. The part that depends on the
        standard deviations alone is written with expm1, so that close policies do not cancel to noise.
        """
        log_ratio_S1A = self.log_std_S1A - other.log_std_S1A
        spread_S1 = (0.5 * (2 * log_ratio_S1A).expm1() - log_ratio_S1A).sum(-1)
        shift_SBA = (self.mean_SBA - other.mean_SBA) * (-other.log_std_S1A).exp()
        return spread_S1 + 0.5 * (shift_SBA * shift_SBA).sum(-1)


class _CompiledLogProb(torch.autograd.Function):
    """Log densities by kernels, and the gradients of means and log standard deviations."""

    @staticmethod
    def forward(ctx: Any, mean_SBA: Tensor, log_std_S1A: Tensor, action_SBA: Tensor) -> Tensor:
        ctx.save_for_backward(mean_SBA, log_std_S1A, action_SBA)
        return compiled.log_prob(mean_SBA, log_std_S1A, action_SBA)

    @staticmethod
    def backward(ctx: Any, gradient_SB: Tensor) -> tuple[Tensor, Tensor, None]:
        mean_SBA, log_std_S1A, action_SBA = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient is to be differentiated itself, which kernels cannot be
            inverse_S1A, gradient_SB1 = (-log_std_S1A).exp(), gradient_SB.unsqueeze(-1)
            z_SBA = (action_SBA - mean_SBA) * inverse_S1A
            return gradient_SB1 * z_SBA * inverse_S1A, (gradient_SB1 * (z_SBA * z_SBA - 1)).sum(1, keepdim=True), None
        return *compiled.log_prob_backward(mean_SBA, log_std_S1A, action_SBA, gradient_SB), None


@dataclass(frozen=True)
class Categorical:
    """Independent choices, one for each entry of an action, which holds their numbers, counted from 0."""

    logits_SBL: Tensor
    """Log probabilities but for a constant, the choices of one entry after those of another."""
    choices: tuple[int, ...]
    """How many there are for each entry; L together."""

    def log_probs(self) -> list[Tensor]:
        """Of each entry, the log probabilities of its choices, (S, B, n), float64: KL cancels in single precision."""
        return [part_SBN.double().log_softmax(-1) for part_SBN in self.logits_SBL.split_with_sizes(self.choices, -1)]

    def log_prob(self, action_SBA: Tensor) -> Tensor:
        """Log probability of the actions, (S, B), in nats."""
        chosen = zip(self.log_probs(), action_SBA.long().unbind(-1), strict=True)
        return self._total([log_SBN.gather(-1, action_SB[..., None]).squeeze(-1) for log_SBN, action_SB in chosen])

    def entropy(self) -> Tensor:
        """Mean entropy over the states, (S,), in nats."""
        return self._total([-(log_SBN.exp() * log_SBN).sum(-1) for log_SBN in self.log_probs()]).mean(1)

    def kl(self, other: Self) -> Tensor:
        """KL(self || other) in each state, exact, (S, B), in nats."""
        both = zip(self.log_probs(), other.log_probs(), strict=True)
        return self._total([(mine_SBN.exp() * (mine_SBN - its_SBN)).sum(-1) for mine_SBN, its_SBN in both])

    def levels(self, action_SBA: Tensor, within_SBA: Tensor) -> Tensor:
        """Where in their distributions actions lie, (S, B, A): after the choices before them, and `within` their own.

        Of a fresh action and a `within` that is uniform on [0, 1), it is uniform; `at` is the way back.
        """
        levels = []
        for a, log_SBN in enumerate(self.log_probs()):
            action_SB1, p_SBN = action_SBA[..., a, None].long(), log_SBN.exp()
            up_to_SB1, own_SB1 = p_SBN.cumsum(-1).gather(-1, action_SB1), p_SBN.gather(-1, action_SB1)
            levels.append(up_to_SB1 - (1 - within_SBA[..., a, None]) * own_SB1)
        return torch.cat(levels, -1)

    def at(self, level_SBA: Tensor) -> Tensor:
        """The actions that lie at given levels, (S, B, A)."""
        ends = [log_SBN.exp().cumsum(-1)[..., :-1] for log_SBN in self.log_probs()]
        return torch.stack([(end_SBN <= level_SBA[..., a, None]).sum(-1) for a, end_SBN in enumerate(ends)], -1)

    def _total(self, of_entries: list[Tensor]) -> Tensor:
        return torch.stack(of_entries).sum(0).to(self.logits_SBL.dtype)


@dataclass(frozen=True)
class Rollout:
    """T consecutive steps of S seeds, episodes running on across the boundaries of rollouts."""

    observation_STO: Tensor
    """What the policy saw (normalised), float32."""
    action_STA: Tensor
    """What the policy did, float32: numbers, not clipped to the bounds of an action, or those of choices."""
    reward_ST: Tensor
    """The task's own reward, float64."""
    next_observation_STO: Tensor
    """Where the step led, normalised; at an episode's end its last observation, not the reset's."""
    terminated_ST: Tensor
    """The task ended the episode: nothing more was to be earned."""
    truncated_ST: Tensor
    """The time limit cut the episode: more was to be earned, so values bootstrap here."""

    def select(self, which: slice | list[int]) -> "Rollout":
        """The same steps of some of the seeds, by their rows."""
        return Rollout(*(getattr(self, field.name)[which] for field in fields(self)))


@dataclass(frozen=True)
class Batch:
    """B state-action pairs drawn from the old policy of each seed."""

    observation_SBO: Tensor
    action_SBA: Tensor
    advantage_SB: Tensor
    """Generalised advantage estimates in the units the algorithm learns from, not standardised."""

    def select(self, which: slice | list[int]) -> "Batch":
        """The same pairs of some of the seeds, by their rows."""
        return Batch(*(getattr(self, field.name)[which] for field in fields(self)))


@dataclass(frozen=True)
class Update:
    """One policy-improvement step, and the pairs on which it is looked at."""

    old: Policy
    new: Policy
    batch: Batch

    # Every measure asks both policies about the same states, and a policy answers once.
    @cached_property
    def old_actions(self) -> ActionDistribution:
        """What the old policy says in the batch's states."""
        with torch.no_grad():
            return self.old(self.batch.observation_SBO)

    @cached_property
    def new_actions(self) -> ActionDistribution:
        """What the new policy says in the batch's states."""
        with torch.no_grad():
            return self.new(self.batch.observation_SBO)

    @cached_property
    def ratio(self) -> Tensor:
        """pi_new(a|s) / pi_old(a|s) of each pair of the batch, (S, B) (float64, from float32 log densities)."""
        with torch.no_grad():
            action_SBA = self.batch.action_SBA
            old_SB, new_SB = self.old_actions.log_prob(action_SBA), self.new_actions.log_prob(action_SBA)
            return (new_SB.double() - old_SB.double()).exp()
