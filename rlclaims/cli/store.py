"""`rlclaims store`: list and verify the finished runs."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlclaims.cli.refusals import refused

if TYPE_CHECKING:
    from rlclaims.store.store import Store

store_app = typer.Typer(help="List and verify the finished runs in the store.", no_args_is_help=True)

StoreFolder = Annotated[
    Path | None, typer.Option("--store", help="Folder of finished runs (default: RLCLAIMS_STORE, or the project's).")
]


@store_app.command("ls")
def store_ls(store: StoreFolder = None) -> None:
    """List the runs in the store, with their size and how they ended."""
    from rich.console import Console
    from rich.text import Text

    from rlclaims.execution.verify import stored_runs
    from rlclaims.report.grid import Grid

    table = Grid("run", "iterations>", "MB>", "ended~")
    opened = _store(store)
    total = 0
    for run in stored_runs(opened):
        description = run.description
        ended = str(description.get("failure") or description.get("status", "unreadable: see rlclaims store verify"))
        megabytes = f"{run.bytes / 1e6:.1f}"
        # Eight characters of the digest identify a run.
        table.add_row(Text(run.folder.name[:-24]), str(description.get("iterations", "")), megabytes, Text(ended))
        total += 1
    table.print(Console())
    typer.echo(_count(total, "run"))
    _report_other_folders(opened)


@store_app.command("verify")
def store_verify(store: StoreFolder = None) -> None:
    """Check that all files of all runs are complete and undamaged; exit with 1 if not."""
    from rlclaims.execution.verify import problems, stored_runs

    opened = _store(store)
    lines = list(problems(opened))
    for line in lines:
        typer.echo(line)
    total = len(list(stored_runs(opened)))
    typer.echo(f"{_count(total, 'run')}, {_count(len(lines), 'problem')}")
    _report_other_folders(opened)
    if lines:
        raise typer.Exit(1)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _report_other_folders(store: "Store") -> None:
    """Print what else takes space in the store and can be deleted."""
    from rlclaims.execution.verify import size

    for name, content in {
        "unfinished": "of checkpoints, from which interrupted training resumes unless its code has changed",
        "quarantine": "of damaged files, which nothing reads",
    }.items():
        if used := size(store.root / name):
            typer.echo(f"{store.root / name} holds {used / 1e6:.1f} MB {content}; it can be deleted.")


def _store(folder: Path | None) -> "Store":
    import pytest

    from rlclaims.pytest_plugin.project import project_of, store_folder
    from rlclaims.store.store import Store

    try:
        store = Store(store_folder(folder, project_of(Path.cwd())))
    except pytest.UsageError as error:
        raise refused(str(error)) from None
    if not os.path.isdir(store.root / "runs"):  # noqa: PTH112  (False for an invalid name or an unreadable folder)
        raise refused(f"There is no store in {store.root}; pytest creates one, and --store DIR names another.")
    return store
