"""Real, small runs, and naive computations of their episodes, advantages and objectives."""

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from rlclaims import PPO, PPOM, TRPO, PPONoClip, training
from rlclaims.checkpoints import History, checkpoints_to_arrays, start_from_arrays
from rlclaims.randomness import Purpose, stream
from rlclaims.sim.simulator import Simulator
from rlclaims.sim.tasks import task_named
from rlclaims.studies.kind import RunData
from rlclaims.studies.registry import KINDS
from rlclaims.studies.replayed_run import FinishedRun
from rlclaims.training import Cohort, Group

ITERATIONS, KEPT = 12, (0, 4, 8)
LIMIT = 40
TASK = replace(task_named("Hopper-v5"), time_limit=LIMIT)  # short, so that both kinds of endings occur
SIZES, N_ACTION = (11, 8, 8), 3
SMALL = {"steps": 256, "minibatches": 8, "value_epochs": 2, "hidden": (8, 8)}
# Learning rates at which many ratios leave the clip range.
ALGORITHMS = {
    "PPO": PPO(**SMALL, epochs=4, learning_rate=5e-3),
    "PPOM": PPOM(**SMALL, epochs=3, learning_rate=5e-3, clip_epsilon=0.1),
    "PPONoClip": PPONoClip(**SMALL, epochs=2, learning_rate=8e-3, gradient_clip=0.4, reward_clip=1.2),
    "TRPO": TRPO(**SMALL),
    "PPO without values": PPO(**SMALL, epochs=4, learning_rate=5e-3, value_baseline=False),
    "TRPO without values": TRPO(**SMALL, value_baseline=False),
}
# Offsets between the random streams of two iterations, and of an iteration's uses.
OF_ITERATION, OF_MAIN, OF_LATE, OF_BATCHES = 100_000, 25_000, 50_000, 75_000


def train_small_runs():
    """Train two runs of each algorithm in one cohort, and return each second run by name, as the store returns it."""
    groups = [Group(algorithm, (5, 2)) for algorithm in ALGORITHMS.values()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "HELD_OUT_EVERY", 4)
        records = Cohort(TASK, groups, ITERATIONS).train()[1::2]
    runs = {}
    for name, record in zip(ALGORITHMS, records, strict=True):
        assert record.failure is None
        theta_KP = np.stack(record.policy_parameters)
        start = start_from_arrays(record.seed, theta_KP, checkpoints_to_arrays(record.checkpoints))
        assert tuple(checkpoint.iteration for checkpoint in start.checkpoints) == KEPT
        history = History(theta_KP, *map(np.array, zip(*record.normalizations, strict=True)))
        runs[name] = FinishedRun(record.algorithm, TASK, ITERATIONS, start, history, lambda _: None)
    return runs


@dataclass(frozen=True)
class NaiveEpisode:
    """One episode, played by a loop."""

    observations: list
    """Normalised observations, including the last."""
    actions: list
    rewards: list
    terminated: bool
    states: list
    """Positions and velocities of the simulator before each step."""

    def discounted(self, gamma=0.99):
        return math.fsum(gamma**t * reward for t, reward in enumerate(self.rewards))


@cache
def simulator():
    return Simulator(TASK, [np.random.default_rng(0)])


def noise_of(run, index):
    """Return the action noise (T, A) of an episode, which may end before T."""
    return stream(run.start.seed, Purpose.LANDSCAPE_NOISE, index).standard_normal((LIMIT, N_ACTION), np.float32)


def by_hand(run, theta_P, iteration, index=None, begin=None, noise_TA=None):
    """Play one episode of a policy with an iteration's normaliser, by the random numbers of an index.

    Initial positions and velocities, and the noise, may be given instead.
    """
    simulation, clip = simulator(), run.algorithm.observation_clip or np.inf
    if begin is None:
        begin = simulation.initial_state(stream(run.start.seed, Purpose.LANDSCAPE_RESETS, index))
    noise_TA = noise_of(run, index) if noise_TA is None else noise_TA
    # The means are those of the actor, which is tested against the formula elsewhere: with another rounding, an episode
    # that ends at a threshold may last a step longer.
    actor = run.network.actor(torch.from_numpy(np.asarray(theta_P, np.float32)[None]))

    def normalized(raw_O):
        scaled_O = (raw_O - run.history.offset_KO[iteration]) * run.history.inverse_std_KO[iteration]
        return scaled_O.clip(-clip, clip).astype(np.float32)

    observations = [normalized(simulation.set_state(np.array([0]), *(x[None] for x in begin))[0])]
    actions, rewards, states, done = [], [], [], False
    while not done and len(actions) < len(noise_TA):
        states.append(tuple(x[0].copy() for x in simulation.state))
        actions.append(actor.act(observations[-1][None], noise_TA[[len(actions)]])[0])
        step = simulation.step(actions[-1][None])
        observations.append(normalized(step.observation_SO[0]))
        rewards.append(float(step.reward_S[0]))
        done = step.terminated_S[0] or step.truncated_S[0]
    return NaiveEpisode(observations, actions, rewards, bool(step.terminated_S[0]), states)


def step_of(run, iteration):
    """Return theta before an iteration's update, and the update's step, in double precision."""
    old_P, new_P = (run.history.theta_KP[i].astype(np.float64) for i in (iteration, iteration + 1))
    return old_P, new_P - old_P


def group_means(values):
    """Return the means of four equal parts, in order."""
    n = len(values) // 4
    return [math.fsum(values[g * n : (g + 1) * n]) / n for g in range(4)]


def reward_scale(checkpoint):
    """Return mean and standard deviation of the statistic that rewards are scaled by."""
    _, n, mean, squares = checkpoint.reward_state
    return mean, math.sqrt(squares / (n - 1)) + 1e-8


def scaled_rewards(run, checkpoint, episode):
    """Return the rewards that are learnt from, scaled by a checkpoint's reward statistic."""
    m, s = reward_scale(checkpoint)
    scaled = {
        "PPO": lambda r: max(-10, min(10, r / s)),
        "PPONoClip": lambda r: max(-1.2, min(1.2, m + (r - m) / s)),
        "TRPO": lambda r: r,
    }[type(run.algorithm).__name__]
    return [scaled(reward) for reward in episode.rewards]


def values_of(value_P, observations, as_module):
    """Return a value network's value of each observation, in double precision."""
    module = as_module(torch.as_tensor(value_P).double(), (*SIZES, 1))
    return module(torch.from_numpy(np.array(observations)).double()).flatten().tolist()


def naive_advantages(run, checkpoint, episode, lam, as_module, value_P=None):
    """Return generalised advantages of one episode, bootstrapped with a value after truncation only."""
    values = values_of(checkpoint.value_P if value_P is None else value_P, episode.observations, as_module)
    rewards, gamma, later, advantages = scaled_rewards(run, checkpoint, episode), 0.99, 0.0, []
    for t in reversed(range(len(rewards))):
        last = t + 1 == len(rewards)
        following = 0.0 if last and episode.terminated else values[t + 1]
        later = rewards[t] + gamma * following - values[t] + gamma * lam * later
        advantages.insert(0, later)
    return advantages


def to_come(rewards, gamma):
    """Return the discounted return to go of each step, each summed separately to the end of the episode."""
    return [math.fsum(gamma**i * r for i, r in enumerate(rewards[t:])) for t in range(len(rewards))]


def log_densities(theta_P, observation_BO, action_BA, as_module):
    theta_P = torch.as_tensor(theta_P).double()
    mean_BA = as_module(theta_P[:-N_ACTION], (*SIZES, N_ACTION))(observation_BO.double()).detach()
    return Normal(mean_BA, theta_P[-N_ACTION:].exp()).log_prob(action_BA.double()).sum(-1)


def naive_objective(algorithm, old_P, new_P, pairs, as_module):
    """Return an objective in double precision, as the papers define it."""
    observation_BO, action_BA, advantage_B = map(torch.from_numpy, pairs)
    logs_B = [log_densities(theta_P, observation_BO, action_BA, as_module) for theta_P in (new_P, old_P)]
    ratio_B, weight_B = (logs_B[0] - logs_B[1]).exp(), advantage_B.double()
    if getattr(algorithm, "normalize_advantages", True):
        weight_B = (weight_B - weight_B.mean()) / weight_B.std()
    epsilon = getattr(algorithm, "clip_epsilon", None)
    if epsilon is None:
        gain_B = ratio_B * weight_B
    else:
        below_B = ratio_B * weight_B < ratio_B.clip(1 - epsilon, 1 + epsilon) * weight_B
        gain_B = torch.where(below_B, ratio_B, ratio_B.clip(1 - epsilon, 1 + epsilon)) * weight_B
    entropy = Normal(0.0, torch.as_tensor(new_P[-N_ACTION:]).double().exp()).entropy().sum()
    return float(gain_B.mean() + (getattr(algorithm, "entropy_coefficient", None) or 0.0) * entropy)


def unit_of(algorithm, checkpoint, pairs, steps):
    """Return the factor that converts an objective to units of return."""
    unit = steps * (reward_scale(checkpoint)[1] if algorithm.scale_rewards else 1.0)
    standardised = getattr(algorithm, "normalize_advantages", True)
    return unit * np.std(pairs[2].astype(np.float64), ddof=1) if standardised else unit


def computed(kind, pairs, algorithm, task, iterations, start, history, on_steps=lambda _: None):
    """Return the series of one run's study, as a worker process computes them."""
    run = RunData(algorithm, task, iterations, lambda: start, lambda: history)
    (series,) = KINDS[kind].compute([run], pairs, "", on_steps)
    return series
