"""Where policy updates started: what is kept of a run at four iterations, so that these can be made again otherwise."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rlclaims.agents.algorithm import Agent
from rlclaims.update import Batch

Floats32 = npt.NDArray[np.float32]

CHECKPOINTS_AT = (0, 150 / 488, 300 / 488, 450 / 488)
"""Parts of training after which an update's start is kept: iterations 0, 150, 300, 450, as 1811.02553's figures."""


def checkpoint_iterations(iterations: int, held_out_every: int) -> tuple[int, ...]:
    """The iterations whose updates can be made again, ascending: those measured on fresh pairs that lie nearest.

    Four, except in runs so short that some of them are the same.
    """
    last = (iterations - 1) // held_out_every
    nearest = (min(round(part * iterations / held_out_every), last) for part in CHECKPOINTS_AT)
    return tuple(dict.fromkeys(held_out_every * k for k in nearest))


@dataclass(frozen=True)
class Checkpoint:
    """All that one run's policy update starts from, beside theta: what makes the same update again."""

    iteration: int
    adam_mean_P: Floats32
    """First moment of the policy's Adam."""
    adam_square_P: Floats32
    """Its second moment."""
    adam_steps: int
    """Steps that it has made."""
    minibatch_state: npt.NDArray[np.uint64]
    """Where the random stream of minibatch orders stands (`rlclaims.randomness.state_of`)."""
    training: tuple[Floats32, Floats32, Floats32]
    """Observations (T, O), normalised, actions (T, A) and advantages (T,) that the policy learns from."""
    held_out: tuple[Floats32, Floats32, Floats32]
    """As many fresh pairs of the same policy."""


def start_of_update(agent: Agent) -> Callable[[int, int, Batch, Batch], Checkpoint]:
    """Keep where the policies' updates start, before one; the pairs that they learn from are added after it."""
    adam, states = agent.policy_adam.copy(), agent.minibatch_states()

    def pairs(batch: Batch, i: int) -> tuple[Floats32, Floats32, Floats32]:
        return batch.observation_SBO[i].numpy(), batch.action_SBA[i].numpy(), batch.advantage_SB[i].numpy()

    def checkpoint(iteration: int, i: int, training: Batch, held_out: Batch) -> Checkpoint:
        moments = adam.mean_SP[i], adam.square_SP[i], adam.steps
        return Checkpoint(iteration, *moments, states[i], pairs(training, i), pairs(held_out, i))

    return checkpoint
