"""Checkpoints: their iterations, and that a file restores all of them."""

import math

import numpy as np
import pytest
import safetensors.numpy

from rlclaims.checkpoints import (
    CHECKPOINTS_AT,
    Checkpoint,
    checkpoint_iterations,
    checkpoints_to_arrays,
    start_from_arrays,
)
from rlclaims.randomness import Purpose, stream, stream_from_array, stream_to_array


@pytest.mark.parametrize(
    ("iterations", "kept"),
    [
        (488, (0, 150, 300, 450)),  # 1811.02553's figures
        (100, (0, 30, 60, 90)),  # of 0, 30.7, 61.5, 92.2
        (20, (0, 10)),  # of 0, 6.1, 12.3, 18.4
        (11, (0, 10)),  # of 0, 3.4, 6.8, 10.1
        (2, (0,)),
        (1, (0,)),
    ],
)
def test_checkpoints_are_at_the_papers_iterations(iterations, kept):
    assert checkpoint_iterations(iterations, 10) == kept


@pytest.mark.parametrize("every", [1, 3, 10])
def test_checkpoints_are_the_nearest_with_fresh_pairs(every):
    for iterations in range(1, 300):
        kept = checkpoint_iterations(iterations, every)
        measured = range(0, iterations, every)
        assert list(kept) == sorted(set(kept)) and set(kept) <= set(measured)
        for part in CHECKPOINTS_AT:
            nearest = min(abs(i - part * iterations) for i in measured)
            assert min(abs(i - part * iterations) for i in kept) == pytest.approx(nearest, abs=1e-9)


DRAWS = {
    "orders": lambda rng: rng.permutation(97),
    "normals": lambda rng: rng.standard_normal((3, 5), np.float32),
    "large numbers": lambda rng: rng.integers(2**63, size=4),
    "halves of 64 bits": lambda rng: rng.integers(2**32, size=3, dtype=np.uint32),  # an odd number: one is left over
    "uniforms": lambda rng: rng.uniform(-1, 1, 6),
}


@pytest.mark.parametrize("seed", [0, 5, 2**40])
def test_stream_resumes_from_its_array(seed):
    left_over = set()
    original = stream(seed, Purpose.MINIBATCHES)
    for draw in [*DRAWS.values(), *DRAWS.values()]:
        draw(original)
        state = stream_to_array(original)
        assert state.dtype == np.uint64 and state.shape == (6,)
        left_over.add(original.bit_generator.state["has_uint32"])
        # Through the bytes of a file, and without advancing the original stream.
        copy = stream_from_array(np.frombuffer(state.tobytes(), np.uint64))
        assert copy.bit_generator.state == original.bit_generator.state
        ahead = [stream_from_array(state) for _ in range(2)]
        for name in DRAWS:
            assert np.array_equal(DRAWS[name](ahead[0]), DRAWS[name](ahead[1])), name
        assert np.array_equal(DRAWS["halves of 64 bits"](copy), DRAWS["halves of 64 bits"](original))
    assert left_over == {0, 1}


def test_different_streams_have_different_arrays():
    states = [stream_to_array(stream(s, purpose)).tolist() for s in range(3) for purpose in Purpose]
    assert len({tuple(state) for state in states}) == 3 * len(Purpose)


def checkpoint(iteration):
    rng = np.random.default_rng(iteration)
    pairs = [tuple(rng.normal(size=shape).astype(np.float32) for shape in ((6, 4), (6, 2), (6,))) for _ in range(2)]
    moments = rng.normal(size=(2, 9)).astype(np.float32)
    values = rng.normal(size=(2, 5)).astype(np.float32)
    return Checkpoint(iteration, *moments, 12 * iteration, stream_to_array(rng), *values, rng.normal(size=4), *pairs)


def assert_same(one, other):
    assert (one.iteration, one.adam_steps) == (other.iteration, other.adam_steps)
    assert type(one.adam_steps) is int
    for name in ("adam_mean_P", "adam_square_P", "minibatch_state", "value_P", "fitted_value_P", "reward_state"):
        ours, theirs = getattr(one, name), getattr(other, name)
        assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs), name
    for states in ("training", "held_out"):
        for ours, theirs in zip(getattr(one, states), getattr(other, states), strict=True):
            assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs), states


def test_file_restores_checkpoints_in_numerical_order(tmp_path):
    kept = [checkpoint(iteration) for iteration in (0, 20, 100)]  # "100" would come before "20"
    safetensors.numpy.save_file(checkpoints_to_arrays(kept), tmp_path / "starts.safetensors")
    theta_KP = np.arange(103 * 9, dtype=np.float32).reshape(103, 9)
    start = start_from_arrays(7, theta_KP, safetensors.numpy.load_file(tmp_path / "starts.safetensors"))
    assert start.seed == 7
    assert np.array_equal(start.initial_P, np.arange(9))
    assert start.theta_KP[:, 0].tolist() == [0, 20 * 9, 100 * 9]
    assert len(start.checkpoints) == 3
    for one, other in zip(start.checkpoints, kept, strict=True):
        assert_same(one, other)


def test_a_missing_array_is_a_key_error():
    for name in checkpoints_to_arrays([checkpoint(10)]):
        arrays = checkpoints_to_arrays([checkpoint(0), checkpoint(10)])
        del arrays[name]
        with pytest.raises(KeyError, match=name.partition("/")[2]):
            start_from_arrays(7, np.zeros((12, 9), np.float32), arrays)


def test_run_without_checkpoints_has_an_empty_start():
    start = start_from_arrays(7, np.zeros((2, 9), np.float32), checkpoints_to_arrays([]))
    assert start.checkpoints == () and start.theta_KP.shape == (0, 9) and math.prod(start.initial_P.shape) == 9
