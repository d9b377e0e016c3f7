"""The pytest plugin: hooks only; what they call imports torch, mujoco and scipy when there are claims."""

import os
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import pytest

from rlclaims.pytest_plugin.options import TASK, add_options, settings
from rlclaims.pytest_plugin.xdist import STOPPED, is_worker, on_worker_exit, stopped, stopping

JUDGED = pytest.StashKey[Any]()
"""On an item: what its claim or theorem came to."""
PLACE = pytest.StashKey[int]()
"""On an item: its place in the order of collection."""
DECLARATIONS = ("__rlclaims_claim__", "__rlclaims_theorem__")
"""On a function: what it declares."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """All options begin with --claims."""
    add_options(parser)


@pytest.fixture
def _claims_task(request: pytest.FixtureRequest) -> str:
    """The task of runs that name none: the profile's, or each of them in turn where it has several."""
    named: str = getattr(request, "param", None) or settings(request.config).profile.tasks[0]
    return named


@pytest.hookimpl(trylast=True)  # what the file says comes first in the names of its tests
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A claim about runs that name no task is a claim on each task of the profile."""
    if TASK in metafunc.fixturenames:
        with suppress(pytest.UsageError):  # said once, when collection is over
            tasks = settings(metafunc.config).profile.tasks
            if len(tasks) > 1:
                metafunc.parametrize(TASK, tasks, indirect=True)


def _is_claim(item: pytest.Item) -> bool:
    return hasattr(getattr(item, "function", None), "__rlclaims_claim__")


def _is_declared(item: pytest.Item) -> bool:
    function = getattr(item, "function", None)
    # A declaration below hypothesis's given lies within, which is refused.
    within = getattr(getattr(function, "hypothesis", None), "inner_test", None)
    return any(hasattr(part, declaration) for part in (function, within) for declaration in DECLARATIONS)


def _takes_runs(item: pytest.Item) -> bool:
    definitions = getattr(item, "_fixtureinfo", None)
    found = definitions.name2fixturedefs.values() if definitions is not None else ()
    return any(hasattr(same_name[-1].func, "__rlclaims_runs__") for same_name in found)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Tell a wrong call of rlclaims in a file in one sentence."""
    report = yield
    error = getattr(getattr(report, "call", None), "excinfo", None)
    if report.failed and error is not None:
        from rlclaims.pytest_plugin.import_errors import sentence

        if (told := sentence(error.value)) is not None:
            report.longrepr = told
            # Plain data, which survives the way from an xdist worker.
            report.rlclaims_mistake = True  # type: ignore[attr-defined]
    return report


@pytest.hookimpl(tryfirst=True)  # before claims are deselected
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse what is not written as it has to be, before anything runs, and see how large each family is."""
    if not any(map(_is_declared, items)):
        return
    from rlclaims.pytest_plugin.families import families
    from rlclaims.pytest_plugin.rules import check_claims, skip_those_of_other_profiles
    from rlclaims.pytest_plugin.session import claim_session

    for place, item in enumerate(items):
        item.stash[PLACE] = place
    with stopping(config):
        session = claim_session(config)
        check_claims(session, items)
        skip_those_of_other_profiles(session, config, items)
        session.families = families(items, session.profile)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Train what the selected claims need, look by look, before the first of them runs; or say what that would take."""
    config = session.config
    broken = session.testsfailed and not config.option.continue_on_collection_errors
    if stopped(session):  # by what collecting found
        return True
    if config.option.collectonly or config.getoption("setupplan", False) or broken:
        return None
    runs_no_tests = config.option.claims_dry_run or config.option.claims_replay is not None
    if runs_no_tests and config.pluginmanager.hasplugin("dsession"):
        raise pytest.UsageError("--claims-dry-run and --claims-replay run no tests to share out: leave out -n.")
    if any(_takes_runs(item) or _is_claim(item) for item in session.items):
        from rlclaims.pytest_plugin.prepare import prepare

        with stopping(config):
            prepare(config, session.items)
        if stopped(session):
            return True
    elif runs_no_tests and (reporter := config.pluginmanager.getplugin("terminalreporter")) is not None:
        reporter.write_line("rlclaims: no selected test takes runs.")
    # These run no test, not even what is no claim.
    return True if runs_no_tests else None


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Run a claim under a recorder and settle it by its record, or a theorem and settle it by how it ends.

    Raises:
        ContradictedError: the verdict is not the expected one.
        UndecidedError: the claim is inconclusive.
        ClaimError: it is not written as a claim.
    """
    if hasattr(pyfuncitem.function, "__rlclaims_theorem__"):
        from rlclaims.pytest_plugin.theorems import judge

        return (yield from judge(pyfuncitem))
    declared = getattr(pyfuncitem.function, "__rlclaims_claim__", None)
    if declared is None:
        return (yield)
    from rlclaims.claims.evidence import ClaimError, recording
    from rlclaims.pytest_plugin.session import claim_name, claim_session
    from rlclaims.pytest_plugin.trial_run import DEFINITION, depends
    from rlclaims.pytest_plugin.verdict_outcome import ContradictedError, UndecidedError, settle
    from rlclaims.stats.verdict import Verdict

    pyfuncitem.stash[JUDGED] = None  # what an earlier try came to
    result: object = None
    raised: BaseException | None = None
    with recording(claim_session(pyfuncitem.config).terms(pyfuncitem)) as recorder:
        try:
            result = yield
        except (Exception, pytest.skip.Exception, pytest.xfail.Exception) as error:
            raised = error
    name = claim_name(pyfuncitem)
    judged = settle(declared, name, recorder, raised)
    if judged.evidence.definition != pyfuncitem.stash.get(DEFINITION, judged.evidence.definition):
        raise ClaimError(depends(name))
    pyfuncitem.stash[JUDGED] = judged
    message, red = judged.message(), not judged.as_expected and judged.evidence.verdict is not Verdict.INCONCLUSIVE
    if settings(pyfuncitem.config).nights is not None:
        from rlclaims.pytest_plugin.nightly import NIGHT, describe_night, judge_night

        pyfuncitem.stash[NIGHT] = night = judge_night(claim_session(pyfuncitem.config), pyfuncitem, judged)
        # What this session refutes by itself is open until all of them do.
        red, message = night is not None and night["alarm"], message + describe_night(night)
    if red:
        raise ContradictedError(message)
    if not judged.as_expected:
        raise UndecidedError(message)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A refuted claim fails with its numbers; an inconclusive one is neither passed nor failed."""
    report = yield
    if not _is_declared(item) or (call.when != "call" and not report.failed):
        return report
    judged = item.stash.get(JUDGED, None) if call.when == "call" else None
    if judged is None and report.skipped:  # by the user: pytest.skip, xfail
        return report
    from rlclaims.claims.evidence import ClaimError
    from rlclaims.pytest_plugin.results import properties, result_of
    from rlclaims.pytest_plugin.theorems import explain, theorem_result
    from rlclaims.pytest_plugin.verdict_outcome import ContradictedError, UndecidedError

    result = result_of(item, judged) if _is_claim(item) else theorem_result(item, judged)
    error = None if call.excinfo is None else call.excinfo.value
    if isinstance(error, UndecidedError):
        path, line = item.reportinfo()[:2]
        # pytest's own word for what neither passed nor failed; its other plugins know no fourth.
        report.outcome = "skipped"
        report.longrepr = (str(path), line or 0, str(error))
        report.rlclaims_open = True  # type: ignore[attr-defined]
    elif isinstance(error, ContradictedError | ClaimError):
        report.longrepr = str(error)
    elif report.failed and not _is_claim(item):
        explain(report, judged)
    # Plain data, which survives the way from an xdist worker.
    report.rlclaims = result  # type: ignore[attr-defined]
    report.rlclaims_place = item.stash.get(PLACE, 0)  # type: ignore[attr-defined]
    report.rlclaims_folder = str(item.path.parent)  # type: ignore[attr-defined]
    # JUnit's writer takes properties from the item, at its teardown.
    told = properties(result)
    item.user_properties[:] = [(k, v) for k, v in item.user_properties if k not in told] + list(told.items())
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(
    report: pytest.TestReport,
) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """Inconclusive has a letter, a colour and a count of its own."""
    if getattr(report, "rlclaims_open", False):
        return "inconclusive", "?", ("INCONCLUSIVE", {"yellow": True})
    return None


class Reports:
    """The reports of a session's claims and theorems, from whichever process; a plugin of its own for each session."""

    def __init__(self) -> None:
        self.of_claims: list[Any] = []
        self.mistakes: list[bool] = []
        """For each file that cannot be collected, whether that is by a wrong call of rlclaims."""

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep what stopped a file from being collected."""
        if report.failed:
            self.mistakes.append(hasattr(report, "rlclaims_mistake"))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a claim or a theorem came to."""
        if hasattr(report, "rlclaims"):
            # An error at a claim's teardown comes after its verdict, and instead of it.
            self.of_claims = [kept for kept in self.of_claims if kept.nodeid != report.nodeid] + [report]
            self.of_claims.sort(key=lambda kept: kept.rlclaims_place)

    @property
    def results(self) -> list[dict[str, Any]]:
        """What they came to, in the order of their files."""
        return [report.rlclaims for report in self.of_claims]


REPORTS = pytest.StashKey[Reports]()
RECORD = pytest.StashKey[list[str]]()
"""What was written down where, or why it was not, for people."""
NIGHTS = pytest.StashKey[Any]()
"""What the sessions of --claims-nightly came to, this one included."""


def pytest_configure(config: pytest.Config) -> None:
    """Listen to reports."""
    config.stash[REPORTS] = Reports()
    config.pluginmanager.register(config.stash[REPORTS], "rlclaims-reports")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:  # noqa: ARG001
    """Hear from an xdist worker why it stopped."""
    on_worker_exit(node)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write claims.json. With --claims-strict, a session that left a claim open has failed."""
    config = session.config
    if is_worker(config):  # whose controller decides
        return
    if (results := config.stash[REPORTS].results) and not config.option.collectonly:
        from rlclaims.pytest_plugin.pilots import write_pilots
        from rlclaims.report.page import write_page
        from rlclaims.report.record import is_theorem, read, write
        from rlclaims.report.session_figures import illustrations
        from rlclaims.report.summary import write_summary

        asked = settings(config)
        try:
            asked.report.mkdir(parents=True, exist_ok=True)
            path = write(results, asked.profile, asked.first_seed, asked.report)
            record = read(path)
            figures = {} if config.option.claims_no_figures else illustrations(record, asked.store)
            shown = write_page(record, asked.report, figures)
            write_summary(record, asked.report)
            intervals = "Intervals are over seeds, each side at its own error rate; everything is in"
            config.stash[RECORD] = [
                f"{'Everything is in' if all(map(is_theorem, results)) else intervals} {path}",
                f"The page is {shown}",
            ]
        except OSError as error:
            config.stash[RECORD] = [f"claims.json could not be written ({error})"]
        if asked.nights is not None and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            from rlclaims.pytest_plugin.nightly import write_nights

            config.stash[NIGHTS], where, kept = write_nights(asked.nights, results, asked.profile.seeds)
            config.stash[RECORD].append(where)
            if not kept:  # else a CI stays green night after night, and gathers nothing
                session.exitstatus = session.exitstatus or pytest.ExitCode.INTERNAL_ERROR
        if config.option.claims_write_pilots:
            config.stash[RECORD] += write_pilots(config.stash[REPORTS].of_claims)
        if config.option.claims_strict and any(result["verdict"] == "inconclusive" for result in results):
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
    mistakes = config.stash[REPORTS].mistakes
    if mistakes and all(mistakes) and session.exitstatus == pytest.ExitCode.INTERRUPTED:
        session.exitstatus = pytest.ExitCode.USAGE_ERROR
    if STOPPED in config.stash:
        session.exitstatus = config.stash[STOPPED][1]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The table of verdicts."""
    if STOPPED in config.stash:
        terminalreporter.write_line(f"ERROR: {config.stash[STOPPED][0]}", red=True)
    if not (results := config.stash[REPORTS].results):
        return
    from rlclaims.report.record import is_theorem
    from rlclaims.report.table import table

    undecided = sum(result["verdict"] == "inconclusive" for result in results)
    if config.option.claims_strict and undecided:
        n = len(results) - sum(map(is_theorem, results))
        terminalreporter.write_line(f"ERROR: --claims-strict: {undecided} of {n} claims are inconclusive", red=True)
    terminalreporter.section("claims")
    asked, file, width = settings(config), terminalreporter._tw._file, terminalreporter._tw.fullwidth
    table(results, asked.profile, file, width)
    if NIGHTS in config.stash:
        from rlclaims.nightly.ledger import print_nights

        terminalreporter.write_line("")
        print_nights(config.stash[NIGHTS], results, asked.profile.seeds, file, width)
    for line in config.stash[RECORD]:
        terminalreporter.write_line(line)
    if os.environ.get("GITHUB_ACTIONS"):
        from rlclaims.report.summary import annotations

        located = [(r.rlclaims, r.location[0], (r.location[1] or 0) + 1) for r in config.stash[REPORTS].of_claims]
        for line in annotations(located):
            terminalreporter.write_line(line)
