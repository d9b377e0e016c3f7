"""How the cost of training grows with seeds, with the networks' width, and from task to task.

    python benchmarks/scaling.py                       (some ten minutes on one core)
    python benchmarks/scaling.py --plot scaling.svg

One process, PPO with the papers' settings, two iterations to warm up and as many timed, without held-out measurements.
Each line says microseconds of processor time for one environment step of one run, and how much of it is MuJoCo's own
step, without what `rlclaims.sim.lean` leaves out; the rest is all that rlclaims adds. Lines are taken in turns, and
medians over rounds are told.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from rlclaims.agents.ppo import PPO
from rlclaims.sim.simulator import Simulator
from rlclaims.sim.tasks import TASKS, task_named
from rlclaims.training import Cohort, Group

SEEDS, WIDTHS = (1, 3, 10, 30, 100), (16, 64, 128, 256)
WARM, TIMED = 2, 2


@dataclass(frozen=True)
class Case:
    """What is timed."""

    axis: str
    task: str = "Hopper-v5"
    seeds: int = 10
    width: int = 64

    @property
    def name(self) -> str:
        return f"{self.task}, {self.seeds} seeds, width {self.width}"


CASES = [
    *(Case("seeds", seeds=n) for n in SEEDS),
    *(Case("width", width=n) for n in WIDTHS),
    *(Case("task", task=task) for task in TASKS),
]


class Clock:
    """Processor time spent in MuJoCo's step, which it stands in front of."""

    def __init__(self, batch: object, step: Callable[..., None]) -> None:
        self._batch, self._step, self.seconds = batch, step, 0.0

    def __getattr__(self, name: str) -> object:
        return getattr(self._batch, name)

    def step(self, **options: object) -> None:
        begin = time.process_time()
        self._step(**options)
        self.seconds += time.process_time() - begin


def timed(case: Case) -> tuple[float, float]:
    """Microseconds of an environment step of one run: all of it, and MuJoCo's part."""
    algorithm = replace(PPO.for_task(case.task), hidden=(case.width, case.width))
    cohort = Cohort(task_named(case.task), [Group(algorithm, tuple(range(case.seeds)))], 1 + WARM + TIMED)
    simulator = cohort._simulator
    assert isinstance(simulator, Simulator)
    clock = Clock(simulator._batch, simulator._batch.step)
    simulator._batch = clock
    for iteration in range(1, 1 + WARM):  # iteration 0 has held-out measurements
        cohort._iterate(iteration)
    clock.seconds, begin = 0.0, time.process_time()
    for iteration in range(1 + WARM, 1 + WARM + TIMED):
        cohort._iterate(iteration)
    steps = case.seeds * algorithm.steps * TIMED
    return 1e6 * (time.process_time() - begin) / steps, 1e6 * clock.seconds / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--plot", type=Path, help="a picture of it (SVG, PDF or PNG by its name)")
    asked = parser.parse_args()
    turns: dict[Case, list[tuple[float, float]]] = {case: [] for case in CASES}
    print(f"{'':52}{'µs a step':>10}{'MuJoCo':>10}{'share':>8}")
    found: dict[Case, tuple[float, ...]] = {}
    for turn in range(1, asked.rounds + 1):
        for case in CASES:
            turns[case].append(timed(case))
            whole, mujoco = found[case] = tuple(map(median, zip(*turns[case], strict=True)))
            if turn == asked.rounds:
                shares = f"{whole:>10.1f}{mujoco:>10.1f}{mujoco / whole:>8.2f}"
                print(f"{case.axis:8}{case.name:44}{shares}", flush=True)
    if asked.plot is not None:
        draw(found, asked.plot)


def draw(found: dict[Case, tuple[float, ...]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.2), layout="constrained")
    panels = zip(figure.subplots(1, 3, width_ratios=(2, 2, 3)), ("seeds", "width", "task"), strict=True)
    for axes, axis in panels:
        cases = [case for case in found if case.axis == axis]
        names = [str(getattr(case, axis)).removesuffix("-v5") for case in cases]
        # Tasks differ by powers of ten: there it is shares that are told.
        unit = [found[case][0] if axis == "task" else 1.0 for case in cases]
        mujoco = [found[case][1] / one for case, one in zip(cases, unit, strict=True)]
        rest = [(found[case][0] - found[case][1]) / one for case, one in zip(cases, unit, strict=True)]
        if axis == "task":
            axes.barh(names, mujoco, label="MuJoCo", color="0.7")
            axes.barh(names, rest, left=mujoco, label="the rest")
            axes.invert_yaxis()
            axes.set_xlabel("share of a step (10 seeds)")
        else:
            axes.bar(names, mujoco, label="MuJoCo", color="0.7")
            axes.bar(names, rest, bottom=mujoco, label="the rest")
            axes.set_xlabel({"seeds": "seeds in lockstep", "width": "width of both hidden layers"}[axis])
            axes.set_ylabel("µs a step and run")
    figure.axes[0].legend()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
