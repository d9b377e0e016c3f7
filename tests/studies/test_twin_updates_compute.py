"""Twin updates: the same update again, bit for bit, and each switch against a textbook loop over one seed."""

import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

from rlclaims import PPO, PPOM, Agent, PPONoClip, TwinUpdates, training
from rlclaims.checkpoints import Start, checkpoints_to_arrays, start_from_arrays
from rlclaims.claims.evidence import ClaimError
from rlclaims.execution import pool
from rlclaims.execution.derive import derive
from rlclaims.execution.pool import TrainingError
from rlclaims.randomness import Purpose, stream
from rlclaims.results.measured import Measured
from rlclaims.sim.tasks import task_named
from rlclaims.store.run_spec import RunSpec
from rlclaims.store.store import Store
from rlclaims.studies.registry import Study
from rlclaims.studies.twin_updates.compute import (
    MECHANISMS,
    Twins,
    _first,
    cost_in_updates,
    design,
    jobs,
    levels,
    measure,
    name_of,
    twin_combinations,
    twin_of,
)
from rlclaims.training import Cohort, Group

TWINS = Study("twins")

SIZES, N_ACTION, ITERATIONS = (11, 16, 16), 3, 3
SMALL = {"steps": 256, "minibatches": 8, "value_epochs": 1, "hidden": (16, 16)}
# Learning rates at which many ratios leave their range, and a clip of the gradient that is met.
PPO_ = PPO(**SMALL, epochs=4, learning_rate=5e-3)
PPOM_ = PPOM(**SMALL, epochs=3, learning_rate=5e-3, clip_epsilon=0.1)
NO_CLIP = PPONoClip(**SMALL, epochs=2, learning_rate=8e-3, gradient_clip=0.4)
RAW = PPO(**SMALL, epochs=2, learning_rate=2e-2, normalize_advantages=False)
ALGORITHMS = {"PPO": PPO_, "PPOM": PPOM_, "PPONoClip": NO_CLIP, "PPO on advantages as they are": RAW}


@pytest.fixture(scope="module")
def records():
    """Runs in one cohort that kept the starts of all their updates."""
    groups = [Group(PPO_, (5, 2, 9)), Group(PPOM_, (5, 0)), Group(NO_CLIP, (1, 3)), Group(RAW, (4,))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "HELD_OUT_EVERY", 1)
        return Cohort(task_named("Hopper-v5"), groups, ITERATIONS).train()


@pytest.fixture
def runs_of(records):
    return lambda algorithm: [record for record in records if record.algorithm == algorithm]


@pytest.fixture
def starts_of(runs_of):
    def starts(algorithm):
        return [
            start_from_arrays(run.seed, np.stack(run.policy_parameters), checkpoints_to_arrays(run.checkpoints))
            for run in runs_of(algorithm)
        ]

    return starts


@pytest.fixture
def twins_of(starts_of):
    return lambda algorithm: Twins(algorithm, ITERATIONS, starts_of(algorithm))


@pytest.fixture
def in_double(starts_of):
    """Return the same twins in float64, in which two routes to a number agree closely."""
    torch.set_default_dtype(torch.float64)

    def double(x):
        return x.astype(np.float64) if x.dtype == np.float32 else x

    def build(algorithm, as_if=None):
        starts = []
        for start in starts_of(algorithm):
            checkpoints = [
                replace(
                    checkpoint,
                    adam_mean_P=double(checkpoint.adam_mean_P),
                    adam_square_P=double(checkpoint.adam_square_P),
                    training=tuple(map(double, checkpoint.training)),
                    held_out=tuple(map(double, checkpoint.held_out)),
                )
                for checkpoint in start.checkpoints
            ]
            starts.append(Start(start.seed, double(start.initial_P), double(start.theta_KP), tuple(checkpoints)))
        return Twins(as_if or algorithm, ITERATIONS, starts)

    yield build
    torch.set_default_dtype(torch.float32)


# The update as it is.


@pytest.mark.parametrize("name", ALGORITHMS)
def test_twin_without_a_switch_is_the_runs_update_bit_for_bit(name, runs_of, twins_of, starts_of):
    algorithm = ALGORITHMS[name]
    runs, made = runs_of(algorithm), twins_of(algorithm)
    assert list(made.times) == [0, 1, 2]
    for k in made.times:
        replay = made.replay(k)
        assert np.array_equal(replay.old.theta_SP, [run.policy_parameters[k] for run in runs])
        new_SP = replay.path[-1].theta_SP
        assert np.array_equal(new_SP, [run.policy_parameters[k + 1] for run in runs])
        assert (new_SP != replay.old.theta_SP).any(dim=1).all()
        alone = [Twins(algorithm, ITERATIONS, [start]).replay(k) for start in starts_of(algorithm)]
        assert torch.equal(torch.cat([one.path[-1].theta_SP for one in alone]), new_SP)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_unmodified_twin_has_the_runs_own_measurements(name, runs_of, twins_of):
    algorithm = ALGORITHMS[name]
    found = measure(twins_of(algorithm), "none")
    runs = runs_of(algorithm)
    for quantity in ("kl_old_new/mean", "ratio/exceedance", "ratio/max"):
        for states in ("training", "held_out"):
            ours_SK = found.pop(f"none/{quantity}/{states}")
            assert ours_SK.shape == (len(runs), ITERATIONS)
            assert np.array_equal(ours_SK, [run.series[f"{quantity}/{states}"] for run in runs])
    assert found == {}
    for run in runs:
        for states in ("training", "held_out"):
            means = [getattr(c, states)[2].astype(np.float64).mean() for c in run.checkpoints]
            assert run.series[f"surrogate/old/{states}"] == pytest.approx(means, rel=1e-12, abs=1e-12)


def test_twins_do_not_depend_on_other_seeds_or_earlier_twins(starts_of):
    starts = starts_of(PPO_)
    together, backwards = (Twins(PPO_, ITERATIONS, some) for some in (starts, starts[::-1]))
    before = together.replay(2)
    for switched in (MECHANISMS, ("head", "adam_state"), ("clip",)):
        one, other = together.replay(2, switched), backwards.replay(2, switched)
        (alone,) = Twins(PPO_, ITERATIONS, starts[1:2]).replay(2, switched).path[-1].theta_SP
        assert torch.equal(one.path[-1].theta_SP, other.path[-1].theta_SP.flip(0))
        assert torch.equal(one.path[-1].theta_SP[1], alone)
    for job in list(jobs())[1:4]:
        measure(together, job)
    again = together.replay(2)
    assert torch.equal(again.path[-1].theta_SP, before.path[-1].theta_SP)
    assert torch.equal(again.training.action_SBA, before.training.action_SBA)


def test_path_has_the_policy_after_each_epoch_or_minibatch(twins_of):
    made = twins_of(PPO_)
    by_epoch, in_detail = made.replay(1), made.replay(1, in_detail=True)
    assert len(by_epoch.path) == 4 and len(in_detail.path) == 4 * 8
    for epoch, policy in enumerate(by_epoch.path):
        assert torch.equal(policy.theta_SP, in_detail.path[8 * epoch + 7].theta_SP)
    assert len({policy.theta_SP.numpy().tobytes() for policy in in_detail.path}) == 32
    longer = made.replay(1, times_the_epochs=3)
    assert len(longer.path) == 12
    assert torch.equal(longer.path[3].theta_SP, by_epoch.path[3].theta_SP)
    # An update on its pairs: up to the middle, on the batch, and to its end, on fresh ones.
    middle, end = by_epoch.update("training", 1), by_epoch.update("held_out")
    assert middle.old is end.old is by_epoch.old
    assert middle.new is by_epoch.path[1] and end.new is by_epoch.path[3]
    assert middle.batch is by_epoch.training and end.batch is by_epoch.held_out


# With mechanisms switched.


class Textbook:
    """Make one seed's update with torch.nn, torch.optim and torch.distributions, and each mechanism as documented."""

    def __init__(self, algorithm, start, k, switched, as_module):
        self.checkpoint, self.switched, self.met = start.checkpoints[k], switched, set()
        self.algorithm = algorithm
        self.mean = as_module(torch.from_numpy(start.theta_KP[k][:-N_ACTION]), (*SIZES, N_ACTION))
        self.log_std_A = nn.Parameter(torch.from_numpy(start.theta_KP[k][-N_ACTION:].copy()))
        self.parameters = [*self.mean.parameters(), self.log_std_A]
        self.observation_BO, self.action_BA, self.advantage_B = map(torch.from_numpy, self.checkpoint.training)
        if "head" in switched:
            self.take_other_head(start, as_module)

        rate = algorithm.learning_rate * (0.5 if "learning_rate" in switched else 1.0)
        if algorithm.anneal_learning_rates != ("annealing" in switched):
            rate *= 1 - k / ITERATIONS
        self.adam = torch.optim.Adam(self.parameters, lr=rate, eps=algorithm.adam_epsilon)
        if "adam_state" not in switched and self.checkpoint.adam_steps:
            self.carry_moments(as_module)
        # The orders that training drew before: those of each policy's epochs, then those of its values'.
        self.rng = stream(start.seed, Purpose.MINIBATCHES)
        for _ in range(k * (algorithm.epochs + algorithm.value_epochs)):
            self.rng.permutation(algorithm.steps)

    def take_other_head(self, start, as_module):
        other = "xavier" if self.algorithm.initialization == "orthogonal" else "orthogonal"
        agent = Agent(replace(self.algorithm, initialization=other), [start.seed], SIZES[0], N_ACTION, 1)
        theirs, own = (
            as_module(theta_P[:-N_ACTION], (*SIZES, N_ACTION))[-1]
            for theta_P in (agent.theta_SP[0].detach(), torch.from_numpy(start.initial_P))
        )
        with torch.no_grad():
            before_BA = self.mean(self.observation_BO)
            self.mean[-1].weight += theirs.weight - own.weight
            self.mean[-1].bias += theirs.bias - own.bias
            self.action_BA = self.action_BA + self.mean(self.observation_BO) - before_BA

    def carry_moments(self, as_module):
        first, second = (
            [*as_module(moment_P[:-N_ACTION], (*SIZES, N_ACTION)).parameters(), moment_P[-N_ACTION:]]
            for moment_P in map(torch.from_numpy, (self.checkpoint.adam_mean_P, self.checkpoint.adam_square_P))
        )
        for parameter, m, v in zip(self.parameters, first, second, strict=True):
            self.adam.state[parameter] = {
                "step": torch.tensor(float(self.checkpoint.adam_steps)),
                "exp_avg": m.detach().clone(),
                "exp_avg_sq": v.detach().clone(),
            }

    def actions(self, observation_BO):
        return Independent(Normal(self.mean(observation_BO), self.log_std_A.exp()), 1)

    def loss(self, rows, old_log_prob_B):
        advantage_B = self.advantage_B[rows]
        if self.algorithm.normalize_advantages != ("advantage_normalization" in self.switched):
            advantage_B = (advantage_B - advantage_B.mean()) / (advantage_B.std() + 1e-8)
        actions = self.actions(self.observation_BO[rows])
        ratio_B = (actions.log_prob(self.action_BA[rows]) - old_log_prob_B[rows]).exp()
        gain_B = ratio_B * advantage_B
        if (self.algorithm.clip_epsilon is not None) != ("clip" in self.switched):
            epsilon = self.algorithm.ratio_epsilon * (0.5 if "epsilon" in self.switched else 1.0)
            if ((ratio_B - 1).abs() > epsilon).any():
                self.met.add("clip")
            gain_B = torch.min(gain_B, ratio_B.clip(1 - epsilon, 1 + epsilon) * advantage_B)
        return -(gain_B + (self.algorithm.entropy_coefficient or 0.0) * actions.entropy()).mean()

    def improve(self):
        with torch.no_grad():
            old_log_prob_B = self.actions(self.observation_BO).log_prob(self.action_BA)
        n, size = len(self.advantage_B), len(self.advantage_B) // self.algorithm.minibatches
        for _ in range(self.algorithm.epochs // (2 if "epochs" in self.switched else 1)):
            order = self.rng.permutation(n)
            for first in range(0, n, size):
                self.adam.zero_grad()
                self.loss(order[first : first + size], old_log_prob_B).backward()
                bound = self.algorithm.gradient_clip
                if "gradient_clip" in self.switched:
                    bound = 0.5 if bound is None else None
                if bound is not None and nn.utils.clip_grad_norm_(self.parameters, bound) > bound:
                    self.met.add("gradient_clip")
                self.adam.step()


def all_of_theta(textbook, flat):
    return torch.cat([flat(textbook.mean), textbook.log_std_A.detach()])


SOME = [(), *((name,) for name in MECHANISMS), *map(tuple, map(sorted, design()[5::9]))]


@pytest.mark.parametrize("switched", SOME, ids=name_of)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_switched_update_matches_the_textbook(name, switched, in_double, as_module, flat):
    algorithm, k, i = ALGORITHMS[name], 1, 0
    made = in_double(algorithm)
    textbook = Textbook(algorithm, made._starts[i], k, switched, as_module)
    textbook.improve()
    new_P = made.replay(k, switched).path[-1].theta_SP[i]
    torch.testing.assert_close(new_P, all_of_theta(textbook, flat), rtol=1e-8, atol=1e-10)
    # What is not met is not tested.
    assert textbook.met == {
        name
        for name, has in (("clip", algorithm.clip_epsilon), ("gradient_clip", algorithm.gradient_clip))
        if (has is not None) != (name in switched)
    }
    moved_P = new_P - made.replay(k).path[-1].theta_SP[i]
    nothing = switched == () or (switched == ("epsilon",) and algorithm.clip_epsilon is None)
    assert not moved_P.any() if nothing else moved_P.norm() > 1e-3


def test_first_step_of_a_new_adam_is_the_gradient_over_its_size(in_double, as_module, flat):
    # Kingma and Ba's corrections make both moments those of the one gradient: lr g / (|g| + epsilon).
    made = in_double(PPO_)
    for k in made.times:
        replay = made.replay(k, ["adam_state", "annealing"], in_detail=True)
        carried = made.replay(k, ["annealing"], in_detail=True)
        for i, start in enumerate(made._starts):
            textbook = Textbook(PPO_, start, k, ["adam_state", "annealing"], as_module)
            with torch.no_grad():
                old_log_prob_B = textbook.actions(textbook.observation_BO).log_prob(textbook.action_BA)
            textbook.loss(textbook.rng.permutation(256)[:32], old_log_prob_B).backward()
            for parameter in textbook.parameters:
                parameter.data = parameter.grad
            g_P = all_of_theta(textbook, flat)
            step_P = replay.path[0].theta_SP[i] - replay.old.theta_SP[i]
            torch.testing.assert_close(step_P, -5e-3 * g_P / (g_P.abs() + 1e-5), rtol=1e-8, atol=1e-12)
        assert torch.equal(carried.path[0].theta_SP, replay.path[0].theta_SP) is (k == 0)


def test_annealing_uses_the_current_learning_rate_factor(in_double):
    for algorithm in (PPO_, PPOM_):
        made = in_double(algorithm)
        for k in made.times:
            annealed, not_annealed = (
                made.replay(k, switched, in_detail=True)
                for switched in ([(), ("annealing",)] if algorithm is PPO_ else [("annealing",), ()])
            )
            step_SP, full_SP = (one.path[0].theta_SP - one.old.theta_SP for one in (annealed, not_annealed))
            torch.testing.assert_close(step_SP, (1 - k / ITERATIONS) * full_SP, rtol=1e-9, atol=1e-14)


def test_half_the_epochs_are_the_first_half(twins_of):
    for algorithm, kept in ((PPO_, 2), (PPOM_, 1)):  # of three epochs one
        made = twins_of(algorithm)
        halved, as_it_is = made.replay(1, ["epochs"]), made.replay(1)
        assert len(halved.path) == kept
        for one, other in zip(halved.path, as_it_is.path, strict=False):
            assert torch.equal(one.theta_SP, other.theta_SP)
    assert twin_of(replace(PPO_, epochs=1), ["epochs"]).epochs == 1


@pytest.mark.parametrize(
    ("switched", "let_go"),
    # Of ratios .75, .85, .95, 1.05, 1.15, 1.25 with advantages above and below 0.
    [((), {(0.75, -1), (1.25, 1)}), (("epsilon",), {(0.75, -1), (0.85, -1), (1.15, 1), (1.25, 1)}), (("clip",), set())],
)
def test_eps_decides_which_pairs_get_no_gradient(switched, let_go):
    ratios = [0.75, 0.85, 0.95, 1.05, 1.15, 1.25]
    without = {
        (ratio, sign)
        for ratio in ratios
        for sign in (-1, 1)
        if not slope(twin_of(PPO(), switched), ratio, sign) and slope(twin_of(PPO(), ("clip",)), ratio, sign) == -sign
    }
    assert without == let_go
    # Switched with the clip, eps has nothing to do; and where there was none, it is half of the papers' .2.
    assert twin_of(PPO(), ("clip", "epsilon")) == twin_of(PPO(), ("clip",))
    assert twin_of(PPO(clip_epsilon=None), ("clip", "epsilon")).clip_epsilon == 0.1


def slope(algorithm, ratio, advantage):
    ratio_SB = torch.tensor([[ratio]], requires_grad=True)
    algorithm.policy_loss(ratio_SB, torch.tensor([[float(advantage)]])).sum().backward()
    return ratio_SB.grad.item()


@pytest.mark.parametrize("name", ALGORITHMS)
def test_switched_head_adds_what_was_learnt_to_the_other_init(name, twins_of, starts_of):
    algorithm = ALGORITHMS[name]
    other = "xavier" if algorithm.initialization == "orthogonal" else "orthogonal"
    starts, made = starts_of(algorithm), twins_of(algorithm)
    theirs_SP = Agent(
        replace(algorithm, initialization=other), [s.seed for s in starts], SIZES[0], N_ACTION, 1
    ).theta_SP.detach()
    n_head = 16 * N_ACTION + N_ACTION
    head = slice(-N_ACTION - n_head, -N_ACTION)
    for k in made.times:
        switched, as_it_is = made.replay(k, ["head"]), made.replay(k)
        old_SP, own_SP = switched.old.theta_SP, as_it_is.old.theta_SP
        changed = torch.ones(old_SP.shape[1], dtype=torch.bool)
        changed[head] = False
        assert torch.equal(old_SP[:, changed], own_SP[:, changed])
        initial_SP = torch.from_numpy(np.stack([s.initial_P for s in starts]))
        # Sums of numbers below 1 in single precision.
        torch.testing.assert_close(
            old_SP[:, head] - theirs_SP[:, head], own_SP[:, head] - initial_SP[:, head], rtol=0, atol=2**-22
        )
        assert (old_SP[:, head] - own_SP[:, head]).abs().amax(1).min() > 0.05
        for states in ("training", "held_out"):
            ours, own = getattr(switched, states), getattr(as_it_is, states)
            assert torch.equal(ours.observation_SBO, own.observation_SBO)
            assert torch.equal(ours.advantage_SB, own.advantage_SB)
            noise = [
                (pairs.action_SBA - policy(pairs.observation_SBO).mean_SBA)
                / policy(pairs.observation_SBO).log_std_S1A.exp()
                for pairs, policy in ((ours, switched.old), (own, as_it_is.old))
            ]
            torch.testing.assert_close(*noise, rtol=0, atol=1e-5)
            assert (ours.action_SBA - own.action_SBA).abs().amax((1, 2)).min() > 0.05
            # So it is every pair's probability that stays: densities of the same noise.
            log_probs = [
                policy(pairs.observation_SBO).log_prob(pairs.action_SBA)
                for pairs, policy in ((ours, switched.old), (own, as_it_is.old))
            ]
            torch.testing.assert_close(*log_probs, rtol=0, atol=1e-4)
    assert torch.equal(made.replay(0).old.theta_SP, initial_SP)


# What the switches are called.

LEVELS = {
    "PPO": (
        PPO(),
        {
            "clip": ("on", "off"),
            "epsilon": ("0.2", "0.1"),
            "epochs": ("10", "5"),
            "learning_rate": ("0.0003", "0.00015"),
            "annealing": ("on", "off"),
            "adam_state": ("carried", "new"),
            "gradient_clip": ("off", "0.5"),
            "advantage_normalization": ("on", "off"),
            "head": ("orthogonal", "xavier"),
        },
    ),
    "PPO-NoClip": (
        PPONoClip(epochs=7, normalize_advantages=False),
        {
            "clip": ("off", "on"),
            "epsilon": ("0.2", "0.1"),
            "epochs": ("7", "3"),
            "learning_rate": ("6e-05", "3e-05"),
            "annealing": ("on", "off"),
            "adam_state": ("carried", "new"),
            "gradient_clip": ("4", "off"),
            "advantage_normalization": ("off", "on"),
            "head": ("orthogonal", "xavier"),
        },
    ),
    "PPO-M": (
        PPOM(epochs=1, clip_epsilon=0.3, gradient_clip=0.25),
        {
            "clip": ("on", "off"),
            "epsilon": ("0.3", "0.15"),
            "epochs": ("1", "1"),
            "learning_rate": ("0.00017", "8.5e-05"),
            "annealing": ("off", "on"),
            "adam_state": ("carried", "new"),
            "gradient_clip": ("0.25", "off"),
            "advantage_normalization": ("on", "off"),
            "head": ("xavier", "orthogonal"),
        },
    ),
}


@pytest.mark.parametrize("name", LEVELS)
def test_levels_match_the_settings_of_twins(name):
    algorithm, expected = LEVELS[name]
    assert levels(algorithm) == expected
    assert list(levels(algorithm)) == list(MECHANISMS)
    assert twin_of(algorithm, ()) == algorithm

    def on(x):
        return "on" if x else "off"

    for mechanism in MECHANISMS:
        twin = twin_of(algorithm, [mechanism])
        with_a_clip = twin_of(algorithm, [mechanism] if algorithm.clip_epsilon else ["clip", mechanism])
        as_it_has = {
            "clip": on(twin.clip_epsilon),
            "epsilon": f"{with_a_clip.clip_epsilon or 0:g}",
            "epochs": str(twin.epochs),
            "learning_rate": f"{twin.learning_rate:g}",
            "annealing": on(twin.anneal_learning_rates),
            "gradient_clip": f"{twin.gradient_clip:g}" if twin.gradient_clip else "off",
            "advantage_normalization": on(twin.normalize_advantages),
        }
        for other, words in as_it_has.items():
            if other == "epsilon" and mechanism == "clip":
                continue  # which takes eps away or brings it
            assert words == expected[other][other == mechanism], other
        assert twin.initialization == algorithm.initialization  # the head is no setting: what was learnt stays


def test_name_of_does_not_depend_on_order():
    assert name_of([]) == "none"
    assert name_of(("head", "clip")) == name_of({"clip", "head"}) == "clip+head"
    assert name_of(MECHANISMS) == "+".join(MECHANISMS)


def test_jobs_list_each_twin_once_with_costliest_first():
    names = list(jobs())
    assert len(names) == len(set(names)) == len(twin_combinations()) + 3
    assert set(twin_combinations()) == {*design(), *(frozenset({name}) for name in MECHANISMS)}
    as_sets = [frozenset(name.split("+")) - {"none"} for name in names[3:]]
    assert sorted(map(sorted, as_sets)) == sorted(map(sorted, twin_combinations()))
    whole = ["epochs" not in switched for switched in as_sets]
    assert whole == sorted(whole, reverse=True)
    # Ten times the epochs, two updates, one, and the twins, of which some take half as long.
    assert cost_in_updates() == 10 + 2 + 1 + sum(1 if one else 0.5 for one in whole)


# Studies of an update.


def plain_update(replay, i, theta_P, states, as_module):
    """Return one seed's ratios, and KL(old || new) in each state, pair by pair in plain floats."""
    batch = getattr(replay, states)
    observation_BO, action_BA = batch.observation_SBO[i], batch.action_SBA[i].numpy()
    (m, s), (n, t) = (
        (as_module(p[:-N_ACTION], (*SIZES, N_ACTION))(observation_BO).detach().numpy(), p[-N_ACTION:].exp().numpy())
        for p in (replay.old.theta_SP[i], theta_P)
    )
    log_ratio_BA = ((action_BA - m) / s) ** 2 / 2 - ((action_BA - n) / t) ** 2 / 2 + np.log(s / t)
    kl_BA = np.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2) - 0.5
    return np.exp(log_ratio_BA.sum(1)).tolist(), kl_BA.sum(1).tolist()


def mean(values):
    return sum(values) / len(values)


def test_exceedance_at_matched_kl_equals_a_walk_of_minibatches(in_double, as_module):
    algorithm, per_epoch, epsilon = PPO_, 8, 0.2
    made = in_double(algorithm)
    (found_SK,) = measure(made, "matched_kl").values()
    epochs_reached, between = set(), 0
    for k in made.times:
        own, switched = made.replay(k), made.replay(k, ["clip"], in_detail=True)
        for i in range(len(found_SK)):
            own_kl = mean(plain_update(own, i, own.path[-1].theta_SP[i], "held_out", as_module)[1])
            walk = [(0.0, 0.0)]
            for policy in switched.path:
                ratios, kls = plain_update(switched, i, policy.theta_SP[i], "held_out", as_module)
                walk.append((mean(kls), mean([abs(r - 1) > epsilon for r in ratios])))
            epoch = next(e for e in range(algorithm.epochs) if walk[(e + 1) * per_epoch][0] >= own_kl)
            here = next(at for at in range(epoch * per_epoch + 1, len(walk)) if walk[at][0] >= own_kl)
            (kl_0, outside_0), (kl_1, outside_1) = walk[here - 1 : here + 1]
            expected = outside_0 + (own_kl - kl_0) / (kl_1 - kl_0) * (outside_1 - outside_0)
            assert found_SK[i, k] == pytest.approx(expected, rel=1e-9)
            epochs_reached.add(epoch)
            between += outside_0 != outside_1
    assert len(epochs_reached) > 1 and between > 3
    smaller_epsilon = measure(in_double(PPOM_), "matched_kl")["matched_kl/ratio/exceedance/held_out"]
    assert (smaller_epsilon > found_SK.max()).any()


@dataclass(frozen=True)
class Stays(PPO):
    """Without clipping, all seeds but the second have almost nothing to learn."""

    def policy_loss(self, ratio_SB, advantage_SB):
        loss_S = super().policy_loss(ratio_SB, advantage_SB)
        # One number a run, for the one iteration or for all of them.
        small_S = torch.tensor([1e-6, 1.0, 1e-6]).repeat(len(loss_S) // 3)
        return loss_S if self.clip_epsilon is not None else loss_S * small_S


def test_exceedance_is_nan_where_no_unclipped_kl_matches(in_double):
    stays = Stays(**SMALL, epochs=4, learning_rate=5e-3)
    made = in_double(PPO_, as_if=stays)
    found_SK = measure(made, "matched_kl")["matched_kl/ratio/exceedance/held_out"]
    as_without = measure(in_double(PPO_), "matched_kl")["matched_kl/ratio/exceedance/held_out"]
    # At first Adam has no momentum of others' making; beside its epsilon such gradients are small.
    assert np.isnan(found_SK[[0, 2], 0]).all()
    assert np.array_equal(found_SK[1], as_without[1])


def test_first_without_true_rows_is_their_number():
    true_ES = torch.tensor([[0, 0, 1, 0], [0, 1, 0, 0], [0, 1, 1, 1]], dtype=torch.bool)
    assert _first(true_ES).tolist() == [3, 1, 0, 2]


@pytest.mark.parametrize("name", ["PPO", "PPOM", "PPO on advantages as they are"])
def test_pushed_out_matches_a_count_pair_by_pair(name, in_double, as_module):
    algorithm = ALGORITHMS[name]
    made, epsilon = in_double(algorithm), 0.1 if name == "PPOM" else 0.2
    (found_SK,) = measure(made, "pushed_out").values()
    sides = set()
    for k in made.times:
        replay = made.replay(k)
        for i in range(len(found_SK)):
            advantages = replay.training.advantage_SB[i].tolist()
            middle = mean(advantages) if algorithm.normalize_advantages else 0.0
            paths = [plain_update(replay, i, policy.theta_SP[i], "training", as_module)[0] for policy in replay.path]
            let_go = further = 0
            for now, then in pairwise(paths):
                for advantage, r, next_r in zip(advantages, now, then, strict=True):
                    if advantage > middle and r > 1 + epsilon:
                        let_go, further = let_go + 1, further + (next_r > r)
                        sides.add("above")
                    if advantage < middle and r < 1 - epsilon:
                        let_go, further = let_go + 1, further + (next_r < r)
                        sides.add("below")
            assert found_SK[i, k] == pytest.approx(further / let_go, rel=1e-12)
    assert 0 < found_SK.min() < 1
    assert sides == {"above", "below"}


def test_pushed_out_is_nan_without_let_go_pairs(in_double):
    one_epoch = replace(PPO_, epochs=1)  # and the last epoch has no next
    assert np.isnan(measure(in_double(PPO_, as_if=one_epoch), "pushed_out")["pushed_out/share"]).all()
    far = replace(PPO_, clip_epsilon=50.0)
    assert np.isnan(measure(in_double(PPO_, as_if=far), "pushed_out")["pushed_out/share"]).all()


@pytest.mark.parametrize("name", ["PPO", "PPONoClip", "PPO on advantages as they are"])
def test_late_gain_is_a_share_of_the_objectives_gain(name, in_double, as_module):
    algorithm, epsilon = replace(ALGORITHMS[name], epochs=1), 0.2
    made = in_double(ALGORITHMS[name], as_if=algorithm)
    found = measure(made, "converged")
    no_clip = name == "PPONoClip"
    ten_times = Twins(replace(algorithm, epochs=10), ITERATIONS, made._starts)
    for k in made.times:
        replay = ten_times.replay(k)
        for i in range(len(made._starts)):
            weights = replay.training.advantage_SB[i].numpy()
            if name != "PPO on advantages as they are":
                weights = (weights - weights.mean()) / (weights.std(ddof=1) + 1e-8)

            def objective(policy, i=i, replay=replay, weights=weights):
                ratios, _ = plain_update(replay, i, policy.theta_SP[i], "training", as_module)
                terms = [
                    r * a if no_clip else min(r * a, min(max(r, 1 - epsilon), 1 + epsilon) * a)
                    for r, a in zip(ratios, weights.tolist(), strict=True)
                ]
                entropy = Normal(0, policy.theta_SP[i, -N_ACTION:].exp()).entropy().sum().item()
                return mean(terms) + (-0.005 * entropy if no_clip else 0.0)

            half_way, end = replay.path[4], replay.path[9]
            start, half, full = map(objective, (replay.old, half_way, end))
            assert found["converged/late_gain"][i, k] == pytest.approx((full - half) / (full - start), rel=1e-9)
            kls = plain_update(replay, i, end.theta_SP[i], "held_out", as_module)[1]
            assert found["converged/kl_old_new/mean/held_out"][i, k] == pytest.approx(mean(kls), rel=1e-9)
            ratios, _ = plain_update(replay, i, end.theta_SP[i], "training", as_module)
            outside = mean([abs(r - 1) > epsilon for r in ratios])
            assert found["converged/ratio/exceedance/training"][i, k] == pytest.approx(outside, rel=1e-12)


def test_twins_are_measured_with_the_algorithms_own_epsilon(in_double, as_module):
    made = in_double(PPO_)
    found = measure(made, "epsilon")
    replay = made.replay(1, ["epsilon"])
    for i in range(3):
        ratios, kls = plain_update(replay, i, replay.path[-1].theta_SP[i], "held_out", as_module)
        assert found["epsilon/ratio/exceedance/held_out"][i, 1] == mean([abs(r - 1) > 0.2 for r in ratios])
        assert found["epsilon/ratio/max/held_out"][i, 1] == pytest.approx(max(ratios), rel=1e-9)
        assert found["epsilon/kl_old_new/mean/held_out"][i, 1] == pytest.approx(mean(kls), rel=1e-9)


# What claims ask for.


class Asked(dict):
    """Numbers for a series of any name, which is recorded."""

    def __missing__(self, name):
        self[name] = [0.5, 0.25]
        return self[name]


def test_jobs_compute_every_series_that_queries_read(twins_of):
    asked = Asked()
    told = TwinUpdates(PPO_, "Hopper-v5", ITERATIONS, (0,), (Measured(None, asked),))
    for mechanism in MECHANISMS:
        for against in (None, "clip" if mechanism == "epsilon" else "epsilon"):
            assert repr(told.switching(mechanism, against=against))  # what is shown is made, on both kinds of pairs
        assert repr(told.in_design(mechanism))
    for name in ("converged", "late_share_of_gain", "let_go_moved_outward", "clipping_at_matched_kl"):
        assert repr(getattr(told, name))
    of_each = [
        f"{quantity}/{states}"
        for quantity in ("kl_old_new/mean", "ratio/exceedance", "ratio/max")
        for states in ("training", "held_out")
    ]
    found = {f"{name_of(switched)}/{name}" for switched in twin_combinations() for name in of_each}
    made = Twins(replace(PPO_, epochs=1), ITERATIONS, twins_of(PPO_)._starts[:1])
    for job in list(jobs())[:5]:
        names = {name for name in found if name.startswith(f"{job}/")}
        assert len(names) == (0 if job in ("converged", "matched_kl", "pushed_out") else 6)
        assert names <= set(measure(made, job))
        found |= set(measure(made, job))
    assert len(asked) > 100 and set(asked) <= found


def test_clipping_queries_need_a_clip():
    told = TwinUpdates(NO_CLIP, "Hopper-v5", ITERATIONS, (0,), (Measured(None, Asked()),))
    for name, sentence in (
        ("clipping_at_matched_kl", "no twin without clipping"),
        ("let_go_moved_outward", "lets no pair go"),
    ):
        with pytest.raises(ClaimError, match=rf"does not clip, so its update .*{sentence}\.$"):
            getattr(told, name)


# Through the store.

TINY = {"steps": 64, "minibatches": 2, "value_epochs": 1, "hidden": (8,)}


@pytest.fixture
def stored(tmp_path):
    """Two runs of eleven iterations, which start a second update on fresh pairs at the last, and one that failed."""
    store, algorithm = Store(tmp_path / "store"), PPO(**TINY, epochs=2, learning_rate=0.01)
    store.prepare()
    records = Cohort(task_named("InvertedPendulum-v5"), [Group(algorithm, (3, 4, 7))], 11).train()
    specs = [RunSpec(algorithm, "InvertedPendulum-v5", 11, record.seed) for record in records]
    records[2].failure = "it broke"
    for spec, record in zip(specs, records, strict=True):
        store.put(spec, record)
    return store, specs, records


def test_replay_from_the_store_is_bit_identical(stored):
    store, specs, records = stored
    made = Twins(specs[0].algorithm, 11, [store.start(spec) for spec in specs[:2]])
    assert list(made.times) == [0, 1]
    for k, iteration in enumerate((0, 10)):
        theirs = [record.policy_parameters[iteration + 1] for record in records[:2]]
        assert np.array_equal(made.replay(k).path[-1].theta_SP, theirs)


def test_worker_processes_make_the_same_twins_failed_runs_none(stored):
    store, specs, _ = stored
    progress = []
    derive([(spec, TWINS) for spec in specs], store, 2, progress.append)
    finished = dict.fromkeys((report.done, report.total) for report in progress)
    assert list(finished) == [(i, len(jobs())) for i in range(len(jobs()) + 1)]
    assert all(store.has_study(spec, TWINS) for spec in specs)
    assert store.study(specs[2], TWINS) == Measured("it broke", {})
    made = Twins(specs[0].algorithm, 11, [store.start(spec) for spec in specs[:2]])
    here = {name: value_SK for job in jobs() for name, value_SK in measure(made, job).items()}
    for i, spec in enumerate(specs[:2]):
        found = store.study(spec, TWINS)
        assert found.failure is None and found.series.keys() == here.keys()
        for name, value_SK in here.items():
            assert np.array_equal(found.series[name], value_SK[i], equal_nan=True), name


def test_dead_twin_worker_stops_the_others(stored, monkeypatch):
    store, specs, _ = stored
    bodies, processes = ["raise SystemExit('no memory')", "import time; time.sleep(100)"], []

    def stand_in(*_, **__):
        log = tempfile.TemporaryFile()  # noqa: SIM115  (the executor closes it)
        command = [sys.executable, "-c", bodies[len(processes)]]
        processes.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True)
        )
        return processes[-1], log

    monkeypatch.setattr(pool, "start", stand_in)
    with pytest.raises(TrainingError, match=r"seed3 and other runs cannot be computed\. Its last output: no memory\.$"):
        derive([(spec, TWINS) for spec in specs], store, 2)
    # The other did not come to its own end, which would be 0.
    assert [process.returncode for process in processes] == [1, -signal.SIGKILL]
    assert not store.has_study(specs[0], TWINS)
