"""The pytest plugin: hooks only; what they call imports torch, mujoco and scipy when a claim runs."""

import dataclasses
import json
import tempfile
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from rlclaims.pytest_plugin.looks import Look
    from rlclaims.pytest_plugin.session import ClaimSession
    from rlclaims.study.executor import Progress
    from rlclaims.study.plan import Plan

JUDGED = pytest.StashKey[Any]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options are plain types, for xdist."""
    group = parser.getgroup("rlclaims", "claims about reinforcement-learning algorithms")
    group.addoption("--claims-profile", default="standard", metavar="NAME", help="budget of the suite: standard")
    group.addoption(
        "--claims-seeds",
        type=int,
        metavar="N",
        help="runs per algorithm, looked at once (default: the profile's looks)",
    )
    group.addoption(
        "--claims-first-seed",
        type=int,
        default=0,
        metavar="N",
        help="first seed; another replicates on fresh seeds",
    )
    group.addoption("--claims-store", metavar="DIR", help="finished runs (default: RLCLAIMS_STORE, or .rlclaims)")
    group.addoption("--claims-report", metavar="DIR", help="where claims.json goes (default: reports/latest)")
    group.addoption("--claims-strict", action="store_true", help="an inconclusive claim fails the session")
    group.addoption(
        "--claims-write-pilots",
        action="store_true",
        help="write what development seeds say of the spread into pilots.json beside the claims",
    )
    group.addoption("--claims-processes", type=int, metavar="N", help="training processes (default: one per core)")


def _session(config: pytest.Config) -> "ClaimSession":
    from rlclaims.pytest_plugin.session import PROFILES, SESSION, ClaimSession

    if SESSION not in config.stash:
        option = config.option
        if option.claims_profile not in PROFILES:
            raise pytest.UsageError(
                f"There is no profile {option.claims_profile!r}; there is {', '.join(sorted(PROFILES))}."
            )
        profile = PROFILES[option.claims_profile]
        if option.claims_seeds is not None:
            profile = dataclasses.replace(profile, looks=(option.claims_seeds,))
        store = None if option.claims_store is None else Path(option.claims_store)
        config.stash[SESSION] = ClaimSession(
            profile,
            option.claims_first_seed,
            store,
            option.claims_processes,
            writes_pilots=option.claims_write_pilots,
        )
    return config.stash[SESSION]


def _has_claims(items: list[pytest.Item]) -> bool:
    return any(hasattr(getattr(item, "function", None), "__rlclaims_claim__") for item in items)


def _takes_runs(item: pytest.Item) -> bool:
    definitions = getattr(item, "_fixtureinfo", None)
    found = definitions.name2fixturedefs.values() if definitions is not None else ()
    return any(hasattr(same_name[-1].func, "__rlclaims_runs__") for same_name in found)


@pytest.hookimpl(tryfirst=True)  # before claims are deselected
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse what is not written as a claim, before anything runs, and see how large each family is."""
    if _has_claims(items):
        from rlclaims.pytest_plugin.families import families
        from rlclaims.pytest_plugin.session import check_claims

        check_claims(items)
        _session(config).families = families(items)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Train what the selected claims need, look by look, before the first of them runs."""
    config = session.config
    broken = session.testsfailed and not config.option.continue_on_collection_errors
    if any(map(_takes_runs, session.items)) and not config.option.collectonly and not broken:
        from rlclaims.pytest_plugin.looks import train_looks
        from rlclaims.study.executor import TrainingError

        try:
            _session(config).check(session.items)
            _report_folder(config)
            train_looks(_session(config), session.items, _progress(config), partial(_announce, config))
        except TrainingError as error:
            pytest.exit(str(error), returncode=pytest.ExitCode.INTERNAL_ERROR)
        except KeyboardInterrupt:
            if (reporter := _reporter(config)) is not None:
                reporter.write_line(
                    "rlclaims: stopped. Finished cohorts are in the store; the same command goes on from there."
                )
            raise
    return (yield)


def _announce(config: pytest.Config, look: "Look") -> None:
    if look.number > 1 and (reporter := _reporter(config)) is not None:
        reporter.write_line(
            f"rlclaims: look {look.number} of {look.of}, {look.seeds} seeds: {look.undecided} of {look.claims} claims "
            "are undecided."
        )


def _reporter(config: pytest.Config) -> Any:
    return config.pluginmanager.getplugin("terminalreporter")


def _progress(
    config: pytest.Config,
) -> "Callable[[Plan], AbstractContextManager[Callable[[Progress], None]]]":
    from rlclaims.pytest_plugin.terminal import progress

    reporter = _reporter(config)
    if reporter is None:  # an xdist worker
        from contextlib import nullcontext

        return lambda _: nullcontext(lambda _: None)
    return lambda training: progress(training, reporter._tw._file)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Run a claim under a recorder and settle it by its record.

    Raises:
        ContradictedError: the verdict is not the expected one.
        UndecidedError: the claim is inconclusive.
        ClaimError: it is not written as a claim.
    """
    declared = getattr(pyfuncitem.function, "__rlclaims_claim__", None)
    if declared is None:
        return (yield)
    from rlclaims.judging.evidence import recording
    from rlclaims.pytest_plugin.outcomes import ContradictedError, UndecidedError, settle
    from rlclaims.pytest_plugin.session import claim_name
    from rlclaims.stats.verdict import Verdict

    result: object = None
    raised: BaseException | None = None
    with recording(_session(pyfuncitem.config).terms(pyfuncitem)) as recorder:
        try:
            result = yield
        except (Exception, pytest.skip.Exception, pytest.xfail.Exception) as error:
            raised = error
    judged = settle(declared, claim_name(pyfuncitem), recorder, raised)
    pyfuncitem.stash[JUDGED] = judged
    if judged.evidence.verdict is Verdict.INCONCLUSIVE:
        raise UndecidedError(judged.message())
    if not judged.as_expected:
        raise ContradictedError(judged.message())
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A refuted claim fails with its numbers; an inconclusive one is neither passed nor failed."""
    report = yield
    declared = getattr(getattr(item, "function", None), "__rlclaims_claim__", None)
    if declared is None or (call.when != "call" and not report.failed):
        return report
    from rlclaims.judging.evidence import ClaimError
    from rlclaims.pytest_plugin.outcomes import ContradictedError, UndecidedError, describe
    from rlclaims.pytest_plugin.session import claim_name

    judged = item.stash.get(JUDGED, None) if call.when == "call" else None
    if judged is None and report.skipped:  # by the user: pytest.skip, xfail
        return report
    if judged is not None:
        outcome = judged.to_json()
    else:
        outcome = {**describe(declared, claim_name(item)), "verdict": "error", "evidence": None}
    error = None if call.excinfo is None else call.excinfo.value
    if isinstance(error, UndecidedError):
        path, line = item.reportinfo()[:2]
        # pytest's own word for what neither passed nor failed; its other plugins know no fourth.
        report.outcome = "skipped"
        report.longrepr = (str(path), line or 0, str(error))
    elif isinstance(error, ContradictedError | ClaimError):
        report.longrepr = str(error)
    # Plain data, which survives the way from an xdist worker.
    report.rlclaims = {**outcome, "family": _session(item.config).families[declared.id].name}  # type: ignore[attr-defined]
    report.rlclaims_folder = str(item.path.parent)  # type: ignore[attr-defined]
    # JUnit's writer takes properties from the item, at its teardown.
    item.user_properties += [("claim", outcome["name"]), ("verdict", outcome["verdict"])]
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(
    report: pytest.TestReport,
) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """Inconclusive has a letter, a colour and a count of its own."""
    if getattr(report, "rlclaims", {}).get("verdict") == "inconclusive":
        return "inconclusive", "?", ("INCONCLUSIVE", {"yellow": True})
    return None


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """With --claims-strict, a session that left a claim open has failed."""
    reporter = _reporter(session.config)  # none in an xdist worker, whose controller decides
    if session.config.option.claims_strict and reporter is not None and reporter.stats.get("inconclusive"):
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The table, and claims.json."""
    reports = [r for reports in terminalreporter.stats.values() for r in reports if hasattr(r, "rlclaims")]
    if not reports:
        return
    from rlclaims.pytest_plugin.pilots import write_pilots
    from rlclaims.pytest_plugin.terminal import table

    reports.sort(key=lambda report: report.start)
    results = [cast("dict[str, Any]", report.rlclaims) for report in reports]
    session = _session(config)
    terminalreporter.section("claims")
    families = [session.families[result["id"]] for result in results]
    table(results, families, terminalreporter._tw._file, terminalreporter._tw.fullwidth)
    path = _write_report(config, results)
    terminalreporter.write_line(f"Intervals are over seeds, each side at its own error rate; everything is in {path}")
    if config.option.claims_write_pilots:
        for pilots in write_pilots(reports):
            terminalreporter.write_line(f"What these seeds say of the spread is in {pilots}")


def _write_report(config: pytest.Config, results: list[dict[str, Any]]) -> Path:
    session = _session(config)
    document = {
        "format": 2,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "profile": dataclasses.asdict(session.profile),
        "first_seed": session.first_seed,
        "families": [
            dataclasses.asdict(family) for family in {session.families[result["id"]]: None for result in results}
        ],
        "rlclaims": version("rlclaims"),
        "claims": results,
    }
    path = _report_folder(config) / "claims.json"
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    return path


def _report_folder(config: pytest.Config) -> Path:
    """`--claims-report`, or `reports/latest` in a project that has a `reports` folder, or else in the store.

    Raises:
        pytest.UsageError: it cannot be written.
    """
    if config.option.claims_report:
        folder = Path(config.option.claims_report)
    else:
        reports = config.rootpath / "reports"
        folder = (reports if reports.is_dir() else _session(config).store.root / "reports") / "latest"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise pytest.UsageError(
            f"The report folder {folder} cannot be written ({error.strerror or error}); choose another with "
            "--claims-report DIR."
        ) from None
