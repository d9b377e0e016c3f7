"""The description of a run as data: an algorithm with its settings, a task, a number of iterations, a seed."""

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
from rlclaims.studies.registry import Study
from rlclaims.text import describe

Json = dict[str, Any]
SETTING_TYPES: dict[str, tuple[str, tuple[type, ...]]] = {
    "bool": ("True or False", (bool,)),
    "int": ("a whole number", (int,)),
    "float": ("a number", (int, float)),
    "str": ("a string", (str,)),
    "tuple": ("a tuple", (tuple,)),
}
"""Description and accepted types of a setting, by its annotation."""
MAX_TUPLE_DEPTH = 10
"""Deepest nesting of tuples in a setting."""
MAX_TASK_CHARACTERS = 90
"""Characters of a task in a folder's name: file systems allow 255 in all."""


class SpecError(ValueError):
    """A user's mistake in describing runs, as one sentence."""


@dataclass(frozen=True)
class RunSpec:
    """One training: the experimental unit."""

    algorithm: Algorithm | ExternalTraining
    task: str
    """Gymnasium's id, with arguments or without, in canonical spelling (`rlclaims.sim.spelling`)."""
    iterations: int
    seed: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "task", canonical(self.task))

    @property
    def title(self) -> str:
        """Readable name of the algorithm."""
        return self.algorithm.title if isinstance(self.algorithm, ExternalTraining) else type(self.algorithm).__name__

    @property
    def name(self) -> str:
        """Readable name of the run and of its folder: algorithm, task and seed."""
        task = re.sub(r"[^\w.-]+", "-", self.task).strip("-")  # "ALE/Pong-v5" would be a folder in a folder
        if len(task) > MAX_TASK_CHARACTERS:
            task = f"{task[:MAX_TASK_CHARACTERS]}-{crc32(self.task.encode()):08x}"
        return f"{self.title}-{task}-seed{self.seed}"

    def to_json(self) -> Json:
        """Return the run as plain data, from which another process can recreate it."""
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
        """Recreate the run that `to_json` described."""
        algorithm = data["algorithm"]
        module = _load_module(algorithm["module"], Path(algorithm["file"]))
        settings = {name: _tupled(value) for name, value in algorithm["settings"].items()}
        return cls(getattr(module, algorithm["name"])(**settings), data["task"], data["iterations"], data["seed"])


Studied = tuple[RunSpec, Study]
"""A run, and a study of it."""


def _tupled(value: Any) -> Any:
    """Turn the lists of a setting that was read from JSON back into tuples."""
    return tuple(map(_tupled, value)) if isinstance(value, list) else value


def checked(spec: RunSpec) -> RunSpec:
    """Return the spec unchanged if it can be trained.

    Raises:
        SpecError: it cannot be trained; the message says why.
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
        raise SpecError(f"{cls.__name__} needs a positive whole number of iterations, not {describe(spec.iterations)}.")
    if spec.seed < 0:
        raise SpecError(f"A seed must be 0 or more, not {spec.seed}.")
    if "." in cls.__qualname__:
        raise SpecError(
            f"{cls.__qualname__} is defined inside a function or a class; define it at the top of a file, so that "
            "training processes can import it."
        )
    source_file(cls)
    if getattr(sys.modules[cls.__module__], cls.__name__, None) is not cls:
        raise SpecError(
            f"{cls.__name__} is ambiguous: a second module named {cls.__module__!r} was loaded after the one that "
            "defines it. Define it in a module with a unique name."
        )
    try:
        spec.algorithm.check()
    except ValueError as error:
        raise SpecError(str(error)) from None
    for field in fields(spec.algorithm):
        name, value = field.name, getattr(spec.algorithm, field.name)
        if (expected := _type_mismatch(value, field.type)) is not None:
            raise SpecError(f"{cls.__name__}: {name} must be {expected}, not {describe(value)}.")
        if not _is_plain_setting(value):
            raise SpecError(
                f"{cls.__name__}.{name} is {describe(value)}. Settings must be finite numbers, strings, booleans, None "
                "or tuples of these, because they are part of a run's digest."
            )
    return spec


def source_file(cls: type) -> Path:
    """Return the file that defines a class.

    Raises:
        SpecError: it is not defined in a file but, for example, at a prompt.
    """
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if file is None:
        raise SpecError(f"{cls.__name__} is not defined in a file; save it to one, so that its runs can be stored.")
    return Path(file)


def _type_mismatch(value: object, annotation: object) -> str | None:
    """Return a description of what a setting must be if a value does not fit its annotation, else None."""
    name, _, alternative = getattr(annotation, "__name__", str(annotation)).partition(" | ")
    optional = alternative == "None"
    if name not in SETTING_TYPES or (value is None and optional):
        return None
    description, types = SETTING_TYPES[name]
    if isinstance(value, types) and (name == "bool" or not isinstance(value, bool)):
        return None
    return f"{description}, or None" if optional else description


def _is_plain_setting(value: object, depth: int = 0) -> bool:
    if isinstance(value, tuple):
        return depth < MAX_TUPLE_DEPTH and all(_is_plain_setting(entry, depth + 1) for entry in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool | int | str)


def _load_module(name: str, file: Path) -> ModuleType:
    """Import a module by name, or load its file if the name is not importable, as for a file of claims."""
    if name in sys.modules:
        return sys.modules[name]
    try:
        importable = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        importable = None
    if importable is not None and importable.origin == str(file):
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise SpecError(f"{file} cannot be imported as a Python module.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
