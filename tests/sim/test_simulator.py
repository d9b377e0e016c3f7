import contextlib
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from rlclaims.randomness import Purpose, stream
from rlclaims.sim.simulator import Simulator
from rlclaims.sim.tasks import TASKS, task_named

NAMES = [
    "Ant-v5",
    "HalfCheetah-v5",
    "Hopper-v5",
    "Humanoid-v5",
    "HumanoidStandup-v5",
    "InvertedDoublePendulum-v5",
    "InvertedPendulum-v5",
    "Pusher-v5",
    "Reacher-v5",
    "Swimmer-v5",
    "Walker2d-v5",
]
OTHER_NOISE = ["Ant-v5", "HalfCheetah-v5", "InvertedDoublePendulum-v5", "Pusher-v5", "Reacher-v5"]
"""Tasks whose noise at a reset is not only uniform."""
TERMINATING = ["Ant-v5", "Hopper-v5", "Humanoid-v5", "InvertedDoublePendulum-v5", "InvertedPendulum-v5", "Walker2d-v5"]
"""Tasks whose episodes may end before the time limit."""
SHORT = dict.fromkeys(NAMES, 20) | {"InvertedDoublePendulum-v5": 5}
"""Time limits that truncate some episodes."""


def test_all_mujoco_tasks_of_gymnasium_are_declared():
    theirs = [spec for spec in gymnasium.registry.values() if str(spec.entry_point).startswith("gymnasium.envs.mujoco")]
    assert NAMES == list(TASKS) == sorted(spec.id for spec in theirs if spec.version == 5)


@pytest.fixture(params=NAMES)
def task(request):
    return task_named(request.param)


@pytest.fixture
def make_env():
    with contextlib.ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(contextlib.closing(gymnasium.make(*args, **options)))


def reset_both(simulator, which, env, seed=None):
    """Reset Gymnasium's environment, and set one simulation to the same state."""
    observation, _ = env.reset(seed=seed)
    data = env.unwrapped.data
    assert np.array_equal(simulator.set_state(np.array([which]), data.qpos[None], data.qvel[None])[0], observation)


@pytest.mark.parametrize(("dtype", "short", "n"), [(np.float64, False, 2), (np.float32, True, 4)])
def test_every_step_equals_gymnasiums(task, dtype, short, n, make_env):
    envs = [make_env(task.id, max_episode_steps=SHORT[task.id] if short else None) for _ in range(n)]
    task = replace(task, time_limit=SHORT[task.id]) if short else task
    simulator = Simulator(task, [np.random.default_rng(i) for i in range(n)], threads=2)
    rng = np.random.default_rng(0)
    for i, env in enumerate(envs):
        reset_both(simulator, i, env, seed=i)
    n_terminated = n_truncated = 0
    for _ in range(200 if short else 1000):
        # Half of these are outside the control range: the simulator clips them, the reward must not.
        actions = (1.5 * envs[0].action_space.high * rng.standard_normal((n, simulator.n_action))).astype(dtype)
        ours = simulator.step(actions)
        for i, env in enumerate(envs):
            observation, reward, terminated, truncated, _ = env.step(actions[i])
            assert np.array_equal(ours.observation_SO[i], observation)
            assert ours.reward_S[i] == reward
            assert (ours.terminated_S[i], ours.truncated_S[i]) == (terminated, truncated)
            if terminated or truncated:
                reset_both(simulator, i, env)
                n_terminated += terminated
                n_truncated += truncated
    assert n_terminated > 10 if task.id in TERMINATING else n_terminated == 0
    assert (n_truncated > 0) == (short or task.id not in TERMINATING)


def test_step_from_any_state_equals_gymnasiums(task, make_env):
    env, simulator = make_env(task.id), Simulator(task, [np.random.default_rng(0)])
    rng = np.random.default_rng(0)
    fastest, endings = 0, set()
    for _ in range(150):
        # Often deep in the ground, and faster than the bounds of an observation.
        env.reset()
        qpos = env.unwrapped.init_qpos + 0.4 * rng.standard_normal(env.unwrapped.model.nq)
        qvel = 8 * rng.standard_normal(env.unwrapped.model.nv)
        env.unwrapped.set_state(qpos, qvel)
        action = rng.standard_normal(simulator.n_action)
        simulator.set_state(np.array([0]), qpos[None], qvel[None])
        for _ in range(3):
            ours = simulator.step(action[None])
            observation, reward, terminated, truncated, _ = env.step(action)
            assert np.array_equal(ours.observation_SO[0], observation)
            assert ours.reward_S[0] == reward
            assert (ours.terminated_S[0], ours.truncated_S[0]) == (terminated, truncated)
            fastest = max(fastest, np.abs(env.unwrapped.data.qvel).max())
            endings.add(terminated)
    assert fastest > 9 and endings == ({False, True} if task.id in TERMINATING else {False})


def test_episode_is_truncated_when_gymnasium_truncates_it(make_env):
    balance = np.array([0.5, 20, 1, 3])  # found by hand; keeps the pole up
    env, task = make_env("InvertedPendulum-v5"), task_named("InvertedPendulum-v5")
    simulator = Simulator(task, [np.random.default_rng(0)])
    reset_both(simulator, 0, env, seed=0)
    action = np.zeros(1)
    for t in range(1, 1001):
        ours = simulator.step(action[None])
        observation, reward, terminated, truncated, _ = env.step(action)
        assert np.array_equal(ours.observation_SO[0], observation) and ours.reward_S[0] == reward == 1
        assert ours.terminated_S[0] == terminated == False  # noqa: E712
        assert ours.truncated_S[0] == truncated == (t == 1000)
        action = np.array([balance @ observation])
    simulator.reset()
    assert not simulator.step(action[None]).truncated_S[0]


def test_reset_draws_as_gymnasium_from_the_same_stream(task, make_env):
    seeds = (3, 8)
    simulator = Simulator(task, [stream(seed, Purpose.TRAINING_RESETS) for seed in seeds])
    envs = [make_env(task.id) for _ in seeds]
    for env, seed in zip(envs, seeds, strict=True):
        env.unwrapped.np_random = stream(seed, Purpose.TRAINING_RESETS)
    for which in ([0, 1], [1], [0, 1], [0], [1]) * 10:
        ours = simulator.reset(which)
        theirs = np.stack([envs[i].reset()[0] for i in which])
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("task", [n for n in NAMES if n not in OTHER_NOISE], indirect=True)
def test_reset_noise_fills_gymnasiums_range(task, make_env):
    env = make_env(task.id).unwrapped
    low, high = -env._reset_noise_scale, env._reset_noise_scale
    simulator = Simulator(task, [np.random.default_rng(0)])
    resets = np.concatenate([simulator.reset() for _ in range(500)])
    # Observations begin with the positions, except the first few, and the velocities.
    skipped = env.observation_structure.get("skipped_qpos", 0)
    noiseless = np.concatenate((env.init_qpos[skipped:], env.init_qvel))
    noise = resets[:, : len(noiseless)] - noiseless
    assert low <= noise.min() < 0.98 * low and 0.98 * high < noise.max() <= high


def test_targets_and_cylinders_are_placed_as_in_gymnasium():
    rng = np.random.default_rng(0)
    for name, low, high in (("Reacher-v5", (-0.2, -0.2), (0.2, 0.2)), ("Pusher-v5", (-0.3, -0.2), (0.0, 0.2))):
        simulator = Simulator(task_named(name), [rng])
        drawn = np.stack([simulator.initial_state(rng)[0] for _ in range(2000)])
        placed = drawn[:, -2:] if name == "Reacher-v5" else drawn[:, -4:-2]
        assert (placed >= low).all() and (placed <= high).all()
        distance = np.hypot(*placed.T)
        assert 0.195 < distance.max() < 0.2 if name == "Reacher-v5" else 0.17 < distance.min() < 0.175
        # Uniform, so equally likely on either side.
        assert abs((placed[:, 1] > 0).mean() - 0.5) < 4 * 0.5 / np.sqrt(2000)


def play(simulator, action_TSA):
    """Return all results of the simulations as one array (T, S, ...); ended episodes are restarted."""
    results = [np.column_stack((simulator.reset(), np.zeros((action_TSA.shape[1], 3))))]
    for action_SA in action_TSA:
        step = simulator.step(action_SA)
        results.append(np.column_stack(step))
        if (done_S := step.terminated_S | step.truncated_S).any():
            results[-1][done_S, : step.observation_SO.shape[1]] = simulator.reset(np.flatnonzero(done_S))
    return np.stack(results)


def test_simulation_is_independent_of_batch_and_threads(task):
    task = replace(task, time_limit=SHORT[task.id])  # short, so that both kinds of endings occur at different times
    n_action = Simulator(task, [np.random.default_rng(0)]).n_action
    action_TSA = np.random.default_rng(0).standard_normal((200, 6, n_action))

    def simulator(seeds, threads):
        return Simulator(task, [stream(s, Purpose.TRAINING_RESETS) for s in seeds], threads)

    together = play(simulator(range(6), 1), action_TSA)
    assert together[:, :, -2:].any(axis=(0, 1)).tolist() == [task.id in TERMINATING, True]
    assert np.array_equal(together, play(simulator(range(6), 2), action_TSA))
    for i in range(6):
        assert np.array_equal(together[:, [i]], play(simulator([i], 1), action_TSA[:, [i]]))


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_nan_action_makes_only_its_own_simulation_unstable(task, poison, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    unstable, clean = (Simulator(task, [np.random.default_rng(i) for i in range(3)]) for _ in range(2))
    assert np.array_equal(unstable.reset(), clean.reset())
    actions = np.full((3, unstable.n_action), 0.1)
    poisoned = actions.copy()
    poisoned[1, 0] = poison
    for _ in range(3):
        ours, theirs = unstable.step(poisoned), clean.step(actions)
        for mine, other in zip(ours, theirs, strict=True):
            assert np.array_equal(mine[[0, 2]], other[[0, 2]])
    assert unstable.unstable_S.tolist() == [False, True, False]
    assert not clean.unstable_S.any()
    assert not Path("MUJOCO_LOG.TXT").exists()


def test_divergence_makes_only_its_own_simulation_unstable(task, make_env, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # where MuJoCo's default handler of warnings would write its log
    diverging, clean = (Simulator(task, [np.random.default_rng(i) for i in range(3)]) for _ in range(2))
    assert np.array_equal(diverging.reset(), clean.reset())
    model = make_env(task.id).unwrapped.model
    diverging.set_state(np.array([1]), model.qpos0[None], np.full((1, model.nv), 1e12))
    actions = np.full((3, model.nu), 0.1)
    ours, theirs = diverging.step(actions), clean.step(actions)
    for mine, other in zip(ours, theirs, strict=True):
        assert np.array_equal(mine[[0, 2]], other[[0, 2]])
    assert diverging.unstable_S.tolist() == [False, True, False]
    assert not clean.unstable_S.any()
    assert not Path("MUJOCO_LOG.TXT").exists()


def test_unknown_task_is_refused_with_gymnasiums_hint():
    with pytest.raises(ValueError, match=r"^There is no task 'Hoper-v5': .* Did you mean: `Hopper`\?$"):
        task_named("Hoper-v5")
