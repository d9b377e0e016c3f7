"""The pytest plugin: hooks only. The modules they call import torch, mujoco and scipy, once there are claims."""

import os
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import pytest

from rlclaims.pytest_plugin.options import TASK, add_options, settings
from rlclaims.pytest_plugin.xdist import STOPPED, is_worker, on_worker_exit, stopped, stopping

JUDGED = pytest.StashKey[Any]()
"""Stashed on an item: the judgement of its claim or theorem."""
PLACE = pytest.StashKey[int]()
"""Stashed on an item: its place in the order of collection."""
DECLARATIONS = ("__rlclaims_claim__", "__rlclaims_theorem__")
"""Attributes of a function that declares a claim or a theorem."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, all of which begin with --claims."""
    add_options(parser)


@pytest.fixture
def _claims_task(request: pytest.FixtureRequest) -> str:
    """Return the task of runs that name none: the profile's, or each of them in turn if it has several."""
    task: str = getattr(request, "param", None) or settings(request.config).profile.tasks[0]
    return task


@pytest.hookimpl(trylast=True)  # after the parameters that the file itself names
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize a claim about runs that name no task by the tasks of the profile."""
    if TASK in metafunc.fixturenames:
        with suppress(pytest.UsageError):  # reported once, when collection is over
            tasks = settings(metafunc.config).profile.tasks
            if len(tasks) > 1:
                metafunc.parametrize(TASK, tasks, indirect=True)


def _is_claim(item: pytest.Item) -> bool:
    return hasattr(getattr(item, "function", None), "__rlclaims_claim__")


def _is_declared(item: pytest.Item) -> bool:
    function = getattr(item, "function", None)
    # A declaration below hypothesis' `given` is on the inner function, which is refused later.
    inner = getattr(getattr(function, "hypothesis", None), "inner_test", None)
    return any(hasattr(part, declaration) for part in (function, inner) for declaration in DECLARATIONS)


def _takes_runs(item: pytest.Item) -> bool:
    definitions = getattr(item, "_fixtureinfo", None)
    fixtures = definitions.name2fixturedefs.values() if definitions is not None else ()
    return any(hasattr(same_name[-1].func, "__rlclaims_runs__") for same_name in fixtures)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Report a wrong call of rlclaims in a file as one sentence."""
    report = yield
    error = getattr(getattr(report, "call", None), "excinfo", None)
    if report.failed and error is not None:
        from rlclaims.pytest_plugin.import_errors import sentence

        if (message := sentence(error.value)) is not None:
            report.longrepr = message
            # Plain data, so that xdist can send it from a worker.
            report.rlclaims_mistake = True  # type: ignore[attr-defined]
    return report


@pytest.hookimpl(tryfirst=True)  # before claims are deselected
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse claims that are not valid, before anything runs, and count the shares of each family."""
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
    """Train what the selected claims need, look by look, before the first of them runs; or print what it would cost."""
    config = session.config
    broken = session.testsfailed and not config.option.continue_on_collection_errors
    if stopped(session):  # collection found a mistake
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
    # Neither option runs any test, nor one that is not a claim.
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

    pyfuncitem.stash[JUDGED] = None  # discard the judgement of an earlier attempt
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
    message = judged.message()
    red = not judged.as_expected and judged.evidence.verdict is not Verdict.INCONCLUSIVE
    if settings(pyfuncitem.config).nights is not None:
        from rlclaims.pytest_plugin.nightly import NIGHT, describe_night, judge_night

        pyfuncitem.stash[NIGHT] = night = judge_night(claim_session(pyfuncitem.config), pyfuncitem, judged)
        # A refutation by this session alone leaves the claim open until all sessions together raise the alarm.
        red = night is not None and night["alarm"]
        message += describe_night(night)
    if red:
        raise ContradictedError(message)
    if not judged.as_expected:
        raise UndecidedError(message)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a refuted claim fail with its numbers, and an inconclusive one neither pass nor fail."""
    report = yield
    if not _is_declared(item) or (call.when != "call" and not report.failed):
        return report
    judged = item.stash.get(JUDGED, None) if call.when == "call" else None
    if judged is None and report.skipped:  # pytest.skip or xfail in the test
        return report
    from rlclaims.claims.evidence import ClaimError
    from rlclaims.pytest_plugin.results import properties, result_of
    from rlclaims.pytest_plugin.theorems import explain, theorem_result
    from rlclaims.pytest_plugin.verdict_outcome import ContradictedError, UndecidedError

    result = result_of(item, judged) if _is_claim(item) else theorem_result(item, judged)
    error = None if call.excinfo is None else call.excinfo.value
    if isinstance(error, UndecidedError):
        path, line = item.reportinfo()[:2]
        # The only outcome that neither passes nor fails and that other plugins know.
        report.outcome = "skipped"
        report.longrepr = (str(path), line or 0, str(error))
        report.rlclaims_open = True  # type: ignore[attr-defined]
    elif isinstance(error, ContradictedError | ClaimError):
        report.longrepr = str(error)
    elif report.failed and not _is_claim(item):
        explain(report, judged)
    # Plain data, so that xdist can send it from a worker.
    report.rlclaims = result  # type: ignore[attr-defined]
    report.rlclaims_place = item.stash.get(PLACE, 0)  # type: ignore[attr-defined]
    report.rlclaims_folder = str(item.path.parent)  # type: ignore[attr-defined]
    # JUnit's writer takes properties from the item, at its teardown.
    added = properties(result)
    item.user_properties[:] = [(k, v) for k, v in item.user_properties if k not in added] + list(added.items())
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(
    report: pytest.TestReport,
) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """Return a letter, a colour and a count of its own for inconclusive."""
    if getattr(report, "rlclaims_open", False):
        return "inconclusive", "?", ("INCONCLUSIVE", {"yellow": True})
    return None


class Reports:
    """The reports of a session's claims and theorems, from any process: a plugin, registered once a session."""

    def __init__(self) -> None:
        self.of_claims: list[Any] = []
        self.mistakes: list[bool] = []
        """An entry for each file that cannot be collected: whether a wrong call of rlclaims is the reason."""

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record why a file could not be collected."""
        if report.failed:
            self.mistakes.append(hasattr(report, "rlclaims_mistake"))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record the result of a claim or a theorem."""
        if hasattr(report, "rlclaims"):
            # An error at a claim's teardown replaces its verdict.
            self.of_claims = [other for other in self.of_claims if other.nodeid != report.nodeid] + [report]
            self.of_claims.sort(key=lambda one: one.rlclaims_place)

    @property
    def results(self) -> list[dict[str, Any]]:
        """The results, in the order of collection."""
        return [report.rlclaims for report in self.of_claims]


REPORTS = pytest.StashKey[Reports]()
RECORD = pytest.StashKey[list[str]]()
"""Lines that say what was written where, or why it was not."""
NIGHTS = pytest.StashKey[Any]()
"""The ledger of --claims-nightly, with this session."""


def pytest_configure(config: pytest.Config) -> None:
    """Register the collector of reports."""
    config.stash[REPORTS] = Reports()
    config.pluginmanager.register(config.stash[REPORTS], "rlclaims-reports")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:  # noqa: ARG001
    """Record why an xdist worker stopped."""
    on_worker_exit(node)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write claims.json and the page. With --claims-strict, fail a session that left a claim open."""
    config = session.config
    if is_worker(config):  # the controller writes
        return
    if (results := config.stash[REPORTS].results) and not config.option.collectonly:
        from rlclaims.pytest_plugin.pilots import write_pilots
        from rlclaims.report.page import write_page
        from rlclaims.report.record import of_last_session, read, write
        from rlclaims.report.session_figures import illustrations
        from rlclaims.report.summary import write_summary

        asked = settings(config)
        try:
            asked.report.mkdir(parents=True, exist_ok=True)
            path = write(results, asked.profile, asked.first_seed, asked.report)
            record = read(path)
            # Figures take seconds: those of all sessions are drawn by `rlclaims report`.
            now = of_last_session(record)
            figures = {} if config.option.claims_no_figures else illustrations(now, asked.store)
            page = write_page(record, asked.report, figures)
            write_summary(now, asked.report)
            config.stash[RECORD] = [f"Record: {path}", f"Page: {page}"]
        except OSError as error:
            config.stash[RECORD] = [f"claims.json could not be written ({error})"]
        if asked.nights is not None and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            from rlclaims.pytest_plugin.nightly import write_nights

            config.stash[NIGHTS], where, is_written = write_nights(asked.nights, results, asked.profile.seeds)
            config.stash[RECORD].append(where)
            if not is_written:  # or CI would stay green every night without accumulating evidence
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
    """Print the verdicts, then the reasons of those that are not as expected, then where the page is."""
    if STOPPED in config.stash:
        terminalreporter.write_line(f"ERROR: {config.stash[STOPPED][0]}", red=True)
    if not (results := config.stash[REPORTS].results):
        return
    from rlclaims.report.record import is_theorem
    from rlclaims.report.table import verdict_table

    undecided = sum(result["verdict"] == "inconclusive" for result in results)
    if config.option.claims_strict and undecided:
        n = len(results) - sum(map(is_theorem, results))
        terminalreporter.write_line(f"ERROR: --claims-strict: {undecided} of {n} claims are inconclusive", red=True)
    terminalreporter.section("claims")
    asked = settings(config)
    file, width = terminalreporter._tw._file, terminalreporter._tw.fullwidth
    verdict_table(results, asked.profile, file, width, verbose=config.option.verbose > 0)
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
