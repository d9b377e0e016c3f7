"""Claims behave as users of pytest expect: selection, stopping, fixtures, layouts, reports and types."""

import json
import os
import re
import subprocess
import sys
import zipfile
from html import unescape
from itertools import count
from pathlib import Path
from xml.etree import ElementTree

import pytest
from claim_text import CONFTEST, HEADER, INCONCLUSIVE, REFUTED, SUPPORTED, one_claim, stored, written

ROOT = Path(__file__).parents[2]

ANOTHER_PPO = 'ppo = rlclaims.runs(rlclaims.PPO, "InvertedPendulum-v5", epochs=2, **SMALL)'


def named(name, body, mark=""):
    claim = one_claim(body).replace("section/claim", f"section/{name}").replace("test_claim", f"test_{name}")
    return f"\n{mark}{claim}"


THREE = named("supported", SUPPORTED) + named("refuted", REFUTED) + named("inconclusive", INCONCLUSIVE)
"""Three claims, ordered so that a session that stops at the refuted claim never runs the last."""


@pytest.fixture
def run(pytester, store):
    """Return a function that runs a pytest session on all files that a test has written."""

    def run(*options, store=store, in_process=True):
        start = pytester.runpytest_inprocess if in_process else pytester.runpytest_subprocess
        return start(f"--claims-store={store}", "--claims-seeds=5", *options)

    return run


@pytest.fixture
def write(pytester):
    """Return a function that writes a file into the project of a test."""

    def write(path, text):
        file = pytester.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    return write


def test_marker_selects_claims(session, pytester):
    pytester.makeini("[pytest]\nmarkers = doubted: in a review")
    body = named("marked", SUPPORTED, "import pytest\n\n@pytest.mark.doubted") + named("unmarked", REFUTED)
    session(body, "-m", "doubted", "--strict-markers").assert_outcomes(passed=1, deselected=1)


@pytest.mark.parametrize(
    "mark", ["skip", "skip(reason='later')", "skipif(True, reason='later')", "skipif('1 + 1 == 2', reason='later')"]
)
def test_skipped_claim_trains_nothing(session, tmp_path, mark):
    body = named("skipped", REFUTED, f"import pytest\n\n@pytest.mark.{mark}")
    result = session(body, f"--claims-store={tmp_path}")
    result.assert_outcomes(skipped=1)
    result.stdout.no_fnmatch_line("*rlclaims: training*")
    assert stored(tmp_path, "PPO") == []


def test_skipped_parameter_trains_nothing(session, tmp_path):
    body = """
import pytest

@pytest.mark.parametrize("bound", [pytest.param(-1, marks=pytest.mark.skip)])
@declared("section/claim")
def test_claim(ppo, bound):
    assert ppo.kl_old_new.mean.training.overall() > bound
"""
    result = session(body, f"--claims-store={tmp_path}")
    result.assert_outcomes(skipped=1)
    result.stdout.no_fnmatch_line("*rlclaims: training*")


def test_skipif_with_a_false_condition_skips_nothing(session):
    body = named("judged", REFUTED, "import pytest\n\n@pytest.mark.skipif(False, reason='never')")
    session(body).assert_outcomes(failed=1)


def test_exitfirst_stops_after_the_first_refuted_claim(session):
    result = session(THREE, "-x")
    assert result.parseoutcomes() == {"passed": 1, "failed": 1}
    result.stdout.fnmatch_lines(["*stopping after 1 failures*"])


def test_last_failed_reruns_refuted_claims_only(run, write):
    write("conftest.py", CONFTEST)
    write("test_claims.py", HEADER + THREE)
    run()
    result = run("--lf", "-v")
    assert result.parseoutcomes() == {"failed": 1}
    result.stdout.fnmatch_lines(["*rerun previous 1 failure*", "*::test_refuted FAILED*"])


def test_last_failed_ignores_an_inconclusive_claim(run, write):
    write("conftest.py", CONFTEST)
    write("test_claims.py", HEADER + named("inconclusive", INCONCLUSIVE))
    run()
    run("--lf").stdout.fnmatch_lines(["*no previously failed tests*"])


def test_stepwise_stops_at_a_refuted_claim_only(run, write):
    write("conftest.py", CONFTEST)
    write("test_claims.py", HEADER + named("a", INCONCLUSIVE) + named("b", REFUTED) + named("c", SUPPORTED))
    assert run("--stepwise").parseoutcomes() == {"inconclusive": 1, "failed": 1}
    assert run("--stepwise").parseoutcomes() == {"deselected": 1, "failed": 1}


def test_class_methods_are_claims(session, store):
    body = f"""
class TestTrustRegion:
    @declared("section/low")
    def test_low(self, ppo):
        {SUPPORTED}

    class TestNested:
        @declared("section/nested")
        def test_nested(self, ppo):
            {REFUTED}
"""
    session(body).assert_outcomes(passed=1, failed=1)
    assert {c["name"]: c["verdict"] for c in written(store)["claims"]} == {
        "section/low": "supported",
        "section/nested": "refuted",
    }


def test_nearer_conftest_overrides_runs(run, write, tmp_path):
    write("conftest.py", CONFTEST)
    write("near/conftest.py", CONFTEST + ANOTHER_PPO)
    write("test_far.py", HEADER + named("far", SUPPORTED))
    write("near/test_near.py", HEADER + named("near", SUPPORTED))
    run(store=tmp_path).assert_outcomes(passed=2)
    assert epochs_by_claim(tmp_path) == {"section/far": 1, "section/near": 2}
    assert stored(tmp_path, "PPO") == [seed for seed in range(5) for _ in range(2)]


def test_module_overrides_runs_of_its_conftest(run, write, store):
    write("conftest.py", CONFTEST)
    write("test_far.py", HEADER + named("far", SUPPORTED))
    write(
        "test_near.py",
        f"from conftest import SMALL\nimport rlclaims\n{ANOTHER_PPO}\n{HEADER}" + named("near", SUPPORTED),
    )
    run().assert_outcomes(passed=2)
    assert epochs_by_claim(store) == {"section/far": 1, "section/near": 2}


def epochs_by_claim(store):
    """Return the algorithm's number of epochs for each claim of the last report."""
    return {
        claim["name"]: int(re.search(r"[( ]epochs=(\d+)", claim["evidence"]["quantity"])[1])
        for claim in written(store)["claims"]
    }


def test_pyargs_runs_claims_of_an_installed_package(run, write, pytester, monkeypatch):
    write("elsewhere/papers/__init__.py", "")
    write("elsewhere/papers/claims/__init__.py", "")
    write("elsewhere/papers/claims/conftest.py", CONFTEST)
    write("elsewhere/papers/claims/test_kl.py", HEADER + named("kl", SUPPORTED))
    pytester.mkdir("here")
    monkeypatch.syspath_prepend(pytester.path / "elsewhere")
    monkeypatch.chdir(pytester.path / "here")
    run("--pyargs", "papers.claims").assert_outcomes(passed=1)


def test_claims_run_in_a_folder_without_configuration(run, write):
    write("papers/kl/conftest.py", CONFTEST)
    write("papers/kl/test_kl.py", HEADER + THREE)
    result = run(in_process=False)
    assert result.parseoutcomes() == {"passed": 1, "failed": 1, "inconclusive": 1}
    result.stdout.no_fnmatch_line("configfile:*")
    result.stdout.fnmatch_lines(["papers/kl/test_kl.py .F[?]*"])


def test_claims_and_tests_may_have_files_of_the_same_name(run, write, store):
    write("conftest.py", CONFTEST)
    write("claims/test_kl.py", HEADER + named("kl", SUPPORTED))
    write("tests/test_kl.py", HEADER + named("kl-again", REFUTED).replace("test_kl-again", "test_kl"))
    run("--import-mode=importlib").assert_outcomes(passed=1, failed=1)
    assert {c["name"]: c["verdict"] for c in written(store)["claims"]} == {
        "section/kl": "supported",
        "section/kl-again": "refuted",
    }


def test_failure_message_is_the_same_with_plain_asserts(session):
    def failure(mode):
        lines = session(THREE, f"--assert={mode}").outlines
        start = next(i for i, line in enumerate(lines) if "= FAILURES =" in line)
        end = next(i for i, line in enumerate(lines) if "= claims =" in line)
        return lines[start:end]

    plain, rewritten = failure("plain"), failure("rewrite")
    assert plain == rewritten
    assert any("refuted:" in line for line in plain)


def test_junit_report_has_every_claim_and_verdict(session, pytester):
    session(THREE, "--junitxml=junit.xml")
    cases = ElementTree.parse(pytester.path / "junit.xml").getroot().iter("testcase")
    properties = {case.get("name"): {(p.get("name"), p.get("value")) for p in case.iter("property")} for case in cases}
    assert len(properties) == 3
    for verdict in ("supported", "refuted", "inconclusive"):
        assert {("claim", f"section/{verdict}"), ("verdict", verdict)} <= properties[f"test_{verdict}"]


def test_html_report_shows_every_claim(session, pytester):
    result = session(THREE, "--html=report.html", "--self-contained-html")
    assert result.parseoutcomes() == {"passed": 1, "failed": 1, "inconclusive": 1}
    page = (pytester.path / "report.html").read_text(encoding="utf-8")
    rows = json.loads(unescape(re.search('data-jsonblob="([^"]*)"', page)[1]))["tests"]
    reports = {name.partition("::")[2]: results[0] for name, results in rows.items()}
    assert {name: report["result"] for name, report in reports.items()} == {
        "test_supported": "Passed",
        "test_refuted": "Failed",
        "test_inconclusive": "Skipped",
    }
    assert "inconclusive" in reports["test_inconclusive"]["log"] and "refuted" in reports["test_refuted"]["log"]


@pytest.mark.parametrize(
    "options", ["-p no:cacheprovider", "-q", "-v", "-vv", "--no-header", "-rA", "--tb=line", "--tb=no", "--color=yes"]
)
def test_verbosity_changes_no_outcome(session, options):
    result = session(THREE, *options.split())
    assert result.parseoutcomes() == {"passed": 1, "failed": 1, "inconclusive": 1}
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_inconclusive_claim_has_its_own_status(session):
    session(THREE, "-v").stdout.fnmatch_lines(["*::test_inconclusive INCONCLUSIVE*"])


@pytest.mark.parametrize("option", ["--collect-only", "--setup-plan"])
def test_collect_only_and_setup_plan_train_nothing(session, tmp_path, option):
    result = session(THREE, option, f"--claims-store={tmp_path}")
    result.stdout.fnmatch_lines(["*test_inconclusive*"])
    result.stdout.no_fnmatch_line("*rlclaims: training*")
    assert stored(tmp_path, "PPO") == []


@pytest.mark.parametrize("where", ["class", "module"])
def test_parametrized_claims_are_selected_by_id(session, where):
    parameters = "pytest.mark.parametrize('bound', [-1, -2], ids=['[low]', 'lower/still'])"
    head = f"pytestmark = {parameters}\n" if where == "module" else f"@{parameters}"
    body = f"""
import pytest

{head}
class TestLow:
    @declared("section/low")
    def test_low(self, ppo, bound):
        assert ppo.kl_old_new.mean.training.overall() > bound
"""
    session(body).assert_outcomes(passed=2)
    session(body, "-k", "still").assert_outcomes(passed=1, deselected=1)
    node = "test_claims.py::TestLow::test_low[[low]]"
    session(body, f"--deselect={node}").assert_outcomes(passed=1, deselected=1)
    result = session(body, "-v", node)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["  low[[][[]low]]*supported*5"])


def test_empty_parameter_set_skips_a_claim(session):
    body = "\nimport pytest\n\n@pytest.mark.parametrize('bound', [])" + one_claim(SUPPORTED, "ppo, bound")
    session(body).assert_outcomes(skipped=1)


@pytest.mark.parametrize("base", ["Abstract", "ZeroOrMore"])
def test_claims_of_a_base_class_run_in_its_subclass(session, base):
    body = f"""
import pytest

class {base}:
    @declared("section/low")
    def test_low(self, ppo, bound):
        assert ppo.kl_old_new.mean.training.overall() > bound

@pytest.mark.parametrize("bound", [-1, -2])
class TestLow({base}):
    pass
"""
    session(body).assert_outcomes(passed=2)


def refused(result, sentence):
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {sentence}"])


def test_claim_that_needs_setup_is_refused(session):
    body = """
import pytest

class TestLow:
    def setup_method(self):
        self.low = -1

    @pytest.fixture(autouse=True)
    def lowered(self):
        self.lower = self.low - 1

    @declared("section/low")
    def test_low(self, ppo):
        assert ppo.kl_old_new.mean.training.overall() > self.lower
"""
    refused(session(body), "*no attribute 'lower'*no fixtures and no setup methods.")


def test_indirect_parameter_is_refused(session):
    body = """
import pytest

@pytest.fixture
def bound(request):
    return {"low": -1}[request.param]

@pytest.mark.parametrize("bound", ["low"], indirect=True)
@declared("section/low")
def test_low(ppo, bound):
    assert ppo.kl_old_new.mean.training.overall() > bound
"""
    refused(session(body), "*takes 'bound', and a claim can take only runs *")


def test_debugger_ignores_an_inconclusive_claim(session, pytester):
    stops = "\ndef pytest_exception_interact(node):\n    print('would debug', node.name)\n"
    pytester.makeconftest(CONFTEST + stops)
    result = session(THREE, "-s")
    result.stdout.fnmatch_lines(["*would debug test_refuted*"])
    result.stdout.no_fnmatch_line("*would debug test_inconclusive*")


def test_session_without_a_terminal_writes_its_record(session, store):
    result = session(named("inconclusive", INCONCLUSIVE), "-p", "no:terminal", "--claims-strict")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert [claim["verdict"] for claim in written(store)["claims"]] == ["inconclusive"]


def test_readme_example_is_collected(pytester):
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    pytester.makepyfile(test_readme=next(block for block in blocks if "rlclaims.runs(" in block))
    result = pytester.runpytest_inprocess("--collect-only", "-q")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["test_readme.py::test_*", "1 test collected*"])


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """Return the interpreter of an environment with this repository's wheel and nothing else installed."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-B", "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    where = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    purelib = subprocess.run(where, check=True, capture_output=True, text=True).stdout.strip()
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(purelib)
    return python


@pytest.fixture(scope="session")
def types(installed, tmp_path_factory):
    """Return a function that type-checks a folder of claims against the installed wheel."""
    cache, seconds = tmp_path_factory.mktemp("mypy"), count(1)

    def check(folder):
        # Distinct times: mypy's cache takes a file of equal size and time for the previous test's file.
        second = next(seconds)
        for path in folder.glob("*.py"):
            os.utime(path, (second, second))
        # Hide this repository, so that the wheel is checked.
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
        options = ("--strict", f"--python-executable={installed}", f"--cache-dir={cache}", "--config-file=")
        command = [sys.executable, "-P", "-m", "mypy", *options, "."]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True).stdout

    return check


TYPED = """
from rlclaims import Evidence, Runs, Sample, all_of, claim, family, source

HERE = source("section 1", "a test")
FAMILY = family("typed", size=9)


@claim("typed/level", HERE, says="It is so.", means="The number is so.", margin=0.1, family=FAMILY)
def test_level(ppo: Runs) -> None:
    kl: Sample = ppo.kl_old_new.mean.held_out.last(0.25)
    assert kl.median <= ppo.settings.clip_epsilon


@claim("typed/both", HERE, says="It is so.", means="The number is so.", expected="refuted", evidence="earlier seeds")
def test_both(ppo: Runs, trpo: Runs) -> None:
    ratio = ppo.ratio.max.training.overall() / trpo.ratio.max.training.overall()
    lower: Evidence = ppo.surrogate.new.held_out.first(0.1) > trpo.surrogate.new.held_out.first(0.1)
    assert all_of(ratio.within(0.5, 2), lower)


@claim("typed/studies", HERE, says="It is so.", means="The number is so.", family=FAMILY)
def test_studies(ppo: Runs) -> None:
    change: Sample = ppo.landscape.change(1.0).last(2)
    cosine: Sample = ppo.gradients(pairs=2**14).cosine(2048).at(0)
    assert all_of(change < 0, cosine < 0.5, ppo.twins.switching("clip").mean_kl.held_out.overall() > 1)
"""


@pytest.fixture
def typed(pytester):
    """Return a function that writes a project of two files: runs, and claims about them."""

    def typed(claims):
        pytester.makeconftest(CONFTEST)
        pytester.makepyfile(test_typed=claims)
        return pytester.path

    return typed


def test_annotated_claims_have_no_type_errors(types, typed):
    assert types(typed(TYPED)).startswith("Success: no issues found in 2 source files")


def test_scaffold_has_no_type_errors(types, typed):
    scaffold = (ROOT / "rlclaims" / "cli" / "scaffold.py.txt").read_text()
    assert types(typed(scaffold.replace("$id", "mine/new").replace("$function", "new"))).startswith("Success: ")


def test_wheel_contains_data_files(installed):
    (package,) = installed.parents[1].rglob("site-packages/rlclaims")
    assert (package / "cli" / "scaffold.py.txt").exists() and (package / "report" / "claims.schema.json").exists()


@pytest.mark.parametrize(
    ("right", "wrong", "error"),
    [
        ("ppo.kl_old_new.", "ppo.kl_old_nw.", '"Runs" has no attribute "kl_old_nw"'),
        (".last(0.25)", "", "Incompatible types in assignment"),
        ('expected="refuted"', 'expected="refutd"', 'Argument "expected" to "claim" has incompatible type'),
        ("all_of, claim", "all_of, clam, claim", 'Module "rlclaims" has no attribute "clam"'),
        (
            "kl.median <= ppo.settings.clip_epsilon",
            "ppo.ratio.max.training <= 1.2",
            '("float" and "Series")',
        ),
        ("kl.median", "(kl * 2)", "Unsupported operand types for *"),
        ("ppo.landscape.", "ppo.landscpe.", '"Runs" has no attribute "landscpe"'),
        ("change(1.0)", "chnge(1.0)", '"Landscapes" has no attribute "chnge"'),
        ("pairs=2**14", "pairs='many'", 'Argument "pairs" has incompatible type "str"'),
    ],
)
def test_typo_in_a_claim_is_a_type_error(types, typed, right, wrong, error):
    assert right in TYPED
    assert error in types(typed(TYPED.replace(right, wrong)))


def test_runs_may_be_declared_in_a_class(session, store):
    body = """
import rlclaims
from conftest import SMALL

class TestMine:
    mine = rlclaims.runs(rlclaims.PPO, "InvertedPendulum-v5", epochs=1, **SMALL)

    @declared("section/mine")
    def test_mine(self, mine):
        assert mine.kl_old_new.mean.training.overall() > -1
"""
    session(body).assert_outcomes(passed=1)


def test_getfixturevalue_of_untrained_runs_is_refused(session, tmp_path):
    body = '\ndef test_looks(request):\n    request.getfixturevalue("ppo")\n'
    result = session(
        one_claim(SUPPORTED, parameters="trpo").replace("ppo.", "trpo.") + body, f"--claims-store={tmp_path}"
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*No runs of PPO on * are available. Only runs that a test requests *"])


def test_trial_run_shows_no_output(session):
    body = "import sys\n    print('on' + 'ce')\n    print('on' + 'ly', file=sys.stderr)\n    " + SUPPORTED
    result = session(one_claim(body), "-rP")
    assert [str(result.stdout).count(word) for word in ("once", "only")] == [1, 1]
    assert not str(result.stderr)


def test_breakpoint_stops_only_in_the_real_run(session, pytester, monkeypatch):
    stops = []
    monkeypatch.setattr("sys.breakpointhook", lambda: stops.append(1))
    session(one_claim(f"breakpoint()\n    {SUPPORTED}")).assert_outcomes(passed=1)
    assert stops == [1]


def test_teardown_error_is_recorded_once(session, store):
    body = "\nimport pytest\n\n@pytest.fixture(autouse=True)\ndef around():\n    yield\n    1 / 0\n"
    session(body + one_claim(SUPPORTED), "--junitxml=junit.xml").assert_outcomes(passed=1, errors=1)
    assert [claim["verdict"] for claim in written(store)["claims"]] == ["error"]


@pytest.mark.parametrize("plugin", ["setupplan", "stepwise", "debugging", "junitxml"])
def test_session_works_without_a_builtin_plugin(session, plugin):
    session(one_claim(SUPPORTED), "-p", f"no:{plugin}").assert_outcomes(passed=1)


def test_pilots_are_written_without_a_terminal(session, pytester):
    session(one_claim(SUPPORTED), "-p", "no:terminal", "--claims-write-pilots", "--claims-first-seed=10000")
    assert '"section/claim"' in (pytester.path / "pilots.json").read_text()
