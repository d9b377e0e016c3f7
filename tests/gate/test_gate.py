"""The gate: the ready-made suite for any algorithm, with the user's bounds."""

import json

import pytest
from claim_text import written

ALGORITHMS = """
from dataclasses import dataclass, replace
import torch
from rlclaims import PPO
from rlclaims.adapters.loop import Loop

small = PPO(steps=64, minibatches=2, epochs=1, value_epochs=1, hidden=(8,))
calls = []

@dataclass(frozen=True)
class Descends(PPO):
    \"\"\"Down the surrogate instead of up it.\"\"\"

    def policy_loss(self, ratio_SB, advantage_SB):
        return -super().policy_loss(ratio_SB, advantage_SB)

down = Descends(steps=512, minibatches=4, epochs=10, value_epochs=1, hidden=(8,), learning_rate=1e-3)

@dataclass(frozen=True)
class Breaks(PPO):
    def policy_loss(self, ratio_SB, advantage_SB):
        return super().policy_loss(ratio_SB, advantage_SB) * float("nan")

breaks = Breaks(steps=64, minibatches=2, epochs=1, value_epochs=1, hidden=(8,))

def draws(task, seed, iterations, recorder):
    from rlclaims.adapters.recorder import Pairs

    net = torch.nn.Linear(3, 1)
    for _ in range(iterations):
        pairs = Pairs(torch.randn(8, 3), torch.randn(8, 1), torch.randn(8))
        with recorder.update(lambda x: torch.distributions.Normal(net(x), 1.0), pairs):
            with torch.no_grad():
                net.weight += 0.1 * torch.randn(1, 3)

unseeded = Loop("algos:draws", 8)
nothing = 7
"""
PROFILE = '[tool.rlclaims.profiles.gate]\ntasks = ["InvertedPendulum-v5"]\niterations = 2\nlooks = [5]\n'


@pytest.fixture
def gate(pytester, tmp_path, monkeypatch):
    """Runs the gate on the algorithms above."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    pytester.makepyprojecttoml(PROFILE)
    pytester.makepyfile(algos=ALGORITHMS)

    def run(*options, of_its_own=False):
        runs = pytester.runpytest_subprocess if of_its_own else pytester.runpytest_inprocess
        return runs(
            "--pyargs",
            "rlclaims.gate",
            f"--claims-store={tmp_path}",
            "--claims-no-figures",
            "-p",
            "no:cacheprovider",
            "-v",
            *options,
        )

    return run


def outcomes(result):
    """Return the outcome of each test, by its name."""
    lines = [line.split() for line in result.outlines if "test_gate.py::" in line and "%]" in line]
    return {line[0].rpartition("::")[2].removeprefix("test_"): line[1] for line in lines}


def test_gate_skips_claims_without_bounds(gate, tmp_path):
    bounds = "--claims-bound=mean_kl=5", "--claims-bound", "held_out_agreement=99"
    # As a user has it: pytest by itself has the working directory on no path.
    result = gate("--claims-subject=algos:small", *bounds, of_its_own=True)
    found = outcomes(result)
    assert found.pop("surrogate_rises") in ("PASSED", "INCONCLUSIVE")  # as the seeds have it
    assert found == {
        "mean_kl[5]": "PASSED",
        "constraint[none]": "SKIPPED",
        "exceedance[none]": "SKIPPED",
        "held_out_agreement[99]": "PASSED",
        "numbers_are_finite": "PASSED",
        "a_seed_reproduces": "PASSED",
    }
    claims = {claim["id"]: claim for claim in written(tmp_path)["claims"]}
    (mean_kl,) = (claim for claim in claims.values() if claim["id"] == "gate/mean-kl")
    assert mean_kl["evidence"]["region_ends"] == [None, 5.0] and mean_kl["evidence"]["n"] == 5
    assert mean_kl["runs"][0]["iterations"] == 2 and mean_kl["runs"][0]["algorithm"] == "PPO"
    # The number that is judged is that of the files: each seed's mean over its two updates.
    series = {
        json.loads((path.parent / "run.json").read_text())["seed"]: json.loads(path.read_text())["series"]
        for path in tmp_path.glob("runs/*/measured-*.json")
    }
    expected = [sum(series[seed]["kl_old_new/mean/training"]) / 2 for seed in range(5)]
    assert mean_kl["evidence"]["values"][0] == pytest.approx(expected)


def test_gate_fails_on_a_breach_and_not_on_missing_proof(gate):
    breached = gate("--claims-subject=algos:small", "--claims-bound=constraint=1e-9", "--claims-bound=mean_kl=1e-9")
    found = outcomes(breached)
    assert found["constraint[1e-09]"] == found["mean_kl[1e-09]"] == "FAILED"
    assert breached.ret == pytest.ExitCode.TESTS_FAILED
    down = outcomes(gate("--claims-subject=algos:down"))
    assert down["surrogate_rises"] == "FAILED" and down["a_seed_reproduces"] == "PASSED"


def test_gate_fails_if_seeds_fail(gate):
    found = outcomes(gate("--claims-subject=algos:breaks", "--claims-bound=mean_kl=5"))
    assert found["numbers_are_finite"] == "FAILED" and found["mean_kl[5]"] == "INCONCLUSIVE"


def test_gate_detects_training_without_a_seed(gate, pytester, tmp_path):
    pytester.makepyprojecttoml(PROFILE.replace("iterations = 2", "iterations = 7"))
    found = outcomes(gate("--claims-subject=algos:unseeded", "--claims-bound=held_out_agreement=2"))
    assert found["a_seed_reproduces"] == "FAILED" and found["numbers_are_finite"] == "PASSED"
    assert found["held_out_agreement[none]"] == "SKIPPED"
    # Beside the five that are judged a short one, which was trained again.
    lengths = [json.loads(path.read_text())["iterations"] for path in tmp_path.glob("runs/*/run.json")]
    assert sorted(lengths) == [5, *[7] * 5]


def test_gate_reads_subject_and_bounds_from_pyproject(gate, pytester):
    project = '[tool.rlclaims.gate]\nsubject = "algos:small"\nmean_kl = 4\nexceedance = 1.5\n'
    pytester.makepyprojecttoml(PROFILE + project)
    found = outcomes(gate("--claims-bound=mean_kl=3"))
    assert {"mean_kl[3]", "exceedance[1.5]", "constraint[none]"} <= found.keys()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "The gate needs an algorithm: --claims-subject *"),
        (["--claims-subject=PPO"], "An algorithm is given as 'my_pkg.algos:MyPPO', * not 'PPO'."),
        (["--claims-subject="], "An algorithm is given as *, not ''."),
        (["--claims-subject=algos:small", "--claims-store="], "'' is not a valid path."),
        (["--claims-subject=algos:small", "--claims-executor="], "There is no executor ''; there are local, ray."),
        (["--claims-subject=algos:small", "--claims-profile="], "There is no profile ''; there are *"),
        (["--claims-subject=algos:"], "An algorithm is given as *, not 'algos:'."),
        (["--claims-subject=nowhere:PPO"], "The module 'nowhere' of 'nowhere:PPO' cannot be imported: *"),
        (["--claims-subject=algos:PPP"], "The module 'algos' has no 'PPP'."),
        (["--claims-subject=algos:nothing"], "'algos:nothing' is neither a subclass of *, but 7."),
        (["--claims-subject=cleanrl:nowhere.py"], "There is no script 'nowhere.py'; give the path of a file *"),
        (["--claims-subject=algos:small", "--claims-bound=mean_kl"], "--claims-bound takes a name and a number *"),
        (
            ["--claims-subject=algos:small", "--claims-bound=mean_kl=-1"],
            "The gate's bound mean_kl must be a positive *-1.0.",
        ),
        (["--claims-subject=algos:small", "--claims-bound=kl=1"], "The gate has no bound 'kl'; there are mean_kl, *"),
        (
            ["--claims-subject=algos:small", "--claims-bound=mean_kl=1", "--claims-bound", "mean_kl=2"],
            "--claims-bound gives 'mean_kl' more than once; give it once.",
        ),
    ],
)
def test_mistakes_are_refused_before_training(gate, tmp_path, options, sentence):
    result = gate(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (pytester_line,) = [line for line in result.errlines + result.outlines if line.startswith("ERROR: ")][:1]
    result_lines = pytest.LineMatcher([pytester_line.removeprefix("ERROR: ")])
    result_lines.fnmatch_lines([sentence])
    assert not list(tmp_path.glob("runs/*"))
