"""Trainings that are run as they are, seed by seed, as the runs of a claim: `rlclaims.runs(SB3("PPO"))`."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from rlclaims.adapters.recorder import EPSILON, Recorder
from rlclaims.training import HELD_OUT_EVERY, RunRecord


@dataclass(frozen=True)
class Foreign(ABC):
    """Settings of somebody else's training; subclasses say how one seed of it is trained and recorded."""

    @property
    @abstractmethod
    def title(self) -> str:
        """For people, and in the names of folders: letters, digits, dots and dashes."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """Environment steps between two updates."""

    @property
    def ratio_epsilon(self) -> float:
        """Distance from 1 beyond which a ratio is counted."""
        return EPSILON

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions that train it, whose versions are part of a run's name."""
        return ()

    def lacks(self, measure: str) -> bool:
        """Whether it has no such measure, "kl_deployed/mean/training", say."""
        return measure.startswith("kl_deployed")

    @property
    def code(self) -> tuple[tuple[str, Path], ...]:
        """Modules beside its own that train, by name, and their files: what they say is part of a run's name."""
        return ()

    @property
    def gradient_steps(self) -> int:
        """Of an iteration: by which runs that step together are ordered, as these do not."""
        return 0

    @abstractmethod
    def train(self, task: str, seed: int, iterations: int, recorder: Recorder) -> None:
        """Train one seed, all of whose updates the recorder sees."""

    @abstractmethod
    def check(self) -> None:
        """Try what can be tried without training.

        Raises:
            ValueError: it cannot be trained, and why.
        """

    def check_task(self, task: str) -> None:
        """See that there is such a task.

        Raises:
            ValueError: there is none.
        """
        try:
            gymnasium.spec(task)
        except gymnasium.error.Error:
            raise ValueError(f"Gymnasium knows no environment {task!r}.") from None


class NotRecordedError(RuntimeError):
    """A training ended, and its updates are not what was asked for."""


def trained(algorithm: Foreign, task: str, seed: int, iterations: int) -> RunRecord:
    """One run of somebody else's training.

    Raises:
        NotRecordedError: it made another number of updates than it was asked for, or held out no pairs.
        Exception: whatever it raised before its first update; later, the seed has failed.
    """
    recorder = Recorder(algorithm.ratio_epsilon)
    failure = None
    try:
        algorithm.train(task, seed, iterations, recorder)
    except Exception as error:
        if recorder.iteration == 0 and recorder.failure is None:
            raise
        failure = f"{type(error).__name__} in iteration {recorder.iteration}: {error}"
    failure, fresh = recorder.failure or failure, len(range(0, iterations, HELD_OUT_EVERY))
    if failure is None and recorder.iteration != iterations:
        raise NotRecordedError(
            f"{algorithm.title} made {recorder.iteration} updates that were recorded, and was asked for {iterations}."
        )
    held_out = "kl_old_new/mean/held_out"
    if failure is None and not algorithm.lacks(held_out) and len(recorder.series.get(held_out, ())) != fresh:
        raise NotRecordedError(
            f"{algorithm.title} says that it holds out fresh pairs, every tenth update, and did not."
        )
    record = RunRecord(algorithm, seed, failure, recorder.series)
    # What is foreign leaves no parameters behind.
    nothing: Any = np.zeros(0, np.float32)
    record.policy_parameters = [nothing] * (iterations + 1)
    return record
