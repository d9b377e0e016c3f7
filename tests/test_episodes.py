"""Whole episodes: each equals Gymnasium's, each is played once and to its end, and their means are correct."""

import math
from dataclasses import fields, replace
from statistics import NormalDist

import gymnasium
import numpy as np
import pytest
import torch
from rail import (
    INVERSE_STD,
    LEAST,
    NETWORK,
    OFFSET,
    assert_within_4_errors,
    decision,
    expected_returns,
    mean_and_error,
    quadratic,
)

from rlclaims.agents.networks import MLP, GaussianNetwork
from rlclaims.episodes import Draws, Policies, draws, play
from rlclaims.randomness import Purpose, stream
from rlclaims.sim.normalizer import Normalization
from rlclaims.sim.simulator import Simulator
from rlclaims.sim.tasks import task_named

GAMMA = 0.9
LIMITED = replace(task_named("Hopper-v5"), time_limit=25)  # long enough for some to fall, and short enough to cut some


def some_policies(task, n, seed=0, hidden=(8,)):
    """Return policies that differ in parameters and normalisers, with clips that are reached."""
    simulator, rng = Simulator(task, [np.random.default_rng(0)]), np.random.default_rng(seed)
    n_observation, n_action = simulator.n_observation, simulator.n_action
    network = GaussianNetwork(MLP((n_observation, *hidden, n_action)))
    theta_NP = 0.3 * rng.standard_normal((n, network.n_parameters), np.float32)
    offset_NO, clip_N1 = 0.3 * rng.standard_normal((n, n_observation)), rng.uniform(0.5, 3, (n, 1))
    return Policies(network, theta_NP, Normalization(offset_NO, rng.uniform(0.3, 2, (n, n_observation)), clip_N1))


def assert_same(one, other, order=None):
    """Assert bit-identical results; `order` lists the indices of `other` that correspond to those of `one`."""
    order = np.arange(len(one.length_M)) if order is None else order
    for field in fields(one):
        if field.name != "trajectories":
            assert np.array_equal(getattr(one, field.name), getattr(other, field.name)[order]), field.name


def assert_same_steps(one, other):
    for field in fields(one):
        assert np.array_equal(getattr(one, field.name), getattr(other, field.name)), field.name


# Against Gymnasium.


@pytest.mark.parametrize("time_limit", [1000, 25])
def test_episode_equals_gymnasiums_with_the_same_noise(time_limit, as_module):
    task, indices = replace(task_named("Hopper-v5"), time_limit=time_limit), (3, 8, 20_000_007)
    policies, seed = some_policies(task, 4), 6
    episodes = [(policy, draw) for policy in range(4) for draw in range(3)]
    played = play(task, policies, draws(task, seed, indices), episodes, GAMMA, keep=range(12), slots=5)
    env, ways = gymnasium.make(task.id, max_episode_steps=time_limit), set()
    for m, (policy, draw) in enumerate(episodes):
        # The same stream, used by Gymnasium's own reset.
        env.unwrapped.np_random = stream(seed, Purpose.LANDSCAPE_RESETS, indices[draw])
        raw_O, _ = env.reset()
        noise_TA = stream(seed, Purpose.LANDSCAPE_NOISE, indices[draw]).standard_normal((time_limit, 3), np.float32)
        theta_P, normalization = torch.from_numpy(policies.theta_NP[policy]), policies.normalization
        mean_of, steps = as_module(theta_P[:-3], (11, 8, 3)), played.trajectories[m]

        def seen(raw_O, policy=policy, its=normalization):
            scaled_O = (raw_O - its.offset_SO[policy]) * its.inverse_std_SO[policy]
            return np.clip(scaled_O, -its.clip_S1[policy], its.clip_S1[policy])

        rewards, ended = [], (False, False)
        while not any(ended):
            t = len(rewards)
            np.testing.assert_allclose(steps.observation_LO[t], seen(raw_O), rtol=1e-6, atol=1e-7)
            assert np.array_equal(steps.qpos_LQ[t], env.unwrapped.data.qpos)
            assert np.array_equal(steps.qvel_LV[t], env.unwrapped.data.qvel)
            mean_A = mean_of(torch.from_numpy(seen(raw_O)).float()).detach().numpy()
            # Two routes in single precision through sums of some ten terms of order 1.
            expected_A = mean_A + np.exp(policies.theta_NP[policy, -3:]) * noise_TA[t]
            np.testing.assert_allclose(steps.action_LA[t], expected_A, rtol=1e-5, atol=1e-5)
            raw_O, reward, *ended, _ = env.step(steps.action_LA[t])
            rewards.append(reward)
        np.testing.assert_allclose(steps.observation_LO[-1], seen(raw_O), rtol=1e-6, atol=1e-7)
        assert np.array_equal(steps.reward_L, rewards)
        assert len(steps.qpos_LQ) == len(steps.qvel_LV) == len(rewards)
        assert (played.length_M[m], played.terminated_M[m]) == (len(rewards), ended[0])
        assert played.return_M[m] == pytest.approx(math.fsum(rewards), rel=1e-12)
        ways.add("terminated" if ended[0] else "truncated")
    env.close()
    assert ways == ({"terminated"} if time_limit == 1000 else {"terminated", "truncated"})
    assert not played.unstable_M.any()


# The list.


@pytest.mark.parametrize("name", ["Hopper-v5", "Humanoid-v5", "InvertedPendulum-v5"])
def test_results_do_not_depend_on_slots_threads_or_order(name):
    task = replace(task_named(name), time_limit=25)
    policies, drawn = some_policies(task, 3), draws(task, 1, range(6))
    episodes = [(policy, draw) for policy in range(3) for draw in range(6)]
    keep = {2, 11, 17}
    alone = [play(task, policies, drawn, [episode], GAMMA, keep=[0]) for episode in episodes]
    for slots, threads in ((1, 1), (4, 2), (17, 1), (18, 2), (500, 1)):
        together = play(task, policies, drawn, episodes, GAMMA, keep=keep, slots=slots, threads=threads)
        for m, one in enumerate(alone):
            assert_same(one, together.part(m, m + 1))
        for m, steps in zip(sorted(keep), together.trajectories, strict=True):
            assert_same_steps(alone[m].trajectories[0], steps)
    assert len(set(together.length_M)) > 2
    order = np.random.default_rng(0).permutation(18)
    shuffled = play(task, policies, drawn, [episodes[m] for m in order], GAMMA, slots=4)
    assert_same(shuffled, together, order)
    assert shuffled.trajectories == ()


@pytest.mark.parametrize("slots", [1, 3, 40])
def test_every_listed_episode_is_played_once_to_its_end(slots, monkeypatch):
    started, set_state = [], Simulator.set_state

    def spy(self, which, qpos, qvel):
        started.extend(qpos[:, 1].tolist())
        return set_state(self, which, qpos, qvel)

    monkeypatch.setattr(Simulator, "set_state", spy)
    stepped, step = [], Simulator.step

    def step_spy(self, action_SA, which=None):
        stepped.append(len(action_SA) if which is None else len(which))
        return step(self, action_SA, which)

    monkeypatch.setattr(Simulator, "step", step_spy)
    policies, drawn = some_policies(LIMITED, 4), draws(LIMITED, 2, range(5))
    # Some episodes are listed twice and must be played twice.
    episodes = [(m % 4, m % 5) for m in range(30)]
    told = []
    played = play(LIMITED, policies, drawn, episodes, GAMMA, slots=slots, on_steps=told.append)
    assert started == [drawn.qpos_DQ[draw, 1] for _, draw in episodes]
    # Idle slots are not stepped.
    assert stepped == told and sum(told) == played.length_M.sum() and max(told) == min(slots, 30)
    # Every episode ends by the task or by the limit, never earlier.
    assert ((played.length_M == 25) | played.terminated_M).all() and played.length_M.max() == 25
    assert 0 < played.terminated_M.sum() < 30
    assert_same(played.part(0, 10), played.part(20, 30))


def test_longer_limit_extends_truncated_episodes_only():
    policies, drawn = some_policies(LIMITED, 4), draws(LIMITED, 2, range(5))
    longer = replace(LIMITED, time_limit=40)
    cut, long = (
        play(task, policies, draws(task, 2, range(5)), [(m % 4, m % 5) for m in range(20)], GAMMA, keep=range(20))
        for task in (LIMITED, longer)
    )
    assert np.array_equal(drawn.noise_DTA, draws(longer, 2, range(5)).noise_DTA[:, :25])
    for m in range(20):
        n = cut.length_M[m]
        assert np.array_equal(cut.trajectories[m].reward_L, long.trajectories[m].reward_L[:n])
        assert (long.length_M[m] == n) if cut.terminated_M[m] else (long.length_M[m] >= n)
    assert (long.length_M > 25).any()


def test_trajectories_are_those_of_keep_in_list_order():
    policies, drawn = some_policies(LIMITED, 3), draws(LIMITED, 3, range(4))
    episodes = [(policy, draw) for policy in range(3) for draw in range(4)]
    every = play(LIMITED, policies, drawn, episodes, GAMMA, keep=range(12))
    some = play(LIMITED, policies, drawn, episodes, GAMMA, keep=[9, 0, 4], slots=2)
    assert len(every.trajectories) == 12 and len(some.trajectories) == 3
    for m, steps in zip((0, 4, 9), some.trajectories, strict=True):
        assert_same_steps(steps, every.trajectories[m])
    for m, steps in enumerate(every.trajectories):
        n = every.length_M[m]
        assert steps.observation_LO.shape == (n + 1, 11) and steps.action_LA.shape == (n, 3)
        assert steps.reward_L.shape == (n,)
        naive = math.fsum(GAMMA**t * reward for t, reward in enumerate(steps.reward_L))
        assert every.discounted_M[m] == pytest.approx(naive, rel=1e-12)
    assert_same(some, every)


def test_a_part_has_the_episodes_of_its_places():
    policies, drawn = some_policies(LIMITED, 2), draws(LIMITED, 3, range(4))
    episodes = [(policy, draw) for policy in range(2) for draw in range(4)]
    whole = play(LIMITED, policies, drawn, episodes, GAMMA)
    assert_same(whole.part(3, 6), play(LIMITED, policies, drawn, episodes[3:6], GAMMA))


# Unstable simulations.


@pytest.mark.parametrize("slots", [1, 2, 12])
@pytest.mark.parametrize("how", ["diverges", "no number"])
def test_unstable_episode_is_reported_and_affects_no_other(slots, how):
    policies, drawn = some_policies(LIMITED, 3), draws(LIMITED, 3, range(4))
    episodes = [(policy, draw) for policy in range(3) for draw in range(4)]
    clean = play(LIMITED, policies, drawn, episodes, GAMMA, keep=range(12))
    theta_NP, qvel_DV = policies.theta_NP.copy(), drawn.qvel_DV.copy()
    if how == "diverges":
        qvel_DV[1], broken = 1e12, [1, 5, 9]
    else:
        theta_NP[1], broken = np.nan, [4, 5, 6, 7]
    policies, drawn = replace(policies, theta_NP=theta_NP), replace(drawn, qvel_DV=qvel_DV)
    spoilt = play(LIMITED, policies, drawn, episodes, GAMMA, keep=range(12), slots=slots)
    assert not clean.unstable_M.any()
    assert np.flatnonzero(spoilt.unstable_M).tolist() == broken
    assert (spoilt.length_M[broken] == 1).all()
    for m in set(range(12)) - set(broken):
        assert_same(spoilt.part(m, m + 1), clean.part(m, m + 1))
        assert_same_steps(spoilt.trajectories[m], clean.trajectories[m])


# Common random numbers.


def test_policies_share_starts_and_noise(as_module):
    policies, drawn = some_policies(LIMITED, 3), draws(LIMITED, 3, range(4))
    alike, theta_NP = policies.normalization.select(np.zeros(3, int)), policies.theta_NP.copy()
    theta_NP[1] = theta_NP[0]
    theta_NP[2, -3:] = theta_NP[0, -3:]  # the same standard deviation, another mean
    episodes = [(policy, draw) for draw in range(4) for policy in range(3)]
    policies = replace(policies, theta_NP=theta_NP, normalization=alike)
    played = play(LIMITED, policies, drawn, episodes, GAMMA, keep=range(12), slots=5)
    first, third = (as_module(torch.from_numpy(theta_NP[n, :-3]), (11, 8, 3)) for n in (0, 2))
    for draw in range(4):
        one, same, other = (3 * draw + n for n in range(3))
        assert_same(played.part(one, one + 1), played.part(same, same + 1))
        assert_same_steps(played.trajectories[one], played.trajectories[same])
        assert played.return_M[one] != played.return_M[other]
        start_O = played.trajectories[one].observation_LO[0]
        assert np.array_equal(start_O, played.trajectories[other].observation_LO[0])
        means_A = first(torch.from_numpy(start_O)) - third(torch.from_numpy(start_O))
        actions_A = played.trajectories[one].action_LA[0] - played.trajectories[other].action_LA[0]
        # The remaining difference is the single-precision rounding of noise of order 1.
        np.testing.assert_allclose(actions_A, means_A.detach().numpy(), rtol=0, atol=1e-6)
        assert np.abs(actions_A).min() > 1e-4


def test_random_numbers_depend_on_seed_and_index_alone():
    several, alone = draws(LIMITED, 7, [5, 2, 900_001]), draws(LIMITED, 7, [2])
    for field in fields(Draws):
        several_DX, alone_DX = getattr(several, field.name), getattr(alone, field.name)
        assert np.array_equal(several_DX[1], alone_DX[0])
        assert not np.array_equal(several_DX[0], several_DX[2])
        assert not np.array_equal(getattr(draws(LIMITED, 8, [2]), field.name), alone_DX)
    assert several.noise_DTA.shape == (3, 25, 3) and several.noise_DTA.dtype == np.float32


# Means with known values.


def linear(theta_NP):
    """Return policies that are linear in their observations."""
    n = len(theta_NP)
    normalization = Normalization(np.tile(OFFSET, (n, 1)), np.tile(INVERSE_STD, (n, 1)), np.full((n, 1), np.inf))
    return Policies(NETWORK, np.asarray(theta_NP, np.float32), normalization)


def test_linear_quadratic_landscape_is_the_closed_form(point_mass):
    task, n = point_mass(pays=quadratic), 2000
    theta_P, direction_P = np.array([-0.9, -0.8, 0.3, -0.7]), np.array([0.6, -0.5, 0.4, 0.3])
    shifts = (0.0, 0.1, 0.5, 1.0, 2.0)
    policies = linear([theta_P + x * direction_P for x in shifts])
    # Twice as many draws, of which the second half is for comparison alone.
    drawn = draws(task, 11, range(2 * n))
    listed = [(policy, draw) for policy in range(5) for draw in range(2 * n)]
    played = play(task, policies, drawn, listed, GAMMA)
    assert (played.length_M == 15).all() and not played.terminated_M.any()
    return_ND, discounted_ND = played.return_M.reshape(5, -1), played.discounted_M.reshape(5, -1)
    expected = [expected_returns(theta_P, task, GAMMA) for theta_P in policies.theta_NP]
    for i, (total, discounted) in enumerate(expected):
        assert_within_4_errors(return_ND[i, :n], total)
        assert_within_4_errors(discounted_ND[i, :n], discounted)
        paired, rise = return_ND[i, :n] - return_ND[0, :n], total - expected[0][0]
        independent = return_ND[i, n:] - return_ND[0, :n]
        if i == 0:
            assert (paired == 0).all() and mean_and_error(independent)[1] > 0
            continue
        assert_within_4_errors(paired, rise)
        assert_within_4_errors(discounted_ND[i, :n] - discounted_ND[0, :n], discounted - expected[0][1])
        assert_within_4_errors(independent, rise)
        # Nearer policies are paired the better.
        assert mean_and_error(paired)[1] < {1: 0.1, 2: 0.4}.get(i, 1.0) * mean_and_error(independent)[1]
    # The displacements differ by far more than the tolerated errors.
    total, discounted = np.transpose(expected)
    assert np.abs(np.diff(total)).min() > 8 * mean_and_error(return_ND[1, :n] - return_ND[0, :n])[1]
    assert total[0] != pytest.approx(discounted[0], rel=0.1)


def test_returns_of_a_small_decision_problem_are_geometric_sums(point_mass):
    task, n = decision(point_mass), 3000
    horizon = task.time_limit
    biases, log_stds = (0.9, 1.1, 1.6), (-0.4, -0.6, -0.4)
    policies = linear([[0.0, 0.0, bias, log_std] for bias, log_std in zip(biases, log_stds, strict=True)])
    drawn = draws(task, 4, range(2 * n))
    listed = [(policy, draw) for policy in range(3) for draw in range(2 * n)]
    # Few slots: an episode's length decides where the next ones are played, and must not decide what they are.
    played = play(task, policies, drawn, listed, GAMMA, slots=50)
    return_ND, length_ND = played.return_M.reshape(3, -1), played.length_M.reshape(3, -1)
    discounted_ND = played.discounted_M.reshape(3, -1)
    expected = []
    for i, (bias, log_std) in enumerate(zip(biases, log_stds, strict=True)):
        p = NormalDist().cdf((bias - LEAST) / math.exp(log_std))
        total = p * (1 - p**horizon) / (1 - p)
        expected.append(total)
        for half in (slice(0, n), slice(n, 2 * n)):
            assert_within_4_errors(return_ND[i, half], total)
            assert_within_4_errors(length_ND[i, half], (1 - p**horizon) / (1 - p))
            assert_within_4_errors(discounted_ND[i, half], sum(GAMMA ** (t - 1) * p**t for t in range(1, horizon + 1)))
            assert_within_4_errors(1.0 * (length_ND[i, half] == 1), 1 - p)
            assert_within_4_errors(1.0 * ~played.terminated_M.reshape(3, -1)[i, half], p**horizon)
    # Differences on common random numbers, and on independent ones.
    for i, j in ((0, 1), (1, 2), (0, 2)):
        assert_within_4_errors(return_ND[j, :n] - return_ND[i, :n], expected[j] - expected[i])
        assert_within_4_errors(return_ND[j, n:] - return_ND[i, :n], expected[j] - expected[i])
    # Of equal spread, a higher bias is never worse on the same noise.
    assert (return_ND[2] >= return_ND[0]).all() and (return_ND[2, n:] < return_ND[0, :n]).any()


def test_means_do_not_favour_short_episodes_where_slots_are_few(point_mass):
    # Two policies, one of which stays and one of which soon leaves, in one list: neither crowds out the other.
    task, n = decision(point_mass), 400
    policies, drawn = linear([[0, 0, 50.0, -1.0], [0, 0, LEAST, -1.0]]), draws(task, 4, range(n))
    played = play(task, policies, drawn, [(m % 2, m // 2) for m in range(2 * n)], GAMMA, slots=9)
    stays, leaves = played.length_M[::2], played.length_M[1::2]
    assert (stays == task.time_limit).all()
    assert_within_4_errors(leaves, 2 * (1 - 0.5**task.time_limit))
