"""Gymnasium environments as tasks: steps equal those of a loop, training and studies work, others are refused."""

import gc
import math
from dataclasses import replace

import gymnasium
import mujoco
import numpy as np
import odd_envs
import pytest
import torch
from gymnasium import spaces
from small_runs import computed
from torch.distributions import Categorical, kl_divergence

from rlclaims import PPO, TRPO, training
from rlclaims.agents.networks import CategoricalNetwork
from rlclaims.checkpoints import History, checkpoints_to_arrays, resumed, start_from_arrays
from rlclaims.planning.study_checks import check_playable
from rlclaims.randomness import Purpose, stream
from rlclaims.sim.simulator import simulate
from rlclaims.sim.tasks import task_named
from rlclaims.store.run_spec import RunSpec, SpecError
from rlclaims.studies.final_returns.compute import final_returns
from rlclaims.studies.late_updates.compute import late_updates
from rlclaims.studies.registry import Study
from rlclaims.studies.replayed_run import FinishedRun
from rlclaims.studies.twin_updates import compute as twin_updates
from rlclaims.studies.twin_updates.compute import Twins, jobs
from rlclaims.training import Cohort, Group

TWINS = Study("twins")

LOOPED = "gymnasium.envs.mujoco:HalfCheetah-v5"
"""A declared task that the module's name makes an environment in a loop."""
NAMES = [
    "CartPole-v1",
    "Pendulum-v1",
    "FrozenLake-v1",
    LOOPED,
    "odd_envs:odd/Counts-v0",
    "tiny_envs:tiny/ImageMatrix-v0",
    "tiny_envs:tiny/BoxMultiDiscrete-v0",
    "tiny_envs:tiny/DiscreteMultiBinary-v0",
]
WITH_ARGUMENTS = {
    "CartPole-v1(sutton_barto_reward=True, max_episode_steps=25)": {
        "sutton_barto_reward": True,
        "max_episode_steps": 25,
    },
    "odd_envs:odd/Counts-v0(by=2)": {"by": 2},
}
"""Tasks with arguments, and the arguments as `gymnasium.make` takes them."""
SMALL = {"steps": 256, "minibatches": 8, "value_epochs": 2, "hidden": (16,)}


def naive_row(space, observation):
    """Return an observation as a list of numbers."""
    if isinstance(space, spaces.Discrete):
        return [1.0 * (observation == space.start + i) for i in range(space.n)]
    return [float(x) for x in np.asarray(observation).ravel()]


def naive_action(space, numbers):
    """Return an action as the environment takes it, entry by entry."""
    if isinstance(space, spaces.Box):
        bounds = zip(numbers, space.low.ravel(), space.high.ravel(), strict=True)
        return np.array([min(max(x, low), high) for x, low, high in bounds], space.dtype).reshape(space.shape)
    if isinstance(space, spaces.Discrete):
        return int(space.start + numbers[0])
    return np.array(numbers, int)


def naive_draw(task, rng):
    """Draw an action, often out of bounds, or a choice."""
    return rng.integers(task.choices) if task.choices else 3 * rng.standard_normal(task.n_action)


def seed_from(rng):
    """Draw the seed of an episode."""
    return int(rng.integers(2**31))


@pytest.mark.parametrize("name", [*NAMES, *WITH_ARGUMENTS])
def test_steps_match_a_loop_over_single_environments(name):
    task, seeds, actions = task_named(name), (3, 8), np.random.default_rng(0)
    together = simulate(task, [stream(seed, Purpose.TRAINING_RESETS) for seed in seeds])
    envs = [gymnasium.make(name.partition("(")[0], **WITH_ARGUMENTS.get(name, {})) for _ in seeds]
    rngs = [stream(seed, Purpose.TRAINING_RESETS) for seed in seeds]
    seen = [
        naive_row(env.observation_space, env.reset(seed=seed_from(r))[0]) for env, r in zip(envs, rngs, strict=True)
    ]
    assert together.reset().tolist() == seen
    assert (together.n_observation, together.n_action) == (len(seen[0]), task.n_action)
    endings = set()
    for _ in range(1001):
        action_SA = np.array([naive_draw(task, actions) for _ in seeds], np.float32)
        ours = together.step(action_SA)
        for i, (env, rng) in enumerate(zip(envs, rngs, strict=True)):
            observation, reward, *ended, _ = env.step(naive_action(env.action_space, action_SA[i].tolist()))
            assert ours.observation_SO[i].tolist() == naive_row(env.observation_space, observation)
            assert ours.reward_S[i] == reward
            assert [ours.terminated_S[i], ours.truncated_S[i]] == ended
            if any(ended):
                endings.add(tuple(ended))
                observation, _ = env.reset(seed=seed_from(rng))
                assert together.reset([i])[0].tolist() == naive_row(env.observation_space, observation)
    # Episodes end by termination (t), by the time limit (l), or by either.
    ways = {"CartPole-v1": "t", "FrozenLake-v1": "t", "odd_envs:odd/Counts-v0": "t", "Pendulum-v1": "l"}
    ways |= {LOOPED: "l", "odd_envs:odd/Counts-v0(by=2)": "t"}
    assert {"t" if terminated else "l" for terminated, _ in endings} == set(ways.get(name, "tl"))
    assert not together.unstable_S.any()


def test_step_leaves_unselected_environments_alone():
    task = task_named("CartPole-v1")
    some, all_step = (simulate(task, [np.random.default_rng(i) for i in range(3)]) for _ in range(2))
    assert np.array_equal(some.reset(), all_step.reset())
    action_SA = np.ones((3, 1))
    some.step(action_SA, np.array([0, 2]))
    first, second = all_step.step(action_SA), all_step.step(action_SA)
    now = some.step(action_SA)
    assert np.array_equal(now.observation_SO[[0, 2]], second.observation_SO[[0, 2]])
    assert np.array_equal(now.observation_SO[1], first.observation_SO[1])


@pytest.mark.parametrize("name", ["odd_envs:odd/NanAboveThirty-v0", "CartPole-v1"])
def test_nan_makes_only_its_own_environment_unstable(name):
    unstable, clean = (simulate(task_named(name), [np.random.default_rng(i) for i in range(4)]) for _ in range(2))
    assert np.array_equal(unstable.reset(), clean.reset())
    fine_SA, poisoned_SA = np.ones((4, 1)), np.array([[1.0], [np.nan], [1.0], [40.0]])
    poisoned_SA[3] = 40.0 if name.startswith("odd") else 1.0
    for _ in range(3):
        ours, theirs = unstable.step(poisoned_SA), clean.step(fine_SA)
        for mine, other in zip(ours, theirs, strict=True):
            assert np.array_equal(mine[[0, 2]], other[[0, 2]])
    assert unstable.unstable_S.tolist() == [False, True, False, name.startswith("odd")]
    assert not clean.unstable_S.any()


def test_mujoco_warnings_leave_no_log_in_the_working_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    mujoco.set_mju_user_warning(None)
    task_named.__globals__["environment_named"].cache_clear()
    simulate(task_named(LOOPED), [np.random.default_rng(0)]).reset()
    assert not list(tmp_path.iterdir())


def test_environments_are_closed_on_garbage_collection():
    task = task_named("odd_envs:odd/NanAboveThirty-v0")
    before = odd_envs.NanAboveThirty.closed
    some = simulate(task, [np.random.default_rng(i) for i in range(3)])
    gc.collect()
    assert odd_envs.NanAboveThirty.closed == before
    del some
    gc.collect()
    assert odd_envs.NanAboveThirty.closed == before + 3


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Hoper-v5", r"There is no task 'Hoper-v5': Environment `Hoper` doesn't exist\. Did you mean: `Hopper`\?"),
        ("CartPole-v9", r"There is no task 'CartPole-v9': Environment version `v9` for .* doesn't exist\..*"),
        ("nowhere:Mine-v0", r"There is no task 'nowhere:Mine-v0': No module named 'nowhere'\."),
        ("odd_envs:odd/Unmade-v0", r"The task '.*' cannot be made: RuntimeError: there is no engine\."),
        ("odd_envs:odd/OldStep-v0", r"The task '.*' fails at its first step: ValueError: not enough values to .*"),
        ("odd_envs:odd/Lies-v0", r"The task '.*' declares observations of 2 numbers and returns 3\."),
        (
            "odd_envs:odd/Pair-v0",
            r"The task '.*' has observations in a Tuple, and policies see a vector of .*",
        ),
        (
            "odd_envs:odd/Words-v0",
            r"The task '.*' has observations in a Text, and policies see a vector of .*",
        ),
        ("tiny_envs:tiny/DictBox-v0", r"The task '.*' has observations in a Dict, and policies see a vector of .*"),
        ("odd_envs:odd/Many-v0", r"The task '.*' has observations of 5,000 choices, .*; at most 1,000 are supported\."),
        ("odd_envs:odd/Whole-v0", r"The task '.*' takes actions in Box\(0, 9, \(2,\), int64\); policies support .*"),
        ("odd_envs:odd/Levers-v0", r"The task '.*' takes actions in Dict\(.*\); policies support .*"),
        ("odd_envs:odd/ManyLevers-v0", r"The task '.*' has actions of 1,100 choices; at most 1,000 are supported\."),
        ("CartPole-v1(length=2)", r"The task '.*' has no argument 'length'; it takes max_episode_steps, sutton_.*\."),
        ("CartPole-v1(render_mode='human')", r"The task \".*\" has render_mode, which only affects rendering, .*"),
        ("CartPole-v1(max_episode_steps='5')", r"The task \".*\" cannot be made: TypeError: .*"),
        ("FrozenLake-v1(map_name='9x9')", r"The task \".*\" cannot be made: KeyError: '9x9'\."),
        # Registered in this process by the import of odd_envs, and not in the processes that train.
        ("odd/Counts-v0", r"Training processes cannot find the task 'odd/Counts-v0': .* 'my_pkg:odd/Counts-v0'\."),
    ],
)
def test_task_named_refuses_unsupported_environments(name, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        task_named(name)


def test_task_named_passes_on_missing_dependency_message(monkeypatch):
    def make(*_, **__):
        raise gymnasium.error.DependencyNotInstalled('Box2D is not installed, run `pip install "gymnasium[box2d]"`')

    task_named.__globals__["environment_named"].cache_clear()
    monkeypatch.setattr(gymnasium, "make", make)
    with pytest.raises(ValueError, match=r"^The task 'LunarLander-v3' cannot be made: Box2D is not .*\[box2d\]\"`\.$"):
        task_named("LunarLander-v3")


# Training.


def train(name, groups, iterations=2):
    return Cohort(task_named(name), [Group(algorithm, tuple(seeds)) for algorithm, seeds in groups], iterations).train()


def assert_same_run(one, other):
    assert (one.algorithm, one.seed, one.failure) == (other.algorithm, other.seed, None)
    assert np.array_equal(one.policy_parameters, other.policy_parameters)
    assert one.series == other.series and len(one.series) == 28
    assert one.episodes == other.episodes and one.episodes
    ours, theirs = checkpoints_to_arrays(one.checkpoints), checkpoints_to_arrays(other.checkpoints)
    assert ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "tiny_envs:tiny/DiscreteMultiDiscrete-v0"])
def test_run_is_identical_alone_and_in_any_cohort(name):
    sizes = {"steps": 512, "minibatches": 8, "value_epochs": 1}
    ppo, trpo = PPO(**sizes, epochs=2, entropy_coefficient=0.01), TRPO(**sizes)
    # Cohorts of other sizes, in which a seed has other positions.
    of_11 = train(name, [(trpo, range(5)), (ppo, range(4, 10))])
    of_3 = train(name, [(ppo, [7]), (trpo, [0, 3])])
    for lone, place, in_11 in ((train(name, [(ppo, [7])]), 0, 8), (train(name, [(trpo, [3])]), 2, 3)):
        assert_same_run(of_3[place], of_11[in_11])
        assert_same_run(lone[0], of_11[in_11])
    assert not np.array_equal(of_11[7].policy_parameters, of_11[8].policy_parameters)


def choices_by_hand(logits_L, choices, noise_A):
    """Return the first choices whose cumulative probability exceeds the noise's standard normal probability."""
    chosen, first = [], 0
    for n, z in zip(choices, noise_A, strict=True):
        weights = [math.exp(x) for x in logits_L[first : first + n]]
        level, sums = (1 + math.erf(z / math.sqrt(2))) / 2, np.cumsum(weights) / sum(weights)
        chosen.append(next(i for i in range(n) if sums[i] > level))
        first += n
    return chosen


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "tiny_envs:tiny/BoxMultiDiscrete-v0"])
def test_rollouts_and_episodes_match_a_naive_loop(name, rollouts, as_module):
    task, seeds, steps = task_named(name), (5, 2), SMALL["steps"]
    algorithm = PPO(**SMALL, epochs=2, normalize_observations=False, observation_clip=None)
    records = train(name, [(algorithm, seeds)])
    n_out = sum(task.choices) or task.n_action
    for i, seed in enumerate(seeds):
        env, resets = gymnasium.make(name), stream(seed, Purpose.TRAINING_RESETS)
        noise_rng, episodes, start, total = stream(seed, Purpose.TRAINING_NOISE), [], 0, 0.0
        observation, _ = env.reset(seed=seed_from(resets))
        for k, (theta_SP, rollout) in enumerate(rollouts):
            noise_TA = noise_rng.standard_normal((steps, task.n_action), np.float32)
            own_P = theta_SP[i].double()
            policy = as_module(own_P[: len(own_P) - (0 if task.choices else n_out)], (task.n_observation, 16, n_out))
            for t in range(steps):
                row = torch.from_numpy(np.asarray(observation, np.float32).ravel())
                assert torch.equal(rollout.observation_STO[i, t], row)
                out = policy(row.double()).tolist()
                if task.choices:
                    expected = choices_by_hand(out, task.choices, noise_TA[t])
                else:
                    expected = [m + math.exp(s) * z for m, s, z in zip(out, own_P[-n_out:], noise_TA[t], strict=True)]
                action_A = rollout.action_STA[i, t]
                np.testing.assert_allclose(action_A, expected, rtol=1e-5, atol=1e-5)
                observation, reward, *ended, _ = env.step(naive_action(env.action_space, action_A.tolist()))
                row = torch.from_numpy(np.asarray(observation, np.float32).ravel())
                assert torch.equal(rollout.next_observation_STO[i, t], row)
                assert float(rollout.reward_ST[i, t]) == pytest.approx(reward, rel=1e-12)
                assert [bool(rollout.terminated_ST[i, t]), bool(rollout.truncated_ST[i, t])] == ended
                total += reward
                if any(ended):
                    at = k * steps + t + 1
                    episodes.append((start, at - start, pytest.approx(total, rel=1e-12)))
                    observation, _ = env.reset(seed=seed_from(resets))
                    start, total = at, 0.0
        # An unfinished episode is played to its end.
        assert records[i].episodes[: len(episodes)] == episodes and episodes
        assert len(records[i].episodes) == len(episodes) + (start < 2 * steps)


def test_measures_match_torch_distributions(rollouts, as_module):
    (record,) = train("CartPole-v1", [(PPO(**SMALL, epochs=4, learning_rate=1e-2), [4])])
    for k, (_, rollout) in enumerate(rollouts):
        old, new = (
            Categorical(
                logits=as_module(torch.from_numpy(theta_P).double(), (4, 16, 2))(rollout.observation_STO[0].double())
            )
            for theta_P in record.policy_parameters[k : k + 2]
        )
        kl_T = kl_divergence(old, new).detach()
        action_T = rollout.action_STA[0, :, 0]
        ratio_T = (new.log_prob(action_T) - old.log_prob(action_T)).exp().detach()
        expected = {
            "kl_old_new/mean": kl_T.mean(),
            "kl_old_new/q99": kl_T.quantile(0.99),
            "kl_old_new/max": kl_T.max(),
            "ratio/max": ratio_T.max(),
            "ratio/min": ratio_T.min(),
            "ratio/exceedance": ((ratio_T - 1).abs() > 0.2).double().mean(),
        }
        for name, number in expected.items():
            assert record.series[f"{name}/training"][k] == pytest.approx(float(number), rel=1e-3), name
        assert record.series["kl_old_new/mean/training"][k] > 1e-3


def test_ppo_and_trpo_learn_to_balance():
    sizes = {"steps": 1024, "minibatches": 16, "hidden": (32,), "value_epochs": 5, "value_learning_rate": 3e-3}
    ppo = PPO(**sizes, learning_rate=1e-2, anneal_learning_rates=False, epochs=5)
    for record in train("CartPole-v1", [(ppo, [1, 2]), (TRPO(**sizes, delta=0.03), [1])], 8):
        returns = [total for _, _, total in record.episodes]
        # A random policy falls after about 22 steps.
        assert np.mean(returns[:20]) < 40 < 120 < np.mean(returns[-10:])


def test_trpo_keeps_trust_region_of_categorical_policy(monkeypatch):
    monkeypatch.setattr(training, "HELD_OUT_EVERY", 1)
    (record,) = train("CartPole-v1", [(TRPO(**SMALL, delta=0.02), [3])], 4)
    kl = record.series["kl_old_new/mean/training"]
    assert max(kl) <= 0.02 * (1 + 1e-4) and max(kl) > 0.01
    before, after = (record.series[f"surrogate/{when}/training"] for when in ("old", "new"))
    assert all(a > b for a, b in zip(after, before, strict=True))


def test_training_ends_though_episodes_never_end():
    (record,) = train("odd_envs:odd/Endless-v0", [(PPO(**SMALL, epochs=1), [0])])
    assert record.failure is None and record.episodes == []


def test_nan_reward_fails_the_seed():
    (record,) = train("odd_envs:odd/NanRewardOnce-v0", [(PPO(**SMALL, epochs=1), [0])], 3)
    assert record.failure == "the environment received or returned a value that is not finite in iteration 1"
    assert len(record.policy_parameters) == 2


# Studies of runs.


@pytest.fixture(scope="module")
def balanced():
    """Return a CartPole run of three updates with a checkpoint of each, as the store returns it."""
    algorithm = PPO(**SMALL, epochs=3, learning_rate=1e-2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "HELD_OUT_EVERY", 1)
        (record,) = train("CartPole-v1", [(algorithm, [6])], 3)
    theta_KP = np.stack(record.policy_parameters)
    start = start_from_arrays(6, theta_KP, checkpoints_to_arrays(record.checkpoints))
    history = History(theta_KP, *map(np.array, zip(*record.normalizations, strict=True)))
    return FinishedRun(algorithm, task_named("CartPole-v1"), 3, start, history, lambda _: None)


def test_checkpoints_record_that_actions_were_choices(balanced):
    assert [checkpoint.choices for checkpoint in balanced.start.checkpoints] == [(2,)] * len(balanced.start.checkpoints)
    assert isinstance(balanced.network, CategoricalNetwork)
    assert set(balanced.start.checkpoints[0].training[1].ravel()) == {0.0, 1.0}
    assert isinstance(resumed(balanced.algorithm, 3, balanced.start, 0).network, CategoricalNetwork)


def test_twin_with_nothing_switched_equals_the_update(balanced):
    twins = Twins(balanced.algorithm, 3, [balanced.start])
    assert len(twins.times) > 1
    for k in twins.times:
        at = balanced.start.checkpoints[k].iteration
        assert np.array_equal(twins.replay(k).path[-1].theta_SP[0], balanced.history.theta_KP[at + 1])
        assert not np.array_equal(twins.replay(k, ["epochs"]).path[-1].theta_SP[0], balanced.history.theta_KP[at + 1])


def test_twin_with_other_head_keeps_levels_of_choices(balanced):
    twins = Twins(balanced.algorithm, 3, [balanced.start])
    for k, checkpoint in enumerate(balanced.start.checkpoints):
        own, switched = twins.replay(k), twins.replay(k, ["head"])
        for index, states in enumerate(("training", "held_out")):
            pairs = getattr(own, states)
            within_B = stream(6, Purpose.TWIN_CHOICES, 2 * checkpoint.iteration + index).random((256, 1))[:, 0]
            # Probabilities of the first of two choices, with the original head and the switched one.
            p_B, q_B = (
                policy.network.mlp(policy.theta_SP, pairs.observation_SBO)[0].double().softmax(-1)[:, 0].numpy()
                for policy in (own.old, switched.old)
            )
            action_B = pairs.action_SBA[0, :, 0].numpy()
            level_B = np.where(action_B == 0, within_B * p_B, p_B + within_B * (1 - p_B))
            ours_B = getattr(switched, states).action_SBA[0, :, 0].numpy()
            assert np.array_equal(ours_B, 1.0 * (level_B >= q_B))
            assert np.array_equal(action_B, 1.0 * (level_B >= p_B))
            assert 0 < (ours_B != action_B).mean() < 0.5


@pytest.fixture(scope="module", params=["CartPole-v1", "Pendulum-v1"])
def finished(request):
    """Return a run of four updates."""
    (record,) = train(request.param, [(PPO(**SMALL, epochs=2, observation_clip=1.5), [7])], 4)
    theta_KP = np.stack(record.policy_parameters)
    history = History(theta_KP, *map(np.array, zip(*record.normalizations, strict=True)))
    start = start_from_arrays(7, theta_KP, checkpoints_to_arrays(record.checkpoints))
    return FinishedRun(record.algorithm, task_named(request.param), 4, start, history, lambda _: None)


def returns_by_hand(run, theta_P, iteration, indices, as_module):
    """Return returns of a policy's episodes with an iteration's normaliser, by the random numbers of the indices."""
    env, task, returns = gymnasium.make(run.task.id), run.task, []
    own_P = torch.from_numpy(theta_P).double()
    sizes = task.n_observation, 16, sum(task.choices) or 1
    policy = as_module(own_P[: len(own_P) - (not task.choices)], sizes)
    for index in indices:
        noise_TA = stream(7, Purpose.LANDSCAPE_NOISE, index).standard_normal((task.time_limit, 1), np.float32)
        observation, _ = env.reset(seed=seed_from(stream(7, Purpose.LANDSCAPE_RESETS, index)))
        total, ended, t = 0.0, (False, False), 0
        while not any(ended):
            scaled_O = (observation - run.history.offset_KO[iteration]) * run.history.inverse_std_KO[iteration]
            out = policy(torch.from_numpy(scaled_O.clip(-1.5, 1.5))).tolist()
            if task.choices:
                action = choices_by_hand(out, task.choices, noise_TA[t])
            else:
                action = [out[0] + math.exp(own_P[-1]) * noise_TA[t, 0]]
            observation, reward, *ended, _ = env.step(naive_action(env.action_space, action))
            total, t = total + reward, t + 1
        returns.append(total)
    return returns


def test_returns_match_episodes_played_by_hand(finished, as_module):
    theta_KP = finished.history.theta_KP
    returns = returns_by_hand(finished, theta_KP[4], 3, range(4 * 10**10, 4 * 10**10 + 32), as_module)
    assert final_returns(finished)["return"] == pytest.approx(
        [np.mean(returns[8 * g :][:8]) for g in range(4)], rel=1e-3
    )
    late = late_updates(finished)
    for when, theta_P in (("before", theta_KP[3]), ("after", theta_KP[4])):
        returns = returns_by_hand(finished, theta_P, 3, range(350_000, 350_008), as_module)
        assert late[f"{when}/return"] == pytest.approx([np.mean(returns[2 * g :][:2]) for g in range(4)], rel=1e-3)


@pytest.mark.parametrize(
    ("kind", "pairs"), [("landscapes", None), ("near_true_gradients", 1024), ("large_updates", 512)]
)
def test_studies_of_whole_episodes_give_finite_numbers(kind, pairs, finished):
    run = finished
    numbers = computed(kind, pairs, run.algorithm, run.task.id, run.iterations, run.start, run.history)
    assert numbers and all(values and np.isfinite(values).all() for values in numbers.values())


def test_all_twins_give_finite_numbers(balanced):
    twins = Twins(balanced.algorithm, 3, [balanced.start])
    for job in list(jobs())[:12]:
        found = twin_updates.measure(twins, job)
        assert found and all(x_SK.shape == (1, len(twins.times)) for x_SK in found.values())
        if job not in ("matched_kl", "pushed_out"):  # which may have no pair to speak of
            assert all(np.isfinite(x_SK).all() for x_SK in found.values()), job


def test_check_playable_refuses_what_environments_cannot_do():
    with pytest.raises(SpecError, match=r"^Values are compared with .* 'CartPole-v1' can only be reset; .*Hopper-v5, "):
        check_playable(Study("values"), "CartPole-v1")
    with pytest.raises(
        SpecError, match=r"^Final returns are of whole episodes, and no time limit .* max_episode_steps"
    ):
        check_playable(Study("final_returns"), "odd_envs:odd/Endless-v0")
    with pytest.raises(SpecError, match=r"^There is no task 'Hoper-v5'"):
        check_playable(Study("final_returns"), "Hoper-v5")
    check_playable(TWINS, "odd_envs:odd/Endless-v0")
    check_playable(Study("values"), "Hopper-v5")
    for kind in ("landscapes", "late_updates", "large_updates", "gradients", "final_returns"):
        check_playable(Study(kind, 2048), "CartPole-v1")


def test_run_spec_on_environment_survives_serialisation():
    spec = RunSpec(PPO(), "tiny_envs:tiny/BoxDiscrete-v0", 7, 3)
    assert RunSpec.from_json(spec.to_json()) == spec
    assert replace(spec, seed=4).name == "PPO-tiny_envs-tiny-BoxDiscrete-v0-seed4"
