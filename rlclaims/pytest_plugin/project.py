"""The project's folders and its table `[tool.rlclaims]` in pyproject.toml.

This module imports nothing heavy, because pytest imports it in every project that has rlclaims installed.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pytest

from rlclaims.text import describe, describe_error


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """Return the message for a name that does not exist, with the nearest one and all that exist.

    Args:
        kind: the subject of the sentence and its verb, such as "There is no profile".
        name: the name that was given.
        known: the names that exist.
    """
    names = list(known)
    nearest = get_close_matches(name, names, n=1) if isinstance(name, str) else []
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return f"{kind} {describe(name)}; there are {', '.join(names)}.{hint}"


def given_or(option: Any, default: Any) -> Any:
    """Return an option unless it is None; an empty string, as from an unset variable, is kept and refused later."""
    return default if option is None else option


def project_of(folder: Path) -> Path:
    """Return the nearest folder from here upwards with a store or a [tool.rlclaims] table, or else this folder.

    Raises:
        pytest.UsageError: a pyproject.toml on the way is invalid.
    """
    for up in (folder, *folder.parents):
        if (up / ".rlclaims").is_dir() or read_table(up / "pyproject.toml"):
            return up
    return folder


def store_folder(given: str | Path | None, project: Path) -> Path:
    """Return the store's folder: as given, from RLCLAIMS_STORE, from pyproject.toml, or the project's `.rlclaims`.

    Raises:
        pytest.UsageError: the pyproject.toml is invalid.
    """
    table = read_table(project / "pyproject.toml")
    chosen = given_or(given, os.environ.get("RLCLAIMS_STORE") or None)
    return _folder(chosen, "store", table, project, project / ".rlclaims")


def report_folder(given: str | Path | None, project: Path, store: Path | None = None) -> Path:
    """Return the folder of a session's record and page: as given, from pyproject.toml, or in the store.

    Raises:
        pytest.UsageError: the pyproject.toml is invalid.
    """
    table = read_table(project / "pyproject.toml")
    return _folder(given, "report", table, project, (store or store_folder(None, project)) / "reports" / "latest")


def _folder(given: str | Path | None, named: str, table: dict[str, Any], project: Path, default: Path) -> Path:
    if given is not None:
        return path_of(given)
    return project / path_of(table[named]) if named in table else default


def path_of(given: str | Path) -> Path:
    """Return the path of a file or folder, which need not exist.

    Raises:
        pytest.UsageError: it is not a valid path.
    """
    try:
        if not str(given):
            raise ValueError("Path('') would be the current folder.")
        path = Path(given).expanduser()
        with suppress(OSError):
            path.lstat()
    except (RuntimeError, ValueError):  # the home of an unknown user; characters that no file system allows
        raise pytest.UsageError(f"{describe(str(given))} is not a valid path.") from None
    return path


def read_table(path: Path) -> dict[str, Any]:
    """Return the table `[tool.rlclaims]` of a pyproject.toml; empty if it is missing.

    Raises:
        pytest.UsageError: it has an unknown entry, or one of the wrong type.
    """
    import tomllib

    try:
        tools = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
        table = tools.get("rlclaims", {}) if isinstance(tools, dict) else {}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise pytest.UsageError(f"{path} cannot be read: {describe_error(error)}.") from None
    kinds = {"profile": str, "executor": str, "store": str, "report": str, "profiles": dict, "gate": dict}
    if not isinstance(table, dict):
        raise pytest.UsageError("pyproject.toml: tool.rlclaims must be a table, [tool.rlclaims].")
    for name, value in table.items():
        if name not in kinds:
            raise pytest.UsageError(unknown("pyproject.toml: [tool.rlclaims] has no setting", name, kinds))
        if not isinstance(value, kinds[name]):
            tables = {"profiles": "a table, [tool.rlclaims.profiles.NAME]", "gate": "a table, [tool.rlclaims.gate]"}
            expected = tables.get(name, "a string")
            raise pytest.UsageError(
                f"pyproject.toml: [tool.rlclaims] {name} must be {expected}, not {describe(value)}."
            )
    return table


def writable(folder: Path, name: str, option: str) -> None:
    """Check that a file can be written into a folder.

    Args:
        folder: the folder, created if it does not exist.
        name: its name in the message.
        option: the option that chooses another folder.

    Raises:
        pytest.UsageError: it cannot be written.
    """
    import tempfile

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise pytest.UsageError(
            f"The {name} folder {folder} cannot be written ({error.strerror or error}); choose another with {option}."
        ) from None
