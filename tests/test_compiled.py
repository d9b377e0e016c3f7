"""Compiled kernels against plain formulas in torch and numpy, and the fallback without kernels."""

import ctypes
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from rlclaims import compiled
from rlclaims.agents.adam import Adam
from rlclaims.agents.advantages import RewardScaler, generalized_advantages
from rlclaims.agents.agent import Agent
from rlclaims.agents.networks import MLP, GaussianNetwork, kernels_for
from rlclaims.agents.ppo import CLIPPED_OBJECTIVE, PPO
from rlclaims.sim.normalizer import ObservationNormalizer
from rlclaims.store.rounding import arithmetic
from rlclaims.update import Batch, DiagonalGaussian

needs_kernels = pytest.mark.skipif(compiled.library() is None, reason="no C compiler here makes the kernels")
# Hopper's policy and values; widths that fill no vector; one layer; many pairs, which pass in several parts.
NETWORKS = [((11, 64, 64, 3), 64), ((11, 64, 64, 1), 51), ((5, 7, 9, 10), 97), ((6, 2), 1), ((3, 40, 5), 300)]


@pytest.fixture
def plain(monkeypatch):
    """Return a function that disables kernels for the rest of the test."""
    return lambda: monkeypatch.setattr(compiled, "library", lambda: None)


def drawn(mlp, n_seeds, n_pairs, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    theta_SP = torch.randn(n_seeds, mlp.n_parameters, generator=generator) / 4
    x_SBI = torch.randn(n_seeds, n_pairs, mlp.sizes[0], generator=generator)
    weight_SBO = torch.randn(n_seeds, n_pairs, mlp.sizes[-1], generator=generator)
    return theta_SP.to(dtype).requires_grad_(), x_SBI.to(dtype), weight_SBO.to(dtype)


def outputs_and_gradient(mlp, theta_SP, x_SBI, weight_SBO):
    out_SBO = mlp(theta_SP, x_SBI)
    (gradient_SP,) = torch.autograd.grad((out_SBO * weight_SBO).sum(), theta_SP)
    return out_SBO, gradient_SP


@needs_kernels
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize(("sizes", "n_pairs"), NETWORKS)
def test_networks_and_their_gradients_are_torchs_to_rounding(sizes, n_pairs, activation):
    mlp = MLP(sizes, activation)
    found = outputs_and_gradient(mlp, *drawn(mlp, 3, n_pairs))
    assert mlp.kernels is not None and found[0].grad_fn.name() == "_CompiledBackward"
    exact = outputs_and_gradient(mlp, *drawn(mlp, 3, n_pairs, torch.float64))  # float64 has no kernels
    for mine, right in zip(found, exact, strict=True):
        error = (mine - right).abs().max() / right.abs().max()
        assert 0 < error < 2e-6


@needs_kernels
@pytest.mark.parametrize(("sizes", "n_pairs"), NETWORKS)
def test_seed_and_state_are_bit_identical_in_any_company(sizes, n_pairs):
    mlp = MLP(sizes)
    theta_SP, x_SBI, weight_SBO = drawn(mlp, 5, n_pairs)
    out_SBO, gradient_SP = outputs_and_gradient(mlp, theta_SP, x_SBI, weight_SBO)
    for i in range(5):
        one = slice(i, i + 1)
        theta_1P = theta_SP[one].detach().clone().requires_grad_()
        alone = outputs_and_gradient(mlp, theta_1P, x_SBI[one], weight_SBO[one])
        assert torch.equal(alone[0], out_SBO[one]) and torch.equal(alone[1], gradient_SP[one])
    with torch.no_grad():
        for b in {0, n_pairs // 2, n_pairs - 1}:
            assert torch.equal(mlp(theta_SP, x_SBI[:, b : b + 1].contiguous()), out_SBO[:, b : b + 1])
        for dtype in (np.float32, np.float64):
            acted_SO = mlp.kernels.act(theta_SP.numpy(), x_SBI[:, 0].numpy().astype(dtype))
            assert np.array_equal(acted_SO, out_SBO[:, 0].detach().numpy())


@needs_kernels
def test_tensors_are_read_wherever_they_lie():
    mlp = MLP((4, 16, 3))
    theta_SP, x_SBI, _ = drawn(mlp, 3, 20)
    with torch.no_grad():
        expected = mlp(theta_SP, x_SBI)
        within_longer_rows = torch.cat([theta_SP, theta_SP], 1)[:, : mlp.n_parameters]
        turned = x_SBI.transpose(0, 1).contiguous().transpose(0, 1)
        assert torch.equal(mlp(within_longer_rows, turned), expected)
        one_for_all = mlp(theta_SP[:1].expand(3, -1), x_SBI[:1].expand(3, -1, -1))
        assert torch.equal(one_for_all, expected[:1].expand(3, -1, -1))


@needs_kernels
def test_a_hyperbolic_tangent_is_one_to_rounding_everywhere():
    mlp = MLP((1, 1, 1))
    x_SBI = torch.cat([torch.linspace(-12, 12, 24_001), 10.0 ** torch.linspace(-30, 1, 1000)])[None, :, None]
    theta_SP = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    error = (mlp(theta_SP, x_SBI) - x_SBI.double().tanh()).abs() / x_SBI.double().tanh().abs().clamp(min=1e-35)
    assert 0 < error.max() < 5e-7
    assert mlp(theta_SP, torch.tensor([[[-torch.inf], [torch.inf]]])).flatten().tolist() == pytest.approx([-1, 1])
    assert mlp(theta_SP, torch.full((1, 1, 1), torch.nan)).isnan().all()


@needs_kernels
def test_second_and_observation_derivatives_are_torchs(plain):
    mlp = MLP((3, 8, 2))
    theta_SP, x_SBI, _ = drawn(mlp, 2, 9)

    def curvature():
        (slope_SP,) = torch.autograd.grad(mlp(theta_SP, x_SBI).square().sum(), theta_SP, create_graph=True)
        # The sum includes theta itself, so that losing the path through the network would be noticed.
        return torch.autograd.grad((slope_SP.square() + theta_SP).sum(), theta_SP)[0]

    found, by_x = curvature(), x_SBI.clone().requires_grad_()
    (slope_SBI,) = torch.autograd.grad(mlp(theta_SP, by_x).sum(), by_x)
    plain()
    mlp = MLP((3, 8, 2))
    torch.testing.assert_close(found, curvature(), rtol=1e-5, atol=1e-6)
    assert torch.equal(slope_SBI, torch.autograd.grad(mlp(theta_SP, by_x).sum(), by_x)[0])


@needs_kernels
def test_adams_steps_have_numpys_bits(plain):
    def moved():
        generator = torch.Generator().manual_seed(0)
        theta_SP = torch.randn(4, 37, generator=generator)
        adam = Adam(theta_SP, 1e-5)
        kept = None
        for step in range(5):
            adam.step(torch.randn(4, 37, generator=generator), 0.01 / (1 + step))
            kept = kept or adam.copy()
        return theta_SP, adam.mean_SP, adam.square_SP, kept.mean_SP

    found = moved()
    plain()
    for mine, its in zip(found, moved(), strict=True):
        assert np.array_equal(mine, its)


@needs_kernels
@pytest.mark.parametrize("n_action", [1, 3, 17])
def test_log_densities_and_gradients_are_those_of_normals(n_action):
    generator = torch.Generator().manual_seed(0)
    mean_SBA, action_SBA = (torch.randn(3, 20, n_action, generator=generator) for _ in range(2))
    log_std_S1A, weight_SB = (
        torch.randn(3, 1, n_action, generator=generator) / 2,
        torch.randn(3, 20, generator=generator),
    )

    def found(log_prob, dtype):
        mean, log_std = (x.to(dtype).requires_grad_() for x in (mean_SBA, log_std_S1A))
        log_prob_SB = log_prob(mean, log_std)
        slopes = torch.autograd.grad((log_prob_SB * weight_SB).sum(), (mean, log_std), create_graph=True)
        curvature = torch.autograd.grad(sum(slope.square().sum() for slope in slopes), (mean, log_std))
        plain_slopes = torch.autograd.grad((log_prob(mean, log_std) * weight_SB).sum(), (mean, log_std))
        return log_prob_SB, *slopes, *plain_slopes, *curvature

    mine = found(lambda mean, log_std: DiagonalGaussian(mean, log_std).log_prob(action_SBA), torch.float32)
    assert mine[0].grad_fn.name() == "_CompiledLogProbBackward"
    exact = found(lambda mean, log_std: Normal(mean, log_std.exp()).log_prob(action_SBA).sum(-1), torch.float64)
    for value, right in zip(mine, exact, strict=True):
        assert 0 < (value - right).abs().max() / right.abs().max() < 2e-6


@needs_kernels
def test_log_densities_are_bit_identical_in_any_company():
    generator = torch.Generator().manual_seed(0)
    mean_SBA, action_SBA = (torch.randn(5, 7, 3, generator=generator) for _ in range(2))
    log_std_S1A = torch.randn(5, 1, 3, generator=generator)
    together = DiagonalGaussian(mean_SBA, log_std_S1A).log_prob(action_SBA)
    for one in (slice(i, i + 1) for i in range(5)):
        assert torch.equal(DiagonalGaussian(mean_SBA[one], log_std_S1A[one]).log_prob(action_SBA[one]), together[one])
    # Also for other memory layouts.
    turned = (x.transpose(0, 1).contiguous().transpose(0, 1) for x in (mean_SBA, action_SBA))
    mean, action = turned
    assert torch.equal(DiagonalGaussian(mean, log_std_S1A).log_prob(action), together)


class ByAutograd(PPO):
    """PPO with the same objective in an override, so that autograd is used."""

    def policy_loss(self, ratio_SB, advantage_SB):
        return super().policy_loss(ratio_SB, advantage_SB)


def minibatch(n_seeds, n_pairs, sizes=(11, 3), spread=0.3, **settings):
    """Return an agent and strided views of pairs: observations, actions, old log densities, advantages."""
    generator = torch.Generator().manual_seed(n_seeds * n_pairs)

    def some(*shape):
        return torch.randn(n_seeds, 3 * n_pairs, *shape, generator=generator)[:, n_pairs : 2 * n_pairs]

    agent = Agent(PPO(**settings), tuple(range(n_seeds)), *sizes, 1)
    with torch.no_grad():
        agent.theta_SP += 0.1 * torch.randn(agent.theta_SP.shape, generator=generator)
    observation_SBO, action_SBA = map(some, sizes)
    log_prob_SB = agent.log_prob(Batch(observation_SBO, action_SBA, some()))
    return agent, (observation_SBO, action_SBA, some().mul_(spread).add_(log_prob_SB), some())


@pytest.fixture
def counted(monkeypatch):
    """Gradients of PPO's objective that kernels have computed."""
    made, real = [], compiled.Network.ratio_gradient

    def ratio_gradient(*given):
        made.append(real(*given))
        return made[-1]

    monkeypatch.setattr(compiled.Network, "ratio_gradient", ratio_gradient)
    return made


@pytest.fixture
def both_gradients(counted):
    """A function that returns the gradient of PPO's objective by kernels, and by autograd."""

    def found(agent, pairs, **settings):
        found = [cls(**settings)._gradient(agent, *pairs) for cls in (PPO, ByAutograd)]
        assert len(counted) == 1
        counted.clear()
        return found

    return found


@needs_kernels
@pytest.mark.parametrize("epsilon", [0.2, 1e-3, 2.0, None])
@pytest.mark.parametrize(
    ("n_seeds", "n_pairs", "given"),
    [
        (1, 64, {}),
        (9, 64, {}),
        (3, 1, {}),
        (2, 7, {"activation": "relu"}),
        (2, 300, {"hidden": ()}),
        (2, 50, {"hidden": (7, 33, 20), "sizes": (5, 17)}),
        (3, 20, {"spread": 10.0}),  # ratios of thousands
    ],
)
def test_ratio_gradient_has_autograds_bits(both_gradients, n_seeds, n_pairs, given, epsilon):
    by_kernels, by_autograd = both_gradients(*minibatch(n_seeds, n_pairs, **given), clip_epsilon=epsilon)
    assert by_autograd.any()
    assert torch.equal(by_kernels, by_autograd)


@needs_kernels
@pytest.mark.parametrize("epsilon", [0.2, None])
def test_ratio_gradient_with_the_smallest_advantages(both_gradients, epsilon):
    agent, (*known, advantage_SB) = minibatch(2, 3, spread=20.0)
    by_kernels, by_autograd = both_gradients(agent, (*known, 1e-40 * advantage_SB), clip_epsilon=epsilon)
    assert by_autograd.any()
    assert torch.equal(by_kernels, by_autograd)


@needs_kernels
def test_ratio_gradient_at_the_edge_of_the_clip(both_gradients):
    agent, pairs = minibatch(2, 40)
    ratio_SB = (agent.log_prob(Batch(pairs[0], pairs[1], pairs[3])) - pairs[2]).exp()
    for ratio in ratio_SB.flatten().tolist():
        edge = 1 + abs(ratio - 1) if ratio > 1 else 1 - abs(ratio - 1)
        assert edge == ratio
        # At it, and a little beyond, where products round to those of the edge.
        for near in (ratio, *np.nextafter(np.float32(ratio), np.float32([0, 2])).tolist()):
            if abs(near - 1) > 1e-6:
                assert torch.equal(*both_gradients(agent, pairs, clip_epsilon=abs(near - 1)))


@needs_kernels
@pytest.mark.parametrize("old", [-1000.0, 1000.0, float("nan")])
def test_ratio_gradient_with_nan_and_infinite_ratios(both_gradients, old):
    agent, pairs = minibatch(2, 9)
    pairs[2][0, 3] = old
    by_kernels, by_autograd = both_gradients(agent, pairs)
    assert torch.equal(by_kernels.nan_to_num(-1.0), by_autograd.nan_to_num(-1.0))
    assert by_kernels[1].isfinite().all()


def twice(self, ratio_SB, advantage_SB):
    return 2 * CLIPPED_OBJECTIVE(self, ratio_SB, advantage_SB)


@needs_kernels
def test_replaced_objectives_use_autograd(monkeypatch, counted):
    agent, pairs = minibatch(2, 9)
    own = PPO()._gradient(agent, *pairs)
    on_an_instance = PPO()
    object.__setattr__(on_an_instance, "policy_loss", twice.__get__(on_an_instance))
    assert torch.equal(on_an_instance._gradient(agent, *pairs), 2 * own)
    narrow, another = PPO(clip_epsilon=0.05), PPO()
    object.__setattr__(another, "policy_loss", narrow.policy_loss)
    assert torch.equal(another._gradient(agent, *pairs), ByAutograd(clip_epsilon=0.05)._gradient(agent, *pairs))
    monkeypatch.setattr(PPO, "policy_loss", twice)
    assert torch.equal(PPO()._gradient(agent, *pairs), 2 * own)
    assert len(counted) == 1


@needs_kernels
def test_objective_with_entropy_uses_autograd(counted):
    agent, pairs = minibatch(2, 9)
    own = PPO()._gradient(agent, *pairs)
    slope = PPO(entropy_coefficient=0.5)._gradient(agent, *pairs) - own
    # The entropy's gradient is 1 in every log standard deviation.
    torch.testing.assert_close(slope[:, -3:], torch.full((2, 3), -0.5))
    assert len(counted) == 1


@needs_kernels
def test_custom_networks_use_autograd(counted):
    agent, pairs = minibatch(2, 9)
    real = agent.network

    class Calm(GaussianNetwork):
        def __call__(self, theta_SP, observation_SBO):
            return super().__call__(0.5 * theta_SP, observation_SBO)

    class Steep(MLP):
        def __call__(self, theta_SP, x_SBI):
            return 2 * super().__call__(theta_SP, x_SBI)

    for network in (Calm(real.mlp), GaussianNetwork(Steep(real.mlp.sizes)), lambda *given: real(*given)):
        agent.network = network
        assert torch.equal(PPO()._gradient(agent, *pairs), ByAutograd()._gradient(agent, *pairs))
    assert not counted


@needs_kernels
def test_hooks_and_anomaly_detection_use_autograd(counted):
    agent, pairs = minibatch(2, 9)
    own = ByAutograd()._gradient(agent, *pairs)
    hook = agent.theta_SP.register_hook(lambda gradient: 3 * gradient)
    assert torch.equal(PPO()._gradient(agent, *pairs), 3 * own)
    hook.remove()
    rising = (
        cls()._gradient(agent, *pairs[:3], pairs[3] * agent.theta_SP.sum(1, keepdim=True)) for cls in (PPO, ByAutograd)
    )
    assert torch.equal(*rising)
    with torch.no_grad(), pytest.raises(RuntimeError, match="does not require grad"):
        PPO()._gradient(agent, *pairs)
    pairs[2][0, 3] = float("nan")
    with torch.autograd.set_detect_anomaly(True), pytest.raises(RuntimeError, match="returned nan values"):
        PPO()._gradient(agent, *pairs)
    assert not counted


@needs_kernels
def test_pairs_that_do_not_fit_are_not_read_by_kernels():
    agent, pairs = minibatch(3, 9)
    theta_SP, (observation_SBO, action_SBA, old_SB, advantage_SB) = agent.theta_SP, pairs
    assert kernels_for(agent.network, theta_SP, *pairs) is not None
    for which, other in [
        (0, theta_SP[:, :-1]),
        (0, theta_SP[:2]),
        (0, theta_SP.double()),
        (0, theta_SP.detach().T.contiguous().T.requires_grad_()),
        (1, observation_SBO[..., :-1]),
        (1, observation_SBO.double()),
        (2, action_SBA[..., :-1]),
        (2, action_SBA[:1]),
        (2, action_SBA.double()),
        (3, old_SB[:, :1]),
        (3, old_SB.double()),
        (4, advantage_SB.double()),
    ]:
        changed = [other if i == which else x for i, x in enumerate((theta_SP, *pairs))]
        assert kernels_for(agent.network, *changed) is None
    assert kernels_for(agent.network, theta_SP, *(x[:, :0] for x in pairs)) is None


@needs_kernels
@pytest.mark.parametrize("value_clip", [None, 0.05])
def test_values_are_fitted_as_by_torch_in_double_precision(value_clip):
    """50 pairs in 8 parts, which are of 7 and of 6; with old values, some of which are passed by more than the clip."""
    settings = {"hidden": (16, 8), "steps": 48, "minibatches": 8, "value_epochs": 3, "value_learning_rate": 3e-3}
    algorithm = PPO(value_clip=value_clip, anneal_learning_rates=False, **settings)
    generator = torch.Generator().manual_seed(0)
    observation_STO = torch.randn(3, 50, 5, generator=generator)
    old_ST, advantage_ST = (torch.randn(3, 50, generator=generator) for _ in range(2))

    def fitted(dtype, which=(0, 1, 2)):
        agent, rows = Agent(algorithm, which, 5, 2, 10), list(which)
        agent.phi_SP = agent.phi_SP.detach().to(dtype).requires_grad_()
        agent.value_adam = Adam(agent.phi_SP, algorithm.adam_epsilon)
        with torch.no_grad():
            old = old_ST[rows] / 10 + agent.value_network(agent.phi_SP, observation_STO[rows].to(dtype))[..., 0]
        for _ in range(2):
            agent.fit_values(observation_STO[rows].to(dtype), old.to(dtype), advantage_ST[rows].to(dtype))
        return agent.phi_SP.detach(), agent.value_adam

    phi_SP, adam = fitted(torch.float32)
    alone = [fitted(torch.float32, (i,))[0] for i in range(3)]
    exact_SP, exact_adam = fitted(torch.float64)  # float64 has no kernels
    assert torch.equal(torch.cat(alone), phi_SP) and (adam.steps_S == 48).all()
    moved = (exact_SP - Agent(algorithm, (0, 1, 2), 5, 2, 10).phi_SP).abs().max()
    assert 0 < (phi_SP - exact_SP).abs().max() < 1e-5 < 1e-2 < moved
    for mine, right in ((adam.mean_SP, exact_adam.mean_SP), (adam.square_SP, exact_adam.square_SP)):
        np.testing.assert_allclose(mine, right, rtol=1e-4, atol=1e-6)


@needs_kernels
def test_running_statistics_and_advantages_have_numpys_bits(plain):
    rng = np.random.default_rng(0)
    observation_TSO, reward_ST = rng.normal(3, 2, (40, 5, 7)), rng.normal(1, 5, (5, 40))
    done_ST, value_ST, next_value_ST = rng.random((5, 40)) < 0.1, rng.normal(size=(5, 40)), rng.normal(size=(5, 40))

    def numbers():
        normalizer = ObservationNormalizer(7, [True, True, False, True, True], [1.5, None, 2.0, 10.0, 0.5])
        answers = [normalizer.observe(observation_SO) for observation_SO in observation_TSO]
        which = np.array([1, 3, 4])
        answers += [normalizer.observe(observation_TSO[0, which], which), normalizer.frozen(observation_TSO[1] * 100)]
        answers += [normalizer.frozen(observation_TSO[2, which], which), *normalizer.current.row(3)]
        for scaling, clip in (("returns", 0.3), ("rewards", None)):
            scaler = RewardScaler(5, scaling, 0.9, clip)
            answers += [scaler(reward_ST[:, :25], done_ST[:, :25]), scaler(reward_ST[:, 25:], done_ST[:, 25:])]
            answers.append(scaler.state())
        ends = done_ST, ~done_ST & (reward_ST > 8)
        return [*answers, generalized_advantages(reward_ST, value_ST, next_value_ST, *ends, gamma=0.9, lam=0.8)]

    found = numbers()
    plain()
    for mine, its in zip(found, numbers(), strict=True):
        assert mine.dtype == its.dtype and np.array_equal(mine, its)


@needs_kernels
def test_rows_are_taken_in_each_seeds_order():
    generator = torch.Generator().manual_seed(0)
    index_SK = torch.randint(9, (3, 4), generator=generator)
    for shape in ((3, 9), (3, 9, 5)):
        x = torch.randn(shape, generator=generator)
        assert torch.equal(compiled.take(x, index_SK), torch.stack([x[s, index_SK[s]] for s in range(3)]))


@pytest.mark.parametrize(
    ("variable", "value"), [("CC", "no-such-compiler"), ("CC", "false"), ("CC", "'"), ("RLCLAIMS_COMPILED", "0")]
)
def test_without_a_compiler_runs_have_another_digest(variable, value, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with_kernels = arithmetic()
    monkeypatch.setenv(variable, value)
    compiled.library.cache_clear()
    arithmetic.cache_clear()
    try:
        assert compiled.library() is None
        assert arithmetic().count("-") == 2
        mlp = MLP((3, 4, 2))
        assert mlp.kernels is None and mlp(*drawn(mlp, 2, 5)[:2]).shape == (2, 5, 2)
    finally:
        monkeypatch.undo()
        compiled.library.cache_clear()
        arithmetic.cache_clear()
    assert arithmetic() == with_kernels
    assert (with_kernels.count("-") == 3) == (compiled.library() is not None)


@pytest.fixture
def loaded_from(monkeypatch):
    """A function that loads the kernels with the given cache folder and returns their path."""

    def loaded(folder):
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
        return Path(compiled._load(compiled._compiler())._name)

    return loaded


@needs_kernels
def test_kernels_are_cached_or_compiled_per_process(loaded_from, tmp_path):
    made = loaded_from(tmp_path / "cache")
    assert made.parent == tmp_path / "cache" / "rlclaims"
    when = made.stat().st_mtime_ns
    assert loaded_from(tmp_path / "cache") == made and made.stat().st_mtime_ns == when
    assert [path.name for path in made.parent.iterdir()] == [made.name]
    (tmp_path / "file").touch()
    elsewhere = loaded_from(tmp_path / "file")
    assert tmp_path not in elsewhere.parents and not elsewhere.parent.exists()


@needs_kernels
@pytest.mark.parametrize("content", [b"", b"half", b"another"])
def test_damaged_kernels_are_compiled_again(content, loaded_from, tmp_path):
    made = loaded_from(tmp_path)
    whole = made.read_bytes()
    made.unlink()  # the loaded library has its own file
    made.write_bytes(whole[:100] if content == b"half" else content)
    again = loaded_from(tmp_path)
    assert again.parent == made.parent and again.read_bytes() == whole


@needs_kernels
def test_a_user_without_a_home_has_kernels(loaded_from, monkeypatch):
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    assert not loaded_from("").exists()


@needs_kernels
def test_a_compiler_may_be_a_command_with_options_of_its_own(monkeypatch):
    monkeypatch.setenv("CC", f"env 'NAME=of two' {os.environ.get('CC') or 'cc'}")
    assert compiled._compiler()[:2] == ["env", "NAME=of two"]
    assert isinstance(compiled._load(compiled._compiler()), ctypes.CDLL)


@needs_kernels
def test_a_relative_cache_folder_is_ignored(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    compiled._load(["cc"])
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert len(list((tmp_path / "home" / ".cache" / "rlclaims").iterdir())) == 1
