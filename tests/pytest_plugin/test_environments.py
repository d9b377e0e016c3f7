"""Claims and the gate on environments made by Gymnasium."""

import json

import numpy as np
import pytest
import safetensors.numpy
from claim_text import HEADER, one_claim, written

ENVIRONMENT = """
import gymnasium
import numpy as np

class Mine(gymnasium.Env):
    observation_space = gymnasium.spaces.Discrete(4)
    action_space = gymnasium.spaces.MultiDiscrete([3, 2])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return int(self.np_random.integers(4)), {}

    def step(self, action):
        reward = float(action[0] == 1) + float(action[1])
        return int(self.np_random.integers(4)), reward, bool(self.np_random.random() < 0.1), False, {}

gymnasium.register("mine/Mine-v0", Mine)
"""
ALGORITHMS = """
from rlclaims import PPO

ppo = PPO(steps=64, minibatches=2, value_epochs=1, hidden=(8,), epochs=2)
"""
PROFILE = """
[tool.rlclaims.profiles.{name}]
tasks = ["CartPole-v1", "my_envs:mine/Mine-v0"]
iterations = 2
looks = [5]
"""


@pytest.fixture
def project(pytester, tmp_path, monkeypatch):
    """Return a function that runs pytest in a project that defines an algorithm and an environment."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    pytester.makepyprojecttoml(
        '[tool.pytest.ini_options]\npythonpath = ["."]\n' + PROFILE.format(name="gate") + PROFILE.format(name="own")
    )
    pytester.makepyfile(algos=ALGORITHMS, my_envs=ENVIRONMENT)

    def run(*options, in_subprocess=False):
        runs = pytester.runpytest_subprocess if in_subprocess else pytester.runpytest_inprocess
        return runs(f"--claims-store={tmp_path}", "-p", "no:cacheprovider", "-v", *options)

    return run


def test_gate_judges_an_algorithm_on_gymnasium_environments(project, tmp_path):
    bound = "--claims-bound=mean_kl=5"
    result = project("--pyargs", "rlclaims.gate", "--claims-subject=algos:ppo", bound, in_subprocess=True)
    outcomes = [line.split()[:2] for line in result.outlines if "test_gate.py::" in line and "%]" in line]
    outcome_of = {place.partition("::")[2]: outcome for place, outcome in outcomes if "rises" not in place}
    judged = [outcome for place, outcome in outcome_of.items() if "mean_kl" in place or "finite" in place]
    assert judged and set(judged) == {"PASSED"}
    assert {outcome for place, outcome in outcome_of.items() if "reproduces" in place} == {"PASSED"}
    runs = {json.loads(path.read_text())["task"]: path.parent for path in tmp_path.glob("runs/*/run.json")}
    assert set(runs) == {"CartPole-v1", "my_envs:mine/Mine-v0"}
    starts = safetensors.numpy.load_file(runs["my_envs:mine/Mine-v0"] / "starts.safetensors")
    assert starts["0/choices"].tolist() == [3, 2]
    assert set(map(tuple, starts["0/training_action_TA"])) == {(a, b) for a in range(3) for b in range(2)}
    assert starts["0/training_observation_TO"].shape == (64, 4)


STUDIES = """
import rlclaims
from rlclaims import PPO

SMALL = dict(iterations=2, steps=64, minibatches=2, value_epochs=1, epochs=2, hidden=(8,))
ppo = rlclaims.runs(PPO, {task!r}, **SMALL)
"""


@pytest.mark.parametrize(
    ("task", "assertion"),
    [
        ("Pendulum-v1", "assert ppo.kl_deployed.mean.held_out.overall() > -1"),
        ("CartPole-v1", "assert ppo.final_returns.mean > 5"),
    ],
)
def test_studies_work_on_gymnasium_environments(task, assertion, project, pytester, tmp_path):
    pytester.makepyfile(test_claims=HEADER + STUDIES.format(task=task) + one_claim(assertion))
    result = project("test_claims.py", "--claims-profile=own")
    result.assert_outcomes(passed=1)
    (claim,) = written(tmp_path)["claims"]
    assert claim["evidence"]["n"] == 5 and np.isfinite(claim["evidence"]["values"][0]).all()


@pytest.mark.parametrize(
    ("study", "task", "sentence"),
    [
        (
            "values.error('returns').at(0)",
            "CartPole-v1",
            "Values are compared with the states' true values, *'CartPole-v1' can only *",
        ),
        (
            "final_returns.mean",
            "odd_envs:odd/Endless-v0",
            "Final returns are of whole episodes, and no time limit ends *",
        ),
        ("final_returns.mean", "Blackjack-v1", "The task 'Blackjack-v1' has observations in a Tuple, *"),
    ],
)
def test_unsupported_environments_are_refused_before_training(study, task, sentence, project, pytester, tmp_path):
    pytester.makepyfile(test_claims=HEADER + STUDIES.format(task=task) + one_claim(f"assert ppo.{study} > 0"))
    result = project("test_claims.py", "--claims-profile=own")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {sentence}"])
    assert not list(tmp_path.glob("runs/*"))


def test_dry_run_covers_gymnasium_environments(project, pytester, tmp_path):
    claim = one_claim("assert ppo.kl_old_new.mean.training.overall() > -1")
    pytester.makepyfile(test_claims=HEADER + STUDIES.format(task="tiny_envs:tiny/DiscreteMultiDiscrete-v0") + claim)
    result = project("test_claims.py", "--claims-profile=own", "--claims-dry-run")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*claim *have *train *"])
    assert not list(tmp_path.glob("runs/*"))
