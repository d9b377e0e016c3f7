"""A kind of study: what is computed from finished runs, how, and of which runs it can be computed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from rlclaims.adapters.external import ExternalTraining
from rlclaims.agents.algorithm import Algorithm
from rlclaims.checkpoints import History, Start
from rlclaims.sim.tasks import AnyTask, task_named
from rlclaims.studies.replayed_run import FinishedRun, Numbers, OnSteps
from rlclaims.training import one_torch_thread

if TYPE_CHECKING:
    from rlclaims.results.runs import TrainedRuns

REPLAY_CODE = ("episodes.py", "studies/replayed_run.py")
"""Files that every kind whose policies play again is computed by."""
NUMBER_BYTES = 25
"""Approximate size of a number in a file of series, as text."""


class StudyError(ValueError):
    """A study that cannot be computed of some runs, explained in one sentence."""


@dataclass(frozen=True)
class RunData:
    """A finished run, whose arrays are read when they are first used."""

    algorithm: Algorithm
    task: str
    """Gymnasium's id, with or without arguments."""
    iterations: int
    read_start: Callable[[], Start]
    """Reads where its kept updates started."""
    read_history: Callable[[], History]
    """Reads its policies and normalisers."""

    @cached_property
    def start(self) -> Start:
        """The starts of its kept updates."""
        return self.read_start()

    @cached_property
    def history(self) -> History:
        """Its policies and normalisers."""
        return self.read_history()


Compute = Callable[[Sequence[RunData], int | None, str, OnSteps], list[Numbers]]
"""Compute one job of a study: runs, pairs, name of the job, called with simulator steps -> the series of each run."""


@dataclass(frozen=True)
class Learning:
    """The amount of learning that a study repeats, in units whose cost is known from training."""

    iterations: Callable[[Algorithm], float]
    """All jobs together, as a multiple of what an algorithm takes to learn from one iteration."""
    updates: Callable[[int], int]
    """Updates of each run that are made side by side, by the run's iterations."""


def _one_job() -> Mapping[str, float]:
    return {"": 1.0}


@dataclass(frozen=True, kw_only=True)
class StudyKind:
    """One kind of study. Wherever a function takes pairs, they are the study's, None for a kind without batches."""

    name: str
    """Identifier, used in file names and digests."""
    words: str
    """Label for people, in the plural."""
    query: "Callable[[], type[TrainedRuns]] | None"
    """Returns the class that a claim receives. It is imported late, since workers compute and never judge."""
    compute: Compute
    length: Callable[[str, int], int]
    """Length of a series, by its name and the run's iterations."""
    code: tuple[str, ...]
    """Files of the package that compute it, beside those that train and measure a run."""
    bytes: Callable[[int], int]
    """Approximate size of one run's file, by the run's iterations."""
    expected_steps: Callable[[int | None, int], int] = lambda _pairs, _iterations: 0
    """Approximate number of simulator steps for one run, by pairs and the run's iterations."""
    learning: Learning | None = None
    """Learning that it repeats; None if it only plays."""
    lockstep: bool = False
    """True if all runs of one algorithm, task and length are computed together, and not one by one."""
    jobs: Callable[[], Mapping[str, float]] = _one_job
    """Independent jobs that each group of runs is split into, with their relative costs."""
    whole_episodes: bool = True
    """True if it plays whole episodes, which needs a task with a time limit."""
    algorithm_checks: tuple[Callable[[int | None, Algorithm], None], ...] = ()
    """Raise StudyError for an algorithm whose runs it cannot be computed of, by pairs and algorithm."""
    task_checks: tuple[Callable[[str, AnyTask], None], ...] = ()
    """Raise StudyError for a task that it cannot be computed on, by the task's id and the task."""

    def check_algorithm(self, pairs: int | None, algorithm: Algorithm | ExternalTraining) -> None:
        """Check that it can be computed of an algorithm's runs.

        Raises:
            StudyError: it cannot.
        """
        if isinstance(algorithm, ExternalTraining):
            raise StudyError(
                f"{self.words.capitalize()} are of algorithms that rlclaims trains itself; of {algorithm.title} it "
                "only records updates."
            )
        for check in self.algorithm_checks:
            check(pairs, algorithm)

    def check_task(self, task: str) -> None:
        """Check that it can be computed on a task.

        Raises:
            StudyError: it cannot, or there is no such task.
        """
        try:
            found = task_named(task)
        except ValueError as error:
            raise StudyError(str(error)) from None
        for check in self.task_checks:
            check(task, found)
        if self.whole_episodes and found.time_limit is None:
            raise StudyError(
                f"{self.words.capitalize()} are of whole episodes, and no time limit ends those of {task!r}; give it "
                "max_episode_steps."
            )


def replayed(numbers: Callable[[FinishedRun, int | None], Numbers]) -> Compute:
    """Return how a kind is computed whose policies play again, from a function of one run and the study's pairs.

    The computation raises SimulationFailure if MuJoCo cannot simulate an episode.
    """

    def compute(runs: Sequence[RunData], pairs: int | None, _job: str, on_steps: OnSteps) -> list[Numbers]:
        with one_torch_thread(), torch.no_grad():  # kinds that need gradients enable them
            return [
                numbers(
                    FinishedRun(run.algorithm, task_named(run.task), run.iterations, run.start, run.history, on_steps),
                    pairs,
                )
                for run in runs
            ]

    return compute
