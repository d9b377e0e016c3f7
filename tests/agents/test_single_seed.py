"""PPO written for one seed, as a user would write it, is PPO for many, bit for bit."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from rlclaims import PPO, Algorithm, Batch, SingleSeed
from rlclaims.agents.agent import Agent
from rlclaims.checkpoints import checkpoints_to_arrays
from rlclaims.execution.cohorts import groups
from rlclaims.sim.tasks import task_named
from rlclaims.store.run_spec import RunSpec, checked
from rlclaims.training import Cohort, Group

# Minibatches of the real size, which decides how sums round; few passes.
REAL = {"steps": 2048, "minibatches": 32, "value_epochs": 1}


@dataclass(frozen=True)
class OneByOne(SingleSeed, Algorithm):
    """PPO on one seed's numbers, with PPO's settings for Hopper."""

    learning_rate: float = 3e-4
    epochs: int = 2
    scale_rewards: bool = True
    initialization: str = "orthogonal"
    anneal_learning_rates: bool = True
    reward_clip: float | None = 10.0
    observation_clip: float | None = 10.0

    def learn_one(self, agent, rollout):
        value_T, advantage_T = agent.estimate(rollout)
        assert value_T.shape == advantage_T.shape == (1, self.steps)
        batch = Batch(rollout.observation_STO, rollout.action_STA, advantage_T)
        old_log_prob_T = agent.log_prob(batch)
        data = (rollout.observation_STO, rollout.action_STA, old_log_prob_T, advantage_T)
        for observation, action, old_log_prob, advantage in agent.minibatches(self.epochs, *data):
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
            ratio = (agent.network(agent.theta_SP, observation).log_prob(action) - old_log_prob).exp()
            loss = -torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()
            agent.theta_SP.grad = None
            loss.backward()
            agent.policy_adam.step(agent.theta_SP.grad, agent.annealed(self.learning_rate))
        agent.fit_values(rollout.observation_STO, value_T, advantage_T)
        return batch


def test_ppo_for_one_seed_is_ppo_for_many_bit_for_bit():
    seeds, task = (3, 9, 4), task_named("Hopper-v5")
    many = Cohort(task, [Group(PPO(**REAL, epochs=2), seeds)], 2).train()
    one_by_one = Cohort(task, [Group(OneByOne(**REAL), seeds)], 2).train()
    for ours, theirs in zip(one_by_one, many, strict=True):
        assert ours.failure is theirs.failure is None
        assert len(ours.policy_parameters) == 3
        assert np.array_equal(ours.policy_parameters, theirs.policy_parameters)
        assert ours.series == theirs.series and ours.episodes == theirs.episodes
        kept, expected = checkpoints_to_arrays(ours.checkpoints), checkpoints_to_arrays(theirs.checkpoints)
        assert len(kept) == 13 and kept.keys() == expected.keys()
        for name, array in expected.items():
            assert np.array_equal(kept[name], array), name


@dataclass(frozen=True)
class Watched(SingleSeed, PPO):
    """PPO's own update, one seed at a time."""

    def learn_one(self, agent, rollout):
        SEEN.append((agent.seeds, rollout.reward_ST.shape, len(agent.theta_SP)))
        return PPO.learn(self, agent, rollout)


SEEN = []


@pytest.mark.parametrize("seeds", [(3,), (3, 0, 11)])
def test_each_seed_learns_once_and_from_its_own_steps(seeds, make_rollout):
    sizes = {"steps": 128, "minibatches": 4, "epochs": 2, "value_epochs": 2, "hidden": (16, 16)}
    one_by_one, many = Agent(Watched(**sizes), seeds, 5, 2, 3), Agent(PPO(**sizes), seeds, 5, 2, 3)
    generator = torch.Generator().manual_seed(0)
    SEEN.clear()
    for _ in range(2):  # the second continues with the first one's moments, shuffles and rewards
        rollout = make_rollout(many, generator)
        batches = [agent.algorithm.learn(agent, rollout) for agent in (one_by_one, many)]
        for agent in (one_by_one, many):
            agent.iteration += 1
        for name in ("observation_SBO", "action_SBA", "advantage_SB"):
            assert torch.equal(getattr(batches[0], name), getattr(batches[1], name))
        for name in ("theta_SP", "phi_SP"):
            assert torch.equal(getattr(one_by_one, name), getattr(many, name))
        assert np.array_equal(one_by_one.reward_states(), many.reward_states())
    once = [((seed,), (1, 128), 1) for seed in seeds]
    assert once + once == SEEN


def test_single_seed_inherits_the_papers_settings_and_trains():
    assert Watched.for_task("Walker2d-v5").learning_rate == PPO.for_task("Walker2d-v5").learning_rate == 4e-4
    specs = [checked(RunSpec(algorithm, "Hopper-v5", 1, 0)) for algorithm in (Watched(), OneByOne())]
    assert [group.algorithm for group in groups(specs)] == [Watched(), OneByOne()]


def test_the_readmes_update_for_one_seed_can_be_trained():
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    (block,) = (block for block in blocks if "learn_one" in block)
    names = {"__name__": __name__}
    exec(block, names)
    algorithm = names["OneStep"](steps=64, minibatches=4, value_epochs=1, adam_epsilon=1e-30)
    for record in Cohort(task_named("InvertedPendulum-v5"), [Group(algorithm, (0, 1))], 2).train():
        assert record.failure is None
        first, second = np.diff(record.policy_parameters, axis=0)
        # Adam's first step is the learning rate, up or down, and no later one is much longer.
        np.testing.assert_allclose(np.abs(first), algorithm.learning_rate, rtol=1e-3)
        assert second.any() and np.abs(second).max() < 2 * algorithm.learning_rate


def test_class_without_learn_one_cannot_be_instantiated():
    @dataclass(frozen=True)
    class Nothing(SingleSeed, Algorithm):
        pass

    with pytest.raises(TypeError, match="learn_one"):
        Nothing()


def test_wrong_order_of_bases_is_refused_at_the_definition():
    with pytest.raises(
        TypeError, match=r"^Reversed would use another class's learn; list SingleSeed first among its bases\.$"
    ):

        class Reversed(PPO, SingleSeed):
            def learn_one(self, agent, rollout):
                raise NotImplementedError


@pytest.mark.parametrize(
    ("given", "error", "sentence"),
    [
        (
            lambda _: None,
            TypeError,
            r"^Forgets\.learn_one must return the Batch that it learned from, not None; end it",
        ),
        (
            lambda r: Batch(r.observation_STO[0], r.action_STA[0], r.reward_ST[0]),
            ValueError,
            r"^Forgets\.learn_one must return a Batch of one row, .* not of shapes \(8, 4\), \(8, 1\), \(8,\)\.$",
        ),
        (
            lambda r: Batch(r.observation_STO, r.action_STA, r.reward_ST[:, 1:]),
            ValueError,
            r"not of shapes \(1, 8, 4\), \(1, 8, 1\), \(1, 7\)\.$",
        ),
    ],
)
def test_learn_one_must_return_its_batch(given, error, sentence):
    @dataclass(frozen=True)
    class Forgets(SingleSeed, Algorithm):
        def learn_one(self, agent, rollout):
            return given(rollout)

    with pytest.raises(error, match=sentence):
        Cohort(task_named("InvertedPendulum-v5"), [Group(Forgets(steps=8, minibatches=1), (0, 1))], 1).train()


@pytest.mark.parametrize(
    ("given", "error", "sentence"),
    [
        (lambda _: None, TypeError, r"^Loses\.learn must return the Batch that it learned from, not None; end it with"),
        (
            lambda r: Batch(r.observation_STO[:1], r.action_STA[:1], r.reward_ST[:1]),
            ValueError,
            r"^Loses\.learn must return a Batch of 2 rows, .* not of shapes \(1, 8, 4\), \(1, 8, 1\), \(1, 8\)\.$",
        ),
    ],
)
def test_learn_must_return_its_batch(given, error, sentence):
    @dataclass(frozen=True)
    class Loses(PPO):
        def learn(self, agent, rollout):
            super().learn(agent, rollout)
            return given(rollout)

    with pytest.raises(error, match=sentence):
        Cohort(task_named("InvertedPendulum-v5"), [Group(Loses(steps=8, minibatches=1), (0, 1))], 1).train()


def test_an_objective_that_mixes_seeds_is_refused():
    @dataclass(frozen=True)
    class Standardised(PPO):
        over: tuple = ()

        def policy_loss(self, ratio_SB, advantage_SB):
            mean = advantage_SB.mean(*self.over, keepdim=True) if self.over else advantage_SB.mean()
            return -(ratio_SB * (advantage_SB - mean)).mean(1)

    Standardised(over=(1,)).check()
    with pytest.raises(ValueError, match=r"^Standardised\.policy_loss mixes seeds: .* \.mean\(1, keepdim=True\)\.$"):
        Standardised().check()
