"""Successors of PPO in `claims/successors.py`, against a loop for one seed in plain torch."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from successors import ESPO, PPORB, SPO
from torch import nn
from torch.distributions import Independent, Normal

from rlclaims import PPO, Batch
from rlclaims.agents.agent import Agent
from rlclaims.planning.study_checks import check_study
from rlclaims.randomness import Purpose, stream, stream_to_array
from rlclaims.store.run_spec import RunSpec, SpecError, checked
from rlclaims.studies.registry import Study

TWINS = Study("twins")

SIZES, N_ACTION, SEEDS = (5, 16, 16), 2, (3, 0, 11)
SMALL = {"steps": 128, "minibatches": 4, "epochs": 6, "value_epochs": 1, "hidden": (16, 16), "learning_rate": 0.02}


def spo(r, a):
    return r * a - abs(a) / (2 * 0.2) * (r - 1) ** 2


def unclipped(r, a):
    return r * a


def rollback(r, a):
    if r <= 1 - 0.2:
        rolled_back = -0.3 * r + (1 + 0.3) * (1 - 0.2)
    elif r >= 1 + 0.2:
        rolled_back = -0.3 * r + (1 + 0.3) * (1 + 0.2)
    else:
        rolled_back = r
    return min(r * a, rolled_back * a)


class Plain:
    """Textbook epochs for one seed; `gain` is the objective of a pair, a function of its ratio and advantage."""

    def __init__(self, agent, i, as_module, gain, delta):
        self.gain, self.delta, self.algorithm = gain, delta, agent.algorithm
        self.policy = as_module(agent.theta_SP[i, :-N_ACTION], (*SIZES, N_ACTION))
        self.log_std_A = nn.Parameter(agent.theta_SP[i, -N_ACTION:].detach().clone())
        parameters = [*self.policy.parameters(), self.log_std_A]
        self.adam = torch.optim.Adam(parameters, lr=self.algorithm.learning_rate, eps=self.algorithm.adam_epsilon)
        self.rng, self.steps, self.met = stream(agent.seeds[i], Purpose.MINIBATCHES), 0, set()

    def log_prob(self, observation_BO, action_BA):
        return Independent(Normal(self.policy(observation_BO), self.log_std_A.exp()), 1).log_prob(action_BA)

    def improve(self, observation_BO, action_BA, advantage_B):
        old_B = self.log_prob(observation_BO, action_BA).detach()
        for _ in range(self.algorithm.epochs):
            for rows in np.array_split(self.rng.permutation(len(old_B)), self.algorithm.minibatches):
                weight_B = (advantage_B[rows] - advantage_B[rows].mean()) / (advantage_B[rows].std() + 1e-8)
                ratio_B = (self.log_prob(observation_BO[rows], action_BA[rows]) - old_B[rows]).exp()
                self.met |= {"above" if r > 1.2 else "below" if r < 0.8 else "within" for r in ratio_B.tolist()}
                self.adam.zero_grad()
                (-sum(self.gain(r, a) for r, a in zip(ratio_B, weight_B, strict=True)) / len(rows)).backward()
                self.adam.step()
                self.steps += 1
            ratios = (self.log_prob(observation_BO, action_BA) - old_B).exp().tolist()
            if math.fsum(abs(r - 1) for r in ratios) / len(ratios) > self.delta:
                return


FIXED = {"anneal_learning_rates": False}
CASES = {
    "SPO": (SPO(**SMALL, **FIXED), spo, math.inf),
    "ESPO": (ESPO(**SMALL, **FIXED, delta=0.4), unclipped, 0.4),
    "PPO-RB": (PPORB(**SMALL, **FIXED), rollback, math.inf),
}


@pytest.fixture
def trained(double_agent, make_rollout, as_module, flat):
    """Update each seed twice by an algorithm and by the textbook; return the agent and the textbook's learners."""

    def make(case):
        algorithm, gain, delta = CASES[case]
        agent, generator = double_agent(algorithm, SEEDS, SIZES[0], N_ACTION), torch.Generator().manual_seed(0)
        plain = [Plain(agent, i, as_module, gain, delta) for i in range(len(SEEDS))]
        for _ in range(2):  # the second continues with the parameters, moments, steps and shuffles of the first
            rollout = make_rollout(agent, generator)
            advantage_SB = torch.randn(len(SEEDS), algorithm.steps, generator=generator, dtype=torch.float64)
            algorithm.improve(agent, Batch(rollout.observation_STO, rollout.action_STA, advantage_SB))
            for i, one in enumerate(plain):
                one.improve(rollout.observation_STO[i], rollout.action_STA[i], advantage_SB[i])
                expected_P = torch.cat([flat(one.policy), one.log_std_A.detach()])
                torch.testing.assert_close(agent.theta_SP[i].detach(), expected_P, rtol=1e-9, atol=1e-9)
        return agent, plain

    return make


@pytest.mark.parametrize("case", CASES)
def test_successors_match_a_textbook_loop_per_seed(case, trained):
    agent, plain = trained(case)
    assert agent.policy_adam.steps_S.tolist() == [one.steps for one in plain]
    for state, one in zip(agent.minibatch_states(), plain, strict=True):
        assert one.met == {"above", "below", "within"}
        assert np.array_equal(state, stream_to_array(one.rng))


def test_espo_seeds_stop_after_different_epochs(trained):
    agent, _ = trained("ESPO")
    epochs = [steps / SMALL["minibatches"] for steps in agent.policy_adam.steps_S.tolist()]
    assert len(set(epochs)) == 3 and max(epochs) < 2 * SMALL["epochs"]
    assert all(epoch == int(epoch) for epoch in epochs)


@pytest.fixture
def trained_agent(make_rollout):
    """Train an agent of some seeds on two rollouts, which depend on the seed only, not on the other seeds."""
    everyone = (7, 4, 1, 9)

    def learn(algorithm, seeds):
        agent, generator = Agent(algorithm, seeds, 11, 3, 2), torch.Generator().manual_seed(0)
        for _ in range(2):
            rollout = make_rollout(Agent(algorithm, everyone, 11, 3, 2), generator)
            algorithm.learn(agent, rollout.select([everyone.index(seed) for seed in seeds]))
            agent.iteration += 1
        return agent

    return learn


def assert_same_seed(one, i, other, j):
    """Check that two seeds are bit-identical, with optimisers, shuffles and the statistics of rewards."""
    for name in ("theta_SP", "phi_SP"):
        assert torch.equal(getattr(one, name)[i], getattr(other, name)[j])
    for adam in ("policy_adam", "value_adam"):
        for name in ("steps_S", "mean_SP", "square_SP"):
            assert np.array_equal(getattr(getattr(one, adam), name)[i], getattr(getattr(other, adam), name)[j])
    assert np.array_equal(one.minibatch_states()[i], other.minibatch_states()[j])
    assert np.array_equal(one.reward_states()[i], other.reward_states()[j])


def test_espo_seed_is_bit_identical_in_any_cohort(trained_agent):
    # Minibatches and rollouts have their real size; at this step size some seeds stop while others continue.
    algorithm = ESPO(epochs=5, value_epochs=1, learning_rate=1e-3, delta=0.28)
    together = trained_agent(algorithm, (7, 4, 1, 9))
    epochs = (together.policy_adam.steps_S / algorithm.minibatches).tolist()
    assert len(set(epochs)) > 1 and min(epochs) < 2 * algorithm.epochs
    for i, seed in enumerate(together.seeds):
        assert_same_seed(trained_agent(algorithm, (seed,)), 0, together, i)
    pair = trained_agent(algorithm, (9, 4))
    assert_same_seed(pair, 0, together, 3)
    assert_same_seed(pair, 1, together, 1)


def test_espo_without_a_threshold_is_unclipped_ppo(trained_agent):
    never, ppo = (
        trained_agent(algorithm, (7, 4)) for algorithm in (ESPO(epochs=2, delta=1e9), PPO(epochs=2, clip_epsilon=None))
    )
    for i in range(2):
        assert_same_seed(never, i, ppo, i)


def test_espo_with_a_tiny_threshold_runs_one_epoch(trained_agent):
    one, ppo = (trained_agent(a, (7, 4)) for a in (ESPO(epochs=9, delta=1e-9), PPO(epochs=1, clip_epsilon=None)))
    for i in range(2):
        assert_same_seed(one, i, ppo, i)


def test_espo_seed_with_nan_stops_without_affecting_others(make_rollout):
    algorithm = replace(CASES["ESPO"][0], delta=1e9)
    whole, broken = (Agent(algorithm, SEEDS, SIZES[0], N_ACTION, 2) for _ in range(2))
    rollout = make_rollout(whole, torch.Generator().manual_seed(0))
    with torch.no_grad():
        broken.theta_SP[1] = math.nan
    for agent in (whole, broken):
        algorithm.learn(agent, rollout)
    for i in (0, 2):
        assert_same_seed(whole, i, broken, i)
    assert broken.policy_adam.steps_S.tolist() == [24, 4, 24]


def slope(algorithm, ratio, advantage):
    ratio_SB = torch.tensor([[ratio]], dtype=torch.float64, requires_grad=True)
    loss_S = algorithm.policy_loss(ratio_SB, torch.tensor([[advantage]], dtype=torch.float64))
    return -torch.autograd.grad(loss_S.sum(), ratio_SB)[0].item()


@pytest.mark.parametrize("advantage", [1.5, -0.7])
@pytest.mark.parametrize("epsilon", [0.2, 0.1])
def test_spo_gradient_points_to_the_edge(advantage, epsilon):
    algorithm, edge = SPO(clip_epsilon=epsilon), 1 + math.copysign(epsilon, advantage)
    for ratio in (0.01, 0.5, 0.9, 1.0, 1.1, 1.5, 40.0):
        # 2401.16025 eq. 19: A - |A| (r - 1) / eps.
        assert slope(algorithm, ratio, advantage) == pytest.approx(abs(advantage) / epsilon * (edge - ratio))
    assert slope(algorithm, 1.0, advantage) == pytest.approx(advantage)


@pytest.mark.parametrize("advantage", [1.5, -0.7])
def test_ppo_rb_gradient_rolls_back_where_ppos_is_zero(advantage):
    algorithm, ppo = PPORB(clip_epsilon=0.1, alpha=0.4), PPO(clip_epsilon=0.1)
    for ratio in (0.01, 0.5, 0.85, 0.95, 1.05, 1.15, 40.0):
        without = slope(ppo, ratio, advantage)
        assert slope(algorithm, ratio, advantage) == pytest.approx(without if without else -0.4 * advantage)


def test_successors_have_ppos_settings_for_a_task():
    for task in ("Hopper-v5", "Walker2d-v5", "Humanoid-v5"):
        ppo = PPO.for_task(task)
        own = {SPO: {}, ESPO: {"clip_epsilon": None}, PPORB: {}}
        for cls, changed in own.items():
            algorithm = cls.for_task(task)
            checked(RunSpec(algorithm, task, 1, 0))
            for field in fields(PPO):
                assert getattr(algorithm, field.name) == changed.get(field.name, getattr(ppo, field.name))
    assert ESPO.for_task("Hopper-v5").delta == 0.25
    alphas = [PPORB.for_task(task).alpha for task in ("Hopper-v5", "Walker2d-v5", "Humanoid-v5")]
    assert alphas == [0.3, 0.3, 0.1]
    assert PPORB.for_task("Humanoid-v5", alpha=0.5).alpha == 0.5
    for cls, name in ((ESPO, "delta"), (PPORB, "alpha")):
        for wrong in (0.0, -1.0, "0.3", True):
            with pytest.raises(ValueError, match=f"{name} must be a positive number"):
                cls(**{name: wrong})


def test_successors_support_the_studies_of_their_kind():
    for algorithm in (SPO(), PPORB()):
        for study in (TWINS, Study("landscapes"), Study("gradients", 2048), Study("large_updates", 4096)):
            check_study(study, algorithm)
    for study in (Study("gradients", 2048), Study("late_updates"), Study("final_returns")):
        check_study(study, ESPO())
    for study in (TWINS, Study("landscapes"), Study("large_updates", 4096)):
        with pytest.raises(SpecError, match="ESPO learns in a way of its own"):
            check_study(study, ESPO())
