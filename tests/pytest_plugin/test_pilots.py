"""Pilots: the spread between development seeds, and the minimal detectable effect computed from it."""

import json

import pytest
from claim_text import SUPPORTED, one_claim, stored, written


def test_pilot_gives_the_minimal_detectable_effect(session, store, pytester):
    claim = one_claim(SUPPORTED, margin=0.001)
    result = session(claim, "--claims-write-pilots", "--claims-first-seed=10000")
    result.stdout.fnmatch_lines(["*pilots.json"])
    session(claim)
    evidence = written(store)["claims"][0]["evidence"]
    (pilot,) = json.loads((pytester.path / "pilots.json").read_text()).values()
    assert pilot["seeds"] == [10000, 10001, 10002, 10003, 10004]
    assert evidence["mde"] > 0 and evidence["n_needed"] is not None
    # A pilot on the judged seeds themselves is ignored.
    session(claim, "--claims-first-seed=10000")
    assert written(store)["claims"][0]["evidence"]["mde"] is None


def test_pilot_on_seeds_of_the_suite_is_refused(session):
    result = session(one_claim(SUPPORTED), "--claims-write-pilots")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: Pilots are made on development seeds*"])


@pytest.mark.parametrize("claim", [one_claim(SUPPORTED), one_claim("pass", parameters="")])
def test_broken_pilots_file_is_reported_in_one_sentence(session, pytester, claim):
    (pytester.path / "pilots.json").write_text('{"section/claim": {"sd": 1}}')
    result = session(claim)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *pilots.json is not a file of pilots*"])


def test_pilot_needs_seeds_that_vary(session, pytester):
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
        {"key": 3},
        {"settings": 3},
        {"settings": [{"task": 3, "steps": 4}]},
    ],
)
def test_invalid_pilot_is_refused(session, pytester, pilot):
    good = {"standard_deviation": 1.0, "seeds": [10000, 10001], "key": "x", "settings": [{"task": "y", "steps": 3}]}
    (pytester.path / "pilots.json").write_text(json.dumps({"section/claim": {**good, **pilot}}))
    result = session(one_claim(SUPPORTED))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *pilots.json is not a file of pilots*"])


def test_pilot_trains_the_seeds_of_all_looks(session_by_looks, tmp_path):
    session_by_looks(one_claim(SUPPORTED), "--claims-write-pilots", "--claims-first-seed=10000")
    assert stored(tmp_path, "PPO") == list(range(10000, 10012))
