"""Compare the agreement of gradient estimates by formula with that by brute force.

python benchmarks/gradients.py --store .rlclaims curves     (from studies in the store: seconds)
python benchmarks/gradients.py --store .rlclaims check      (some five minutes for one seed of two algorithms)

curves     Mean cosine of two estimates of the surrogate's gradient against the number of pairs, over the seeds in the
           store, at each checkpoint: |g|^2 / (|g|^2 + nu / N). The papers' figures, on Walker2d and Hopper, reach .14
           to .35 within 10,000 pairs; their vertical line is at 2,048.
check      The formula at 2,048 pairs, next to the mean cosine of all pairs of 40 independent estimates from as many
           pairs of whole episodes, none of which the formula has used.
"""

import argparse
import itertools
import math
from pathlib import Path
from statistics import fmean

import numpy as np
import torch

from rlclaims.agents.algorithm import Algorithm
from rlclaims.agents.ppo import PPO
from rlclaims.agents.trpo import TRPO
from rlclaims.checkpoints import checkpoint_iterations
from rlclaims.sim.tasks import task_named
from rlclaims.store.run_spec import RunSpec
from rlclaims.store.store import Store
from rlclaims.studies.gradients.compute import Weigh, gradient_sums, gradients
from rlclaims.studies.registry import Study
from rlclaims.studies.replayed_run import GRADIENTS, POOL_STRIDE, FinishedRun, rollout_of
from rlclaims.training import HELD_OUT_EVERY, one_torch_thread

TASK, ITERATIONS, POOL = "Hopper-v5", 100, 2**14
KINDS = ("surrogate", "returns", "discounted", "undiscounted")
PAIRS = (128, 512, 2048, 4096, 8192, 16384)


def spec_of(algorithm: type[Algorithm], seed: int) -> RunSpec:
    return RunSpec(algorithm.for_task(TASK), TASK, ITERATIONS, seed)


def cosine(series: "dict[str, list[float]]", name: str, pairs: int) -> float:
    (square,), (noise,) = series[f"{name}/square"], series[f"{name}/noise"]
    return square / (square + noise / pairs)


def curves(store: Store, seeds: range) -> None:
    print(f"{'mean cosine of two estimates, from pairs':44}" + "".join(f"{n:>8,}" for n in PAIRS))
    for algorithm, name in itertools.product((PPO, TRPO), KINDS):
        specs = [spec_of(algorithm, seed) for seed in seeds]
        study = Study("gradients", POOL)
        studies = [store.study(spec, study).series for spec in specs if store.has_study(spec, study)]
        for k, iteration in enumerate(checkpoint_iterations(ITERATIONS, HELD_OUT_EVERY)):
            cells = "".join(f"{fmean(cosine(series, f'{k}/{name}', n) for series in studies):8.3f}" for n in PAIRS)
            print(f"{algorithm.__name__:5}{name:14}{iteration:4} of {ITERATIONS}, {len(studies):2} seeds    {cells}")


def check(store: Store, seed: int, pairs: int = 2048, estimates: int = 40) -> None:
    print(f"mean cosine of two estimates from {pairs:,} pairs{'':10}{'formula':>10}{'brute force':>13}")
    for algorithm in (PPO, TRPO):
        spec = spec_of(algorithm, seed)
        start, history = store.start(spec), store.history(spec)
        run = FinishedRun(spec.algorithm, task_named(TASK), ITERATIONS, start, history, lambda _: None)
        by_formula = gradients(run, POOL)
        for k, (checkpoint, length) in enumerate(
            zip(run.start.checkpoints, run.episode_length(run.start.checkpoints), strict=True)
        ):
            per_estimate = math.ceil(pairs / length)
            # Random numbers disjoint from those of the formula's episodes.
            first = GRADIENTS + checkpoint.iteration * POOL_STRIDE + POOL_STRIDE // 2
            listed = [(0, first + e) for e in range(estimates * per_estimate)]
            played = run.play([(run.theta(checkpoint), checkpoint.iteration)], listed, range(len(listed)))
            weigh = Weigh(run, checkpoint, None)
            gradients_by_kind = []
            for i in range(estimates):
                own = slice(i * per_estimate, (i + 1) * per_estimate)
                part = played.part(own.start, own.stop, played.trajectories[own])
                rollout = rollout_of(part, range(per_estimate))
                gradients_by_kind.append(gradient_sums(weigh.agent, rollout, weigh(rollout)))
            pairs_per_estimate = played.length_M.sum() / estimates
            for name in gradients_by_kind[0]:
                g_NP = np.stack([by_kind[name] for by_kind in gradients_by_kind])
                unit_NP = g_NP / np.linalg.norm(g_NP, axis=1, keepdims=True)
                brute = (np.square(unit_NP.sum(0)).sum() - estimates) / (estimates * (estimates - 1))
                formula = cosine(by_formula, f"{k}/{name}", pairs_per_estimate)
                where = f"{algorithm.__name__:5}{checkpoint.iteration:>4} {name:14}{pairs_per_estimate:12,.0f} pairs"
                print(f"{where}{formula:14.3f}{brute:13.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("curves", "check"))
    parser.add_argument("--store", type=Path, default=Path(".rlclaims"), help="folder of runs (default: .rlclaims)")
    parser.add_argument("--seeds", type=int, default=12, help="number of seeds, for `curves` (default: 12)")
    parser.add_argument("--first-seed", type=int, default=0, help="first seed, or the only one of `check` (default: 0)")
    options = parser.parse_args()
    store = Store(options.store)
    if options.part == "curves":
        curves(store, range(options.first_seed, options.first_seed + options.seeds))
        return
    with one_torch_thread(), torch.no_grad():
        check(store, options.first_seed)


if __name__ == "__main__":
    main()
