"""Trains what a plan lacks: one process per core, each a cohort in lockstep."""

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from rlclaims.execution.cohorts import Plan, cohorts
from rlclaims.execution.pool import LocalPool, TrainingError, WorkerPool, WorkItem
from rlclaims.store.run_spec import RunSpec
from rlclaims.store.store import Store


@dataclass(frozen=True)
class CohortProgress:
    """How far the runs of one process are."""

    algorithms: dict[str, int]
    """Runs of each."""
    task: str
    """Gymnasium's id."""
    iteration: int
    """Those done."""
    iterations: int
    """Those planned."""


@dataclass(frozen=True)
class Progress:
    """How far training is."""

    steps_done: int
    """Training steps of all runs."""
    steps_total: int
    """Those planned."""
    cohorts: tuple[CohortProgress, ...] = ()
    """Those that are training now."""


@dataclass
class _Cohort:
    specs: tuple[RunSpec, ...]
    iteration: int = 0
    stored: bool = False

    @property
    def progress(self) -> CohortProgress:
        names = Counter(spec.title for spec in self.specs)
        return CohortProgress(dict(names), self.specs[0].task, self.iteration, self.specs[0].iterations)

    @property
    def steps(self) -> int:
        return sum(spec.algorithm.steps * self.iteration for spec in self.specs)

    def broken(self, code: int, words: str) -> str:
        names = ", ".join(spec.name for spec in self.specs[:3]) + (", ..." if len(self.specs) > 3 else "")
        mended = "once that is mended, " if code > 0 else ""  # below 0 it was killed
        return (
            f"The process that trained {names} ended with exit status {code}.{words} "
            f"What was finished before is stored; {mended}run the same command again to go on."
        )


def execute(
    plan: Plan,
    store: Store,
    processes: int,
    on_progress: Callable[[Progress], None],
    crew: WorkerPool | None = None,
) -> None:
    """Train the plan's missing runs into the store.

    Args:
        plan: what to train.
        store: where finished runs go, each cohort's as soon as it is done.
        processes: how many cohorts train at a time.
        on_progress: called after each iteration of a process, and when one ends.
        crew: who runs the processes; None for this machine.

    Raises:
        TrainingError: a process died; the others are stopped. What was finished is in the store.
    """
    at = [_Cohort(specs) for specs in cohorts(plan.missing, processes)]
    shares = [WorkItem(cohort.specs, {"store": str(store.root.absolute())}, cohort.broken) for cohort in at]
    training: dict[int, _Cohort] = {}
    with closing((crew or LocalPool()).answers("rlclaims.execution.train_worker", shares, processes)) as said:
        for place, answer in said:
            cohort = training[place] = at[place]
            if "ended" in answer:
                if not cohort.stored:
                    raise TrainingError(cohort.broken(0, answer["ended"]))
                cohort.iteration = cohort.specs[0].iterations
                del training[place]
            elif "lost" in answer:
                cohort.iteration = 0
            else:
                if "told" in answer:
                    store.notify(answer["told"])
                if "broken" in answer:
                    raise TrainingError(answer["broken"])
                cohort.iteration = answer.get("iteration", cohort.iteration)
                cohort.stored = "stored" in answer
            steps = sum(cohort.steps for cohort in at)
            on_progress(Progress(steps, plan.environment_steps, tuple(c.progress for c in training.values())))
