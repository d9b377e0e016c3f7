"""Measures with finished runs what takes a simulator (`rlclaims.studies.kinds`), run by run, on several processes."""

import heapq
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from rlclaims.execution.pool import LocalPool, WorkerPool, WorkItem, of_finished
from rlclaims.store.store import Store
from rlclaims.studies.registry import Studied


@dataclass(frozen=True)
class SimulatedProgress:
    """How far what is measured with some finished runs is."""

    kinds: tuple[str, ...]
    """What is made, in words."""
    done: int
    """Of the runs' studies."""
    total: int
    """Those to be made."""
    steps_done: int
    """Of the simulator."""
    steps_total: int
    """Those expected, and of what is done those that it took."""


Told = Callable[[SimulatedProgress], None]


def make_simulated(
    missing: Sequence[Studied],
    store: Store,
    processes: int,
    on_progress: Told = lambda _: None,
    crew: WorkerPool | None = None,
) -> None:
    """Put what is measured with finished runs into the store; what is measured with a failed run is its failure.

    Args:
        missing: runs that are in the store, and what is to be made of each.
        store: where it goes, each as soon as it is done.
        processes: how many work at a time.
        on_progress: called at the beginning, as steps are made, and when one is done.
        crew: who runs the processes; None for this machine.

    Raises:
        SpecError: how long a run's episodes were cannot be read.
        TrainingError: a process died. What was finished before is in the store.
    """
    jobs = of_finished(missing, store)
    if not jobs:
        return
    shares = [[jobs[place] for place in share] for share in dealt(_weights(jobs, store), processes)]
    kinds = tuple(dict.fromkeys(study.words for _, study in jobs))
    done, steps_done, steps_total = 0, 0, sum(study.expected_steps(run) for run, study in jobs)
    made = [0] * len(shares)  # steps of the job that each process is at

    def tell() -> None:
        on_progress(SimulatedProgress(kinds, done, len(jobs), steps_done, max(steps_done, steps_total)))

    tell()
    broken = f"The {', '.join(kinds)} of {jobs[0][0].name} and its like cannot be made."
    work = [
        WorkItem(
            [run for run, _ in share],
            {"store": str(store.root.absolute()), "studies": [(study.kind, study.pairs) for _, study in share]},
            lambda _, words: broken + words,
        )
        for share in shares
    ]
    with closing((crew or LocalPool()).answers("rlclaims.execution.derive_worker", work, processes)) as said:
        for process, answer in said:
            if "steps" in answer:
                steps_done += answer["steps"]
                made[process] += answer["steps"]
            elif "lost" in answer:
                steps_done -= made[process]
                made[process] = 0
            elif "run" in answer:
                run, study = shares[process][answer["run"]]
                store.put_study(run, study, answer["failure"], answer["series"])
                done += 1
                steps_total += made[process] - study.expected_steps(run)
                made[process] = 0
            tell()


def dealt(weights: Sequence[float], processes: int) -> list[list[int]]:
    """The places of jobs, dealt to as many processes so that each has about as much to do; the heaviest come first."""
    shares: list[tuple[float, int, list[int]]] = [(0.0, process, []) for process in range(min(processes, len(weights)))]
    for place in sorted(range(len(weights)), key=lambda place: -weights[place]):
        weight, process, share = shares[0]
        heapq.heapreplace(shares, (weight + weights[place], process, [*share, place]))
    return [share for _, _, share in sorted(shares, key=lambda share: share[1])]


def _weights(jobs: Sequence[Studied], store: Store) -> list[float]:
    """What each takes, roughly: longer episodes are more steps of the simulator."""
    episode = {run: store.mean_episode(run) for run in dict.fromkeys(run for run, _ in jobs)}
    return [study.expected_steps(run) * episode[run] for run, study in jobs]
