"""The registry of measures: what it holds, and that a measure of three lines is known to all that needs to know it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import rlclaims
from rlclaims import PPO, ClaimError
from rlclaims.measures import registry
from rlclaims.measures.measure import Measure
from rlclaims.measures.registry import REGISTRY
from rlclaims.planning.cost import Line, Speed, _rollouts
from rlclaims.pytest_plugin.trial_run import _AnySeries
from rlclaims.results.measured import Measured
from rlclaims.sim.tasks import task_named
from rlclaims.store.run_spec import RunSpec
from rlclaims.studies.kind import NUMBER_BYTES
from rlclaims.studies.runs import Runs
from rlclaims.training import Cohort, Group

TASK = "InvertedPendulum-v5"
SCHEMA = json.loads((Path(rlclaims.__file__).parent / "report" / "claims.schema.json").read_text())
SPEC = RunSpec(PPO(steps=64, minibatches=2, epochs=1), TASK, 2, 0)


@pytest.fixture
def median():
    measure = Measure("ratio/median", lambda update: update.ratio.median(1).values, "median ratio")
    registry.register(measure)
    yield measure
    del REGISTRY[measure.key]


def test_series_are_recorded_in_this_order():
    assert list(REGISTRY) == [
        *(f"{group}/{name}" for group in ("kl_old_new", "kl_deployed") for name in ("mean", "q99", "max")),
        *(f"ratio/{name}" for name in ("max", "q99", "q01", "min", "deviation", "exceedance")),
        *(f"surrogate/{name}" for name in ("old", "new")),
    ]


def of_key(document, key):
    """Yield the objects under a key, at any depth of a document."""
    parts = document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    if isinstance(document, dict) and isinstance(document.get(key), dict):
        yield document[key]
    for part in parts:
        yield from of_key(part, key)


def test_schema_lists_the_measures():
    measures = next(of_key(SCHEMA["$defs"]["quantity"], "measure"))["anyOf"][0]["enum"]
    assert measures == list(REGISTRY)


def test_imagined_values_are_possible_ones():
    for measure in REGISTRY.values():
        low, high = measure.imagined_range
        assert measure.bounds[0] <= low < high <= measure.bounds[1]


def test_measure_of_three_lines_is_trained_and_asked(median):
    record = Cohort(task_named(TASK), [Group(SPEC.algorithm, (0,))], 2).train()[0]
    series = record.series
    for pairs, n in (("training", 2), ("held_out", 1)):
        assert len(series[f"ratio/median/{pairs}"]) == n
        assert series[f"ratio/min/{pairs}"] <= series[f"ratio/median/{pairs}"] <= series[f"ratio/max/{pairs}"]
    runs = Runs(SPEC.algorithm, TASK, 2, (0,), (Measured(None, series),))
    sample = runs.ratio.median.training.last(0.5)
    assert sample.values == (series["ratio/median/training"][1],)
    assert sample.quantity.key.endswith("/ratio/median/training/last(0.5)")
    assert "median ratio, training batch" in sample.quantity.label


def test_measure_of_three_lines_is_imagined_and_budgeted(median):
    runs = Runs(SPEC.algorithm, TASK, 2, (0,), (Measured(None, _AnySeries(SPEC, 0, None)),))
    assert 0.1 <= runs.ratio.median.held_out.overall().values[0] <= 0.9
    line = Line(0.0, 0.0)
    speed = Speed(0.0, line, {SPEC.algorithm: line}, {SPEC.algorithm: 10}, 6)
    more = speed.bytes(SPEC)
    del REGISTRY["ratio/median"]
    assert more - speed.bytes(SPEC) == NUMBER_BYTES * _rollouts(SPEC)
    registry.register(median)


def test_measure_of_a_new_group_is_an_attribute_of_runs():
    registry.register(Measure("policy/steps", lambda update: torch.ones(1), "steps"))
    try:
        runs = Runs(SPEC.algorithm, TASK, 1, (0,), (Measured(None, {"policy/steps/training": [3.0]}),))
        assert runs.policy.steps.training.overall().values == (3.0,)
        with pytest.raises(ClaimError, match="have no policy/steps/held_out: the measure was registered after"):
            _ = runs.policy.steps.held_out
    finally:
        del REGISTRY["policy/steps"]


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (
            lambda runs: runs.ratio.maxx,
            r"no measure ratio\.maxx \(did you mean 'max'\?\); .*A new measure is one file",
        ),
        (lambda runs: runs.ratios, r"Runs have no 'ratios' \(did you mean 'ratio'\?\); .*A new measure is one file"),
        (
            lambda runs: runs.ratio.max.trainin,
            r"on \.training or \.held_out pairs, .* \(did you mean 'training'\?\)\.$",
        ),
        (lambda runs: runs.ratio.max.training.lst(0.5), r"no \.lst \(did you mean 'last'\?\); .*\.between"),
    ],
)
def test_misspelt_names_get_the_nearest_one(ask, sentence):
    runs = Runs(SPEC.algorithm, TASK, 1, (0,), (Measured(None, {"ratio/max/training": [3.0]}),))
    with pytest.raises(ClaimError, match=sentence):
        ask(runs)
    assert not hasattr(runs, "ratios")


def test_registered_keys_are_unique_and_well_formed():
    with pytest.raises(ValueError, match="There is a measure 'ratio/max' already"):
        registry.register(Measure("ratio/max", lambda update: np.nan, "another"))
    with pytest.raises(ValueError, match="A measure's key is group/name"):
        Measure("ratio", lambda update: np.nan, "another")
