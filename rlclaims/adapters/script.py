"""A single-file script in CleanRL's style, run as it is in a process of its own.

    rlclaims.runs(Script("scripts/ppo_continuous_action.py", 2048), "Hopper-v5")

Such a script keeps at its top level what it learns from, `b_obs`, `b_actions` and `b_advantages`, and a module `agent`
whose `get_action_and_value(observation)` makes a torch distribution. An update begins with the first step of an
optimiser on a new `b_obs`, and ends where the next begins or the script does. No fresh pairs are held out.
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

from rlclaims.adapters.actions import Said
from rlclaims.adapters.external import NotRecordedError, OfSteps, in_names
from rlclaims.adapters.recorder import EPSILON, Pairs, Recorder
from rlclaims.sim.spelling import parse_task
from rlclaims.text import describe

CLEANRL = ("--seed", "{seed}", "--env-id", "{task}", "--total-timesteps", "{steps}")
KEPT = ("agent", "b_obs", "b_actions", "b_advantages")


@dataclass(frozen=True)
class Script(OfSteps):
    """A script that trains."""

    path: str
    """Of the script, from the working directory."""
    steps_between_updates: int
    """Of all environments that it trains in."""
    arguments: tuple[str, ...] = CLEANRL
    """Its command line, with {seed}, {task} and {steps}, the environment steps of the whole training, filled in."""
    epsilon: float = EPSILON
    """Distance from 1 beyond which a ratio is counted."""

    def lacks(self, measure: str) -> bool:
        """What all that is foreign lacks, and measures on held-out pairs."""
        return super().lacks(measure) or measure.endswith("/held_out")

    @property
    def title(self) -> str:
        """The script's name."""
        return in_names(Path(self.path).stem) if isinstance(self.path, str) else "script"

    @property
    def code(self) -> tuple[tuple[str, Path], ...]:
        """The script; what lies beside it and is imported from there is not followed."""
        # By a name that no module has: a script may be called as one of the standard library is.
        return ((f"{self.title} (script)", Path(self.path)),)

    def check(self) -> None:
        """See that there is such a script, with such arguments.

        Raises:
            ValueError: there is none.
        """
        if not isinstance(self.path, str) or not Path(self.path).is_file() or Path(self.path).suffix != ".py":
            raise ValueError(f"There is no script {describe(self.path)}; it is a file that ends in .py.")
        self.check_numbers()
        try:
            self._filled("", 0, 0)
        except (TypeError, AttributeError, LookupError, ValueError):
            raise ValueError(
                f"The arguments of {self.title} are a tuple of texts, with {{seed}}, {{task}} and {{steps}} to be "
                f"filled in, not {describe(self.arguments)}."
            ) from None

    def check_task(self, task: str) -> None:
        """See that there is such a task, and that an id says all of it.

        Raises:
            ValueError: there is none, or it has arguments.
        """
        super().check_task(task)
        if parse_task(task).arguments:
            raise ValueError(
                f"{self.title} is told an environment's id, and no arguments of it: register {task!r} under an id of "
                "its own."
            )

    def _filled(self, task: str, seed: int, iterations: int) -> list[str]:
        if not isinstance(self.arguments, tuple):
            raise TypeError("A text has letters for entries.")
        return [text.format(seed=seed, task=task, steps=iterations * self.steps) for text in self.arguments]

    def train(self, task: str, seed: int, iterations: int, recorder: Recorder) -> None:
        """Train one seed.

        Raises:
            RuntimeError: the script ended with an error.
            NotRecordedError: it makes another number of updates than it was asked for.
        """
        found = {"iteration": 0, "pairs": None, "broken_off": False}
        with tempfile.TemporaryDirectory() as folder:  # where it may leave what it likes
            record = Path(folder) / "record.json"
            job = {
                "path": str(Path(self.path).absolute()),
                "arguments": self._filled(task, seed, iterations),
                "epsilon": self.epsilon,
                "iterations": iterations,
                "record": str(record),
            }
            done = subprocess.run(
                [sys.executable, "-P", "-m", "rlclaims.adapters.script", json.dumps(job)],
                cwd=folder,
                capture_output=True,
                text=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, map(os.path.abspath, sys.path)))},
            )
            if record.exists():
                found = json.loads(record.read_text())
                recorder.series, recorder.failure = found["series"], found["failure"]
                recorder.iteration = found["iteration"]
        if done.returncode != 0:
            said = done.stderr.strip().splitlines()
            raise RuntimeError(f"{self.path} ended with exit status {done.returncode}: {said[-1] if said else ''}")
        if recorder.failure is None and (found["broken_off"] or recorder.iteration != iterations):
            made = f"more than the {iterations}" if found["broken_off"] else f"{recorder.iteration} of the {iterations}"
            raise NotRecordedError(
                f"{self.title} makes {made} updates that it was asked for, from {found['pairs']:,} pairs each, and was "
                f"said to take {self.steps:,} steps for one: name an instance, Script({self.path!r}, STEPS), with the "
                "steps of all its environments between two updates."
            )


class _MoreUpdates(SystemExit):
    """The script goes on to an update that it was not asked for, and may go on for long."""


class _Watch:
    """Follows the updates of the script that runs as `__main__`, from one optimiser's step to the next."""

    def __init__(self, recorder: Recorder, most: int) -> None:
        self._recorder, self._most = recorder, most
        self._pairs: Any = None
        self.n_pairs: int | None = None
        """That the last update was made from."""

    def __call__(self, *_: object) -> None:
        names = vars(sys.modules["__main__"])
        if "b_obs" not in names or names["b_obs"] is self._pairs:
            return
        if missing := [name for name in KEPT if name not in names]:
            raise RuntimeError(
                f"The script keeps no {missing[0]!r} at its top level, by which its updates are recorded."
            )
        self.end()
        self._pairs = None
        if self._recorder.iteration == self._most:
            raise _MoreUpdates
        self._pairs, self._agent = names["b_obs"], names["agent"]
        self.n_pairs = len(names["b_advantages"])
        pairs = Pairs(names["b_obs"], names["b_actions"], names["b_advantages"])
        self._recorder.begin(self._said, pairs)

    def end(self) -> None:
        """The update that was begun is over, if there was one."""
        if self._pairs is not None:
            self._recorder.end(self._said)

    def script_ended(self) -> None:
        """So is the last; there has been one.

        Raises:
            RuntimeError: there was none.
        """
        if self._pairs is None:
            raise RuntimeError(
                f"The script made no update from a {KEPT[1]!r} at its top level, by which its updates are recorded."
            )
        self.end()

    def _said(self, observation: Any) -> Said:
        made: list[Distribution] = []
        usual = Distribution.__init__

        def noted(distribution: Distribution, *args: Any, **how: Any) -> None:
            made.append(distribution)
            usual(distribution, *args, **how)

        Distribution.__init__ = noted  # type: ignore[method-assign, assignment]
        try:
            self._agent.get_action_and_value(observation)
        finally:
            Distribution.__init__ = usual  # type: ignore[method-assign]
        if not made:
            raise RuntimeError("The agent's get_action_and_value makes no torch distribution.")
        # Some are made of others; several that are not are of parts of an action.
        inner = {id(part) for one in made for part in vars(one).values() if isinstance(part, Distribution)}
        whole = [one for one in made if id(one) not in inner]
        return whole if len(whole) > 1 else whole[0]


def main() -> None:
    """In a process of its own: run the script, and write down its updates."""
    job = json.loads(sys.argv[1])
    recorder = Recorder(job["epsilon"])
    watch, broken_off = _Watch(recorder, job["iterations"]), False
    register_optimizer_step_pre_hook(watch)
    torch.set_num_threads(1)
    sys.argv = [job["path"], *job["arguments"]]
    sys.path.insert(0, str(Path(job["path"]).parent))
    try:
        try:
            runpy.run_path(job["path"], run_name="__main__")
        except _MoreUpdates:
            broken_off = True
        except SystemExit as end:
            if end.code not in (None, 0):
                raise
        if not broken_off:
            watch.script_ended()
    finally:
        found = {name: value for name, value in vars(recorder).items() if name in ("series", "failure", "iteration")}
        found |= {"pairs": watch.n_pairs, "broken_off": broken_off}
        Path(job["record"]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
