from copy import deepcopy
from dataclasses import fields

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Independent, Normal

from rlclaims import PPO, PPOM, Batch, PPONoClip
from rlclaims.agents.agent import Agent
from rlclaims.randomness import Purpose, stream

SIZES, N_ACTION, SEEDS = (5, 16, 16), 2, (3, 0, 11)
SMALL = {"steps": 128, "minibatches": 4, "epochs": 3, "value_epochs": 3, "hidden": (16, 16)}


class PlainPPO:
    """Textbook PPO for one seed: torch.nn, torch.optim, torch.distributions, and lists."""

    def __init__(self, algorithm, seed, policy, log_std_A, value, iterations):
        self.algorithm, self.policy, self.value, self.iterations = algorithm, policy, value, iterations
        self.log_std_A = nn.Parameter(log_std_A.detach().clone())
        self.policy_parameters = [*policy.parameters(), self.log_std_A]
        self.policy_adam = torch.optim.Adam(self.policy_parameters, eps=algorithm.adam_epsilon)
        self.value_adam = torch.optim.Adam(value.parameters(), eps=algorithm.adam_epsilon)
        self.rng = stream(seed, Purpose.MINIBATCHES)
        self.iteration, self.fed, self.discounted = 0, [], 0.0
        self.clipped = {"ratio": False, "gradient": False, "value": False, "reward": False}

    def learn(self, observation_TO, action_TA, reward_T, next_observation_TO, terminated_T, truncated_T):
        with torch.no_grad():
            old_value_T = self.value(observation_TO)[:, 0]
            next_value_T = self.value(next_observation_TO)[:, 0]
        reward = self.scaled(reward_T.tolist(), (terminated_T | truncated_T).tolist())
        advantage_T = self.advantages(reward, old_value_T, next_value_T, terminated_T, truncated_T)
        self.improve(observation_TO, action_TA, advantage_T)
        target_T = old_value_T + advantage_T
        self.value_adam.param_groups[0]["lr"] = self.annealed(self.algorithm.value_learning_rate)
        for rows in self.minibatches(self.algorithm.value_epochs, len(target_T)):
            self.value_step(observation_TO[rows], old_value_T[rows], target_T[rows])
        self.iteration += 1

    def improve(self, observation_TO, action_TA, advantage_T):
        self.policy_adam.param_groups[0]["lr"] = self.annealed(self.algorithm.learning_rate)
        with torch.no_grad():
            old_log_prob_T = self.actions(observation_TO).log_prob(action_TA)
        for rows in self.minibatches(self.algorithm.epochs, len(advantage_T)):
            self.policy_step(observation_TO[rows], action_TA[rows], old_log_prob_T[rows], advantage_T[rows])

    def parameters(self, flat):
        return torch.cat([flat(self.policy), self.log_std_A.detach()])

    def annealed(self, learning_rate):
        return learning_rate * (1 - self.iteration / self.iterations if self.algorithm.anneal_learning_rates else 1)

    def actions(self, observation_BO):
        return Independent(Normal(self.policy(observation_BO), self.log_std_A.exp()), 1)

    def minibatches(self, epochs, n_pairs):
        size = n_pairs // self.algorithm.minibatches
        for _ in range(epochs):
            order = self.rng.permutation(n_pairs)
            for first in range(0, n_pairs, size):
                yield order[first : first + size]

    def scaled(self, reward, done):
        bound, scaled = self.algorithm.reward_clip or np.inf, []
        if not self.algorithm.scale_rewards:
            self.clipped["reward"] |= any(abs(r) > bound for r in reward)
            return [bound if r > bound else -bound if r < -bound else r for r in reward]
        for r, over in zip(reward, done, strict=True):
            self.discounted = self.algorithm.gamma * self.discounted + r
            of_returns = self.algorithm.reward_scaling == "returns"
            self.fed.append(self.discounted if of_returns else r)
            kept = 0.0 if of_returns else np.mean(self.fed)
            std = np.std(self.fed, ddof=1) + 1e-8 if len(self.fed) > 1 else 1.0
            r = kept + (r - kept) / std
            self.clipped["reward"] |= abs(r) > bound
            scaled.append(min(max(r, -bound), bound))
            self.discounted *= not over
        return scaled

    def advantages(self, reward, value_T, next_value_T, terminated_T, truncated_T):
        value, next_value, steps = value_T.tolist(), next_value_T.tolist(), len(reward)
        advantage = [0.0] * (steps + 1)
        for t in reversed(range(steps)):
            worth = reward[t] if terminated_T[t] else reward[t] + self.algorithm.gamma * next_value[t]
            goes_on = not (terminated_T[t] or truncated_T[t])
            decay = self.algorithm.gamma * self.algorithm.gae_lambda if goes_on else 0.0
            advantage[t] = worth - value[t] + decay * advantage[t + 1]
        return torch.tensor(advantage[:-1], dtype=torch.float32)  # kept in single precision

    def policy_step(self, observation_BO, action_BA, old_log_prob_B, advantage_B):
        if self.algorithm.normalize_advantages:
            advantage_B = (advantage_B - advantage_B.mean()) / (advantage_B.std() + 1e-8)
        actions = self.actions(observation_BO)
        ratio_B = (actions.log_prob(action_BA) - old_log_prob_B).exp()
        loss_B = -ratio_B * advantage_B
        if (epsilon := self.algorithm.clip_epsilon) is not None:
            self.clipped["ratio"] |= bool(((ratio_B - 1).abs() > epsilon).any())
            loss_B = torch.max(loss_B, -torch.clamp(ratio_B, 1 - epsilon, 1 + epsilon) * advantage_B)
        if (weight := self.algorithm.entropy_coefficient) is not None:
            loss_B = loss_B - weight * actions.entropy()
        self.policy_adam.zero_grad()
        loss_B.mean().backward()
        if (bound := self.algorithm.gradient_clip) is not None:
            norm = nn.utils.clip_grad_norm_(self.policy_parameters, bound)
            self.clipped["gradient"] |= bool(norm > bound)
        self.policy_adam.step()

    def value_step(self, observation_BO, old_value_B, target_B):
        value_B = self.value(observation_BO)[:, 0]
        loss_B = (value_B - target_B) ** 2
        if (bound := self.algorithm.value_clip) is not None:
            self.clipped["value"] |= bool(((value_B - old_value_B).abs() > bound).any())
            near_B = old_value_B + torch.clamp(value_B - old_value_B, -bound, bound)
            loss_B = torch.max(loss_B, (near_B - target_B) ** 2)
        self.value_adam.zero_grad()
        loss_B.mean().backward()
        self.value_adam.step()


CHOICES = (3, 2)


class Choices:
    """Independent categorical distributions of the entries of an action."""

    def __init__(self, logits_BL):
        self.parts = [Categorical(logits=logits_BC) for logits_BC in logits_BL.split(list(CHOICES), -1)]

    def log_prob(self, action_BA):
        return sum(part.log_prob(action_BA[:, a]) for a, part in enumerate(self.parts))

    def entropy(self):
        return sum(part.entropy() for part in self.parts)


class PlainChooser(PlainPPO):
    def actions(self, observation_BO):
        return Choices(self.policy(observation_BO))


# Learning rates and bounds with which this short training reaches every clip that is on.
CASES = {
    "PPO": (PPO(**SMALL, learning_rate=0.02, reward_clip=1.0), {"ratio", "reward"}),
    "PPO with every clip": (
        PPO(**SMALL, learning_rate=0.02, reward_clip=1.0, value_clip=5e-4, gradient_clip=0.05),
        {"ratio", "gradient", "value", "reward"},
    ),
    "PPO without the ratio's clip": (PPO(**SMALL, learning_rate=0.02, clip_epsilon=None, reward_clip=None), set()),
    "PPO on advantages as they are": (
        PPO(**SMALL, learning_rate=0.02, normalize_advantages=False, reward_clip=1.0),
        {"ratio", "reward"},
    ),
    "PPO that seeks entropy": (
        PPO(**SMALL, learning_rate=0.02, entropy_coefficient=0.3, reward_clip=1.0),
        {"ratio", "reward"},
    ),
    "PPOM": (PPOM(**SMALL, learning_rate=0.02), {"ratio"}),
    "PPOM that bounds the task's own rewards": (
        PPOM(**SMALL, learning_rate=0.02, reward_clip=1.0),
        {"ratio", "reward"},
    ),
    "PPO-NoClip": (
        PPONoClip(**SMALL, learning_rate=0.02, reward_clip=2.0, gradient_clip=0.05),
        {"gradient", "reward"},
    ),
}


@pytest.fixture
def plain_ones(as_module):
    """A function that builds a textbook learner for each of an agent's seeds, at its parameters."""

    def build(agent):
        return [
            PlainPPO(
                agent.algorithm,
                seed,
                as_module(agent.theta_SP[i, :-N_ACTION], (*SIZES, N_ACTION)),
                agent.theta_SP[i, -N_ACTION:],
                as_module(agent.phi_SP[i], (*SIZES, 1)),
                agent.iterations,
            )
            for i, seed in enumerate(agent.seeds)
        ]

    return build


@pytest.mark.parametrize("case", CASES)
def test_seeds_learn_together_what_each_learns_by_the_textbook(case, double_agent, make_rollout, plain_ones, flat):
    algorithm, clips = CASES[case]
    agent = double_agent(algorithm, SEEDS, SIZES[0], N_ACTION, iterations=3)
    plain = plain_ones(agent)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        start_SP = agent.theta_SP.detach().clone()
        rollout = make_rollout(agent, generator)
        algorithm.learn(agent, rollout)
        agent.iteration += 1
        assert (agent.theta_SP - start_SP).norm(dim=1).min() > 0.01
        for i, one in enumerate(plain):
            one.learn(*(getattr(rollout, field.name)[i] for field in fields(rollout)))
            torch.testing.assert_close(agent.theta_SP[i].detach(), one.parameters(flat), rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(agent.phi_SP[i].detach(), flat(one.value), rtol=1e-9, atol=1e-9)
    for one in plain:
        assert {name for name, met in one.clipped.items() if met} == clips


@pytest.mark.parametrize(
    "algorithm",
    [
        PPO(**SMALL, learning_rate=0.02, reward_clip=1.0, gradient_clip=0.05),
        PPO(**SMALL, learning_rate=0.02, entropy_coefficient=0.3),
    ],
)
def test_policies_that_choose_learn_by_the_textbook_too(algorithm, double_agent, make_rollout, as_module, flat):
    agent = double_agent(algorithm, SEEDS, SIZES[0], len(CHOICES), iterations=3, choices=CHOICES)
    plain = [
        PlainChooser(
            algorithm,
            seed,
            as_module(agent.theta_SP[i], (*SIZES, sum(CHOICES))),
            torch.zeros(0),
            as_module(agent.phi_SP[i], (*SIZES, 1)),
            agent.iterations,
        )
        for i, seed in enumerate(SEEDS)
    ]
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        start_SP, rollout = agent.theta_SP.detach().clone(), make_rollout(agent, generator)
        algorithm.learn(agent, rollout)
        agent.iteration += 1
        assert (agent.theta_SP - start_SP).norm(dim=1).min() > 0.01
        for i, one in enumerate(plain):
            one.learn(*(getattr(rollout, field.name)[i] for field in fields(rollout)))
            torch.testing.assert_close(agent.theta_SP[i].detach(), flat(one.policy), rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(agent.phi_SP[i].detach(), flat(one.value), rtol=1e-9, atol=1e-9)
    assert all(one.clipped["ratio"] for one in plain)


def test_policy_improves_by_the_textbook_on_any_batch(double_agent, make_rollout, plain_ones, flat):
    algorithm = PPO(**SMALL, learning_rate=0.02)
    agent = double_agent(algorithm, SEEDS, SIZES[0], N_ACTION, iterations=3)
    agent.iteration, start_phi_SP, generator = 1, agent.phi_SP.detach().clone(), torch.Generator().manual_seed(0)
    plain = plain_ones(agent)
    for _ in range(2):  # the second continues with the first one's parameters, moments and shuffles
        one_rollout, another = make_rollout(agent, generator), make_rollout(agent, generator)
        observation_SBO = torch.cat([one_rollout.observation_STO, another.observation_STO], dim=1)
        action_SBA = torch.cat([one_rollout.action_STA, another.action_STA], dim=1)
        advantage_SB = torch.randn(len(SEEDS), 2 * algorithm.steps, generator=generator)
        algorithm.improve(agent, Batch(observation_SBO, action_SBA, advantage_SB))
        for i, one in enumerate(plain):
            one.iteration = 1
            one.improve(observation_SBO[i], action_SBA[i], advantage_SB[i])
            torch.testing.assert_close(agent.theta_SP[i].detach(), one.parameters(flat), rtol=1e-9, atol=1e-9)
    assert torch.equal(agent.phi_SP, start_phi_SP)


@pytest.mark.parametrize("algorithm", [PPO(**SMALL), PPOM(**SMALL), PPONoClip(**SMALL)])
def test_improve_on_the_returned_batch_is_bit_identical(algorithm, make_rollout):
    agent = Agent(algorithm, SEEDS, SIZES[0], N_ACTION, 3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):  # the second time with moments in Adam
        rollout, start_SP, again = make_rollout(agent, generator), agent.theta_SP.detach().clone(), deepcopy(agent)
        batch = algorithm.learn(agent, rollout)
        algorithm.improve(again, batch)
        assert torch.equal(again.theta_SP, agent.theta_SP)
        assert (agent.theta_SP != start_SP).any(dim=1).all()


@pytest.mark.parametrize("coefficient", [0.02, -0.02])
def test_entropy_alone_moves_stds_and_not_means(coefficient, double_agent, make_rollout):
    algorithm = PPO(**SMALL, entropy_coefficient=coefficient, normalize_advantages=False)
    agent = double_agent(algorithm, SEEDS, SIZES[0], N_ACTION)
    start_SP = agent.theta_SP.detach().clone()
    rollout = make_rollout(agent, torch.Generator().manual_seed(0))
    nothing_SB = torch.zeros(len(SEEDS), algorithm.steps)
    algorithm.improve(agent, Batch(rollout.observation_STO, rollout.action_STA, nothing_SB))
    assert torch.equal(agent.theta_SP[:, :-N_ACTION], start_SP[:, :-N_ACTION])
    # The entropy's slope in every log standard deviation is 1, and on a constant gradient g each of Adam's steps is
    # lr g / (|g| + epsilon): 3 epochs of 4 minibatches.
    moved = 12 * algorithm.learning_rate * coefficient / (abs(coefficient) + algorithm.adam_epsilon)
    moved_SA = agent.theta_SP.detach()[:, -N_ACTION:] - start_SP[:, -N_ACTION:]
    torch.testing.assert_close(moved_SA, torch.full_like(moved_SA, moved), rtol=1e-9, atol=0)


def test_the_first_minibatch_has_ratios_of_exactly_one(make_rollout):
    ratios = []

    class Watched(PPO):
        def policy_loss(self, ratio_SB, advantage_SB):
            ratios.append(ratio_SB.detach())
            return super().policy_loss(ratio_SB, advantage_SB)

    algorithm = Watched(epochs=1, value_epochs=1)
    agent = Agent(algorithm, (0, 1, 2), 11, 3, 1)
    algorithm.learn(agent, make_rollout(agent, torch.Generator().manual_seed(0)))
    assert len(ratios) == 32
    assert ratios[0].shape == (3, 64) and (ratios[0] == 1).all()
    assert (ratios[1] != 1).any(dim=1).all()


def test_a_seed_learns_alike_wherever_it_stands_bit_for_bit(make_rollout):
    algorithm = PPO(epochs=2, value_epochs=2)
    # One rollout for all, so that only the other seeds differ; three seeds' parameters do not fill whole vectors.
    first, middle, last = (Agent(algorithm, seeds, 11, 3, 1) for seeds in ((3, 8, 8), (8, 3, 8), (8, 8, 3)))
    rollout = make_rollout(first, torch.Generator().manual_seed(0))
    rollout = type(rollout)(*(getattr(rollout, f.name)[[0, 0, 0]] for f in fields(rollout)))
    for agent in (first, middle, last):
        algorithm.learn(agent, rollout)
    for one, other in ((first.theta_SP[0], middle.theta_SP[1]), (first.phi_SP[0], middle.phi_SP[1])):
        assert torch.equal(one, other)
    for one, other in ((first.theta_SP[0], last.theta_SP[2]), (first.phi_SP[0], last.phi_SP[2])):
        assert torch.equal(one, other)


@pytest.mark.parametrize("epsilon", [0.2, 0.5, None])
def test_pairs_beyond_the_clip_get_no_gradient(epsilon):
    grid = torch.linspace(0.03, 2.98, 60).expand(2, -1)  # none of them on an edge of the clip
    for sign in (1.0, -1.0):
        ratio_SB = grid.clone().requires_grad_()
        PPO(clip_epsilon=epsilon).policy_loss(ratio_SB, torch.full((2, 60), 1.5 * sign)).sum().backward()
        for ratio, slope in zip(ratio_SB.flatten().tolist(), ratio_SB.grad.flatten().tolist(), strict=True):
            off = epsilon is not None and (ratio > 1 + epsilon if sign > 0 else ratio < 1 - epsilon)
            assert slope == (0 if off else pytest.approx(-1.5 * sign / 60))


@pytest.mark.parametrize("frozen", [False, True])
def test_unscaled_rewards_are_clipped_also_for_measuring(frozen, double_agent, make_rollout):
    # Without a discount, advantages are rewards less the values.
    agent = double_agent(PPOM(**SMALL, gamma=0.0, reward_clip=0.5), SEEDS, SIZES[0], N_ACTION)
    rollout = make_rollout(agent, torch.Generator().manual_seed(0))
    value_ST, next_value_ST = agent.values(rollout)
    for _ in range(2):  # no statistic is updated
        advantage_ST = agent.advantages(rollout, value_ST, next_value_ST, frozen=frozen)
        for i, t in np.ndindex(*advantage_ST.shape):
            bounded = max(-0.5, min(0.5, float(rollout.reward_ST[i, t])))
            assert float(advantage_ST[i, t]) == pytest.approx(bounded - float(value_ST[i, t]), abs=1e-6)
    bounded_ST = agent.with_scaled_rewards(rollout).reward_ST
    assert float(bounded_ST.max()) == 0.5 and float(bounded_ST.min()) == -0.5
    assert float(rollout.reward_ST.max()) > 1
