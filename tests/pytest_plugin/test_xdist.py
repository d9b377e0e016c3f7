"""Claims under pytest-xdist: workers train and judge, the controller reports."""

import json

import pytest
from claim_text import CONFTEST, HEADER, INCONCLUSIVE, REFUTED, SUPPORTED, one_claim, stored, written

TWO = one_claim(REFUTED).replace("section/claim", "section/a-false").replace("test_claim", "test_false")
THREE = (
    one_claim(INCONCLUSIVE)
    + TWO
    + one_claim(SUPPORTED, "trpo")
    .replace("ppo.", "trpo.")
    .replace("section/claim", "section/third")
    .replace("test_claim", "test_third")
)


@pytest.fixture
def shared(pytester):
    """Runs a session of its own process, shared out to two workers or not."""
    pytester.makeconftest(CONFTEST)

    def run(body, folder, *options):
        pytester.makepyfile(test_claims=HEADER + body)
        return pytester.runpytest_subprocess(f"--claims-store={folder}", "--claims-seeds=5", *options)

    return run


def verdicts(record):
    return [(claim["name"], claim["verdict"], claim["evidence"]) for claim in record["claims"]]


def test_two_workers_agree_and_train_nothing_twice(shared, pytester, tmp_path):
    alone, together = tmp_path / "alone", tmp_path / "together"
    result = shared(THREE, together, "-n2", "-v", "--claims-report=here", "--junitxml=junit.xml")
    assert result.parseoutcomes() == {"passed": 1, "failed": 1, "inconclusive": 1}
    shared(THREE, alone)
    record = json.loads((pytester.path / "here" / "claims.json").read_text())
    assert verdicts(record) == verdicts(written(alone))  # in the order of the file, too
    assert str(result.stdout).count("  third ") == 2  # the table of verdicts and that of methods, once
    assert stored(together, "PPO") == stored(together, "TRPO") == [0, 1, 2, 3, 4]
    # One worker trains, and says so; the other waits for it, or comes when all is done.
    assert str(result.stderr).count("rlclaims: training 10 runs of ") == 1
    xml = (pytester.path / "junit.xml").read_text()
    assert all(f'name="verdict" value="{verdict}"' in xml for verdict in ("supported", "refuted", "inconclusive"))


def test_strict_counts_over_all_workers(shared, store):
    assert shared(one_claim(INCONCLUSIVE), store, "-n2", "--claims-strict").ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (one_claim(SUPPORTED) + one_claim(SUPPORTED).replace("test_claim", "test_again"), "Two claims have the id*"),
        (one_claim("pass", parameters="tmp_path"), "*takes 'tmp_path', and a claim can take only runs*"),
    ],
)
def test_mistake_is_reported_once_and_ends_the_session(shared, store, body, sentence):
    result = shared(body, store, "-n2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines([f"ERROR: {sentence}"])
    assert str(result.stdout).count("ERROR: ") == 1
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_dry_run_and_replay_use_no_workers(shared, store):
    result = shared(one_claim(SUPPORTED), store, "-n2", "--claims-dry-run")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *leave out -n."])


def test_failed_training_is_reported_by_the_controller(shared, tmp_path):
    body = """
import rlclaims

class Mine(rlclaims.PPO):
    def learn(self, agent, rollout):
        raise RuntimeError("gone")

mine = rlclaims.runs(Mine, "InvertedPendulum-v5", iterations=2)
"""
    result = shared(body + one_claim(SUPPORTED.replace("ppo", "mine"), "mine"), tmp_path, "-n2")
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    result.stdout.fnmatch_lines(["ERROR: The process that trained *RuntimeError: gone*"])
