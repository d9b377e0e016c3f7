"""Dry runs: what would be trained, and nothing is."""

import re

import pytest
from claim_text import INCONCLUSIVE, SUPPORTED, one_claim, stored

OTHER = one_claim(SUPPORTED, "ppo, trpo").replace("section/claim", "section/other").replace("test_claim", "test_other")


def row(result, name):
    """The numbers in a row of the table: runs in the store, runs to train, steps, minutes, megabytes."""
    (line,) = (line for line in result.outlines if line.startswith(name))
    return line.removeprefix(name).split()


def test_a_dry_run_trains_nothing_and_says_what_it_would(session_by_looks, tmp_path):
    result = session_by_looks(one_claim(SUPPORTED) + OTHER, "--claims-dry-run")
    assert result.ret == pytest.ExitCode.OK
    assert result.parseoutcomes() == {}
    assert list(tmp_path.iterdir()) == []
    # Without pilots: decided at the next look of 6, 8, 10, 12; at the second; at none.
    assert row(result, "  claim ")[:2] == ["0", "6/8/12"]
    assert row(result, "  other ")[:2] == ["0", "12/16/24"]
    assert row(result, "all, once")[:2] == ["0", "12/16/24"]  # what they share is trained once


def test_steps_are_those_of_training_and_of_measuring(session_by_looks, pytester):
    conftest = (pytester.path / "conftest.py").read_text()
    pytester.makeconftest(conftest.replace("iterations=2, steps=64", "iterations=21, steps=6400"))
    result = session_by_looks(one_claim(SUPPORTED), "--claims-dry-run", "--claims-seeds=10")
    # 21 iterations, three of which (0, 10, 20) are also measured on fresh pairs, of ten seeds.
    assert float(row(result, "all, once")[2]) == pytest.approx(10 * 6400 * (21 + 3) / 1e6, abs=0.05)


def test_the_runs_that_a_dry_run_told_of_are_trained(session_by_looks, tmp_path):
    told = row(session_by_looks(one_claim(SUPPORTED), "--claims-dry-run"), "all, once")
    result = session_by_looks(one_claim(SUPPORTED))
    runs, steps = re.search(r"training (\d+) runs of PPO \((\d+) steps\)", str(result.stdout)).groups()
    assert told[1].split("/")[0] == runs == str(len(stored(tmp_path, "PPO")))
    assert int(steps) == 6 * 2 * 64


def test_looks_whose_runs_are_stored_are_taken(session_by_looks):
    session_by_looks(one_claim(SUPPORTED))
    result = session_by_looks(one_claim(SUPPORTED), "--claims-dry-run")
    assert row(result, "all, once") == ["6", "0", "0", "0", "0"]
    result.stdout.no_fnmatch_line("*measuring how fast*")
    # Another claim on these runs is open after them, so the next look is sure to be trained.
    result = session_by_looks(one_claim(INCONCLUSIVE), "--claims-dry-run")
    assert row(result, "all, once")[:2] == ["6", "2/2/6"]


def test_pilots_say_when_a_claim_is_expected_to_be_decided(session_by_looks, pytester):
    session_by_looks(one_claim(SUPPORTED), "--claims-write-pilots", "--claims-first-seed=10000")
    assert '"seeds_used": 6' in (pytester.path / "pilots.json").read_text()
    result = session_by_looks(one_claim(SUPPORTED), "--claims-dry-run")
    assert row(result, "all, once")[1] == "6/6/12"


def test_a_pilot_that_decided_nothing_expects_every_look(session_by_looks, pytester):
    session_by_looks(one_claim(INCONCLUSIVE), "--claims-write-pilots", "--claims-first-seed=10000")
    assert '"seeds_used": 12' in (pytester.path / "pilots.json").read_text()
    assert row(session_by_looks(one_claim(INCONCLUSIVE), "--claims-dry-run"), "all, once")[1] == "6/12/12"


def test_selection_selects_what_is_told_of(session_by_looks):
    result = session_by_looks(one_claim(SUPPORTED) + OTHER, "--claims-dry-run", "-k", "not test_other")
    assert row(result, "all, once")[1] == "6/8/12"
    result.stdout.no_fnmatch_line("  other *")


def test_a_dry_run_runs_no_test_at_all(session_by_looks):
    result = session_by_looks("\ndef test_plain():\n    assert False\n", "--claims-dry-run")
    assert result.ret == pytest.ExitCode.OK and result.parseoutcomes() == {}
    result.stdout.fnmatch_lines(["rlclaims: no selected test takes runs."])


def test_an_algorithm_that_cannot_be_trained_is_told_of(session_by_looks):
    body = """
import rlclaims

class Mine(rlclaims.PPO):
    def learn(self, agent, rollout):
        raise RuntimeError("gone")

mine = rlclaims.runs(Mine, "InvertedPendulum-v5", iterations=2)
"""
    result = session_by_looks(body + one_claim(SUPPORTED.replace("ppo", "mine"), "mine"), "--claims-dry-run")
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    result.stdout.fnmatch_lines(["*Mine-InvertedPendulum-v5-seed0 and its like cannot be trained*RuntimeError: gone*"])


@pytest.mark.parametrize("change", [('"seeds_used": 6', '"seeds_used": null'), ("PPO", "TRPO")])
def test_a_pilot_that_says_nothing_of_this_claim_is_left_out(session_by_looks, pytester, change):
    session_by_looks(one_claim(SUPPORTED), "--claims-write-pilots", "--claims-first-seed=10000")
    pilots = pytester.path / "pilots.json"
    pilots.write_text(pilots.read_text().replace(*change))
    assert row(session_by_looks(one_claim(SUPPORTED), "--claims-dry-run"), "all, once")[1] == "6/8/12"
