"""`rlclaims store`: what is in the folder of finished runs, and whether it is whole."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlclaims.cli.refusals import refused

if TYPE_CHECKING:
    from rlclaims.store.store import Store

store_app = typer.Typer(help="The folder of finished runs.", no_args_is_help=True)

StoreFolder = Annotated[Path | None, typer.Option("--store", help="as for pytest's --claims-store")]


@store_app.command("ls")
def store_ls(store: StoreFolder = None) -> None:
    """List the runs."""
    from rich.console import Console
    from rich.text import Text

    from rlclaims.execution.verify import stored_runs
    from rlclaims.report.table import grid

    table, total = grid("run", "iterations>", "MB>", "ended"), 0
    table.columns[0].overflow, table.columns[3].no_wrap = "fold", False
    for n, run in enumerate(stored_runs(_store(store)), start=1):
        told = run.description
        ended = str(told.get("failure") or told.get("status", "cannot be read: rlclaims store verify"))
        megabytes = f"{run.bytes / 1e6:.1f}"
        # Eight of a digest's characters tell runs apart.
        table.add_row(Text(run.folder.name[:-24]), str(told.get("iterations", "")), megabytes, Text(ended))
        total = n
    Console().print(table)
    typer.echo(f"{total} runs")
    _tell_rest(_store(store))


@store_app.command("verify")
def store_verify(store: StoreFolder = None) -> None:
    """See whether all runs are whole; fail if one is not."""
    from rlclaims.execution.verify import problems, stored_runs

    of = _store(store)
    found = list(problems(of))
    for problem in found:
        typer.echo(problem)
    typer.echo(f"{len(list(stored_runs(of)))} runs, {len(found)} problems")
    _tell_rest(of)
    if found:
        raise typer.Exit(1)


def _tell_rest(store: "Store") -> None:
    """Of what is in a store beside runs."""
    from rlclaims.execution.verify import size

    for name, what in {
        "unfinished": "of runs that were being trained; they go on from there, unless their code has changed since",
        "quarantine": "that was damaged and has been set aside; nothing reads it",
    }.items():
        if held := size(store.root / name):
            typer.echo(f"{store.root / name} holds {held / 1e6:.1f} MB {what}; it can be deleted.")


def _store(folder: Path | None) -> "Store":
    import pytest

    from rlclaims.pytest_plugin.options import project_of, store_folder
    from rlclaims.store.store import Store

    try:
        store = Store(store_folder(folder, project_of(Path.cwd())))
    except pytest.UsageError as error:
        raise refused(str(error)) from None
    if not os.path.isdir(store.root / "runs"):  # noqa: PTH112  (of a name that is none, or a closed folder, False)
        raise refused(f"There is no store in {store.root}; pytest makes one, and --store DIR names another.")
    return store
