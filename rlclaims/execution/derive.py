"""Computes studies of finished runs on several processes, and stores each as soon as it is complete."""

import heapq
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from rlclaims.execution.pool import LocalPool, WorkerPool, WorkItem
from rlclaims.store.run_spec import RunSpec, Studied
from rlclaims.store.store import Store
from rlclaims.studies.registry import Study


@dataclass(frozen=True)
class DeriveProgress:
    """Progress of the studies that are computed."""

    studies: tuple[str, ...]
    """Labels of their kinds."""
    done: int
    """Jobs completed."""
    total: int
    """Jobs planned."""
    steps_done: int
    """Simulator steps made."""
    steps_total: int
    """Simulator steps: actual for completed jobs, expected for the rest."""


OnProgress = Callable[[DeriveProgress], None]


@dataclass(frozen=True)
class Job:
    """A part of a study that one process computes, for one run or for several in lockstep."""

    study: Study
    runs: tuple[RunSpec, ...]
    name: str
    """Name among the kind's jobs."""
    cost: float
    """Its share of the work on these runs."""

    @property
    def expected_steps(self) -> int:
        """Approximate number of simulator steps."""
        kind = self.study.definition
        return round(self.cost * sum(kind.expected_steps(self.study.pairs, run.iterations) for run in self.runs))


def derive(
    missing: Sequence[Studied],
    store: Store,
    processes: int,
    on_progress: OnProgress = lambda _: None,
    pool: WorkerPool | None = None,
) -> None:
    """Compute studies of finished runs into the store; the study of a failed run is its failure.

    Args:
        missing: runs that are in the store, and a study of each.
        store: the store; a study is written as soon as all its jobs are done.
        processes: number of processes at a time.
        on_progress: called at the beginning, as steps are made, and when a job is done.
        pool: the pool that runs the processes; None for this machine.

    Raises:
        SpecError: the length of a run's episodes cannot be read.
        TrainingError: a process died. Studies that were complete are in the store.
    """
    finished = _of_finished(missing, store)
    if not finished:
        return
    shares = _distribute_batches(_batches(finished), store, processes)
    jobs = [job for share in shares for job in share]
    labels = tuple(dict.fromkeys(study.words for _, study in finished))
    steps = [0] * len(shares)  # of the job that each process is at
    done = 0
    steps_done = 0
    steps_total = sum(job.expected_steps for job in jobs)
    results = _Results(jobs, store)

    def report() -> None:
        on_progress(DeriveProgress(labels, done, len(jobs), steps_done, max(steps_done, steps_total)))

    report()
    failure = f"The {', '.join(labels)} of {finished[0][0].name} and other runs cannot be computed."
    items = [_work_item(share, store, failure) for share in shares]
    with closing((pool or LocalPool()).run("rlclaims.execution.derive_worker", items, processes)) as messages:
        for place, message in messages:
            if "steps" in message:
                steps_done += message["steps"]
                steps[place] += message["steps"]
            elif "lost" in message:
                steps_done -= steps[place]
                steps[place] = 0
            elif "job" in message:
                job = shares[place][message["job"]]
                results.add(job, message["failure"], message["series"])
                done += 1
                steps_total += steps[place] - job.expected_steps
                steps[place] = 0
            report()


class _Results:
    """Series of studies that are not complete yet; stores those that are."""

    def __init__(self, jobs: Sequence[Job], store: Store) -> None:
        self._store = store
        self._left = Counter((run, job.study) for job in jobs for run in job.runs)
        """Jobs that are not done."""
        self._failures: dict[Studied, str] = {}
        self._series: dict[Studied, dict[str, list[float]]] = {}

    def add(self, job: Job, failure: str | None, series: Sequence[dict[str, list[float]]]) -> None:
        """Take what a job computed: a failure, or the series of each of its runs."""
        for i, run in enumerate(job.runs):
            key = run, job.study
            if failure is None:
                self._series.setdefault(key, {}).update(series[i])
            else:
                self._failures.setdefault(key, failure)
            self._left[key] -= 1
            if not self._left[key]:
                series_of_run = self._series.pop(key, {})
                failure_of_run = self._failures.get(key)
                self._store.put_study(*key, failure_of_run, {} if failure_of_run else series_of_run)


def lockstep(missing: Sequence[Studied]) -> list[tuple[Study, tuple[RunSpec, ...]]]:
    """Return the groups of runs that studies are computed on: each run alone, or all that go in lockstep.

    In lockstep go runs of one algorithm, task and length.
    """
    groups: dict[object, tuple[Study, list[RunSpec]]] = {}
    for run, study in missing:
        together = study.definition.lockstep
        key = (study, run.algorithm, run.task, run.iterations) if together else (study, run)
        groups.setdefault(key, (study, []))[1].append(run)
    return [(study, tuple(runs)) for study, runs in groups.values()]


def distribute(weights: Sequence[float], processes: int) -> list[list[int]]:
    """Return the places of jobs by process, so that each has about as much to do; the heaviest come first."""
    shares: list[tuple[float, int, list[int]]] = [(0.0, process, []) for process in range(min(processes, len(weights)))]
    for place in sorted(range(len(weights)), key=lambda place: -weights[place]):
        weight, process, share = shares[0]
        heapq.heapreplace(shares, (weight + weights[place], process, [*share, place]))
    return [share for _, _, share in sorted(shares, key=lambda share: share[1])]


def _distribute_batches(batches: Iterable[Sequence[Job]], store: Store, processes: int) -> list[list[Job]]:
    """Return the jobs of each process: about as much of every batch.

    Weights are comparable within a batch only, so batches are distributed one by one.
    """
    shares: list[list[Job]] = [[] for _ in range(processes)]
    for batch in batches:
        for share, places in zip(shares, distribute(_weights(batch, store), processes), strict=False):
            share += [batch[place] for place in places]
    return [share for share in shares if share]


def _batches(finished: Sequence[Studied]) -> Iterator[list[Job]]:
    """Yield jobs whose weights are comparable: those of each group in lockstep, then all others together."""
    alone = []
    for study, runs in lockstep(finished):
        costs = study.definition.jobs()
        jobs = [Job(study, runs, name, cost / sum(costs.values())) for name, cost in costs.items()]
        if study.definition.lockstep:
            yield jobs
        else:
            alone += jobs
    yield alone


def _weights(jobs: Sequence[Job], store: Store) -> list[float]:
    """Return roughly how much work each job is: longer episodes are more simulator steps."""
    playing = dict.fromkeys(run for job in jobs if job.expected_steps for run in job.runs)
    episode = {run: store.mean_episode(run) for run in playing}
    return [
        job.expected_steps * statistics.fmean(episode[run] for run in job.runs) if job.expected_steps else job.cost
        for job in jobs
    ]


def _of_finished(missing: Sequence[Studied], store: Store) -> list[Studied]:
    """Return the studies of finished runs; store the failure of each failed run as its study."""
    finished = []
    for run, study in missing:
        failure = store.measured(run).failure
        if failure is None:
            finished.append((run, study))
        else:
            store.put_study(run, study, failure, {})
    return finished


def _work_item(share: Sequence[Job], store: Store, failure: str) -> WorkItem:
    places = {run: place for place, run in enumerate(dict.fromkeys(run for job in share for run in job.runs))}
    jobs: list[dict[str, Any]] = [
        {
            "kind": job.study.kind,
            "pairs": job.study.pairs,
            "name": job.name,
            "runs": [places[run] for run in job.runs],
        }
        for job in share
    ]
    payload = {"store": str(store.root.absolute()), "jobs": jobs}
    return WorkItem(tuple(places), payload, lambda _, summary: failure + summary)
