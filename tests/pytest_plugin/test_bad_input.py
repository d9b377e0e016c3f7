"""Bad input in bulk: each is refused in one sentence, with the exit code of a usage error, before any training."""

import re
import subprocess

import bad_files
import bad_surfaces
import pytest
from claim_text import CONFTEST, HEADER, SUPPORTED, one_claim
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rlclaims.store.rounding import arithmetic

EXAMPLES = {
    bad_surfaces.options: 60,
    bad_surfaces.settings: 80,
    bad_surfaces.instances: 80,
    bad_surfaces.specs: 100,
    bad_surfaces.tasks: 40,
    bad_surfaces.adapters: 60,
    bad_surfaces.subjects: 50,
    bad_surfaces.declarations: 100,
    bad_files.baselines: 50,
    bad_files.nights: 50,
    bad_files.pilots: 50,
    bad_files.measurements: 30,
    bad_files.stores: 30,
    bad_files.record_commands: 40,
    bad_files.arguments: 30,
}
"""Number of examples for each place where input enters."""


@pytest.fixture(autouse=True)
def no_process(monkeypatch):
    """Fail if a process is started: training runs in worker processes."""

    def started(*_, **__):
        raise AssertionError("A process was started.")

    arithmetic()  # cached; its first call starts the compiler
    monkeypatch.setattr(subprocess, "Popen", started)


@pytest.mark.parametrize(("surface", "examples"), EXAMPLES.items(), ids=lambda x: getattr(x, "__name__", ""))
def test_bad_input_ends_in_one_sentence(surface, examples, tmp_path):
    outcomes = []

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def try_input(data):
        outcomes.append(surface(data.draw, tmp_path))

    try_input()
    assert "refused" in outcomes or surface is bad_files.stores  # a damaged store is repaired and not refused


BAD_RUNS = (
    "rlclaims.PPO, learning_rate=float('nan')", "rlclaims.PPO, steps=10**400", "rlclaims.TRPO, hidden=(10**18,)",
    "rlclaims.PPO, gamma=2", "rlclaims.PPO, iterations=10**30", "rlclaims.PPO, block='x'", "rlclaims.PPO, '\\0'",
    "rlclaims.PPO, 'Hopper-v5 '", "rlclaims.PPO, '../..'", "[[]]", "rlclaims.PPO, activation=[]", "rlclaims, ''",
    "rlclaims.PPO, minibatches=4096", "rlclaims.PPO, hidden=(((),),)", "b'PPO'", "rlclaims.PPO, epochs=True",
)  # fmt: skip
BAD_OPTIONS = (
    "--claims-seeds=ten", "--claims-seeds=-3", "--claims-first-seed=1e3", "--claims-processes=-1", "--claims-replay=x",
    "--claims-profile=\u00e9", "--claims-bound=mean_kl", "--claims-bound=mean_kl=-inf", "--claims-nightly=no/such/file",
    "--claims-run-length=5", "--claims-profile=smoke --claims-strict", "--claims-write-pilots", "", "", "",
)  # fmt: skip


# pytest reads pyproject.toml before its plugins do, and crashes on `tool = 1` and on deeply nested tables.
PROJECTS = (
    "", "", "[tool]\nrlclaims = 3", "[[tool.rlclaims]]", "[tool.rlclaims]\na = ", "[tool.rlclaims]\nprofile = 3",
    "[tool.rlclaims.profiles.a.b.c.d]", "[tool.rlclaims.gate]\nmean_kl = nan", "[tool.rlclaims.profiles.a]\nlooks = []",
)  # fmt: skip


@settings(
    max_examples=10,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(st.sampled_from(BAD_RUNS), st.sampled_from(BAD_OPTIONS), st.sampled_from(PROJECTS))
def test_session_with_bad_input_trains_nothing(pytester, runs, option, project):
    pytester.makeconftest(CONFTEST)
    bad_surfaces.write(pytester.path / "pyproject.toml", project)
    body = f"\nimport rlclaims\nbad = rlclaims.runs({runs})\n" + one_claim("assert False", parameters="bad, ppo")
    pytester.makepyfile(test_claims=HEADER + body)
    store = pytester.path / "store"
    result = pytester.runpytest_inprocess(f"--claims-store={store}", "-p", "no:cacheprovider", *option.split())
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert not store.exists()
    errors = [line for line in result.errlines if line.startswith("ERROR: ")]
    assert len(errors) == 1, result.errlines
    for line in (*result.outlines, *result.errlines):
        assert not re.search(r"Traceback|^E  |^INTERNALERROR|rlclaims: training", line)


WRONG_CALLS = {
    "runs()": r"runs\(\) missing 1 required positional argument: 'algorithm'; see help\(rlclaims.runs\) for .*",
    "PPO(gama=2)": r"PPO.__init__\(\) got an unexpected keyword argument 'gama'; see help\(rlclaims.PPO\) .*",
    "PPO(gamma=2)": r"PPO: gamma must lie in \[0, 1\], not 2",
    "claim('a/b', source('here'))": r"claim\(\) missing 2 required keyword-only arguments: 'says' and 'means'; .*",
    "family('a', size=0)": r"The family 'a' has a whole number of shares, 1 or more, not 0",
    "__import__('rlclaims').rns": r"module 'rlclaims' has no attribute 'rns'",
}
IMPORTS = "from rlclaims import PPO, claim, family, runs, source\n\n"


def test_wrong_calls_in_files_are_reported_in_a_sentence_each(pytester):
    for n, call in enumerate(WRONG_CALLS):
        (pytester.path / f"test_wrong_{n}.py").write_text(f"{IMPORTS}mine = {call}\n")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.assert_outcomes(errors=len(WRONG_CALLS))
    for n, sentence in enumerate(WRONG_CALLS.values()):
        result.stdout.re_match_lines([rf".*test_wrong_{n}\.py:3: {sentence}\.$"])
    assert not [line for line in result.outlines if line.startswith(("E  ", ">"))]


@pytest.mark.parametrize("other", ["1 / 0", "def runs(x): pass\nruns()", "int('x')"])
def test_other_errors_in_files_are_reported_by_pytest(pytester, other):
    (pytester.path / "test_wrong.py").write_text(f"{IMPORTS}runs()\n")
    (pytester.path / "test_other.py").write_text(f"{IMPORTS}{other}\n")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["E   *Error: *"])


def test_wrong_calls_respect_continue_on_collection_errors(pytester):
    (pytester.path / "test_wrong.py").write_text(f"{IMPORTS}runs()\n")
    (pytester.path / "test_right.py").write_text("def test_it(): pass\n")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "--continue-on-collection-errors")
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_subclass_setting_must_match_its_annotation(session):
    body = """
from dataclasses import dataclass
import rlclaims

@dataclass(frozen=True)
class Mine(rlclaims.PPO):
    strength: float = 1.0

mine = rlclaims.runs(Mine, "InvertedPendulum-v5", strength="strong")
""" + one_claim(SUPPORTED, parameters="mine, ppo")
    result = session(body)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: Mine: strength must be a number, not 'strong'. (the runs 'mine' of *"])
