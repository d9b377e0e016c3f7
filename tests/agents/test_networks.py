import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from rlclaims import PPO, PPOM
from rlclaims.agents.agent import Agent
from rlclaims.agents.networks import MLP, GaussianNetwork

SIZES = (11, 64, 64, 3)
MODULES = {"tanh": nn.Tanh, "relu": nn.ReLU}


def generators(n=3):
    return [torch.Generator().manual_seed(i) for i in range(n)]


def random_parameters(network, dtype=torch.float32):
    """Return random parameters unlike an initialisation: biases and log standard deviations are not 0."""
    shape = (3, network.n_parameters)
    return (0.3 * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).to(dtype)


@pytest.mark.parametrize("activation", MODULES)
def test_networks_of_many_seeds_are_as_many_plain_networks(activation, as_module):
    mlp = MLP(SIZES, activation)
    theta_SP = random_parameters(mlp, torch.float64)
    x_SBI = torch.randn(3, 20, 11, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    answer_SBO = mlp(theta_SP, x_SBI)
    for i in range(3):
        plain = as_module(theta_SP[i], SIZES, MODULES[activation])
        assert sum(p.numel() for p in plain.parameters()) == mlp.n_parameters
        torch.testing.assert_close(answer_SBO[i], plain(x_SBI[i]), rtol=1e-12, atol=1e-12)


def test_gaussian_policy_is_a_plain_network_and_log_stds(as_module):
    network = GaussianNetwork(MLP(SIZES))
    theta_SP = random_parameters(network, torch.float64)
    x_SBI = torch.randn(3, 20, 11, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    actions = network(theta_SP, x_SBI)
    for i in range(3):
        plain = as_module(theta_SP[i, :-3], SIZES)
        torch.testing.assert_close(actions.mean_SBA[i], plain(x_SBI[i]), rtol=1e-12, atol=1e-12)
        assert torch.equal(actions.log_std_S1A[i, 0], theta_SP[i, -3:])


@pytest.mark.parametrize("activation", MODULES)
def test_the_actor_is_the_network_to_rounding(activation, as_module):
    network = GaussianNetwork(MLP(SIZES, activation))
    theta_SP = random_parameters(network)
    actor = network.actor(theta_SP)
    observation_TSO = np.random.default_rng(0).standard_normal((20, 3, 11)).astype(np.float32)
    for observation_SO in observation_TSO:
        mean_SA = actor.mean(observation_SO)
        assert mean_SA.dtype == np.float32
        for i in range(3):
            plain = as_module(theta_SP[i, :-3].double(), SIZES, MODULES[activation])
            exact_A = plain(torch.from_numpy(observation_SO[i]).double()).detach().numpy()
            # Single precision rounds by 2^-24 in each of the 64 terms of a sum.
            np.testing.assert_allclose(mean_SA[i], exact_A, rtol=0, atol=64 * 2**-24 * np.abs(exact_A).max())
    np.testing.assert_allclose(actor.std_SA, np.exp(theta_SP[:, -3:].double().numpy()), rtol=1e-6)


# Networks of Hopper and of InvertedPendulum, whose heads have 3 outputs and 1, as values have.
# Then some whose products are aligned differently from seed to seed, with odd numbers of pairs too.
@pytest.mark.parametrize("n_pairs", [64, 51])
@pytest.mark.parametrize(
    "sizes", [SIZES, (4, 64, 64, 1), (11, 64, 64, 1), (4, 16, 5), (17, 64, 6), (5, 7, 9, 10), (5, 7), (3, 5, 2)]
)
def test_network_of_a_seed_is_bit_identical_in_any_company(sizes, n_pairs):
    mlp, generator = MLP(sizes), torch.Generator().manual_seed(0)
    theta_SP = torch.randn(3, mlp.n_parameters, generator=generator).requires_grad_()
    x_SBI = torch.randn(3, n_pairs, sizes[0], generator=generator)
    together = mlp(theta_SP, x_SBI)
    (gradient_SP,) = torch.autograd.grad(together.square().sum(), theta_SP)
    for i in range(3):
        alone = mlp(theta_SP[[i]], x_SBI[[i]])
        (gradient_1P,) = torch.autograd.grad(alone.square().sum(), theta_SP)
        assert torch.equal(alone, together[[i]])
        assert torch.equal(gradient_1P[i], gradient_SP[i])


@pytest.mark.parametrize("sizes", [SIZES, (4, 64, 64, 1)])
def test_actor_of_a_seed_is_bit_identical_in_any_company(sizes):
    network = GaussianNetwork(MLP(sizes))
    theta_SP = random_parameters(network)
    for observation_SO in np.random.default_rng(0).standard_normal((50, 3, sizes[0])).astype(np.float32):
        together = network.actor(theta_SP).mean(observation_SO)
        for i in range(3):
            assert np.array_equal(network.actor(theta_SP[[i]]).mean(observation_SO[[i]]), together[[i]])


@pytest.mark.parametrize("head_gain", [0.01, 1.0])
def test_orthogonal_weights_have_their_gain_and_zero_biases(head_gain):
    mlp = MLP(SIZES)
    theta_SP = mlp.initial(generators(), "orthogonal", head_gain).double()
    for (weight_SIO, bias_S1O), gain in zip(mlp.layers(theta_SP), (math.sqrt(2), math.sqrt(2), head_gain), strict=True):
        assert not bias_S1O.any()
        for weight_IO in weight_SIO:
            # Only the shorter side can be orthonormal.
            short = weight_IO if weight_IO.shape[0] <= weight_IO.shape[1] else weight_IO.T
            torch.testing.assert_close(
                short @ short.T, gain**2 * torch.eye(len(short)).double(), rtol=0, atol=1e-6 * gain**2
            )


def test_xavier_weights_are_uniform_with_zero_biases():
    mlp = MLP(SIZES)
    for weight_SIO, bias_S1O in mlp.layers(mlp.initial(generators(), "xavier", head_gain=0.01)):
        assert not bias_S1O.any()
        bound = math.sqrt(6 / (weight_SIO.shape[1] + weight_SIO.shape[2]))
        assert weight_SIO.abs().max() <= bound
        uniform = stats.uniform(-bound, 2 * bound)
        assert stats.kstest(weight_SIO.flatten().numpy(), uniform.cdf).pvalue > 0.001


def test_agents_start_with_their_algorithms_heads_and_stds():
    ours, theirs = (Agent(algorithm, (0, 1), 11, 3, 1) for algorithm in (PPO(), PPOM()))
    for agent in (ours, theirs):
        assert not agent.theta_SP[:, -3:].any()  # log standard deviations
    for i in range(2):
        policy_head_IO = ours.network.mlp.layers(ours.theta_SP[:, :-3])[-1][0][i]
        value_head_IO = ours.value_network.layers(ours.phi_SP)[-1][0][i]
        torch.testing.assert_close(policy_head_IO.norm(dim=0), torch.full((3,), 0.01))
        torch.testing.assert_close(value_head_IO.norm(), torch.tensor(1.0))
    bound = math.sqrt(6 / (64 + 3))
    largest = theirs.network.mlp.layers(theirs.theta_SP[:, :-3])[-1][0].abs().amax()
    assert 0.9 * bound < largest <= bound


@pytest.mark.parametrize("algorithm", [PPO(), PPOM()])
def test_a_seed_starts_alike_in_any_company_and_unlike_any_other(algorithm):
    together = Agent(algorithm, (7, 1, 4), 11, 3, 1)
    for i, seed in enumerate(together.seeds):
        alone = Agent(algorithm, (seed,), 11, 3, 1)
        assert torch.equal(alone.theta_SP[0], together.theta_SP[i])
        assert torch.equal(alone.phi_SP[0], together.phi_SP[i])
    assert len(together.theta_SP.unique(dim=0)) == len(together.phi_SP.unique(dim=0)) == 3
