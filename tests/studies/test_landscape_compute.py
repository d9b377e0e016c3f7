"""Landscapes of real, small runs: their points, returns, surrogates and numbers of episodes, each by a naive route."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_runs import (
    ALGORITHMS,
    ITERATIONS,
    KEPT,
    N_ACTION,
    OF_BATCHES,
    OF_ITERATION,
    OF_LATE,
    OF_MAIN,
    SIZES,
    TASK,
    NaiveEpisode,
    by_hand,
    computed,
    group_means,
    log_densities,
    naive_advantages,
    naive_objective,
    reward_scale,
    step_of,
    unit_of,
    values_of,
)
from torch.distributions import Normal

import rlclaims.studies.kind
from rlclaims.checkpoints import resumed
from rlclaims.randomness import Purpose, stream
from rlclaims.studies import replayed_run as finished
from rlclaims.studies.landscape import compute as landscapes
from rlclaims.studies.landscape.compute import episodes_needed
from rlclaims.studies.large_updates import compute as large_updates
from rlclaims.studies.large_updates.compute import large_update
from rlclaims.studies.late_updates.compute import late_updates
from rlclaims.studies.registry import KINDS
from rlclaims.studies.replayed_run import FinishedRun, SimulationFailure
from rlclaims.update import Batch

MOST_STEPS, TOLERANCE = 500, 0.01
ALONG = (0, 0.5, 1, 1.5, 2, 2.5, 3, 6, 12)


@pytest.fixture(scope="module")
def made(runs):
    """Return landscapes of three runs with few episodes, whose pilots ask for different numbers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(landscapes, "MOST_STEPS", MOST_STEPS)
        patch.setattr(landscapes, "TOLERANCE", TOLERANCE)
        return {name: landscapes.landscapes(runs[name]) for name in ("PPO", "PPONoClip", "TRPO")}


def points_of(run, iteration):
    """Return points along the step, and at both norms in random directions."""
    old_P, step_P = step_of(run, iteration)
    u_DP = stream(run.start.seed, Purpose.LANDSCAPE_DIRECTIONS, iteration).standard_normal((20, len(old_P)))
    units = [u_P / math.sqrt(sum(u_P**2)) for u_P in u_DP]
    norm = math.sqrt(sum(step_P**2))
    return {
        "along": [(old_P + x * step_P).astype(np.float32) for x in ALONG],
        "near": [(old_P + norm * u_P).astype(np.float32) for u_P in units],
        "far": [(old_P + 2 * u_P).astype(np.float32) for u_P in units],
    }


# An update taken up again.


@pytest.mark.parametrize("name", ALGORITHMS)
def test_resumed_agent_repeats_the_runs_next_policy_bit_for_bit(name, runs):
    run = runs[name]
    for k, iteration in enumerate(KEPT):
        agent = resumed(run.algorithm, ITERATIONS, run.start, k)
        assert np.array_equal(agent.theta_SP[0].detach(), run.history.theta_KP[iteration])
        run.algorithm.improve(agent, Batch(*(torch.from_numpy(x)[None] for x in run.start.checkpoints[k].training)))
        assert np.array_equal(agent.theta_SP[0].detach(), run.history.theta_KP[iteration + 1])
        assert not np.array_equal(run.history.theta_KP[iteration + 1], run.history.theta_KP[iteration])


# Surrogates.


@pytest.mark.parametrize("name", ["PPO", "PPONoClip", "TRPO"])
def test_promise_is_the_rise_of_the_papers_objective(name, runs, made, as_module):
    run, numbers = runs[name], made[name]
    exceeded = 0
    for k, checkpoint in enumerate(run.start.checkpoints):
        steps = numbers[f"{k}/own/length"][0]
        # Those of the batch are by a reward scale that moved; fresh pairs' are by the one that a reward is told in.
        moved = np.std(checkpoint.held_out[2]) / np.std(checkpoint.training[2])
        old_P, new_P = run.history.theta_KP[checkpoint.iteration :][:2]
        for part, points in points_of(run, checkpoint.iteration).items():
            for states in ("training", "held_out"):
                pairs = getattr(checkpoint, states)
                still = naive_objective(run.algorithm, old_P, old_P, pairs, as_module)
                unit, found = unit_of(run.algorithm, checkpoint, pairs, steps), numbers[f"{k}/{part}/promise/{states}"]
                unit *= moved if states == "training" else 1
                for theta_P, promise in zip(points, found, strict=True):
                    rise = naive_objective(run.algorithm, old_P, theta_P, pairs, as_module) - still
                    # Log densities of single precision, which are large where points are far.
                    assert promise == pytest.approx(unit * rise, rel=1e-3, abs=1e-5 * unit)
                    exceeded += rise < 0
        for states in ("training", "held_out"):
            assert numbers[f"{k}/along/promise/{states}"][0] == 0
        # The algorithm climbed what it is said to climb.
        assert numbers[f"{k}/along/promise/training"][2] > 0
        assert numbers[f"{k}/along/norm"] == [pytest.approx(math.dist(old_P, new_P))]
    assert exceeded > 40


@pytest.mark.parametrize("name", ["PPO", "PPO on advantages as they are", "PPONoClip", "TRPO"])
def test_promise_slope_is_the_directional_derivative(name, runs, as_module):
    raw = name == "PPO on advantages as they are"
    run = runs["PPO" if raw else name]
    if raw:
        run = replace(run, algorithm=replace(run.algorithm, normalize_advantages=False))
    double = replace(run, history=replace(run.history, theta_KP=run.history.theta_KP.astype(np.float64)))
    for checkpoint in run.start.checkpoints:
        pairs = tuple(x.astype(np.float64) for x in checkpoint.held_out)
        batch = Batch(*(torch.from_numpy(x)[None] for x in pairs))
        old_P, step_P = step_of(run, checkpoint.iteration)
        module = as_module(torch.from_numpy(old_P[:-N_ACTION]), (*SIZES, N_ACTION))
        log_std_A = torch.from_numpy(old_P[-N_ACTION:]).requires_grad_()
        log_B = Normal(module(batch.observation_SBO[0]), log_std_A.exp()).log_prob(batch.action_SBA[0]).sum(-1)
        weight_B = batch.advantage_SB[0]
        if not raw:
            weight_B = (weight_B - weight_B.mean()) / weight_B.std()
        objective = ((log_B - log_B.detach()).exp() * weight_B).mean()
        if name == "PPONoClip":
            objective = objective - 0.005 * Normal(0.0, log_std_A.exp()).entropy().sum()
        slopes = torch.autograd.grad(objective, [*module.parameters(), log_std_A])
        # A module's weights are output by input.
        slope_P = torch.cat([(slope.T if slope.ndim == 2 else slope).reshape(-1) for slope in slopes])
        slope = 25 * unit_of(run.algorithm, checkpoint, pairs, 1) * float(slope_P @ torch.from_numpy(step_P))
        x = 1e-5  # in double precision, and no ratio leaves its range
        ahead, behind = double.promised(checkpoint, np.stack([old_P + x * step_P, old_P - x * step_P]), batch, 25)
        assert (ahead - behind) / (2 * x) == pytest.approx(slope, rel=1e-5)
        assert slope != 0


@pytest.mark.parametrize("name", ["PPO", "PPONoClip", "TRPO"])
def test_advantages_of_whole_episodes_equal_a_backward_loop(name, runs, made, as_module):
    run, k = runs[name], 2 if name == "TRPO" else 1
    checkpoint, gamma = run.start.checkpoints[k], 0.99
    theta_P, endings = run.history.theta_KP[checkpoint.iteration], set()
    wanted = int(made[name][f"{k}/along/episodes"][0])
    indices = [OF_ITERATION * checkpoint.iteration + OF_MAIN + e for e in range(wanted)]
    episodes = [by_hand(run, theta_P, checkpoint.iteration, index) for index in indices]
    played = run.play([(theta_P, checkpoint.iteration)], [(0, index) for index in indices], range(wanted))
    for lam in (1.0, 0.9):
        batch = run.batch(checkpoint, played, range(wanted), lam)
        expected = [naive_advantages(run, checkpoint, episode, lam, as_module) for episode in episodes]
        np.testing.assert_allclose(batch.advantage_SB[0], np.concatenate(expected), rtol=1e-4, atol=1e-4)
    # Of some episodes only, with their own endings.
    some = [3, 1, 6]
    played = run.play([(theta_P, checkpoint.iteration)], [(0, index) for index in indices], some)
    batch = run.batch(checkpoint, played, some, 0.9)
    for found, columns in ((batch.advantage_SB, expected), (batch.action_SBA, [hand.actions for hand in episodes])):
        np.testing.assert_allclose(found[0], np.concatenate([columns[e] for e in sorted(some)]), rtol=0, atol=1e-4)
    # Monte Carlo's is the discounted return from there on less the value: of each first step, and where nothing scales.
    for episode in episodes:
        first, *_, last = values_of(checkpoint.value_P, episode.observations, as_module)
        endings.add(episode.terminated)
        if name == "TRPO":
            to_come = 0.0 if episode.terminated else gamma ** len(episode.rewards) * last
            monte_carlo = naive_advantages(run, checkpoint, episode, 1.0, as_module)[0]
            assert monte_carlo == pytest.approx(episode.discounted() + to_come - first, rel=1e-9)
    assert endings == {True, False}

    # And what they promise, of other episodes, as many as hold a batch by the pilot: the unclipped surrogate,
    # in units of return. The same without Monte Carlo, on the fresh pairs.
    at = OF_ITERATION * checkpoint.iteration
    pilot = [len(by_hand(run, theta_P, checkpoint.iteration, at + e).rewards) for e in range(8)]
    n_own = math.ceil(run.algorithm.steps / np.mean(pilot))
    episodes = [by_hand(run, theta_P, checkpoint.iteration, at + OF_BATCHES + e) for e in range(n_own)]
    length = np.mean([len(episode.rewards) for episode in episodes])
    for what, number in (("return", lambda e: math.fsum(e.rewards)), ("discounted", NaiveEpisode.discounted)):
        assert made[name][f"{k}/own/{what}"] == pytest.approx([np.mean(list(map(number, episodes)))], rel=1e-4)
    assert made[name][f"{k}/own/length"] == pytest.approx([length])
    advantage_B = np.concatenate([naive_advantages(run, checkpoint, e, 1.0, as_module) for e in episodes])
    advantage_B -= advantage_B.mean()
    observation_BO = torch.from_numpy(np.concatenate([e.observations[:-1] for e in episodes]))
    action_BA = torch.from_numpy(np.concatenate([e.actions for e in episodes]))
    scale = (reward_scale(checkpoint)[1] if name != "TRPO" else 1.0) * length
    held_out_BO, held_out_BA, held_out_B = map(torch.from_numpy, checkpoint.held_out)
    held_out_B = held_out_B.double() - held_out_B.double().mean()
    for part, points in points_of(run, checkpoint.iteration).items():
        for i, new_P in enumerate(points):
            log_new_B, log_old_B = (log_densities(p, observation_BO, action_BA, as_module) for p in (new_P, theta_P))
            rise = scale * float((((log_new_B - log_old_B).exp() - 1) * torch.from_numpy(advantage_B)).mean())
            found = made[name][f"{k}/{part}/promise/monte_carlo"][i]
            assert found == pytest.approx(rise, rel=2e-3, abs=2e-5 * scale)
            new_B, old_B = (log_densities(p, held_out_BO, held_out_BA, as_module) for p in (new_P, theta_P))
            rise = scale * float((((new_B - old_B).exp() - 1) * held_out_B).mean())
            found = made[name][f"{k}/{part}/promise/unclipped"][i]
            assert found == pytest.approx(rise, rel=2e-3, abs=2e-5 * scale)
            old, new = (
                Normal(as_module(torch.from_numpy(p[:-3]), (*SIZES, 3))(held_out_BO), torch.from_numpy(p[-3:]).exp())
                for p in (theta_P, new_P)
            )
            kl = torch.distributions.kl_divergence(old, new).sum(-1).mean().item()
            assert made[name][f"{k}/{part}/kl"][i] == pytest.approx(kl, rel=1e-3, abs=1e-6)


# Returns.


@pytest.mark.parametrize(("name", "k"), [("PPO", 0), ("PPO", 2), ("TRPO", 1), ("PPONoClip", 2)])
def test_landscape_returns_match_points_played_by_hand(name, k, runs, made):
    run, numbers, iteration = runs[name], made[name], KEPT[k]
    wanted, first = int(numbers[f"{k}/along/episodes"][0]), OF_ITERATION * iteration + OF_MAIN
    assert wanted % 4 == 0 and wanted >= 8
    points = points_of(run, iteration)

    def played(theta_P, episodes):
        return [by_hand(run, theta_P, iteration, first + e) for e in episodes]

    kinds = {"return": lambda hand: math.fsum(hand.rewards), "discounted": NaiveEpisode.discounted}
    centre = played(points["along"][0], range(wanted))
    table = [played(theta_P, range(wanted)) for theta_P in points["along"]]
    for what, number in kinds.items():
        expected = [mean for row in table for mean in group_means(list(map(number, row)))]
        assert numbers[f"{k}/along/{what}"] == pytest.approx(expected, rel=1e-4)
    for part in ("along", "near", "far"):
        # Random directions have an episode of each group, on the random numbers of the group's first; those by the
        # papers' scaling have one of these, in turns.
        if part != "along":
            firsts = [g * (wanted // 4) for g in range(4)]
            places = [firsts if part == "near" else [firsts[i % 4]] for i in range(len(points[part]))]
            table = [played(theta_P, own) for theta_P, own in zip(points[part], places, strict=True)]
            for what, number in kinds.items():
                expected = [
                    number(hand) - number(centre[e])
                    for row, own in zip(table, places, strict=True)
                    for hand, e in zip(row, own, strict=True)
                ]
                assert numbers[f"{k}/{part}/{what}"] == pytest.approx(expected, rel=1e-3, abs=1e-4)
                assert max(map(abs, expected)) > 0.1
        lengths = [[len(hand.rewards) for hand in row] for row in table]
        assert numbers[f"{k}/{part}/length"] == pytest.approx(np.mean(lengths, axis=1).tolist())
        if part == "far":  # of which one episode has no variance
            continue
        variances = [np.var([math.fsum(hand.rewards) for hand in row], ddof=1) for row in table]
        assert numbers[f"{k}/{part}/variance"] == pytest.approx(variances, rel=1e-3, abs=1e-6)


# How many episodes.


@pytest.mark.parametrize("episode", [1.0, 9.7, 20.0, 333.3, 999.0, 1000.0])
def test_episodes_needed_is_8_or_more_in_fours_within_the_steps(episode):
    rng = np.random.default_rng(0)
    most = episodes_needed(episode)
    assert most % 4 == 0 and most >= 8
    assert most == 8 or most * episode <= 3000 < (most + 4) * episode
    for spread in (0.0, 0.1, 1.0, 3.0, 10.0, 1e3):
        wanted = episodes_needed(episode, spread * rng.standard_normal(8), np.full(8, 50.0))
        assert wanted % 4 == 0 and 8 <= wanted <= most


def planted(variance, n=8):
    """Return numbers with exactly that variance (n - 1), and a mean far from 0."""
    x_E = np.arange(n) - (n - 1) / 2
    return 7 + x_E * math.sqrt(variance / x_E.var(ddof=1))


@pytest.mark.parametrize(
    ("variance", "wanted"),
    [
        (0.0, 8),  # equal pairs: the least
        (7.9, 8),
        (11.9, 12),  # each standard error is sqrt(variance / wanted) <= .02 * 50 = 1
        (12.1, 16),
        (99.0, 100),
        (196.5, 200),  # 3000 steps of 15
        (201.0, 200),
        (1e9, 200),
    ],
)
def test_pilot_aims_at_a_standard_error_of_2_percent_of_return(variance, wanted):
    return_E = np.linspace(30, 70, 8)  # of mean 50
    assert episodes_needed(15.0, planted(variance), return_E) == wanted
    assert episodes_needed(15.0, planted(variance), -return_E) == wanted
    if variance:
        assert episodes_needed(15.0, planted(variance), np.zeros(8)) == 200


def test_pilot_episodes_are_not_used_again(runs, monkeypatch):
    run, k = runs["PPO"], 1
    drawn, draws = [], finished.draws
    monkeypatch.setattr(finished, "draws", lambda *args: drawn.append(args[2]) or draws(*args))
    checkpoint, iteration = run.start.checkpoints[k], KEPT[k]
    points = points_of(run, iteration)["along"]
    first = OF_ITERATION * iteration
    own_E, moved_E = (
        [math.fsum(by_hand(run, points[i], iteration, first + e).rewards) for e in range(8)] for i in (0, 2)
    )
    # An aim at which the rule says 28, well within what the steps allow.
    variance = np.var([b - a for a, b in zip(own_E, moved_E, strict=True)], ddof=1)
    monkeypatch.setattr(landscapes, "TOLERANCE", math.sqrt(variance / 26) / np.mean(own_E))
    alone = replace(run, start=replace(run.start, checkpoints=(checkpoint,)))
    numbers = landscapes.landscapes(alone)
    assert numbers["0/along/episodes"] == [28.0]
    assert len(drawn) == 2 and not set(drawn[0]) & set(drawn[1])
    assert drawn[0] == [first + e for e in range(8)]
    assert drawn[1][:28] == [first + OF_MAIN + e for e in range(28)]
    assert drawn[1][28:] and min(drawn[1][28:]) == first + OF_BATCHES


def test_kept_iterations_have_the_episodes_of_their_own_pilot(made, runs):
    for k, iteration in enumerate(KEPT):
        points = points_of(runs["TRPO"], iteration)["along"]
        indices = [OF_ITERATION * iteration + e for e in range(8)]
        pilot = [by_hand(runs["TRPO"], points[i], iteration, index) for i in (0, 2) for index in indices]
        steps = np.mean([len(hand.rewards) for hand in pilot])
        returns = [math.fsum(hand.rewards) for hand in pilot]
        variance, aim = np.var(np.subtract(returns[8:], returns[:8]), ddof=1), TOLERANCE * np.mean(returns[:8])
        most = 4 * int(MOST_STEPS / steps / 4)
        expected = min(most, max(8, 4 * math.ceil(variance / aim**2 / 4)))
        assert made["TRPO"][f"{k}/along/episodes"] == [expected]


# Late updates and large ones.


def test_late_updates_compare_policies_with_one_normaliser_each(runs):
    run, told = runs["PPO"], []
    numbers = late_updates(replace(run, on_steps=told.append))
    kinds = {"return": lambda hand: math.fsum(hand.rewards), "discounted": NaiveEpisode.discounted}
    expected, steps = {f"{when}/{what}": [] for when in ("before", "after") for what in kinds}, 0
    for i in (9, 10, 11):  # from three quarters of 12 on
        for later, when in enumerate(("before", "after")):
            theta_P = run.history.theta_KP[i + later]
            hands = [by_hand(run, theta_P, i, OF_ITERATION * i + OF_LATE + e) for e in range(8)]
            steps += sum(len(hand.rewards) for hand in hands)
            for what, number in kinds.items():
                expected[f"{when}/{what}"] += group_means(list(map(number, hands)))
    assert numbers.keys() == expected.keys()
    for name, values in expected.items():
        assert numbers[name] == pytest.approx(values, rel=1e-4), name
    assert sum(told) == steps
    # After an update and before the next one it is one policy, but not one normaliser, nor the same random numbers.
    assert not np.array_equal(run.history.offset_KO[9], run.history.offset_KO[10])
    assert numbers["after/return"][:4] != numbers["before/return"][4:8]


@pytest.mark.parametrize("name", ["PPO", "PPONoClip", "TRPO"])
def test_large_update_equals_the_last_update_on_whole_episodes(name, runs, monkeypatch, as_module):
    run, iteration, pairs = runs[name], KEPT[-1], 700
    played, play = [], FinishedRun.play
    monkeypatch.setattr(large_updates, "MOST_STEPS", MOST_STEPS)
    monkeypatch.setattr(FinishedRun, "play", lambda self, *args: played.append(args) or play(self, *args))
    numbers = large_update(run, pairs)
    own_P, small_P, first = run.history.theta_KP[8], run.history.theta_KP[9], OF_ITERATION * iteration
    pilot = [by_hand(run, own_P, iteration, first + e) for e in range(8)]
    steps = sum(len(hand.rewards) for hand in pilot) / 8
    # As many episodes as hold so many pairs by the pilot, whatever they turn out to hold.
    n = math.ceil(pairs / steps)
    episodes = [by_hand(run, own_P, iteration, first + OF_BATCHES + e) for e in range(n)]
    assert numbers["pairs"] == [sum(len(hand.rewards) for hand in episodes)]
    assert numbers["pairs"][0] != pairs
    lam = run.algorithm.gae_lambda
    columns = (
        np.concatenate([hand.observations[:-1] for hand in episodes]),
        np.concatenate([hand.actions for hand in episodes]),
        np.concatenate([naive_advantages(run, run.start.checkpoints[-1], hand, lam, as_module) for hand in episodes]),
    )
    agent = resumed(run.algorithm, ITERATIONS, run.start, 2)
    batch = Batch(*(torch.from_numpy(np.asarray(column, np.float32))[None] for column in columns))
    run.algorithm.improve(agent, batch)
    policies = played[-1][0]
    assert [at for _, at in policies] == [iteration] * 3
    assert np.array_equal(policies[0][0], own_P) and np.array_equal(policies[1][0], small_P)
    large_P = policies[2][0]
    # Gradients of single precision, through as many steps of Adam or of conjugate gradients.
    np.testing.assert_allclose(large_P, agent.theta_SP[0].detach(), rtol=0, atol=1e-4)
    assert min(np.abs(large_P - other_P).max() for other_P in (own_P, small_P)) > 0.005
    assert numbers["norm"] == [pytest.approx(math.dist(theta_P, own_P), rel=1e-5) for theta_P in (small_P, large_P)]
    most = max(8, 4 * int(MOST_STEPS / steps / 4))
    for what, number in (("return", lambda hand: math.fsum(hand.rewards)), ("discounted", NaiveEpisode.discounted)):
        expected = []
        for theta_P in (own_P, small_P, large_P):
            hands = [by_hand(run, theta_P, iteration, first + OF_MAIN + e) for e in range(most)]
            expected += group_means(list(map(number, hands)))
        assert numbers[what] == pytest.approx(expected, rel=1e-4)
    own_length = np.mean([len(hand.rewards) for hand in episodes])
    assert numbers["own/return"] == pytest.approx([np.mean([math.fsum(hand.rewards) for hand in episodes])], rel=1e-4)
    unit = unit_of(run.algorithm, run.start.checkpoints[-1], columns, own_length)
    pairs_ = tuple(np.asarray(column, np.float32) for column in columns)
    still = naive_objective(run.algorithm, own_P, own_P, pairs_, as_module)
    for i, theta_P in enumerate((small_P, large_P)):
        rise = naive_objective(run.algorithm, own_P, theta_P, pairs_, as_module) - still
        assert numbers["promise"][i] == pytest.approx(unit * rise, rel=1e-3, abs=1e-4 * unit)
    assert numbers["promise"][1] > numbers["promise"][0]  # of its own pairs' objective


@pytest.mark.parametrize("pairs", [57, 64, 700, 701])  # 57 is 7 times 8, and one that would be left over
def test_minibatches_share_pairs_that_do_not_divide_evenly(pairs, runs):
    run = runs["PPO"]
    agent, generator = resumed(run.algorithm, ITERATIONS, run.start, 2), torch.Generator().manual_seed(0)
    parts = list(agent.minibatches(1, torch.arange(pairs)[None]))
    sizes = [part.shape[1] for (part,) in parts]
    assert len(sizes) == 8 and max(sizes) - min(sizes) == (pairs % 8 > 0)
    assert sorted(torch.cat([part for (part,) in parts], dim=1)[0].tolist()) == list(range(pairs))
    shapes = (1, pairs, 11), (1, pairs, N_ACTION), (1, pairs)
    run.algorithm.improve(agent, Batch(*(torch.randn(shape, generator=generator) for shape in shapes)))
    assert torch.isfinite(agent.theta_SP).all()


# All of it, as it is asked for.


SERIES = {
    ("landscapes", None): 3 * (3 * 9 - 1 + 2 + 3),
    ("late_updates", None): 4,
    ("large_updates", 300): 7,
    ("gradients", 1024): 3 * (4 * 4 + 4 * 3 // 2),
    ("near_true_gradients", 1024): 3 * (5 * 4 + 5 * 4 // 2),
    ("values", None): 3 * (3 * 4 + 3),
    ("final_returns", None): 3,
}


@pytest.mark.parametrize(("kind", "pairs"), SERIES)
def test_series_have_the_announced_length_and_are_reproducible(kind, pairs, runs, made, monkeypatch):
    monkeypatch.setattr(landscapes, "MOST_STEPS", MOST_STEPS)
    monkeypatch.setattr(landscapes, "TOLERANCE", TOLERANCE)
    monkeypatch.setattr(rlclaims.studies.kind, "task_named", lambda _: TASK)
    run, told = runs["TRPO"], []
    arguments = kind, pairs, run.algorithm, "Hopper-v5", ITERATIONS, run.start
    numbers = computed(*arguments, run.history, told.append)
    for name, values in numbers.items():
        assert len(values) == KINDS[kind].length(name, ITERATIONS), name
        assert all(type(x) is float and math.isfinite(x) for x in values), name
    assert len(numbers) == SERIES[kind, pairs]
    assert sum(told) > 100
    if kind == "landscapes":
        assert numbers == made["TRPO"]
    # A policy that is no number cannot be simulated.
    theta_KP = run.history.theta_KP.copy()
    # After the last kept update, and before late ones; and before that update, from where others play.
    theta_KP[8 if kind in ("gradients", "near_true_gradients", "values") else 9 :] = np.nan
    with pytest.raises(SimulationFailure, match=r"^an episode of one of its policies could not be simulated$"):
        computed(*arguments, replace(run.history, theta_KP=theta_KP))
