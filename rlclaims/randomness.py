"""Independent random streams derived from a run's seed, the only source of randomness in the run.

Streams are keyed by purpose instead of being drawn one after another, so that two algorithms with the same seed share
initial states and action noise (which pairs them), and so that measuring never changes what training draws.
"""

from enum import IntEnum

import numpy as np
import numpy.typing as npt
import torch


class Purpose(IntEnum):
    """The purpose of a stream. The numbers are part of every run's identity: append, never renumber."""

    POLICY_INIT = 0
    VALUE_INIT = 1
    TRAINING_RESETS = 2
    TRAINING_NOISE = 3
    MINIBATCHES = 4
    HELD_OUT_RESETS = 5
    HELD_OUT_NOISE = 6
    FISHER_STATES = 7
    LANDSCAPE_RESETS = 8
    LANDSCAPE_NOISE = 9
    LANDSCAPE_DIRECTIONS = 10
    VALUE_STATES = 11
    TWIN_CHOICES = 12


def stream(seed: int, purpose: Purpose, index: int = 0) -> np.random.Generator:
    """Return the numpy generator of one seed for one purpose (and, for example, one iteration)."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(purpose), index)))


def torch_stream(seed: int, purpose: Purpose, index: int = 0) -> torch.Generator:
    """Return the torch generator of one seed for one purpose, seeded from the numpy stream."""
    state = int(stream(seed, purpose, index).integers(2**63))
    return torch.Generator().manual_seed(state)


def stream_to_array(generator: np.random.Generator) -> npt.NDArray[np.uint64]:
    """Return the state of a stream as an array of six numbers."""
    state = generator.bit_generator.state
    halves = [half for number in (state["state"]["state"], state["state"]["inc"]) for half in divmod(number, 2**64)]
    return np.array([*halves, state["has_uint32"], state["uinteger"]], dtype=np.uint64)


def stream_from_array(state: npt.NDArray[np.uint64]) -> np.random.Generator:
    """Return a stream that continues from the state that `stream_to_array` returned."""
    high, low, increment_high, increment_low, has_uint32, uinteger = (int(x) for x in state)
    generator = np.random.PCG64()
    generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": high * 2**64 + low, "inc": increment_high * 2**64 + increment_low},
        "has_uint32": has_uint32,
        "uinteger": uinteger,
    }
    return np.random.Generator(generator)
