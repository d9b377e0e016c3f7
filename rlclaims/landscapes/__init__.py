"""Landscapes: the return and the surrogate around a policy, as functions of a displacement in parameter space.

From where an update of a run started, at theta and with the normaliser that it was made with, policies are displaced

    theta + x step         along the update that was made: x = 1 is all of it
    theta + |step| u       as far, in 20 random directions u
    theta + 2 u            in the same directions, by the Gaussian of norm 2 that 1811.02553's figures have as y = 1

and every one of them plays whole episodes on common random numbers (`rlclaims.episodes`). The surrogate is the function
that the algorithm climbs, on the batch it had and on fresh pairs; and the unclipped one, on the fresh pairs and with
Monte Carlo advantages of whole episodes that theta played besides. It is told in units of return, as what it promises:
its rise, times the standard deviation of the advantages where they are standardised, times what rewards are divided by
where they are scaled, times the mean length of an episode.

Precision is bought in two stages. Pilot episodes, which are then put aside, say how many are needed along the step for
a standard error of 2% of the return; never fewer than 8, nor more than some 3,000 steps hold, which are 8 again where
an episode takes 300: there, late in Hopper's training, the error is more often 2 to 10%. Random directions, of which
there are 20, get 4 as far as the step, and 1 by the papers' scaling. All that is not linear in returns (squares, signs,
the best of several) is taken over four groups of independent episodes (`rlclaims.stats.split_samples`), so the numbers
kept are the groups' means; and what returns are told as parts of is the return of other episodes again.
"""

import torch

from rlclaims.agents.algorithm import Algorithm
from rlclaims.checkpoints import History, Start, checkpoint_iterations
from rlclaims.landscapes.around import ALONG, DIRECTIONS, MOST_STEPS, PILOT_EPISODES, landscapes
from rlclaims.landscapes.finished import GROUPS, FinishedRun, LandscapeFailure, Numbers, Told
from rlclaims.landscapes.updates import LATE_EPISODES, large_update, late_iterations, late_updates
from rlclaims.landscapes.updates import MOST_STEPS as LARGE_STEPS
from rlclaims.sim.tasks import task_named
from rlclaims.training import HELD_OUT_EVERY, one_torch_thread

__all__ = ["LandscapeFailure", "expected_steps", "length", "measured"]


def measured(
    kind: str,
    pairs: int | None,
    algorithm: Algorithm,
    task: str,
    iterations: int,
    start: Start,
    history: History,
    on_steps: Told = lambda _: None,
) -> Numbers:
    """The numbers of one run, by name.

    Args:
        kind: "landscapes", "late_updates" or "large_updates".
        pairs: of a large update's batch.
        algorithm: what the run was trained by.
        task: Gymnasium's id.
        iterations: of its training.
        start: where its kept updates started.
        history: its policies and normalisers.
        on_steps: told of simulator steps, as they are made.

    Raises:
        LandscapeFailure: MuJoCo could not simulate an episode.
    """
    run = FinishedRun(algorithm, task_named(task), iterations, start, history, on_steps)
    with one_torch_thread():
        if kind == "large_updates":
            assert pairs is not None
            return large_update(run, pairs)
        with torch.no_grad():
            return landscapes(run) if kind == "landscapes" else late_updates(run)


def length(kind: str, name: str, iterations: int) -> int:
    """How many numbers a series has, by its name."""
    if kind == "late_updates":
        return len(late_iterations(iterations)) * GROUPS
    if kind == "large_updates":
        return {"return": 3 * GROUPS, "discounted": 3 * GROUPS, "pairs": 1, "own/return": 1}.get(name, 2)
    _, part, what = name.split("/", 2)
    if part == "own" or what in ("episodes", "norm"):
        return 1
    points = len(ALONG) if part == "along" else DIRECTIONS
    return points * (GROUPS if what in ("return", "discounted") and part != "far" else 1)


def expected_steps(kind: str, pairs: int | None, iterations: int) -> int:
    """Simulator steps for one run, roughly: of a learner whose episodes grow from 20 steps to 350."""

    def episode(iteration: int) -> int:
        return min(20 + 4 * iteration, 350)

    kept = checkpoint_iterations(iterations, HELD_OUT_EVERY)
    if kind == "late_updates":
        return sum(2 * LATE_EPISODES * episode(i) for i in late_iterations(iterations))
    if kind == "large_updates":
        return (pairs or 0) + 3 * LARGE_STEPS + PILOT_EPISODES * episode(kept[-1])
    random = DIRECTIONS * (GROUPS + 1) + 2 * PILOT_EPISODES
    return sum(len(ALONG) * MOST_STEPS + random * episode(i) for i in kept)
