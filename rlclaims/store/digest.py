"""Digests of everything that can change a run's numbers.

A run's digest covers:

- its settings, task, seed and iterations;
- the versions of the libraries that compute, and how the processor rounds;
- the syntax trees, without comments and docstrings, of all first-party modules that training executes: rlclaims' own
  and, for your own algorithm or environment, your module and all modules of your project that it imports by import
  statements (imports by a computed name are not followed);
- for environments outside Gymnasium, the versions of the libraries that their modules belong to or import on loading;
- files that the task's arguments name, such as a MuJoCo model, with the files that they include.

Measurements have a digest of their own, which adds the modules that measure.
"""

import ast
import hashlib
import importlib.util
import json
import re
import sys
from collections.abc import Sequence
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path

import mujoco

from rlclaims.adapters.external import ExternalTraining
from rlclaims.sim.environment import Environment
from rlclaims.sim.spelling import parse_task
from rlclaims.sim.tasks import task_named
from rlclaims.store.rounding import arithmetic
from rlclaims.store.run_spec import RunSpec, source_file
from rlclaims.studies.registry import Study

LIBRARIES = ("gymnasium", "mujoco", "numpy", "torch")
_OWN_PACKAGE = Path(__file__).parents[1]
_TRAINING = _OWN_PACKAGE / "training.py"
_MEASURES = _OWN_PACKAGE / "measures"


def run_digest(spec: RunSpec) -> str:
    """Return the digest of a run, 64 hexadecimal characters."""
    data = spec.to_json()
    rounds = arithmetic()
    for place in ("file", "module"):  # the code counts, not its location
        del data["algorithm"][place]
    if files := environment_files(spec.task):
        data["files"] = files
    if isinstance(spec.algorithm, ExternalTraining):
        code = sorted(external_code(spec.algorithm).values())
        trained_by = {name: version(name) for name in spec.algorithm.libraries}
        return _digest({"run": data, "libraries": library_versions() | trained_by, "code": code, "arithmetic": rounds})
    code = sorted((training_code(type(spec.algorithm)) | environment_code(spec.task)).values())
    libraries = library_versions() | environment_libraries(spec.task)
    return _digest({"run": data, "libraries": libraries, "code": code, "arithmetic": rounds})


@cache
def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that compute; cached, as looking them up dominates a digest's time."""
    return {name: version(name) for name in LIBRARIES}


def measurement_digest(spec: RunSpec) -> str:
    """Return the digest of a run's measurements, which covers the run and the code that measures."""
    measures = {str(path.relative_to(_OWN_PACKAGE)): _syntax_digest(path) for path in sorted(_MEASURES.glob("*.py"))}
    return _digest({"run": run_digest(spec), "code": measures})


def study_digest(spec: RunSpec, study: Study) -> str:
    """Return the digest of a study of a run, which covers its measurements, the study and the study's code."""
    files = [_OWN_PACKAGE / name for name in study.definition.code]
    code = [_syntax_digest(path) for path in files]
    measured = measurement_digest(spec)
    return _digest({"measured": measured, "code": code, "kind": study.kind, "pairs": study.pairs})


@cache
def training_code(algorithm: type) -> dict[str, str]:
    """Return syntax digests, by module, of the first-party code that training an algorithm executes.

    These are training itself, the modules of the algorithm's class and its bases, and all modules that these import,
    except the standard library, other installed packages, and the measures.
    """
    own = [(c.__module__, source_file(c)) for c in algorithm.__mro__ if not _is_standard(c.__module__)]
    return _with_imports([("rlclaims.training", _TRAINING), *own])


@cache
def environment_code(task: str) -> dict[str, str]:
    """Return syntax digests, by module, of the modules that define an environment, and of their imports."""
    return _with_imports([(name, file) for name, file in _environment_modules(task) if not _is_library(name, set())])


@cache
def environment_libraries(task: str) -> dict[str, str]:
    """Return versions of the distributions that an environment's modules belong to, or import at top level."""
    tops: set[str] = set()
    for name, file in _environment_modules(task):
        tops |= {name.partition(".")[0]}
        # Imports inside functions or for type checkers are left out: they usually serve rendering.
        body = ast.parse(file.read_bytes(), str(file)).body
        for node in [*body, *(n for tried in body if isinstance(tried, ast.Try) for n in tried.body)]:
            if isinstance(node, ast.Import):
                tops |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                tops.add(node.module.partition(".")[0])
    installed = packages_distributions() if tops else {}
    return {name: version(name) for top in tops for name in installed.get(top, ()) if _is_library(top, set())}


def environment_files(task: str) -> dict[str, list[str]]:
    """Return digests of the files that a task's arguments name, and of the files that models include, by argument."""
    strings = {name: value for name, value in parse_task(task).arguments.items() if isinstance(value, str)}
    return {name: digests for name, value in strings.items() if (digests := _file_digests(value))}


def _file_digests(value: str) -> list[str]:
    try:
        path = Path(value).expanduser()
        if not path.is_file():
            return []
    except (OSError, ValueError, RuntimeError):  # not a valid path
        return []
    files = {str(path)}
    if path.suffix == ".xml":
        # For a model: meshes, textures and included models. For other XML, MuJoCo returns nothing.
        files |= set(mujoco.mju_getXMLDependencies(str(path)))
    return sorted(hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files if Path(file).is_file())


def _environment_modules(task: str) -> list[tuple[str, Path]]:
    """Return the Python modules that register and define an environment; none for the tasks of `sim.tasks`."""
    definition = task_named(task)
    names = definition.modules if isinstance(definition, Environment) else ()
    # Gymnasium's version is part of every digest. Only gymnasium.envs may import a further engine.
    own = [name for name in names if not _is_standard(name) and not re.match(r"gymnasium\.(?!envs\.)", name)]
    files = [(name, _file_of(name)) for name in own]
    return [(name, file) for name, file in files if file is not None and file.suffix == ".py"]


def external_code(algorithm: ExternalTraining) -> dict[str, str]:
    """Return syntax digests, by module, of an adapter and of the training code that it declares."""
    adapter = type(algorithm)
    own = [(name, file) for name, file in algorithm.code if not _is_library(name, set())]
    return _with_imports([(adapter.__module__, source_file(adapter)), *own])


def _with_imports(own: Sequence[tuple[str, Path]]) -> dict[str, str]:
    """Return syntax digests, by module, of modules and of all first-party modules that they import."""
    packages = {name.partition(".")[0] for name, _ in own} | {"rlclaims"}
    digests: dict[str, str] = {}
    todo = list(own)
    while todo:
        name, file = todo.pop()
        # rlclaims' __init__ is a table of names and computes nothing.
        if name in digests or name == "rlclaims" or file.suffix != ".py" or _MEASURES in file.parents:
            continue
        digests[name] = _syntax_digest(file)
        todo += [
            (n, f) for n in _imports(file, name) if not _is_library(n, packages) and (f := _file_of(n)) is not None
        ]
    return digests


@cache
def _imports(file: Path, name: str) -> tuple[str, ...]:
    """Return full names of the modules that a file imports at any level, and of `from` targets that may be modules."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_bytes(), str(file))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parent, *([node.module] if node.module else [])])
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return tuple(names)


def _file_of(name: str) -> Path | None:
    module = sys.modules.get(name)
    if module is not None:
        file = getattr(module, "__file__", None)
        return Path(file) if file else None
    try:
        spec = importlib.util.find_spec(name)
    except Exception:  # find_spec imports parent packages, which may raise anything; so may a name that is no module
        return None
    return Path(spec.origin) if spec is not None and spec.origin and spec.has_location else None


def _is_standard(name: str) -> bool:
    return name.partition(".")[0] in sys.stdlib_module_names


def _is_library(name: str, packages: set[str]) -> bool:
    """Return whether a module belongs to the standard library or to an installed package other than the given ones."""
    top = name.partition(".")[0]
    if top in packages:
        return False
    if _is_standard(top):
        return True
    file = _file_of(top)
    return file is not None and not {"site-packages", "dist-packages"}.isdisjoint(file.parts)


@cache
def _syntax_digest(file: Path) -> str:
    tree = ast.parse(file.read_bytes(), str(file))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):  # docstrings, including those of fields, are bare strings
            node.body = [  # type: ignore[attr-defined]
                n
                for n in body
                if not (
                    isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant) and isinstance(n.value.value, str)
                )
            ]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _digest(data: object) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
