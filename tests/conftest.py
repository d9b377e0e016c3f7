"""Shared fixtures: agents in double precision, random rollouts, and networks in torch.nn."""

import os
from functools import partial
from itertools import pairwise
from pathlib import Path

import mujoco
import pytest
import torch
from hypothesis import settings
from rail import task_at
from small_runs import train_small_runs
from torch import nn

from rlclaims import PPO
from rlclaims.agents.agent import Agent
from rlclaims.update import Rollout

# pytester gives each session its own home folder, and kernels are compiled once per home folder.
os.environ.setdefault("XDG_CACHE_HOME", str(Path("~/.cache").expanduser()))

# MuJoCo's own handler of warnings writes a file into the working directory.
mujoco.set_mju_user_warning(lambda _: None)

# Tests do not depend on the speed of the machine.
settings.register_profile("rlclaims", deadline=None)
settings.load_profile("rlclaims")


@pytest.fixture(autouse=True)
def torch_threads():
    """Sets torch's number of threads until the test ends: 1, where more would mostly wait for busy cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def runs():
    """Finished runs by name (`small_runs`)."""
    return train_small_runs()


@pytest.fixture
def point_mass(tmp_path):
    """Builds tasks of a mass on a rail (`rail`)."""
    return partial(task_at, tmp_path / "point_mass.xml")


@pytest.fixture
def double_agent():
    """Builds agents in float64, in which two routes to one number differ by next to nothing."""

    def build(algorithm, seeds, n_observation, n_action, iterations=2, choices=()):
        agent = Agent(algorithm, seeds, n_observation, n_action, iterations, choices)
        for parameters_SP in (agent.theta_SP, agent.phi_SP):
            parameters_SP.data = parameters_SP.data.double()
        return agent

    return build


@pytest.fixture
def make_rollout():
    """Builds rollouts of random states, the agent's own actions, and endings of both kinds."""

    def build(agent, generator):
        n_seeds, steps, dtype = len(agent.seeds), agent.algorithm.steps, agent.theta_SP.dtype
        n_observation = agent.network.mlp.sizes[0]
        observation_STO = torch.randn(n_seeds, steps, n_observation, generator=generator, dtype=dtype)
        policy = agent.policy()(observation_STO)
        if agent.choices:
            parts = policy.logits_SBL.detach().softmax(-1).flatten(0, 1).split(list(agent.choices), -1)
            drawn = [torch.multinomial(part, 1, generator=generator) for part in parts]
            action_STA = torch.cat(drawn, -1).view(n_seeds, steps, -1).to(dtype)
        else:
            noise_STA = torch.randn(policy.mean_SBA.shape, generator=generator, dtype=dtype)
            action_STA = policy.mean_SBA + policy.log_std_S1A.exp() * noise_STA
        # Rewards that the actions explain in part, so that there is something to learn.
        reward_ST = action_STA.sum(-1).double() + torch.randn(n_seeds, steps, generator=generator, dtype=torch.float64)
        ending_ST = torch.rand(n_seeds, steps, generator=generator)
        terminated_ST, truncated_ST = ending_ST < 0.03, ending_ST > 0.97
        next_observation_STO = observation_STO.roll(-1, dims=1)
        ended_ST = terminated_ST | truncated_ST
        next_observation_STO[ended_ST] = torch.randn(
            int(ended_ST.sum()), n_observation, generator=generator, dtype=dtype
        )
        return Rollout(observation_STO, action_STA, reward_ST, next_observation_STO, terminated_ST, truncated_ST)

    return build


@pytest.fixture
def as_module():
    """Builds the plain network of one seed's flat parameters: weights input by input, then biases, per layer."""

    def build(theta_P, sizes, activation=nn.Tanh):
        layers, rest_P = [], theta_P.detach()
        for n_in, n_out in pairwise(sizes):
            linear = nn.Linear(n_in, n_out, dtype=theta_P.dtype)
            weight_P, bias_O, rest_P = rest_P.split([n_in * n_out, n_out, len(rest_P) - (n_in + 1) * n_out])
            with torch.no_grad():
                linear.weight.copy_(weight_P.view(n_in, n_out).T)
                linear.bias.copy_(bias_O)
            layers += [linear, activation()]
        return nn.Sequential(*layers[:-1])

    return build


@pytest.fixture
def flat():
    """The way back from `as_module`."""

    def flatten(module):
        linears = [layer for layer in module if isinstance(layer, nn.Linear)]
        return torch.cat([part for n in linears for part in (n.weight.detach().T.reshape(-1), n.bias.detach())])

    return flatten


@pytest.fixture
def rollouts(monkeypatch):
    """Pairs of the policy parameters and the rollout at each call of PPO's `learn`."""
    given, original = [], PPO.learn

    def learn(self, agent, rollout):
        given.append((agent.theta_SP.detach().clone(), rollout))
        return original(self, agent, rollout)

    monkeypatch.setattr(PPO, "learn", learn)
    return given
