"""Training functions as runs: the recorded series, and errors."""

import math
from contextlib import contextmanager

import numpy as np
import pytest
import tiny_training
import torch
from tiny_training import STEPS

from rlclaims.adapters.external import NotRecordedError, train_external
from rlclaims.adapters.loop import Loop
from rlclaims.adapters.recorder import UpdateRecorder
from rlclaims.records import RunRecord

TASKS = ["InvertedPendulum-v5", "CartPole-v1"]
ITERATIONS = 12


def loop(name, **changes):
    return Loop(f"tiny_training:{name}", STEPS, **changes)


class Naive:
    """A recorder that computes KL and ratios with numpy."""

    def __init__(self):
        self.iteration, self.ratios = 0, []
        self.kl = {"training": [], "held_out": []}

    @contextmanager
    def update(self, policy, pairs, held_out):
        batches = {"training": pairs}
        if self.iteration % 10 == 0 and held_out is not None:
            batches["held_out"] = held_out()
        old = self._weights(policy)
        yield
        new = self._weights(policy)
        for name, batch in batches.items():
            kl_B = [self._kl(x_O.double().numpy(), old, new, policy.chooses) for x_O in batch.observation]
            self.kl[name].append(math.fsum(kl_B) / len(kl_B))
        both = zip(pairs.observation.double().numpy(), pairs.action.double().numpy(), strict=True)
        self.ratios.append([self._ratio(x_O, action, old, new, policy.chooses) for x_O, action in both])
        self.iteration += 1

    def _weights(self, policy):
        return policy.weight_OA.detach().double().numpy(), policy.log_std_A.detach().double().numpy()

    def _kl(self, x_O, old, new, chooses):
        if chooses:
            p_A, q_A = (np.exp(x_O @ weight_OA) / np.exp(x_O @ weight_OA).sum() for weight_OA, _ in (old, new))
            return float((p_A * np.log(p_A / q_A)).sum())
        s_A, t_A = np.exp(old[1]), np.exp(new[1])
        shift_A = x_O @ (old[0] - new[0])
        return float((np.log(t_A / s_A) + (s_A**2 + shift_A**2) / (2 * t_A**2) - 0.5).sum())

    def _ratio(self, x_O, action, old, new, chooses):
        def log_density(weight_OA, log_std_A):
            out_A = x_O @ weight_OA
            if chooses:
                return out_A[int(action)] - np.log(np.exp(out_A).sum())
            return float((-0.5 * ((action - out_A) / np.exp(log_std_A)) ** 2 - log_std_A).sum())

        return math.exp(log_density(*new) - log_density(*old))


@pytest.mark.parametrize("task", TASKS)
def test_series_match_a_naive_computation(task):
    epsilon = 1e-3
    record = train_external(loop("holding_out", held_out=True, epsilon=epsilon), task, 5, ITERATIONS)
    naive = Naive()
    tiny_training.holding_out(task, 5, ITERATIONS, naive)
    assert record.failure is None
    for states, expected in naive.kl.items():
        # States and parameters are in single precision.
        assert record.series[f"kl_old_new/mean/{states}"] == pytest.approx(expected, rel=1e-2, abs=1e-11)
    assert record.series["ratio/max/training"] == pytest.approx([max(r) for r in naive.ratios], rel=1e-5)
    shares = [sum(abs(x - 1) > epsilon for x in r) / len(r) for r in naive.ratios]
    assert record.series["ratio/exceedance/training"] == pytest.approx(shares, abs=1.5 / STEPS)
    assert max(shares) > 0
    lengths = {name: len(series) for name, series in record.series.items()}
    assert lengths == {
        f"{name}/{states}": n
        for name in (
            "kl_old_new/mean", "kl_old_new/q99", "kl_old_new/max", "ratio/max", "ratio/q99", "ratio/q01", "ratio/min",
            "ratio/exceedance", "ratio/deviation", "surrogate/old", "surrogate/new",
        )
        for states, n in (("training", ITERATIONS), ("held_out", 2))
    }  # fmt: skip


def test_run_has_empty_rows_of_parameters():
    algorithm = loop("train")
    record = train_external(algorithm, TASKS[0], 3, 4)
    assert isinstance(record, RunRecord) and (record.algorithm, record.seed) == (algorithm, 3)
    assert [theta_P.shape for theta_P in record.policy_parameters] == [(0,)] * 5
    assert record.checkpoints == [] and record.episodes == []


@pytest.mark.parametrize(("name", "made"), [("too_few", 3), ("too_many", 5)])
def test_wrong_number_of_updates_is_an_error(name, made):
    title = name.replace("_", "-")
    with pytest.raises(NotRecordedError, match=rf"^{title} was asked for 4 updates, and {made} were recorded\.$"):
        train_external(loop(name), TASKS[0], 0, 4)


@pytest.mark.parametrize(
    ("name", "iterations", "promised", "sentence"),
    [
        ("train", 4, True, r"^train held out pairs at 0 of its 4 updates; its settings require 1\.$"),
        ("holding_out_once", 11, True, r"at 1 of its 11 updates; its settings require 2\.$"),
        ("holding_out", 4, False, r"at 1 of its 4 updates; its settings require 0\.$"),
    ],
)
def test_wrong_number_of_held_out_pairs_is_an_error(name, iterations, promised, sentence):
    with pytest.raises(NotRecordedError, match=sentence):
        train_external(loop(name, held_out=promised), TASKS[0], 0, iterations)


def test_error_before_the_first_update_is_raised():
    with pytest.raises(ArithmeticError, match="it went wrong"):
        train_external(loop("raising_at_once"), TASKS[0], 0, 4)


@pytest.mark.parametrize("promised", [False, True])
def test_error_after_an_update_fails_the_seed(promised):
    record = train_external(loop("raising_later", held_out=promised), TASKS[0], 0, 4)
    assert record.failure == "ArithmeticError in iteration 2: it went wrong"
    assert len(record.series["ratio/max/training"]) == 2
    assert len(record.policy_parameters) == 5


def test_divergence_fails_only_its_own_seed():
    failed, finished = (train_external(loop("diverging"), TASKS[0], seed, 4) for seed in (1, 2))
    assert failed.failure == "kl_old_new/mean/training is not finite in iteration 2"
    assert len(failed.series["ratio/max/training"]) == 2
    assert finished.failure is None and len(finished.series["ratio/max/training"]) == 4


def test_loop_trains_as_calling_the_function_does():
    recorder = UpdateRecorder()
    tiny_training.train(TASKS[0], 5, 4, recorder)
    state = torch.get_rng_state()
    assert train_external(loop("train"), TASKS[0], 5, 4).series == recorder.series
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("algorithm", "sentence"),
    [
        (Loop("tiny_training", 24), r"^A training function is given as 'module:name', not 'tiny_training'\.$"),
        (Loop("tiny_training:", 24), "^There is no training function 'tiny_training:'"),
        (Loop("tiny_training:nothing", 24), "^There is no training function 'tiny_training:nothing'"),
        (Loop("no_such_module_of_mine:train", 24), "^There is no training function 'no_such_module_of_mine:train'"),
        (Loop("tiny_training:NO_FUNCTION", 24), r"^'tiny_training:NO_FUNCTION' is not a function\.$"),
        (Loop(tiny_training.train, 24), "^A training function is given as 'module:name'"),
        (loop("train", epsilon=0.0), r"^train takes a positive number as epsilon, .*, not 0\.0\.$"),
        (loop("train", epsilon="a lot"), "^train takes a positive number as epsilon, .*, not 'a lot'"),
        *[
            (Loop("tiny_training:train", n), r"^train takes a whole number of steps between updates, not ")
            for n in (0, -3, 2.0, "24", True, None)
        ],
    ],
)
def test_check_refuses_what_cannot_be_trained(algorithm, sentence):
    with pytest.raises(ValueError, match=sentence):
        algorithm.check()


def test_loop_is_named_by_function_and_settings():
    algorithm = loop("holding_out", held_out=True)
    assert (algorithm.title, algorithm.steps, algorithm.ratio_epsilon) == ("holding-out", STEPS, 0.2)
    assert algorithm.label == (
        "holding-out(function='tiny_training:holding_out', steps_between_updates=24, held_out=True)"
    )
    assert [name for name, _ in algorithm.code] == ["tiny_training"]
    assert algorithm.code[0][1].samefile(tiny_training.__file__)
    algorithm.check()


def test_loop_lacks_deployed_and_held_out_measures():
    lacking, having = loop("train"), loop("train", held_out=True)
    for measure in ("kl_old_new/mean", "ratio/max", "surrogate/new"):
        assert not lacking.lacks_measure(f"{measure}/training") and not having.lacks_measure(f"{measure}/training")
        assert lacking.lacks_measure(f"{measure}/held_out") and not having.lacks_measure(f"{measure}/held_out")
    assert all(algorithm.lacks_measure("kl_deployed/q99/training") for algorithm in (lacking, having))
