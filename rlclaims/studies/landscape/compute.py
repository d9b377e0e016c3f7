"""Landscapes: the return and the surrogate around a policy, as functions of a displacement in parameter space.

From where an update of a run started, at theta and with the normaliser of the update, policies are displaced to

    theta + x step         along the update that was made: x = 1 is all of it
    theta + |step| u       equally far, in 20 random directions u
    theta + 2 u            in the same directions, by the Gaussian of norm 2 that is y = 1 in 1811.02553's figures

and each of them plays whole episodes on common random numbers (`rlclaims.episodes`). The surrogate is the function
that the algorithm climbs, on its own batch and on fresh pairs; and the unclipped one, on the fresh pairs and with
Monte Carlo advantages of further whole episodes of theta. A promise is the surrogate's rise in units of return: times
the standard deviation of the advantages if they are standardised, times what rewards are divided by if they are scaled,
times the mean length of an episode.

Precision is set in two stages. Pilot episodes, which are not used again, say how many episodes are needed along the
step for a standard error of 2% of the return: at least 8, and at most as many as fit in some 3,000 steps, which is 8
if an episode takes 300; there, late in Hopper's training, the error is more often 2 to 10%. Each of the 20 random
directions gets 4 episodes as far as the step, and 1 by the papers' scaling. Numbers that are not linear in returns
(squares, signs, the best of several) are taken over four groups of independent episodes
(`rlclaims.stats.split_samples`), so the series hold the groups' means; and the return that
changes are relative to comes from other episodes again.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from rlclaims.checkpoints import Checkpoint, checkpoint_iterations
from rlclaims.episodes import Floats32, Played
from rlclaims.measures.divergence import mean_kl_old_new
from rlclaims.measures.surrogate import surrogate_new, surrogate_old
from rlclaims.randomness import Purpose, stream
from rlclaims.sim.tasks import Floats
from rlclaims.studies.replayed_run import (
    BATCHES,
    GROUPS,
    MAIN,
    PILOT,
    PILOT_EPISODES,
    STRIDE,
    FinishedRun,
    Numbers,
    grouped,
    tables,
    typical_episode,
)
from rlclaims.training import HELD_OUT_EVERY
from rlclaims.update import Batch

ALONG = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 6.0, 12.0)
"""Multiples of the step: the papers' ticks, and beyond."""
DIRECTIONS = 20
FAR = 2.0
"""Norm of the papers' Gaussian direction."""

TOLERANCE = 0.02
"""Standard error of a difference of returns, relative to the return, that the pilot aims at."""
LEAST_EPISODES = 8
MOST_STEPS = 3000
"""Approximate limit on the simulator steps of a point along the step."""


def landscapes(run: FinishedRun) -> Numbers:
    """Return returns and surrogates, by kept iteration, part and name: "2/along/return", for example.

    Raises:
        SimulationFailure: MuJoCo could not simulate an episode.
    """
    checkpoints = run.start.checkpoints
    # The last iteration comes first: its episodes are the longest, and starting with these balances the slots.
    order = [k for k, _ in sorted(enumerate(checkpoints), key=lambda kept: -kept[1].iteration)]
    points_K = {k: _points(run, checkpoints[k]) for k in order}
    pilots = _pilot(run, [(checkpoints[k], points_K[k]) for k in order])
    wanted_K = {k: needed for k, (needed, _) in zip(order, pilots, strict=True)}
    length_K = {k: length for k, (_, length) in zip(order, pilots, strict=True)}
    policies = [(theta_P, checkpoints[k].iteration) for k in order for theta_P in points_K[k]]
    episodes: list[tuple[int, int]] = []
    own_K: dict[int, range] = {}
    starts = {}
    for i, k in enumerate(order):
        first, index = i * len(points_K[k]), checkpoints[k].iteration * STRIDE + MAIN
        starts[k] = len(episodes)
        near = first + len(ALONG)
        # One episode of each group is played in random directions as well.
        of_groups = range(0, wanted_K[k], wanted_K[k] // GROUPS)
        episodes += [(first + i, index + e) for i in range(len(ALONG)) for e in range(wanted_K[k])]
        episodes += [(near + i, index + e) for i in range(DIRECTIONS) for e in of_groups]
        episodes += [(near + DIRECTIONS + i, index + of_groups[i % GROUPS]) for i in range(DIRECTIONS)]
        # About as many pairs as the agent had, in episodes that no point's return uses.
        own_K[k] = range(len(episodes), len(episodes) + math.ceil(run.algorithm.steps / length_K[k]))
        index = checkpoints[k].iteration * STRIDE + BATCHES
        episodes += [(first, index + e) for e in range(len(own_K[k]))]
    played = run.play(policies, episodes, [place for own in own_K.values() for place in own])
    numbers: Numbers = {}
    trajectories = iter(played.trajectories)
    for k in order:
        wanted, begin = wanted_K[k], starts[k]
        near = begin + len(ALONG) * wanted
        far = near + DIRECTIONS * GROUPS
        parts = played.part(begin, near), played.part(near, far), played.part(far, far + DIRECTIONS)
        numbers |= {f"{k}/{name}": values for name, values in _returns(*parts, wanted).items()}
        own = played.part(own_K[k].start, own_K[k].stop, tuple(next(trajectories) for _ in own_K[k]))
        numbers |= _promises(run, k, points_K[k], own)
        # The return that changes are relative to must not share their noise.
        for name, x_M in (("return", own.return_M), ("discounted", own.discounted_M), ("length", own.length_M)):
            numbers[f"{k}/own/{name}"] = [float(x_M.mean())]
        norm = float(np.linalg.norm(run.step(checkpoints[k])[1]))
        numbers |= {f"{k}/along/episodes": [float(wanted)], f"{k}/along/norm": [norm]}
    return numbers


def displaced(run: FinishedRun, checkpoint: Checkpoint, shift_NP: Floats) -> Floats32:
    """Return policies theta + shift at a kept iteration, (N, P)."""
    return np.asarray(run.step(checkpoint)[0] + shift_NP, np.float32)


def directions(run: FinishedRun, checkpoint: Checkpoint, n: int = DIRECTIONS) -> Floats:
    """Draw random directions of norm 1, (n, P), from the run's own stream at each iteration."""
    rng = stream(run.start.seed, Purpose.LANDSCAPE_DIRECTIONS, checkpoint.iteration)
    u_NP = rng.standard_normal((n, run.history.theta_KP.shape[1]))
    return np.asarray(u_NP / np.linalg.norm(u_NP, axis=1, keepdims=True))


def episodes_needed(
    length: float, difference_E: Floats | None = None, return_E: Floats | None = None, most_steps: int | None = None
) -> int:
    """Return the episodes of a point that reach `TOLERANCE`, as far as steps allow: a multiple of the groups.

    Args:
        length: mean episode length, in steps.
        difference_E: paired differences of a pilot's returns; None to take as many episodes as the steps allow.
        return_E: the returns that the differences are relative to.
        most_steps: limit on the steps of a point; `MOST_STEPS` by default.
    """
    most = max(LEAST_EPISODES, int((most_steps or MOST_STEPS) / length) // GROUPS * GROUPS)
    if difference_E is None or return_E is None:
        return most
    aim = (TOLERANCE * float(return_E.mean())) ** 2
    variance = float(difference_E.var(ddof=1))
    if variance >= most * aim:  # also if the aim is 0
        return most
    return max(LEAST_EPISODES, math.ceil(variance / aim / GROUPS) * GROUPS)


def _points(run: FinishedRun, checkpoint: Checkpoint) -> Floats32:
    """Return points along the step, equally far in random directions, and there at the papers' norm."""
    step_P = run.step(checkpoint)[1]
    u_DP = directions(run, checkpoint)
    shifts = np.outer(ALONG, step_P), np.linalg.norm(step_P) * u_DP, FAR * u_DP
    return displaced(run, checkpoint, np.concatenate(shifts))


def _pilot(run: FinishedRun, around: Sequence[tuple[Checkpoint, Floats32]]) -> list[tuple[int, float]]:
    """Estimate from a pilot of theta and the whole step the episodes needed along each, and theta's episode length."""
    ends = [(points_NP[ALONG.index(x)], checkpoint.iteration) for checkpoint, points_NP in around for x in (0.0, 1.0)]
    listed = [
        (policy, iteration * STRIDE + PILOT + e) for policy, (_, iteration) in enumerate(ends)
        for e in range(PILOT_EPISODES)
    ]  # fmt: skip
    pilot = tables(run.play(ends, listed), PILOT_EPISODES)
    own_KE, moved_KE = pilot["return"][::2], pilot["return"][1::2]
    length_K = pilot["length"].reshape(len(around), -1).mean(1)
    needed = [
        episodes_needed(float(length), difference_E, own_E)
        for length, difference_E, own_E in zip(length_K, moved_KE - own_KE, own_KE, strict=True)
    ]
    return list(zip(needed, pilot["length"][::2].mean(1).tolist(), strict=True))


def _returns(along: Played, near: Played, far: Played, wanted: int) -> Numbers:
    """Return the returns of points along the step, and for random points how much more they return than theta."""
    at, around, away = tables(along, wanted), tables(near, GROUPS), tables(far, 1)
    numbers: Numbers = {}
    for part, table in (("along", at), ("near", around)):
        numbers[f"{part}/variance"] = table["return"].var(1, ddof=1).tolist()
    for part, table in (("along", at), ("near", around), ("far", away)):
        numbers[f"{part}/length"] = table["length"].mean(1).tolist()
    for name in ("return", "discounted"):
        # On theta's own random numbers.
        centre_G = at[name][0, :: wanted // GROUPS]
        numbers[f"along/{name}"] = grouped(at[name])
        numbers[f"near/{name}"] = (around[name] - centre_G).ravel().tolist()
        numbers[f"far/{name}"] = (away[name][:, 0] - np.resize(centre_G, DIRECTIONS)).tolist()
    return numbers


def _promises(run: FinishedRun, k: int, points_NP: Floats32, own: Played) -> Numbers:
    """Return what surrogates promise at a kept iteration's points, and the KL divergence to each."""
    checkpoint, length = run.start.checkpoints[k], float(own.length_M.mean())
    training, held_out = (_batch_of(pairs) for pairs in (checkpoint.training, checkpoint.held_out))
    monte_carlo = run.batch(checkpoint, own, range(len(own.length_M)), 1.0)

    def unclipped(batch: Batch) -> list[float]:
        # Centred: ratios are 1 on average, and a batch's deviation from that is noise.
        centred = replace(batch, advantage_SB=batch.advantage_SB - batch.advantage_SB.mean())
        update = run.update(checkpoint, points_NP, centred)
        rise_N = surrogate_new(update) - surrogate_old(update)
        return [float(x) for x in rise_N * run.reward_unit(checkpoint) * length]

    columns = {
        "promise/training": run.promised(
            checkpoint, points_NP, training, length, spread=float(held_out.advantage_SB.std())
        ),
        "promise/held_out": run.promised(checkpoint, points_NP, held_out, length),
        "promise/unclipped": unclipped(held_out),
        "promise/monte_carlo": unclipped(monte_carlo),
        "kl": mean_kl_old_new(run.update(checkpoint, points_NP, held_out)).tolist(),
    }
    ends = {"along": slice(0, len(ALONG)), "near": slice(len(ALONG), -DIRECTIONS), "far": slice(-DIRECTIONS, None)}
    return {f"{k}/{part}/{name}": x_N[rows] for part, rows in ends.items() for name, x_N in columns.items()}


def _batch_of(pairs: tuple[Floats32, Floats32, Floats32]) -> Batch:
    return Batch(*(torch.from_numpy(x)[None] for x in pairs))


def length(name: str, iterations: int) -> int:  # noqa: ARG001
    """Return how many numbers a series has, by its name."""
    _, part, what = name.split("/", 2)
    if part == "own" or what in ("episodes", "norm"):
        return 1
    points = len(ALONG) if part == "along" else DIRECTIONS
    return points * (GROUPS if what in ("return", "discounted") and part != "far" else 1)


def expected_steps(pairs: int | None, iterations: int) -> int:  # noqa: ARG001
    """Return roughly how many simulator steps one run takes."""
    random = DIRECTIONS * (GROUPS + 1) + 2 * PILOT_EPISODES
    kept = checkpoint_iterations(iterations, HELD_OUT_EVERY)
    return sum(len(ALONG) * MOST_STEPS + random * typical_episode(i) for i in kept)
