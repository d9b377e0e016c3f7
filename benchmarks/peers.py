"""Compare rlclaims' training speed and memory with those of common libraries.

    python benchmarks/peers.py                    (some four minutes a round on two cores)
    python benchmarks/peers.py --rounds 5 --task Walker2d-v5

Each side uses all cores and the same settings (those of rlclaims' PPO and TRPO, which are the papers'):

    rlclaims PPO, TRPO    30 seeds, trained as by `pytest claims/`: a process per core, measuring included
    SB3 PPO               Stable-Baselines3's PPO, one training in a process per core
    sb3-contrib TRPO      sb3-contrib's TRPO, likewise
    single-file PPO       `single_file_ppo.py`, in the style of single-file libraries, likewise

Sides alternate within a round, in the opposite order every other round; ratios are taken within rounds, and medians
over rounds. Each side warms up for one iteration. Environment steps per second are those of all trainings together;
for rlclaims only training steps count, not those of held-out measurements. Memory is the peak resident set of all of a
side's processes, divided by the number of simultaneous trainings.
"""

import argparse
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch
from single_file_ppo import trainer
from training import STEPS, Iterate, race, sb3_side, serve

from rlclaims.agents.ppo import PPO
from rlclaims.agents.trpo import TRPO
from rlclaims.execution.cohorts import plan
from rlclaims.execution.pool import cores
from rlclaims.execution.train import execute
from rlclaims.store.run_spec import RunSpec
from rlclaims.store.store import Store
from rlclaims.training import HELD_OUT_EVERY

SEEDS = 30


@dataclass(frozen=True)
class Measured:
    """Result of a side's turn."""

    rate: float
    """Environment steps per second, of all trainings together."""
    memory: float
    """Peak memory in MB per simultaneous training."""


def single_file_side(task: str, seed: int, iterations: int) -> Iterate:
    torch.set_num_threads(1)
    return trainer(task, PPO.for_task(task), seed, 1 + iterations)


class Memory:
    """Peak of the children's total resident set, in MB, within a `with` block."""

    def __enter__(self) -> "Memory":
        self.most = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            self.most = max(self.most, sum(_resident(pid) for pid in _children()))


def _children() -> list[int]:
    me = Path("/proc/self/task")
    return [int(pid) for task in me.iterdir() for pid in (task / "children").read_text().split()]


def _resident(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 1e6
    except OSError:  # the process has ended
        return 0.0


def one_each(side: str, task: str, iterations: int) -> Measured:
    """Measure one training in a process per core."""
    arguments = [
        ("--side", side, "--task", task, "--iterations", iterations, "--seed", seed) for seed in range(cores())
    ]
    with Memory() as memory:
        seconds = race(arguments, __file__)
    return Measured(cores() * STEPS * iterations / seconds, memory.most / cores())


def rlclaims(algorithm: PPO | TRPO, task: str, iterations: int) -> Measured:
    """Measure all seeds in lockstep, in a process per core."""
    specs = [RunSpec(algorithm, task, 1 + iterations, seed) for seed in range(SEEDS)]
    reports: list[tuple[float, int]] = []  # (time, steps done by then)
    with tempfile.TemporaryDirectory() as folder, Memory() as memory:
        store = Store(Path(folder))
        store.prepare()
        execute(plan(specs, store), store, cores(), lambda p: reports.append((time.perf_counter(), p.steps_done)))
    total = SEEDS * STEPS * (1 + iterations)
    warm_at, warm_steps = next(r for r in reports if r[1] >= SEEDS * STEPS)
    done_at = next(at for at, steps in reports if steps == total)
    return Measured((total - warm_steps) / (done_at - warm_at), memory.most / SEEDS)


def compare(task: str, rounds: int, iterations: int) -> None:
    n = cores()
    ours: dict[str, Callable[[], Measured]] = {
        "rlclaims PPO": lambda: rlclaims(PPO.for_task(task), task, iterations),
        "rlclaims TRPO": lambda: rlclaims(TRPO.for_task(task), task, iterations),
    }
    theirs = {"SB3 PPO": "PPO", "single-file PPO": "PPO", "sb3-contrib TRPO": "TRPO"}
    sides = ours | {name: lambda name=name: one_each(name, task, iterations) for name in theirs}
    libraries = ("torch", "numpy", "gymnasium", "mujoco", "stable-baselines3", "sb3-contrib")
    print(f"{n} cores, {', '.join(f'{library} {version(library)}' for library in libraries)}")
    print(f"{task}, {rounds} rounds of {iterations} iterations", flush=True)
    turns: list[dict[str, Measured]] = []
    for number in range(rounds):
        order = list(sides) if number % 2 == 0 else list(reversed(sides))
        turns.append({name: sides[name]() for name in order})
        print(f"  round {number + 1} done", flush=True)

    print(f"\n{'':24}{'steps/s':>12}{'lowest':>10}{'highest':>10}{'MB/training':>16}")
    for name in sides:
        rates = [turn[name].rate for turn in turns]
        memory = median(turn[name].memory for turn in turns)
        print(f"{name:24}{median(rates):>12,.0f}{min(rates):>10,.0f}{max(rates):>10,.0f}{memory:>16,.0f}")
    print(f"\n{'ratio of steps/s':44}{'median':>10}{'lowest':>10}{'highest':>10}")
    for name, algorithm in theirs.items():
        ratios = [turn[f"rlclaims {algorithm}"].rate / turn[name].rate for turn in turns]
        print(line(f"rlclaims {algorithm} / {name}", ratios))


def line(name: str, values: Sequence[float]) -> str:
    return f"{name:44}" + "".join(f"{x:>10.1f}" for x in (median(values), min(values), max(values)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="turns per side (default: 3)")
    parser.add_argument(
        "--iterations", type=int, default=HELD_OUT_EVERY, help="iterations timed per turn (default: 10)"
    )
    parser.add_argument("--task", default="Hopper-v5", help="a MuJoCo task of Gymnasium (default: Hopper-v5)")
    for name, kind in (("--side", str), ("--seed", int)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)  # passed by `race` to its processes
    options = parser.parse_args()
    if options.rounds < 1 or options.iterations < 1:
        parser.error("--rounds and --iterations must be at least 1")
    if options.side is None:
        compare(options.task, options.rounds, options.iterations)
    elif options.side == "single-file PPO":
        serve(single_file_side(options.task, options.seed, options.iterations), options.iterations)
    elif options.side in ("SB3 PPO", "sb3-contrib TRPO"):
        algorithm = options.side.rpartition(" ")[2]
        serve(sb3_side(algorithm, options.task, options.seed), options.iterations)
    else:
        sys.exit(f"Unknown side {options.side!r}.")


if __name__ == "__main__":
    main()
