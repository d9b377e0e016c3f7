"""Published successors of PPO, each of which defines only its differences from PPO.

    SPO     Simple Policy Optimization (Xie et al., 2401.16025): a quadratic penalty on the ratio instead of the clip
    ESPO    Early Stopping Policy Optimization (Sun et al., 2202.00079): no clip, and epochs that end early
    PPO-RB  PPO with rollback (Wang et al., "Truly Proximal Policy Optimization", 1903.07940): outside the range the
            objective slopes back instead of being flat

They use the papers' settings of PPO for a task, including its learning rates, as the authors of SPO and PPO-RB do in
their comparisons.
"""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from rlclaims import PPO, Agent, Batch


@dataclass(frozen=True)
class SPO(PPO):
    """PPO with a penalty of |A| (r - 1)^2 / (2 eps) instead of the clip: each pair's optimum is 1 + sign(A) eps."""

    def policy_loss(self, ratio_SB: Tensor, advantage_SB: Tensor) -> Tensor:
        """Return minus the mean of r A - |A| (r - 1)^2 / (2 eps), (S,)."""
        penalty_SB = advantage_SB.abs() * (ratio_SB - 1).square() / (2 * self.ratio_epsilon)
        return -(ratio_SB * advantage_SB - penalty_SB).mean(1)


@dataclass(frozen=True)
class ESPO(PPO):
    """PPO without a clip, whose epochs end once ratios are on average farther from 1 than delta.

    The mean deviation is computed after each epoch, on the whole batch. The default of delta is that of another
    implementation (nico-bohlinger/RL-X, `max_ratio_delta`), which checks each minibatch.
    """

    delta: float = 0.25
    """Mean of |r - 1| over the batch beyond which training on it stops."""
    clip_epsilon: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_positive("delta")

    def improve(self, agent: Agent, batch: Batch) -> None:
        """Run PPO's epochs for each seed until its mean deviation exceeds delta."""
        old_log_prob_SB = agent.log_prob(batch)
        running = list(range(len(agent.seeds)))
        for _ in range(self.epochs):
            selected = agent.select(running)
            pairs = batch.select(running)
            old_SB = old_log_prob_SB[running]
            self.run_epoch(selected, pairs, old_SB)
            agent.assign(running, selected)
            deviation_S = ((selected.log_prob(pairs) - old_SB).exp() - 1).abs().mean(1)
            running = [i for i, deviation in zip(running, deviation_S.tolist(), strict=True) if deviation <= self.delta]
            if not running:
                break


@dataclass(frozen=True)
class PPORB(PPO):
    """PPO whose objective slopes back by alpha where PPO's is flat (1903.07940, eq. 10 and 11)."""

    alpha: float = 0.3
    """Slope of the rollback, 0 for PPO. The default is the authors' value for all tasks but Humanoid (section 6)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_positive("alpha")

    @classmethod
    def for_task(cls, task: str, **changes: Any) -> Self:
        """Return PPO's settings with the authors' slope of the rollback, overridden by `changes`."""
        return super().for_task(task, **{**({"alpha": 0.1} if task.startswith("Humanoid-") else {}), **changes})

    def policy_loss(self, ratio_SB: Tensor, advantage_SB: Tensor) -> Tensor:
        """Return minus the mean of min(r A, F(r) A), (S,), with F(r) = r within 1 +- eps and slope -alpha outside."""
        clipped_SB = ratio_SB.clamp(1 - self.ratio_epsilon, 1 + self.ratio_epsilon)
        rolled_back_SB = clipped_SB - self.alpha * (ratio_SB - clipped_SB)
        return -torch.minimum(ratio_SB * advantage_SB, rolled_back_SB * advantage_SB).mean(1)
