"""Training for the claims of a session: which runs, in which processes, and what stops it."""

import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import safetensors.numpy
from claim_text import CONFTEST, HEADER, SUPPORTED, one_claim, written
from filelock import FileLock

from rlclaims import compiled
from rlclaims.pytest_plugin.progress import Display
from rlclaims.store.rounding import arithmetic


def test_second_session_trains_nothing(session):
    session(one_claim(SUPPORTED))
    session(one_claim(SUPPORTED)).stdout.no_fnmatch_line("*rlclaims: training*")


def test_session_trains_runs_of_selected_claims_only(session, tmp_path):
    body = one_claim(SUPPORTED) + "\n@declared('section/other')\ndef test_other(ppo, trpo):\n    assert False\n"
    result = session(body, "-k", "not test_other", f"--claims-store={tmp_path}")
    result.assert_outcomes(passed=1, deselected=1)
    result.stdout.fnmatch_lines(["rlclaims: training 5 runs of PPO (640 steps)*"])


def test_first_seed_option_selects_other_runs(session, store):
    session(one_claim(SUPPORTED), "--claims-first-seed=7").assert_outcomes(passed=1)
    (claim,) = written(store)["claims"]
    assert claim["evidence"]["seeds"] == [[7, 8, 9, 10, 11]]


def test_parametrized_claims_are_judged_separately(session, store):
    body = (
        "\nimport pytest\n\n@pytest.mark.parametrize('bound', [-1, -2])\n@declared('section/claim')\n"
        "def test_claim(ppo, bound):\n    assert ppo.kl_old_new.mean.training.overall() > bound\n"
    )
    session(body).assert_outcomes(passed=2)
    assert [claim["name"] for claim in written(store)["claims"]] == ["section/claim[-1]", "section/claim[-2]"]


def test_subclass_in_a_claim_file_trains_in_worker_processes(session):
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


def test_plain_test_receives_runs(session):
    session("\ndef test_looks(ppo):\n    assert ppo.settings.epochs == 1\n").assert_outcomes(passed=1)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_ctrl_c_stops_every_process_and_says_how_to_resume(pytester, tmp_path):
    pytester.makeconftest(CONFTEST.replace("iterations=2", "iterations=100_000"))
    pytester.makepyfile(test_claims=HEADER + one_claim(SUPPORTED))
    command = ("-m", "pytest", "--claims-seeds=5", "--claims-processes=2", f"--claims-store={tmp_path}")
    # A shell starts background jobs, perhaps these tests among them, with SIGINT ignored.
    restore_sigint = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    session = pytester.popen([sys.executable, *command], stdin=subprocess.DEVNULL, preexec_fn=restore_sigint)
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
    assert b"run the same command to resume" in out
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def workers_of(pid):
    """Return the process ids of the training processes that a session has started (Linux)."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize(
    ("seed", "sentence"),
    [
        (5, "ERROR: --claims-replay 5: the selected claims use seeds 0 to 4."),
        (3, "*the store has no run of that seed*"),
    ],
)
def test_replay_refuses_a_seed_without_a_run(session, tmp_path, seed, sentence):
    result = session(one_claim(SUPPORTED), f"--claims-replay={seed}", f"--claims-store={tmp_path}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([sentence])


def test_replay_reports_a_run_that_differs(session, tmp_path):
    session(one_claim(SUPPORTED), f"--claims-store={tmp_path}")
    (file,) = tmp_path.glob("runs/PPO-InvertedPendulum-v5-seed3-*/run.safetensors")
    arrays = safetensors.numpy.load_file(file)
    arrays["theta_KP"][1, 0] += 1
    safetensors.numpy.save_file(arrays, file)
    result = session(one_claim(SUPPORTED), "--claims-replay=3", f"--claims-store={tmp_path}")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["*seed3, 2 iterations: differs in theta_KP (from row 1 of 3).", "*1 of 1 runs differ from the store.*"]
    )


def test_session_waits_for_another_on_the_same_store(session, tmp_path, monkeypatch):
    other = FileLock(tmp_path / "training.lock")
    other.acquire()
    original = Display.wait

    def wait(display):
        original(display)
        other.release()

    monkeypatch.setattr(Display, "wait", wait)
    result = session(one_claim(SUPPORTED), f"--claims-store={tmp_path}")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["rlclaims: waiting for another process that trains into this store.", "rlclaims: training 5 runs*"]
    )


@pytest.mark.skipif(compiled.library() is None, reason="no C compiler here makes the kernels")
@pytest.mark.parametrize(
    ("variable", "value", "warns"), [("CC", "no-such-compiler", True), ("RLCLAIMS_COMPILED", "0", False)]
)
def test_missing_kernels_are_reported_unless_disabled(session, variable, value, warns, tmp_path):
    def clear_caches():
        compiled.library.cache_clear()
        arithmetic.cache_clear()

    with pytest.MonkeyPatch.context() as patch:  # not the fixture, which also restores the working directory
        patch.setenv(variable, value)
        clear_caches()
        lines = session(one_claim(SUPPORTED), f"--claims-store={tmp_path}").stdout
    clear_caches()
    warning = "rlclaims: warning: the C compiler (cc, or the command in CC) compiles no kernels here. *"
    lines.fnmatch_lines(["rlclaims: training 5 runs of PPO *"])
    if warns:
        lines.fnmatch_lines([warning])
    else:
        lines.no_fnmatch_line(warning)
