"""Stable-Baselines3 and sb3-contrib, recorded, against copies of their own policies and buffers."""

import copy
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("stable_baselines3")
pytest.importorskip("sb3_contrib")

import tiny_envs
from sb3_contrib import TRPO, RecurrentPPO
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from rlclaims.adapters.external import train_external
from rlclaims.adapters.recorder import UpdateRecorder
from rlclaims.adapters.sb3 import SB3, RecordUpdates
from rlclaims.randomness import Purpose, stream
from rlclaims.training import one_torch_thread

SMALL: dict[str, Any] = {"policy_kwargs": {"net_arch": [8]}, "device": "cpu"}
OF_PPO = {"n_steps": 16, "batch_size": 8, "n_epochs": 2, "learning_rate": 5e-3}
EPSILON = 0.05


@dataclass(frozen=True)
class Case:
    """A training of three updates."""

    algorithm: Any
    task: str
    settings: dict[str, Any] = field(default_factory=dict)
    policy: str = "MlpPolicy"
    environments: int = 1
    normalize: bool = False

    def make_env(self):
        return make_vec_env(self.task, n_envs=self.environments)

    def model(self, seed=3):
        env = make_vec_env(self.task, n_envs=self.environments, seed=seed)
        if self.normalize:
            env = VecNormalize(env, gamma=0.95)
        # A copy, since the constructor changes policy_kwargs.
        return self.algorithm(self.policy, env, seed=seed, **copy.deepcopy({**SMALL, **self.settings}))


def tiny(name):
    return f"tiny_envs:tiny/{name}-v0"


SQUASHED = {**OF_PPO, "use_sde": True, "policy_kwargs": {"net_arch": [8], "squash_output": True}}
CASES = {
    "continuous": Case(PPO, "Pendulum-v1", OF_PPO),
    "several actions": Case(PPO, tiny("BoxBox"), OF_PPO, environments=2),
    "actions in a matrix": Case(PPO, tiny("BoxMatrix"), OF_PPO),
    "discrete": Case(PPO, "CartPole-v1", OF_PPO, environments=3),
    "several choices": Case(PPO, tiny("BoxMultiDiscrete"), OF_PPO, environments=2),
    "bits": Case(PPO, tiny("BoxMultiBinary"), OF_PPO, environments=2),
    "discrete observations": Case(PPO, tiny("DiscreteDiscrete"), OF_PPO, environments=2),
    "observations in a table": Case(PPO, tiny("DictBox"), OF_PPO, "MultiInputPolicy", environments=2),
    "images": Case(PPO, tiny("ImageDiscrete"), OF_PPO, "CnnPolicy", environments=2),
    "normalised": Case(PPO, tiny("BoxBox"), OF_PPO, environments=2, normalize=True),
    "state-dependent exploration": Case(PPO, tiny("BoxBox"), {**OF_PPO, "use_sde": True, "sde_sample_freq": 4}),
    "squashed": Case(PPO, tiny("BoxBox"), SQUASHED, environments=2),
    "A2C": Case(A2C, tiny("BoxBox"), {"n_steps": 8, "learning_rate": 5e-3}, environments=4, normalize=True),
    "A2C with choices": Case(A2C, "CartPole-v1", {"learning_rate": 5e-3}),
    "TRPO": Case(TRPO, tiny("BoxBox"), {"n_steps": 32, "batch_size": 16}, environments=2),
    "TRPO with choices": Case(TRPO, "CartPole-v1", {"n_steps": 32, "batch_size": 16}),
}
UPDATES = 3


class Copies(BaseCallback):
    """A callback that copies policies and buffers."""

    def __init__(self):
        super().__init__()
        self.policies, self.buffers = [], []

    def _on_step(self):
        return True

    def _on_rollout_start(self):
        # The state dict alone: the policy also holds its last distribution, which is part of a graph.
        self.policies.append(copy.deepcopy(self.model.policy.state_dict()))

    def _on_rollout_end(self):
        duplicate = copy.copy(self.model.rollout_buffer)
        for name, value in vars(duplicate).items():
            if isinstance(value, np.ndarray | dict):
                setattr(duplicate, name, copy.deepcopy(value))
        self.buffers.append(duplicate)

    def _on_training_end(self):
        self._on_rollout_start()


class KeepingRecorder(UpdateRecorder):
    """A recorder that keeps the held-out pairs."""

    def __init__(self, epsilon=EPSILON):
        super().__init__(epsilon)
        self.fresh = []

    def begin(self, policy, pairs, held_out=None):
        def keep():
            self.fresh.append(held_out())
            return self.fresh[-1]

        super().begin(policy, pairs, None if held_out is None else keep)


@dataclass(frozen=True)
class TrainedRuns:
    case: Case
    model: Any
    recorder: KeepingRecorder
    copies: Copies

    def policy(self, i):
        """Return the policy before update i, which is also that after update i - 1."""
        policy = copy.copy(self.model.policy)
        duplicate = type(policy)(**policy._get_constructor_parameters())
        duplicate.load_state_dict(self.copies.policies[i])
        duplicate.set_training_mode(False)
        return duplicate


@pytest.fixture(scope="module", params=CASES)
def run(request):
    case = CASES[request.param]
    # Sums round by the number of threads, and a fixture of module scope is set up before the one that sets it.
    with one_torch_thread():
        model, recorder, copies = case.model(), KeepingRecorder(), Copies()
        total = UPDATES * model.n_steps * case.environments
        model.learn(total, callback=[copies, RecordUpdates(recorder, case.make_env, seed=9)])
    return TrainedRuns(case, model, recorder, copies)


def log_softmax(logits):
    logits = logits.detach().double().numpy()
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def closed_form(one, two):
    """Return KL(one || two) in each state, of SB3's distributions, by numpy."""
    if isinstance(one.distribution, list):
        both = zip(one.distribution, two.distribution, strict=True)
        return sum(of_choices(log_softmax(p.logits), log_softmax(q.logits)) for p, q in both)
    one, two = one.distribution, two.distribution
    if isinstance(one, torch.distributions.Normal):
        m, s, n, t = (x.detach().double().numpy() for x in (one.loc, one.scale, two.loc, two.scale))
        return (np.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2) - 0.5).sum(1)
    if isinstance(one, torch.distributions.Bernoulli):
        bits = (torch.stack([torch.zeros_like(x.logits), x.logits], -1) for x in (one, two))
        return of_choices(*map(log_softmax, bits)).sum(1)
    return of_choices(log_softmax(one.logits), log_softmax(two.logits))


def of_choices(log_p, log_q):
    return (np.exp(log_p) * (log_p - log_q)).sum(-1)


def as_tensors(observations):
    """Return observations in order of steps, and within a step of environments."""
    if isinstance(observations, dict):
        return {key: as_tensors(value) for key, value in observations.items()}
    return torch.from_numpy(observations.reshape(-1, *observations.shape[2:]))


def asked(run, i):
    """Return an update's KL in each state, and each pair's ratio and log density before the update."""
    buffer, old, new = run.copies.buffers[i], run.policy(i), run.policy(i + 1)
    seen, actions = as_tensors(buffer.observations), as_tensors(buffer.actions).float()
    if isinstance(run.model.action_space, tiny_envs.spaces.Discrete):
        actions = actions.flatten()
    with torch.no_grad():
        kl_B = closed_form(copy.copy(old.get_distribution(seen)), copy.copy(new.get_distribution(seen)))
        logs = [policy.evaluate_actions(seen, actions)[1].double().numpy() for policy in (old, new)]
    return kl_B, np.exp(logs[1] - logs[0]), logs[0]


def test_measures_match_copies_of_policies_and_buffers(run):
    recorder, n = run.recorder, run.model.n_steps * run.case.environments
    assert recorder.failure is None and recorder.iteration == UPDATES == len(run.copies.buffers)
    moved = []
    for i in range(UPDATES):
        kl_B, ratio_B, log_B = asked(run, i)
        assert kl_B.shape == ratio_B.shape == (n,)
        buffer_log_B = run.copies.buffers[i].log_probs.reshape(-1)
        np.testing.assert_allclose(log_B, buffer_log_B, rtol=1e-3, atol=1e-3)  # so these are the pairs of that policy
        found = {name: series[i] for name, series in recorder.series.items() if name.endswith("/training")}
        advantage_B = run.copies.buffers[i].advantages.reshape(-1).astype(float)
        moved.append(kl_B.mean())
        expected = {
            "kl_old_new/mean": kl_B.mean(),
            "kl_old_new/q99": np.quantile(kl_B, 0.99),
            "kl_old_new/max": kl_B.max(),
            "ratio/max": ratio_B.max(),
            "ratio/q99": np.quantile(ratio_B, 0.99),
            "ratio/q01": np.quantile(ratio_B, 0.01),
            "ratio/min": ratio_B.min(),
            "ratio/deviation": abs(ratio_B - 1).mean(),
            "surrogate/old": advantage_B.mean(),
            "surrogate/new": (ratio_B * advantage_B).mean(),
        }
        for name, value in expected.items():
            assert found.pop(f"{name}/training") == pytest.approx(value, rel=2e-3, abs=2e-6), name
        (near,) = found.values()
        assert near == pytest.approx((abs(ratio_B - 1) > EPSILON).mean(), abs=1.5 / n)
        assert list(found) == ["ratio/exceedance/training"]
    assert max(moved) > 1e-4


def test_callback_does_not_change_training(run):
    plain = run.case.model()
    plain.learn(run.model.num_timesteps)
    after, without = run.model.policy.state_dict(), plain.policy.state_dict()
    assert after.keys() == without.keys()
    assert all(torch.equal(after[name], without[name]) for name in after)
    assert any(not torch.equal(after[name], run.copies.policies[0][name]) for name in after)
    one, other = (model.rollout_buffer for model in (run.model, plain))
    assert one.actions.tobytes() == other.actions.tobytes() and one.rewards.tobytes() == other.rewards.tobytes()
    if run.case.normalize:
        statistics, others = (model.get_vec_normalize_env() for model in (run.model, plain))
        for name in ("obs_rms", "ret_rms"):
            rms, other_rms = getattr(statistics, name), getattr(others, name)
            assert rms.count == other_rms.count
            assert np.array_equal(rms.mean, other_rms.mean) and np.array_equal(rms.var, other_rms.var)
        assert np.array_equal(statistics.returns, others.returns)
        assert statistics.obs_rms.count == pytest.approx(run.model.num_timesteps + run.case.environments, rel=1e-3)


def test_as_many_pairs_are_held_out_and_measured(run):
    (fresh,) = run.recorder.fresh
    assert len(fresh.advantage) == len(fresh.action) == run.model.n_steps * run.case.environments
    old, new = run.policy(0), run.policy(1)
    seen = old.obs_to_tensor(fresh.observation)[0]
    with torch.no_grad():
        kl_B = closed_form(copy.copy(old.get_distribution(seen)), copy.copy(new.get_distribution(seen)))
    measured = {name: series for name, series in run.recorder.series.items() if name.endswith("/held_out")}
    assert {len(series) for series in measured.values()} == {1}
    assert measured["kl_old_new/mean/held_out"] == [pytest.approx(kl_B.mean(), rel=2e-3, abs=1e-9)]
    assert measured["kl_old_new/max/held_out"] == [pytest.approx(kl_B.max(), rel=2e-3, abs=1e-9)]
    assert measured["surrogate/old/held_out"] == [pytest.approx(float(fresh.advantage.mean(dtype=float)), rel=1e-5)]


def test_held_out_advantages_match_sb3s_buffer(run):
    """Play the actions again in environments with the same seed."""
    (fresh,), model, case = run.recorder.fresh, run.model, run.case
    policy, steps, n = run.policy(0), run.model.n_steps, run.case.environments
    ours = model.get_vec_normalize_env()
    env = case.make_env()
    if ours is not None:
        env = VecNormalize(env, training=False, gamma=0.95)
        env.obs_rms, env.ret_rms = statistics_at_first_update(run)
    env.seed(int(stream(9, Purpose.HELD_OUT_RESETS, 0).integers(2**31)))
    buffer = RolloutBuffer(
        steps, tiny_envs.BOX, tiny_envs.BOX, "cpu", gae_lambda=model.gae_lambda, gamma=model.gamma, n_envs=n
    )
    action_TE = np.asarray(fresh.action).reshape(n, steps, -1).swapaxes(0, 1)
    observation, starts_E = env.reset(), np.ones(n, bool)
    nothing = np.zeros((n, 3), np.float32)

    def value(observation):
        with torch.no_grad():
            return policy.predict_values(policy.obs_to_tensor(observation)[0])

    for t in range(steps):
        value_E = value(observation)
        observation, reward_E, done_E, infos = env.step(environment_action(policy, action_TE[t]))
        for e, info in enumerate(infos):
            if done_E[e] and info["TimeLimit.truncated"]:
                reward_E[e] += model.gamma * float(value(info["terminal_observation"]))
        buffer.add(nothing, nothing, reward_E, starts_E, value_E, torch.zeros(n))
        starts_E = done_E
    buffer.compute_returns_and_advantage(value(observation), done_E)
    np.testing.assert_allclose(fresh.advantage, buffer.advantages.T.reshape(-1), rtol=1e-3, atol=1e-4)
    env.close()


def statistics_at_first_update(run):
    """Return VecNormalize's statistics at the first update, from a training of one update."""
    model = run.case.model()
    model.learn(model.n_steps * run.case.environments)
    env = model.get_vec_normalize_env()
    return env.obs_rms, env.ret_rms


def environment_action(policy, action_EA):
    space = policy.action_space
    if not isinstance(space, tiny_envs.spaces.Box):
        return action_EA.reshape(-1, *space.shape).astype(int)
    if policy.squash_output:
        low, high = space.low, space.high
        return (low + (np.tanh(action_EA) + 1) / 2 * (high - low)).astype(np.float32)
    return action_EA.astype(np.float32).reshape(-1, *space.shape).clip(space.low, space.high)


@pytest.fixture
def many_fresh():
    """Return a function that draws many held-out pairs of an untrained policy, with the policy and its buffer."""

    def draw(task, seed=9, make_env=None, **settings):
        model = PPO("MlpPolicy", make_vec_env(task, seed=3), seed=3, **{**copy.deepcopy(SMALL), **OF_PPO, **settings})
        copies, recorder = Copies(), KeepingRecorder()
        made = make_env or (lambda: make_vec_env(task))
        model.learn(model.n_steps, callback=[copies, RecordUpdates(recorder, made, seed)])
        return *recorder.fresh, TrainedRuns(Case(PPO, task), model, recorder, copies).policy(0), copies.buffers[0]

    return draw


N = 2048
MANY = {"n_steps": N, "batch_size": N, "n_epochs": 1}


def standardised(policy, pairs):
    with torch.no_grad():
        output = policy.get_distribution(policy.obs_to_tensor(pairs.observation)[0]).distribution
    return ((pairs.action - output.loc) / output.scale).numpy()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_sde": True, "sde_sample_freq": -1},
        {"use_sde": True, "policy_kwargs": {"net_arch": [8], "squash_output": True}},
    ],
    ids=["gaussian", "state-dependent", "squashed"],
)
def test_held_out_actions_are_drawn_state_by_state(many_fresh, settings):
    fresh, policy, _ = many_fresh(tiny("BoxBox"), **MANY, **settings)
    z_BA = standardised(policy, fresh)
    assert z_BA.shape == (N, 3)
    assert abs(z_BA.mean(0)).max() < 4.5 / math.sqrt(N)
    assert abs(z_BA.var(0) - 1).max() < 4.5 * math.sqrt(2 / N)
    correlations = np.corrcoef(z_BA.T)[np.triu_indices(3, 1)]
    # State-dependent exploration reuses its own noise in the next step, until it is drawn again.
    later = [np.corrcoef(z_BA[:-1, a], z_BA[1:, a])[0, 1] for a in range(3)]
    assert max(map(abs, (*correlations, *later))) < 4.5 / math.sqrt(N)


@pytest.mark.parametrize(("acts", "sizes"), [("Discrete", [4]), ("MultiDiscrete", [2, 3]), ("MultiBinary", [2, 2, 2])])
def test_held_out_choices_have_the_policys_frequencies(many_fresh, acts, sizes):
    fresh, policy, _ = many_fresh(tiny(f"Box{acts}"), **MANY)
    with torch.no_grad():
        output = policy.get_distribution(policy.obs_to_tensor(fresh.observation)[0]).distribution
    action_BA = np.asarray(fresh.action).reshape(N, len(sizes)).astype(int)
    for a, size in enumerate(sizes):
        if acts == "MultiBinary":
            p_BC = torch.stack([1 - output.probs[:, a], output.probs[:, a]], 1).numpy()
        else:
            p_BC = (output[a] if isinstance(output, list) else output).probs.numpy()
        for choice in range(size):
            p_B = p_BC[:, choice]
            error = math.sqrt((p_B * (1 - p_B)).sum())
            assert abs((action_BA[:, a] == choice).sum() - p_B.sum()) < 4.5 * error


def test_held_out_pairs_depend_on_their_seed_alone(many_fresh):
    fresh, policy, buffer = many_fresh(tiny("BoxBox"), **MANY)
    with torch.no_grad():
        output = policy.get_distribution(as_tensors(buffer.observations)).distribution
    own_BA = ((as_tensors(buffer.actions) - output.loc) / output.scale).numpy()
    z_BA = standardised(policy, fresh)
    assert max(abs(np.corrcoef(own_BA[:, a], z_BA[:, a])[0, 1]) for a in range(3)) < 4.5 / math.sqrt(N)
    assert not np.isin(fresh.observation, as_tensors(buffer.observations).numpy()).any()
    again, _, _ = many_fresh(tiny("BoxBox"), **MANY)
    assert torch.equal(fresh.action, again.action) and np.array_equal(fresh.observation, again.observation)
    other, _, _ = many_fresh(tiny("BoxBox"), seed=10, **MANY)
    assert max(abs(np.corrcoef(z_BA[:, a], standardised(policy, other)[:, a])[0, 1]) for a in range(3)) < 0.1
    assert not np.isin(fresh.observation, other.observation).any()


@pytest.mark.parametrize(("environments", "made"), [(1, 48), (2, 48), (5, 50)])
def test_number_of_held_out_pairs_ignores_environment_count(environments, made):
    case, recorder = CASES["discrete"], KeepingRecorder()
    model = case.model()
    assert model.n_envs * model.n_steps == 48
    model.learn(48, callback=RecordUpdates(recorder, lambda: make_vec_env(case.task, n_envs=environments)))
    assert [len(pairs.advantage) for pairs in recorder.fresh] == [made]
    assert "kl_old_new/mean/held_out" in recorder.series


def test_held_out_pairs_differ_between_updates():
    recorder = KeepingRecorder()
    model = A2C("MlpPolicy", make_vec_env("Pendulum-v1", seed=0), seed=0, **SMALL)
    model.learn(21 * 5, callback=RecordUpdates(recorder, lambda: make_vec_env("Pendulum-v1")))
    assert {name.rpartition("/")[2]: len(series) for name, series in recorder.series.items()} == {
        "training": 21, "held_out": 3,
    }  # fmt: skip
    starts = [tuple(pairs.observation[0]) for pairs in recorder.fresh]
    assert len(set(starts)) == 3


def test_no_pairs_are_held_out_without_make_env():
    case, recorder = CASES["continuous"], KeepingRecorder()
    case.model().learn(16, callback=RecordUpdates(recorder))
    assert recorder.fresh == [] and len(recorder.series) == 11


def test_trpo_of_sb3_contrib_bounds_mean_reverse_kl():
    bound, updates, n_actions = 0.02, 6, 3
    env = make_vec_env(tiny("BoxBox"), n_envs=2, seed=3)
    assert env.action_space.shape == (n_actions,)
    recorder, copies = KeepingRecorder(), Copies()
    model = TRPO("MlpPolicy", env, n_steps=64, batch_size=64, target_kl=bound, seed=3, **SMALL)
    model.learn(updates * 128, callback=[copies, RecordUpdates(recorder)])
    run = TrainedRuns(Case(TRPO, tiny("BoxBox")), model, recorder, copies)
    new_old = []
    for i in range(updates):
        seen, (old, new) = as_tensors(copies.buffers[i].observations), (run.policy(i), run.policy(i + 1))
        with torch.no_grad():
            outputs = [copy.copy(policy.get_distribution(seen)) for policy in (new, old)]
        new_old.append(closed_form(*outputs).mean())
    old_new = np.array(recorder.series["kl_old_new/mean/training"])
    assert max(new_old) <= n_actions * bound * (1 + 1e-4)
    assert max(new_old) > 2 * bound  # so the bound does not hold for the sum over an action's entries
    logged = model.logger.name_to_value["train/kl_divergence_loss"]
    assert n_actions * logged == pytest.approx(new_old[-1], rel=1e-3)
    # The two directions differ by little, and by more than rounding.
    assert (abs(old_new / np.array(new_old) - 1) > 1e-3).any()
    np.testing.assert_allclose(old_new, new_old, rtol=0.3)


def test_kl_that_ppo_logs_is_of_an_unfinished_update():
    case, recorder = CASES["continuous"], KeepingRecorder()
    settings = {**OF_PPO, "batch_size": 16, "n_epochs": 1}
    model = PPO("MlpPolicy", make_vec_env(case.task, seed=3), seed=3, **SMALL, **settings)
    model.learn(16, callback=RecordUpdates(recorder))
    # PPO logs it for its one minibatch before its one step, when no parameter has changed.
    assert abs(model.logger.name_to_value["train/approx_kl"]) < 1e-7
    assert recorder.series["kl_old_new/mean/training"][0] > 1e-5


def test_callback_continues_over_several_trainings():
    callback, model = RecordUpdates(), CASES["discrete"].model()
    model.learn(2 * 48, callback=callback)
    model.learn(48, callback=callback, reset_num_timesteps=False)
    assert callback.recorder.iteration == 3 and callback.recorder.epsilon == 0.2


def test_interrupted_update_is_not_recorded_in_next_training(monkeypatch):
    callback, model = RecordUpdates(), CASES["discrete"].model()
    train = model.train

    def interrupted():
        train()
        raise KeyboardInterrupt

    monkeypatch.setattr(model, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.learn(48, callback=callback)
    monkeypatch.setattr(model, "train", train)
    model.learn(48, callback=callback)
    assert callback.recorder.iteration == 1


class OwnBuffer(RolloutBuffer):
    pass


@pytest.mark.parametrize(
    ("make", "kept"),
    [
        (lambda: DQN("MlpPolicy", "CartPole-v1", device="cpu", learning_starts=1), "DQN stores its rollouts in a"),
        (lambda: RecurrentPPO("MlpLstmPolicy", "CartPole-v1", n_steps=8, batch_size=8, device="cpu"), "RecurrentPPO"),
        (
            lambda: PPO("MlpPolicy", "CartPole-v1", device="cpu", rollout_buffer_class=OwnBuffer),
            "PPO stores its rollouts in a OwnBuffer",
        ),
    ],
)  # fmt: skip
def test_callback_refuses_policies_that_need_more_than_a_state(make, kept):
    with pytest.raises(ValueError, match=rf"^Only on-policy algorithms without .* can be recorded; .*{kept}"):
        make().learn(8, callback=RecordUpdates())


FEW = {"n_steps": 16, "batch_size": 8, "n_epochs": 2, "policy_kwargs": {"net_arch": [8]}}


def test_run_equals_a_training_written_by_hand():
    algorithm = SB3("PPO", environments=2, normalize=True, **FEW, gamma=0.95, clip_range=0.03, learning_rate=5e-3)
    record = train_external(algorithm, tiny("BoxBox"), 4, UPDATES)
    env = VecNormalize(make_vec_env(tiny("BoxBox"), n_envs=2, seed=4), gamma=0.95)
    model = PPO("MlpPolicy", env, seed=4, device="cpu", gamma=0.95, clip_range=0.03, learning_rate=5e-3, **FEW)
    recorder = KeepingRecorder(0.03)
    model.learn(UPDATES * 32, callback=RecordUpdates(recorder, lambda: make_vec_env(tiny("BoxBox"), n_envs=2), seed=4))
    assert record.failure is None
    assert record.series == recorder.series
    assert 0 < np.mean(record.series["ratio/exceedance/training"]) < 1
    assert {len(s) for name, s in record.series.items() if name.endswith("/training")} == {UPDATES}
    other = train_external(algorithm, tiny("BoxBox"), 5, UPDATES)
    assert other.series["ratio/max/training"] != record.series["ratio/max/training"]


def test_error_after_an_update_fails_the_seed(monkeypatch):
    train, made = PPO.train, []

    def fails(model):
        if len(made) == 2:
            raise ArithmeticError("it went wrong")
        made.append(model)
        train(model)

    monkeypatch.setattr(PPO, "train", fails)
    record = train_external(SB3("PPO", **FEW), "CartPole-v1", 0, 4)
    assert record.failure == "ArithmeticError in iteration 2: it went wrong"
    assert len(record.series["kl_old_new/mean/training"]) == 2
    made[:] = [0, 0]
    with pytest.raises(ArithmeticError):
        train_external(SB3("PPO", **FEW), "CartPole-v1", 0, 4)


@pytest.mark.parametrize("name", ["tiny_algorithms:Mine", "tiny_algorithms:HandsOn", "tiny_algorithms:MyTRPO"])
def test_users_subclass_is_trained(name):
    settings = {"n_steps": 16, "batch_size": 8, "policy_kwargs": {"net_arch": [8]}}
    algorithm = SB3(name, environments=2, **settings)
    algorithm.check()
    assert algorithm.steps == 32
    record = train_external(algorithm, "CartPole-v1", 0, 2)
    assert record.failure is None and len(record.series["ratio/max/training"]) == 2


@pytest.mark.parametrize(
    ("algorithm", "libraries", "code"),
    [
        (SB3("PPO"), ("stable-baselines3",), []),
        (SB3("TRPO"), ("stable-baselines3", "sb3-contrib"), []),
        (SB3("tiny_algorithms:Mine"), ("stable-baselines3",), ["tiny_algorithms"]),
        (SB3("tiny_algorithms:MyTRPO"), ("stable-baselines3", "sb3-contrib"), ["tiny_algorithms"]),
    ],
)
def test_libraries_and_code_are_those_that_train(algorithm, libraries, code):
    assert algorithm.libraries == libraries
    assert [name for name, _ in algorithm.code if name not in ("abc", "typing")] == code


@pytest.mark.parametrize(
    ("algorithm", "steps", "epsilon"),
    [
        (SB3("PPO"), 2048, 0.2),
        (SB3("PPO", n_steps=64, environments=4, clip_range=0.1), 256, 0.1),
        (SB3("PPO", clip_range=1), 2048, 1.0),
        (SB3("A2C"), 5, 0.2),
        (SB3("TRPO"), 2048, 0.2),
        (SB3("tiny_algorithms:Mine"), 2048, 0.2),
        (SB3("tiny_algorithms:HandsOn", clip_range=0.3), 2048, 0.3),
    ],
)
def test_steps_and_epsilon_default_to_the_algorithms(algorithm, steps, epsilon):
    algorithm.check()
    assert (algorithm.steps, algorithm.ratio_epsilon) == (steps, epsilon)


def test_equal_settings_compare_equal_in_any_spelling():
    one = SB3("PPO", n_steps=64, policy_kwargs={"net_arch": (8, 8)})
    other = SB3("PPO", settings='{"policy_kwargs": {"net_arch": [8, 8]}, "n_steps": 64}')
    assert one == other and hash(one) == hash(other)
    assert one != SB3("PPO", n_steps=65) and one != SB3("PPO", n_steps=64)
    assert one.label == "sb3-PPO(n_steps=64, policy_kwargs={'net_arch': [8, 8]})"
    assert SB3("PPO").label == SB3("PPO").title == "sb3-PPO"
    assert SB3("my.algos:Mine", environments=2).title == "sb3-my.algos-Mine"
    assert SB3("PPO", "CnnPolicy", 2, True).label == "sb3-PPO(policy='CnnPolicy', environments=2, normalize=True)"


@pytest.mark.parametrize(
    ("algorithm", "sentence"),
    [
        (SB3("NoSuch"), r"^There is no algorithm 'NoSuch' in stable_baselines3 and sb3_contrib; "),
        (SB3("tiny_algorithms:NoSuch"), "^There is no algorithm 'NoSuch' in tiny_algorithms"),
        (SB3("no_such_module:Mine"), "^There is no algorithm 'Mine' in no_such_module"),
        (SB3("DQN"), r"^DQN is not an on-policy algorithm of Stable-Baselines3; only these can be recorded\.$"),
        (SB3("ARS"), "^ARS is not an on-policy algorithm"),
        (SB3("get_system_info"), "^get_system_info is not an on-policy algorithm"),
        (SB3("PPO", steps=3), r"^PPO has no setting 'steps'; it has learning_rate, n_steps, "),
        (SB3("PPO", seed=3), "^PPO has no setting 'seed'; it has "),
        (SB3("TRPO", clip_range=0.2), "^TRPO has no setting 'clip_range'; it has "),
        (SB3("tiny_algorithms:HandsOn", steps=3), "^tiny_algorithms:HandsOn has no setting 'steps'; it has bonus, "),
        (SB3("PPO", environments=0), r"^PPO takes at least 1 as environments, not 0\.$"),
        (SB3("PPO", environments=True), "^PPO takes at least 1 as environments, not True"),
        (SB3("PPO", n_steps="many"), r"^PPO takes a whole number of steps between updates, n_steps, not 'many'\.$"),
        (SB3("PPO", n_steps=0), "^PPO takes a whole number of steps between updates, n_steps, not 0"),
        (SB3("PPO", "MlpLstmPolicy"), r"^PPO has no policy 'MlpLstmPolicy'; it has MlpPolicy, CnnPolicy, "),
        # Recurrent and masked algorithms are refused with any policy.
        (SB3("RecurrentPPO"), "^RecurrentPPO's policies need more than an observation"),
        (SB3("RecurrentPPO", "MlpLstmPolicy"), "^RecurrentPPO's policies need more than an observation"),
        (SB3("MaskablePPO"), "^MaskablePPO's policies need more than an observation"),
    ],
)
def test_check_refuses_what_cannot_be_trained(algorithm, sentence):
    with pytest.raises(ValueError, match=sentence):
        algorithm.check()


@pytest.mark.parametrize("value", [lambda x: x, torch.nn.Tanh, math.nan, math.inf, {1, 2}])
def test_settings_that_json_cannot_hold_are_refused(value):
    with pytest.raises(ValueError, match=r"^Settings of PPO must be numbers, strings, lists or dicts"):
        SB3("PPO", learning_rate=value)
