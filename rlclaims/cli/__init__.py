"""The command `rlclaims`: write a claim, list claims, explain one, look after the store. pytest runs them."""

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

app = typer.Typer(help="Claims about reinforcement-learning algorithms; `pytest` runs them.", no_args_is_help=True)
app.add_typer(store_app, name="store")
baseline_app = typer.Typer(help="What versions came to, kept for later ones.", no_args_is_help=True)
app.add_typer(baseline_app, name="baseline")

SCAFFOLD = Path(__file__).with_name("scaffold.py.txt")

Paths = Annotated[list[str] | None, typer.Argument(help="files and folders with claims (default: claims/, or here)")]
ProfileName = Annotated[str | None, typer.Option("--profile", help="as for pytest's --claims-profile")]
ReportFolder = Annotated[Path | None, typer.Option("--report", help="as for pytest's --claims-report")]


@app.command()
def new(
    id: Annotated[str, typer.Argument(help="of the claim, such as mine/keeps-mean-kl")],  # noqa: A002
    folder: Annotated[Path, typer.Option(help="where the file goes")] = Path("claims"),
) -> None:
    """Write a file with one claim about one new algorithm, which runs as it is."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*(/[a-z0-9]+(-[a-z0-9]+)*)+", id):
        raise refused(f"An id is words in small letters, section/sentence, such as mine/keeps-mean-kl, not {id!r}.")
    path = folder / f"test_{re.sub('[^a-z0-9]', '_', id)}.py"
    if path.exists():
        raise refused(f"{path} is there already; choose another id.")
    names = {"id": id, "function": re.sub("[^a-z0-9]", "_", id.partition("/")[2])}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(Template(SCAFFOLD.read_text(encoding="utf-8")).substitute(names), encoding="utf-8")
    except OSError as error:
        raise refused(f"{path} cannot be written ({error.strerror or error}).") from None
    typer.echo(f"{path} holds a claim that runs. Next:")
    typer.echo(f"  pytest {path} --claims-dry-run   what it would train, and for how long")
    typer.echo(f"  pytest {path}                    its verdict, in half a minute or so")


@app.command("list")
def list_claims(paths: Paths = None, profile: ProfileName = None) -> None:
    """List claims and theorems, with their verdicts in the last record."""
    from rich.console import Console
    from rich.text import Text

    from rlclaims.report.table import grid, rows_by_section, verdict_text

    def verdict(result: dict[str, Any] | None) -> Text:
        if result is None:
            return Text("not run")
        return Text("smoke run only", "yellow") if result.get("status") == "smoke" else verdict_text(result)

    claims = _collected(paths, profile)
    if not claims:
        raise refused("There are no claims here; rlclaims new ID writes one.")
    console, verdicts = Console(), {claim.name: _last(claim) for claim in claims}
    rows = [{"name": claim.name, "claim": claim} for claim in claims]
    # A sentence is cut where there is no room, and an id never.
    room = max(20, console.width - max(map(len, verdicts)) - len("inconclusive*") - 2)

    def cells(row: dict[str, Any]) -> tuple[Any, ...]:
        says = Text(row["claim"].declared.says)
        says.truncate(room, overflow="ellipsis")
        return verdict(verdicts[row["name"]]), says

    with _of_record(claims[0].record):
        console.print(rows_by_section(grid("claim", "verdict", "says"), rows, cells))


@app.command()
def sentences(paths: Paths = None, profile: ProfileName = None) -> None:
    """Tell in Markdown what became of each sentence, by where it stands: `rlclaims sentences > claims/README.md`."""
    from rlclaims.report.sentences import sentences

    claims = _collected(paths, profile)
    record = _last_record(claims)
    with _of_record(claims[0].record):
        told = sentences([(c.name, c.declared) for c in claims], record)
    typer.echo(told, nl=False)


@app.command()
def explain(
    id: Annotated[str, typer.Argument(help="of the claim, with its parameters if it has any")],  # noqa: A002
    paths: Paths = None,
    profile: ProfileName = None,
) -> None:
    """Tell what a claim or theorem says and means, how it was judged, on which runs, and how to train a seed again."""
    claims = _collected(paths, profile)
    found = [claim for claim in claims if id in (claim.name, claim.declared.id)]
    if not found:
        names = [claim.name for claim in claims]
        known = ", ".join(get_close_matches(id, names, n=5, cutoff=0.4) or names[:5]) or "none"
        raise refused(f"There is no claim {id!r}; of {len(names)} that there are: {known}.")
    with _of_record(found[0].record):
        told = "\n\n".join(map(_explained, found))
    typer.echo(told)


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(help="a claims.json")],
    after: Annotated[Path, typer.Argument(help="a later one")],
) -> None:
    """Tell what changed from one record to another; exit with 1 if a verdict got worse than was expected of it."""
    from rlclaims.report.diff import diff, diff_table
    from rlclaims.report.record import RecordError

    try:
        found = diff(before, after)
    except RecordError as error:
        raise refused(str(error)) from None
    diff_table(found, sys.stdout, get_terminal_size((100, 24)).columns)
    if found.worse:
        raise typer.Exit(1)


@app.command()
def mechanism(
    paths: Paths = None,
    profile: ProfileName = None,
    store: StoreFolder = None,
    first_seed: Annotated[int, typer.Option(help="as for pytest's --claims-first-seed")] = 0,
) -> None:
    """Tell what each mechanism does to an update, from the twin updates that the claims take and the store has."""
    from rlclaims.checkpoints import checkpoint_iterations
    from rlclaims.pytest_plugin.trial_run import asked_studies
    from rlclaims.report.mechanism import mechanism_table
    from rlclaims.studies.registry import TWINS
    from rlclaims.studies.runs import Runs
    from rlclaims.training import HELD_OUT_EVERY

    options = [f"--claims-first-seed={first_seed}", *([] if store is None else [f"--claims-store={store}"])]
    asked = {
        runs: claim.session
        for claim in _collected(paths, profile, *options)
        for runs in asked_studies(claim.session, claim.item, TWINS)
    }
    if not asked:
        raise refused("No claim here takes twin updates; a claim asks for them by ppo.twins of runs of PPO.")
    for runs, session in asked.items():
        specs = runs.run_specs(session.profile.seeds)
        made = next((n for n, run in enumerate(specs) if not session.store.has_study(run, TWINS)), len(specs))
        if made < 2:
            raise refused(
                f"The store {session.store.root} has twin updates of {made} seeds of {specs[0].title}, and a table "
                "needs 2 or more: run the claims that take them first."
            )
        results = session.results(runs, made)
        assert isinstance(results, Runs)
        iterations = checkpoint_iterations(runs.iterations, HELD_OUT_EVERY)
        mechanism_table(results.twins, iterations, sys.stdout, get_terminal_size((100, 24)).columns)


def _explained(claim: "Collected") -> str:
    from rlclaims.report.explain import judged, row, tried
    from rlclaims.report.record import is_theorem, session_options

    declared, result = claim.declared, _last(claim)
    lines = [
        claim.name,
        row("says", f'"{declared.says}"'),
        row("stands in", str(declared.source)),
        row("means", declared.means),
        row("expected", declared.expected + (f": {declared.evidence}" if declared.evidence else "")),
        *_terms(claim),
        row("stands at", f"{claim.file}:{claim.line}"),
    ]
    if result is None:
        return "\n".join([*lines, row("verdict", f"not in {claim.record}; pytest {claim.test!r} judges it")])
    written = _record(claim.record)
    assert written is not None
    told = tried(result) if is_theorem(result) else judged(result, claim.test, session_options(written))
    return "\n".join(lines + told)


def _terms(claim: "Collected") -> list[str]:
    """What a claim is judged on, and a theorem is not."""
    from rlclaims.claims.declaration import Claim
    from rlclaims.report.explain import row

    declared, family = claim.declared, claim.family
    if family is None or not isinstance(declared, Claim):
        return []
    return [
        row("margin", "none" if declared.margin is None else f"{declared.margin:g}"),
        row("family", f"{family.name}, {family.size} share{'s' * (family.size != 1)} at a rate of {family.rate:g}"),
    ]


def _collected(paths: list[str] | None, profile: str | None, *options: str) -> "list[Collected]":
    from rlclaims.pytest_plugin.collect import CollectError, collect

    try:
        chosen = [] if profile is None else [f"--claims-profile={profile}"]
        return collect(paths or (["claims"] if Path("claims").is_dir() else ["."]), *chosen, *options)
    except CollectError as error:
        raise refused(str(error)) from None


def _last(claim: "Collected") -> dict[str, Any] | None:
    """What the last record says of a claim, or None."""
    record = _record(claim.record) or {"claims": [], "theorems": []}
    return next((result for result in (*record["claims"], *record["theorems"]) if result["name"] == claim.name), None)


def _last_record(claims: "list[Collected]") -> dict[str, Any]:
    """What the last session with these claims wrote."""
    if not claims:
        raise refused("There are no claims here; rlclaims new ID writes one.")
    record = _record(claims[0].record)
    if record is None:
        raise refused(f"There is no {claims[0].record} yet; pytest writes it.")
    return record


def _record(path: Path) -> dict[str, Any] | None:
    return _read(path, path.stat().st_mtime_ns) if path.exists() else None


@cache
def _read(path: Path, written: int) -> dict[str, Any]:  # noqa: ARG001
    """The record in a file, read once for all of its claims; one that was written at another time is another."""
    from rlclaims.report.record import read

    with _of_record(path):
        return read(path)


@contextmanager
def _of_record(path: Path) -> Iterator[None]:
    """Refuse a record that is none."""
    from rlclaims.report.record import RecordError, reading

    try:
        with reading(path):
            yield
    except RecordError as error:
        raise refused(str(error)) from None


@baseline_app.command("save")
def baseline_save(
    name: Annotated[str, typer.Argument(help="of the version, such as my-ppo-1.0")],
    paths: Paths = None,
    runs: Annotated[
        list[str] | None, typer.Option("--runs", help="a fixture whose numbers are kept; of all others none")
    ] = None,
    profile: ProfileName = None,
    report: ReportFolder = None,
) -> None:
    """Keep, in reports/baselines/NAME.json, the numbers of each seed that the claims of the last record judged."""
    from rlclaims.claims.scope import label_of
    from rlclaims.store.baseline import BaselineError, save_baseline

    claims = _collected(paths, profile, *([] if report is None else [f"--claims-report={report}"]))
    record = _last_record(claims)
    names = {claim.name for claim in claims}
    with _of_record(claims[0].record):
        try:
            path, kept = save_baseline(record, claims[0].session.asked.baselines, name, names, runs or ())
        except BaselineError as error:
            raise refused(str(error)) from None
    for one in kept:
        typer.echo(f"{one.fixture}, {label_of(one.setting)}, {len(one.values)} seeds: {one.label}")
    typer.echo(f"{path} keeps {len(kept)} {'quantities' if len(kept) > 1 else 'quantity'}, for git.")


@app.command("report")
def report_page(
    record: Annotated[Path | None, typer.Argument(help="a claims.json (default: that of the last session)")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="where to (default: beside the record)")] = None,
    against: Annotated[Path | None, typer.Option("--against", help="an earlier claims.json, for what changed")] = None,
    store: StoreFolder = None,
    surfaces: Annotated[
        bool, typer.Option("--surfaces", help="play what landscapes around a policy take that can be turned (a minute)")
    ] = False,
    surface_runs: Annotated[
        int, typer.Option("--surface-runs", min=1, help="with --surfaces: of how many runs of each algorithm")
    ] = 1,
) -> None:
    """Write the page of a session, its figures as SVG, PDF and CSV, and summary.md for a pull request."""
    import pytest

    from rlclaims.pytest_plugin.options import project_of, report_folder, store_folder
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
            raise refused(f"There is no {path}; pytest writes one.")
        folder, changed = out or path.parent, None if against is None else diff(against, path)
        folder.mkdir(parents=True, exist_ok=True)
        if surfaces:
            if plotly() is None:
                raise refused("Surfaces are turned by plotly: pip install 'rlclaims[surfaces]'.")
            _play_planes(read, store, surface_runs)
        stored = store_folder(store, project_of(Path.cwd()))
        with reading(path):
            figures = illustrations(read, stored)
            if not figures and any(claim["runs"] for claim in read["claims"]):
                typer.echo(f"No figures: the store {stored} lacks the runs; --store DIR names another.", err=True)
            typer.echo(f"{write_page(read, folder, figures, surfaces_of(read, stored))}")
            for name, drawn in figures.items():
                typer.echo(f"{', '.join(map(str, drawn.save(folder / 'figures', name)))}")
            typer.echo(f"{write_summary(read, folder, changed)}")
    except (pytest.UsageError, RecordError, StoreError) as error:
        raise refused(str(error)) from None
    except OSError as error:
        raise refused(f"The report cannot be written ({error}); choose another folder with --out.") from None


def _play_planes(record: dict[str, Any], store: Path | None, n: int) -> None:
    """Make the planes of the first n runs of each algorithm whose landscapes the claims here take."""
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
        there = [run for run in runs.run_specs(n) if session.store.has(run)]
        session.make_studies([(run, Study("planes")) for run in there], display.twins, display.simulated, display.wait)
