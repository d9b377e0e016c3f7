"""Published successors of PPO, each of which says only what it does otherwise.

    SPO     Simple Policy Optimization (Xie et al., 2401.16025): a quadratic penalty on the ratio instead of the clip
    ESPO    Early Stopping Policy Optimization (Sun et al., 2202.00079): no clip, and epochs that end early
    PPO-RB  PPO with rollback (Wang et al., "Truly Proximal Policy Optimization", 1903.07940): beyond its range the
            objective slopes back instead of lying flat

They take the papers' settings of PPO for a task, its learning rates too, as the authors of the first and the third
compare them.
"""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from rlclaims import PPO, Agent, Batch


@dataclass(frozen=True)
class SPO(PPO):
    """PPO whose clip is a penalty of |A| (r - 1)^2 / (2 eps), so that each pair is best off at r = 1 + sign(A) eps."""

    def policy_loss(self, ratio_SB: Tensor, advantage_SB: Tensor) -> Tensor:
        """Minus the mean of r A - |A| (r - 1)^2 / (2 eps), (S,)."""
        penalty_SB = advantage_SB.abs() * (ratio_SB - 1).square() / (2 * self.ratio_epsilon)
        return -(ratio_SB * advantage_SB - penalty_SB).mean(1)


@dataclass(frozen=True)
class ESPO(PPO):
    """PPO without a clip, whose epochs end once ratios are on average farther from 1 than delta.

    It is looked at after each epoch, on the whole batch. The default of delta is that of another implementation
    (nico-bohlinger/RL-X, `max_ratio_delta`), which looks at every minibatch.
    """

    delta: float = 0.25
    """Mean of |r - 1| over the batch beyond which no epoch follows."""
    clip_epsilon: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_positive("delta")

    def improve(self, agent: Agent, batch: Batch) -> None:
        """Epochs of PPO's, of each seed as long as it is within delta; one that is not stays as it is."""
        old_log_prob_SB = agent.log_prob(batch)
        going = list(range(len(agent.seeds)))
        for _ in range(self.epochs):
            those, pairs, old_SB = agent.select(going), batch.select(going), old_log_prob_SB[going]
            self.run_epoch(those, pairs, old_SB)
            agent.assign(going, those)
            deviation_S = ((those.log_prob(pairs) - old_SB).exp() - 1).abs().mean(1)
            going = [i for i, deviation in zip(going, deviation_S.tolist(), strict=True) if deviation <= self.delta]
            if not going:
                break


@dataclass(frozen=True)
class PPORB(PPO):
    """PPO whose objective slopes back by alpha where PPO's lies flat (1903.07940, eq. 10 and 11)."""

    alpha: float = 0.3
    """Force of the rollback; 0 would be PPO. The authors' for all tasks but Humanoid (section 6)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_positive("alpha")

    @classmethod
    def for_task(cls, task: str, **changes: Any) -> Self:
        """PPO's settings, with the authors' force of the rollback; `changes` go on top."""
        return super().for_task(task, **{**({"alpha": 0.1} if task.startswith("Humanoid-") else {}), **changes})

    def policy_loss(self, ratio_SB: Tensor, advantage_SB: Tensor) -> Tensor:
        """Minus the mean of min(r A, F(r) A), (S,), where F(r) is r within 1 +- eps and falls by alpha beyond."""
        clipped_SB = ratio_SB.clamp(1 - self.ratio_epsilon, 1 + self.ratio_epsilon)
        rolled_back_SB = clipped_SB - self.alpha * (ratio_SB - clipped_SB)
        return -torch.minimum(ratio_SB * advantage_SB, rolled_back_SB * advantage_SB).mean(1)
