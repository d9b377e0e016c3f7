"""Dry runs: they report what would be trained, and train nothing."""

import re

import pytest
from claim_text import INCONCLUSIVE, SUPPORTED, one_claim, stored

OTHER = one_claim(SUPPORTED, "ppo, trpo").replace("section/claim", "section/other").replace("test_claim", "test_other")


def row(result, name):
    """Return the numbers in a row of the table: stored runs, runs to train, steps, minutes, megabytes."""
    (line,) = (line for line in result.outlines if line.startswith(name))
    return line.removeprefix(name).split()


def test_dry_run_reports_the_runs_and_trains_nothing(session_by_looks, tmp_path):
    result = session_by_looks(one_claim(SUPPORTED) + OTHER, "--claims-dry-run")
    assert result.ret == pytest.ExitCode.OK
    assert result.parseoutcomes() == {}
    assert list(tmp_path.iterdir()) == []
    # Looks at 6, 8, 10 and 12 seeds. Without pilots: at the least, decided at the first look; as expected, at the
    # second; at the most, never.
    assert row(result, "  claim ")[:2] == ["0", "6/8/12"]
    assert row(result, "  other ")[:2] == ["0", "12/16/24"]
    assert row(result, "all, once")[:2] == ["0", "12/16/24"]  # shared runs are trained once


def test_dry_run_counts_steps_of_training_and_measuring(session_by_looks, pytester):
    conftest = (pytester.path / "conftest.py").read_text()
    pytester.makeconftest(conftest.replace("iterations=2, steps=64", "iterations=21, steps=6400"))
    result = session_by_looks(one_claim(SUPPORTED), "--claims-dry-run", "--claims-seeds=10")
    # Ten seeds of 21 iterations each; iterations 0, 10 and 20 are also measured on fresh pairs.
    assert float(row(result, "all, once")[2]) == pytest.approx(10 * 6400 * (21 + 3) / 1e6, abs=0.05)


def test_session_trains_the_runs_of_its_dry_run(session_by_looks, tmp_path):
    planned = row(session_by_looks(one_claim(SUPPORTED), "--claims-dry-run"), "all, once")
    result = session_by_looks(one_claim(SUPPORTED))
    runs, steps = re.search(r"training (\d+) runs of PPO \((\d+) steps\)", str(result.stdout)).groups()
    assert planned[1].split("/")[0] == runs == str(len(stored(tmp_path, "PPO")))
    assert int(steps) == 6 * 2 * 64


def test_dry_run_takes_looks_whose_runs_are_stored(session_by_looks):
    session_by_looks(one_claim(SUPPORTED))
    result = session_by_looks(one_claim(SUPPORTED), "--claims-dry-run")
    assert row(result, "all, once") == ["6", "0", "0", "0", "0"]
    result.stdout.no_fnmatch_line("*measuring how fast*")
    # Another claim on these runs is still open, so the next look must be trained.
    result = session_by_looks(one_claim(INCONCLUSIVE), "--claims-dry-run")
    assert row(result, "all, once")[:2] == ["6", "2/2/6"]


def test_dry_run_expects_the_deciding_look_of_the_pilot(session_by_looks, pytester):
    session_by_looks(one_claim(SUPPORTED), "--claims-write-pilots", "--claims-first-seed=10000")
    assert '"seeds_used": 6' in (pytester.path / "pilots.json").read_text()
    result = session_by_looks(one_claim(SUPPORTED), "--claims-dry-run")
    assert row(result, "all, once")[1] == "6/6/12"


def test_dry_run_expects_every_look_after_an_undecided_pilot(session_by_looks, pytester):
    session_by_looks(one_claim(INCONCLUSIVE), "--claims-write-pilots", "--claims-first-seed=10000")
    assert '"seeds_used": 12' in (pytester.path / "pilots.json").read_text()
    assert row(session_by_looks(one_claim(INCONCLUSIVE), "--claims-dry-run"), "all, once")[1] == "6/12/12"


def test_dry_run_covers_only_selected_claims(session_by_looks):
    result = session_by_looks(one_claim(SUPPORTED) + OTHER, "--claims-dry-run", "-k", "not test_other")
    assert row(result, "all, once")[1] == "6/8/12"
    result.stdout.no_fnmatch_line("  other *")


def test_dry_run_executes_no_test(session_by_looks):
    result = session_by_looks("\ndef test_plain():\n    assert False\n", "--claims-dry-run")
    assert result.ret == pytest.ExitCode.OK and result.parseoutcomes() == {}
    result.stdout.fnmatch_lines(["rlclaims: no selected test takes runs."])


def test_dry_run_reports_an_algorithm_that_fails_to_train(session_by_looks):
    body = """
import rlclaims

class Mine(rlclaims.PPO):
    def learn(self, agent, rollout):
        raise RuntimeError("gone")

mine = rlclaims.runs(Mine, "InvertedPendulum-v5", iterations=2)
"""
    result = session_by_looks(body + one_claim(SUPPORTED.replace("ppo", "mine"), "mine"), "--claims-dry-run")
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    result.stdout.fnmatch_lines(["*Mine-InvertedPendulum-v5-seed0 and other runs cannot*RuntimeError: gone*"])


@pytest.mark.parametrize("change", [('"seeds_used": 6', '"seeds_used": null'), ("PPO", "TRPO")])
def test_dry_run_ignores_a_pilot_that_does_not_apply(session_by_looks, pytester, change):
    session_by_looks(one_claim(SUPPORTED), "--claims-write-pilots", "--claims-first-seed=10000")
    pilots = pytester.path / "pilots.json"
    pilots.write_text(pilots.read_text().replace(*change))
    assert row(session_by_looks(one_claim(SUPPORTED), "--claims-dry-run"), "all, once")[1] == "6/8/12"
