"""Updates and what they do to the return: every late one of a run, and the last kept one made on many more pairs."""

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
    LATE_UPDATES,
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

LATE = 0.75
"""Part of training after which updates are late."""
MOST_STEPS = 12_000
"""Of each of the three policies around a large update, roughly."""
LATE_EPISODES = 8
"""Before and after each late update."""


def late_iterations(iterations: int) -> range:
    """The iterations whose updates are late."""
    return range(math.floor(LATE * iterations), iterations)


def late_updates(run: FinishedRun) -> Numbers:
    """Returns before and after every late update, both with the normaliser that the update was made with.

    Raises:
        SimulationFailure: MuJoCo could not simulate an episode.
    """
    late = late_iterations(run.iterations)
    policies = [(run.history.theta_KP[j], i) for i in late for j in (i, i + 1)]
    episodes = [
        (policy, iteration * STRIDE + LATE_UPDATES + e)
        for policy, (_, iteration) in enumerate(policies)
        for e in range(LATE_EPISODES)
    ]
    at = tables(run.play(policies, episodes), LATE_EPISODES)
    return {
        f"{when}/{name}": grouped(at[name][side::2])
        for side, when in enumerate(("before", "after"))
        for name in ("return", "discounted")
    }


def large_update(run: FinishedRun, pairs: int | None) -> Numbers:
    """The last kept update on about so many fresh pairs, of whole episodes, and where it and the one made lead.

    How many episodes hold them is fixed beforehand, by the length of a pilot's.

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


def late_length(name: str, iterations: int) -> int:  # noqa: ARG001
    """How many numbers a series of late updates has."""
    return len(late_iterations(iterations)) * GROUPS


def large_length(name: str, iterations: int) -> int:  # noqa: ARG001
    """How many numbers a series of large updates has, by its name."""
    return {"return": 3 * GROUPS, "discounted": 3 * GROUPS, "pairs": 1, "own/return": 1}.get(name, 2)


def late_expected_steps(pairs: int | None, iterations: int) -> int:  # noqa: ARG001
    """Simulator steps for one run's late updates, roughly."""
    return sum(2 * LATE_EPISODES * typical_episode(i) for i in late_iterations(iterations))


def large_expected_steps(pairs: int | None, iterations: int) -> int:
    """Simulator steps for one run's large update, roughly."""
    last = checkpoint_iterations(iterations, HELD_OUT_EVERY)[-1]
    return (pairs or 0) + 3 * MOST_STEPS + PILOT_EPISODES * typical_episode(last)
