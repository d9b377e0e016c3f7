"""--claims-nightly: evidence accumulates over sessions on fresh seeds, and only its alarm fails a claim."""

import json

import numpy as np
import pytest
from claim_text import INCONCLUSIVE, REFUTED, SUPPORTED, one_claim, stored, written
from scipy import stats

from rlclaims.stats.detector import EFFECTS

LATE = "kl_old_new.mean.training.last(0.5)"


def state(pytester):
    return json.loads((pytester.path / "nights.json").read_text())


@pytest.fixture
def night(session):
    """Runs a session of --claims-nightly."""
    return lambda body, *options: session(body, "--claims-nightly=nights.json", *options)


def test_one_bad_night_is_inconclusive_and_two_raise_the_alarm(night, pytester, store):
    first = night(one_claim(REFUTED), "--claims-run-length=120")  # above what five seeds can say
    assert first.parseoutcomes() == {"inconclusive": 1} and first.ret == pytest.ExitCode.OK
    (claim,) = written(store)["claims"]
    assert claim["verdict"] == "refuted" and claim["night"]["threshold"] == 120 and not claim["night"]["alarm"]
    assert 99 < claim["night"]["e_value"] == claim["night"]["value"] < 120
    before = state(pytester)
    assert before["sessions"] == 1 and before["run_length"] == 120
    assert [claim["name"] for claim in before["claims"].values()] == ["section/claim"]
    second = night(one_claim(REFUTED))
    assert second.parseoutcomes() == {"failed": 1} and second.ret == pytest.ExitCode.TESTS_FAILED
    second.stdout.fnmatch_lines(["*evidence against it 1*e+0* after an e-value of 99.6 *; the alarm is at 120*"])
    after = state(pytester)
    assert after["last"][1]["alarms"] == ["section/claim"]
    assert [claim["value"] for claim in after["claims"].values()] == [0]  # begins again
    assert night(one_claim(REFUTED)).parseoutcomes() == {"inconclusive": 1}


def test_each_night_uses_fresh_seeds(night, pytester, store):
    body = one_claim(f"assert ppo.{LATE} / trpo.{LATE} <= .01", "ppo, trpo")
    value, said = 0.0, []
    for number in (1, 2, 3):
        result = night(body)
        claim = written(store)["claims"][0]
        seeds = [100_000 + 10_000 * (number - 1) + i for i in range(5)]
        assert claim["runs"][0]["seeds"] == seeds and claim["status"] == "confirmatory"
        t = stats.ttest_1samp(np.log(claim["evidence"]["values"][0]) - np.log(0.01), 0).statistic
        noncentral = [stats.nct.pdf(t, 4, effect * np.sqrt(5)) for effect in EFFECTS]
        e_value = np.mean(noncentral) / stats.t.pdf(t, 4)
        value = (value + 1) * e_value
        said.append(e_value)
        assert claim["night"]["e_value"] == pytest.approx(e_value, rel=1e-4)
        assert claim["night"]["value"] == pytest.approx(value, rel=1e-3)
        assert claim["night"]["threshold"] == 1000
    assert result.ret == pytest.ExitCode.OK
    (kept,) = state(pytester)["claims"].values()
    assert kept["value"] == pytest.approx(value, rel=1e-3)
    assert [night["e_values"]["section/claim"] for night in state(pytester)["last"]] == pytest.approx(said, rel=1e-3)
    assert {110_000, 120_004} <= set(stored(store, "TRPO"))


def test_run_length_is_shared_and_changed_claims_restart(night, pytester):
    two = one_claim(SUPPORTED) + one_claim(INCONCLUSIVE).replace("section/claim", "section/b").replace(
        "test_claim", "test_b"
    )
    result = night(two, "--claims-run-length=30")
    assert result.parseoutcomes() == {"passed": 1, "inconclusive": 1}
    result.stdout.fnmatch_lines(["*at most once in 30 sessions*", "*evidence of one session is in nights.json"])
    (first, _) = state(pytester)["claims"]
    changed = one_claim(SUPPORTED.replace("-1", "-2"))
    night(changed)
    claims = state(pytester)["claims"]
    assert len(claims) == 3 and first in claims
    (e_value,) = state(pytester)["last"][1]["e_values"].values()
    assert list(claims.values())[2]["value"] == pytest.approx(e_value, rel=1e-3)  # (0 + 1) e


def test_interrupted_night_is_not_counted(night, pytester, store):
    result = night(one_claim(SUPPORTED) + "\nimport pytest\n\ndef test_stops():\n    pytest.exit('enough')\n")
    assert result.ret == pytest.ExitCode.INTERRUPTED and written(store)["claims"]
    assert not (pytester.path / "nights.json").exists()


def test_night_is_the_same_with_two_workers(night, pytester, store):
    night(one_claim(SUPPORTED))
    alone = state(pytester)
    (pytester.path / "nights.json").unlink()
    result = pytester.runpytest_subprocess(
        f"--claims-store={store}", "--claims-seeds=5", "--claims-nightly=nights.json", "-n2"
    )
    result.assert_outcomes(passed=1)
    assert state(pytester) == alone


def test_unwritable_file_is_refused_before_training(night, store):
    before = len(list(store.glob("runs/*")))
    result = night(one_claim(SUPPORTED), "--claims-nightly=/proc/nights.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: The nights' folder /proc cannot be written (*); choose * --claims-nightly *"])
    assert len(list(store.glob("runs/*"))) == before


ANOTHER = """
import json, pathlib
def test_meanwhile():
    there = pathlib.Path("nights.json")
    written = {content}
    there.write_text(json.dumps(written)) if written else there.mkdir()
"""


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            '{"format": 1, "run_length": 1000, "subject": None, "sessions": 1, "claims": {}, "last": []}',
            "nights.json was written by another session on the same seeds since this one started, so the evidence *",
        ),
        ("None", "nights.json is not a --claims-nightly file (*"),
    ],
)
def test_evidence_that_cannot_be_written_fails_the_session(night, content, sentence):
    result = night(one_claim(SUPPORTED) + ANOTHER.format(content=content))
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([sentence])


def test_same_session_run_twice_at_once_counts_once(night, pytester):
    night(one_claim(SUPPORTED))
    kept = state(pytester)
    (pytester.path / "nights.json").unlink()
    result = night(one_claim(SUPPORTED) + ANOTHER.format(content=repr(kept)))
    assert result.ret == pytest.ExitCode.OK and state(pytester) == kept
    result.stdout.fnmatch_lines(["The evidence of one session is in nights.json"])


@pytest.mark.parametrize(
    ("options", "content", "sentence"),
    [
        (
            ["--claims-first-seed=7"],
            None,
            "--claims-nightly chooses fresh seeds itself: leave out --claims-first-seed.",
        ),
        (["--claims-profile=smoke"], None, "--claims-nightly accumulates evidence, and smoke is no evidence:*"),
        (["--claims-run-length=0"], None, "--claims-run-length is a number from 1 up, not 0."),
        (
            [],
            "[]",
            "nights.json is not a --claims-nightly file (a part of it has the wrong type*). Name another file, or *",
        ),
        ([], '{"format": 2}', "nights.json is not a --claims-nightly file (format 2, and *"),
        (
            ["--claims-run-length=7"],
            {"subject": None},
            "nights.json was started with a run length of 9 sessions, and --claims-run-length asks for 7:*",
        ),
        (
            [],
            {"subject": "algos:mine"},
            "nights.json holds evidence about algos:mine, and the subject *",
        ),
        (
            ["--claims-nightly=nowhere/n.json"],
            None,
            "The folder *nowhere of --claims-nightly * does not exist*",
        ),
    ],
)
def test_mistakes_are_refused_before_training(night, pytester, store, options, content, sentence):
    if content is not None:
        begun = {"format": 1, "run_length": 9, "sessions": 1, "claims": {}, "last": []}
        text = content if isinstance(content, str) else json.dumps({**begun, **content})
        (pytester.path / "nights.json").write_text(text)
    before = len(list(store.glob("runs/*")))
    result = night(one_claim(SUPPORTED), *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {sentence}".replace("[]", "[[]]")])
    assert len(list(store.glob("runs/*"))) == before


def test_run_length_needs_nightly(session):
    result = session(one_claim(SUPPORTED), "--claims-run-length=7")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --claims-run-length needs --claims-nightly FILE: add that option."])
