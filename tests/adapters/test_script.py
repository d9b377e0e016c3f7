"""A single-file script, run unchanged: the recorded series against the script's own output."""

import json
import runpy
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributions import (
    Beta,
    Categorical,
    Independent,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    TanhTransform,
    TransformedDistribution,
)
from torch.optim.optimizer import register_optimizer_step_pre_hook

from rlclaims.adapters import script
from rlclaims.adapters.actions import TorchActions
from rlclaims.adapters.external import NotRecordedError, train_external
from rlclaims.adapters.recorder import UpdateRecorder, preserve_random_states
from rlclaims.adapters.script import CLEANRL, Script, _ScriptWatcher

PPO = Path(__file__).parents[1] / "data" / "single_file_ppo.py"
STEPS, SEED, ITERATIONS, EPSILON = 32, 7, 3, 0.02


@pytest.fixture(scope="module", params=["Pendulum-v1", "CartPole-v1"])
def both(request, tmp_path_factory):
    """Return a script's own output without and with recording, and the record."""
    folder = tmp_path_factory.mktemp("script")
    algorithm = Script(str(PPO), STEPS, (*CLEANRL, "--record", str(folder / "watched.json")), epsilon=EPSILON)
    record = train_external(algorithm, request.param, SEED, ITERATIONS)
    command = f"--seed {SEED} --env-id {request.param} --total-timesteps {STEPS * ITERATIONS}".split()
    # In this process, which saves an import of torch; the random states that the script seeds are restored.
    with pytest.MonkeyPatch.context() as patch, preserve_random_states():
        patch.setattr(sys, "argv", [str(PPO), *command, "--record", str(folder / "plain.json")])
        runpy.run_path(str(PPO), run_name="__main__")
    return *(json.loads((folder / name).read_text()) for name in ("plain.json", "watched.json")), record


def test_recording_does_not_change_the_script(both):
    plain, watched, _ = both
    assert len(plain["kl"]) == ITERATIONS and len(plain["theta"]) > 50
    assert watched == plain


def test_series_match_those_of_the_script(both):
    plain, _, record = both
    assert record.failure is None
    kl_KB, ratio_KB = np.array(plain["kl"]), np.array(plain["ratio"])
    assert kl_KB.shape == (ITERATIONS, STEPS)
    expected = {
        "kl_old_new/mean": kl_KB.mean(1),
        "kl_old_new/q99": np.quantile(kl_KB, 0.99, axis=1),
        "kl_old_new/max": kl_KB.max(1),
        "ratio/max": ratio_KB.max(1),
        "ratio/q99": np.quantile(ratio_KB, 0.99, axis=1),
        "ratio/q01": np.quantile(ratio_KB, 0.01, axis=1),
        "ratio/min": ratio_KB.min(1),
        "ratio/exceedance": (abs(ratio_KB - 1) > EPSILON).mean(1),
        "ratio/deviation": abs(ratio_KB - 1).mean(1),
        "surrogate/new": plain["surrogate"],
    }
    assert 0 < expected["ratio/exceedance"].mean() < 1
    assert record.series.keys() == {f"{name}/training" for name in (*expected, "surrogate/old")}
    for name, series in expected.items():
        # torch normalises the logits of a categorical in single precision.
        np.testing.assert_allclose(record.series[f"{name}/training"], series, rtol=1e-4, err_msg=name)


LOOP = """
import sys
import torch
from torch import nn
from torch.distributions import Normal

class Agent(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def get_action_and_value(self, x, action=None):
        probs = Normal(x * self.weight, 1.0)
        return probs.sample(), probs.log_prob(x).sum(1), probs.entropy(), x

optimizer = torch.optim.SGD((learner := Agent()).parameters(), lr=0.5)
for iteration in range(int(sys.argv[1])):
    agent, b_obs, b_actions, b_advantages = learner, torch.ones(5, 2), torch.zeros(5, 2), torch.ones(5)
    # HERE
    for epoch in range(2):
        optimizer.zero_grad()
        learner.get_action_and_value(torch.ones(5, 2))[1].mean().backward()
        optimizer.step()
# END
"""
# The log density of 1 under a mean of w has slope 1 - w, so w descends to 0 - .5, -.5 - .75, and so on.
AT = [0.0, -1.25, -4.0625, -10.390625]
KL = [2 * (one - other) ** 2 / 2 for one, other in pairwise(AT)]


@pytest.fixture
def written(tmp_path):
    """Return a function that writes the loop above to a file, with other lines in some places."""

    def write(**changes):
        text = LOOP
        for place, lines in changes.items():
            marker = {"here": "# HERE", "end": "# END"}[place]
            text = text.replace(marker, lines)
        (tmp_path / "mine.py").write_text(text)
        return Script(str(tmp_path / "mine.py"), 5, ("{steps}",))

    return write


@pytest.fixture
def ran(written, tmp_path, monkeypatch):
    """Return a function that runs such a script in this process, and returns its record and the error raised."""
    hooks = []

    def register(hook):
        hooks.append(register_optimizer_step_pre_hook(hook))

    monkeypatch.setattr(script, "register_optimizer_step_pre_hook", register)
    monkeypatch.setattr(sys, "path", sys.path[:])

    def run(iterations=3, **changes):
        algorithm = written(**changes)
        job = {"path": algorithm.path, "arguments": [str(iterations)], "epsilon": 0.2, "iterations": iterations}
        job["record"] = str(tmp_path / "r")
        monkeypatch.setattr(sys, "argv", ["script", json.dumps(job)])
        raised = None
        try:
            script.main()
        except (Exception, SystemExit) as error:
            raised = error
        finally:
            hooks.pop().remove()
        return json.loads((tmp_path / "r").read_text()), raised

    return run


def test_update_lasts_from_first_to_last_step_on_its_pairs(ran):
    found, raised = ran()
    assert raised is None
    assert found["iteration"] == 3 and found["failure"] is None
    assert found["series"]["kl_old_new/mean/training"] == pytest.approx(KL, rel=1e-6)
    assert found["series"]["kl_old_new/max/training"] == pytest.approx(KL, rel=1e-6)


def test_other_optimiser_steps_begin_no_update(ran):
    other = """
    if iteration == 0:
        del b_obs
    more = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    more.step()
    if iteration == 0:
        b_obs = torch.ones(5, 2)
"""
    found, raised = ran(here=other)
    assert raised is None
    assert found["series"]["kl_old_new/mean/training"] == pytest.approx(KL, rel=1e-6)


@pytest.mark.parametrize("end", ["sys.exit()", "sys.exit(0)", "raise SystemExit", "exit()"])
def test_script_that_exits_with_0_completes_its_last_update(ran, end):
    found, raised = ran(end=end)
    assert raised is None
    assert found["iteration"] == 3
    assert found["series"]["kl_old_new/mean/training"] == pytest.approx(KL, rel=1e-6)


@pytest.mark.parametrize("end", ["sys.exit(3)", "sys.exit('it went wrong')", "1 / 0"])
def test_script_that_fails_does_not_complete_its_update(ran, end):
    found, raised = ran(end=end)
    assert isinstance(raised, SystemExit | ZeroDivisionError)
    assert found["iteration"] == 2
    assert found["series"]["kl_old_new/mean/training"] == pytest.approx(KL[:2], rel=1e-6)


@pytest.mark.parametrize("name", ["agent", "b_actions", "b_advantages"])
def test_script_without_a_required_name_is_refused(ran, name):
    found, raised = ran(here=f"del {name}")
    assert isinstance(raised, RuntimeError)
    assert str(raised) == f"The script has no {name!r} at its top level, which recording its updates needs."
    assert found["iteration"] == 0 and found["series"] == {}


def test_script_continues_after_non_finite_parameters(ran):
    spoiled = """
    if iteration == 1:
        optimizer.param_groups[0]['lr'] = float('inf')
"""
    found, raised = ran(here=spoiled)
    assert raised is None
    assert found["failure"] == "kl_old_new/mean/training is not finite in iteration 1"
    assert found["series"]["kl_old_new/mean/training"] == pytest.approx(KL[:1], rel=1e-6)


def test_script_without_pairs_is_refused(ran):
    found, raised = ran(here="del b_obs")
    assert isinstance(raised, RuntimeError)
    assert str(raised) == "The script made no update from a 'b_obs' at its top level, so nothing was recorded."
    assert found["iteration"] == 0


def test_script_error_before_the_first_update_is_raised(written):
    algorithm = written(here="raise ArithmeticError('it went wrong')")
    with pytest.raises(RuntimeError) as raised:
        train_external(algorithm, "Pendulum-v1", 0, 3)
    assert str(raised.value) == f"{algorithm.path} ended with exit status 1: ArithmeticError: it went wrong"


def test_script_error_after_an_update_fails_the_seed(written, tmp_path):
    # Its command line has fifteen steps, from which it computes three updates.
    algorithm = written(here="open('left', 'w').close()\n    assert iteration < int(sys.argv[1]) / 5 - 1, 'too far'")
    there = set(Path.cwd().iterdir()) | set(tmp_path.iterdir())
    record = train_external(algorithm, "Pendulum-v1", 0, 3)
    assert record.failure == (
        f"RuntimeError in iteration 1: {algorithm.path} ended with exit status 1: AssertionError: too far"
    )
    assert record.series["kl_old_new/mean/training"] == pytest.approx(KL[:1], rel=1e-6)
    assert set(Path.cwd().iterdir()) | set(tmp_path.iterdir()) == there


@pytest.mark.parametrize(
    ("declared", "asked", "made"), [(1, 2, "2 of the 10"), (5, 10, "more than the 2")], ids=["fewer", "more"]
)
def test_script_reports_actual_batch_size_on_mismatch(written, declared, asked, made):
    # The script makes `asked` updates from five pairs each: a fifth of the steps on its command line.
    algorithm = written(
        here="if iteration == int(sys.argv[1]) // 5:\n        break\n    print(iteration, file=LOG, flush=True)"
    )
    log = Path(algorithm.path).with_name("log")
    text = Path(algorithm.path).read_text().replace("import sys", f"import sys\nLOG = open({str(log)!r}, 'w')", 1)
    Path(algorithm.path).write_text(text)
    iterations = 10 // declared
    with pytest.raises(NotRecordedError) as raised:
        train_external(
            replace(algorithm, steps_between_updates=declared, arguments=(str(5 * asked),)),
            "Pendulum-v1",
            0,
            iterations,
        )
    assert str(raised.value) == (
        f"mine made {made} updates that were requested, from 5 pairs each, and its steps_between_updates is "
        f"{declared}: set it to the steps of all environments between two updates, Script({algorithm.path!r}, STEPS)."
    )
    # It is stopped as it begins one update too many.
    assert len(log.read_text().splitlines()) == min(asked, iterations + 1)


B, A = 6, 2


class FakeAgent:
    """An agent that creates given distributions when it is called, and others on the way."""

    def __init__(self, make):
        self._make = make

    def get_action_and_value(self, observation):
        return self._make(observation), None


def uniform(x):
    return x.abs() + 0.5


@pytest.mark.parametrize(
    ("make", "action", "log_prob"),
    [
        (lambda x: Normal(x, 0.5), lambda x: x, lambda x, a: Normal(x, 0.5).log_prob(a).sum(1)),
        (lambda x: Independent(Normal(x, 0.5), 1), lambda x: x, lambda x, a: Normal(x, 0.5).log_prob(a).sum(1)),
        (
            lambda x: TransformedDistribution(Independent(Normal(x, 0.5), 1), [TanhTransform()]),
            torch.tanh,
            lambda x, a: (Normal(x, 0.5).log_prob(a.atanh()) - torch.log(1 - a**2)).sum(1),
        ),
        (
            lambda x: MultivariateNormal(x, torch.eye(A)),
            lambda x: x / 2,
            lambda x, a: Normal(x, 1.0).log_prob(a).sum(1),
        ),
        (
            lambda x: Categorical(logits=x),
            lambda x: (x[:, 0] > 0).long(),
            lambda x, a: x.log_softmax(1)[torch.arange(B), a],
        ),
        (
            lambda x: OneHotCategorical(logits=x),
            lambda x: torch.nn.functional.one_hot((x[:, 0] > 0).long(), A),
            lambda x, a: x.log_softmax(1)[torch.arange(B), a.argmax(1)],
        ),
        (
            lambda x: [Categorical(logits=x), Categorical(logits=-2 * x)],
            lambda x: (x > 0).long(),
            lambda x, a: x.log_softmax(1)[torch.arange(B), a[:, 0]] + (-2 * x).log_softmax(1)[torch.arange(B), a[:, 1]],
        ),
        (
            lambda x: [Independent(Normal(x[:, :1], 0.5), 1), Independent(Normal(x[:, 1:], 2.0), 1)],
            lambda x: x,
            lambda x, a: Normal(x, torch.tensor([0.5, 2.0])).log_prob(a).sum(1),
        ),
        (
            lambda x: [Beta(uniform(x[:, 0]), uniform(x[:, 1])), Beta(uniform(x[:, 1]), 2.0)],
            torch.sigmoid,
            lambda x, a: (
                torch.distributions.Dirichlet(torch.stack([uniform(x[:, 0]), uniform(x[:, 1])], 1)).log_prob(
                    torch.stack([a[:, 0], 1 - a[:, 0]], 1)
                )
                + torch.distributions.Dirichlet(torch.stack([uniform(x[:, 1]), torch.full((B,), 2.0)], 1)).log_prob(
                    torch.stack([a[:, 1], 1 - a[:, 1]], 1)
                )
            ),
        ),
    ],
    ids=["normal", "independent", "squashed", "covariance", "choice", "row", "choices", "independents", "betas"],
)
def test_outermost_distributions_of_an_agent_are_used(make, action, log_prob):
    observation_BA = torch.randn(B, A, generator=torch.Generator().manual_seed(0))
    usual, watch = torch.distributions.Distribution.__init__, _ScriptWatcher(UpdateRecorder(), 1)
    watch._agent = FakeAgent(make)
    output = watch._policy(observation_BA)
    assert torch.distributions.Distribution.__init__ is usual
    taken = action(observation_BA)
    (got_B,) = TorchActions(output).log_prob(taken[None])
    np.testing.assert_allclose(got_B, log_prob(observation_BA, taken), rtol=1e-4)


def test_agent_without_distribution_is_refused():
    watch = _ScriptWatcher(UpdateRecorder(), 1)
    watch._agent = FakeAgent(lambda x: x)
    with pytest.raises(RuntimeError, match=r"^The agent's get_action_and_value creates no torch distribution\.$"):
        watch._policy(torch.zeros(B, A))


@pytest.mark.parametrize(
    ("algorithm", "sentence"),
    [
        (
            Script("no/such/script.py", 32),
            r"^There is no script 'no/such/script\.py'; give the path of a file that ends in \.py",
        ),
        (Script(str(PPO.parent), 32), "^There is no script "),
        (Script(str(PPO.with_name("aa_bank.json")), 32), "^There is no script "),
        (Script(str(PPO), 0), r"^single-file-ppo takes a whole number of steps between updates, not 0\.$"),
        (
            Script(str(PPO), 32, epsilon=-1.0),
            r"^single-file-ppo takes a positive number as epsilon, .*, not -1",
        ),
        *[
            (
                Script(str(PPO), 32, arguments),
                r"^The arguments of single-file-ppo must be a tuple of strings, in which \{seed\}",
            )
            for arguments in (("--seed {sede}",), "--seed {seed}", ["--seed", "{seed}"], ("{",), (3,), ("{}",))
        ],
    ],
)
def test_check_refuses_what_cannot_be_run(algorithm, sentence):
    with pytest.raises(ValueError, match=sentence):
        algorithm.check()


def test_script_is_named_by_its_file():
    algorithm = Script(str(PPO), 32, epsilon=0.1)
    algorithm.check()
    assert (algorithm.title, algorithm.steps, algorithm.ratio_epsilon) == ("single-file-ppo", 32, 0.1)
    assert algorithm.label == f"single-file-ppo(path={str(PPO)!r}, steps_between_updates=32, epsilon=0.1)"
    assert algorithm.lacks_measure("ratio/max/held_out") and algorithm.lacks_measure("kl_deployed/mean/training")
    assert not algorithm.lacks_measure("ratio/max/training")
