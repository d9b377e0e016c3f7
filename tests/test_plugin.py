"""The plugin in sessions of its own, on a small task and a store that the sessions share."""

import json
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

# Sessions run in this process, and pytester makes it forget what they import: numpy and torch cannot be imported twice.
import rlclaims.judging.samples
import rlclaims.pytest_plugin.outcomes
import rlclaims.pytest_plugin.session
import rlclaims.pytest_plugin.terminal
import rlclaims.study.executor
import rlclaims.study.worker  # noqa: F401

PYTESTERS_OWN = {"stdout", "stderr", "runpytest-0", "runpytest-current"}

CONFTEST = """
import rlclaims
from rlclaims import PPO, TRPO

SMALL = dict(iterations=2, steps=64, minibatches=2, value_epochs=1)
ppo = rlclaims.runs(PPO, "InvertedPendulum-v5", epochs=1, **SMALL)
trpo = rlclaims.runs(TRPO, "InvertedPendulum-v5", **SMALL)
"""

HEADER = """
from rlclaims import claim, source

HERE = source("section 1", "a test")

def declared(id, **changes):
    return claim(id, HERE, says="It is so.", means="The number is so.", **changes)
"""

# KL is never negative, so these are decided whatever the seeds do; no seed's own mean is above or below their mean.
SUPPORTED = "assert ppo.kl_old_new.mean.training.overall() > -1"
REFUTED = "assert ppo.kl_old_new.mean.training.overall() <= -1"
INCONCLUSIVE = """
    kl = ppo.kl_old_new.mean.training.overall()
    assert kl > sum(kl.values) / len(kl.values)
"""


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def session(pytester, store):
    """Runs a pytest session on the given claims."""
    pytester.makeconftest(CONFTEST)

    def run(body, *options):
        pytester.makepyfile(test_claims=HEADER + body)
        return pytester.runpytest_inprocess(
            f"--claims-store={store}", "--claims-seeds=5", "-p", "no:cacheprovider", *options
        )

    return run


def one_claim(body, parameters="ppo", **changes):
    arguments = "".join(f", {name}={value!r}" for name, value in changes.items())
    return f"\n@declared('section/claim'{arguments})\ndef test_claim({parameters}):\n    {body}\n"


def written(store, name="latest"):
    return json.loads((store / "reports" / name / "claims.json").read_text())


def test_supported_passes_and_the_numbers_are_written_down(session, store):
    result = session(one_claim(SUPPORTED))
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["section*", "  claim*supported*5", "Intervals*claims.json"])
    (claim,) = written(store)["claims"]
    assert (claim["id"], claim["verdict"], claim["means"]) == ("section/claim", "supported", "The number is so.")
    evidence = claim["evidence"]
    assert evidence["lower"] < evidence["estimate"] < evidence["upper"]
    assert evidence["estimate"] == pytest.approx(sum(evidence["values"][0]) / 5)
    assert evidence["seeds"] == [[0, 1, 2, 3, 4]]
    assert "InvertedPendulum-v5, 128 steps" in evidence["scope"]


def test_refuted_fails_with_the_numbers_in_the_message(session):
    result = session(one_claim(REFUTED))
    result.assert_outcomes(failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ['*section/claim: "It is so."', "*a test, section 1", "*refuted:*<= -1*interval*n = 5*"]
    )
    result.stdout.no_fnmatch_line("*pytest_plugin*")  # no traceback through the plugin


def test_inconclusive_is_neither_passed_nor_failed(session):
    result = session(one_claim(INCONCLUSIVE))
    assert result.parseoutcomes() == {"inconclusive": 1}
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["  claim*inconclusive*", "*1 inconclusive*"])


def test_a_strict_session_fails_for_an_open_claim(session):
    assert session(one_claim(INCONCLUSIVE), "--claims-strict").ret == pytest.ExitCode.TESTS_FAILED
    assert session(one_claim(SUPPORTED), "--claims-strict").ret == pytest.ExitCode.OK


def test_a_claim_that_ships_as_refuted_passes_while_it_is(session):
    changes = {"expected": "refuted", "evidence": "earlier seeds"}
    session(one_claim(REFUTED, **changes)).assert_outcomes(passed=1)
    result = session(one_claim(SUPPORTED, **changes))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*expected   refuted: earlier seeds"])
    assert session(one_claim(INCONCLUSIVE, **changes)).parseoutcomes() == {"inconclusive": 1}


@pytest.mark.parametrize("options", [(), ("--assert=plain",)])
@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("pass", "judged nothing"),
        (f"{SUPPORTED}\n    {SUPPORTED}", "judged 2 times"),
        (REFUTED.replace("assert", "assert not"), "ended well though its evidence is refuted"),
        (SUPPORTED.replace("assert", "assert not"), "failed though its evidence is supported"),
        (f"{SUPPORTED}\n    assert False", "failed though its evidence is supported"),
        (SUPPORTED.replace("assert ", ""), "compares and does not assert"),
        (f"import pytest\n    {SUPPORTED}\n    pytest.skip('never mind')", "given up after it had judged"),
        ("assert ppo.ratio.max.training.overall() > float('nan')", "compared with a finite number"),
        ("assert ppo.ratio.max.training.overall() > 'x'", "compared with a finite number"),
        ("assert ppo.ratio.max.training.overall() == 1", "never equal"),
        ("assert ppo.ratio.max.training.overall()", "neither true nor false"),
    ],
)
def test_what_is_not_one_judgement_is_an_error_in_one_sentence(session, body, sentence, options):
    result = session(one_claim(body), *options)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*{sentence}*"])
    result.stdout.fnmatch_lines(["  claim*error*"])


def test_a_second_session_trains_nothing(session):
    session(one_claim(SUPPORTED))
    session(one_claim(SUPPORTED)).stdout.no_fnmatch_line("*rlclaims: training*")


def test_only_the_runs_of_selected_claims_are_trained(session, tmp_path):
    body = one_claim(SUPPORTED) + "\n@declared('section/other')\ndef test_other(ppo, trpo):\n    assert False\n"
    result = session(body, "-k", "not test_other", f"--claims-store={tmp_path}")
    result.assert_outcomes(passed=1, deselected=1)
    result.stdout.fnmatch_lines(["rlclaims: training 5 runs of PPO (640 steps)*"])


def test_other_seeds_are_other_runs(session, store):
    session(one_claim(SUPPORTED), "--claims-first-seed=7").assert_outcomes(passed=1)
    (claim,) = written(store)["claims"]
    assert claim["evidence"]["seeds"] == [[7, 8, 9, 10, 11]]


def test_parameters_are_named_and_judged_apart(session, store):
    body = (
        "\nimport pytest\n\n@pytest.mark.parametrize('bound', [-1, -2])\n@declared('section/claim')\n"
        "def test_claim(ppo, bound):\n    assert ppo.kl_old_new.mean.training.overall() > bound\n"
    )
    session(body).assert_outcomes(passed=2)
    assert [claim["name"] for claim in written(store)["claims"]] == ["section/claim[-1]", "section/claim[-2]"]


def test_a_subclass_in_a_claim_file_trains_in_processes_of_its_own(session):
    body = """
from dataclasses import dataclass
import rlclaims

@dataclass(frozen=True)
class Unclipped(rlclaims.PPO):
    def policy_loss(self, ratio_SB, advantage_SB):
        return -(ratio_SB * advantage_SB).mean(1)

small = dict(iterations=2, steps=64, minibatches=2, value_epochs=1, epochs=1)
mine = rlclaims.runs(Unclipped, "InvertedPendulum-v5", **small)

@declared("section/mine")
def test_mine(mine):
    assert mine.kl_old_new.mean.training.overall() > -1
"""
    session(body).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("runs", "sentence"),
    [
        ("rlclaims.runs(rlclaims.PPO, 'Hoper-v5')", "There is no task 'Hoper-v5'; there are Hopper-v5, *"),
        ("rlclaims.runs(rlclaims.PPO, learning_rat=1)", "PPO has no setting 'learning_rat'*"),
        ("rlclaims.runs(rlclaims.PPO, steps=100)", "*must be a multiple of minibatches*"),
        ("rlclaims.runs('PPO')", "*takes an algorithm*not 'PPO'*"),
        ("rlclaims.runs(rlclaims.PPO(), steps=64)", "*an instance has its own*"),
        ("rlclaims.runs(rlclaims.PPO, iterations=0)", "*iterations from 1 up, not 0*"),
        ("rlclaims.runs(rlclaims.PPO, iterations='3')", "*iterations from 1 up, not '3'*"),
        ("rlclaims.runs(rlclaims.PPO, 5)", "A task is the name*not 5*"),
        ("rlclaims.runs(rlclaims.PPO, scale_rewards='no')", "*scale_rewards must be True or False, not 'no'*"),
        ("rlclaims.runs(rlclaims.PPO, steps=32)", "*a multiple of minibatches (32), and more than one*"),
        ("rlclaims.runs(rlclaims.PPO, learning_rate='fast')", "*learning_rate must be a positive number, not 'fast'*"),
        ("rlclaims.runs(rlclaims.PPO, clip_epsilon=-1)", "*clip_epsilon must be a positive number, or None for off*"),
        ("rlclaims.runs(rlclaims.TRPO, delta=float('nan'))", "*delta must be a positive number, not nan*"),
        ("rlclaims.runs(rlclaims.PPO, steps=64.0)", "*steps must be a positive whole number, not 64.0*"),
    ],
)
def test_runs_that_cannot_be_made_are_refused_before_training(session, runs, sentence):
    result = session(f"\nimport rlclaims\nbad = {runs}\n" + one_claim("assert False", parameters="bad, ppo"))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {sentence}"])
    result.stdout.no_fnmatch_line("*rlclaims: training*")


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--claims-seeds=4", "*at least 5 seeds*"),
        ("--claims-first-seed=-1", "*from 0 up*"),
        ("--claims-processes=0", "*from 1 up*"),
        ("--claims-profile=paper", "*no profile 'paper'*standard*"),
        ("--claims-store=conftest.py", "*store conftest.py cannot be written*"),
        ("--claims-report=conftest.py", "*report folder conftest.py cannot be written*"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_training(session, option, sentence):
    result = session(one_claim(SUPPORTED), option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {sentence}"])


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (one_claim(SUPPORTED) + one_claim(SUPPORTED).replace("test_claim", "test_again"), "Two claims have the id*"),
        (one_claim(SUPPORTED, parameters="ppo, tmp_path"), "*takes 'tmp_path', and a claim takes only runs*"),
        ("\nimport pytest\n\n@pytest.mark.xfail" + one_claim(SUPPORTED), "*marked xfail*expected='refuted'*"),
        (
            "\nimport unittest\n\nclass TestIt(unittest.TestCase):\n"
            "    @declared('section/claim')\n    def test_claim(self):\n        pass\n",
            "*unittest.TestCase*",
        ),
    ],
)
def test_what_is_not_written_as_a_claim_is_refused_at_collection(session, body, sentence):
    result = session(body)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {sentence}"])


@pytest.mark.parametrize("missing", ["says", "means"])
def test_a_claim_says_something_and_means_something(session, missing):
    result = session(
        one_claim(SUPPORTED).replace(
            "@declared('section/claim'", f"@claim('x', HERE, **{{'says': 'a', 'means': 'b', {missing!r}: ' '}}"
        )
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*needs {missing}=*"])


SUBCLASS = """
from dataclasses import dataclass
import rlclaims

{}

mine = rlclaims.runs(Mine, "InvertedPendulum-v5", iterations=2)

@declared("section/mine")
def test_mine(mine):
    assert mine.kl_old_new.mean.training.overall() > -1
"""


@pytest.mark.parametrize(
    ("definition", "sentence"),
    [
        (
            "class Mine(rlclaims.PPO):\n    def policy_loss(self, ratio_SB, advantage_SB):\n"
            "        return -(ratio_SB * advantage_SB).mean()",
            "*must give one loss per seed*and gave shape ()*end it with .mean(1)*",
        ),
        (
            "class Mine(rlclaims.PPO):\n    def policy_loss(self, ratio_SB, advantage_SB):\n        return undefined",
            "*Mine.policy_loss fails*NameError: name 'undefined'*",
        ),
        (
            "class Mine(rlclaims.PPO):\n    learning_rate: float = 1.0",
            "Mine has settings of its own and needs @dataclass*",
        ),
        ("@dataclass(frozen=True)\nclass Mine(rlclaims.PPO):\n    epochs = 1", "Mine.epochs needs a type*"),
        ("def make():\n    class Mine(rlclaims.PPO): pass\n    return Mine\nMine = make()", "*at the top of a file*"),
    ],
)
def test_a_subclass_that_would_not_do_as_it_says_is_refused_before_training(session, definition, sentence):
    result = session(SUBCLASS.format(definition))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {sentence}"])


def test_two_modules_of_one_name_are_not_mixed_up(pytester, store):
    for folder, rate in (("a", 1e-3), ("b", 1e-4)):
        pytester.mkdir(folder).joinpath("conftest.py").write_text(
            CONFTEST + f"\nclass Mine(PPO):\n    pass\n\nmine = rlclaims.runs(Mine, learning_rate={rate}, **SMALL)\n"
        )
        body = HEADER + one_claim(SUPPORTED.replace("ppo", "mine"), "mine").replace("section", folder)
        (pytester.path / folder / f"test_{folder}.py").write_text(body)
    result = pytester.runpytest_subprocess(f"--claims-store={store}", "--claims-seeds=5")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: Mine of module 'conftest' cannot be told from another*"])


def test_runs_can_be_looked_at_outside_of_claims(session):
    session("\ndef test_looks(ppo):\n    assert ppo.settings.epochs == 1\n").assert_outcomes(passed=1)


def test_junit_has_the_verdict(session, pytester):
    session(one_claim(INCONCLUSIVE), "--junitxml=junit.xml")
    xml = (pytester.path / "junit.xml").read_text()
    assert 'name="verdict" value="inconclusive"' in xml and "<skipped" in xml


def test_a_report_goes_where_it_is_asked_to(session, pytester):
    session(one_claim(SUPPORTED), "--claims-report=here")
    assert json.loads((pytester.path / "here" / "claims.json").read_text())["claims"][0]["verdict"] == "supported"


def test_nothing_is_littered(session, pytester):
    before = {path.name for path in pytester.path.iterdir()}
    session(one_claim(SUPPORTED), "-p", "no:cacheprovider")
    assert {path.name for path in pytester.path.iterdir()} - before <= {"test_claims.py", "__pycache__", *PYTESTERS_OWN}


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_ctrl_c_stops_every_process_and_says_how_to_go_on(pytester, tmp_path):
    pytester.makeconftest(CONFTEST.replace("iterations=2", "iterations=100_000"))
    pytester.makepyfile(test_claims=HEADER + one_claim(SUPPORTED))
    command = ("-m", "pytest", "--claims-seeds=5", "--claims-processes=2", f"--claims-store={tmp_path}")
    # A shell starts its background jobs, and so perhaps these tests, deaf to SIGINT.
    hear = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    session = pytester.popen([sys.executable, *command], stdin=subprocess.DEVNULL, preexec_fn=hear)
    while b"rlclaims: training" not in (line := session.stdout.readline()):
        assert line, "the session ended before it trained"
    while len(workers := workers_of(session.pid)) < 2:
        assert session.poll() is None, session.communicate()
        time.sleep(0.1)
    session.send_signal(signal.SIGINT)
    try:
        out, _ = session.communicate(timeout=120)
    finally:
        session.kill()
    assert session.returncode == pytest.ExitCode.INTERRUPTED
    assert b"the same command goes on from there" in out
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def workers_of(pid):
    """Process ids of the training processes that a session has started (Linux)."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_project_without_claims_imports_nothing_heavy(pytester):
    heavy = {"torch", "mujoco", "scipy", "numpy", "gymnasium", "rich"}
    pytester.makepyfile(f"import sys\n\ndef test_light():\n    assert not {heavy} & set(sys.modules)\n")
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def levels(store):
    """The refuting and supporting error rates of the claims in the last report, by name."""
    return {
        claim["name"]: (claim["evidence"]["alpha_refute"], claim["evidence"]["alpha_support"])
        for claim in written(store)["claims"]
    }


FOUR_SHARES = (
    one_claim(SUPPORTED)
    + "\n@declared('section/other', expected='refuted', evidence='earlier')\ndef test_other(ppo):\n    "
    + REFUTED
    + "\n\nclass TestMore:\n    @declared('section/more')\n    def test_more(self, ppo):\n        "
    + SUPPORTED
    + "\n"
)


@pytest.mark.parametrize("options", [(), ("-k", "test_claim or test_other")])
def test_refutations_share_their_files_error_rate_whatever_is_selected(session, store, options):
    session(FOUR_SHARES, *options).stdout.fnmatch_lines(["Family 'test_claims.py', of 4 shares: *"])
    assert levels(store)["section/claim"] == (pytest.approx(0.05 / 4), 0.05)
    # To be supported against expectation turns a build red too.
    assert levels(store)["section/other"] == (pytest.approx(0.05 / 4), pytest.approx(0.05 / 4))


def test_each_parameter_is_a_claim_of_the_family(session, store, pytester):
    body = (
        "\nimport pytest\n\n@pytest.mark.parametrize('bound', [-1, -2, -3])\n@declared('section/claim')\n"
        "def test_claim(ppo, bound):\n    assert ppo.kl_old_new.mean.training.overall() > bound\n"
    )
    session(body)
    assert set(levels(store).values()) == {(0.05 / 3, 0.05)}
    pytester.runpytest_inprocess(f"--claims-store={store}", "--claims-seeds=5", "test_claims.py::test_claim[-2]")
    assert set(levels(store).values()) == {(0.05 / 3, 0.05)}


NAMED = one_claim(SUPPORTED).replace("'section/claim'", "'section/claim', family=rlclaims.family('all', {})")


def test_a_named_family_has_the_shares_it_says(session, store):
    session("\nimport rlclaims\n" + NAMED.format("size=20, rate=0.1"))
    assert levels(store)["section/claim"] == (pytest.approx(0.1 / 20), 0.05)
    assert written(store)["families"] == [{"name": "all", "size": 20, "rate": 0.1}]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            FOUR_SHARES.replace("'section/other'", "'section/other', family=rlclaims.family('all', size=1)"),
            "*take 2; *",
        ),
        (
            NAMED.format("size=2") + NAMED.format("size=3").replace("section/", "other/").replace("test_", "test_2"),
            "*is declared with * shares *; make them one.",
        ),
    ],
)
def test_a_family_that_does_not_add_up_is_refused(session, body, sentence):
    result = session("\nimport rlclaims\n" + body)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {sentence}"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [("size=0", "*whole number of shares*not 0*"), ("size=3, rate=2", "*error rate between 0 and .5, not 2*")],
)
def test_a_family_needs_shares_and_a_rate(session, arguments, sentence):
    result = session("\nimport rlclaims\n" + NAMED.format(arguments))
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([sentence])


def test_a_pilot_on_development_seeds_tells_what_can_be_detected(session, store, pytester):
    claim = one_claim(SUPPORTED, margin=0.001)
    result = session(claim, "--claims-write-pilots", "--claims-first-seed=10000")
    result.stdout.fnmatch_lines(["*pilots.json"])
    session(claim)
    evidence = written(store)["claims"][0]["evidence"]
    (pilot,) = json.loads((pytester.path / "pilots.json").read_text()).values()
    assert pilot["seeds"] == [10000, 10001, 10002, 10003, 10004]
    assert evidence["mde"] > 0 and evidence["n_needed"] is not None
    # The seeds that are judged are no pilot for themselves.
    session(claim, "--claims-first-seed=10000")
    assert written(store)["claims"][0]["evidence"]["mde"] is None


def test_a_pilot_on_the_suites_own_seeds_is_refused(session):
    result = session(one_claim(SUPPORTED), "--claims-write-pilots")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: A pilot is made on development seeds*"])


def test_a_broken_file_of_pilots_is_one_sentence(session, pytester):
    (pytester.path / "pilots.json").write_text('{"section/claim": {"sd": 1}}')
    result = session(one_claim(SUPPORTED))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *pilots.json is no file of pilots*"])


def test_several_comparisons_are_one_row(session, store):
    joined = SUPPORTED.replace("assert ", "assert rlclaims.all_of(") + ", trpo.ratio.max.training.overall() > 0)"
    result = session("\nimport rlclaims\n" + one_claim(joined, parameters="ppo, trpo"))
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["  claim*supported*all of 2*5"])
    parts = written(store)["claims"][0]["evidence"]["parts"]
    assert [part["alpha_refute"] for part in parts] == [pytest.approx(0.025)] * 2


PARAMETRIZED = """
import pytest

{}
@declared('section/claim')
def test_claim(ppo, bound):
    assert ppo.kl_old_new.mean.training.overall() > bound
"""


@pytest.mark.parametrize(
    "parameters",
    [
        "@pytest.mark.parametrize('bound', (-i for i in range(1, 4)))",
        "@pytest.fixture(params=[-1, -2])\ndef bound(request):\n    return request.param\n",
        "def pytest_generate_tests(metafunc):\n    metafunc.parametrize('bound', [-1, -2])\n",
    ],
)
def test_parameters_that_a_file_does_not_tell_are_refused(session, parameters):
    result = session(PARAMETRIZED.format(parameters))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *in a way that its file does not tell*"])


@pytest.mark.parametrize(
    "body",
    [
        one_claim(SUPPORTED) + "\ntest_again = test_claim\n",
        "\nclass Base:\n    @declared('section/claim')\n    def test_claim(self, ppo):\n        "
        + SUPPORTED
        + "\n\nclass TestA(Base): pass\nclass TestB(Base): pass\n",
        "\ndef make(bound):\n    @declared('section/claim')\n    def test(ppo):\n"
        "        assert ppo.ratio.max.training.overall() > bound\n    return test\n\n"
        "test_1, test_2 = make(1), make(2)\n",
    ],
)
def test_one_id_in_several_places_is_refused(session, body):
    result = session(body)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: Two claims have the id 'section/claim': *"])


def test_a_claim_imported_from_another_file_is_refused(session, pytester):
    pytester.makepyfile(other_claims=HEADER + one_claim(SUPPORTED))
    result = session("\nfrom other_claims import test_claim\n")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *is written in other_claims and collected from test_claims.py*"])


def test_claims_in_nested_classes_are_of_the_family(session, store):
    session(
        "\nclass TestOuter:\n    class TestInner:\n"
        "        @declared('section/inner')\n        def test_it(self, ppo):\n"
        f"            {SUPPORTED}\n" + one_claim(SUPPORTED)
    ).assert_outcomes(passed=2)
    assert {refute for refute, _ in levels(store).values()} == {0.025}


@pytest.mark.parametrize(
    "assertion",
    [
        "assert kl > -1 and kl > -2",
        "assert kl > 5 or kl > -1",
        "assert -1 < kl < 1",
        "assert all(kl > b for b in (-1, -2))",
        "assert not (kl > -1 and kl > -2)",
    ],
)
def test_comparisons_that_python_may_skip_are_refused(session, assertion):
    result = session(one_claim(f"kl = ppo.kl_old_new.mean.training.overall()\n    {assertion}"))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *of which Python may skip some*all_of*"])


def test_a_part_of_what_was_joined_is_no_judgement(session):
    body = (
        "kl = ppo.kl_old_new.mean.training.overall()\n    a = kl > -1\n    b = rlclaims.any_of(a, kl > 9)\n    assert a"
    )
    result = session("\nimport rlclaims\n" + one_claim(body))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*asserts a part of what it joined*"])


def test_a_loose_family_does_not_loosen_what_is_supported(session, store):
    loose = "expected='refuted', evidence='earlier', family=rlclaims.family('loose', size=2, rate=0.4)"
    session("\nimport rlclaims\n" + one_claim(REFUTED).replace("'section/claim'", f"'section/claim', {loose}"))
    assert levels(store)["section/claim"] == (0.2, 0.05)


def test_runs_of_another_block_are_another_group(session, store):
    body = (
        "\nimport rlclaims\nfrom conftest import SMALL\n"
        "other = rlclaims.runs(rlclaims.PPO, 'InvertedPendulum-v5', block=1, epochs=1, **SMALL)\n"
    )
    comparison = "assert ppo.ratio.max.training.overall() / other.ratio.max.training.overall() < 99"
    session(body + one_claim(comparison, "ppo, other")).assert_outcomes(passed=1)
    evidence = written(store)["claims"][0]["evidence"]
    assert evidence["method"] == "Welch's t"
    assert evidence["seeds"] == [[0, 1, 2, 3, 4], [1000, 1001, 1002, 1003, 1004]]


def test_seeds_that_do_not_vary_are_no_pilot(session, pytester):
    claim = one_claim("assert ppo.ratio.exceedance.training.overall().median < 0.9", margin=0.1)
    session(claim, "--claims-write-pilots", "--claims-first-seed=10000").assert_outcomes(passed=1)
    assert not (pytester.path / "pilots.json").exists()
    session(claim).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    "pilot",
    [
        {"standard_deviation": 0.0},
        {"standard_deviation": "a"},
        {"standard_deviation": float("nan")},
        {"seeds": [10000]},
        {"seeds": "abc"},
        {"quantity": 3},
    ],
)
def test_a_pilot_that_is_none_is_refused(session, pytester, pilot):
    good = {"standard_deviation": 1.0, "seeds": [10000, 10001], "quantity": "x", "setting": "y"}
    (pytester.path / "pilots.json").write_text(json.dumps({"section/claim": {**good, **pilot}}))
    result = session(one_claim(SUPPORTED))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *pilots.json is no file of pilots*"])


def test_an_inconclusive_claim_says_why(session):
    session(one_claim(INCONCLUSIVE)).stdout.fnmatch_lines(["section/claim is inconclusive, underpowered: *"])


@pytest.fixture
def session_by_looks(pytester, tmp_path):
    """Runs a pytest session at the profile's own looks, on a store of its own."""
    pytester.makeconftest(CONFTEST)

    def run(body, *options):
        pytester.makepyfile(test_claims=HEADER + body)
        return pytester.runpytest_inprocess(f"--claims-store={tmp_path}", "-p", "no:cacheprovider", *options)

    return run


def stored(folder, algorithm):
    """Seeds of an algorithm's runs in a store."""
    return sorted(json.loads(path.read_text())["seed"] for path in folder.glob(f"runs/{algorithm}-*/run.json"))


def test_only_the_seeds_that_undecided_claims_need_are_trained(session_by_looks, tmp_path):
    body = (
        one_claim(INCONCLUSIVE)
        + "\n@declared('section/both')\ndef test_both(ppo, trpo):\n"
        + "    assert ppo.kl_old_new.mean.training.overall() < trpo.kl_old_new.mean.training.overall()\n"
        + "\n@declared('section/sure')\ndef test_sure(trpo):\n    assert trpo.kl_old_new.mean.training.overall() > -1\n"
    )
    result = session_by_looks(body)
    assert result.parseoutcomes().get("inconclusive", 0) >= 1
    result.stdout.fnmatch_lines(["rlclaims: look 2 of 4, 8 seeds: * of 3 claims are undecided."])
    claims = {claim["id"]: claim["evidence"] for claim in written(tmp_path)["claims"]}
    assert [look["n"] for look in claims["section/claim"]["looks"]] == [6, 8, 10, 12]
    assert claims["section/sure"]["n"] == 6
    assert stored(tmp_path, "PPO") == list(range(12))
    assert stored(tmp_path, "TRPO") == list(range(claims["section/both"]["n"]))


def test_a_claim_that_is_decided_at_the_first_look_trains_no_more(session_by_looks, tmp_path):
    result = session_by_looks(one_claim(SUPPORTED))
    result.stdout.no_fnmatch_line("*look 2*")
    assert stored(tmp_path, "PPO") == list(range(6))


def test_a_claim_in_error_trains_no_more(session_by_looks, tmp_path):
    session_by_looks(one_claim("assert 1 / 0")).assert_outcomes(failed=1)
    assert stored(tmp_path, "PPO") == list(range(6))


def test_a_test_that_is_no_claim_gets_all_seeds(session_by_looks, tmp_path):
    body = "\ndef test_looks(ppo):\n    assert len(ppo.seeds) == 12\n"
    session_by_looks(one_claim(SUPPORTED) + body).assert_outcomes(passed=2)
    (claim,) = written(tmp_path)["claims"]
    assert claim["evidence"]["seeds"] == [[0, 1, 2, 3, 4, 5]]


def test_a_pilot_is_made_on_all_seeds(session_by_looks, tmp_path):
    session_by_looks(one_claim(SUPPORTED), "--claims-write-pilots", "--claims-first-seed=10000")
    assert stored(tmp_path, "PPO") == list(range(10000, 10012))
