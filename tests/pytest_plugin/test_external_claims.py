"""Claims about external training: judged and planned like claims about our own algorithms."""

import pytest
from claim_text import stored, written

import rlclaims.adapters.loop  # noqa: F401  (also imported by conftest: sessions in this process forget their imports)

LOOP = """
import rlclaims
from rlclaims.adapters.loop import Loop

theirs = rlclaims.runs(Loop("tiny_training:holding_out", 24, held_out=True), "CartPole-v1", iterations=2)
"""
JUDGED = """
@declared("section/theirs")
def test_theirs(theirs):
    assert {}
"""
SUPPORTED = JUDGED.format("theirs.kl_old_new.mean.training.overall() > -1")


def test_claim_on_a_training_loop_is_judged(session, store):
    body = (
        LOOP
        + SUPPORTED
        + JUDGED.replace("theirs(theirs", "held_out(theirs")
        .replace("/theirs", "/held")
        .format("theirs.kl_old_new.mean.held_out.overall() < -1")
    )
    result = session(body)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["rlclaims: training 5 runs of holding-out (240 steps)*"])
    first, second = written(store)["claims"]
    assert (first["verdict"], second["verdict"]) == ("supported", "refuted")
    assert first["runs"][0]["algorithm"] == "holding-out" and first["runs"][0]["seeds"] == [0, 1, 2, 3, 4]
    assert stored(store, "holding-out") == [0, 1, 2, 3, 4]
    assert "holding-out(function='tiny_training:holding_out'" in str(first)
    session(body).stdout.no_fnmatch_line("*rlclaims: training*")


def test_claim_compares_stable_baselines_with_our_runs(session, store):
    pytest.importorskip("rlclaims.adapters.sb3", exc_type=ImportError)
    body = """
import rlclaims
from rlclaims.adapters.sb3 import SB3

baseline = rlclaims.runs(
    SB3("PPO", n_steps=16, batch_size=8, n_epochs=1, policy_kwargs={"net_arch": [8]}), "InvertedPendulum-v5",
    iterations=2,
)

@declared("section/baseline")
def test_baseline(baseline, ppo):
    assert baseline.ratio.max.training.overall() - ppo.ratio.min.training.overall() > -1
"""
    result = session(body)
    result.assert_outcomes(passed=1)
    (claim,) = written(store)["claims"]
    assert [runs["algorithm"] for runs in claim["runs"]] == ["sb3-PPO", "PPO"]
    assert stored(store, "sb3-PPO") == [0, 1, 2, 3, 4]


def test_dry_run_counts_the_steps_of_a_training_loop(session, tmp_path):
    # The declared number of steps is trusted.
    body = LOOP.replace("24", "200_000") + SUPPORTED
    result = session(body, "--claims-dry-run", "--claims-processes=1", f"--claims-store={tmp_path}")
    assert result.ret == 0
    # Five seeds of two iterations; the first iteration collects as many held-out pairs again.
    result.stdout.fnmatch_lines(["section", "  theirs *0 *5 *3.0 *", "all, once *0 *5 *3.0 *"])
    assert not list(tmp_path.glob("runs/*"))


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            LOOP + JUDGED.format("theirs.kl_deployed.mean.training.overall() > -1"),
            "*mean KL(old||new) as deployed, training batch is not available for holding-out(*",
        ),
        (
            LOOP + JUDGED.format("theirs.landscape.change(1.0).at(0) > -1"),
            "*Landscapes are of algorithms that rlclaims trains itself; of holding-out it only records updates.*",
        ),
        (
            LOOP.replace("iterations=2", "iterations=2, epochs=3") + SUPPORTED,
            "*Settings are given for a class, such as rlclaims.PPO; an instance has its own.*",
        ),
        (
            LOOP.replace("CartPole-v1", "CartPole-v99") + SUPPORTED,
            "*Gymnasium has no environment 'CartPole-v99'. * (the runs 'theirs' of *",
        ),
    ],
)
def test_unsupported_requests_on_external_runs_are_refused(session, body, sentence):
    result = session(body)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([sentence])
