from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal, kl_divergence

from rlclaims import TRPO
from rlclaims.agents import trpo
from rlclaims.agents.trpo import conjugate_gradient, fisher_vector_product
from rlclaims.randomness import Purpose, stream

HIDDEN, N_OBSERVATION, N_ACTION, SEEDS = (5, 4), 3, 2, (3, 0, 11, 5)
SIZES = (N_OBSERVATION, *HIDDEN, N_ACTION)
SMALL = {"steps": 128, "minibatches": 4, "value_epochs": 2, "hidden": HIDDEN}


@pytest.fixture
def agent_and_rollout(double_agent, make_rollout):
    def build(algorithm):
        agent = double_agent(algorithm, SEEDS, N_OBSERVATION, N_ACTION)
        generator = torch.Generator().manual_seed(0)
        # Away from the start, where log standard deviations are 0 and their part of the Fisher matrix is special.
        agent.theta_SP.data += 0.3 * torch.randn(agent.theta_SP.shape, generator=generator, dtype=torch.float64)
        return agent, make_rollout(agent, generator)

    return build


class PlainPolicy:
    """One seed's policy in numpy, with its derivatives in each state."""

    def __init__(self, theta_P):
        self.theta_P = np.asarray(theta_P)

    def forward(self, observation_BO, theta_P=None):
        """Return means and log standard deviations at the given parameters, or at its own."""
        rest_P = torch.as_tensor(self.theta_P if theta_P is None else theta_P)
        x_BI = torch.as_tensor(observation_BO)
        for layer, (n_in, n_out) in enumerate(pairwise(SIZES)):
            weight_P, bias_O, rest_P = rest_P.split([n_in * n_out, n_out, len(rest_P) - (n_in + 1) * n_out])
            x_BI = x_BI @ weight_P.view(n_in, n_out) + bias_O
            x_BI = torch.tanh(x_BI) if layer < len(HIDDEN) else x_BI
        return x_BI, rest_P

    def distribution(self, observation_BO, theta_P=None):
        mean_BA, log_std_A = self.forward(observation_BO, theta_P)
        return Independent(Normal(mean_BA, log_std_A.exp()), 1)

    def jacobians(self, observation_BO):
        """Return derivatives of the means (B, A, P) and of the log standard deviations (A, P)."""
        theta_P = torch.as_tensor(self.theta_P)
        jacobian = torch.autograd.functional.jacobian(partial(self.forward, observation_BO), theta_P)
        return tuple(part.numpy() for part in jacobian)

    def fisher(self, observation_BO):
        """Return the mean of J' M J over states, M the Fisher matrix of a Gaussian: 1/sigma^2, 2 for each log sigma."""
        mean_BAP, log_std_AP = self.jacobians(observation_BO)
        precision_A = np.exp(-2 * self.theta_P[-N_ACTION:])
        of_means = sum(j_AP.T @ np.diag(precision_A) @ j_AP for j_AP in mean_BAP) / len(mean_BAP)
        return of_means + 2 * log_std_AP.T @ log_std_AP

    def policy_gradient(self, observation_BO, action_BA, advantage_B):
        """Return the mean over pairs of A times the gradient of log pi, by the chain rule."""
        mean_BAP, log_std_AP = self.jacobians(observation_BO)
        mean_BA, log_std_A = (x.numpy() for x in self.forward(observation_BO))
        z_BA = (action_BA - mean_BA) / np.exp(log_std_A)
        score_BP = np.einsum("ba,bap->bp", z_BA / np.exp(log_std_A), mean_BAP) + (z_BA**2 - 1) @ log_std_AP
        return (advantage_B[:, None] * score_BP).mean(axis=0)


def test_fisher_vector_products_are_those_of_the_dense_matrix(agent_and_rollout):
    agent, rollout = agent_and_rollout(TRPO(**SMALL))
    observation_SBO = rollout.observation_STO[:, :30]
    product = fisher_vector_product(agent, observation_SBO, damping=0.3)
    v_SP = torch.randn(agent.theta_SP.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    answer_SP = product(v_SP)
    for i, v_P in enumerate(v_SP.numpy()):
        fisher_PP = PlainPolicy(agent.theta_SP[i].detach()).fisher(observation_SBO[i])
        np.testing.assert_allclose(answer_SP[i], fisher_PP @ v_P + 0.3 * v_P, rtol=1e-10, atol=1e-12)


@pytest.fixture
def systems():
    """Six systems with eigenvalues from 1 to as much as 1000, one of them with nothing on its right-hand side."""
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.standard_normal((6, 8, 8))).Q
    eigenvalues = np.stack([np.linspace(1, largest, 8) for largest in (1, 2, 10, 100, 1000, 10)])
    b_SP = rng.standard_normal((6, 8))
    b_SP[5] = 0
    return rotation @ (eigenvalues[:, :, None] * rotation.swapaxes(1, 2)), b_SP


def product_with(matrix_SPP):
    # Not a batched product, whose rounding could depend on the number of systems.
    return lambda v_SP: (torch.from_numpy(matrix_SPP) * v_SP[:, None, :]).sum(-1)


def test_conjugate_gradients_solve_every_system_of_a_batch(systems):
    matrix_SPP, b_SP = systems
    exact_SP = np.linalg.solve(matrix_SPP, b_SP[:, :, None])[:, :, 0]
    for tolerance in (1e-10, 1e-20):
        x_SP = conjugate_gradient(product_with(matrix_SPP), torch.from_numpy(b_SP), 50, tolerance)
        # The residual's length is at most sqrt(tolerance), the least eigenvalue 1: so is the error's length.
        assert np.linalg.norm(x_SP.numpy() - exact_SP, axis=1).max() <= tolerance**0.5
    assert not x_SP[5].any()


def test_conjugate_gradients_are_exact_along_the_way(systems):
    # After k steps x minimises x'Ax/2 - b'x over the span of b, Ab, ..., which a dense solve can do too.
    matrix_SPP, b_SP = systems
    for steps in (1, 2, 3):
        x_SP = conjugate_gradient(product_with(matrix_SPP), torch.from_numpy(b_SP), steps).numpy()
        for matrix_PP, b_P, x_P in list(zip(matrix_SPP, b_SP, x_SP, strict=True))[1:5]:
            span_PK = np.linalg.qr(
                np.stack([np.linalg.matrix_power(matrix_PP, k) @ b_P for k in range(steps)], axis=1)
            ).Q
            best_P = span_PK @ np.linalg.solve(span_PK.T @ matrix_PP @ span_PK, span_PK.T @ b_P)
            np.testing.assert_allclose(x_P, best_P, rtol=1e-8, atol=1e-12)


def test_solved_systems_are_unchanged_while_others_continue(systems):
    matrix_SPP, b_SP = systems
    together_SP = conjugate_gradient(product_with(matrix_SPP), torch.from_numpy(b_SP), 50)
    for i in range(6):
        alone_SP = conjugate_gradient(product_with(matrix_SPP[[i]]), torch.from_numpy(b_SP[[i]]), 50)
        assert torch.equal(alone_SP, together_SP[[i]])


def standardised(advantage_T):
    return (advantage_T - advantage_T.mean()) / (advantage_T.std(ddof=1) + 1e-8)


def evaluate(policy, theta_P, observation_TO, action_TA, advantage_T):
    """Surrogate and mean KL(old || new) on a rollout, by torch.distributions."""
    old, new = policy.distribution(observation_TO), policy.distribution(observation_TO, theta_P)
    ratio_T = (new.log_prob(action_TA) - old.log_prob(action_TA)).exp()
    return float((ratio_T * torch.from_numpy(advantage_T)).mean()), float(kl_divergence(old, new).mean())


@pytest.mark.parametrize("delta", [0.01, 0.13, 1.0])
def test_a_step_raises_the_surrogate_within_the_trust_region(delta, agent_and_rollout):
    algorithm = TRPO(**SMALL, delta=delta)
    agent, rollout = agent_and_rollout(algorithm)
    old_SP = agent.theta_SP.detach().clone()
    batch = algorithm.learn(agent, rollout)
    assert (agent.theta_SP != old_SP).any(dim=1).all()
    for i in range(len(SEEDS)):
        pairs = rollout.observation_STO[i], rollout.action_STA[i], standardised(batch.advantage_SB[i].numpy())
        policy, new_P = PlainPolicy(old_SP[i]), agent.theta_SP[i].detach()
        old_surrogate, _ = evaluate(policy, old_SP[i], *pairs)
        surrogate, kl = evaluate(policy, new_P, *pairs)
        assert surrogate > old_surrogate
        assert 0 < kl <= delta


def plain_trpo(algorithm, policy, seed, observation_TO, action_TA, advantage_T):
    """New parameters by a dense Fisher matrix and a loop over step sizes; and the step size that was accepted."""
    gradient_P = policy.policy_gradient(observation_TO.numpy(), action_TA.numpy(), advantage_T)
    n = int(algorithm.fisher_fraction * algorithm.steps)
    rows = stream(seed, Purpose.FISHER_STATES, 4).permutation(algorithm.steps)[:n]
    fisher_PP = policy.fisher(observation_TO[rows]) + algorithm.damping * np.eye(len(gradient_P))
    direction_P = np.linalg.solve(fisher_PP, gradient_P)
    full_step_P = np.sqrt(2 * algorithm.delta / (direction_P @ fisher_PP @ direction_P)) * direction_P
    start, _ = evaluate(policy, policy.theta_P, observation_TO, action_TA, advantage_T)
    for halvings in range(algorithm.backtracks):
        step_P = full_step_P / 2**halvings
        surrogate, kl = evaluate(policy, policy.theta_P + step_P, observation_TO, action_TA, advantage_T)
        promised = gradient_P @ step_P
        if kl <= algorithm.delta and surrogate > start and surrogate - start >= algorithm.accept_ratio * promised:
            return policy.theta_P + step_P, halvings
    return policy.theta_P, None


@pytest.mark.parametrize("accept_ratio", [0.1, 0.97])
def test_seeds_step_together_where_each_steps_by_dense_algebra(accept_ratio, agent_and_rollout, monkeypatch):
    # Conjugate gradients run to convergence, so that they agree with a dense solve.
    monkeypatch.setattr(trpo, "conjugate_gradient", partial(conjugate_gradient, tolerance=1e-24))
    algorithm = TRPO(**SMALL, conjugate_gradient_steps=300, fisher_fraction=0.25, delta=0.5, accept_ratio=accept_ratio)
    agent, rollout = agent_and_rollout(algorithm)
    agent.iteration = 4  # the states that the Fisher matrix is estimated on change with it
    old_SP = agent.theta_SP.detach().clone()
    batch = algorithm.learn(agent, rollout)
    stopped_at = []
    for i, seed in enumerate(SEEDS):
        advantage_T = standardised(batch.advantage_SB[i].numpy())
        pairs = rollout.observation_STO[i], rollout.action_STA[i], advantage_T
        expected_P, halvings = plain_trpo(algorithm, PlainPolicy(old_SP[i]), seed, *pairs)
        # Advantages are in single precision, and each route standardises them with its own rounding.
        np.testing.assert_allclose(agent.theta_SP[i].detach(), expected_P, rtol=0, atol=1e-6)
        stopped_at.append(halvings)
    assert len(set(stopped_at)) > 1  # otherwise the line search would be barely tested


def test_parameters_stay_where_they_are_if_no_step_is_acceptable(agent_and_rollout):
    algorithm = TRPO(**SMALL, accept_ratio=1e9)
    agent, rollout = agent_and_rollout(algorithm)
    old_SP, old_phi_SP = agent.theta_SP.detach().clone(), agent.phi_SP.detach().clone()
    algorithm.learn(agent, rollout)
    assert torch.equal(agent.theta_SP, old_SP)
    assert (agent.phi_SP != old_phi_SP).any(dim=1).all()  # values are fitted nevertheless


def test_seed_without_gradient_stays_and_others_step(agent_and_rollout):
    algorithm = TRPO(**SMALL)
    (agent, rollout), (reference, same_rollout) = agent_and_rollout(algorithm), agent_and_rollout(algorithm)
    rollout.reward_ST[1] = 0
    agent.phi_SP.data[1] = 0  # no reward and no value: every advantage is 0
    old_SP = agent.theta_SP.detach().clone()
    batch = algorithm.learn(agent, rollout)
    algorithm.learn(reference, same_rollout)
    assert not batch.advantage_SB[1].any()
    assert torch.equal(agent.theta_SP[1], old_SP[1])
    others = [0, 2, 3]
    assert torch.equal(agent.theta_SP[others], reference.theta_SP[others])
    assert (agent.theta_SP[others] != old_SP[others]).any(dim=1).all()


def test_values_are_fitted_by_the_value_learning_rate(agent_and_rollout, as_module, flat):
    algorithm = TRPO(**SMALL, value_learning_rate=0.01)
    agent, rollout = agent_and_rollout(algorithm)
    plain = [as_module(phi_P, (N_OBSERVATION, *HIDDEN, 1)) for phi_P in agent.phi_SP]
    batch = algorithm.learn(agent, rollout)
    for i, value in enumerate(plain):
        observation_TO, rng = rollout.observation_STO[i], stream(SEEDS[i], Purpose.MINIBATCHES)
        target_T = value(observation_TO)[:, 0].detach() + batch.advantage_SB[i]
        adam = torch.optim.Adam(value.parameters(), lr=0.01, eps=1e-5)
        for _ in range(2):
            order = rng.permutation(128)
            for first in range(0, 128, 32):
                rows = order[first : first + 32]
                adam.zero_grad()
                nn.functional.mse_loss(value(observation_TO[rows])[:, 0], target_T[rows]).backward()
                adam.step()
        torch.testing.assert_close(agent.phi_SP[i].detach(), flat(value), rtol=1e-9, atol=1e-9)
