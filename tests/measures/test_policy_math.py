import math

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from rlclaims.agents.networks import MLP, GaussianNetwork, NetworkPolicy
from rlclaims.measures.divergence import kl_old_new, max_kl_old_new, mean_kl_old_new, q99_kl_old_new
from rlclaims.measures.ratio import exceedance, max_ratio, mean_deviation, min_ratio, q01_ratio, q99_ratio
from rlclaims.measures.surrogate import surrogate_new, surrogate_old
from rlclaims.update import Batch, DiagonalGaussian, Update

S, B, A = 3, 40, 2


def gaussians(generator, dtype=torch.float64):
    mean_SBA = torch.randn(S, B, A, generator=generator, dtype=dtype)
    return DiagonalGaussian(mean_SBA, 0.5 * torch.randn(S, 1, A, generator=generator, dtype=dtype))


def theirs(ours):
    return Independent(Normal(ours.mean_SBA.double(), ours.log_std_S1A.double().exp()), 1)


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    return gaussians(generator), gaussians(generator)


def test_log_probabilities_are_torch_distributions(pair):
    old, new = pair
    torch.testing.assert_close(old.log_prob(new.mean_SBA), theirs(old).log_prob(new.mean_SBA), rtol=1e-12, atol=1e-12)


def test_entropy_equals_torch_distributions_in_every_state(pair):
    for ours in pair:
        torch.testing.assert_close(ours.entropy()[:, None].expand(S, B), theirs(ours).entropy(), rtol=1e-12, atol=1e-12)


def test_divergences_are_torch_distributions(pair):
    old, new = pair
    torch.testing.assert_close(old.kl(new), kl_divergence(theirs(old), theirs(new)), rtol=1e-12, atol=1e-12)


def test_divergences_are_expected_log_ratios(pair):
    old, new = pair
    generator = torch.Generator().manual_seed(1)
    n = 20_000
    action_NSBA = old.mean_SBA + old.log_std_S1A.exp() * torch.randn(
        n, S, B, A, generator=generator, dtype=torch.float64
    )
    log_ratio_NSB = theirs(old).log_prob(action_NSBA) - theirs(new).log_prob(action_NSBA)
    standard_error_SB = log_ratio_NSB.std(0) / math.sqrt(n)
    # Largest of 120 standard normal deviations: below 5 with a probability of .9999.
    assert ((log_ratio_NSB.mean(0) - old.kl(new)) / standard_error_SB).abs().max() < 5


def test_kl_is_zero_to_itself_and_positive_to_others(pair):
    old, new = pair
    assert not old.kl(old).any()
    assert (old.kl(new) > 0).all()


def test_kl_of_close_policies_is_exact_in_single_precision(pair):
    old, _ = (DiagonalGaussian(p.mean_SBA.float(), p.log_std_S1A.float()) for p in pair)
    for nudge in (1e-2, 1e-3, 1e-4):
        new = DiagonalGaussian(old.mean_SBA, old.log_std_S1A + nudge)
        d_S1A = old.log_std_S1A.double() - new.log_std_S1A.double()  # the nudge after rounding
        exact_S1 = ((2 * d_S1A).expm1() / 2 - d_S1A).sum(-1)
        # The two terms that remain are of the size of the nudge, their difference of its square.
        torch.testing.assert_close(old.kl(new).double(), exact_S1.expand(S, B), rtol=4 * 2**-24 / nudge, atol=0)


@pytest.fixture
def update():
    generator = torch.Generator().manual_seed(0)
    network = GaussianNetwork(MLP((4, 8, A)))
    old_SP = 0.5 * torch.randn(S, network.n_parameters, generator=generator, dtype=torch.float64)
    new_SP = old_SP + 0.05 * torch.randn(old_SP.shape, generator=generator, dtype=torch.float64)
    observation_SBO = torch.randn(S, B, 4, generator=generator, dtype=torch.float64)
    action_SBA = torch.randn(S, B, A, generator=generator, dtype=torch.float64)
    advantage_SB = 1 + torch.randn(S, B, generator=generator)
    old, new = NetworkPolicy(network, old_SP), NetworkPolicy(network, new_SP)
    return Update(old, new, Batch(observation_SBO, action_SBA, advantage_SB))


def mean_and_std(policy, i, observation_O, as_module):
    """Return one seed's action distribution in one state, by the plain network."""
    theta_P = policy.theta_SP[i]
    mean_A = as_module(theta_P[:-A], (4, 8, A))(observation_O).tolist()
    return list(zip(mean_A, theta_P[-A:].exp().tolist(), strict=True))


@pytest.fixture
def pairs(update, as_module):
    """Return ratio, divergence and advantage of every pair, one pair after another, in plain floats."""
    ratio_SB, kl_SB = np.empty((S, B)), np.empty((S, B))
    for i in range(S):
        for b in range(B):
            observation_O = update.batch.observation_SBO[i, b]
            old, new = (mean_and_std(p, i, observation_O, as_module) for p in (update.old, update.new))
            log_ratio = kl = 0.0
            for (m, s), (n, t), a in zip(old, new, update.batch.action_SBA[i, b].tolist(), strict=True):
                log_ratio += ((a - m) / s) ** 2 / 2 - ((a - n) / t) ** 2 / 2 + math.log(s / t)
                kl += math.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2) - 0.5
            ratio_SB[i, b], kl_SB[i, b] = math.exp(log_ratio), kl
    return ratio_SB, kl_SB, update.batch.advantage_SB.double().numpy()


def close(ours_S, expected_S):
    assert ours_S.dtype == torch.float64
    np.testing.assert_allclose(ours_S, expected_S, rtol=1e-10)


def test_divergence_measures_are_those_of_the_pairs(update, pairs):
    _, kl_SB, _ = pairs
    close(kl_old_new(update), kl_SB)
    close(mean_kl_old_new(update), [sum(kl_B) / B for kl_B in kl_SB])
    close(max_kl_old_new(update), [max(kl_B) for kl_B in kl_SB])


def test_ratio_measures_are_those_of_the_pairs(update, pairs):
    ratio_SB, _, _ = pairs
    close(max_ratio(update), [max(ratio_B) for ratio_B in ratio_SB])
    close(min_ratio(update), [min(ratio_B) for ratio_B in ratio_SB])
    close(mean_deviation(update), [sum(abs(r - 1) for r in ratio_B) / B for ratio_B in ratio_SB])
    for epsilon in (0.05, 0.2):
        outside = [sum(r < 1 - epsilon or r > 1 + epsilon for r in ratio_B) / B for ratio_B in ratio_SB]
        close(exceedance(update, epsilon), outside)
        assert min(outside) > 0 and max(outside) < 1


def test_mean_ratio_deviation_is_twice_the_total_variation():
    n, generator = 200_000, torch.Generator().manual_seed(0)
    network = GaussianNetwork(MLP((4, 2)))  # linear; with biases alone its output is the same in every state
    shift_SA = torch.tensor([[0.1, 0.2], [0.8, 0.0], [0.0, 3.0]], dtype=torch.float64)
    old_SP = torch.zeros(S, network.n_parameters, dtype=torch.float64)
    new_SP = old_SP.clone()
    new_SP[:, 4 * A : 5 * A] = shift_SA
    action_SBA = torch.randn(S, n, A, generator=generator, dtype=torch.float64)
    batch = Batch(torch.zeros(S, n, 4, dtype=torch.float64), action_SBA, torch.zeros(S, n))
    update = Update(NetworkPolicy(network, old_SP), NetworkPolicy(network, new_SP), batch)
    # Normals of deviation 1 whose means lie d apart have a total variation of 2 Phi(d / 2) - 1.
    twice_S = 2 * torch.erf(shift_SA.norm(dim=1) / 2 / math.sqrt(2))
    standard_error_S = (update.ratio - 1).abs().std(1) / math.sqrt(n)
    # Largest of 3 standard normal deviations: below 4 with a probability of .9998.
    assert ((mean_deviation(update) - twice_S) / standard_error_S).abs().max() < 4
    assert twice_S.min() > 0.15 and twice_S.max() > 1.5


def test_quantiles_equal_numpys_and_lie_within_the_extremes(update, pairs):
    ratio_SB, kl_SB, _ = pairs
    close(q99_kl_old_new(update), np.quantile(kl_SB, 0.99, axis=1))
    close(q99_ratio(update), np.quantile(ratio_SB, 0.99, axis=1))
    close(q01_ratio(update), np.quantile(ratio_SB, 0.01, axis=1))
    # Of 40 numbers the 99% quantile lies .61 of the way from the second largest to the largest: 39 * .99 = 38.61.
    for ours_S, x_SB in (
        (q99_kl_old_new(update), kl_SB),
        (q99_ratio(update), ratio_SB),
        (-q01_ratio(update), -ratio_SB),
    ):
        second, largest = np.sort(x_SB, axis=1)[:, -2:].T
        close(ours_S, 0.39 * second + 0.61 * largest)
        assert (second < largest).all()


def test_surrogates_are_means_over_the_pairs(update, pairs):
    ratio_SB, _, advantage_SB = pairs
    close(surrogate_old(update), [sum(a) / B for a in advantage_SB])
    close(surrogate_new(update), [sum(r * a) / B for r, a in zip(ratio_SB, advantage_SB, strict=True)])


def test_measures_are_float64_for_float32_policies(update):
    network = update.old.network
    old, new = (NetworkPolicy(network, p.theta_SP.float()) for p in (update.old, update.new))
    batch = Batch(update.batch.observation_SBO.float(), update.batch.action_SBA.float(), update.batch.advantage_SB)
    single = Update(old, new, batch)
    measures = (mean_kl_old_new, q99_kl_old_new, max_kl_old_new, max_ratio, q99_ratio, q01_ratio, min_ratio)
    for measure in (*measures, mean_deviation, surrogate_old, surrogate_new):
        value_S = measure(single)
        assert value_S.dtype == torch.float64
        # Log probabilities here are below 2^6, so they round by less than 2^-18 and the ratios with them.
        np.testing.assert_allclose(value_S, measure(update), rtol=2**-14, atol=2**-16)
