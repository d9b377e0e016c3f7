"""Errors of the value network: to the targets that it is fitted to, to returns, and to the states' true values.

The network is that of a kept iteration after its regression, the policy the one that made the pairs. Errors are in the
learner's units of reward, and each comes with the mean square and the variance of the target that it is an error to:

    training    to the regression's target V_old + A, on the pairs that it was fitted to
    held_out    the same on as many fresh pairs
    returns     to discounted returns to go, on the pairs of fresh whole episodes: as in the papers, where part of the
                error is the returns' own noise
    true        to true values, in some of these pairs' states, from each of which two more episodes were played: the
                error to one times the error to the other is unbiased for the squared error to their mean
"""

import math

import numpy as np
import torch
from torch import Tensor

from rlclaims.agents.agent import Agent
from rlclaims.checkpoints import Checkpoint, checkpoint_iterations
from rlclaims.episodes import Floats32, Played
from rlclaims.randomness import Purpose, stream
from rlclaims.sim.tasks import Floats
from rlclaims.studies.replayed_run import (
    PILOT_EPISODES,
    POOL_STRIDE,
    VALUES,
    FinishedRun,
    Numbers,
    rollout_of,
    split,
    steps_before,
    to_go,
    typical_episode,
)
from rlclaims.training import HELD_OUT_EVERY

STATES = 64
"""States whose true values are estimated, at each kept iteration."""


def values(run: FinishedRun) -> Numbers:
    """Return mean squares of errors and of their targets, at each kept iteration: "2/true/error", "2/true/size".

    Also the variance of the targets, "2/true/spread"; and the papers' mean relative error, "2/returns/relative".

    Raises:
        SimulationFailure: MuJoCo could not simulate an episode.
    """
    checkpoints = run.start.checkpoints
    policies = [(run.theta(checkpoint), checkpoint.iteration) for checkpoint in checkpoints]
    episodes_K = [math.ceil(run.algorithm.steps / length) for length in run.episode_length(checkpoints)]
    order = range(len(checkpoints))[::-1]  # the longest episodes first
    listed = [(k, VALUES + policies[k][1] * POOL_STRIDE + e) for k in order for e in range(episodes_K[k])]
    fresh = split(run.play(policies, listed, range(len(listed))), [episodes_K[k] for k in order])
    states = {k: _Chosen(run, checkpoints[k], part) for k, part in zip(order, fresh, strict=True)}
    # The episodes from these states use other random numbers than the episodes that led there.
    again = [
        (k, VALUES + policies[k][1] * POOL_STRIDE + POOL_STRIDE // 2 + e) for k in order for e in range(2 * STATES)
    ]
    begin = (
        np.concatenate([np.repeat(getattr(states[k], name), 2, axis=0) for k in order]) for name in ("qpos", "qvel")
    )
    played = run.play(policies, again, range(len(again)), (next(begin), next(begin)))
    numbers: Numbers = {}
    for k, part, rollouts in zip(order, fresh, split(played, [2 * STATES] * len(order)), strict=True):
        errors = _errors(run, checkpoints[k], part, states[k], rollouts)
        numbers |= {f"{k}/{name}/{what}": [x] for name, summary in errors.items() for what, x in summary.items()}
    return numbers


class _Chosen:
    """Some states of fresh episodes, drawn uniformly from all pairs."""

    def __init__(self, run: FinishedRun, checkpoint: Checkpoint, played: Played) -> None:
        steps = played.trajectories
        rng = stream(run.start.seed, Purpose.VALUE_STATES, checkpoint.iteration)
        which = rng.integers(sum(len(t.reward_L) for t in steps), size=STATES)
        self.observation: Floats32 = np.concatenate([t.observation_LO[:-1] for t in steps])[which]
        self.qpos: Floats = np.concatenate([t.qpos_LQ for t in steps])[which]
        self.qvel: Floats = np.concatenate([t.qvel_LV for t in steps])[which]


def _errors(
    run: FinishedRun, checkpoint: Checkpoint, fresh: Played, states: _Chosen, again: Played
) -> dict[str, dict[str, float]]:
    """Return the errors by name."""
    before, after = run.agent(checkpoint), run.agent(checkpoint)
    after.phi_SP.copy_(torch.from_numpy(checkpoint.fitted_value_P)[None])

    def to_target(pairs: tuple[Floats32, Floats32, Floats32]) -> dict[str, float]:
        return _errors_to(_value(after, pairs[0]), _value(before, pairs[0]) + torch.from_numpy(pairs[2]))

    return_T, _ = _returns_to_go(before, fresh)
    return_N, begins_N = _returns_to_go(before, again)
    true_N2 = return_N[begins_N].view(-1, 2)
    error_N2 = _value(after, states.observation)[:, None] - true_N2
    return {
        "training": to_target(checkpoint.training),
        "held_out": to_target(checkpoint.held_out),
        "returns": _errors_to(
            _value(after, np.concatenate([t.observation_LO[:-1] for t in fresh.trajectories])), return_T
        ),
        "true": {
            "error": float(error_N2.prod(1).mean()),
            "size": float(true_N2.prod(1).mean()),
            # Two episodes from one state share only the state, so their covariance is the variance of values.
            "spread": float(torch.cov(true_N2.T)[0, 1]),
        },
    }


def _value(agent: Agent, observation_TO: Floats32) -> Tensor:
    """Return the value network's predictions, (T,), float64."""
    return agent.value_network(agent.phi_SP, torch.from_numpy(observation_TO)[None])[0, :, 0].double()


def _returns_to_go(agent: Agent, played: Played) -> tuple[Tensor, Tensor]:
    """Compute discounted returns to go in the learner's units, and whether an episode begins at each step, (T,)."""
    rollout = agent.with_scaled_rewards(rollout_of(played, range(len(played.trajectories))))
    nothing_1T = torch.zeros_like(rollout.reward_ST)
    return_1T = to_go(rollout, nothing_1T, nothing_1T, agent.algorithm.gamma)
    return return_1T[0], steps_before(rollout)[0] == 0


def _errors_to(value_T: Tensor, target_T: Tensor) -> dict[str, float]:
    """Return summaries of the errors of values to known targets."""
    error_T = value_T - target_T
    target_T = target_T.double()
    return {
        "error": float(error_T.square().mean()),
        "size": float(target_T.square().mean()),
        "spread": float(target_T.var()),
        "relative": float((error_T / target_T).abs().mean()),
    }


def length(name: str, iterations: int) -> int:  # noqa: ARG001
    """Return how many numbers a series has."""
    return 1


def expected_steps(pairs: int | None, iterations: int) -> int:  # noqa: ARG001
    """Return roughly how many simulator steps one run takes."""
    kept = checkpoint_iterations(iterations, HELD_OUT_EVERY)
    return sum(2048 + (STATES + PILOT_EPISODES) * typical_episode(i) for i in kept)
