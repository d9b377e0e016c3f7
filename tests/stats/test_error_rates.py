"""A fast part of the studies in benchmarks/: error rates are as promised, and wrong procedures are detected.

Repetitions are few, so only gross errors are flagged here; the published tables have ten thousand.
"""

import importlib.util
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def load(name):
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses resolve their annotations there
    spec.loader.exec_module(module)
    return module


study, instrument = load("error_rates"), load("instrument")


@pytest.mark.parametrize(
    ("table", "repetitions"),
    [
        (partial(study.fixed, methods=[m for m in study.METHODS if not m.rearranges]), 600),
        (partial(study.fixed, methods=[m for m in study.METHODS if m.rearranges], distributions=2), 1000),
        (study.sequential, 500),
        (study.families, 2000),
        (study.joined, 4000),
    ],
)
def test_no_promised_error_rate_is_contradicted(table, repetitions):
    rates = list(table(repetitions, np.random.default_rng(11)))
    assert sum(rate.promise != "none" for rate in rates) >= 5
    assert study.flags(rates) == []


@pytest.mark.parametrize("which", range(4))
def test_wrong_procedures_are_flagged(which):
    name, rates = list(study.controls(4000, np.random.default_rng(12)))[which]
    assert study.flags(rates), name


def test_four_looks_decide_one_standard_deviation_early():
    every = study.efficiency(4000, np.random.default_rng(13))
    (one,) = (e for e in every if e.looks == (6, 10, 14, 20) and e.effect == 1.0)
    assert one.supported >= 0.98
    assert one.seeds <= 10.5


def test_null_suites_are_rarely_red():
    null = instrument.null_suites(300, np.random.default_rng(14))
    assert null.claims > 80
    # Three standard errors of 5% at 300 suites are 3.8 points.
    assert null.red <= 0.05 + 0.038
    for name, rates in null.false_support.items():
        exact = any(method in name for method in ("median", "permutations", "betting", "sign flips"))
        # Four standard errors, as there are many rates; t and bootstrap-t err more on the tail of skewed measures.
        assert max(rates) <= (0.05 + 0.05 if exact else 0.18), name


def test_closed_forms_of_known_worlds_match_simulation():
    rng = np.random.default_rng(15)
    cost, expected = instrument.linear_quadratic(0.8, 500, 20, rng.normal(size=(500, 20, 50)))
    assert cost.mean() == pytest.approx(expected, abs=4 * cost.std() / np.sqrt(cost.size))
    value, expected = instrument.chain(0.6, 500, 10, rng.random((500, 10, 4, 60)))
    assert value.mean() == pytest.approx(expected, abs=4 * value.std() / np.sqrt(value.size))


def test_verdicts_in_known_worlds_follow_the_truth():
    for label, distance, supported, refuted, _ in instrument.confusion(400, np.random.default_rng(16)):
        if distance == 0:  # three standard errors of 5% at 400 repetitions; paired differences of these are skewed
            assert max(supported, refuted) <= (0.05 + 0.033 if "Welch" in label else 0.15)
        if distance > 0:
            assert supported > 0.45 and refuted <= 0.05
        if distance < 0:
            assert refuted > 0.45 and supported <= 0.05
