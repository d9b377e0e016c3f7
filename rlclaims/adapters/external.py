"""External training as the runs of a claim, run unchanged and seed by seed: `rlclaims.runs(SB3("PPO"))`."""

import importlib
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from rlclaims.adapters.recorder import EPSILON, UpdateRecorder
from rlclaims.measures.registry import measure_of_series
from rlclaims.records import RunRecord
from rlclaims.sim.environment import check_arguments, error_sentence, make
from rlclaims.sim.spelling import parse_task
from rlclaims.sim.tasks import TASKS, task_named
from rlclaims.text import describe
from rlclaims.training import HELD_OUT_EVERY

HELD_OUT = "kl_old_new/mean/held_out"
"""A measure that is recorded if and only if pairs are held out."""


@dataclass(frozen=True)
class ExternalTraining(ABC):
    """Settings of an external training; subclasses implement how one seed is trained and recorded."""

    @property
    @abstractmethod
    def title(self) -> str:
        """Short name for messages and folders: letters, digits, dots and dashes."""

    @property
    def label(self) -> str:
        """Title with all settings that differ from their defaults; different for different settings."""
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
        """Distance from 1 beyond which a ratio counts as an exceedance."""
        return EPSILON

    @property
    def libraries(self) -> tuple[str, ...]:
        """Installed packages that do the training; a run's digest covers their versions."""
        return ()

    def lacks_measure(self, measure: str) -> bool:
        """Return whether a measure, such as "kl_deployed/mean/training", is not recorded."""
        described = measure_of_series(measure)
        return described is not None and described.deployed

    @property
    def code(self) -> tuple[tuple[str, Path], ...]:
        """Names and files of other modules that do the training; a run's digest covers their code."""
        return ()

    @property
    def gradient_steps(self) -> int:
        """Always 0: external runs train one at a time, so the lockstep ordering does not apply."""
        return 0

    @abstractmethod
    def train(self, task: str, seed: int, iterations: int, recorder: UpdateRecorder) -> None:
        """Train one seed, and record all its updates."""

    @abstractmethod
    def check(self) -> None:
        """Check the settings as far as possible without training.

        Raises:
            ValueError: They are not valid; the message says why.
        """

    def check_numbers(self) -> None:
        """Check the steps between updates and epsilon.

        Raises:
            ValueError: One of them is not valid.
        """
        if type(self.steps) is not int or self.steps < 1:
            raise ValueError(f"{self.title} takes a whole number of steps between updates, not {describe(self.steps)}.")
        if type(self.ratio_epsilon) not in (int, float) or not self.ratio_epsilon > 0:
            raise ValueError(
                f"{self.title} takes a positive number as epsilon, the distance from 1 beyond which ratios are "
                f"counted, not {describe(self.ratio_epsilon)}."
            )

    def check_task(self, task: str) -> None:
        """Check that the task exists and takes its arguments.

        Raises:
            ValueError: It does not.
        """
        full_name, arguments = parse_task(task)
        module, _, name = full_name.rpartition(":")  # "my_pkg.envs:Mine-v0" is registered by the module
        try:
            if module:
                importlib.import_module(module)
            spec = gymnasium.spec(name)
        except Exception:  # importing a user's module may raise anything
            raise ValueError(
                f"Gymnasium has no environment {describe(task)}. One that a module of yours registers is given as "
                "'my_pkg:Mine-v0'."
            ) from None
        if full_name in TASKS:
            task_named(task)
        elif arguments:
            check_arguments(task, arguments, spec)
            try:
                make(task).close()
            except Exception as error:
                raise ValueError(f"The task {task!r} cannot be made: {error_sentence(error)}") from None


class FixedStepsTraining(ExternalTraining):
    """An external training whose steps between updates and epsilon are fields, which subclasses declare."""

    steps_between_updates: int
    epsilon: float

    @property
    def steps(self) -> int:
        """Environment steps between two updates."""
        return self.steps_between_updates

    @property
    def ratio_epsilon(self) -> float:
        """Distance from 1 beyond which a ratio counts as an exceedance."""
        return self.epsilon


def slug(text: str) -> str:
    """Return a text with all characters replaced that do not belong in a folder's name."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text)


class NotRecordedError(RuntimeError):
    """Raised when a training ends with other updates recorded than were requested."""


def train_external(algorithm: ExternalTraining, task: str, seed: int, iterations: int) -> RunRecord:
    """Train one run of an external training.

    Raises:
        NotRecordedError: The number of updates, or of those with held-out pairs, is not as requested.
        Exception: Any error before the first update; a later error is recorded as the seed's failure.
    """
    recorder = UpdateRecorder(algorithm.ratio_epsilon)
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
            f"{algorithm.title} was asked for {iterations} updates, and {recorder.iteration} were recorded."
        )
    expected = 0 if algorithm.lacks_measure(HELD_OUT) else len(range(0, iterations, HELD_OUT_EVERY))
    n_held_out = len(recorder.series.get(HELD_OUT, ()))
    if failure is None and n_held_out != expected:
        raise NotRecordedError(
            f"{algorithm.title} held out pairs at {n_held_out} of its {iterations} updates; its settings require "
            f"{expected}."
        )
    record = RunRecord(algorithm, seed, failure, recorder.series)
    # External runs record no parameters.
    no_parameters: Any = np.zeros(0, np.float32)
    record.policy_parameters = [no_parameters] * (iterations + 1)
    return record
