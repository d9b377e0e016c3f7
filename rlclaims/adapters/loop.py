"""A function of yours that trains, as the runs of a claim: `rlclaims.runs(Loop("my_pkg.training:train", 2048))`.

    def train(task, seed, iterations, recorder):
        ...
            with recorder.update(policy, Pairs(observation, action, advantage)):
                ...

The task is made by `rlclaims.make(task)`, or by `gymnasium.make` if it has no arguments.
The recorder tells when fresh pairs are wanted (`recorder.wants_held_out`).
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rlclaims.adapters.external import OfSteps, in_names
from rlclaims.adapters.recorder import EPSILON, Recorder
from rlclaims.text import describe, describe_error


@dataclass(frozen=True)
class Loop(OfSteps):
    """A training function."""

    function: str
    """Where it is, as "module:name"; it takes a task, a seed, a number of iterations and a `Recorder`."""
    steps_between_updates: int
    """Of the environment."""
    epsilon: float = EPSILON
    """Distance from 1 beyond which a ratio is counted."""
    held_out: bool = False
    """Whether it gives fresh pairs to the recorder, every tenth update."""

    def lacks(self, measure: str) -> bool:
        """What all that is foreign lacks, and measures on held-out pairs where there are none."""
        return super().lacks(measure) or (measure.endswith("/held_out") and not self.held_out)

    @property
    def title(self) -> str:
        """Such as "train" for "my_pkg.training:train"."""
        return in_names(self._name.rpartition(":")[2])

    @property
    def code(self) -> tuple[tuple[str, Path], ...]:
        """The function's module."""
        module = importlib.import_module(self.function.partition(":")[0])
        return ((module.__name__, Path(str(module.__file__))),)

    def check(self) -> None:
        """See that there is such a function.

        Raises:
            ValueError: there is none.
        """
        self._found()
        self.check_numbers()

    def train(self, task: str, seed: int, iterations: int, recorder: Recorder) -> None:
        """Train one seed."""
        self._found()(task, seed, iterations, recorder)

    @property
    def _name(self) -> str:
        return self.function if isinstance(self.function, str) else ""

    def _found(self) -> Callable[[str, int, int, Recorder], None]:
        module, colon, name = self._name.partition(":")
        if not colon:
            raise ValueError(f"A training function is named as 'module:name', not {describe(self.function)}.")
        try:
            found = getattr(importlib.import_module(module), name)
        except Exception as error:  # whatever stands in the module
            why = describe_error(error).removeprefix("AttributeError: ")
            raise ValueError(f"There is no training function {describe(self.function)}: {why}.") from None
        if not callable(found):
            raise ValueError(f"{describe(self.function)} is no function.")
        made: Callable[[str, int, int, Recorder], None] = found
        return made
