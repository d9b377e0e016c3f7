"""The last kept update of a run, made on many more pairs, and the returns that it and the update made lead to."""

import math
from collections.abc import Callable

import numpy as np
import torch

from rlclaims.checkpoints import checkpoint_iterations
from rlclaims.measures.divergence import mean_kl_old_new
from rlclaims.studies.landscape.compute import episodes_needed
from rlclaims.studies.replayed_run import (
    BATCHES,
    GROUPS,
    MAIN,
    PILOT_EPISODES,
    STRIDE,
    FinishedRun,
    Numbers,
    grouped,
    tables,
    typical_episode,
)
from rlclaims.training import HELD_OUT_EVERY

MOST_STEPS = 12_000
"""Approximate limit on the simulator steps of each of the three policies around a large update."""


def large_update(run: FinishedRun, pairs: int | None) -> Numbers:
    """Make the last kept update on about this many fresh pairs of whole episodes; measure it and the original update.

    The number of episodes is fixed beforehand, from the episode length in a pilot.

    Raises:
        SimulationFailure: MuJoCo could not simulate an episode.
    """
    assert pairs is not None
    checkpoint = run.start.checkpoints[-1]
    at, first = checkpoint.iteration, checkpoint.iteration * STRIDE
    own_P, small_P = run.history.theta_KP[at : at + 2]
    (length,) = run.episode_length([checkpoint])
    every = range(math.ceil(pairs / length))
    collected = run.play([(own_P, at)], [(0, first + BATCHES + e) for e in every], every)
    batch = run.batch(checkpoint, collected, every, run.algorithm.gae_lambda)
    agent = run.agent(checkpoint)
    improve: Callable[..., None] = run.algorithm.improve  # type: ignore[attr-defined]
    with torch.enable_grad():
        improve(agent, batch)
    large_P = agent.theta_SP[0].detach().numpy().copy()
    wanted = episodes_needed(length, most_steps=MOST_STEPS)
    policies = [(theta_P, at) for theta_P in (own_P, small_P, large_P)]
    played = run.play(policies, [(policy, first + MAIN + e) for policy in range(3) for e in range(wanted)])
    table = tables(played, wanted)
    moved_NP = np.stack([small_P, large_P])
    return {
        "return": grouped(table["return"]),
        "discounted": grouped(table["discounted"]),
        "promise": run.promised(checkpoint, moved_NP, batch, float(collected.length_M.mean())),
        "kl": mean_kl_old_new(run.update(checkpoint, moved_NP, batch)).tolist(),
        "norm": [float(np.linalg.norm(theta_P - own_P)) for theta_P in moved_NP],
        "pairs": [float(batch.advantage_SB.shape[1])],
        "own/return": [float(collected.return_M.mean())],
    }


def length(name: str, iterations: int) -> int:  # noqa: ARG001
    """Return how many numbers a series has, by its name."""
    return {"return": 3 * GROUPS, "discounted": 3 * GROUPS, "pairs": 1, "own/return": 1}.get(name, 2)


def expected_steps(pairs: int | None, iterations: int) -> int:
    """Return roughly how many simulator steps one run takes."""
    last = checkpoint_iterations(iterations, HELD_OUT_EVERY)[-1]
    return (pairs or 0) + 3 * MOST_STEPS + PILOT_EPISODES * typical_episode(last)
