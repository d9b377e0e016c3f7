"""Small run records with invented numbers, for tests of the store."""

import numpy as np

from rlclaims.agents.ppo import PPO
from rlclaims.checkpoints import Checkpoint
from rlclaims.randomness import Purpose, stream, stream_to_array
from rlclaims.records import RunRecord
from rlclaims.store.run_spec import RunSpec

SPEC = RunSpec(PPO(), "Hopper-v5", 2, 5)
SERIES = {"kl_old_new/mean/training": [0.1, 0.2]}


def record(failure=None, episodes=((0, 20, 31.5), (20, 9, 8.25)), checkpoints=()):
    theta = [np.full(4, k, np.float32) for k in range(3)]
    statistics = [(np.array([k, 1.5]), np.array([2.0, k])) for k in range(2)]
    return RunRecord(PPO(), 5, failure, SERIES, theta, list(episodes), list(checkpoints), statistics)


def checkpoint(iteration):
    training, held_out = (
        tuple(np.random.default_rng(i).normal(size=shape).astype(np.float32) for shape in ((6, 3), (6, 1), (6,)))
        for i in (iteration, 100 + iteration)
    )
    moments = np.full((2, 4), iteration + 0.5, np.float32)
    stands = stream_to_array(stream(5, Purpose.MINIBATCHES))
    scale = np.array([iteration + 0.25, 2.0])
    return Checkpoint(iteration, *moments, 8 * iteration, stands, moments[0], moments[1] + 1, scale, training, held_out)


def without_its_last_byte(file):
    file.write_bytes(file.read_bytes()[:-1])
