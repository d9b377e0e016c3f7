"""Quantities: the description of a number, with a key to look it up by and a label to read.

runs[PPO]/kl_old_new/mean/held_out/last(0.25)
---------                                      study and algorithm
          ---------------                      measure
                          --------             pairs
                                   ----------  window of training

A key is made of identifiers alone. Pilots, baselines, diffs and figures look numbers up by it. A label is for people,
is not compared, and may be reworded at any time.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Argument = str | bool | int | float | None | Sequence[float]
Json = dict[str, Any]


class Quantity(ABC):
    """The description of a number. Two quantities are the same if their keys are equal."""

    @property
    @abstractmethod
    def key(self) -> str:
        """Identifier, stable over versions of the package and its words."""

    @property
    @abstractmethod
    def general_key(self) -> str:
        """The key without the algorithm, which another version may rename."""

    @property
    @abstractmethod
    def label(self) -> str:
        """Words for people."""

    @property
    @abstractmethod
    def general_label(self) -> str:
        """The label without the algorithm."""

    @abstractmethod
    def to_json(self) -> Json:
        """Return the structure as plain data."""

    @abstractmethod
    def by(self, name: str) -> "Quantity":
        """Return the same quantity of runs of another name."""

    def over(self, window: "Window") -> "Quantity":
        """Return one number for a window of training, of a quantity that has one for each iteration."""
        return Derived(window.name, (self,), window.arguments, form=f"{{0}}, {window.label}")

    def __str__(self) -> str:
        return self.label


@dataclass(frozen=True)
class Window:
    """The iterations that a number is taken over, and how."""

    name: str
    arguments: tuple[Argument, ...] = ()
    label: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        """Identifier: `last(0.25)`."""
        return call(self.name, map(text_of, self.arguments))


@dataclass(frozen=True)
class Plain(Quantity):
    """A quantity that is read from runs of one algorithm, or from a study of them."""

    measure: str
    """Key of a measure, or name of what a study is asked for."""
    words: str = field(default="", compare=False)
    """The label of the measure, without algorithm, pairs and window."""
    arguments: tuple[tuple[str, Argument], ...] = ()
    """Arguments of the measure by name."""
    pairs: str | None = None
    """The pairs that it is measured on, "training" or "held_out"; None if it has one kind only."""
    window: Window | None = None
    """The iterations that it is taken over; None for what has one number per run or one for each iteration."""
    of: str = ""
    """Name of the runs: the algorithm, with the settings that differ from the papers'."""
    study: str = "runs"
    """Name of the study that has it, or "runs"."""

    @property
    def key(self) -> str:
        """Identifier: `runs[PPO]/ratio/max/training/last(0.25)`."""
        return self._key(f"{self.study}[{self.of}]" if self.of else self.study)

    @property
    def general_key(self) -> str:
        """Identifier without the algorithm: `runs/ratio/max/training/last(0.25)`."""
        return self._key(self.study)

    def _key(self, runs: str) -> str:
        measure = call(self.measure, (f"{name}={text_of(value)}" for name, value in self.arguments))
        window = None if self.window is None else self.window.key
        return "/".join(filter(None, (runs, measure, self.pairs, window)))

    @property
    def label(self) -> str:
        """Words for people: "PPO's max ratio, training batch, last 25% of training"."""
        return f"{self.of}'s {self.general_label}" if self.of else self.general_label

    @property
    def general_label(self) -> str:
        """Words for people, without the algorithm."""
        pairs = None if self.pairs is None else PAIRS[self.pairs]
        window = None if self.window is None else self.window.label
        return ", ".join(filter(None, (self.words or self.measure, pairs, window)))

    def to_json(self) -> Json:
        """Return the parts of the key."""
        return {
            "runs": self.of,
            "study": self.study,
            "measure": self.measure,
            "arguments": dict(self.arguments),
            "pairs": self.pairs,
            "window": None if self.window is None else {"name": self.window.name, "arguments": self.window.arguments},
        }

    def by(self, name: str) -> "Plain":
        """Return the same quantity of runs of another name."""
        return replace(self, of=name)

    def over(self, window: Window) -> Quantity:
        """Return one number for a window of training."""
        return replace(self, window=window) if self.window is None else super().over(window)


PAIRS = {"training": "training batch", "held_out": "held out"}
"""Words for the pairs that a measure is taken on."""


@dataclass(frozen=True)
class Derived(Quantity):
    """A quantity that is made of others: a ratio, a difference, a threshold, an effect, a mean over seeds."""

    name: str
    """Name of the operation."""
    operands: tuple[Quantity, ...]
    arguments: tuple[Argument, ...] = ()
    form: str = field(default="", compare=False)
    """Label, with {0}, {1} for those of the operands."""

    @property
    def key(self) -> str:
        """Identifier: `mean(ratio(runs[PPO]/..., runs[TRPO]/...))`."""
        return call(self.name, (*(part.key for part in self.operands), *map(text_of, self.arguments)))

    @property
    def general_key(self) -> str:
        """Identifier without the algorithms."""
        return call(self.name, (*(part.general_key for part in self.operands), *map(text_of, self.arguments)))

    @property
    def label(self) -> str:
        """Words for people, made of the operands' labels."""
        return self._labelled([part.label for part in self.operands])

    @property
    def general_label(self) -> str:
        """Words for people, without the algorithms."""
        return self._labelled([part.general_label for part in self.operands])

    def _labelled(self, labels: list[str]) -> str:
        return self.form.format(*labels) if self.form else call(self.name, labels)

    def to_json(self) -> Json:
        """Return the operation and the structure of its operands."""
        return {
            "operation": self.name,
            "operands": [part.to_json() for part in self.operands],
            "arguments": list(self.arguments),
        }

    def by(self, name: str) -> "Derived":
        """Return the same quantity of runs of another name."""
        return replace(self, operands=tuple(part.by(name) for part in self.operands))


def named(name: str) -> Plain:
    """Return the quantity of numbers that come from elsewhere, by a name that is both its key and its label."""
    return Plain(name, study="")


def braced(text: object) -> str:
    """Return a text as `Derived.form` takes it literally."""
    return str(text).replace("{", "{{").replace("}", "}}")


def call(name: str, arguments: Iterable[str]) -> str:
    """Return a name with arguments in parentheses, or alone if it has none."""
    joined = ", ".join(arguments)
    return f"{name}({joined})" if joined else name


def text_of(argument: Argument) -> str:
    """Return an argument as a key has it: equal numbers have one text, and different ones have different texts."""
    match argument:
        case bool() | None:
            return str(argument).lower()
        case str():
            return argument
        case Sequence():
            return f"[{', '.join(map(text_of, argument))}]"
    number = float(argument)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)
