"""The command `rlclaims`: write a claim, list claims, explain one, inspect the store. pytest judges them."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from shutil import get_terminal_size
from string import Template
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlclaims.cli.refusals import refused
from rlclaims.cli.store import StoreFolder, store_app

if TYPE_CHECKING:
    from rlclaims.pytest_plugin.collect import Collected

app = typer.Typer(
    help="Write and inspect claims about reinforcement-learning algorithms; pytest judges them.", no_args_is_help=True
)
app.add_typer(store_app, name="store")
baseline_app = typer.Typer(help="Save results of a version, to compare later versions with.", no_args_is_help=True)
app.add_typer(baseline_app, name="baseline")

MOST_OF_A_SENTENCE = 60
"""Characters of a sentence in a list on a terminal."""
SCAFFOLD = Path(__file__).with_name("scaffold.py.txt")

Paths = Annotated[
    list[str] | None,
    typer.Argument(help="Files and folders with claims (default: claims/ if it exists, else the current folder)."),
]
ProfileName = Annotated[
    str | None, typer.Option("--profile", help="Profile of the claims, as for pytest's --claims-profile.")
]
ReportFolder = Annotated[
    Path | None, typer.Option("--report", help="Folder of claims.json, as for pytest's --claims-report.")
]
NO_CLAIMS = "No claims were found; rlclaims new ID writes one, and PATHS names other files or folders."


@app.command()
def new(
    id: Annotated[str, typer.Argument(help="Id of the claim, such as mine/keeps-mean-kl.")],  # noqa: A002
    folder: Annotated[Path, typer.Option(help="Folder for the file.")] = Path("claims"),
) -> None:
    """Write a file with a claim about a new algorithm, ready to run."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*(/[a-z0-9]+(-[a-z0-9]+)*)+", id):
        raise refused(f"An id is section/sentence in lower case, such as mine/keeps-mean-kl, not {id!r}.")
    path = folder / f"test_{re.sub('[^a-z0-9]', '_', id)}.py"
    if path.exists():
        raise refused(f"{path} already exists; choose another id.")
    names = {"id": id, "function": re.sub("[^a-z0-9]", "_", id.partition("/")[2])}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(Template(SCAFFOLD.read_text(encoding="utf-8")).substitute(names), encoding="utf-8")
    except OSError as error:
        raise refused(f"{path} cannot be written ({error.strerror or error}).") from None
    typer.echo(f"Wrote {path}. Next:")
    typer.echo(f"  pytest {path} --claims-dry-run   show what it would train, and for how long")
    typer.echo(f"  pytest {path}                    judge it, in about half a minute")


@app.command("list")
def list_claims(paths: Paths = None, profile: ProfileName = None) -> None:
    """List claims and theorems with their last verdicts."""
    from rich.console import Console
    from rich.text import Text

    from rlclaims.report.grid import Grid, is_piped, rows_by_section
    from rlclaims.report.record import judged_in_words
    from rlclaims.report.table import verdict_text

    def verdict(result: dict[str, Any] | None) -> Text:
        if result is None:
            return Text("not run")
        return Text("smoke run only", "yellow") if result.get("status") == "smoke" else verdict_text(result)

    claims = _collected(paths, profile)
    if not claims:
        raise refused(NO_CLAIMS)
    console = Console()
    verdicts = {claim.name: _last(claim) for claim in claims}
    rows = [{"name": claim.name, "claim": claim} for claim in claims]

    def cells(row: dict[str, Any]) -> tuple[Any, ...]:
        result, says = verdicts[row["name"]], Text(row["claim"].declared.says)
        if not is_piped(console):
            says.truncate(MOST_OF_A_SENTENCE, overflow="ellipsis")
        return verdict(result), "" if result is None else judged_in_words(result), says

    with _reading_record(claims[0].record):
        rows_by_section(Grid("claim", "verdict", "judged~", "says~"), rows, cells).print(console)


@app.command()
def sentences(paths: Paths = None, profile: ProfileName = None) -> None:
    """Print each sentence with its verdict as Markdown, by source: `rlclaims sentences > claims/README.md`."""
    from rlclaims.report.sentences import sentences

    claims = _collected(paths, profile)
    record = _last_record(claims)
    with _reading_record(claims[0].record):
        markdown = sentences([(c.name, c.declared) for c in claims], record)
    typer.echo(markdown, nl=False)


@app.command()
def explain(
    id: Annotated[str, typer.Argument(help="Id of a claim or theorem, with or without its parameters.")],  # noqa: A002
    paths: Paths = None,
    profile: ProfileName = None,
) -> None:
    """Show what a claim or theorem says and means, how it was judged, on which runs, and how to replay a seed."""
    claims = _collected(paths, profile)
    if not claims:
        raise refused(NO_CLAIMS)
    matching = [claim for claim in claims if id in (claim.name, claim.declared.id)]
    if not matching:
        names = [claim.name for claim in claims]
        if nearest := get_close_matches(id, names, n=5, cutoff=0.4):
            raise refused(f"There is no claim {id!r}. Did you mean {' or '.join(nearest)}? rlclaims list lists all.")
        raise refused(f"There is no claim {id!r}; rlclaims list lists the {len(names)} that exist, such as {names[0]}.")
    with _reading_record(matching[0].record):
        text = "\n\n".join(map(_explained, matching))
    typer.echo(text)


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(help="A claims.json.")],
    after: Annotated[Path, typer.Argument(help="A later claims.json.")],
) -> None:
    """Show what changed between two records; exit with 1 if a verdict moved away from what is expected."""
    from rlclaims.report.diff import diff, diff_table
    from rlclaims.report.record import RecordError

    try:
        changes = diff(before, after)
    except RecordError as error:
        raise refused(str(error)) from None
    diff_table(changes, sys.stdout, get_terminal_size((100, 24)).columns)
    if changes.worse:
        raise typer.Exit(1)


@app.command()
def mechanism(
    paths: Paths = None,
    profile: ProfileName = None,
    store: StoreFolder = None,
    first_seed: Annotated[int, typer.Option(help="First seed, as for pytest's --claims-first-seed.")] = 0,
) -> None:
    """Show the effect of each mechanism on an update, from the stored twin updates of the claims."""
    from rlclaims.checkpoints import checkpoint_iterations
    from rlclaims.pytest_plugin.trial_run import asked_studies
    from rlclaims.report.mechanism import mechanism_table
    from rlclaims.studies.registry import Study
    from rlclaims.studies.runs import Runs
    from rlclaims.training import HELD_OUT_EVERY

    twins = Study("twins")
    options = [f"--claims-first-seed={first_seed}", *([] if store is None else [f"--claims-store={store}"])]
    asked = {
        runs: claim.session
        for claim in _collected(paths, profile, *options)
        for runs in asked_studies(claim.session, claim.item, twins)
    }
    if not asked:
        raise refused("No claim here uses twin updates; a claim asks for them by ppo.twins, where ppo are runs of PPO.")
    for runs, session in asked.items():
        specs = runs.run_specs(session.profile.seeds)
        made = next((n for n, run in enumerate(specs) if not session.store.has_study(run, twins)), len(specs))
        if made < 2:
            raise refused(
                f"The table needs twin updates of at least 2 seeds, and the store {session.store.root} has those of "
                f"{made} seeds of {specs[0].title}: run the claims that use them first."
            )
        results = session.results(runs, made)
        assert isinstance(results, Runs)
        iterations = checkpoint_iterations(runs.iterations, HELD_OUT_EVERY)
        mechanism_table(results.twins, iterations, sys.stdout, get_terminal_size((100, 24)).columns)


def _explained(claim: "Collected") -> str:
    from rlclaims.report.explain import judged, row, tried
    from rlclaims.report.record import is_theorem, session_options

    declared = claim.declared
    result = _last(claim)
    lines = [
        claim.name,
        row("says", f'"{declared.says}"'),
        row("source", str(declared.source)),
        row("means", declared.means),
        row("expected", declared.expected + (f": {declared.evidence}" if declared.evidence else "")),
        *_terms(claim),
        row("declared", f"{claim.file}:{claim.line}"),
    ]
    if result is None:
        return "\n".join([*lines, row("verdict", f"none in {claim.record}; pytest {claim.test!r} judges it")])
    details = tried(result) if is_theorem(result) else judged(result, claim.test, session_options(result))
    return "\n".join(lines + details)


def _terms(claim: "Collected") -> list[str]:
    """Return the lines about a claim's margin and family; none for a theorem."""
    from rlclaims.claims.declaration import Claim
    from rlclaims.report.explain import row

    declared = claim.declared
    family = claim.family
    if family is None or not isinstance(declared, Claim):
        return []
    shares = "1 share" if family.size == 1 else f"{family.size} shares"
    return [
        row("margin", "none" if declared.margin is None else f"{declared.margin:g}"),
        row("family", f"{family.name}, {shares} at a rate of {family.rate:g}"),
    ]


def _collected(paths: list[str] | None, profile: str | None, *options: str) -> "list[Collected]":
    from rlclaims.pytest_plugin.collect import CollectError, collect

    try:
        chosen = [] if profile is None else [f"--claims-profile={profile}"]
        return collect(paths or (["claims"] if Path("claims").is_dir() else ["."]), *chosen, *options)
    except CollectError as error:
        raise refused(str(error)) from None


def _last(claim: "Collected") -> dict[str, Any] | None:
    """Return a claim's result in the last record, or None."""
    record = _record(claim.record) or {"claims": [], "theorems": []}
    return next((result for result in (*record["claims"], *record["theorems"]) if result["name"] == claim.name), None)


def _last_record(claims: "list[Collected]") -> dict[str, Any]:
    """Return the record of the last session with these claims."""
    if not claims:
        raise refused(NO_CLAIMS)
    record = _record(claims[0].record)
    if record is None:
        raise refused(f"{claims[0].record} does not exist yet; pytest writes it.")
    return record


def _record(path: Path) -> dict[str, Any] | None:
    return _read(path, path.stat().st_mtime_ns) if path.exists() else None


@cache
def _read(path: Path, written: int) -> dict[str, Any]:  # noqa: ARG001
    """Return a file's record, cached by the time at which it was written."""
    from rlclaims.report.record import read

    with _reading_record(path):
        return read(path)


@contextmanager
def _reading_record(path: Path) -> Iterator[None]:
    """Turn errors of an invalid record into a message and an exit."""
    from rlclaims.report.record import RecordError, reading

    try:
        with reading(path):
            yield
    except RecordError as error:
        raise refused(str(error)) from None


@baseline_app.command("save")
def baseline_save(
    name: Annotated[str, typer.Argument(help="Name of the version, such as my-ppo-1.0.")],
    paths: Paths = None,
    runs: Annotated[
        list[str] | None,
        typer.Option("--runs", help="Fixture whose numbers are saved; can be repeated (default: all fixtures)."),
    ] = None,
    profile: ProfileName = None,
    report: ReportFolder = None,
) -> None:
    """Save the per-seed numbers that the claims of the last record judged, to reports/baselines/NAME.json."""
    from rlclaims.claims.scope import label_of
    from rlclaims.store.baseline import BaselineError, save_baseline

    claims = _collected(paths, profile, *([] if report is None else [f"--claims-report={report}"]))
    record = _last_record(claims)
    names = {claim.name for claim in claims}
    with _reading_record(claims[0].record):
        try:
            path, kept = save_baseline(record, claims[0].session.asked.baselines, name, names, runs or ())
        except BaselineError as error:
            raise refused(str(error)) from None
    for one in kept:
        typer.echo(f"{one.fixture}, {label_of(one.setting)}, {len(one.values)} seeds: {one.label}")
    typer.echo(f"Saved {len(kept)} {'quantities' if len(kept) > 1 else 'quantity'} to {path}; commit this file.")


@app.command("report")
def report_page(
    record: Annotated[Path | None, typer.Argument(help="A claims.json (default: the last session's).")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the report (default: the record's).")] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="An earlier claims.json, to list what changed since.")
    ] = None,
    store: StoreFolder = None,
    surfaces: Annotated[
        bool,
        typer.Option("--surfaces", help="Add rotatable landscape surfaces, simulated in about a minute if not stored."),
    ] = False,
    surface_runs: Annotated[
        int, typer.Option("--surface-runs", min=1, help="With --surfaces: number of runs of each algorithm.")
    ] = 1,
) -> None:
    """Write a session's report: a page, figures as SVG, PDF and CSV, and summary.md for a pull request."""
    import pytest

    from rlclaims.pytest_plugin.project import project_of, report_folder, store_folder
    from rlclaims.report.diff import diff
    from rlclaims.report.page import plotly, write_page
    from rlclaims.report.record import RecordError, reading
    from rlclaims.report.session_figures import illustrations
    from rlclaims.report.session_figures import surfaces as surfaces_of
    from rlclaims.report.summary import write_summary
    from rlclaims.store.store import StoreError

    try:
        path = record or report_folder(None, project_of(Path.cwd())) / "claims.json"
        read = _record(path)
        if read is None:
            raise refused(f"{path} does not exist; pytest writes it, and an argument names another record.")
        folder = out or path.parent
        changed = None if against is None else diff(against, path)
        folder.mkdir(parents=True, exist_ok=True)
        if surfaces:
            if plotly() is None:
                raise refused("--surfaces needs plotly: pip install 'rlclaims[surfaces]'.")
            _play_planes(read, store, surface_runs)
        stored = store_folder(store, project_of(Path.cwd()))
        with reading(path):
            figures = illustrations(read, stored)
            typer.echo(f"{write_page(read, folder, figures, surfaces_of(read, stored))}")
            for name, drawn in figures.items():
                typer.echo(f"{', '.join(map(str, drawn.save(folder / 'figures', name)))}")
            typer.echo(f"{write_summary(read, folder, changed)}")
            if not figures and any(claim["runs"] for claim in read["claims"]):
                typer.echo(f"No figures: the runs are not in the store {stored}; --store DIR names another.", err=True)
    except (pytest.UsageError, RecordError, StoreError) as error:
        raise refused(str(error)) from None
    except OSError as error:
        raise refused(f"The report cannot be written ({error}); choose another folder with --out.") from None


def _play_planes(record: dict[str, Any], store: Path | None, n: int) -> None:
    """Simulate the planes of the first n runs of each algorithm whose landscapes the claims use."""
    from rlclaims.pytest_plugin.progress import Display
    from rlclaims.pytest_plugin.trial_run import asked_studies
    from rlclaims.studies.registry import Study

    options = [f"--claims-first-seed={record['first_seed']}", *([] if store is None else [f"--claims-store={store}"])]
    asked = {
        runs: claim.session
        for claim in _collected(None, record["profile"]["name"], *options)
        for runs in asked_studies(claim.session, claim.item, Study("landscapes"))
    }
    display = Display(sys.stderr)
    for runs, session in asked.items():
        stored = [run for run in runs.run_specs(n) if session.store.has(run)]
        session.make_studies([(run, Study("planes")) for run in stored], display.studies, display.wait)
