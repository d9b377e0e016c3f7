"""Errors of the value networks of real, small runs, by naive loops, and to true values where these are known."""

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch
from rail import LEAST, decision, on_the_rail
from small_runs import (
    ALGORITHMS,
    KEPT,
    LIMIT,
    OF_ITERATION,
    TASK,
    by_hand,
    noise_of,
    scaled_rewards,
    to_come,
    values_of,
)

from rlclaims import training
from rlclaims.checkpoints import checkpoints_to_arrays, start_from_arrays
from rlclaims.episodes import Draws, Policies, play
from rlclaims.randomness import Purpose, stream
from rlclaims.sim.normalizer import Normalization
from rlclaims.studies.replayed_run import FinishedRun
from rlclaims.studies.values import compute as values
from rlclaims.training import Cohort, Group

STATES, GAMMA = 12, 0.99
NAMES = ("PPO", "PPONoClip", "TRPO")
# Where random numbers begin, and those of the episodes from chosen states; and between two iterations'.
FRESH, AGAIN, OF_POOL = 3 * 10**10, 3 * 10**10 + 5 * 10**6, 10**7


@pytest.fixture(scope="module")
def made(runs):
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(values, "STATES", STATES)
        return {name: values.values(runs[name]) for name in NAMES}


def fresh_episodes(run, iteration):
    """Return episodes of theta, enough for a batch by the pilot's mean length."""
    theta_P = run.history.theta_KP[iteration]
    pilot = [len(by_hand(run, theta_P, iteration, iteration * OF_ITERATION + e).rewards) for e in range(8)]
    n = math.ceil(run.algorithm.steps / np.mean(pilot))
    return [by_hand(run, theta_P, iteration, FRESH + iteration * OF_POOL + e) for e in range(n)]


def covariance(one, other):
    """Return the sample covariance."""
    means = [math.fsum(x) / len(x) for x in (one, other)]
    return math.fsum((a - means[0]) * (b - means[1]) for a, b in zip(one, other, strict=True)) / (len(one) - 1)


def of_errors(found, right):
    """Return the error measures against known numbers."""
    n, pairs = len(right), list(zip(found, right, strict=True))
    return {
        "error": math.fsum((a - b) ** 2 for a, b in pairs) / n,
        "size": math.fsum(b * b for b in right) / n,
        "spread": covariance(right, right),
        "relative": math.fsum(abs(a - b) / abs(b) for a, b in pairs) / n,
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("k", range(3))
def test_errors_and_sizes_match_naive_loops(name, k, runs, made, as_module):
    run, iteration = runs[name], KEPT[k]
    checkpoint, expected = run.start.checkpoints[k], {}

    def after(observations):
        return values_of(checkpoint.fitted_value_P, observations, as_module)

    for states in ("training", "held_out"):
        observation_TO, _, advantage_T = getattr(checkpoint, states)
        before = values_of(checkpoint.value_P, observation_TO, as_module)
        targets = [value + float(a) for value, a in zip(before, advantage_T, strict=True)]
        expected |= {f"{states}/{what}": x for what, x in of_errors(after(observation_TO), targets).items()}
    episodes = fresh_episodes(run, iteration)
    returns = [g for e in episodes for g in to_come(scaled_rewards(run, checkpoint, e), GAMMA)]
    of_states = [value for e in episodes for value in after(e.observations[:-1])]
    expected |= {f"returns/{what}": x for what, x in of_errors(of_states, returns).items()}
    # All pairs are as likely, so that longer episodes have more of them.
    which = stream(run.start.seed, Purpose.VALUE_STATES, iteration).integers(len(returns), size=STATES)
    pairs = [state for e in episodes for state in e.states]
    ones, others, products = [], [], []
    for i, place in enumerate(which):
        one, other = (
            to_come(scaled_rewards(run, checkpoint, episode), GAMMA)[0]
            for episode in (
                by_hand(run, run.history.theta_KP[iteration], iteration, AGAIN + iteration * OF_POOL + j, pairs[place])
                for j in (2 * i, 2 * i + 1)
            )
        )
        products.append((of_states[place] - one) * (of_states[place] - other))
        ones.append(one)
        others.append(other)
    expected["true/error"] = math.fsum(products) / STATES
    expected["true/size"] = math.fsum(a * b for a, b in zip(ones, others, strict=True)) / STATES
    expected["true/spread"] = covariance(ones, others)
    numbers = {full.partition("/")[2]: found for full, found in made[name].items() if full.startswith(f"{k}/")}
    assert numbers.keys() == expected.keys()
    for what, value in expected.items():
        # Roundings of single precision grow where they are divided by small returns.
        assert numbers[what] == [pytest.approx(value, rel=1e-3 if what.endswith("relative") else 1e-4)], what
    if name == "PPONoClip":
        clipped = [r for e in episodes for r in scaled_rewards(run, checkpoint, e) if abs(r) == 1.2]
        assert clipped  # which binds


@pytest.mark.parametrize("name", NAMES)
def test_rollout_from_a_chosen_state_repeats_its_episode(name, runs, monkeypatch):
    run, k = runs[name], 2
    iteration, checkpoint = KEPT[k], run.start.checkpoints[k]
    monkeypatch.setattr(values, "STATES", STATES)
    listed = [(0, FRESH + e) for e in range(20)]
    theta_P = run.history.theta_KP[iteration]
    fresh = run.play([(theta_P, iteration)], listed, range(20))
    chosen = values._Chosen(run, checkpoint, fresh)
    places = [(e, t) for e, steps in enumerate(fresh.trajectories) for t in range(len(steps.reward_L))]
    which = stream(run.start.seed, Purpose.VALUE_STATES, iteration).integers(len(places), size=STATES)
    noise_STA = np.zeros((STATES, LIMIT, 3), np.float32)
    for i, place in enumerate(which):
        e, t = places[place]
        noise_STA[i, : LIMIT - t] = noise_of(run, FRESH + e)[t:]
    normalization = Normalization(
        run.history.offset_KO[[iteration]],
        run.history.inverse_std_KO[[iteration]],
        np.full((1, 1), run.algorithm.observation_clip or np.inf),
    )
    again = play(
        TASK,
        Policies(run.network, theta_P[None], normalization),
        Draws(chosen.qpos, chosen.qvel, noise_STA),
        [(0, i) for i in range(STATES)],
        GAMMA,
        keep=range(STATES),
    )
    compared = 0
    for i, place in enumerate(which):
        e, t = places[place]
        rest, steps = fresh.trajectories[e], again.trajectories[i]
        # The state itself is the same, bit for bit.
        assert np.array_equal(steps.observation_LO[0], rest.observation_LO[t])
        assert np.array_equal(chosen.observation[i], rest.observation_LO[t])
        n = len(rest.reward_L) - t
        compared += n
        np.testing.assert_allclose(steps.reward_L[:n], rest.reward_L[t:], rtol=1e-4, atol=1e-4)
        # To its end, but for the time limit, which begins anew.
        if fresh.terminated_M[e]:
            assert again.length_M[i] == n and again.terminated_M[i]
        else:
            assert len(steps.reward_L) >= n
    assert compared > 5 * STATES


def test_states_have_two_episodes_each_with_separate_randomness(runs, monkeypatch):
    calls, real = [], FinishedRun.play
    monkeypatch.setattr(values, "STATES", STATES)
    monkeypatch.setattr(FinishedRun, "play", lambda self, *args: calls.append(args) or real(self, *args))
    with torch.no_grad():
        values.values(runs["TRPO"])
    pilot, fresh, again = ([index for _, index in args[1]] for args in calls)
    indices = pilot + fresh + again
    assert len(set(indices)) == len(indices) and len(again) == 3 * 2 * STATES
    qpos, qvel = calls[2][3]
    assert np.array_equal(qpos[::2], qpos[1::2]) and np.array_equal(qvel[::2], qvel[1::2])
    assert len(np.unique(qvel, axis=0)) > STATES


def test_errors_to_true_values_are_unbiased_unlike_to_returns(point_mass, monkeypatch):
    task, (bias, log_std), gamma, unit = decision(point_mass), (1.1, -0.6), 0.9, 1.7
    run = on_the_rail(task, np.array([0.0, 0.0, bias, log_std], np.float32))
    seen, errors = [], values._errors
    monkeypatch.setattr(values, "STATES", 3000)
    monkeypatch.setattr(values, "_errors", lambda *args: seen.append(args) or errors(*args))
    with torch.no_grad():
        numbers = values.values(run)
    ((_, checkpoint, _, states, again),) = seen
    # The same in every state: each step goes on with probability p, and earns 1 where it does.
    p = NormalDist().cdf((bias - LEAST) / math.exp(log_std))
    true = sum(gamma ** (t - 1) * p**t for t in range(1, task.time_limit + 1)) / unit
    weights, constant = checkpoint.fitted_value_P[:2].astype(float), float(checkpoint.fitted_value_P[2])
    value_N = states.observation @ weights + constant
    return_N2 = again.discounted_M.reshape(-1, 2) / unit
    product_N, size_N = (value_N[:, None] - return_N2).prod(1), return_N2.prod(1)
    common_N = (return_N2 - return_N2.mean(0)).prod(1) * 3000 / 2999
    for name, each_N, expected in (
        ("true/error", product_N, np.square(value_N - true).mean()),
        ("true/size", size_N, true**2),
        ("true/spread", common_N, 0.0),
    ):
        (found,) = numbers[f"0/{name}"]
        assert found == pytest.approx(each_N.mean(), rel=1e-5, abs=1e-5)
        error = each_N.std(ddof=1) / math.sqrt(len(each_N))
        assert abs(found - expected) < 4 * error
        # The noise of returns would be in the square of one's error, or in its own.
        assert return_N2.var() > 8 * error


def test_fitted_values_are_those_of_the_next_iterations_start():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "HELD_OUT_EVERY", 1)
        records = Cohort(TASK, [Group(ALGORITHMS[name], (2, 4)) for name in ("PPO", "TRPO")], 2).train()
    for record in records:
        start = start_from_arrays(
            record.seed, np.stack(record.policy_parameters), checkpoints_to_arrays(record.checkpoints)
        )
        first, second = start.checkpoints
        assert np.array_equal(first.fitted_value_P, second.value_P)
        assert np.abs(first.fitted_value_P - first.value_P).max() > 1e-4
