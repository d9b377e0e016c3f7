"""Trainings that are run as they are, seed by seed, as the runs of a claim: `rlclaims.runs(SB3("PPO"))`."""

import importlib
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from rlclaims.adapters.recorder import EPSILON, Recorder
from rlclaims.measures.registry import measure_of_series
from rlclaims.records import RunRecord
from rlclaims.sim.environment import check_arguments, error_sentence, make
from rlclaims.sim.spelling import parse_task
from rlclaims.sim.tasks import TASKS, task_named
from rlclaims.text import describe
from rlclaims.training import HELD_OUT_EVERY

HELD_OUT = "kl_old_new/mean/held_out"
"""A measure that there is if fresh pairs are held out."""


@dataclass(frozen=True)
class ExternalTraining(ABC):
    """Settings of somebody else's training; subclasses say how one seed of it is trained and recorded."""

    @property
    @abstractmethod
    def title(self) -> str:
        """For people, and in the names of folders: letters, digits, dots and dashes."""

    @property
    def words(self) -> str:
        """For people: its title, and the settings that it does not have by default; no other settings have the same."""
        settings = {field.name: getattr(self, field.name) for field in fields(self)}
        changed = [
            f"{field.name}={settings[field.name]!r}" for field in fields(self) if settings[field.name] != field.default
        ]
        return f"{self.title}({', '.join(changed)})" if changed else self.title

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
        described = measure_of_series(measure)
        return described is not None and described.deployed

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

    def check_numbers(self) -> None:
        """See that its steps and its epsilon are such.

        Raises:
            ValueError: they are not.
        """
        if type(self.steps) is not int or self.steps < 1:
            raise ValueError(f"{self.title} takes a whole number of steps between updates, not {describe(self.steps)}.")
        if type(self.ratio_epsilon) not in (int, float) or not self.ratio_epsilon > 0:
            raise ValueError(
                f"Ratios of {self.title} are counted beyond a distance from 1, not {describe(self.ratio_epsilon)}."
            )

    def check_task(self, task: str) -> None:
        """See that there is such a task, and that it has arguments such as it is given.

        Raises:
            ValueError: there is none, or it has not.
        """
        called, arguments = parse_task(task)
        module, _, name = called.rpartition(":")  # "my_pkg.envs:Mine-v0" is registered by the module
        try:
            if module:
                importlib.import_module(module)
            spec = gymnasium.spec(name)
        except Exception:  # whatever stands in the module
            raise ValueError(f"Gymnasium knows no environment {describe(task)}.") from None
        if called in TASKS:
            task_named(task)
        elif arguments:
            check_arguments(task, arguments, spec)
            try:
                make(task).close()
            except Exception as error:
                raise ValueError(f"The task {task!r} cannot be made: {error_sentence(error)}") from None


class OfSteps(ExternalTraining):
    """What is told its steps and its epsilon; a dataclass made of it has both among its fields."""

    steps_between_updates: int
    epsilon: float

    @property
    def steps(self) -> int:
        """Environment steps between two updates."""
        return self.steps_between_updates

    @property
    def ratio_epsilon(self) -> float:
        """Distance from 1 beyond which a ratio is counted."""
        return self.epsilon


def in_names(text: str) -> str:
    """A text as it may stand in the name of a folder."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text)


class NotRecordedError(RuntimeError):
    """A training ended, and its updates are not what was asked for."""


def trained(algorithm: ExternalTraining, task: str, seed: int, iterations: int) -> RunRecord:
    """One run of somebody else's training.

    Raises:
        NotRecordedError: it made another number of updates than it was asked for, or held out no pairs.
        Exception: whatever it raised before its first update; later, the seed has failed.
    """
    recorder = Recorder(algorithm.ratio_epsilon)
    failure = None
    try:
        algorithm.train(task, seed, iterations, recorder)
    except NotRecordedError:
        raise
    except Exception as error:
        if recorder.iteration == 0 and recorder.failure is None:
            raise
        failure = f"{type(error).__name__} in iteration {recorder.iteration}: {error}"
    failure = recorder.failure or failure
    if failure is None and recorder.iteration != iterations:
        raise NotRecordedError(
            f"{algorithm.title} made {recorder.iteration} updates that were recorded, and was asked for {iterations}."
        )
    expected = 0 if algorithm.lacks(HELD_OUT) else len(range(0, iterations, HELD_OUT_EVERY))
    if failure is None and (found := len(recorder.series.get(HELD_OUT, ()))) != expected:
        raise NotRecordedError(
            f"{algorithm.title} held out fresh pairs at {found} of its {iterations} updates; by its settings it does "
            f"at {expected}."
        )
    record = RunRecord(algorithm, seed, failure, recorder.series)
    # What is foreign leaves no parameters behind.
    nothing: Any = np.zeros(0, np.float32)
    record.policy_parameters = [nothing] * (iterations + 1)
    return record
