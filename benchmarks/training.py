"""Compare the speed of training with that of the bare simulator and of one process per seed.

    python benchmarks/training.py                 (some three minutes a round on two cores)
    python benchmarks/training.py --rounds 5
    python benchmarks/training.py --without-sb3

Environment steps per second on Hopper-v5, each side using all cores:

    MuJoCo     30 simulations in unmodified MuJoCo that only step: random actions drawn beforehand, `Batch.reset` for
               those that fell; no observations, rewards or learning. Once as one batch with a thread per core, and
               once as a single-threaded batch in a process per core, the stricter yardstick if threads wait for each
               other.
    rlclaims   30 runs (PPO, PPO-M and TRPO with the papers' settings, 10 seeds each), trained as by `pytest claims/`:
               `execute` into an empty store, one process per core. The time includes collecting, learning and
               measuring; only training steps count, not those of held-out measurements.
    SB3        one Stable-Baselines3 PPO per core, with the settings of rlclaims' PPO, on Gymnasium's environment.

Fairness: the sides alternate within a round, in the opposite order every other round, so that other load affects all
of them; ratios are taken within rounds, and medians over rounds. Each side warms up for one iteration (2048 steps of
each run), and is timed from then until its last process is done: rlclaims and SB3 over equally many iterations, MuJoCo,
whose rate is constant, over a third of them. Ten iterations after the first have exactly training's own share of
held-out measurements, one in ten.

Limits: a simulation's time depends on its contacts, hence on the policy. MuJoCo's actions are standard normal, as are
those of the other sides' initial policies; these then learn, and fall later. And iterations are fewer than in a claim's
training, so that start-up weighs more in "with start-up" than it would there.
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
"""Environment steps of a run per iteration, the same for all algorithms here."""
SPECS = [(algorithm.for_task(TASK), seed) for algorithm in (PPO, PPOM, TRPO) for seed in range(10)]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

Iterate = Callable[[int], object]
"""Function that runs a number of iterations."""
Rates = dict[str, float]
"""Environment steps per second by side."""


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
                # Hopper's termination rule, reduced to the two conditions that matter here.
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
    # SB3 has one optimiser for policy and values; all other settings are as in rlclaims.
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
    """Run the child process's side of `race`: warm up, wait for the signal, iterate."""
    iterate(1)
    print("ready", flush=True)
    if sys.stdin.readline():  # empty if the parent has ended
        iterate(iterations)
        print("done", flush=True)


def race(processes: Sequence[Sequence[object]], script: str = __file__) -> float:
    """Return the seconds from the signal to the script's processes, all warm, until the last one is done."""
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
                sys.exit(f"A process of the benchmark ended before it was {word}; see its error above.")

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
    reports: list[tuple[float, int]] = []  # (time, steps done by then)
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
    n = cores()
    runs = len(SPECS)
    shares = [share for first in range(n) if (share := len(range(first, runs, n)))]
    ours = "rlclaims"
    sb3 = f"{n} x SB3"
    threads = f"MuJoCo (batch, {n} threads)"
    split = "MuJoCo (one process per core)"
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
    parser.add_argument("--rounds", type=int, default=3, help="turns per side (default: 3)")
    parser.add_argument(
        "--iterations",
        type=int,
        default=HELD_OUT_EVERY,
        help="iterations timed per turn (default: 10; multiples of 10 have training's share of held-out measurements)",
    )
    parser.add_argument("--without-sb3", action="store_true", help="do not run Stable-Baselines3")
    for name, kind in (("--side", str), ("--simulations", int), ("--threads", int), ("--seed", int)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)  # passed by `race` to its processes
    options = parser.parse_args()
    if options.rounds < 1 or options.iterations < 1:
        parser.error("--rounds and --iterations must be at least 1")

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
