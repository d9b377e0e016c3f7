"""The expected cost of training and of studies: runs, steps, minutes on this machine, and disk.

An iteration of a cohort collects the steps of all its seeds and lets each algorithm learn; both times are
close to linear in the number of seeds. A probe of a few seconds, on all cores at once, measures these lines.
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
from rlclaims.checkpoints import checkpoint_iterations
from rlclaims.episodes import SLOTS
from rlclaims.execution.child_process import failure_summary, reap
from rlclaims.execution.cohorts import cohorts
from rlclaims.execution.derive import lockstep
from rlclaims.execution.pool import TrainingError
from rlclaims.execution.worker_process import start
from rlclaims.measures.registry import REGISTRY
from rlclaims.store.run_spec import RunSpec, Studied
from rlclaims.studies.kind import NUMBER_BYTES
from rlclaims.studies.registry import Study
from rlclaims.training import HELD_OUT_EVERY, times_held_out

SIZES = (1, 4)
"""Numbers of seeds of each algorithm that a probe trains."""

ProbeKey = tuple[str, int]
"""Task and steps between updates, which runs share that are probed together."""


@dataclass(frozen=True)
class Line:
    """Seconds, as a function of the number of seeds."""

    fixed: float
    per_seed: float

    @classmethod
    def through(cls, points: Sequence[tuple[int, float]]) -> "Line":
        """Return the line through two points."""
        (n, seconds), (m, more) = points
        slope = max(0.0, (more - seconds) / (m - n))
        return cls(max(0.0, seconds - slope * n), slope)

    def at(self, seeds: int) -> float:
        """Return the seconds for a number of seeds."""
        return self.fixed + self.per_seed * seeds


@dataclass(frozen=True)
class Speed:
    """Speed of this machine, for runs that are probed together."""

    start: float
    """Seconds until a training process takes its first step."""
    collect: Line
    """Seconds to take the steps of an iteration, by the seeds of a cohort."""
    learn: Mapping[Algorithm | ExternalTraining, Line]
    """Seconds to learn from them and measure, by the seeds of an algorithm."""
    parameters: Mapping[Algorithm | ExternalTraining, int]
    """Number of parameters of a policy."""
    numbers_per_pair: int
    """Length of an observation, an action and an advantage together."""
    each: float = 0.0
    """Seconds for each run before its first iteration, where they train one after the other."""

    def seconds(self, cohort: Sequence[RunSpec]) -> float:
        """Return the seconds to train a cohort."""
        counts = Counter(run.algorithm for run in cohort)
        learning = sum(self.learn[algorithm].at(n) for algorithm, n in counts.items())
        collecting = _rollouts(cohort[0]) * self.collect.at(len(cohort))
        return self.start + len(cohort) * self.each + collecting + cohort[0].iterations * learning

    def simulate(self, run: RunSpec) -> float:
        """Return the seconds for a simulator step, where many episodes play at a time."""
        return self.collect.at(SLOTS) / (SLOTS * run.algorithm.steps)

    def bytes(self, run: RunSpec) -> int:
        """Return a run's size in the store: parameters after every update, where four updates started, measurements."""
        kept = len(checkpoint_iterations(run.iterations, HELD_OUT_EVERY))
        parameters = self.parameters[run.algorithm]
        starts = kept * (3 * parameters + 2 * run.algorithm.steps * self.numbers_per_pair)
        statistics = 16 * run.iterations * self.numbers_per_pair  # of observations; a pair has a few numbers more
        single = 4 * (parameters * (run.iterations + 1) + starts)
        return single + statistics + NUMBER_BYTES * len(REGISTRY) * _rollouts(run)


@dataclass(frozen=True)
class Cost:
    """The cost of some runs or studies."""

    runs: int
    """Runs to be trained."""
    steps: int
    """Simulator steps, those for measuring included."""
    seconds: float
    """Time on the processes of a session, some of which may be idle."""
    bytes: int
    """Size in the store."""

    def __add__(self, other: "Cost") -> "Cost":
        """Return the cost of one after the other."""
        return Cost(
            runs=self.runs + other.runs,
            steps=self.steps + other.steps,
            seconds=self.seconds + other.seconds,
            bytes=self.bytes + other.bytes,
        )


NOTHING = Cost(runs=0, steps=0, seconds=0.0, bytes=0)


def cost(missing: Sequence[RunSpec], processes: int, speeds: Mapping[ProbeKey, Speed]) -> Cost:
    """Return the cost of training runs on a number of processes."""
    if not missing:
        return NOTHING
    busy_until = [0.0] * processes
    for cohort in cohorts(missing, processes):  # each goes to the process that is free first
        heapq.heappush(busy_until, heapq.heappop(busy_until) + speeds[probe_key(cohort[0])].seconds(cohort))
    return Cost(
        runs=len(missing),
        steps=sum(run.algorithm.steps * _rollouts(run) for run in missing),
        seconds=max(busy_until),
        bytes=sum(speeds[probe_key(run)].bytes(run) for run in missing),
    )


def cost_of_studies(missing: Sequence[Studied], processes: int, speeds: Mapping[ProbeKey, Speed]) -> Cost:
    """Return the cost of computing studies of finished runs on a number of processes."""
    total = NOTHING
    for study, runs in lockstep([(run, study) for run, study in missing if study.definition.learning is not None]):
        total += _cost_of_learning(study, runs, processes, speeds[probe_key(runs[0])])
    playing = [(run, study) for run, study in missing if study.definition.learning is None]
    return total + _cost_of_playing(playing, processes, speeds)


def _cost_of_playing(missing: Sequence[Studied], processes: int, speeds: Mapping[ProbeKey, Speed]) -> Cost:
    """Return the cost of studies whose policies play again, all at once: the steps of whole episodes."""
    if not missing:
        return NOTHING
    steps = [study.definition.expected_steps(study.pairs, run.iterations) for run, study in missing]
    seconds = [n * speeds[probe_key(run)].simulate(run) for n, (run, _) in zip(steps, missing, strict=True)]
    start = max(speeds[probe_key(run)].start for run, _ in missing)
    # One process computes a run's study.
    busy = max(sum(seconds) / processes, *seconds)
    size = sum(study.definition.bytes(run.iterations) for run, study in missing)
    return Cost(runs=0, steps=sum(steps), seconds=start + busy, bytes=size)


def _cost_of_learning(study: Study, runs: Sequence[RunSpec], processes: int, speed: Speed) -> Cost:
    """Return the cost of a study that repeats learning, of runs of one algorithm, task and length."""
    algorithm = runs[0].algorithm
    iterations = runs[0].iterations
    learning = study.definition.learning
    assert learning is not None and isinstance(algorithm, Algorithm)
    iteration = speed.learn[algorithm].at(len(runs) * learning.updates(iterations))
    seconds = speed.start + learning.iterations(algorithm) * iteration / processes
    return Cost(runs=0, steps=0, seconds=seconds, bytes=len(runs) * study.definition.bytes(iterations))


def probe_key(run: RunSpec) -> ProbeKey:
    """Return the key of the runs that a run is probed with; an external run is probed with its own algorithm only."""
    alone = f" by {run.algorithm}" if isinstance(run.algorithm, ExternalTraining) else ""
    return run.task + alone, run.algorithm.steps


def measured_speeds(runs: Sequence[RunSpec], processes: int) -> dict[ProbeKey, Speed]:
    """Return how fast this machine trains such runs, from a trial of some seconds; nothing is stored.

    Raises:
        TrainingError: a probe died.
    """
    probes: dict[ProbeKey, dict[Algorithm | ExternalTraining, RunSpec]] = {}
    for run in runs:
        probes.setdefault(probe_key(run), {}).setdefault(run.algorithm, run)
    return {key: _probed(list(by_algorithm.values()), processes) for key, by_algorithm in probes.items()}


def _effort(algorithm: Algorithm | ExternalTraining) -> tuple[object, ...]:
    """Return what algorithms share that take equally long to learn: their class, and settings that count something."""
    values = (getattr(algorithm, field.name) for field in fields(algorithm))
    return type(algorithm), *(value for value in values if isinstance(value, int | tuple))


def _probed(asked: Sequence[RunSpec], processes: int) -> Speed:
    # The algorithms of a factorial are many, and most settings that they differ in cost no time.
    first: dict[tuple[object, ...], RunSpec] = {}
    for spec in asked:
        first.setdefault(_effort(spec.algorithm), spec)
    specs = list(first.values())
    place = {effort: i for i, effort in enumerate(first)}
    started = time.perf_counter()
    answers = _probe_results(specs, processes)
    elapsed = time.perf_counter() - started
    if isinstance(asked[0].algorithm, ExternalTraining):
        return _external_speed(asked[0].algorithm, answers, elapsed)

    def mean(size: int, part: int) -> float:
        return statistics.fmean(answer["seconds"][str(size)][part] for answer in answers)

    def line(part: int, seeds_per_size: int) -> Line:
        return Line.through([(size * seeds_per_size, mean(size, part)) for size in SIZES])

    timed = sum(mean(size, part) for size in SIZES for part in range(len(specs) + 1))
    warming = sum(mean(SIZES[0], part) for part in range(len(specs) + 1))
    return Speed(
        start=max(0.0, elapsed - timed - warming),
        collect=line(0, len(specs)),
        learn={spec.algorithm: line(1 + place[_effort(spec.algorithm)], 1) for spec in asked},
        parameters={spec.algorithm: answers[0]["parameters"][place[_effort(spec.algorithm)]] for spec in asked},
        numbers_per_pair=answers[0]["numbers_per_pair"],
    )


def _external_speed(algorithm: ExternalTraining, answers: Sequence[dict[str, float]], elapsed: float) -> Speed:
    """Return the speed of external training, from the seconds of one iteration and of three."""
    one, three = (statistics.fmean(answer[iterations] for answer in answers) for iterations in ("1", "3"))
    iteration = max(0.0, (three - one) / 2)
    return Speed(
        start=max(0.0, elapsed - 2 * one - three),
        collect=Line(0.0, 0.0),
        learn={algorithm: Line(0.0, iteration)},
        parameters={algorithm: 0},
        numbers_per_pair=0,
        each=max(0.0, one - iteration),
    )


def _probe_results(specs: Sequence[RunSpec], processes: int) -> list[dict[str, Any]]:
    """Return the results of one probe per process, all at once."""
    with ExitStack() as closing:
        # As many at once as will train at once, since they share memory and caches.
        probes = []
        for _ in range(processes):
            process, log = start("rlclaims.execution.speed_probe", specs, sizes=SIZES)
            probes.append((process, log))
            closing.callback(reap, (process, log))  # if another one failed, or on Ctrl-C
        outputs = [process.stdout.read() for process, _ in probes if process.stdout is not None]
        for process, log in probes:
            if process.wait() != 0:
                raise TrainingError(f"{specs[0].name} and other runs cannot be trained.{failure_summary(log)}")
    return [json.loads(output) for output in outputs]


def _rollouts(run: RunSpec) -> int:
    """Return how many rollouts a run's training collects, to learn from and to measure on."""
    if isinstance(run.algorithm, ExternalTraining) and run.algorithm.lacks_measure(HELD_OUT):
        return run.iterations
    return run.iterations + times_held_out(run.iterations)
