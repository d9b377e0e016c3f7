"""A training function of your own as the runs of a claim: `rlclaims.runs(Loop("my_pkg.training:train", 2048))`.

    def train(task, seed, iterations, recorder):
        ...
            with recorder.update(policy, Pairs(observation, action, advantage)):
                ...

Make the environment by `rlclaims.make(task)`, or by `gymnasium.make` if the task has no arguments.
`recorder.wants_held_out` is true when the next update is to be measured on fresh pairs as well.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rlclaims.adapters.external import FixedStepsTraining, slug
from rlclaims.adapters.recorder import EPSILON, UpdateRecorder
from rlclaims.text import describe, describe_error


@dataclass(frozen=True)
class Loop(FixedStepsTraining):
    """A training function of the user's."""

    function: str
    """The function as "module:name"; it takes a task, a seed, a number of iterations and an `UpdateRecorder`."""
    steps_between_updates: int
    """Environment steps between two updates."""
    epsilon: float = EPSILON
    """Distance from 1 beyond which a ratio counts as an exceedance."""
    held_out: bool = False
    """True if the function gives fresh pairs to the recorder at every tenth update."""

    def lacks_measure(self, measure: str) -> bool:
        """Return whether a measure is missing: KL as deployed, and without held-out pairs all measures on them."""
        return super().lacks_measure(measure) or (measure.endswith("/held_out") and not self.held_out)

    @property
    def title(self) -> str:
        """The function's name: "train" for "my_pkg.training:train"."""
        return slug(self._name.rpartition(":")[2])

    @property
    def code(self) -> tuple[tuple[str, Path], ...]:
        """The function's module and its file."""
        module = importlib.import_module(self.function.partition(":")[0])
        return ((module.__name__, Path(str(module.__file__))),)

    def check(self) -> None:
        """Check that the function exists and that steps and epsilon are valid.

        Raises:
            ValueError: One of them is not.
        """
        self._resolve()
        self.check_numbers()

    def train(self, task: str, seed: int, iterations: int, recorder: UpdateRecorder) -> None:
        """Train one seed."""
        train = self._resolve()
        train(task, seed, iterations, recorder)

    @property
    def _name(self) -> str:
        return self.function if isinstance(self.function, str) else ""

    def _resolve(self) -> Callable[[str, int, int, UpdateRecorder], None]:
        module, colon, name = self._name.partition(":")
        if not colon:
            raise ValueError(f"A training function is given as 'module:name', not {describe(self.function)}.")
        try:
            value = getattr(importlib.import_module(module), name)
        except Exception as error:  # importing a user's module may raise anything
            why = describe_error(error).removeprefix("AttributeError: ")
            raise ValueError(f"There is no training function {describe(self.function)}: {why}.") from None
        if not callable(value):
            raise ValueError(f"{describe(self.function)} is not a function.")
        function: Callable[[str, int, int, UpdateRecorder], None] = value
        return function
