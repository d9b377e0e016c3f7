"""A single-file script in CleanRL's style, run unchanged in its own process.

    rlclaims.runs(Script("scripts/ppo_continuous_action.py", 2048), "Hopper-v5")

Such a script has its training batch at top level, as `b_obs`, `b_actions` and `b_advantages`, and a module `agent`
whose `get_action_and_value(observation)` creates a torch distribution. An update begins with the first optimiser step
on a new `b_obs`, and ends where the next update begins or the script ends. No pairs are held out.
"""

import json
import os
import runpy
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.distributions import Distribution
from torch.optim.optimizer import register_optimizer_step_pre_hook

from rlclaims.adapters.actions import PolicyOutput
from rlclaims.adapters.external import FixedStepsTraining, NotRecordedError, slug
from rlclaims.adapters.recorder import EPSILON, Pairs, UpdateRecorder
from rlclaims.sim.spelling import parse_task
from rlclaims.text import describe

CLEANRL = ("--seed", "{seed}", "--env-id", "{task}", "--total-timesteps", "{steps}")
REQUIRED_NAMES = ("agent", "b_obs", "b_actions", "b_advantages")


@dataclass(frozen=True)
class Script(FixedStepsTraining):
    """A script that trains."""

    path: str
    """Path of the script, from the working directory."""
    steps_between_updates: int
    """Steps between two updates, of all environments that it trains in."""
    arguments: tuple[str, ...] = CLEANRL
    """Its command line, with {seed}, {task} and {steps}, the environment steps of the whole training, filled in."""
    epsilon: float = EPSILON
    """Distance from 1 beyond which a ratio counts as an exceedance."""

    def lacks_measure(self, measure: str) -> bool:
        """Return whether a measure is missing: KL as deployed, and all measures on held-out pairs."""
        return super().lacks_measure(measure) or measure.endswith("/held_out")

    @property
    def title(self) -> str:
        """The script's name."""
        return slug(Path(self.path).stem) if isinstance(self.path, str) else "script"

    @property
    def code(self) -> tuple[tuple[str, Path], ...]:
        """The script's file, without the modules beside it that it imports."""
        # Not a valid module name, since a script may have the name of a module of the standard library.
        return ((f"{self.title} (script)", Path(self.path)),)

    def check(self) -> None:
        """Check that the script exists and that its arguments, steps and epsilon are valid.

        Raises:
            ValueError: One of them is not.
        """
        if not isinstance(self.path, str) or not Path(self.path).is_file() or Path(self.path).suffix != ".py":
            raise ValueError(f"There is no script {describe(self.path)}; give the path of a file that ends in .py.")
        self.check_numbers()
        try:
            self._command_line("", 0, 0)
        except (TypeError, AttributeError, LookupError, ValueError):
            raise ValueError(
                f"The arguments of {self.title} must be a tuple of strings, in which {{seed}}, {{task}} and {{steps}} "
                f"are filled in, not {describe(self.arguments)}."
            ) from None

    def check_task(self, task: str) -> None:
        """Check that the task exists and has no arguments.

        Raises:
            ValueError: It does not exist, or has some.
        """
        super().check_task(task)
        if parse_task(task).arguments:
            raise ValueError(
                f"{self.title} takes an environment's id without arguments: register {task!r} under an id of its own."
            )

    def _command_line(self, task: str, seed: int, iterations: int) -> list[str]:
        if not isinstance(self.arguments, tuple):
            raise TypeError("A string is not a tuple of strings.")
        return [text.format(seed=seed, task=task, steps=iterations * self.steps) for text in self.arguments]

    def train(self, task: str, seed: int, iterations: int, recorder: UpdateRecorder) -> None:
        """Train one seed.

        Raises:
            RuntimeError: The script ended with an error.
            NotRecordedError: The script makes another number of updates than requested.
        """
        record = {"iteration": 0, "pairs": None, "stopped": False}
        with tempfile.TemporaryDirectory() as folder:  # the working directory of the script, for any files it writes
            record_path = Path(folder) / "record.json"
            job = {
                "path": str(Path(self.path).absolute()),
                "arguments": self._command_line(task, seed, iterations),
                "epsilon": self.epsilon,
                "iterations": iterations,
                "record": str(record_path),
            }
            process = subprocess.run(
                [sys.executable, "-P", "-m", "rlclaims.adapters.script", json.dumps(job)],
                cwd=folder,
                capture_output=True,
                text=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, map(os.path.abspath, sys.path)))},
            )
            if record_path.exists():
                record = json.loads(record_path.read_text())
                recorder.series = record["series"]
                recorder.failure = record["failure"]
                recorder.iteration = record["iteration"]
        if process.returncode != 0:
            output = process.stderr.strip().splitlines()
            last_line = output[-1] if output else ""
            raise RuntimeError(f"{self.path} ended with exit status {process.returncode}: {last_line}")
        if recorder.failure is None and (record["stopped"] or recorder.iteration != iterations):
            count = f"more than the {iterations}" if record["stopped"] else f"{recorder.iteration} of the {iterations}"
            raise NotRecordedError(
                f"{self.title} made {count} updates that were requested, from {record['pairs']:,} pairs each, and its "
                f"steps_between_updates is {self.steps:,}: set it to the steps of all environments between two "
                f"updates, Script({self.path!r}, STEPS)."
            )


class _TooManyUpdates(SystemExit):
    """Raised in the script when it begins an update more than requested, to stop it."""


class _ScriptWatcher:
    """Records the updates of the script that runs as `__main__`; called before each step of any optimiser."""

    def __init__(self, recorder: UpdateRecorder, iterations: int) -> None:
        self._recorder = recorder
        self._iterations = iterations
        self._pairs: Any = None
        self.n_pairs: int | None = None
        """Number of pairs of the last update."""

    def __call__(self, *_: object) -> None:
        names = vars(sys.modules["__main__"])
        if "b_obs" not in names or names["b_obs"] is self._pairs:
            return
        if missing := [name for name in REQUIRED_NAMES if name not in names]:
            raise RuntimeError(f"The script has no {missing[0]!r} at its top level, which recording its updates needs.")
        self.end()
        self._pairs = None
        if self._recorder.iteration == self._iterations:
            raise _TooManyUpdates
        self._pairs = names["b_obs"]
        self._agent = names["agent"]
        self.n_pairs = len(names["b_advantages"])
        pairs = Pairs(names["b_obs"], names["b_actions"], names["b_advantages"])
        self._recorder.begin(self._policy, pairs)

    def end(self) -> None:
        """Complete the current update, if there is one."""
        if self._pairs is not None:
            self._recorder.end(self._policy)

    def script_ended(self) -> None:
        """Complete the last update.

        Raises:
            RuntimeError: The script made no update.
        """
        if self._pairs is None:
            raise RuntimeError("The script made no update from a 'b_obs' at its top level, so nothing was recorded.")
        self.end()

    def _policy(self, observation: Any) -> PolicyOutput:
        created: list[Distribution] = []
        original = Distribution.__init__

        def init(distribution: Distribution, *args: Any, **kwargs: Any) -> None:
            created.append(distribution)
            original(distribution, *args, **kwargs)

        Distribution.__init__ = init  # type: ignore[method-assign, assignment]
        try:
            self._agent.get_action_and_value(observation)
        finally:
            Distribution.__init__ = original  # type: ignore[method-assign]
        if not created:
            raise RuntimeError("The agent's get_action_and_value creates no torch distribution.")
        # Distributions inside others are left out. Several outer ones are over parts of an action.
        inner = {id(part) for one in created for part in vars(one).values() if isinstance(part, Distribution)}
        outer = [one for one in created if id(one) not in inner]
        return outer if len(outer) > 1 else outer[0]


def main() -> None:
    """Run the script of a job and write the record of its updates; the entry point of its process."""
    job = json.loads(sys.argv[1])
    recorder = UpdateRecorder(job["epsilon"])
    watcher = _ScriptWatcher(recorder, job["iterations"])
    stopped = False
    register_optimizer_step_pre_hook(watcher)
    torch.set_num_threads(1)
    sys.argv = [job["path"], *job["arguments"]]
    sys.path.insert(0, str(Path(job["path"]).parent))
    try:
        try:
            runpy.run_path(job["path"], run_name="__main__")
        except _TooManyUpdates:
            stopped = True
        except SystemExit as end:
            if end.code not in (None, 0):
                raise
        if not stopped:
            watcher.script_ended()
    finally:
        record = {name: value for name, value in vars(recorder).items() if name in ("series", "failure", "iteration")}
        record |= {"pairs": watcher.n_pairs, "stopped": stopped}
        Path(job["record"]).write_text(json.dumps(record))


if __name__ == "__main__":
    main()
