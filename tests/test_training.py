import math
from dataclasses import dataclass, replace

import gymnasium
import numpy as np
import pytest
import torch

from rlclaims import PPO, PPOM, TRPO, Agent, PPONoClip, TRPOPlus, training
from rlclaims.randomness import Purpose, stream
from rlclaims.sim.simulator import Simulator
from rlclaims.sim.tasks import task_named
from rlclaims.training import Cohort, Group

# A rollout and minibatches of the real size, which decides how matrix products round; few passes.
REAL = {"steps": 2048, "minibatches": 32, "value_epochs": 2}
SMALL = {"steps": 256, "minibatches": 8, "value_epochs": 2}


def algorithms(sizes):
    return PPO(**sizes, epochs=2), PPOM(**sizes, epochs=2), TRPO(**sizes)


def train(task, groups, iterations=2, threads=1):
    task = task_named(task) if isinstance(task, str) else task
    return Cohort(task, [Group(algorithm, tuple(seeds)) for algorithm, seeds in groups], iterations, threads).train()


def assert_same_run(one, other):
    """Assert that two records are bit-identical and not empty."""
    assert (one.algorithm, one.seed, one.failure) == (other.algorithm, other.seed, None)
    assert len(one.policy_parameters) == 3
    assert np.array_equal(one.policy_parameters, other.policy_parameters)
    assert len(one.normalizations) == 2 and np.array_equal(one.normalizations, other.normalizations)
    assert len(one.series) == 28 and one.series == other.series
    assert one.episodes and one.episodes == other.episodes


@pytest.mark.parametrize(("task", "sizes"), [("Hopper-v5", REAL), ("InvertedPendulum-v5", SMALL)])
def test_a_run_is_the_same_alone_and_in_any_company(task, sizes):
    ppo, ppom, trpo = algorithms(sizes)
    # Each of three runs stands at another place each time: alone, in the middle or last, next to other algorithms.
    of_30 = train(task, [(trpo, range(10)), (ppo, range(8, 18)), (ppom, range(10))], threads=2)
    of_10 = train(task, [(ppom, range(2)), (ppo, [3, 9, 12]), (trpo, range(5))])
    alone = [train(task, [(algorithm, [seed])])[0] for algorithm, seed in ((ppo, 9), (ppom, 1), (trpo, 4))]
    for lone, in_10, in_30 in zip(alone, (3, 1, 9), (11, 21, 4), strict=True):
        assert_same_run(of_10[in_10], of_30[in_30])
        assert_same_run(lone, of_30[in_30])
    assert not np.array_equal(of_30[10].policy_parameters, of_30[11].policy_parameters)


def test_a_run_of_a_variant_is_the_same_alone_and_in_any_company():
    passes = {**REAL, "value_epochs": 1}
    no_clip, plus = PPONoClip(**passes, epochs=1), TRPOPlus(**passes)
    in_company = train("Hopper-v5", [(plus, [7, 4, 1]), (no_clip, [7, 2])])
    for algorithm, seed, place in ((plus, 4, 1), (no_clip, 2, 4)):
        (alone,) = train("Hopper-v5", [(algorithm, [seed])])
        assert_same_run(alone, in_company[place])


# Humanoid's observations are 348 wide, so its matrix products round differently again.
@pytest.mark.parametrize(("task", "sizes"), [("Humanoid-v5", REAL), ("Walker2d-v5", SMALL)])
def test_run_with_the_papers_settings_is_the_same_in_company(task, sizes):
    ppo = PPO.for_task(task, **sizes, epochs=2)
    assert ppo != PPO(**sizes, epochs=2)
    _, in_company = train(task, [(ppo, [3, 9])], threads=2)
    (alone,) = train(task, [(ppo, [9])])
    assert_same_run(alone, in_company)


def test_a_run_is_the_same_run_again():
    groups = [(algorithm, [5, 2]) for algorithm in algorithms(SMALL)]
    for one, other in zip(train("Hopper-v5", groups), train("Hopper-v5", groups), strict=True):
        assert_same_run(one, other)


def test_a_run_is_the_same_on_any_number_of_threads(torch_threads):
    groups = [(algorithm, [5, 2]) for algorithm in algorithms(REAL)]
    one_thread = train("Hopper-v5", groups, threads=1)
    torch_threads(2)
    for one, other in zip(one_thread, train("Hopper-v5", groups, threads=2), strict=True):
        assert_same_run(one, other)
    assert torch.get_num_threads() == 2  # training leaves it as it was


def test_measuring_does_not_affect_training(monkeypatch):
    groups = [(algorithm, [5, 2]) for algorithm in algorithms(SMALL)]
    monkeypatch.setattr(training, "HELD_OUT_EVERY", 1)
    always = train("Hopper-v5", groups)
    monkeypatch.setattr(Cohort, "_collect_held_out", lambda *_: None)
    never = train("Hopper-v5", groups)
    for one, other in zip(always, never, strict=True):
        assert np.array_equal(one.policy_parameters, other.policy_parameters)
        assert one.episodes == other.episodes
        assert len(one.series) == 28
        assert other.series == {name: s for name, s in one.series.items() if name.endswith("/training")}


def test_fresh_pairs_are_measured_every_tenth_iteration(monkeypatch):
    (record,) = train("InvertedPendulum-v5", [(PPO(steps=32, minibatches=1, epochs=1, value_epochs=1), [0])], 12)
    for name, series in record.series.items():
        assert len(series) == (12 if name.endswith("/training") else 2)


@pytest.fixture
def watched(monkeypatch):
    """All outputs of the training simulator, in order; nothing else is simulated."""
    steps, original = [], Simulator.step
    monkeypatch.setattr(Cohort, "_collect_held_out", lambda *_: None)
    monkeypatch.setattr(Simulator, "step", lambda self, action: steps.append(original(self, action)) or steps[-1])
    return steps


def episodes_of(steps, i, trained):
    """Return one seed's episodes that began within the trained steps, counted by hand."""
    episodes, start, total = [], 0, 0.0
    for t, step in enumerate(steps):
        total += step.reward_S[i]
        if step.terminated_S[i] or step.truncated_S[i]:
            if start < trained:
                episodes.append((start, t + 1 - start, total))
            start, total = t + 1, 0.0
    return episodes


# 1000 is the tasks' own limit. No pole or hopper falls in 4 steps: episodes then end exactly with training.
@pytest.mark.parametrize("time_limit", [1000, 4])
@pytest.mark.parametrize("name", ["Hopper-v5", "InvertedPendulum-v5"])
def test_every_episode_is_counted_once_and_to_its_end(name, time_limit, watched):
    task = replace(task_named(name), time_limit=time_limit)
    records = train(task, [(algorithm, [5, 2]) for algorithm in algorithms(SMALL)])
    ends = []
    for i, record in enumerate(records):
        assert record.episodes == episodes_of(watched, i, trained=2 * 256)
        # They tile the steps from the first on, without a gap, and the last reaches the end of training.
        starts, lengths, returns = (np.array(column) for column in zip(*record.episodes, strict=True))
        assert np.array_equal(starts, np.cumsum([0, *lengths[:-1]]))
        assert starts[-1] < 2 * 256 <= starts[-1] + lengths[-1]
        assert lengths.max() <= time_limit
        if name == "InvertedPendulum-v5":
            # A reward of 1 for every step that does not terminate: all but the last, unless time ran out.
            assert ((returns == lengths - 1) | ((returns == lengths) & (lengths == time_limit))).all()
        ends.append(starts[-1] + lengths[-1])
    # Nothing is simulated for longer than the last open episode needs.
    assert len(watched) == max(ends)


def normalised(observation_O, seen):
    """Normalise by the mean and standard deviation of all observations so far, this one included; clip at 10."""
    seen.append(observation_O)
    std_O = np.std(seen, axis=0, ddof=1) + 1e-8 if len(seen) > 1 else 1.0
    return np.clip((observation_O - np.mean(seen, axis=0)) / std_O, -10, 10)


@pytest.mark.parametrize("name", ["Hopper-v5", "InvertedPendulum-v5"])
def test_rollouts_are_what_gymnasium_answers_to_the_same_actions(name, rollouts, as_module):
    limit, seeds, steps = 13, (5, 2), 256
    train(replace(task_named(name), time_limit=limit), [(PPO(**SMALL, epochs=2), seeds)])
    for i, seed in enumerate(seeds):
        env = gymnasium.make(name, max_episode_steps=limit)
        env.unwrapped.np_random = stream(seed, Purpose.TRAINING_RESETS)
        noise_rng, seen, endings = stream(seed, Purpose.TRAINING_NOISE), [], set()
        observation = normalised(env.reset()[0], seen)
        n_action = env.action_space.shape[0]
        for theta_SP, rollout in rollouts:
            noise_TA = noise_rng.standard_normal((steps, n_action), np.float32)
            sizes = (len(observation), 64, 64, n_action)
            mean_TA = as_module(theta_SP[i, :-n_action], sizes)(rollout.observation_STO[i]).detach()
            expected_TA = mean_TA + theta_SP[i, -n_action:].exp() * torch.from_numpy(noise_TA)
            # Two routes in single precision through sums of 64 terms of order 1.
            torch.testing.assert_close(rollout.action_STA[i], expected_TA, rtol=1e-5, atol=1e-5)
            for t in range(steps):
                np.testing.assert_allclose(rollout.observation_STO[i, t], observation, rtol=1e-5, atol=1e-6)
                observation, reward, terminated, truncated, _ = env.step(rollout.action_STA[i, t].numpy())
                # At an ending too, the step led where the episode ended, not where the next began.
                observation = normalised(observation, seen)
                np.testing.assert_allclose(rollout.next_observation_STO[i, t], observation, rtol=1e-5, atol=1e-6)
                assert rollout.reward_ST[i, t] == reward
                assert (rollout.terminated_ST[i, t], rollout.truncated_ST[i, t]) == (terminated, truncated)
                if terminated or truncated:
                    endings.add("terminated" if terminated else "truncated")
                    observation = normalised(env.reset()[0], seen)
        assert endings == {"terminated", "truncated"}
        env.close()


@dataclass(frozen=True)
class Breaking(PPO):
    """Breaks its second seed in the second iteration, and once or for good."""

    for_good: bool = False

    def learn(self, agent, rollout):
        batch = super().learn(agent, rollout)
        if agent.iteration == 1 or (self.for_good and agent.iteration > 1):
            with torch.no_grad():
                agent.theta_SP[1] = math.nan
        return batch


@pytest.mark.parametrize("for_good", [False, True])
def test_failed_run_is_recorded_and_affects_no_other(for_good):
    ppo, ppom, trpo = algorithms(SMALL)
    breaking = Breaking(**SMALL, epochs=2, for_good=for_good)
    records = train("Hopper-v5", [(trpo, [0]), (breaking, [4, 7, 9]), (ppom, [1])], iterations=3)
    clean = train("Hopper-v5", [(trpo, [0]), (ppo, [4, 7, 9]), (ppom, [1])], iterations=3)
    broken = records.pop(2)
    whole = clean.pop(2)
    for one, other in zip(records, clean, strict=True):
        assert one.failure is None and len(one.policy_parameters) == 4
        assert np.array_equal(one.policy_parameters, other.policy_parameters)
        assert one.series == other.series
        assert one.episodes == other.episodes
    assert broken.failure == "the policy's parameters are no longer finite after iteration 1"
    assert np.array_equal(broken.policy_parameters, whole.policy_parameters[:2])
    assert broken.series == {name: series[:1] for name, series in whole.series.items()}
    # Its episodes up to the break are those of the whole run.
    assert broken.episodes == [e for e in whole.episodes if e[0] + e[1] <= 2 * 256]


def test_a_failed_run_has_no_later_checkpoints(monkeypatch):
    monkeypatch.setattr(training, "HELD_OUT_EVERY", 1)
    breaking = Breaking(**SMALL, epochs=1, for_good=True)
    one, broken, other = train("InvertedPendulum-v5", [(breaking, [4, 7, 9])], iterations=4)
    assert broken.failure == "the policy's parameters are no longer finite after iteration 1"
    assert [checkpoint.iteration for checkpoint in broken.checkpoints] == [0]
    for record in (one, other):
        assert [checkpoint.iteration for checkpoint in record.checkpoints] == [0, 1, 2, 3]


def test_a_cohort_needs_runs_that_take_the_same_number_of_steps():
    with pytest.raises(ValueError, match=r"not \[256, 2048\]"):
        train("Hopper-v5", [(PPO(), [0]), (TRPO(**SMALL), [0])])
    with pytest.raises(ValueError, match=r"not \[\]"):
        train("Hopper-v5", [])


def test_fresh_advantages_use_the_updates_reward_scale(monkeypatch):
    # The reward statistic must have taken in the rollout, as it has when the update's own advantages are made.
    seen = []
    original = Agent.advantages

    def spy(self, *arguments, frozen=False):
        advantage_ST = original(self, *arguments, frozen=frozen)
        seen.append((frozen, self._scaler.state()[0, 1]))
        return advantage_ST

    monkeypatch.setattr(Agent, "advantages", spy)
    train("InvertedPendulum-v5", [(PPO(**SMALL, epochs=1), [0])], iterations=1)
    assert seen == [(False, SMALL["steps"]), (True, SMALL["steps"])]


@pytest.fixture
def observed(monkeypatch):
    """Each simulator made, with all that it let be observed: ("reset" or "step", which seeds, observations)."""
    made, reset, step = [], Simulator.reset, Simulator.step

    class Spied(Simulator):
        def __init__(self, task, rngs, threads=1):
            super().__init__(task, rngs, threads)
            self.events = []
            made.append(self)

        def reset(self, which=None):
            observation_SO = reset(self, which)
            seeds = range(len(self._rngs)) if which is None else which
            self.events.append(("reset", dict(zip(map(int, seeds), observation_SO.copy(), strict=True))))
            return observation_SO

        def step(self, action_SA):
            answer = step(self, action_SA)
            self.events.append(("step", dict(enumerate(answer.observation_SO.copy()))))
            return answer

    monkeypatch.setattr(training, "simulate", Spied)
    return made


def rollouts_of(simulator, i, steps):
    """One seed's states by rollout, as the simulator said them, and how much it had said before each and after all."""
    states, said, said_before, rollouts, current = [], [], [], [], None
    for kind, observations in simulator.events:
        if kind == "step":
            if len(states) == steps:
                rollouts.append(np.array(states))
                states = []
            if not states:
                said_before.append(len(said))
            states.append(current)
        if i in observations:
            current = observations[i]
            said.append(current)
    return [*rollouts, np.array(states)], np.array(said), said_before


def kl_of_normals(old, new):
    """KL(old || new) in each state, of means (B, A) and deviations (A,), from its textbook form."""
    (m, s), (n, t) = old, new
    return (np.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2) - 0.5).sum(1)


def test_deployed_kl_includes_each_policys_normalisation(observed, monkeypatch, as_module):
    monkeypatch.setattr(training, "HELD_OUT_EVERY", 2)
    task, steps, iterations = replace(task_named("Hopper-v5"), time_limit=25), 64, 3
    sizes = {"steps": steps, "minibatches": 4, "value_epochs": 1, "epochs": 2, "learning_rate": 0.01}
    plain = PPO(**sizes, normalize_observations=False, observation_clip=None)
    groups = [(PPO(**sizes, observation_clip=1.5), [5, 2]), (PPOM(**sizes), [5]), (plain, [3])]
    records = train(task, groups, iterations)
    simulator, *fresh = observed
    assert len(fresh) == 2
    for i, record in enumerate(records):

        def actions(k, raw_BO, seen, record=record):
            """Return action distributions of the policy after k updates, normalised by the statistics of `seen`."""
            mean_O, std_O = np.mean(seen, axis=0), np.std(seen, axis=0, ddof=1) + 1e-8 if len(seen) > 1 else 1.0
            bound = record.algorithm.observation_clip or np.inf
            normal_BO = np.clip((raw_BO - mean_O) / std_O, -bound, bound) if record.algorithm is not plain else raw_BO
            theta_P = torch.from_numpy(record.policy_parameters[k]).double()
            mean_BA = as_module(theta_P[:-3], (11, 64, 64, 3))(torch.from_numpy(normal_BO)).detach().numpy()
            return mean_BA, theta_P[-3:].exp().numpy()

        rollouts, said, said_before = rollouts_of(simulator, i, steps)
        # What was reset after the last step of a rollout is seen before the next begins.
        ends = [*said_before[1:], None]
        for k in range(iterations):
            before, after = said[: said_before[k]], said[: ends[k]]
            batches = {"training": rollouts[k]}
            if k % 2 == 0:
                ((batches["held_out"],), _, _) = rollouts_of(fresh[k // 2], i, steps)
            for states, raw_BO in batches.items():
                assert len(raw_BO) == steps
                kl_B = kl_of_normals(actions(k, raw_BO, before), actions(k + 1, raw_BO, after))
                expected = {"mean": kl_B.mean(), "q99": np.quantile(kl_B, 0.99), "max": kl_B.max()}
                for name, number in expected.items():
                    series = record.series[f"kl_deployed/{name}/{states}"]
                    # Means round by some 2^-21 and their shifts are .01 and more.
                    assert series[k if states == "training" else k // 2] == pytest.approx(number, rel=1e-4)
        if record.algorithm is plain:
            for name in ("mean/training", "q99/held_out", "max/training"):
                assert record.series[f"kl_deployed/{name}"] == record.series[f"kl_old_new/{name}"]
        else:
            assert not np.allclose(
                record.series["kl_deployed/mean/training"], record.series["kl_old_new/mean/training"]
            )
