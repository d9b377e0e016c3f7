"""Theorems: sentences that are true or false without data, beside claims in every report."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from claim_text import CONFTEST, HEADER, INCONCLUSIVE, SUPPORTED, one_claim, written
from typer.testing import CliRunner

from rlclaims.cli import app

SCHEMA = json.loads((Path(__file__).parents[2] / "rlclaims" / "report" / "claims.schema.json").read_text())

HEAD = """
import pytest
from hypothesis import assume, example, given, settings, strategies as st
from rlclaims import theorem

def stated(id, **changes):
    return theorem(id, HERE, says="It holds.", means="It is so of every integer.", **changes)

def tried(*examples):
    def mark(function):
        for n in examples:
            function = example(n)(function)
        # Nothing is remembered, and nothing is left to chance or to the machine.
        return given(st.integers())(settings(max_examples=20, database=None, derandomize=True, deadline=None)(function))
    return mark
"""
SHIPS_REFUTED = {"expected": "refuted", "evidence": "n = 1000"}
TRUE, FALSE = "assert n * n >= 0", "assert n < 1000"


def one_theorem(body, examples=(), name="theorem", **changes):
    arguments = "".join(f", {key}={value!r}" for key, value in changes.items())
    return f"\n@stated('section/{name}'{arguments})\n@tried(*{examples!r})\ndef test_{name}(n):\n    {body}\n"


THREE = one_theorem(TRUE, name="true") + one_theorem(FALSE, name="false") + one_theorem("1 / 0", name="broken")


def theorems(store):
    return {theorem["name"].removeprefix("section/"): theorem for theorem in written(store)["theorems"]}


def test_supported_theorem_passes_and_counts_examples(session, store):
    # Hypothesis counts those that assume() lets through, and an explicit one comes on top.
    result = session(HEAD + one_theorem(f"assume(n % 2)\n    {TRUE}", examples=(3,)) + one_claim(SUPPORTED))
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["  theorem supported *21 examples", "  claim *supported *5"])
    assert (theorems(store)["theorem"]["verdict"], theorems(store)["theorem"]["examples"]) == ("supported", 21)


def test_refuted_theorem_fails_with_its_counterexample(session, store):
    result = session(HEAD + one_theorem(FALSE))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            ">*assert n < 1000",
            '*section/theorem: "It holds."',
            "*a test, section 1",
            "*verdict *refuted",
            "*assert 1000 < 1000",
            "*n=1000,",
            "  theorem *refuted",
            "Record: *",
        ]
    )
    theorem = theorems(store)["theorem"]
    assert (theorem["verdict"], theorem["examples"]) == ("refuted", None)
    assert theorem["counterexample"].startswith("assert 1000 < 1000\n") and "n=1000," in theorem["counterexample"]


def test_several_failed_assertions_are_a_refutation(session, store):
    result = session(HEAD + one_theorem("assert n < 10\n    assert n > -10, 'too low'"))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(['section/theorem: "It holds."', "*assert 10 < 10*", "*n=10,"])
    told = theorems(store)["theorem"]["counterexample"]
    assert all(part in told for part in ("assert 10 < 10", "n=10,", "too low", "n=-10,"))


def test_theorem_expected_refuted_passes_while_refuted(session, store):
    session(HEAD + one_theorem(FALSE, (1000,), **SHIPS_REFUTED)).assert_outcomes(passed=1)
    assert (theorems(store)["theorem"]["verdict"], theorems(store)["theorem"]["expected"]) == ("refuted", "refuted")
    result = session(HEAD + one_theorem(TRUE, (1000,), **SHIPS_REFUTED))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*supported, but expected to be refuted: its counterexample no longer fails",
            "*expected   refuted: n = 1000",
            "  theorem *supported[*] *21 examples",
        ]
    )
    result.stdout.no_fnmatch_line("*pytest_plugin*")  # no traceback through the plugin


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("1 / 0", "E *ZeroDivisionError*"),
        ("assert n < 10\n    assert n > -10 or 1 / 0", "*ZeroDivisionError*"),
        ("CALLS.append(n)\n    assert len(CALLS) != 3", "*FlakyFailure*"),
        ("pytest.fail('never mind')", "E *never mind*"),
    ],
)
@pytest.mark.parametrize("changes", [{}, SHIPS_REFUTED])
def test_other_exception_in_a_theorem_is_an_error(session, store, body, sentence, changes):
    result = session(HEAD + "CALLS = []\n" + one_theorem(body, **changes))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([sentence, "  theorem *error*"])
    assert theorems(store)["theorem"]["counterexample"] is None


def test_failing_explicit_example_is_reported_at_once(session):
    # Nothing else has been tried before, which the second test sees.
    body = one_theorem("CALLS.append(n)\n    " + FALSE, (1000,)) + "\ndef test_calls():\n    assert CALLS == [1000]\n"
    result = session(HEAD + "CALLS = []\n" + body)
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(['section/theorem: "It holds."', "*explicit example*", "*n=1000,"])


PLAIN = "\n@stated('section/theorem')\ndef test_theorem({}):\n    pass\n"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            one_theorem(TRUE) + one_theorem(TRUE).replace("test_", "test_2"),
            "Two theorems have the id 'section/theorem'*",
        ),
        (
            one_theorem(TRUE, name="claim") + one_claim(SUPPORTED).replace("test_", "test_2"),
            "A claim and a theorem have*",
        ),
        (PLAIN.format("ppo"), "The theorem 'section/theorem' takes the runs 'ppo', and a theorem cannot use runs*"),
        ("\n@pytest.fixture\ndef kl(ppo):\n    pass\n" + PLAIN.format("kl"), "*takes the runs 'ppo'*"),
        ("\n@pytest.mark.xfail" + one_theorem(TRUE), "*'section/theorem' or an example of it is marked xfail*"),
        (
            "\n@stated('section/theorem', expected='refuted', evidence='n = 3')\n@example(3).xfail()\n@tried()\n"
            f"def test_theorem(n):\n    {TRUE}\n",
            "*'section/theorem' or an example of it is marked xfail*",
        ),
        (
            "\nimport unittest\n\nclass TestIt(unittest.TestCase):\n"
            "    @stated('section/theorem')\n    def test_theorem(self):\n        pass\n",
            "*unittest.TestCase*",
        ),
        (f"\n@tried()\n@stated('section/theorem')\ndef test_theorem(n):\n    {TRUE}\n", "*below hypothesis's @given*"),
        (f"\n@tried()\n@declared('section/claim')\ndef test_claim(n):\n    {TRUE}\n", "*below hypothesis's @given*"),
    ],
)
def test_invalid_theorems_are_refused_at_collection(session, body, sentence):
    result = session(HEAD + body)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {sentence}"])


@pytest.mark.parametrize(
    ("definition", "sentence"),
    [
        ("@declared('section/claim')\ndef test_it():\n    pass", "*is a claim already: one function, one sentence.*"),
        ("@stated('section/other')\ndef test_it():\n    pass", "*is a theorem already: one function, one sentence.*"),
        ("class TestIt:\n    pass", "*must be a plain function, neither a class nor async.*"),
    ],
)
def test_theorem_decorator_takes_only_functions(session, definition, sentence):
    result = session(HEAD + f"\n@stated('section/theorem')\n{definition}\n")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([sentence])


def test_claim_cannot_be_a_theorem(session):
    result = session(HEAD + "\n@declared('section/claim')" + PLAIN.format(""))
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*The function of the claim 'section/claim' is a theorem already*"])


def test_optimized_python_is_refused_for_theorems(pytester):
    pytester.makepyfile(test_theorems=HEADER + HEAD + one_theorem(TRUE))
    result = pytester.run(sys.executable, "-O", "-m", "pytest")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: Claims and theorems are asserts, *"])


def test_theorem_obeys_pytests_marks_and_fixtures(session, store):
    body = """
@pytest.fixture
def bound():
    return 0

@pytest.fixture
def broken():
    1 / 0

@pytest.fixture
def leaves():
    yield
    1 / 0

class TestSquares:
    @pytest.mark.parametrize("power", [2, 3])
    @stated("section/powers")
    @tried()
    def test_powers(self, power, n):
        assert n**power >= 0

@stated("section/plain")
def test_plain(bound, tmp_path):
    assert bound == 0 and tmp_path.is_dir()

@stated("section/broken")
def test_broken(broken):
    pass

@stated("section/leaves")
def test_leaves(leaves):
    pass

@pytest.mark.skip
@stated("section/skipped")
def test_skipped():
    assert False

@stated("section/given-up")
def test_given_up():
    pytest.skip("later")

@stated("section/elsewhere")
def test_elsewhere():
    assert False
"""
    result = session(HEAD + body, "-k", "not elsewhere")
    result.assert_outcomes(passed=3, failed=1, errors=2, skipped=2, deselected=1)
    assert {name: (told["verdict"], told["examples"]) for name, told in theorems(store).items()} == {
        "powers[2]": ("supported", 20),
        "powers[3]": ("refuted", None),
        "plain": ("supported", None),
        "broken": ("error", None),
        "leaves": ("error", None),
    }


def test_smoke_profile_judges_theorems(session, store):
    body = one_theorem(TRUE, name="true") + one_theorem(FALSE, (1000,), name="known", **SHIPS_REFUTED)
    result = session(HEAD + body + one_claim(SUPPORTED), "--claims-profile=smoke")
    assert result.parseoutcomes() == {"passed": 2, "inconclusive": 1}
    result.stdout.fnmatch_lines(
        [
            "  true *supported",
            "  known *refuted[*]",
            "  claim *inconclusive (smoke is no evidence)",
            "smoke is no evidence: these claims run, *",
            "Theorems take no seeds and are judged as in any profile.",
            "[*] expected to be refuted: *",
        ]
    )
    assert theorems(store)["true"]["verdict"] == "supported"


@pytest.mark.parametrize("option", ["--claims-dry-run", "--claims-replay=0"])
def test_dry_run_and_replay_run_no_theorem(session, pytester, option):
    result = session(HEAD + one_theorem("open('ran', 'w').close()"), option)
    result.stdout.fnmatch_lines(["rlclaims: no selected test takes runs."])
    assert not (pytester.path / "ran").exists()


def test_theorems_are_recorded_and_use_no_share(session, store, pytester):
    known = one_theorem(FALSE, (1000,), name="known", **SHIPS_REFUTED)
    session(HEAD + THREE + known + one_claim(SUPPORTED), "--junitxml=junit.xml")
    record = written(store)
    assert [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(record)] == []
    verdicts = {name: theorem["verdict"] for name, theorem in theorems(store).items()}
    assert verdicts == {"true": "supported", "false": "refuted", "broken": "error", "known": "refuted"}
    (claim,) = record["claims"]
    assert claim["family"]["size"] == 1
    cases = ElementTree.parse(pytester.path / "junit.xml").iter("testcase")
    told = {case.get("name"): {p.get("name"): p.get("value") for p in case.iter("property")} for case in cases}
    assert told["test_true"] == {
        "theorem": "section/true", "verdict": "supported", "expected": "supported", "examples": "20",
    }  # fmt: skip
    assert told["test_known"] == {"theorem": "section/known", "verdict": "refuted", "expected": "refuted"}


def test_options_about_seeds_ignore_theorems(session, pytester):
    body = HEAD + one_theorem(TRUE) + one_claim(INCONCLUSIVE)
    result = session(body, "--claims-strict", "--claims-write-pilots", "--claims-first-seed=10000")
    assert result.parseoutcomes() == {"passed": 1, "inconclusive": 1}
    result.stdout.fnmatch_lines(["ERROR: --claims-strict: 1 of 1 claims are inconclusive"])
    assert list(json.loads((pytester.path / "pilots.json").read_text())) == ["section/claim"]


def test_theorem_digest_changes_with_its_code(session, store):
    def digest(body):
        session(HEAD + body)
        return theorems(store)["theorem"]["sha256"]

    plain = digest(one_theorem(TRUE))
    assert digest(one_theorem(f"# why\n    {TRUE}")) == plain
    assert digest(one_theorem(TRUE.replace("0", "-1"))) != plain
    assert digest(one_theorem(TRUE, (3,))) != plain


def test_counterexample_is_plain_text(session, store):
    session(HEAD + one_theorem("assert n is None, '\\x1b[31m' + chr(0xD800)"), "--color=yes")
    assert theorems(store)["theorem"]["counterexample"].startswith("\\ud800\nassert 0 is None")


def test_theorems_are_the_same_with_two_workers(pytester, tmp_path):
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_claims=HEADER + HEAD + THREE)
    result = pytester.runpytest_subprocess("-n2", f"--claims-store={tmp_path}")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        ['section/false: "It holds."', "*n=1000,", "  true *supported *20 examples", "  false *refuted*"]
    )
    assert list(theorems(tmp_path)) == ["true", "false", "broken"]


def test_plugin_does_not_import_hypothesis(pytester):
    body = "\nimport sys\nfrom rlclaims import theorem\n\n@theorem('a/b', HERE, says='It is so.', means='It is.')\n"
    pytester.makepyfile(HEADER + body + "def test_light():\n    assert 'hypothesis' not in sys.modules\n")
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


@pytest.fixture
def record(pytester):
    """A project with three theorems that were judged: its record."""
    pytester.makepyfile(HEADER + HEAD + THREE)
    pytester.runpytest_inprocess("-p", "no:cacheprovider")
    return pytester.path / ".rlclaims" / "reports" / "latest" / "claims.json"


def told(*arguments):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_list_and_explain_show_theorems(record):
    assert [line.split()[:2] for line in told("list").splitlines()[2:]] == [
        ["true", "supported"],
        ["false", "refuted"],
        ["broken", "error"],
    ]
    said = told("explain", "section/true")
    assert all(part in said for part in ('"It holds."', "a test, section 1", "It is so of every", "(20 examples)"))
    assert "margin" not in said and "family" not in said
    assert "verdict    refuted\n             assert 1000 < 1000\n" in told("explain", "section/false")


def test_record_without_theorems_is_readable(record):
    older = {key: part for key, part in json.loads(record.read_text()).items() if key != "theorems"}
    record.write_text(json.dumps(older))
    assert told("list").count("not run") == 3
    assert "judges it" in told("explain", "section/true")
