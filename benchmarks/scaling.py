"""Measure the cost of training by the number of seeds, the networks' width, and the task.

    python benchmarks/scaling.py                       (some ten minutes on one core)
    python benchmarks/scaling.py --plot scaling.svg

One process trains PPO with the papers' settings: two iterations to warm up and two timed, without held-out
measurements. Each line shows microseconds of processor time per environment step of one run, and the part of MuJoCo's
own step, as shortened by `rlclaims.sim.lean`; the rest is rlclaims' overhead. Lines alternate within a round, and
medians over rounds are shown.
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
    """Setting to time."""

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
    """Proxy of a MuJoCo batch that adds up the processor time spent in its step."""

    def __init__(self, batch: object, step: Callable[..., None]) -> None:
        self._batch = batch
        self._step = step
        self.seconds = 0.0

    def __getattr__(self, name: str) -> object:
        return getattr(self._batch, name)

    def step(self, **options: object) -> None:
        begin = time.process_time()
        self._step(**options)
        self.seconds += time.process_time() - begin


def timed(case: Case) -> tuple[float, float]:
    """Return the microseconds per environment step of one run, and MuJoCo's part of them."""
    algorithm = replace(PPO.for_task(case.task), hidden=(case.width, case.width))
    cohort = Cohort(task_named(case.task), [Group(algorithm, tuple(range(case.seeds)))], 1 + WARM + TIMED)
    simulator = cohort._simulator
    assert isinstance(simulator, Simulator)
    clock = Clock(simulator._batch, simulator._batch.step)
    simulator._batch = clock
    for iteration in range(1, 1 + WARM):  # iteration 0 has held-out measurements
        cohort._iterate(iteration)
    clock.seconds = 0.0
    begin = time.process_time()
    for iteration in range(1 + WARM, 1 + WARM + TIMED):
        cohort._iterate(iteration)
    steps = case.seeds * algorithm.steps * TIMED
    return 1e6 * (time.process_time() - begin) / steps, 1e6 * clock.seconds / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1, help="times that each line is measured (default: 1)")
    parser.add_argument("--plot", type=Path, help="file to draw a figure into (SVG, PDF or PNG by its suffix)")
    options = parser.parse_args()
    turns: dict[Case, list[tuple[float, float]]] = {case: [] for case in CASES}
    print(f"{'':52}{'µs a step':>10}{'MuJoCo':>10}{'share':>8}")
    medians: dict[Case, tuple[float, ...]] = {}
    for turn in range(1, options.rounds + 1):
        for case in CASES:
            turns[case].append(timed(case))
            whole, mujoco = medians[case] = tuple(map(median, zip(*turns[case], strict=True)))
            if turn == options.rounds:
                shares = f"{whole:>10.1f}{mujoco:>10.1f}{mujoco / whole:>8.2f}"
                print(f"{case.axis:8}{case.name:44}{shares}", flush=True)
    if options.plot is not None:
        draw(medians, options.plot)


def draw(medians: dict[Case, tuple[float, ...]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.2), layout="constrained")
    panels = zip(figure.subplots(1, 3, width_ratios=(2, 2, 3)), ("seeds", "width", "task"), strict=True)
    for axes, axis in panels:
        cases = [case for case in medians if case.axis == axis]
        names = [str(getattr(case, axis)).removesuffix("-v5") for case in cases]
        # Tasks differ by powers of ten, so their panel shows shares.
        unit = [medians[case][0] if axis == "task" else 1.0 for case in cases]
        mujoco = [medians[case][1] / one for case, one in zip(cases, unit, strict=True)]
        rest = [(medians[case][0] - medians[case][1]) / one for case, one in zip(cases, unit, strict=True)]
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
