"""Scopes: the task, steps and seeds that a number is about."""

from dataclasses import dataclass

Setting = tuple[str, int]
"""Task, and steps of the environment in each run."""


@dataclass(frozen=True)
class Part:
    """Runs on one task, of one length."""

    task: str
    steps: int
    """Steps of the environment in each run."""
    seeds: tuple[int, ...]
    baseline: str | None = None
    """Name of the baseline that the numbers were saved in; None for current runs."""
    made_with: tuple[tuple[str, str], ...] = ()
    """Packages and versions that a baseline was made with and that are others now."""

    @property
    def label(self) -> str:
        """Words for people."""
        if not self.seeds:
            return f"{self.task}, no seeds"
        words = f"{label_of((self.task, self.steps))}, seeds {self.seeds[0]} to {self.seeds[-1]}"
        if self.baseline is not None:
            words += f" of the baseline {self.baseline!r}"
        if self.made_with:
            words += ", made with " + ", ".join(f"{name} {version}" for name, version in self.made_with)
        return words


@dataclass(frozen=True)
class Scope:
    """The runs that a number is about: of one setting, or of several that are compared."""

    parts: tuple[Part, ...]

    @classmethod
    def of(cls, task: str, steps: int, seeds: tuple[int, ...]) -> "Scope":
        """Return the scope of runs on one task."""
        return cls((Part(task, steps, seeds),))

    @property
    def label(self) -> str:
        """Words for people."""
        return "; ".join(part.label for part in self.parts)

    @property
    def settings(self) -> tuple[Setting, ...]:
        """Tasks and steps, without seeds, each once."""
        return tuple(dict.fromkeys((part.task, part.steps) for part in self.parts))

    def __or__(self, other: "Scope") -> "Scope":
        return Scope(tuple(dict.fromkeys(self.parts + other.parts)))

    def __str__(self) -> str:
        return self.label


def label_of(setting: Setting) -> str:
    """Return a setting in words."""
    task, steps = setting
    return f"{task}, {steps:,} steps"
