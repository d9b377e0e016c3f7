"""Gradients of real, small runs, each by a naive route; and their summaries, where the truth is known."""

import itertools
import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
import torch
from rail import (
    LEAST,
    assert_within_4_errors,
    decision,
    expected_returns,
    mean_and_error,
    on_the_rail,
    quadratic,
)
from small_runs import (
    KEPT,
    N_ACTION,
    OF_ITERATION,
    SIZES,
    by_hand,
    naive_advantages,
    reward_scale,
    scaled_rewards,
    step_of,
    to_come,
    values_of,
)
from torch.distributions import Normal

from rlclaims.randomness import stream_from_array
from rlclaims.studies.gradients import compute as gradients
from rlclaims.studies.replayed_run import FinishedRun

NAMES = ("surrogate", "returns", "discounted", "undiscounted", "near_true")
PAIRS, BLOCKS = 700, 5
# Between the random numbers of two iterations' pools, and where pools begin.
OF_POOL, POOLS, FITTED_ON = 10**7, 10**10, 2 * 10**10
GAMMA = 0.99


def of_kind(runs, name):
    if name != "PPO on advantages as they are":
        return runs[name]
    return replace(runs["PPO"], algorithm=replace(runs["PPO"].algorithm, normalize_advantages=False))


EVERY = ["PPO", "PPO on advantages as they are", "PPONoClip", "TRPO"]


@pytest.fixture(scope="module")
def made(runs):
    """Return each run's gradient numbers, from few and small blocks."""
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(gradients, "BLOCKS", BLOCKS)
        return {name: gradients.gradients(of_kind(runs, name), PAIRS, near_true=True) for name in EVERY}


def per_block(run, iteration):
    """Episodes of a block, and of the pool that values are fitted on, by the pilot's mean length."""
    theta_P = run.history.theta_KP[iteration]
    pilot = [len(by_hand(run, theta_P, iteration, iteration * OF_ITERATION + e).rewards) for e in range(8)]
    return round(PAIRS / np.mean(pilot) / BLOCKS), math.ceil(PAIRS / np.mean(pilot))


def naive_targets(run, checkpoint, episodes, as_module):
    """Return the targets that values are fitted to: returns to come, with V of the last state at a time limit."""
    value_of = as_module(torch.from_numpy(checkpoint.value_P).double(), (*SIZES, 1))
    observation_TO = torch.from_numpy(np.concatenate([e.observations[:-1] for e in episodes])).double()
    advantages = [naive_advantages(run, checkpoint, e, 1.0, as_module) for e in episodes]
    return value_of(observation_TO).detach().flatten() + torch.tensor(np.concatenate(advantages))


def naive_centres(run, checkpoint, as_module):
    """Return the means over the run's held-out pairs of A and of V + A: they centre advantages and returns."""
    observation_TO, _, advantage_T = checkpoint.held_out
    values = values_of(checkpoint.value_P, observation_TO, as_module)
    assert len(values) == len(advantage_T) == run.algorithm.steps
    mean_advantage = math.fsum(advantage_T) / len(advantage_T)
    return mean_advantage, math.fsum(values) / len(values) + mean_advantage


def naive_weights(run, checkpoint, episode, fitted_P, as_module):
    """Return the weights of an episode's pairs, by gradient."""
    values = np.array(values_of(checkpoint.value_P, episode.observations[:-1], as_module))
    gaes = {
        name: np.array(naive_advantages(run, checkpoint, episode, run.algorithm.gae_lambda, as_module, value_P))
        for name, value_P in (("surrogate", checkpoint.value_P), ("near_true", fitted_P))
    }
    weights = {**gaes, "returns": np.array(to_come(scaled_rewards(run, checkpoint, episode), GAMMA))}
    if getattr(run.algorithm, "normalize_advantages", True):
        mean_advantage, mean_return = naive_centres(run, checkpoint, as_module)
        weights["surrogate"] = weights["surrogate"] - mean_advantage
        weights["near_true"] = weights["near_true"] - mean_advantage
        weights["returns"] -= mean_return
    own = values * (reward_scale(checkpoint)[1] if run.algorithm.scale_rewards else 1.0)
    discounts = np.array([GAMMA**t for t in range(len(values))])
    weights["discounted"] = discounts * (np.array(to_come(episode.rewards, GAMMA)) - own)
    weights["undiscounted"] = np.array(to_come(episode.rewards, 1.0)) - own
    return weights


def naive_sum(theta_P, episode, weight_T, as_module):
    """Weights times gradients of log densities, summed over an episode, by autograd in double precision."""
    theta_P = torch.from_numpy(theta_P).double()
    module = as_module(theta_P[:-N_ACTION], (*SIZES, N_ACTION))
    log_std_A = theta_P[-N_ACTION:].clone().requires_grad_()
    mean_TA = module(torch.from_numpy(np.array(episode.observations[:-1])).double())
    action_TA = torch.from_numpy(np.array(episode.actions)).double()
    total = sum(
        weight * Normal(mean_A, log_std_A.exp()).log_prob(action_A).sum()
        for weight, mean_A, action_A in zip(weight_T, mean_TA, action_TA, strict=True)
    )
    slopes = torch.autograd.grad(total, [*module.parameters(), log_std_A])
    # A module's weights are output by input.
    return torch.cat([(slope.T if slope.ndim == 2 else slope).reshape(-1) for slope in slopes]).numpy()


def over_blocks(one_MP, other_MP):
    """Mean inner product of two different blocks, in either order."""
    m = len(one_MP)
    return math.fsum(one_MP[i] @ other_MP[j] for i, j in itertools.permutations(range(m), 2)) / (m * (m - 1))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("k", range(3))
def test_gradients_match_episodes_played_by_hand(name, k, runs, made, as_module):
    run, iteration, endings = of_kind(runs, name), KEPT[k], set()
    checkpoint, theta_P = run.start.checkpoints[k], run.history.theta_KP[iteration]
    n, fitted_on = per_block(run, iteration)
    assert n > 3
    with torch.no_grad():
        (fitted_P,) = gradients._near_true_values(run, checkpoint, fitted_on)
    fitted_P = fitted_P.numpy()
    blocks, pairs = {what: [] for what in NAMES}, 0
    for block in range(BLOCKS):
        sums = dict.fromkeys(NAMES, 0.0)
        for e in range(n):
            episode = by_hand(run, theta_P, iteration, POOLS + iteration * OF_POOL + block * n + e)
            endings.add(episode.terminated)
            pairs += len(episode.rewards)
            for what, weight_T in naive_weights(run, checkpoint, episode, fitted_P, as_module).items():
                sums[what] = sums[what] + naive_sum(theta_P, episode, weight_T, as_module)
        for what in NAMES:
            blocks[what].append(sums[what])
    assert endings == {True, False}
    step_P = step_of(run, iteration)[1]
    unit_P = step_P / math.sqrt(step_P @ step_P)
    # By the mean number of pairs: by each block's own it would be a ratio of two random sums.
    blocks = {what: np.array(sums) / (pairs / BLOCKS) for what, sums in blocks.items()}
    expected = {}
    for what, g_MP in blocks.items():
        trace = sum(np.var(g_M, ddof=1) for g_M in g_MP.T)
        even_P, odd_P = g_MP[[0, 2, 4]].mean(0), g_MP[[1, 3]].mean(0)
        along_M1 = np.array([[g_P @ unit_P] for g_P in g_MP])
        expected |= {
            f"{what}/square": over_blocks(g_MP, g_MP),
            f"{what}/noise": trace * pairs / BLOCKS,
            f"{what}/step": (even_P @ unit_P / math.dist(odd_P, 0 * odd_P)
                             + odd_P @ unit_P / math.dist(even_P, 0 * even_P)) / 2,
            f"{what}/step_square": over_blocks(along_M1, along_M1),
        }  # fmt: skip
    for one, other in itertools.combinations(NAMES, 2):
        expected[f"{one}*{other}"] = over_blocks(blocks[one], blocks[other])
    numbers = {full.partition("/")[2]: values for full, values in made[name].items() if full.startswith(f"{k}/")}
    assert numbers.keys() == expected.keys()
    for full, value in expected.items():
        (found,) = numbers[full]
        # Rounding of single precision is a part of what is summed, which may cancel.
        sizes = [np.square(blocks[what]).sum(1).mean() for what in full.partition("/")[0].split("*")]
        scale = 1.0 if full.endswith("/step") else math.sqrt(sizes[0] * sizes[-1])
        assert found == pytest.approx(value, rel=1e-4, abs=1e-5 * scale), full


@pytest.mark.parametrize("at_once", [1, 17])
def test_pools_played_in_parts_give_the_same_numbers(at_once, runs, made, monkeypatch):
    calls, play = [], FinishedRun.play
    monkeypatch.setattr(gradients, "BLOCKS", BLOCKS)
    monkeypatch.setattr(gradients, "AT_ONCE", at_once)
    monkeypatch.setattr(FinishedRun, "play", lambda self, *args: calls.append(args[1]) or play(self, *args))
    with torch.no_grad():
        numbers = gradients.gradients(runs["TRPO"], PAIRS, near_true=True)
    assert numbers == made["TRPO"]
    sizes = [per_block(runs["TRPO"], iteration) for iteration in KEPT]
    pilot, *others = (len(listed) for listed in calls)
    assert pilot == 8 * 3 and sum(others) == sum(BLOCKS * n + fitted_on for n, fitted_on in sizes)
    assert max(others) <= max(at_once, *(n for n, _ in sizes))  # a block is never parted
    # No two of all these episodes have the same random numbers.
    indices = [index for listed in calls for _, index in listed]
    assert len(set(indices)) == len(indices)


def test_gradients_without_near_true_values_play_fewer_pairs(runs, made, monkeypatch):
    played, play = [], FinishedRun.play
    monkeypatch.setattr(gradients, "BLOCKS", BLOCKS)
    monkeypatch.setattr(FinishedRun, "play", lambda self, *args: played.append(len(args[1])) or play(self, *args))
    with torch.no_grad():
        numbers = gradients.gradients(runs["PPO"], PAIRS)
    assert numbers == {name: values for name, values in made["PPO"].items() if "near_true" not in name}
    assert sum(played) == 8 * 3 + sum(BLOCKS * per_block(runs["PPO"], iteration)[0] for iteration in KEPT)


@pytest.mark.parametrize("name", ["PPO", "TRPO"])
def test_near_true_values_start_from_the_runs_own(name, runs, as_module, flat):
    run, k, n = runs[name], 1, 80
    checkpoint, iteration = run.start.checkpoints[k], KEPT[k]
    first = FITTED_ON + iteration * OF_POOL
    episodes = [by_hand(run, run.history.theta_KP[iteration], iteration, first + e) for e in range(n)]
    observation_TO = torch.from_numpy(np.concatenate([e.observations[:-1] for e in episodes])).double()
    value_of = as_module(torch.from_numpy(checkpoint.value_P).double(), (*SIZES, 1))
    target_T = naive_targets(run, checkpoint, episodes, as_module)
    minibatches = len(target_T) // 512
    assert minibatches > 2
    adam = torch.optim.Adam(value_of.parameters(), lr=1e-3, eps=1e-5)
    rng = stream_from_array(checkpoint.minibatch_state)
    for _ in range(10):
        for part in np.array_split(rng.permutation(len(target_T)), minibatches):
            adam.zero_grad()
            (value_of(observation_TO[part]).flatten() - target_T[part]).square().mean().backward()
            adam.step()
    with torch.no_grad():
        (fitted_P,) = gradients._near_true_values(run, checkpoint, n)
    np.testing.assert_allclose(fitted_P, flat(value_of), rtol=0, atol=2e-5)
    assert np.abs(fitted_P.numpy() - checkpoint.value_P).max() > 0.005


@pytest.mark.parametrize("name", ["PPO", "PPONoClip", "TRPO"])
@pytest.mark.parametrize("k", [0, 2])
def test_near_true_values_are_closer_to_returns_of_new_episodes(name, k, runs, as_module):
    run, checkpoint = runs[name], runs[name].start.checkpoints[k]
    theta_P = run.history.theta_KP[KEPT[k]]
    before = checkpoint.value_P.copy()
    with torch.no_grad():
        one, again = (gradients._near_true_values(run, checkpoint, 120) for _ in range(2))
    assert one.shape == (1, len(before)) and torch.equal(one, again)
    assert np.array_equal(checkpoint.value_P, before)  # they start from a copy
    errors = {"own": [], "fitted": []}
    for e in range(30):
        episode = by_hand(run, theta_P, KEPT[k], KEPT[k] * OF_ITERATION + e)
        returns = to_come(scaled_rewards(run, checkpoint, episode), GAMMA)
        for which, value_P in (("own", before), ("fitted", one[0])):
            values = values_of(value_P, episode.observations[:-1], as_module)
            errors[which] += [(value - g) ** 2 for value, g in zip(values, returns, strict=True)]
    assert np.mean(errors["fitted"]) < (0.9 if name == "PPO" else 0.99) * np.mean(errors["own"])


# What is made of blocks.


CHANCE_K = np.array([0.5, 0.3, 0.2])
# What a block's noise can be, in two gradients of three parameters, which share it. Each has mean 0.
NOISES = {
    "surrogate": np.array([[0.5, -0.9, -1.1], [-1.5, 2.5, 1.75], [1.0, -1.5, 0.125]]),
    "returns": np.array([[4.0, -2.0, 1.0], [-6.0, 2.0, 1.0], [-1.0, 2.0, -4.0]]),
}
TRUE = {"surrogate": np.array([0.4, -0.2, 0.1]), "returns": np.array([-0.1, 0.3, 0.2])}
STEP_P = np.array([3.0, 0.0, -4.0])


def expectations(function, blocks=4):
    """Means of what is made of blocks, over all noise that there can be."""
    means = {}
    for k_M in itertools.product(range(3), repeat=blocks):
        drawn = {name: TRUE[name] + NOISES[name][list(k_M)] for name in TRUE}
        for name, value in function(drawn).items():
            means[name] = means.get(name, 0.0) + np.prod(CHANCE_K[list(k_M)]) * value
    return means


def test_squares_and_products_are_unbiased_under_any_noise():
    for noise_KP in NOISES.values():
        np.testing.assert_allclose(CHANCE_K @ noise_KP, 0, atol=1e-12)

    def made_of(drawn):
        numbers = {name: value for name, (value,) in gradients.summarize_blocks(drawn, STEP_P, 50.0).items()}
        return numbers | {f"{name}/naive": g_MP.mean(0) @ g_MP.mean(0) for name, g_MP in drawn.items()}

    found = expectations(made_of)
    unit_P = STEP_P / 5
    for name, g_P in TRUE.items():
        noise = CHANCE_K @ np.square(NOISES[name]).sum(1)
        assert found[f"{name}/square"] == pytest.approx(g_P @ g_P)
        assert found[f"{name}/step_square"] == pytest.approx((g_P @ unit_P) ** 2)
        # Of a block of 50 pairs; a pair's is as much larger.
        assert found[f"{name}/noise"] == pytest.approx(50 * noise)
        # The square of a mean has its noise in it, here far more than what is looked for.
        assert found[f"{name}/naive"] == pytest.approx(g_P @ g_P + noise / 4)
        assert noise / 4 > 4 * g_P @ g_P
        # Above 0 where the step goes uphill: it is what it is of the true gradient, shrunk by the other half's norm.
        halves = {}
        for k_M in itertools.product(range(3), repeat=2):
            norm = np.linalg.norm(g_P + NOISES[name][list(k_M)].mean(0))
            halves[k_M] = np.prod(CHANCE_K[list(k_M)]) / norm
        assert found[f"{name}/step"] == pytest.approx(g_P @ unit_P * sum(halves.values()))
    assert found["surrogate*returns"] == pytest.approx(TRUE["surrogate"] @ TRUE["returns"])


def test_zero_step_has_no_direction():
    g_MP = TRUE["surrogate"] + NOISES["surrogate"]
    found = gradients.summarize_blocks({"surrogate": g_MP}, np.zeros(3), 1.0)
    assert found["surrogate/step"] == found["surrogate/step_square"] == [0.0]
    assert found["surrogate/square"] == gradients.summarize_blocks({"surrogate": g_MP}, STEP_P, 1.0)["surrogate/square"]


def cosines(g_MP):
    """Mean cosine of two different ones, and its standard error, which leaves out a sixteenth at a time."""
    unit_MP = g_MP / np.linalg.norm(g_MP, axis=1, keepdims=True)

    def mean(u_MP):
        n = len(u_MP)
        return (np.square(u_MP.sum(0)).sum() - n) / (n * (n - 1))

    left_out = np.array([mean(np.delete(unit_MP, part, axis=0)) for part in np.array_split(np.arange(len(g_MP)), 16)])
    return mean(unit_MP), math.sqrt(15 / 16 * np.square(left_out - left_out.mean()).sum())


@pytest.mark.parametrize("spread", ["even", "uneven"])
def test_cosine_formula_matches_planted_estimates(spread):
    rng, p, m = np.random.default_rng(4), 3000, 400
    g_P = rng.standard_normal(p)
    scale_P = np.full(p, 3.0) if spread == "even" else rng.uniform(0, 6, p)
    step_P = rng.standard_normal(p)
    block = 100

    def estimates(pairs):
        return g_P + 10 * scale_P * rng.standard_normal((m, p)) / math.sqrt(pairs)

    numbers = gradients.summarize_blocks({"surrogate": estimates(block)}, step_P, block)
    (square,), (noise,) = (numbers[f"surrogate/{name}"] for name in ("square", "noise"))
    for pairs in (20, 100, 1000, 10_000):
        found, error = cosines(estimates(pairs))
        assert square / (square + noise / pairs) == pytest.approx(found, abs=4 * error + 0.002)
        assert error < 0.01
    # With the true gradient it is the root.
    estimate_MP = estimates(1000)
    mean = (estimate_MP @ g_P / np.linalg.norm(estimate_MP, axis=1)).mean() / np.linalg.norm(g_P)
    assert math.sqrt(square / (square + noise / 1000)) == pytest.approx(mean, abs=0.005)


def captured(monkeypatch, run, pairs, blocks):
    """Return the numbers of a run at one kept iteration, its blocks and their mean number of pairs."""
    seen, summarize_blocks = [], gradients.summarize_blocks
    monkeypatch.setattr(gradients, "BLOCKS", blocks)
    monkeypatch.setattr(gradients, "summarize_blocks", lambda *args: seen.append(args) or summarize_blocks(*args))
    with torch.no_grad():
        numbers = gradients.gradients(run, pairs)
    ((blocks_MP, _, per_block),) = seen
    return numbers, blocks_MP, per_block


def test_cosine_formula_is_close_to_cosines_of_a_runs_estimates(runs, monkeypatch):
    run = runs["PPO"]
    alone = replace(run, start=replace(run.start, checkpoints=run.start.checkpoints[:1]))
    numbers, blocks, per_block = captured(monkeypatch, alone, 18_000, 256)
    assert 3 * 15 < per_block < 5 * 25  # some four episodes
    for name in ("surrogate", "undiscounted"):
        (square,), (noise,) = (numbers[f"0/{name}/{what}"] for what in ("square", "noise"))
        for together in (1, 2, 4, 8):
            found, error = cosines(blocks[name].reshape(256 // together, together, -1).mean(1))
            formula = square / (square + noise / (together * per_block))
            # It takes norms for constant, and those of few episodes are not: it is off by more than chance would be.
            assert formula == pytest.approx(found, abs=0.06)
            assert error < 0.05
        assert found > 0.3


# Gradients of the expected return, where it is known.


def test_return_gradients_are_exact_on_a_linear_quadratic_task(point_mass, monkeypatch):
    task, theta_P = point_mass(pays=quadratic), np.array([-0.5, -0.5, 3.0, 0.3], np.float32)
    run = on_the_rail(task, theta_P)
    _, blocks, per_block = captured(monkeypatch, run, 15 * 4000, 1000)
    assert per_block == 15 * 4
    for at, name in enumerate(("undiscounted", "discounted")):
        for p in range(4):
            h_P = 1e-4 * np.eye(4)[p]
            ahead, behind = (expected_returns(theta_P.astype(float) + x, task, 0.9)[at] for x in (h_P, -h_P))
            slope = (ahead - behind) / 2e-4
            # A mean over pairs, of which an episode has 15.
            assert_within_4_errors(15 * blocks[name][:, p], slope)
            mean, error = mean_and_error(15 * blocks[name][:, p])
            assert abs(mean) > 3 * error
    assert abs(blocks["discounted"].mean(0) - blocks["undiscounted"].mean(0)).min() > 0


def test_return_gradients_are_exact_on_a_small_decision_problem(point_mass, monkeypatch):
    task, (bias, log_std) = decision(point_mass), (1.1, -0.6)
    horizon, normal = task.time_limit, NormalDist()
    run = on_the_rail(task, np.array([0.0, 0.0, bias, log_std], np.float32))
    _, blocks, per_block = captured(monkeypatch, run, 30_000, 1000)
    z = (bias - LEAST) / math.exp(log_std)
    p = normal.cdf(z)
    slopes = normal.pdf(z) / math.exp(log_std), -z * normal.pdf(z)  # of p
    length = (1 - p**horizon) / (1 - p)
    episodes = round(per_block / length)
    assert per_block / length == pytest.approx(episodes, rel=0.05) and episodes == 2
    for name, gamma in (("undiscounted", 1.0), ("discounted", 0.9)):
        by_p = sum(gamma ** (t - 1) * t * p ** (t - 1) for t in range(1, horizon + 1))
        for at, slope in enumerate(slopes):
            of_episode = blocks[name][:, 2 + at] * per_block / episodes
            assert_within_4_errors(of_episode, by_p * slope)
            mean, error = mean_and_error(of_episode)
            assert abs(mean) > 8 * error
