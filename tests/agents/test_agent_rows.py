"""`Agent.select` and `Agent.assign`: some seeds of an agent learn separately and are copied back."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from rlclaims import PPO, PPONoClip
from rlclaims.agents.agent import Agent
from rlclaims.checkpoints import start_of_update
from rlclaims.update import Rollout

SEEDS = (3, 0, 11)
SMALL = {"steps": 128, "minibatches": 4, "epochs": 2, "value_epochs": 2, "hidden": (16, 16)}
# The first scales rewards by returns, which continue across rollouts, and the second by rewards.
ALGORITHMS = [PPO(**SMALL), PPONoClip(**SMALL)]


def state(agent, i):
    """Return the state of one seed that lasts from one iteration to the next."""
    adams = [(adam.steps_S[i], adam.mean_SP[i], adam.square_SP[i]) for adam in (agent.policy_adam, agent.value_adam)]
    parameters = agent.theta_SP[i].detach().numpy(), agent.phi_SP[i].detach().numpy()
    return [agent.seeds[i], *parameters, *adams[0], *adams[1], agent.reward_states()[i], agent.minibatch_states()[i]]


def assert_same(one, other):
    assert len(one) == len(other) == 11
    for ours, theirs in zip(one, other, strict=True):
        assert np.array_equal(ours, theirs)


def copied(states):
    return [[np.array(part) for part in one] for one in states]


@pytest.fixture
def rollouts(make_rollout):
    """Three rollouts of the three seeds, whose rows the tests combine."""
    generator = torch.Generator().manual_seed(0)
    return [make_rollout(Agent(ALGORITHMS[0], SEEDS, 5, 2, 4), generator) for _ in range(3)]


def rows(rollout, which):
    return Rollout(*(torch.stack([getattr(rollout, field.name)[i] for i in which]) for field in fields(rollout)))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_selected_seeds_learn_as_each_would_alone(algorithm, rollouts):
    agent = Agent(algorithm, SEEDS, 5, 2, 4)
    algorithm.learn(agent, rollouts[0])
    those = agent.select([2, 0])
    assert those.seeds == (11, 3)
    algorithm.learn(those, rows(rollouts[1], [2, 0]))
    agent.assign([2, 0], those)
    algorithm.learn(agent, rollouts[2])
    learnt = {0: (0, 1, 2), 1: (0, 2), 2: (0, 1, 2)}
    steps = SMALL["epochs"] * SMALL["minibatches"]
    for i, seed in enumerate(SEEDS):
        alone = Agent(algorithm, (seed,), 5, 2, 4)
        for k in learnt[i]:
            algorithm.learn(alone, rows(rollouts[k], [i]))
        assert_same(state(agent, i), state(alone, 0))
        assert agent.policy_adam.steps_S[i] == len(learnt[i]) * steps


def test_selected_seeds_change_the_agent_only_when_assigned(rollouts):
    algorithm = ALGORITHMS[0]
    agent = Agent(algorithm, SEEDS, 5, 2, 4)
    algorithm.learn(agent, rollouts[0])
    before, adam = copied(state(agent, i) for i in range(3)), agent.policy_adam.copy()
    moments = adam.mean_SP.copy(), adam.square_SP.copy(), adam.steps_S.copy()
    those = agent.select([1])
    algorithm.learn(those, rows(rollouts[1], [1]))
    for i in range(3):
        assert_same(state(agent, i), before[i])
    agent.assign([1], those)
    assert_same(state(agent, 1), state(those, 0))
    assert not np.array_equal(state(agent, 1)[1], before[1][1])
    for i in (0, 2):
        assert_same(state(agent, i), before[i])
    # An earlier copy of the Adam is unchanged.
    for kept, was in zip((adam.mean_SP, adam.square_SP, adam.steps_S), moments, strict=True):
        assert np.array_equal(kept, was)
    # After being assigned, the selected agent is again independent.
    taken = copied([state(agent, 1)])
    algorithm.learn(those, rows(rollouts[2], [1]))
    assert_same(state(agent, 1), taken[0])


def test_checkpoints_have_each_seeds_own_number_of_steps(rollouts):
    algorithm = ALGORITHMS[0]
    agent = Agent(algorithm, SEEDS, 5, 2, 4)
    those = agent.select([1])
    algorithm.learn(those, rows(rollouts[0], [1]))
    agent.assign([1], those)
    start = start_of_update(agent)
    batch = algorithm.learn(agent, rollouts[1])
    steps = [start(0, i, batch, batch).adam_steps for i in range(3)]
    assert steps == [0, SMALL["epochs"] * SMALL["minibatches"], 0]
    assert all(type(n) is int for n in steps)
