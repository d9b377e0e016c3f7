"""A plane through a policy: the return and the surrogate along the update and across it, for pictures.

As in the figures of the post and of 1811.02553, one axis is the update that was made, theta + x step, and the other a
random direction as far, theta + y |step| u. Every point plays the random numbers of the same few episodes, which is
enough for a picture; claims judge landscapes, along the step alone and with as many episodes as that takes.
"""

import numpy as np
import torch

from rlclaims.checkpoints import checkpoint_iterations
from rlclaims.studies.landscape.compute import directions, displaced
from rlclaims.studies.replayed_run import MAIN, STRIDE, FinishedRun, Numbers, tables, typical_episode
from rlclaims.training import HELD_OUT_EVERY
from rlclaims.update import Batch

ALONG = tuple(np.linspace(-1, 3, 9).tolist())
"""Multiples of the step."""
ACROSS = tuple(np.linspace(-2, 2, 9).tolist())
"""Multiples of its length, in the random direction."""
EPISODES = 4
"""Episodes of each point."""


def planes(run: FinishedRun) -> Numbers:
    """Return returns and the training batch's surrogate at each kept iteration, row by row of `ACROSS`.

    Raises:
        SimulationFailure: MuJoCo could not simulate an episode.
    """
    numbers: Numbers = {}
    for k, checkpoint in enumerate(run.start.checkpoints):
        step_P = run.step(checkpoint)[1]
        across_P = np.linalg.norm(step_P) * directions(run, checkpoint, 1)[0]
        shift_NP = np.array([x * step_P + y * across_P for y in ACROSS for x in ALONG])
        points_NP = displaced(run, checkpoint, shift_NP)
        index = checkpoint.iteration * STRIDE + MAIN
        listed = [(point, index + e) for point in range(len(points_NP)) for e in range(EPISODES)]
        played = tables(run.play([(theta_P, checkpoint.iteration) for theta_P in points_NP], listed), EPISODES)
        batch = Batch(*(torch.from_numpy(x)[None] for x in checkpoint.training))
        centre = ACROSS.index(0.0) * len(ALONG) + ALONG.index(0.0)
        length = float(played["length"][centre].mean())
        numbers[f"{k}/return"] = played["return"].mean(1).tolist()
        numbers[f"{k}/promise"] = run.promised(checkpoint, points_NP, batch, length)
    return numbers


def length(name: str, iterations: int) -> int:  # noqa: ARG001
    """Return how many numbers a series has."""
    return len(ALONG) * len(ACROSS)


def expected_steps(pairs: int | None, iterations: int) -> int:  # noqa: ARG001
    """Return roughly how many simulator steps one run takes."""
    kept = checkpoint_iterations(iterations, HELD_OUT_EVERY)
    return sum(len(ALONG) * len(ACROSS) * EPISODES * typical_episode(i) for i in kept)
