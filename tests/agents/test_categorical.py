"""Policies for discrete actions, against torch.distributions, plain networks and the dense Fisher matrix."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import Categorical as Theirs
from torch.distributions import kl_divergence

from rlclaims import TRPO
from rlclaims.agents.networks import MLP, CategoricalNetwork, policy_network
from rlclaims.agents.trpo import fisher_vector_product
from rlclaims.update import Categorical

S, B, CHOICES = 3, 40, (4, 2)


def some(generator, dtype=torch.float64):
    return Categorical(2 * torch.randn(S, B, sum(CHOICES), generator=generator, dtype=dtype), CHOICES)


def theirs(ours):
    return [Theirs(logits=part.double()) for part in ours.logits_SBL.split(list(CHOICES), -1)]


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    return some(generator), some(generator)


@pytest.fixture
def actions(pair):
    generator = torch.Generator().manual_seed(1)
    drawn = [torch.multinomial(part.probs.flatten(0, 1), 1, generator=generator) for part in theirs(pair[0])]
    return torch.cat(drawn, -1).view(S, B, 2)


def close(ours, expected):
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


def test_log_probs_entropies_and_kl_equal_torch_distributions(pair, actions):
    (old, new), action_SBA = pair, actions
    expected_SB = sum(part.log_prob(action_SBA[..., a]) for a, part in enumerate(theirs(new)))
    close(new.log_prob(action_SBA.double()), expected_SB)
    close(old.entropy(), sum(part.entropy() for part in theirs(old)).mean(1))
    close(old.kl(new), sum(map(kl_divergence, theirs(old), theirs(new))))
    assert not old.kl(old).any() and (old.kl(new) > 0).all()


def test_kl_of_close_policies_is_exact_in_single_precision(pair):
    old, _ = pair
    old = Categorical(old.logits_SBL.float(), CHOICES)
    for nudge in (1e-2, 1e-3, 1e-4):
        new_SBL = old.logits_SBL.clone()
        new_SBL[..., 0] += nudge
        # The log normaliser's rise, less its slope times what rounding left of the nudge.
        p_SB = old.logits_SBL.double()[..., :4].softmax(-1)[..., 0]
        d_SB = new_SBL[..., 0].double() - old.logits_SBL[..., 0].double()
        exact_SB = (p_SB * d_SB.expm1()).log1p() - p_SB * d_SB
        torch.testing.assert_close(old.kl(Categorical(new_SBL, CHOICES)).double(), exact_SB, rtol=1e-6, atol=1e-15)


def test_choices_that_are_all_but_impossible_have_finite_numbers():
    old, new = (Categorical(torch.tensor([[[x, 0.0]]]), (2,)) for x in (1000.0, -1000.0))
    assert old.kl(new).item() == pytest.approx(1000) and new.kl(old).item() == pytest.approx(1000)
    assert old.log_prob(torch.ones(1, 1, 1)).item() == -1000 and old.entropy().item() == 0


def test_levels_lie_in_their_actions_and_lead_back_to_them(pair, actions):
    (old, new), action_SBA = pair, actions
    within_SBA = torch.rand(S, B, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    levels_SBA = old.levels(action_SBA, within_SBA)
    assert torch.equal(old.at(levels_SBA), action_SBA)
    assert not torch.equal(new.at(levels_SBA), action_SBA)
    for a, part in enumerate(theirs(old)):
        for s, b in np.ndindex(S, B):
            p, chosen = part.probs[s, b].tolist(), int(action_SBA[s, b, a])
            expected = sum(p[:chosen]) + float(within_SBA[s, b, a]) * p[chosen]
            assert float(levels_SBA[s, b, a]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("sizes", [(5, 16, 6), (5, 6)])
def test_the_actor_chooses_as_often_as_the_plain_network_says(sizes, as_module):
    network = CategoricalNetwork(MLP(sizes), CHOICES)
    rng, n = np.random.default_rng(0), 20_000
    theta_SP = torch.from_numpy(rng.standard_normal((2, network.n_parameters)).astype(np.float32))
    assert network.n_parameters == sum((i + 1) * o for i, o in pairwise(sizes))
    observation_O = rng.standard_normal(5).astype(np.float32)
    noise_NSA = rng.standard_normal((n, 2, 2)).astype(np.float32)
    actor = network.actor(theta_SP)
    drawn_NSA = np.stack([actor.act(np.tile(observation_O, (2, 1)), noise_SA) for noise_SA in noise_NSA])
    assert drawn_NSA.dtype == np.float32
    for i in range(2):
        out = as_module(theta_SP[i].double(), sizes)(torch.from_numpy(observation_O).double())
        for a, logits in enumerate(out.split(list(CHOICES))):
            p = logits.softmax(-1).tolist()
            counts = np.bincount(drawn_NSA[:, i, a].astype(int), minlength=len(p))
            assert stats.chisquare(counts, np.array(p) * n).pvalue > 1e-3
            # For each noise: the first choice whose cumulative probability exceeds that of the noise.
            levels = [(1 + math.erf(z / math.sqrt(2))) / 2 for z in noise_NSA[:200, i, a].tolist()]
            expected = [next(j for j in range(len(p)) if sum(p[: j + 1]) > level) for level in levels]
            assert drawn_NSA[:200, i, a].tolist() == expected


def test_nan_policy_chooses_nan_and_others_are_unaffected():
    network = CategoricalNetwork(MLP((2, 3)), (3,))
    theta_SP = torch.zeros(3, network.n_parameters)
    theta_SP[1] = math.nan
    action_SA = network.actor(theta_SP).act(np.ones((3, 2), np.float32), np.zeros((3, 1), np.float32))
    assert np.isnan(action_SA[1]) and action_SA[[0, 2]].tolist() == [[1.0], [1.0]]


@pytest.mark.parametrize("choices", [(2,), (3, 2)])
def test_fisher_vector_products_are_those_of_the_dense_matrix(choices, double_agent, as_module):
    agent = double_agent(TRPO(steps=64, minibatches=4, hidden=(5, 4)), (3, 0, 11), 3, len(choices), choices=choices)
    generator, sizes = torch.Generator().manual_seed(0), (3, 5, 4, sum(choices))
    agent.theta_SP.data += 0.5 * torch.randn(agent.theta_SP.shape, generator=generator, dtype=torch.float64)
    observation_SBO = torch.randn(3, 20, 3, generator=generator, dtype=torch.float64)
    v_SP = torch.randn(agent.theta_SP.shape, generator=generator, dtype=torch.float64)
    answer_SP = fisher_vector_product(agent, observation_SBO, damping=0.3)(v_SP)
    for i in range(3):
        theta_P = agent.theta_SP[i].detach()
        jacobian_BLP = torch.autograd.functional.jacobian(
            lambda t, i=i: MLP(sizes)(t[None], observation_SBO[[i]])[0], theta_P
        )
        logits_BL = as_module(theta_P, sizes)(observation_SBO[i])
        fisher_PP = torch.zeros(len(theta_P), len(theta_P), dtype=torch.float64)
        for j_LP, logits_L in zip(jacobian_BLP, logits_BL, strict=True):
            first = 0
            for n in choices:  # of logits: diag(p) - p p'
                p_N, j_NP = logits_L[first : first + n].softmax(-1).detach(), j_LP[first : first + n]
                fisher_PP += j_NP.T @ (p_N.diag() - torch.outer(p_N, p_N)) @ j_NP / 20
                first += n
        torch.testing.assert_close(answer_SP[i], fisher_PP @ v_SP[i] + 0.3 * v_SP[i], rtol=1e-9, atol=1e-11)


def test_categorical_head_has_the_gain_of_a_gaussian_one():
    network = policy_network(3, 2, (4, 2), (8,), "tanh")
    theta_SP = network.initial([torch.Generator().manual_seed(0)], "orthogonal")
    head = theta_SP[0, -(8 * 6 + 6) : -6].view(8, 6)
    torch.testing.assert_close(head.T @ head, 1e-4 * torch.eye(6), rtol=0, atol=1e-9)
    assert not theta_SP[0, -6:].any()
