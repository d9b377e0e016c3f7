"""One seed, many independent streams: what is random in a run, and nothing else, follows from its seed.

Streams are keyed by purpose, not drawn one after another, so that two algorithms with the same seed share
initial states and action noise (which pairs them), and so that measuring never shifts what training draws.
"""

from enum import IntEnum

import numpy as np
import torch


class Purpose(IntEnum):
    """What a stream is for. The numbers are part of every run's identity: append, never renumber."""

    POLICY_INIT = 0
    VALUE_INIT = 1
    TRAINING_RESETS = 2
    TRAINING_NOISE = 3
    MINIBATCHES = 4
    HELD_OUT_RESETS = 5
    HELD_OUT_NOISE = 6
    FISHER_STATES = 7


def stream(seed: int, purpose: Purpose, index: int = 0) -> np.random.Generator:
    """The numpy generator of one seed for one purpose (and, say, one iteration)."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(purpose), index)))


def torch_stream(seed: int, purpose: Purpose) -> torch.Generator:
    """The same for torch, seeded from the numpy stream."""
    state = int(stream(seed, purpose).integers(2**63))
    return torch.Generator().manual_seed(state)
