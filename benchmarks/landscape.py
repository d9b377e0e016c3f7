"""Measure the cost of a landscape, and the gain from common random numbers and whole episodes.

python benchmarks/landscape.py --store .rlclaims rate      (two minutes; all parts need a store of finished runs)
python benchmarks/landscape.py --store .rlclaims pairing   (some ten minutes for 6 seeds of 2 algorithms)
python benchmarks/landscape.py --store .rlclaims order
python benchmarks/landscape.py --store .rlclaims surface

rate       Steps per second of episodes played for a landscape, against MuJoCo alone on the same trajectories: the
           inputs of each simulation (initial state, controls, which simulations step) are recorded and replayed in a
           bare `mujoco.batch.Batch` of the unchanged model, with MuJoCo's timers on (so without the savings of
           `rlclaims.sim.lean`). Both run on one thread of a process per core, alternately.
pairing    Simulator steps for a given standard error of a difference of returns, with independent draws at each point
           (the papers' way) over those with common random numbers: (var + var') / var of the paired difference. At
           each checkpoint, along the step and in random directions of the same length; medians over points and seeds.
           "both" takes 7 points along the step and 20 in random directions, as a landscape does, and the last line is
           the median over iterations and seeds. "+ regression" adds a control variate, the regression on theta's own
           return, as if that were known exactly: an upper limit of what it could gain.
order      Probability that 2,048 pairs put the step and a random direction in the right order: by formula, and by
           brute force, from many blocks of as many independent episodes as hold 2,048 pairs at both points.
surface    A 21 x 21 surface of one checkpoint (x along the step, y in a random direction, both in units of the step),
           each point's difference to the centre with a standard error of 2% of the return, by a pilot.
"""

import argparse
import multiprocessing
import time
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

import mujoco
import numpy as np
from mujoco.batch import Batch

from rlclaims.agents.algorithm import Algorithm
from rlclaims.agents.ppo import PPO
from rlclaims.agents.trpo import TRPO
from rlclaims.execution.pool import cores
from rlclaims.sim.lean import clock_of_mujoco
from rlclaims.sim.simulator import Simulator, simulate
from rlclaims.sim.tasks import task_named
from rlclaims.stats.split_samples import chance_with_pairs
from rlclaims.store.run_spec import RunSpec
from rlclaims.store.store import Store
from rlclaims.studies.landscape.compute import ALONG, TOLERANCE, directions, displaced
from rlclaims.studies.replayed_run import BATCHES, MAIN, PILOT, STRIDE, FinishedRun
from rlclaims.training import one_torch_thread

TASK, ITERATIONS = "Hopper-v5", 100
NEARBY = ALONG.index(3.0) + 1
CLOCK = clock_of_mujoco()
TICKING = None if CLOCK is None else CLOCK.value
"""MuJoCo's timer callback before our simulators switch it off."""


def finished(store: Path, algorithm: type[Algorithm], seed: int) -> FinishedRun:
    spec = RunSpec(algorithm.for_task(TASK), TASK, ITERATIONS, seed)
    at = Store(store)
    return FinishedRun(spec.algorithm, task_named(TASK), ITERATIONS, at.start(spec), at.history(spec), lambda _: None)


# Rate.


class _Recorded(Simulator):
    """Simulator that records the inputs of its simulations."""

    log: ClassVar[list[tuple[Any, ...]]] = []

    def set_state(self, which: Any, qpos: Any, qvel: Any) -> Any:
        _Recorded.log.append(("reset", np.array(which), np.array(qpos), np.array(qvel)))
        return super().set_state(which, qpos, qvel)

    def step(self, action_SA: Any, which: Any = None) -> Any:
        _Recorded.log.append(("step", action_SA.copy(), None if which is None else which.copy()))
        return super().step(action_SA, which)


def replay(log: "list[tuple[Any, ...]]") -> int:
    """Replay recorded trajectories in MuJoCo alone, and return the number of environment steps."""
    task = task_named(TASK)
    model = mujoco.MjModel.from_xml_path(str(task.model_path))
    batch = Batch(model, nsim=len(log[0][1]), nthread=1)
    qpos, qvel, ctrl = batch.bind("qpos"), batch.bind("qvel"), batch.bind("ctrl")
    steps = 0
    for entry in log:
        if entry[0] == "reset":
            _, which, at, velocity = entry
            batch.reset(ids=which, stage=mujoco.mjtStage.mjSTAGE_NONE)
            qpos[which], qvel[which] = at, velocity
        else:
            _, action, which = entry
            ctrl[:] = action
            batch.step(ids=which, nstep=task.frame_skip)
            steps += len(action) if which is None else len(which)
    return steps


def episodes_of(run: FinishedRun, n: int) -> "tuple[list[Any], list[tuple[int, int]]]":
    policies, listed = [], []
    for checkpoint in reversed(run.start.checkpoints):
        points = displaced(run, checkpoint, np.outer(ALONG[:NEARBY], run.step(checkpoint)[1]))
        first = len(policies)
        policies += [(theta_P, checkpoint.iteration) for theta_P in points]
        index = checkpoint.iteration * STRIDE + MAIN
        listed += [(first + i, index + e) for i in range(len(points)) for e in range(n)]
    return policies, listed


def rates(job: "tuple[Path, int]") -> "tuple[float, float, float]":
    """Return the steps per second, in one process, of the landscape and of MuJoCo, and their ratio."""
    import rlclaims.episodes as episodes

    store, seed = job
    run = finished(store, PPO, seed)
    policies, listed = episodes_of(run, 8)
    with one_torch_thread():
        episodes.simulate = _Recorded  # type: ignore[assignment]
        _Recorded.log = []
        steps = int(run.play(policies, listed).length_M.sum())
        log = _Recorded.log
        episodes.simulate = simulate
        ours = []
        bare = []
        for _ in range(3):
            start = time.perf_counter()
            run.play(policies, listed)
            ours.append(steps / (time.perf_counter() - start))
            if CLOCK is not None:
                CLOCK.value = TICKING
            start = time.perf_counter()
            assert replay(log) == steps
            bare.append(steps / (time.perf_counter() - start))
    return median(ours), median(bare), median(a / b for a, b in zip(ours, bare, strict=True))


def rate(store: Path, seeds: range) -> None:
    with multiprocessing.get_context("spawn").Pool(cores()) as pool:
        results = pool.map(rates, [(store, seeds[i % len(seeds)]) for i in range(cores())], chunksize=1)
    ours, bare, ratio = zip(*results, strict=True)
    print(f"landscape {sum(ours):,.0f} steps/s, MuJoCo alone {sum(bare):,.0f} steps/s")
    print(f"ratio {median(ratio):.3f} (median over {len(results)} simultaneous processes, 3 turns each)")


# Pairing.


def pairing(store: Path, seeds: range, episodes: int) -> None:
    every: list[float] = []
    regressed: list[float] = []
    print(f"{'':16}{'along the step':>28}{'random, same length':>24}{'both':>10}{'+ regression':>14}")
    print(f"{'':16}{'x=.5':>7}{'1':>7}{'2':>7}{'3':>7}{'median':>24}{'median':>10}{'median':>14}")
    for algorithm in (PPO, TRPO):
        rows: dict[int, list[list[float]]] = {}
        for seed in seeds:
            run = finished(store, algorithm, seed)
            for checkpoint in run.start.checkpoints:
                ratio_N, regressed_N = ratios(run, checkpoint, episodes)
                along, random = ratio_N[: NEARBY - 1], ratio_N[NEARBY - 1 :]
                both = float(np.median(ratio_N))
                every.append(both)
                regressed.append(float(np.median(regressed_N)))
                row = [along[0], along[1], along[3], along[5], np.median(random), both, np.median(regressed_N)]
                rows.setdefault(checkpoint.iteration, []).append([float(x) for x in row])
        for iteration, by_seed in rows.items():
            columns = np.median(np.array(by_seed), axis=0)
            cells = "".join(f"{x:{w}.1f}" for x, w in zip(columns, (7, 7, 7, 7, 24, 10, 14), strict=True))
            print(f"{algorithm.__name__:5}{iteration:>5} of {ITERATIONS}{cells}", flush=True)
    print(f"median over {len(every)} landscapes: {median(every):.1f}, with the regression {median(regressed):.1f}")


def ratios(run: FinishedRun, checkpoint: Any, episodes: int) -> "tuple[Any, Any]":
    step_P = run.step(checkpoint)[1]
    shifts = np.outer(ALONG[:NEARBY], step_P), np.linalg.norm(step_P) * directions(run, checkpoint)
    points = displaced(run, checkpoint, np.concatenate(shifts))
    index = checkpoint.iteration * STRIDE + MAIN
    listed = [(i, index + e) for i in range(len(points)) for e in range(episodes)]
    return_NE = run.play([(p, checkpoint.iteration) for p in points], listed).return_M.reshape(len(points), episodes)
    variance_N = return_NE.var(1, ddof=1)
    independent_N = variance_N[1:] + variance_N[0]
    paired_N = (return_NE[1:] - return_NE[0]).var(1, ddof=1)
    centred_NE = return_NE - return_NE.mean(1, keepdims=True)
    covariance_N = (centred_NE[1:] * centred_NE[0]).sum(1) / (episodes - 1)
    left_N = variance_N[1:] - covariance_N**2 / variance_N[0]
    return independent_N / paired_N, independent_N / np.maximum(left_N * (episodes - 1) / (episodes - 2), 1e-9)


# Order.


def order(store: Path, seeds: range, pairs: int = 2048, episodes: int = 1500) -> None:
    print(f"{'':22}{'gap':>10}{'formula':>10}{'brute force':>13}")
    for algorithm, k in ((PPO, 1), (TRPO, 1)):
        for seed in seeds[:2]:
            run = finished(store, algorithm, seed)
            checkpoint = run.start.checkpoints[k]
            step_P = run.step(checkpoint)[1]
            random_P = np.linalg.norm(step_P) * directions(run, checkpoint, 1)[0]
            points = displaced(run, checkpoint, np.stack([step_P, random_P]))
            index = checkpoint.iteration * STRIDE
            # Independent random numbers at each point, as an agent would draw them.
            listed = [(i, index + use + e) for i, use in enumerate((MAIN, BATCHES)) for e in range(episodes)]
            played = run.play([(p, checkpoint.iteration) for p in points], listed)
            return_NE, length_N = played.return_M.reshape(2, -1), played.length_M.reshape(2, -1).mean(1)
            per_pair = float((return_NE.var(1, ddof=1) * length_N).sum())
            gap = return_NE[0].mean() - return_NE[1].mean()
            formula = chance_with_pairs(pairs, float(gap) ** 2, per_pair)
            blocks = [
                row[: len(row) // m * m].reshape(-1, m).mean(1)
                for row, m in zip(return_NE, (max(1, round(pairs / x)) for x in length_N), strict=True)
            ]
            # Compare each estimate at one point with each at the other.
            right = ((blocks[0][:, None] - blocks[1]) * gap > 0).mean()
            print(f"{algorithm.__name__:5} seed {seed}, at {k:<6}{gap:10.2f}{formula:10.3f}{right:13.3f}", flush=True)


# Surface.


def surface(store: Path, seed: int, k: int = 1, size: int = 21, far: float = 3.0) -> None:
    run = finished(store, PPO, seed)
    checkpoint = run.start.checkpoints[k]
    step_P = run.step(checkpoint)[1]
    random_P = np.linalg.norm(step_P) * directions(run, checkpoint, 1)[0]
    ticks = np.linspace(-far, far, size)
    shifts = np.array([x * step_P + y * random_P for x in ticks for y in ticks])
    points = displaced(run, checkpoint, shifts)
    centre = len(points) // 2
    index = checkpoint.iteration * STRIDE
    policies = [(p, checkpoint.iteration) for p in points]
    start = time.perf_counter()
    pilot = run.play(policies, [(i, index + PILOT + e) for i in range(len(points)) for e in range(8)])
    return_NE = pilot.return_M.reshape(len(points), 8)
    aim = TOLERANCE * abs(float(return_NE[centre].mean()))
    needed_N = np.ceil((return_NE - return_NE[centre]).var(1, ddof=1) / aim**2).clip(2).astype(int)
    most = int(needed_N.max())
    listed = [(i, index + MAIN + e) for i in range(len(points)) for e in range(needed_N[i] if i != centre else most)]
    played = run.play(policies, listed)
    seconds = time.perf_counter() - start
    steps = int(pilot.length_M.sum() + played.length_M.sum())
    print(f"{size} x {size} points at iteration {checkpoint.iteration}: {steps:,} steps in {seconds:.0f} s on one core")
    print(f"episodes per point: median {np.median(needed_N):.0f}, most {most}, for a standard error of {aim:.1f}")
    whole = len(points) * 1e6
    print(f"with 10^6 pairs per point: {whole:,.0f} steps, {whole / steps:,.0f} times as long")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("rate", "pairing", "order", "surface"))
    parser.add_argument("--store", type=Path, default=Path(".rlclaims"), help="folder of runs (default: .rlclaims)")
    parser.add_argument("--seeds", type=int, default=6, help="number of seeds (default: 6)")
    parser.add_argument("--first-seed", type=int, default=0, help="first seed (default: 0)")
    parser.add_argument("--episodes", type=int, default=32, help="episodes per point, for `pairing` (default: 32)")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    if options.part == "rate":
        rate(options.store, seeds)
        return
    with one_torch_thread():
        if options.part == "pairing":
            pairing(options.store, seeds, options.episodes)
        elif options.part == "order":
            order(options.store, seeds)
        else:
            surface(options.store, seeds[0])


if __name__ == "__main__":
    main()
