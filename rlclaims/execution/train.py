"""Trains the missing runs of a plan: one process per core, each training a cohort in lockstep."""

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
    """Progress of the runs of one process."""

    algorithms: dict[str, int]
    """Number of runs of each."""
    task: str
    """Gymnasium's id."""
    iteration: int
    """Iterations completed."""
    iterations: int
    """Iterations planned."""


@dataclass(frozen=True)
class Progress:
    """Progress of training."""

    steps_done: int
    """Training steps completed by all runs."""
    steps_total: int
    """Training steps planned."""
    cohorts: tuple[CohortProgress, ...] = ()
    """Cohorts in training."""


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

    def describe_failure(self, code: int, summary: str) -> str:
        names = ", ".join(spec.name for spec in self.specs[:3]) + (", ..." if len(self.specs) > 3 else "")
        fix = "fix the cause, then " if code > 0 else ""  # below 0 it was killed
        return (
            f"The process that trained {names} ended with exit status {code}.{summary} "
            f"Finished runs are stored; {fix}run the same command again to resume."
        )


def execute(
    plan: Plan,
    store: Store,
    processes: int,
    on_progress: Callable[[Progress], None],
    pool: WorkerPool | None = None,
) -> None:
    """Train the plan's missing runs into the store.

    Args:
        plan: the plan.
        store: the store; each cohort's runs are written as soon as it is done.
        processes: number of cohorts that train at a time.
        on_progress: called after each iteration of a process, and when one exits.
        pool: the pool that runs the processes; None for this machine.

    Raises:
        TrainingError: a process died; the others are killed. Finished runs are in the store.
    """
    planned = [_Cohort(specs) for specs in cohorts(plan.missing, processes)]
    payload = {"store": str(store.root.absolute())}
    items = [WorkItem(cohort.specs, payload, cohort.describe_failure) for cohort in planned]
    training: dict[int, _Cohort] = {}
    with closing((pool or LocalPool()).run("rlclaims.execution.train_worker", items, processes)) as messages:
        for place, message in messages:
            cohort = planned[place]
            training[place] = cohort
            if "exited" in message:
                if not cohort.stored:
                    raise TrainingError(cohort.describe_failure(0, message["exited"]))
                cohort.iteration = cohort.specs[0].iterations
                del training[place]
            elif "lost" in message:
                cohort.iteration = 0
            else:
                if "warning" in message:
                    store.notify(message["warning"])
                if "store_error" in message:
                    raise TrainingError(message["store_error"])
                cohort.iteration = message.get("iteration", cohort.iteration)
                cohort.stored = "stored" in message
            steps = sum(cohort.steps for cohort in planned)
            on_progress(Progress(steps, plan.environment_steps, tuple(c.progress for c in training.values())))
