"""Requests: what a fixture of a claims file asks for, as it is written there."""

from dataclasses import dataclass
from typing import Any, Final

from rlclaims.adapters.external import ExternalTraining
from rlclaims.agents.algorithm import Algorithm
from rlclaims.sim.spelling import canonical

SUBJECT: Final = "the algorithm of --claims-subject"
"""Stands for that algorithm in a fixture: `rlclaims.runs(SUBJECT)`."""


@dataclass(frozen=True)
class RunsRequest:
    """The request of a runs fixture, before a profile fills in what it leaves open."""

    algorithm: type[Algorithm] | Algorithm | ExternalTraining | str
    """A class, for the papers' settings of the task, or an instance with its own settings; or `SUBJECT`."""
    task: str | None = None
    """Gymnasium's id, with or without arguments; None for the profile's task."""
    iterations: int | None = None
    """Updates per run; None for the profile's."""
    changes: tuple[tuple[str, Any], ...] = ()
    """Settings that differ from the papers'."""
    block: int = 0
    """Block of seeds; runs of different blocks are never paired."""
    factors: tuple[tuple[str, tuple[Any, Any]], ...] | None = None
    """Settings of a factorial with their two values each; None for plain runs."""
    full: bool = False
    """True to train all combinations of four settings or more."""
    tuned: tuple[tuple[str, tuple[Any, ...]], ...] | None = None
    """The one setting that each combination of a factorial is tuned by, with the values it is trained with, or None."""

    def __post_init__(self) -> None:
        if isinstance(self.task, str):
            object.__setattr__(self, "task", canonical(self.task))
