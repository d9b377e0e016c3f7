"""What training would take, before any of it is done: runs, steps, minutes on this machine, and disk.

An iteration of a cohort collects the steps of all its seeds and lets each algorithm learn; both take a time that is
close to linear in the number of seeds. A probe of a few seconds, on all cores at once, finds those lines.
"""

import heapq
import json
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from typing import Any

from rlclaims.adapters.external import HELD_OUT, ExternalTraining
from rlclaims.agents.algorithm import Algorithm
from rlclaims.agents.ppo import PPO
from rlclaims.checkpoints import checkpoint_iterations
from rlclaims.episodes import SLOTS
from rlclaims.execution.child_process import end, failure_summary
from rlclaims.execution.cohorts import cohorts
from rlclaims.execution.pool import TrainingError
from rlclaims.execution.twin_executor import lockstep
from rlclaims.execution.worker_process import start
from rlclaims.measures.registry import REGISTRY
from rlclaims.store.run_spec import RunSpec, times_held_out
from rlclaims.studies.kinds import KINDS
from rlclaims.studies.registry import TWINS, Studied
from rlclaims.studies.twin_updates.compute import cost_in_updates, parts
from rlclaims.training import HELD_OUT_EVERY

SIZES = (1, 4)
"""Seeds of each algorithm that a probe trains."""
SERIES_BYTES = 25
"""Of a number in a file of measurements, as text."""
TWIN_NUMBERS = 6 * len(parts())
"""Of each update that is made again, in a file of twin updates."""

Kind = tuple[str, int]
"""Task, and steps between updates: what runs share that are probed together."""


@dataclass(frozen=True)
class Line:
    """Seconds, as a function of the number of seeds."""

    fixed: float
    per_seed: float

    @classmethod
    def through(cls, points: Sequence[tuple[int, float]]) -> "Line":
        """The line through two points."""
        (n, seconds), (m, more) = points
        slope = max(0.0, (more - seconds) / (m - n))
        return cls(max(0.0, seconds - slope * n), slope)

    def at(self, seeds: int) -> float:
        """Seconds for so many seeds."""
        return self.fixed + self.per_seed * seeds


@dataclass(frozen=True)
class Speed:
    """How fast this machine trains the runs of one kind."""

    start: float
    """Seconds until a training process takes its first step."""
    collect: Line
    """To take the steps of an iteration, by the seeds of a cohort."""
    learn: Mapping[Algorithm | ExternalTraining, Line]
    """To learn from them and measure, by the seeds of an algorithm."""
    parameters: Mapping[Algorithm | ExternalTraining, int]
    """Of a policy."""
    numbers_per_pair: int
    """Of an observation, an action and an advantage."""
    each: float = 0.0
    """Seconds for each run before its first iteration, where they train one after the other."""

    def seconds(self, cohort: Sequence[RunSpec]) -> float:
        """To train a cohort."""
        counts = Counter(run.algorithm for run in cohort)
        learning = sum(self.learn[algorithm].at(n) for algorithm, n in counts.items())
        collecting = _rollouts(cohort[0]) * self.collect.at(len(cohort))
        return self.start + len(cohort) * self.each + collecting + cohort[0].iterations * learning

    def simulate(self, run: RunSpec) -> float:
        """Seconds for a step of the simulator, where many play at a time."""
        return self.collect.at(SLOTS) / (SLOTS * run.algorithm.steps)

    def bytes(self, run: RunSpec) -> int:
        """That a run takes in the store: its parameters after every update, where four started, its measurements."""
        kept, parameters = len(checkpoint_iterations(run.iterations, HELD_OUT_EVERY)), self.parameters[run.algorithm]
        starts = kept * (3 * parameters + 2 * run.algorithm.steps * self.numbers_per_pair)
        statistics = 16 * run.iterations * self.numbers_per_pair  # an observation's, of which a pair has a few more
        single = 4 * (parameters * (run.iterations + 1) + starts)
        return single + statistics + SERIES_BYTES * len(REGISTRY) * _rollouts(run)


@dataclass(frozen=True)
class Cost:
    """What some runs take."""

    runs: int
    """To be trained."""
    steps: int
    """Of the simulated environments, those for measuring included."""
    seconds: float
    """On the processes of a session, those that idle included."""
    bytes: int
    """In the store."""

    def __add__(self, other: "Cost") -> "Cost":
        """Of one after the other."""
        return Cost(
            self.runs + other.runs,
            self.steps + other.steps,
            self.seconds + other.seconds,
            self.bytes + other.bytes,
        )


NOTHING = Cost(0, 0, 0.0, 0)


def cost(missing: Sequence[RunSpec], processes: int, speeds: Mapping[Kind, Speed]) -> Cost:
    """What it takes to train runs at once, on so many processes."""
    if not missing:
        return NOTHING
    busy_until = [0.0] * processes
    for cohort in cohorts(missing, processes):  # each goes to the process that is free first
        heapq.heappush(busy_until, heapq.heappop(busy_until) + speeds[kind(cohort[0])].seconds(cohort))
    return Cost(
        len(missing),
        sum(run.algorithm.steps * _rollouts(run) for run in missing),
        max(busy_until),
        sum(speeds[kind(run)].bytes(run) for run in missing),
    )


def cost_of_studies(missing: Sequence[Studied], processes: int, speeds: Mapping[Kind, Speed]) -> Cost:
    """What it takes to make what is derived from runs."""
    twins = [run for run, study in missing if study == TWINS]
    others = [(run, study) for run, study in missing if study != TWINS]
    return cost_of_twins(twins, processes, speeds) + cost_of_simulated(others, processes, speeds)


def cost_of_simulated(missing: Sequence[Studied], processes: int, speeds: Mapping[Kind, Speed]) -> Cost:
    """What it takes to measure around the policies of runs, all at once: the steps of whole episodes."""
    if not missing:
        return NOTHING
    steps = [study.expected_steps(run) for run, study in missing]
    seconds = [n * speeds[kind(run)].simulate(run) for n, (run, _) in zip(steps, missing, strict=True)]
    start = max(speeds[kind(run)].start for run, _ in missing)
    # A run's are made by one process.
    busy = max(sum(seconds) / processes, *seconds)
    return Cost(0, sum(steps), start + busy, sum(KINDS[study.kind].bytes for _, study in missing))


def cost_of_twins(runs: Sequence[RunSpec], processes: int, speeds: Mapping[Kind, Speed]) -> Cost:
    """What it takes to make the updates of runs again, with mechanisms switched."""
    total = NOTHING
    for group in lockstep(runs):
        first, speed = group[0], speeds[kind(group[0])]
        algorithm = first.algorithm
        assert isinstance(algorithm, PPO)
        kept = len(checkpoint_iterations(first.iterations, HELD_OUT_EVERY))
        of_learning = algorithm.policy_gradient_steps / algorithm.gradient_steps
        update = speed.learn[algorithm].at(len(group) * kept) * of_learning
        seconds = speed.start + cost_in_updates() * update / processes
        total += Cost(0, 0, seconds, len(group) * kept * TWIN_NUMBERS * SERIES_BYTES)
    return total


def kind(run: RunSpec) -> Kind:
    """What a run is probed with; a foreign one with those of its own alone."""
    alone = f" by {run.algorithm}" if isinstance(run.algorithm, ExternalTraining) else ""
    return run.task + alone, run.algorithm.steps


def measured_speeds(runs: Sequence[RunSpec], processes: int) -> dict[Kind, Speed]:
    """How fast this machine trains runs like these, by trying for some seconds; nothing of it is kept.

    Raises:
        TrainingError: a probe died.
    """
    kinds: dict[Kind, dict[Algorithm | ExternalTraining, RunSpec]] = {}
    for run in runs:
        kinds.setdefault(kind(run), {}).setdefault(run.algorithm, run)
    return {which: _probed(list(by_algorithm.values()), processes) for which, by_algorithm in kinds.items()}


def _effort(algorithm: Algorithm | ExternalTraining) -> tuple[object, ...]:
    """What algorithms share that take as long to learn: their class, and all settings that count something."""
    values = (getattr(algorithm, field.name) for field in fields(algorithm))
    return type(algorithm), *(value for value in values if isinstance(value, int | tuple))


def _probed(asked: Sequence[RunSpec], processes: int) -> Speed:
    # A factorial has many algorithms, and nearly all that they differ in costs no time.
    first: dict[tuple[object, ...], RunSpec] = {}
    for spec in asked:
        first.setdefault(_effort(spec.algorithm), spec)
    specs, place = list(first.values()), {effort: i for i, effort in enumerate(first)}
    begun = time.perf_counter()
    answers = _answers(specs, processes)
    elapsed = time.perf_counter() - begun
    if isinstance(asked[0].algorithm, ExternalTraining):
        return _foreign_speed(asked[0].algorithm, answers, elapsed)

    def mean(size: int, part: int) -> float:
        return statistics.fmean(answer["seconds"][str(size)][part] for answer in answers)

    def line(part: int, seeds_per_size: int) -> Line:
        return Line.through([(size * seeds_per_size, mean(size, part)) for size in SIZES])

    timed = sum(mean(size, part) for size in SIZES for part in range(len(specs) + 1))
    warming = sum(mean(SIZES[0], part) for part in range(len(specs) + 1))
    return Speed(
        max(0.0, elapsed - timed - warming),
        line(0, len(specs)),
        {spec.algorithm: line(1 + place[_effort(spec.algorithm)], 1) for spec in asked},
        {spec.algorithm: answers[0]["parameters"][place[_effort(spec.algorithm)]] for spec in asked},
        answers[0]["numbers_per_pair"],
    )


def _foreign_speed(algorithm: ExternalTraining, answers: Sequence[dict[str, float]], elapsed: float) -> Speed:
    """By what one iteration took and what three did."""
    one, three = (statistics.fmean(answer[iterations] for answer in answers) for iterations in ("1", "3"))
    iteration = max(0.0, (three - one) / 2)
    return Speed(
        max(0.0, elapsed - 2 * one - three),
        Line(0.0, 0.0),
        {algorithm: Line(0.0, iteration)},
        {algorithm: 0},
        0,
        max(0.0, one - iteration),
    )


def _answers(specs: Sequence[RunSpec], processes: int) -> list[dict[str, Any]]:
    """What as many probes say, at once."""
    with ExitStack() as closing:
        # As many at once as will train at once, since they share the memory and the caches.
        probes = []
        for _ in range(processes):
            process, log = start("rlclaims.execution.speed_probe", specs, sizes=SIZES)
            probes.append((process, log))
            closing.callback(end, (process, log))  # if another one failed, or there was Ctrl-C
        said = [process.stdout.read() for process, _ in probes if process.stdout is not None]
        for process, log in probes:
            if process.wait() != 0:
                raise TrainingError(f"{specs[0].name} and its like cannot be trained.{failure_summary(log)}")
    return [json.loads(answer) for answer in said]


def _rollouts(run: RunSpec) -> int:
    """Collected over a run's training, to learn from and to measure on."""
    if isinstance(run.algorithm, ExternalTraining) and run.algorithm.lacks(HELD_OUT):
        return run.iterations
    return run.iterations + times_held_out(run.iterations)
