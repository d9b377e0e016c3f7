"""Planes through policies of real, small runs, point by point by a naive route."""

import math

import numpy as np
import pytest
from small_runs import KEPT, OF_ITERATION, OF_MAIN, by_hand, computed, naive_objective, step_of, unit_of

from rlclaims.randomness import Purpose, stream
from rlclaims.studies.planes import compute as planes
from rlclaims.studies.registry import KINDS


@pytest.fixture(scope="module")
def made(runs):
    return {name: planes.planes(runs[name]) for name in ("PPO", "TRPO")}


def point(run, iteration, x, y):
    """So much of the step, and as far in the first random direction."""
    old_P, step_P = step_of(run, iteration)
    u_P = stream(run.start.seed, Purpose.LANDSCAPE_DIRECTIONS, iteration).standard_normal(len(old_P))
    return (old_P + x * step_P + y * math.sqrt(sum(step_P**2)) * u_P / math.sqrt(sum(u_P**2))).astype(np.float32)


CORNERS = [(0, 0), (0, 8), (4, 2), (4, 4), (7, 5), (8, 8)]
"""Rows and columns: theta is in the fifth row, the third column, and all of the step in the fifth."""


@pytest.mark.parametrize("name", ["PPO", "TRPO"])
@pytest.mark.parametrize("k", [0, 2])
def test_plane_returns_match_points_played_by_hand(name, k, runs, made):
    run, iteration = runs[name], KEPT[k]
    heights = np.reshape(made[name][f"{k}/return"], (9, 9))
    for row, column in CORNERS:
        theta_P = point(run, iteration, -1 + column / 2, -2 + row / 2)
        hands = [by_hand(run, theta_P, iteration, OF_ITERATION * iteration + OF_MAIN + e) for e in range(4)]
        assert heights[row, column] == pytest.approx(np.mean([math.fsum(h.rewards) for h in hands]), rel=1e-4)
    assert np.ptp(heights) > 0


@pytest.mark.parametrize("name", ["PPO", "TRPO"])
def test_promises_are_rises_of_the_papers_objective(name, runs, made, as_module):
    run, k = runs[name], 1
    checkpoint, iteration = run.start.checkpoints[k], KEPT[k]
    promises = np.reshape(made[name][f"{k}/promise"], (9, 9))
    old_P = run.history.theta_KP[iteration]
    hands = [by_hand(run, old_P, iteration, OF_ITERATION * iteration + OF_MAIN + e) for e in range(4)]
    unit = unit_of(run.algorithm, checkpoint, checkpoint.training, np.mean([len(h.rewards) for h in hands]))
    still = naive_objective(run.algorithm, old_P, old_P, checkpoint.training, as_module)
    for row, column in CORNERS:
        theta_P = point(run, iteration, -1 + column / 2, -2 + row / 2)
        rise = naive_objective(run.algorithm, old_P, theta_P, checkpoint.training, as_module) - still
        assert promises[row, column] == pytest.approx(unit * rise, rel=1e-3, abs=1e-5 * unit)
    assert promises[4, 2] == 0 and promises[4, 4] > 0  # the algorithm climbed it


def test_planes_kind_matches_its_series(runs, made):
    run, steps = runs["PPO"], []
    task = run.task.id
    assert planes.ALONG[4] == 1 and planes.ALONG[2] == planes.ACROSS[4] == 0
    for name, numbers in made["PPO"].items():
        assert KINDS["planes"].length(name, run.iterations) == len(numbers)
    again = computed("planes", None, run.algorithm, task, run.iterations, run.start, run.history, steps.append)
    assert again.keys() == made["PPO"].keys() and sum(steps) > 0
