"""Without a value baseline: advantages are discounted returns to go, and only policies are updated."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_runs import (
    ITERATIONS,
    KEPT,
    OF_BATCHES,
    OF_ITERATION,
    by_hand,
    log_densities,
    naive_objective,
    reward_scale,
    scaled_rewards,
    to_come,
    unit_of,
)

from rlclaims import PPO, TRPO
from rlclaims.planning.study_checks import check_study
from rlclaims.store.run_spec import SpecError
from rlclaims.studies.landscape import compute as landscapes
from rlclaims.studies.registry import Study
from rlclaims.studies.replayed_run import FinishedRun
from rlclaims.studies.twin_updates.compute import Twins

TWINS = Study("twins")

SMALL = {"steps": 60, "minibatches": 4, "value_epochs": 2, "hidden": (6,), "gamma": 0.9}
ALGORITHMS = {
    "PPO": PPO(**SMALL, epochs=2),
    "PPO with a clip of values": PPO(**SMALL, epochs=2, value_clip=0.2, reward_clip=0.5),
    "TRPO": TRPO(**SMALL),
}
NAMES = ["PPO without values", "TRPO without values"]


def naive_returns(rewards, done, gamma):
    """Return each step's discounted return to the end of its episode or of the rollout, without bootstrapping."""
    returns = []
    for t in range(len(rewards)):
        total, discount = 0.0, 1.0
        for i in range(t, len(rewards)):
            total += discount * rewards[i]
            discount *= gamma
            if done[i]:
                break
        returns.append(total)
    return returns


def naive_scaled(algorithm, rewards, done):
    """Divide one seed's rewards by the standard deviation of discounted returns since its first step."""
    if not algorithm.scale_rewards:
        return rewards
    scaled, so_far, total = [], [], 0.0
    for reward, ended in zip(rewards, done, strict=True):
        total = algorithm.gamma * total + reward
        so_far.append(total)
        std = np.std(so_far, ddof=1) + 1e-8 if len(so_far) > 1 else 1.0
        scaled.append(float(np.clip(reward / std, -algorithm.reward_clip, algorithm.reward_clip)))
        total = 0.0 if ended else total
    return scaled


@pytest.mark.parametrize("name", ALGORITHMS)
def test_advantages_are_returns_to_go_and_values_are_not_fitted(name, double_agent, make_rollout):
    algorithm = replace(ALGORITHMS[name], value_baseline=False)
    agent = double_agent(algorithm, (3, 5), 4, 2)
    rollout = make_rollout(agent, torch.Generator().manual_seed(0))
    theta_SP, phi_SP = agent.theta_SP.detach().clone(), agent.phi_SP.detach().clone()
    orders = agent.minibatch_states()
    batch = algorithm.learn(agent, rollout)
    endings, cut = set(), False
    for s in range(2):
        reward, terminated, truncated = (
            x[s].tolist() for x in (rollout.reward_ST, rollout.terminated_ST, rollout.truncated_ST)
        )
        done = [a or b for a, b in zip(terminated, truncated, strict=True)]
        endings |= set(zip(terminated, truncated, strict=True))
        expected = naive_returns(naive_scaled(algorithm, reward, done), done, 0.9)
        np.testing.assert_allclose(batch.advantage_SB[s], expected, rtol=1e-5, atol=1e-5)
        cut |= not done[-1]
    assert cut and len(endings) == 3
    assert torch.equal(agent.phi_SP, phi_SP)
    assert (agent.theta_SP - theta_SP).abs().max() > 1e-4
    # With a baseline it is another update, and values are fitted.
    other = double_agent(ALGORITHMS[name], (3, 5), 4, 2)
    with_values = ALGORITHMS[name].learn(other, rollout)
    assert not torch.equal(other.phi_SP, phi_SP)
    assert (with_values.advantage_SB - batch.advantage_SB).abs().max() > 0.1
    assert (other.theta_SP - agent.theta_SP).abs().max() > 1e-4
    if name == "TRPO":  # its minibatches are those of values alone
        assert all(map(np.array_equal, agent.minibatch_states(), orders))


@pytest.mark.parametrize("name", NAMES)
def test_values_of_a_run_keep_their_initial_parameters(name, runs):
    first, *others = runs[name].start.checkpoints
    for checkpoint in (first, *others):
        assert np.array_equal(checkpoint.value_P, first.value_P)
        assert np.array_equal(checkpoint.fitted_value_P, first.value_P)


@pytest.mark.parametrize("k", range(3))
def test_twin_updates_are_made_again_bit_for_bit(k, runs):
    run = runs["PPO without values"]
    twins = Twins(run.algorithm, ITERATIONS, [run.start])
    own = twins.replay(k).path[-1].theta_SP[0]
    assert np.array_equal(own, run.history.theta_KP[KEPT[k] + 1])
    assert not torch.equal(twins.replay(k, ["clip"]).path[-1].theta_SP[0], own)


@pytest.mark.parametrize("name", NAMES)
def test_landscape_objective_weights_pairs_by_returns(name, runs, monkeypatch, as_module):
    k = 1
    run, iteration = runs[name], KEPT[k]
    checkpoint = run.start.checkpoints[k]
    for constant, value in {"MOST_STEPS": 100, "ALONG": (0.0, 1.0, 2.0), "DIRECTIONS": 2}.items():
        monkeypatch.setattr(landscapes, constant, value)
    played, play = [], FinishedRun.play
    monkeypatch.setattr(FinishedRun, "play", lambda self, *args: played.append(args) or play(self, *args))
    alone = replace(run, start=replace(run.start, checkpoints=(checkpoint,)))
    numbers = landscapes.landscapes(alone)
    old_P, new_P = run.history.theta_KP[iteration : iteration + 2]
    first = OF_ITERATION * iteration + OF_BATCHES
    n = sum(index >= first for _, index in played[-1][1])
    episodes = [by_hand(run, old_P, iteration, first + e) for e in range(n)]
    (length,) = numbers["0/own/length"]
    assert length == pytest.approx(np.mean([len(episode.rewards) for episode in episodes]))
    columns = (
        np.concatenate([episode.observations[:-1] for episode in episodes]),
        np.concatenate([episode.actions for episode in episodes]),
        np.concatenate([to_come(scaled_rewards(run, checkpoint, episode), 0.99) for episode in episodes]),
    )
    weight_B = torch.from_numpy(columns[2] - columns[2].mean())
    scale = length * (reward_scale(checkpoint)[1] if run.algorithm.scale_rewards else 1.0)
    observation_BO, action_BA = map(torch.from_numpy, columns[:2])
    still_B, moved_B = (log_densities(theta_P, observation_BO, action_BA, as_module) for theta_P in (old_P, new_P))
    rise = scale * float((((moved_B - still_B).exp() - 1) * weight_B).mean())
    assert numbers["0/along/promise/monte_carlo"][1] == pytest.approx(rise, rel=2e-3)
    still, moved = (
        naive_objective(run.algorithm, old_P, theta_P, checkpoint.held_out, as_module) for theta_P in (old_P, new_P)
    )
    unit = unit_of(run.algorithm, checkpoint, checkpoint.held_out, length)
    assert numbers["0/along/promise/held_out"][1] == pytest.approx(unit * (moved - still), rel=1e-3)
    assert min(abs(rise), abs(moved - still)) > 1e-3
    assert math.isfinite(sum(numbers["0/along/return"]))


def test_what_is_of_values_is_refused_where_none_are_fitted():
    for algorithm in (PPO(value_baseline=False), TRPO(value_baseline=False)):
        name = type(algorithm).__name__
        for study, words in ((Study("values"), "Values"), (Study("gradients", 2048), "Gradients")):
            with pytest.raises(SpecError, match=rf"^{words} are .*, and {name} has none with value_baseline=False\.$"):
                check_study(study, algorithm)
        for kind in ("landscapes", "late_updates", "final_returns"):
            check_study(Study(kind), algorithm)
        check_study(Study("large_updates", 2048), algorithm)
    check_study(TWINS, PPO(value_baseline=False))
