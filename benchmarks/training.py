"""How fast training is, against the simulator it stands on and against one process per seed.

    python benchmarks/training.py                 (some three minutes a round on two cores)
    python benchmarks/training.py --rounds 5
    python benchmarks/training.py --without-sb3

Environment steps per second on Hopper-v5, each side with all cores to itself:

    MuJoCo     30 simulations, as MuJoCo comes, that do nothing but step: random actions drawn beforehand, the fallen
               put back with `Batch.reset`, nothing observed, paid or learnt. Once as one batch on a thread per core,
               and once as one single-threaded batch in a process per core, which is the stricter yardstick where
               threads wait for each other.
    rlclaims   30 runs (PPO, PPO-M and TRPO with the papers' settings, 10 seeds each) as `pytest claims/` trains
               them: `execute` into an empty store, one process per core. Collecting, learning and measuring all
               count as time; of the steps only those that train count, not those for held-out measurements.
    SB3        one Stable-Baselines3 PPO per core, with the settings of rlclaims' PPO, on Gymnasium's environment.

What is fair about it: the sides take turns within a round, and every other round in the opposite order, so that a
busy machine is busy for all of them; ratios are taken within rounds, and medians over rounds. Every side takes one
iteration (2048 steps of each run) to warm up, and is timed from then on until its last process is done, rlclaims and
SB3 over equally many iterations, MuJoCo, whose rate does not change as it goes, over a third of them. A window of ten
iterations after the first has exactly training's own share of held-out measurements, one in ten.

What is not: how long a simulation takes depends on its contacts, so on the policy. MuJoCo's actions are standard
normal, which is what the policies of the other sides start from; those then learn, and fall later. And the iterations
are fewer than a claim trains for, so that start-up weighs more in "with start-up" than it would there.
"""

import argparse
import importlib.util
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

import gymnasium
import mujoco
import numpy as np
import torch
from mujoco.batch import Batch

from rlclaims.agents.ppo import PPO, PPOM
from rlclaims.agents.trpo import TRPO
from rlclaims.execution.cohorts import plan
from rlclaims.execution.pool import cores
from rlclaims.execution.train import execute
from rlclaims.randomness import Purpose, stream
from rlclaims.sim.tasks import task_named
from rlclaims.store.run_spec import RunSpec
from rlclaims.store.store import Store
from rlclaims.training import HELD_OUT_EVERY

TASK = "Hopper-v5"
STEPS = 2048
"""Environment steps of a run in an iteration: every algorithm's here."""
SPECS = [(algorithm.for_task(TASK), seed) for algorithm in (PPO, PPOM, TRPO) for seed in range(10)]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

Iterate = Callable[[int], object]
"""Takes a number of iterations and goes through them."""
Rates = dict[str, float]
"""Environment steps per second, by what made them."""


def mujoco_side(simulations: int, threads: int, seed: int) -> Iterate:
    task = task_named(TASK)
    model = mujoco.MjModel.from_xml_path(str(task.model_path))
    batch = Batch(model, nsim=simulations, nthread=threads)
    qpos_SQ, ctrl_SA = batch.bind("qpos"), batch.bind("ctrl")
    action_TSA = stream(seed, Purpose.TRAINING_NOISE).standard_normal((STEPS, simulations, model.nu))

    def iterate(iterations: int) -> None:
        for _ in range(iterations):
            for action_SA in action_TSA:
                ctrl_SA[:] = action_SA
                batch.step(nstep=task.frame_skip)
                # The task's own rule in the two comparisons that ever decide it here.
                fallen_S = (qpos_SQ[:, 1] <= 0.7) | (np.abs(qpos_SQ[:, 2]) >= 0.2)
                if fallen_S.any():
                    batch.reset(ids=np.flatnonzero(fallen_S), stage=mujoco.mjtStage.mjSTAGE_NONE)

    return iterate


def sb3_side(algorithm: str, task: str, seed: int) -> Iterate:
    import stable_baselines3
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    torch.set_num_threads(1)
    ours = (PPO if algorithm == "PPO" else TRPO).for_task(task)
    clips = {"clip_obs": ours.observation_clip or math.inf, "clip_reward": ours.reward_clip or math.inf}
    env = VecNormalize(
        DummyVecEnv([lambda: gymnasium.make(task)]),
        gamma=ours.gamma,
        norm_obs=ours.normalize_observations,
        norm_reward=ours.scale_rewards,
        **clips,
    )
    networks = {"net_arch": {"pi": list(ours.hidden), "vf": list(ours.hidden)}, "activation_fn": torch.nn.Tanh}
    # One optimiser there is for policy and values alike; all else is as in rlclaims.
    shared = {
        "policy": "MlpPolicy", "env": env, "n_steps": ours.steps, "gamma": ours.gamma, "gae_lambda": ours.gae_lambda,
        "batch_size": ours.steps // ours.minibatches, "policy_kwargs": networks, "seed": seed, "device": "cpu",
    }  # fmt: skip
    if isinstance(ours, PPO):
        model = stable_baselines3.PPO(
            **shared, learning_rate=lambda left: ours.learning_rate * left, n_epochs=ours.epochs,
            clip_range=ours.clip_epsilon, ent_coef=0.0, max_grad_norm=math.inf,
        )  # fmt: skip
    else:
        import sb3_contrib

        model = sb3_contrib.TRPO(
            **shared, learning_rate=ours.value_learning_rate, n_critic_updates=ours.value_epochs,
            target_kl=ours.delta, cg_max_steps=ours.conjugate_gradient_steps, cg_damping=ours.damping,
            line_search_max_iter=ours.backtracks, sub_sampling_factor=1,
        )  # fmt: skip
    return lambda iterations: model.learn(iterations * STEPS, reset_num_timesteps=False)


def serve(iterate: Iterate, iterations: int) -> None:
    """The process's half of `race`: warm up, wait for the signal, go."""
    iterate(1)
    print("ready", flush=True)
    if sys.stdin.readline():  # else the parent is gone
        iterate(iterations)
        print("done", flush=True)


def race(processes: Sequence[Sequence[object]], script: str = __file__) -> float:
    """Seconds from the signal to processes of a script, all warm, until the last of them is done."""
    running = [
        subprocess.Popen(
            [sys.executable, script, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **ONE_THREAD},
        )
        for arguments in processes
    ]

    def wait_for(word: str) -> None:
        for process in running:
            if process.stdout.readline().strip() != word:
                sys.exit(f"A process of this benchmark ended before it was {word}; its error is above.")

    try:
        wait_for("ready")
        begin = time.perf_counter()
        for process in running:
            process.stdin.write("go\n")
            process.stdin.flush()
        wait_for("done")
        return time.perf_counter() - begin
    finally:
        for process in running:
            process.kill()
            process.communicate()


def measure_mujoco(name: str, simulations: Sequence[int], threads: int, iterations: int) -> Rates:
    processes = [
        ("--side", "mujoco", "--iterations", iterations, "--simulations", n, "--threads", threads, "--seed", seed)
        for seed, n in enumerate(simulations)
    ]
    return {name: sum(simulations) * STEPS * iterations / race(processes)}


def measure_sb3(name: str, n: int, iterations: int) -> Rates:
    processes = [("--side", "sb3", "--iterations", iterations, "--seed", seed) for seed in range(n)]
    return {name: n * STEPS * iterations / race(processes)}


def measure_rlclaims(name: str, processes: int, iterations: int) -> Rates:
    specs = [RunSpec(algorithm, TASK, 1 + iterations, seed) for algorithm, seed in SPECS]
    reports: list[tuple[float, int]] = []  # when, and how many steps were done
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.prepare()
        begin = time.perf_counter()
        execute(plan(specs, store), store, processes, lambda p: reports.append((time.perf_counter(), p.steps_done)))
        end = time.perf_counter()
    total = len(specs) * STEPS * (1 + iterations)
    warm_at, warm_steps = next(r for r in reports if r[1] >= len(specs) * STEPS)
    done_at, _ = next(r for r in reports if r[1] == total)
    return {name: (total - warm_steps) / (done_at - warm_at), f"{name}, with start-up": total / (end - begin)}


def compare(rounds: int, iterations: int, with_sb3: bool) -> None:
    n, runs = cores(), len(SPECS)
    shares = [share for first in range(n) if (share := len(range(first, runs, n)))]
    ours, sb3 = "rlclaims", f"{n} x SB3"
    threads, split = f"MuJoCo (batch, {n} threads)", "MuJoCo (one process per core)"
    sides: list[Callable[[], Rates]] = [
        lambda: measure_mujoco(threads, [runs], n, max(1, iterations // 3)),
        lambda: measure_mujoco(split, shares, 1, max(1, iterations // 3)),
        lambda: measure_rlclaims(ours, n, iterations),
    ]
    targets = {threads: 0.7, split: 0.7}
    if with_sb3:
        sides.append(lambda: measure_sb3(sb3, n, iterations))
        targets[sb3] = 7

    libraries = ("mujoco", "numpy", "torch", "gymnasium", *(["stable-baselines3"] if with_sb3 else []))
    print(f"{n} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}", end="")
    print("".join(f", {library} {version(library)}" for library in libraries))
    held_out = iterations // HELD_OUT_EVERY
    print(f"{TASK}, {rounds} rounds of {iterations} iterations ({held_out} with held-out measurements)", flush=True)

    measured: list[Rates] = []
    for number in range(rounds):
        rates = [side() for side in (sides if number % 2 == 0 else reversed(sides))]
        measured.append({name: rate for part in rates for name, rate in part.items()})
        print(f"  round {number + 1} done", flush=True)

    print(f"\n{'steps/s':44}{'median':>10}{'lowest':>10}{'highest':>10}")
    for name in sorted(measured[0], key=lambda name: -median(rates[name] for rates in measured)):
        print(line(name, [rates[name] for rates in measured], ",.0f"))
    print(f"\n{'ratio':44}{'median':>10}{'lowest':>10}{'highest':>10}{'target':>10}")
    for other, target in targets.items():
        print(line(f"{ours} / {other}", [r[ours] / r[other] for r in measured], ".2f") + f"{f'>= {target:g}':>10}")


def line(name: str, values: Sequence[float], form: str) -> str:
    return f"{name:44}" + "".join(f"{format(x, form):>10}" for x in (median(values), min(values), max(values)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="turns that each side takes (default: 3)")
    parser.add_argument(
        "--iterations",
        type=int,
        default=HELD_OUT_EVERY,
        help="iterations timed a turn (default: 10; a multiple of it has training's share of held-out measurements)",
    )
    parser.add_argument("--without-sb3", action="store_true", help="leave Stable-Baselines3 out")
    for name, kind in (("--side", str), ("--simulations", int), ("--threads", int), ("--seed", int)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)  # what `race` tells its processes
    options = parser.parse_args()
    if options.rounds < 1 or options.iterations < 1:
        parser.error("--rounds and --iterations are numbers from 1 up")

    if options.side == "mujoco":
        serve(mujoco_side(options.simulations, options.threads, options.seed), options.iterations)
    elif options.side == "sb3":
        serve(sb3_side("PPO", TASK, options.seed), options.iterations)
    elif options.without_sb3 or importlib.util.find_spec("stable_baselines3"):
        compare(options.rounds, options.iterations, not options.without_sb3)
    else:
        sys.exit("Stable-Baselines3 is not installed: pip install -e '.[benchmarks]', or use --without-sb3.")


if __name__ == "__main__":
    main()
