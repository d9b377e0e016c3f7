"""What a run is, as data: an algorithm with its settings, a task, a number of iterations, a seed."""

import importlib
import importlib.util
import math
import re
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any
from zlib import crc32

from rlclaims.adapters.external import ExternalTraining
from rlclaims.agents.algorithm import Algorithm
from rlclaims.sim.spelling import canonical
from rlclaims.sim.tasks import task_named
from rlclaims.text import describe
from rlclaims.training import HELD_OUT_EVERY

Json = dict[str, Any]
KINDS: dict[str, tuple[str, tuple[type, ...]]] = {
    "bool": ("True or False", (bool,)),
    "int": ("a whole number", (int,)),
    "float": ("a number", (int, float)),
    "str": ("a text", (str,)),
    "tuple": ("a tuple", (tuple,)),
}
"""By the annotation of a setting, what it must be, in words and by types."""
MOST_DEEP = 10
"""Of tuples in tuples, in a setting."""
LONG_NAME = 90
"""Characters of a task, in the name of a folder: file systems take 255 in all."""


class SpecError(ValueError):
    """A user's mistake in describing runs, in one sentence."""


@dataclass(frozen=True)
class RunSpec:
    """One training: the experimental unit."""

    algorithm: Algorithm | ExternalTraining
    task: str
    """Gymnasium's id, with arguments or without, in its one spelling (`rlclaims.sim.spelling`)."""
    iterations: int
    seed: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "task", canonical(self.task))

    @property
    def title(self) -> str:
        """Of what trains, for people."""
        return self.algorithm.title if isinstance(self.algorithm, ExternalTraining) else type(self.algorithm).__name__

    @property
    def name(self) -> str:
        """For people, and for folders: algorithm, task and seed."""
        task = re.sub(r"[^\w.-]+", "-", self.task).strip("-")  # "ALE/Pong-v5" would be a folder in a folder
        if len(task) > LONG_NAME:
            task = f"{task[:LONG_NAME]}-{crc32(self.task.encode()):08x}"
        return f"{self.title}-{task}-seed{self.seed}"

    def to_json(self) -> Json:
        """As plain data that another process can make the run from."""
        cls = type(self.algorithm)
        return {
            "algorithm": {
                "module": cls.__module__,
                "name": cls.__qualname__,
                "file": str(source_file(cls)),
                "settings": asdict(self.algorithm),
            },
            "task": self.task,
            "iterations": self.iterations,
            "seed": self.seed,
        }

    @classmethod
    def from_json(cls, data: Json) -> "RunSpec":
        """The run that `to_json` described."""
        algorithm = data["algorithm"]
        module = _loaded(algorithm["module"], Path(algorithm["file"]))
        settings = {name: _tupled(value) for name, value in algorithm["settings"].items()}
        return cls(getattr(module, algorithm["name"])(**settings), data["task"], data["iterations"], data["seed"])


def _tupled(value: Any) -> Any:
    """A setting as it was before JSON, which has lists for tuples."""
    return tuple(map(_tupled, value)) if isinstance(value, list) else value


def times_held_out(iterations: int) -> int:
    """In how many of a run's iterations fresh pairs are collected and measured as well: the first, and every tenth."""
    return len(range(0, iterations, HELD_OUT_EVERY))


def checked(spec: RunSpec) -> RunSpec:
    """The spec itself, if it can be trained.

    Raises:
        SpecError: it can not, and why.
    """
    cls = type(spec.algorithm)
    try:
        if isinstance(spec.algorithm, ExternalTraining):
            spec.algorithm.check_task(spec.task)
        else:
            task_named(spec.task)
    except ValueError as error:
        raise SpecError(str(error)) from None
    if type(spec.iterations) is not int or spec.iterations < 1:
        raise SpecError(
            f"{cls.__name__} needs a whole number of iterations from 1 up, not {describe(spec.iterations)}."
        )
    if spec.seed < 0:
        raise SpecError(f"A seed is a number from 0 up, not {spec.seed}.")
    if "." in cls.__qualname__:
        raise SpecError(
            f"{cls.__qualname__} is defined inside a function or a class; define it at the top of a file, so that "
            "training processes can import it."
        )
    source_file(cls)
    if getattr(sys.modules[cls.__module__], cls.__name__, None) is not cls:
        raise SpecError(
            f"{cls.__name__} of module {cls.__module__!r} cannot be told from another: a second module of that name "
            "was loaded since. Define it in a module with a name of its own."
        )
    try:
        spec.algorithm.check()
    except ValueError as error:
        raise SpecError(str(error)) from None
    for field in fields(spec.algorithm):
        name, value = field.name, getattr(spec.algorithm, field.name)
        if (kind := _unlike(value, field.type)) is not None:
            raise SpecError(f"{cls.__name__}: {name} must be {kind}, not {describe(value)}.")
        if not _plain(value):
            raise SpecError(
                f"{cls.__name__}.{name} is {describe(value)}; settings are finite numbers, strings, booleans, None or "
                "tuples of them, so that a run can be named by them."
            )
    return spec


def source_file(cls: type) -> Path:
    """The file that defines a class.

    Raises:
        SpecError: there is none (a class typed at a prompt, say).
    """
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if file is None:
        raise SpecError(f"{cls.__name__} is not defined in a file; save it to one, so that its runs can be stored.")
    return Path(file)


def _unlike(value: object, annotation: object) -> str | None:
    """What a setting of that type must be, in words, where a value is something else."""
    kind, _, off = getattr(annotation, "__name__", str(annotation)).partition(" | ")
    if kind not in KINDS or (value is None and off == "None"):
        return None
    words, kinds = KINDS[kind]
    fits = isinstance(value, kinds) and (kind == "bool" or not isinstance(value, bool))
    return None if fits else words + ", or None" * (off == "None")


def _plain(value: object, deep: int = 0) -> bool:
    if isinstance(value, tuple):
        return deep < MOST_DEEP and all(_plain(entry, deep + 1) for entry in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool | int | str)


def _loaded(name: str, file: Path) -> ModuleType:
    """The module of that name, or, where the name is not importable (a claim file, say), the file under it."""
    if name in sys.modules:
        return sys.modules[name]
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        found = None
    if found is not None and found.origin == str(file):
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise SpecError(f"{file} cannot be imported as a Python module.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
