"""Names that stand for everything that can change a run's numbers.

A run's digest covers its settings, task, seed and iterations, the versions of the libraries that compute, how the
processor rounds, and the syntax trees of every first-party module that training executes: rlclaims' own and, for an
algorithm or an environment of yours, your module and whatever its import statements name in your project (not what it
imports by a computed name).
Comments and docstrings do not count. Of an environment that is not Gymnasium's alone, the versions of the libraries
that its modules belong to, or import as they are loaded, count as well; and so do files that the task's arguments name,
a model of yours, say, with the files that it includes. Measurements have a digest of their own on top,
from the modules that measure.
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
from rlclaims.sim.spelling import parsed
from rlclaims.sim.tasks import task_named
from rlclaims.store.rounding import arithmetic
from rlclaims.store.run_spec import RunSpec, source_file
from rlclaims.studies.registry import TWINS, Study

LIBRARIES = ("gymnasium", "mujoco", "numpy", "torch")
_OWN_PACKAGE = Path(__file__).parents[1]
_TRAINING = _OWN_PACKAGE / "training.py"
_MEASURES = _OWN_PACKAGE / "measures"


def run_digest(spec: RunSpec) -> str:
    """The digest of a run, 64 hexadecimal characters."""
    data, rounds = spec.to_json(), arithmetic()
    for place in ("file", "module"):  # what the code says counts, not where it lies
        del data["algorithm"][place]
    if files := environment_files(spec.task):
        data["files"] = files
    if isinstance(spec.algorithm, ExternalTraining):
        code = sorted(foreign_code(spec.algorithm).values())
        trained_by = {name: version(name) for name in spec.algorithm.libraries}
        return _digest({"run": data, "libraries": library_versions() | trained_by, "code": code, "arithmetic": rounds})
    code = sorted((training_code(type(spec.algorithm)) | environment_code(spec.task)).values())
    libraries = library_versions() | environment_libraries(spec.task)
    return _digest({"run": data, "libraries": libraries, "code": code, "arithmetic": rounds})


@cache
def library_versions() -> dict[str, str]:
    """The versions of the libraries that compute; looking them up takes longer than all else in a digest."""
    return {name: version(name) for name in LIBRARIES}


def measurement_digest(spec: RunSpec) -> str:
    """The digest of a run's measurements: of the run, and of the code that measures."""
    measures = {str(path.relative_to(_OWN_PACKAGE)): _syntax_digest(path) for path in sorted(_MEASURES.glob("*.py"))}
    return _digest({"run": run_digest(spec), "code": measures})


def study_digest(spec: RunSpec, study: Study) -> str:
    """The digest of what is derived from a run: of its measurements, of its kind, and of the code that makes it."""
    files = [_OWN_PACKAGE / name for name in study.code]
    data = {"measured": measurement_digest(spec), "code": [_syntax_digest(path) for path in files]}
    # No other kind has the code of twin updates.
    return _digest(data if study == TWINS else {**data, "kind": study.kind, "pairs": study.pairs})


@cache
def training_code(algorithm: type) -> dict[str, str]:
    """Syntax digests by module of what training an algorithm executes that is first-party.

    That is: training itself, the modules of the algorithm's class and its bases, and whatever these import, except
    the standard library, other installed packages, and the measures.
    """
    own = [(c.__module__, source_file(c)) for c in algorithm.__mro__ if not _is_standard(c.__module__)]
    return _followed([("rlclaims.training", _TRAINING), *own])


@cache
def environment_code(task: str) -> dict[str, str]:
    """The same of an environment: of the modules that register and define it, and of what these import."""
    return _followed([(name, file) for name, file in _environment_modules(task) if not _is_library(name, set())])


@cache
def environment_libraries(task: str) -> dict[str, str]:
    """Versions of the distributions that an environment's modules belong to, or import at their outermost level."""
    tops: set[str] = set()
    for name, file in _environment_modules(task):
        tops |= {name.partition(".")[0]}
        # What is imported later, or for type checkers alone, draws pictures as a rule.
        body = ast.parse(file.read_bytes(), str(file)).body
        for node in [*body, *(n for tried in body if isinstance(tried, ast.Try) for n in tried.body)]:
            if isinstance(node, ast.Import):
                tops |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                tops.add(node.module.partition(".")[0])
    installed = packages_distributions() if tops else {}
    return {of: version(of) for top in tops for of in installed.get(top, ()) if _is_library(top, set())}


def environment_files(task: str) -> dict[str, list[str]]:
    """Digests of the files that a task's arguments name, by argument; of a model's, with what it includes."""
    named = {name: value for name, value in parsed(task).arguments.items() if isinstance(value, str)}
    return {name: found for name, value in named.items() if (found := _file_digests(value))}


def _file_digests(value: str) -> list[str]:
    try:
        path = Path(value).expanduser()
        if not path.is_file():
            return []
    except (OSError, ValueError, RuntimeError):  # a text that is no path at all
        return []
    files = {str(path)}
    if path.suffix == ".xml":
        # Of no model, MuJoCo says nothing; a model has meshes, textures and other models.
        files |= set(mujoco.mju_getXMLDependencies(str(path)))
    return sorted(hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files if Path(file).is_file())


def _environment_modules(task: str) -> list[tuple[str, Path]]:
    """Modules in Python that register and define an environment; none of a task that `sim.tasks` declares."""
    found = task_named(task)
    named = found.modules if isinstance(found, Environment) else ()
    # Of Gymnasium, whose version counts anyway, an environment may import an engine; the rest computes nothing.
    own = [name for name in named if not _is_standard(name) and not re.match(r"gymnasium\.(?!envs\.)", name)]
    files = [(name, _file_of(name)) for name in own]
    return [(name, file) for name, file in files if file is not None and file.suffix == ".py"]


def foreign_code(algorithm: ExternalTraining) -> dict[str, str]:
    """The same of somebody else's training: of what records it, and of what it says itself that it is trained by."""
    mine = type(algorithm)
    own = [(name, file) for name, file in algorithm.code if not _is_library(name, set())]
    return _followed([(mine.__module__, source_file(mine)), *own])


def _followed(own: Sequence[tuple[str, Path]]) -> dict[str, str]:
    """Syntax digests by module of modules and of the first-party ones that they import."""
    packages = {name.partition(".")[0] for name, _ in own} | {"rlclaims"}
    found: dict[str, str] = {}
    todo = list(own)
    while todo:
        name, file = todo.pop()
        # rlclaims' __init__ is a table of names and computes nothing.
        if name in found or name == "rlclaims" or file.suffix != ".py" or _MEASURES in file.parents:
            continue
        found[name] = _syntax_digest(file)
        todo += [
            (n, f) for n in _imports(file, name) if not _is_library(n, packages) and (f := _file_of(n)) is not None
        ]
    return found


@cache
def _imports(file: Path, name: str) -> tuple[str, ...]:
    """Full names of the modules that a file imports, wherever in it, and of `from` targets that may be modules."""
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
    except Exception:  # it imports parents, which may do anything; a name that is no module ends here too
        return None
    return Path(spec.origin) if spec is not None and spec.origin and spec.has_location else None


def _is_standard(name: str) -> bool:
    return name.partition(".")[0] in sys.stdlib_module_names


def _is_library(name: str, packages: set[str]) -> bool:
    """Whether a module belongs to the standard library or to an installed package other than the given ones."""
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
        if isinstance(body, list):  # docstrings, of fields too, are statements of a bare string
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
