"""Trust region policy optimisation for S seeds at once, and TRPO+, with the code-level optimisations of PPO.

TRPO (Schulman et al. 2015, 1502.05477) is implemented as in MadryLab/implementation-matters: conjugate gradient
on Fisher-vector products over a tenth of the states, a step to the edge of the trust region, and a backtracking line
search that requires a higher surrogate and a mean KL(old || new) of at most delta on the rollout. Seeds share every
matrix product; masks hold those that finish earlier.

TRPO+ is TRPO with reward scaling (2), orthogonal initialisation (3; not on Humanoid), reward clipping (5) and
observation clipping (7), and on Humanoid value clipping (1). Its delta is constant: the configs of that code
name a final one, but its step never reads the schedule, nor the bound on the gradient (9).

The entropy bonus is not implemented.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rlclaims.agents.agent import Agent
from rlclaims.agents.algorithm import Algorithm, standardized
from rlclaims.randomness import Purpose, stream
from rlclaims.update import Batch, Rollout, Update


@dataclass(frozen=True)
class TRPO(Algorithm):
    """TRPO; defaults are the papers' settings for Hopper."""

    delta: float = 0.13
    """Trust region: the largest mean KL(old || new) on the rollout, in nats."""
    value_learning_rate: float = 2e-4
    conjugate_gradient_steps: int = 10
    """Iterations of the conjugate gradient method."""
    damping: float = 0.1
    """Multiple of the identity added to the Fisher matrix."""
    fisher_fraction: float = 0.1
    """Share of the rollout's states, drawn without replacement, on which the Fisher matrix is estimated."""
    backtracks: int = 10
    """Number of step sizes that the line search tries: 1, 1/2, 1/4, ..."""
    accept_ratio: float = 0.1
    """Minimum gain in the surrogate, as a share of the gain that its gradient predicts for the step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("delta", "damping", "fisher_fraction", "accept_ratio"):
            self._require_positive(name)
        for name in ("conjugate_gradient_steps", "backtracks"):
            self._require_positive(name, int)

    def learn(self, agent: Agent, rollout: Rollout) -> Batch:
        """Run one iteration of the algorithm box: advantages, natural gradient, line search, value regression."""
        value_ST, advantage_ST = agent.estimate(rollout)
        batch = Batch(rollout.observation_STO, rollout.action_STA, advantage_ST)
        self.improve(agent, batch)
        agent.fit_values(rollout.observation_STO, value_ST, advantage_ST)
        return batch

    def improve(self, agent: Agent, batch: Batch) -> None:
        """Take a natural gradient step with line search from the agent's current policy; updates theta_SP alone."""
        observation_STO, action_STA = batch.observation_SBO, batch.action_SBA
        standardized_ST = standardized(batch.advantage_SB)
        old = agent.policy()
        with torch.no_grad():
            old_actions = old(observation_STO)
            old_log_prob_ST = old_actions.log_prob(action_STA)

        def surrogate_and_kl(theta_SP: Tensor) -> tuple[Tensor, Tensor]:
            new_actions = agent.network(theta_SP, observation_STO)
            ratio_ST = (new_actions.log_prob(action_STA) - old_log_prob_ST).exp()
            return (ratio_ST * standardized_ST).mean(1), old_actions.kl(new_actions).mean(1)

        surrogate_S, _ = surrogate_and_kl(agent.theta_SP)
        (gradient_SP,) = torch.autograd.grad(surrogate_S.sum(), agent.theta_SP)

        fisher = fisher_vector_product(agent, self._fisher_states(agent, observation_STO), self.damping)
        direction_SP = conjugate_gradient(fisher, gradient_SP, self.conjugate_gradient_steps)
        curvature_S1 = (direction_SP * fisher(direction_SP)).sum(1, keepdim=True)
        # A seed with a zero gradient has no direction and does not move.
        scale_S1 = (2 * self.delta / curvature_S1).sqrt().nan_to_num(nan=0.0, posinf=0.0)
        full_step_SP = scale_S1 * direction_SP

        with torch.no_grad():
            step_SP = self._line_search(old.theta_SP, full_step_SP, gradient_SP, surrogate_S, surrogate_and_kl)
            agent.theta_SP += step_SP

    def objective(self, update: Update) -> Tensor:
        """Return the objective that the line search maximises, (S,): the mean of ratio times standardised advantage."""
        return (update.ratio * self.weights(update.batch)).mean(1)

    def _fisher_states(self, agent: Agent, observation_STO: Tensor) -> Tensor:
        n_pairs = observation_STO.shape[1]
        n = max(1, int(self.fisher_fraction * n_pairs))
        rows = [stream(s, Purpose.FISHER_STATES, agent.iteration).permutation(n_pairs)[:n] for s in agent.seeds]
        return torch.stack([observation_STO[i, torch.from_numpy(row)] for i, row in enumerate(rows)])

    def _line_search(
        self,
        theta_SP: Tensor,
        full_step_SP: Tensor,
        gradient_SP: Tensor,
        surrogate_S: Tensor,
        surrogate_and_kl: Callable[[Tensor], tuple[Tensor, Tensor]],
    ) -> Tensor:
        """Return the longest of the halved steps that each seed accepts, (S, P); zeros if it accepts no step."""
        predicted_S = (gradient_SP * full_step_SP).sum(1)
        accepted_SP = torch.zeros_like(full_step_SP)
        searching_S = torch.ones_like(surrogate_S, dtype=torch.bool)
        for halvings in range(self.backtracks):
            shrink = 0.5**halvings
            new_surrogate_S, kl_S = surrogate_and_kl(theta_SP + shrink * full_step_SP)
            gain_S = new_surrogate_S - surrogate_S
            good_S = (gain_S > 0) & (gain_S >= self.accept_ratio * shrink * predicted_S) & (kl_S <= self.delta)
            accepted_SP[searching_S & good_S] = shrink * full_step_SP[searching_S & good_S]
            searching_S &= ~good_S
            if not searching_S.any():
                break
        return accepted_SP


@dataclass(frozen=True)
class TRPOPlus(TRPO):
    """TRPO+: TRPO with code-level optimisations of PPO; defaults are the papers' for Hopper."""

    delta: float = 0.04

    scale_rewards: bool = True
    initialization: str = "orthogonal"
    reward_clip: float | None = 10.0
    observation_clip: float | None = 10.0


def fisher_vector_product(agent: Agent, observation_SBO: Tensor, damping: float) -> Callable[[Tensor], Tensor]:
    """Return the map v -> (F + damping I) v of each seed, F the Hessian of mean KL(old || theta) at theta = old."""
    n_seeds = len(agent.seeds)
    # A lone seed is doubled, so that its products round as they do beside other seeds (see `networks._affine`).
    copies = 2 if n_seeds == 1 else 1
    theta_SP = agent.theta_SP.detach().repeat(copies, 1).requires_grad_()
    observation_SBO = observation_SBO.repeat(copies, 1, 1)
    with torch.no_grad():
        old_actions = agent.network(theta_SP, observation_SBO)
    kl_S = old_actions.kl(agent.network(theta_SP, observation_SBO)).mean(1)
    (kl_gradient_SP,) = torch.autograd.grad(kl_S.sum(), theta_SP, create_graph=True)

    def product(v_SP: Tensor) -> Tensor:
        slope = (kl_gradient_SP * v_SP.repeat(copies, 1)).sum()
        (hessian_v_SP,) = torch.autograd.grad(slope, theta_SP, retain_graph=True)
        return hessian_v_SP[:n_seeds] + damping * v_SP

    return product


def conjugate_gradient(
    product: Callable[[Tensor], Tensor], b_SP: Tensor, steps: int, tolerance: float = 1e-10
) -> Tensor:
    """Return approximate solutions x of A x = b, one symmetric positive definite system per seed, from x = 0.

    A seed whose squared residual falls below `tolerance` keeps its solution while the others continue.
    """
    x_SP = torch.zeros_like(b_SP)
    residual_SP = b_SP.clone()
    direction_SP = b_SP.clone()
    squared_S1 = residual_SP.square().sum(1, keepdim=True)
    for _ in range(steps):
        active_S1 = squared_S1 > tolerance
        if not active_S1.any():
            break
        product_SP = product(direction_SP)
        length_S1 = squared_S1 / (direction_SP * product_SP).sum(1, keepdim=True)
        length_S1 = torch.where(active_S1, length_S1, 0.0)
        x_SP = x_SP + length_S1 * direction_SP
        residual_SP = residual_SP - length_S1 * product_SP
        new_squared_S1 = torch.where(active_S1, residual_SP.square().sum(1, keepdim=True), squared_S1)
        direction_SP = torch.where(active_S1, residual_SP + (new_squared_S1 / squared_S1) * direction_SP, direction_SP)
        squared_S1 = new_squared_S1
    return x_SP
