"""A short training loop, recorded, against a naive loop over its parameters and pairs."""

import math
import random  # noqa: TID251  (to test that its state is preserved)
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal

from rlclaims.adapters.recorder import Pairs, UpdateRecorder

B, SEEN, A = 40, 3, 2
EPSILON = 0.15


class Gaussian(nn.Module):
    """A policy in double precision, so that two computations of a number nearly agree."""

    def __init__(self, generator):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(SEEN, A, generator=generator, dtype=torch.float64))
        self.log_std = nn.Parameter(torch.randn(A, generator=generator, dtype=torch.float64))

    def forward(self, observation_BO):
        return Independent(Normal(observation_BO @ self.weight, self.log_std.exp()), 1)


def collected(policy, generator, n=B):
    observation_BO = torch.randn(n, SEEN, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        output = policy(observation_BO).base_dist
        action_BA = output.loc + output.scale * torch.randn(n, A, generator=generator, dtype=torch.float64)
    return observation_BO, action_BA, torch.randn(n, generator=generator, dtype=torch.float64) + 0.5


def improve(policy, optimizer, pairs, steps=3):
    observation_BO, action_BA, advantage_B = pairs
    for _ in range(steps):
        optimizer.zero_grad()
        (-policy(observation_BO).log_prob(action_BA) * advantage_B).mean().backward()
        optimizer.step()


def copied(policy):
    return policy.weight.detach().numpy().copy(), policy.log_std.detach().numpy().copy()


def naive(old, new, pairs, states):
    """Return all measures of an update, computed state by state."""
    divergences, ratios, gains = [], [], []
    for seen_O, action_A, advantage in zip(*(x.numpy() for x in pairs), strict=True):
        divergence = log_ratio = 0.0
        for a in range(A):
            (m, s), (n, t) = (
                (sum(seen_O[i] * weight[i, a] for i in range(SEEN)), math.exp(log_std[a]))
                for weight, log_std in (old, new)
            )
            divergence += math.log(t / s) + (s * s + (m - n) ** 2) / (2 * t * t) - 0.5
            log_ratio += math.log(s / t) + ((action_A[a] - m) / s) ** 2 / 2 - ((action_A[a] - n) / t) ** 2 / 2
        divergences.append(divergence)
        ratios.append(math.exp(log_ratio))
        gains.append(math.exp(log_ratio) * advantage)
    values = {
        "kl_old_new/mean": math.fsum(divergences) / len(divergences),
        "kl_old_new/q99": np.quantile(divergences, 0.99),
        "kl_old_new/max": max(divergences),
        "ratio/max": max(ratios),
        "ratio/q99": np.quantile(ratios, 0.99),
        "ratio/q01": np.quantile(ratios, 0.01),
        "ratio/min": min(ratios),
        "ratio/exceedance": sum(abs(ratio - 1) > EPSILON for ratio in ratios) / len(ratios),
        "ratio/deviation": math.fsum(abs(ratio - 1) for ratio in ratios) / len(ratios),
        "surrogate/old": float(pairs[2].mean()),
        "surrogate/new": math.fsum(gains) / len(gains),
    }
    return {f"{name}/{states}": value for name, value in values.items()}


def train(recorder, iterations, seed=0, held_out=False):
    """Train a policy; return its parameters before and after each update, and the pairs of each."""
    generator, fresh = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed + 1000)
    policy = Gaussian(generator)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.02)
    thetas, batches, held = [copied(policy)], [], []

    def more():
        held.append((recorder.iteration, collected(policy, fresh, n=2 * B)))
        return Pairs(*held[-1][1])

    for _ in range(iterations):
        batch = collected(policy, generator)
        if recorder is None:
            improve(policy, optimizer, batch)
        else:
            with recorder.update(policy, Pairs(*batch), more if held_out else None):
                improve(policy, optimizer, batch)
        thetas.append(copied(policy))
        batches.append(batch)
    return thetas, batches, held


def test_every_series_matches_a_naive_loop():
    recorder = UpdateRecorder(EPSILON)
    thetas, batches, _ = train(recorder, 5)
    expected = [naive(old, new, batch, "training") for (old, new), batch in zip(pairwise(thetas), batches, strict=True)]
    assert recorder.iteration == 5 and recorder.failure is None
    assert recorder.series.keys() == expected[0].keys()
    for name, series in recorder.series.items():
        assert series == pytest.approx([found[name] for found in expected], rel=1e-9), name
    exceedances = recorder.series["ratio/exceedance/training"]
    assert all(0 < share < 1 for share in exceedances)  # so the value depends on epsilon


def test_held_out_pairs_are_measured_every_tenth_update():
    recorder = UpdateRecorder(EPSILON)
    thetas, batches, held = train(recorder, 21, held_out=True)
    assert [iteration for iteration, _ in held] == [0, 10, 20]
    expected = [naive(thetas[i], thetas[i + 1], pairs, "held_out") for i, pairs in held]
    for name in expected[0]:
        assert recorder.series[name] == pytest.approx([found[name] for found in expected], rel=1e-9), name
    on_training = [naive(thetas[i], thetas[i + 1], batches[i], "training") for i in range(21)]
    for name in on_training[0]:
        assert recorder.series[name] == pytest.approx([found[name] for found in on_training], rel=1e-9), name


def test_recording_does_not_change_training():
    without, _, _ = train(None, 12)
    recorded, _, _ = train(UpdateRecorder(), 12, held_out=True)
    for one, other in zip(without, recorded, strict=True):
        assert all(x.tobytes() == y.tobytes() for x, y in zip(one, other, strict=True))


def test_begin_and_end_equal_the_context_manager():
    one, two, policy = UpdateRecorder(), UpdateRecorder(), Gaussian(torch.Generator().manual_seed(0))
    batch = collected(policy, torch.Generator().manual_seed(1))
    one.begin(policy, Pairs(*batch))
    with two.update(policy, Pairs(*batch)):
        improve(policy, torch.optim.SGD(policy.parameters(), lr=0.1), batch)
    one.end(policy)
    assert one.series == two.series and one.iteration == two.iteration == 1


class Tabular(nn.Module):
    """A policy whose output holds its own parameters, which an optimiser changes in place."""

    def __init__(self):
        super().__init__()
        self.mean_BA = nn.Parameter(torch.zeros(B, A))
        self.std_A = nn.Parameter(torch.ones(A))

    def forward(self, _):
        return Normal(self.mean_BA, self.std_A)


def test_recorder_copies_a_policys_own_parameters():
    recorder, policy = UpdateRecorder(), Tabular()
    pairs = Pairs(None, np.zeros((B, A), np.float32), np.ones(B, np.float32))
    with recorder.update(policy, pairs), torch.no_grad():
        policy.mean_BA.add_(0.5)
        policy.std_A.mul_(2.0)
    # KL(N(0, 1) || N(1/2, 2)) of each of two actions.
    each = math.log(2) + (1 + 0.25) / 8 - 0.5
    assert recorder.series["kl_old_new/mean/training"] == [pytest.approx(2 * each, rel=1e-6)]
    assert recorder.series["ratio/max/training"] == [pytest.approx(math.exp(-2 * (math.log(2) + 1 / 32)), rel=1e-6)]


@pytest.mark.parametrize("kind", ["arrays", "tensors"])
def test_recorder_copies_buffers_before_the_update(kind):
    recorder, policy = UpdateRecorder(EPSILON), Gaussian(torch.Generator().manual_seed(0))
    batch = collected(policy, torch.Generator().manual_seed(1))
    original, old = [x.clone() for x in batch], copied(policy)
    buffers = [x.numpy() for x in batch] if kind == "arrays" else batch

    def of_dict(seen):
        return policy(torch.as_tensor(seen["state"]))

    with recorder.update(of_dict, Pairs({"state": buffers[0]}, buffers[1], buffers[2])):
        improve(policy, torch.optim.SGD(policy.parameters(), lr=0.1), [x.clone() for x in batch])
        for buffer in buffers:
            buffer[:] = 7.0
    for name, value in naive(old, copied(policy), original, "training").items():
        assert recorder.series[name] == [pytest.approx(value, rel=1e-9)], name


def spoil(policy, value):
    with torch.no_grad():
        policy.weight[0, 0] = value


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e200])
def test_non_finite_measure_is_a_failure_and_ends_recording(value):
    recorder, generator = UpdateRecorder(), torch.Generator().manual_seed(0)
    policy, asked = Gaussian(generator), []

    def counted(observation):
        asked.append(len(recorder.series))
        return policy(observation)

    for _ in range(2):
        with recorder.update(counted, Pairs(*collected(policy, generator))), torch.no_grad():
            policy.weight.add_(0.01)
    before = {name: list(series) for name, series in recorder.series.items()}
    pairs = Pairs(*collected(policy, generator))
    with recorder.update(counted, pairs):
        spoil(policy, value)
    assert recorder.failure == "kl_old_new/mean/training is not finite in iteration 2"
    spoil(policy, 0.5)
    for _ in range(2):
        with recorder.update(counted, pairs, held_out=lambda: pytest.fail("asked for after a failure")):
            pass
    assert recorder.failure == "kl_old_new/mean/training is not finite in iteration 2"
    assert recorder.series == before and recorder.iteration == 2
    assert len(asked) == 6


@pytest.mark.parametrize(
    ("advantage", "name"),
    [(math.nan, "surrogate/old/training"), (math.inf, "surrogate/old/training"), (-math.inf, "surrogate/old/training")],
)
def test_non_finite_advantages_are_a_failure(advantage, name):
    recorder, policy = UpdateRecorder(), Gaussian(torch.Generator().manual_seed(0))
    observation_BO, action_BA, advantage_B = collected(policy, torch.Generator().manual_seed(1))
    advantage_B[3] = advantage
    with recorder.update(policy, Pairs(observation_BO, action_BA, advantage_B)):
        pass
    assert recorder.failure == f"{name} is not finite in iteration 0"
    assert recorder.series == {}


def test_infinite_kl_of_finite_parameters_is_a_failure():
    logits_B2 = torch.zeros(B, 2)
    recorder = UpdateRecorder()
    with recorder.update(
        lambda _: Categorical(logits=logits_B2), Pairs(None, torch.zeros(B, dtype=torch.int64), np.ones(B))
    ):
        logits_B2[5, 1] = -math.inf
    assert recorder.failure == "kl_old_new/mean/training is not finite in iteration 0"


def test_interrupted_update_is_not_recorded():
    recorder, generator = UpdateRecorder(EPSILON), torch.Generator().manual_seed(0)
    policy = Gaussian(generator)
    batch = collected(policy, generator)

    def broken_off():
        with recorder.update(policy, Pairs(*batch)):
            spoil(policy, 0.1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    recorder.end(policy)
    assert recorder.series == {} and recorder.iteration == 0 and recorder.failure is None
    old = copied(policy)
    with recorder.update(policy, Pairs(*batch)):
        improve(policy, torch.optim.SGD(policy.parameters(), lr=0.1), batch)
    for name, value in naive(old, copied(policy), batch, "training").items():
        assert recorder.series[name] == [pytest.approx(value, rel=1e-9)], name


def random_states():
    return torch.get_rng_state().tolist(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002


def draw_from_all():
    torch.rand(3)
    np.random.random(3)  # noqa: NPY002
    random.random()


def test_recorder_restores_global_random_states():
    policy, recorder = Gaussian(torch.Generator().manual_seed(0)), UpdateRecorder()
    batch = collected(policy, torch.Generator().manual_seed(1))

    def noisy(observation):
        draw_from_all()
        return policy(observation)

    def held_out():
        draw_from_all()
        return Pairs(*batch)

    before = random_states()
    recorder.begin(noisy, Pairs(*batch), held_out)
    assert random_states() == before
    recorder.end(noisy)
    assert random_states() == before

    def broken(observation):
        draw_from_all()
        raise LookupError

    with pytest.raises(LookupError):
        recorder.begin(broken, Pairs(*batch))
    assert random_states() == before


def test_recorder_restores_grad_mode_and_validation():
    policy, seen = Gaussian(torch.Generator().manual_seed(0)), []

    def watched(observation):
        seen.append((torch.is_grad_enabled(), Distribution._validate_args))
        return policy(observation)

    validated = Distribution._validate_args
    with UpdateRecorder().update(watched, Pairs(*collected(policy, torch.Generator().manual_seed(1)))):
        assert torch.is_grad_enabled() and Distribution._validate_args == validated
    assert seen == [(False, False), (False, False)]
    assert torch.is_grad_enabled() and Distribution._validate_args == validated


@pytest.mark.parametrize(
    ("action", "advantage", "sentence"),
    [
        (
            (B, A),
            (B, 1),
            r"^Advantages must be one number per pair, .*; their shapes are \(40, 1\) and \(40, 2\)\.$",
        ),
        ((B - 1, A), (B,), r"are \(40,\) and \(39, 2\)"),
        ((), (), r"are \(\) and \(\)"),
        ((0, A), (0,), r"are \(0,\) and \(0, 2\)"),
        (
            (B, A + 1),
            (B,),
            r"^The policy.s output is for actions of shape \(40, 2\), and the actions have shape \(40, 3\)",
        ),
        (
            (B // 2, A),
            (B // 2,),
            r"^The policy.s output is for actions of shape \(40, 2\), and the actions have shape \(20",
        ),
        ((B,), (B,), r"^The policy.s output is for actions of shape \(40, 2\), and the actions have shape \(40,\)"),
    ],
)
@pytest.mark.parametrize("which", ["training", "held out"])
def test_mismatched_pairs_are_refused_before_the_update(action, advantage, sentence, which):
    recorder, policy = UpdateRecorder(), Tabular()
    good, bad = Pairs(None, torch.zeros(B, A), torch.zeros(B)), Pairs(None, torch.zeros(action), torch.zeros(advantage))
    pairs, held_out = (bad, None) if which == "training" else (good, lambda: bad)
    with pytest.raises(ValueError, match=sentence), recorder.update(policy, pairs, held_out):
        pytest.fail("learnt from")
    recorder.end(policy)
    assert recorder.series == {}


def test_policy_without_distribution_is_refused():
    pairs = Pairs(torch.zeros(B, SEEN), torch.zeros(B, A), torch.zeros(B))
    with (
        pytest.raises(TypeError, match=r"^A policy must return a torch.distributions.Distribution"),
        UpdateRecorder().update(nn.Linear(SEEN, A), pairs),
    ):
        pytest.fail("learnt from")


def test_policy_without_known_kl_is_refused_before_the_update():
    def policy(observation):
        components = Normal(observation[:, :2], 1.0)
        return MixtureSameFamily(Categorical(logits=observation[:, :2]), components)

    recorder, learnt = UpdateRecorder(), []
    with (
        pytest.raises(NotImplementedError, match="has no KL divergence from MixtureSameFamily to MixtureSameFamily"),
        recorder.update(policy, Pairs(torch.ones(4, 2), torch.zeros(4), torch.ones(4))),
    ):
        learnt.append(True)
    assert not learnt and recorder.iteration == 0
