"""Twin updates as claims receive them: contrasts of made-up numbers, by plain loops."""

import math
import warnings

import numpy as np
import pytest

from rlclaims.agents.ppo import PPO
from rlclaims.claims.evidence import ClaimError
from rlclaims.claims.quantity import named
from rlclaims.claims.scope import Scope
from rlclaims.results.checkpoint_series import CheckpointSeries
from rlclaims.results.measured import Measured
from rlclaims.stats.verdict import Reason, Verdict
from rlclaims.studies.twin_updates.compute import MECHANISMS, design, name_of, twin_combinations
from rlclaims.studies.twin_updates.query import TwinUpdates

SEEDS, KEPT = (2, 3, 5, 7, 11, 13), 4
STATES = ("training", "held_out")


def numbers(seed):
    """A run's twin updates, made up."""
    rng = np.random.default_rng(seed)
    names = [*map(name_of, twin_combinations()), "converged"]
    series = {f"{name}/kl_old_new/mean/{states}": rng.lognormal(size=KEPT) for name in names for states in STATES}
    series |= {f"{name}/ratio/exceedance/{states}": rng.random(KEPT) for name in names for states in STATES}
    series |= {"matched_kl/ratio/exceedance/held_out": rng.random(KEPT), "pushed_out/share": rng.random(KEPT)}
    series |= {"converged/late_gain": rng.normal(size=KEPT)}
    return {name: values.tolist() for name, values in series.items()}


def told(changes=None, failed=(), algorithm=None):
    """Twin updates, with some of a seed's numbers changed: {seed: {name: values}}."""
    measured = [
        Measured("it broke", {})
        if seed in failed
        else Measured(None, {**numbers(seed), **(changes or {}).get(seed, {})})
        for seed in SEEDS
    ]
    return TwinUpdates(algorithm or PPO(), "Hopper-v5", 100, SEEDS, tuple(measured))


def log(x):
    return math.log(x)


def as_it_is(x):
    return x


MEASURES = {"mean_kl": ("kl_old_new/mean", log), "exceedance": ("ratio/exceedance", as_it_is)}


@pytest.mark.parametrize("states", STATES)
@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_switching_compares_with_the_update_or_another_twin(mechanism, measure, states):
    name, scale = MEASURES[measure]
    for against in (None, "clip" if mechanism == "learning_rate" else "learning_rate"):
        contrast = getattr(getattr(told().switching(mechanism, against=against), measure), states)
        for i, seed in enumerate(SEEDS):
            one, other = (numbers(seed)[f"{twin}/{name}/{states}"] for twin in (mechanism, against or "none"))
            expected = [scale(a) - scale(b) for a, b in zip(one, other, strict=True)]
            assert contrast.rows[i] == pytest.approx(expected, rel=1e-9, abs=1e-12)
            assert contrast.overall().values[i] == pytest.approx(sum(expected) / KEPT, rel=1e-9, abs=1e-12)
            for k in range(KEPT):
                assert contrast.at(k).values[i] == pytest.approx(expected[k], rel=1e-9, abs=1e-12)
        for sample in (contrast.overall(), contrast.at(2)):
            assert sample.seeds == SEEDS and sample.log_scale is (measure == "mean_kl")
            assert sample.bounds == (None if measure == "mean_kl" else (-1.0, 1.0))
            assert f"{mechanism} switched over {against or 'none'} switched" in sample.quantity.label
            assert {"training": "training batch", "held_out": "held out"}[states] in sample.quantity.label
            assert sample.scope.label == "Hopper-v5, 204,800 steps, seeds 2 to 13"


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_in_the_design_a_switch_is_averaged_over_all_others(mechanism, measure):
    name, scale = MEASURES[measure]
    effect = getattr(told().in_design(mechanism), measure)
    for states in STATES:
        for i, seed in enumerate(SEEDS):
            series, with_it, without = numbers(seed), [], []
            for switched in design():
                values = [scale(x) for x in series[f"{name_of(switched)}/{name}/{states}"]]
                (with_it if mechanism in switched else without).append(values)
            assert len(with_it) == len(without) == 64
            expected = [sum(row[k] for row in with_it) / 64 - sum(row[k] for row in without) / 64 for k in range(KEPT)]
            assert getattr(effect, states).rows[i] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert effect.training.bounds == (None if measure == "mean_kl" else (-1.0, 1.0))


def test_an_effect_shows_its_numbers():
    effect = told().switching("clip")
    for on in (effect.mean_kl, effect.exceedance):
        for states in STATES:
            assert str(getattr(on, states).rows[0][0]) in repr(effect)


def test_design_recovers_the_factor_of_one_mechanism_alone():
    # KL of a twin: 3 with the clip switched, 1/2 with half the epochs, and 7 with both learning rate and head.
    def kl(switched):
        both = {"learning_rate", "head"} <= switched
        return 0.01 * 3 ** ("clip" in switched) * 0.5 ** ("epochs" in switched) * 7**both

    made_up = {f"{name_of(s)}/kl_old_new/mean/held_out": [kl(s)] * KEPT for s in twin_combinations()}
    effects = told(dict.fromkeys(SEEDS, made_up))
    expected = {"clip": 3, "epochs": 0.5, "learning_rate": math.sqrt(7), "head": math.sqrt(7)}
    for mechanism in MECHANISMS:
        sample = effects.in_design(mechanism).mean_kl.held_out.overall()
        assert np.exp(sample.values) == pytest.approx([expected.get(mechanism, 1)] * 6)


def test_other_contrasts_are_what_they_say():
    of = told()
    for i, seed in enumerate(SEEDS):
        series = numbers(seed)
        matched = [
            a - b
            for a, b in zip(
                series["none/ratio/exceedance/held_out"], series["matched_kl/ratio/exceedance/held_out"], strict=True
            )
        ]
        assert of.clipping_at_matched_kl.rows[i] == pytest.approx(matched)
        assert of.late_share_of_gain.rows[i] == pytest.approx(series["converged/late_gain"])
        assert of.let_go_moved_outward.rows[i] == pytest.approx(series["pushed_out/share"])
        for states in STATES:
            for measure, (name, scale) in MEASURES.items():
                converged = [
                    scale(a) - scale(b)
                    for a, b in zip(series[f"converged/{name}/{states}"], series[f"none/{name}/{states}"], strict=True)
                ]
                assert getattr(getattr(of.converged, measure), states).rows[i] == pytest.approx(converged)
    assert of.clipping_at_matched_kl.bounds == (-1.0, 1.0) and of.let_go_moved_outward.bounds == (0.0, 1.0)
    assert of.late_share_of_gain.bounds is None and not of.late_share_of_gain.log_scale


def test_a_failed_seed_is_no_number_and_is_not_left_out():
    of = told(failed=[5])
    for contrast in (
        of.switching("clip").mean_kl.held_out,
        of.in_design("head").exceedance.training,
        of.let_go_moved_outward,
    ):
        assert [len(row) for row in contrast.rows] == [4, 4, 0, 4, 4, 4]
        for sample in (contrast.overall(), contrast.at(3)):
            assert [math.isnan(value) for value in sample.values] == [seed == 5 for seed in SEEDS]
            assert sample.failures == ("PPO seed 5: it broke",)
            assert (sample < 1e9).reason is Reason.RUN_FAILED


def test_where_all_seeds_failed_no_iteration_is_refused():
    contrast = told(failed=SEEDS).switching("clip").mean_kl.held_out
    for sample in (contrast.overall(), contrast.at(0), contrast.at(3)):
        assert len(sample.values) == 6 and all(map(math.isnan, sample.values))


@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf])
@pytest.mark.parametrize("where", ["clip", "none"])
def test_divergence_without_a_logarithm_makes_its_seed_nan(bad, where):
    zero = {f"{where}/kl_old_new/mean/held_out": [0.1, bad, 0.3, 0.4]}
    contrast = told({7: zero}).switching("clip").mean_kl.held_out
    assert [math.isnan(x) for x in contrast.rows[3]] == [False, True, False, False]
    assert [math.isnan(value) for value in contrast.overall().values] == [seed == 7 for seed in SEEDS]
    assert math.isfinite(contrast.at(0).values[3]) and math.isnan(contrast.at(1).values[3])


def test_two_zero_divergences_give_nan_without_a_warning():
    zeros = {f"{name}/kl_old_new/mean/held_out": [0.0] * KEPT for name in ("none", "clip")}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row = told({2: zeros}).switching("clip").mean_kl.held_out.rows[0]
    assert all(map(math.isnan, row))


def test_without_a_match_there_is_no_number():
    missing = {"matched_kl/ratio/exceedance/held_out": [0.1, 0.2, math.nan, 0.4]}
    contrast = told({3: missing}).clipping_at_matched_kl
    assert math.isnan(contrast.overall().values[1]) and math.isfinite(contrast.at(3).values[1])
    assert (contrast.overall() < 1e9).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    "ask",
    [
        lambda of: of.switching("cliping"),
        lambda of: of.switching("clip", against="cliping"),
        lambda of: of.in_design("cliping"),
    ],
)
def test_an_unknown_mechanism_is_refused_in_a_sentence(ask):
    with pytest.raises(
        ClaimError,
        match=r"^There is no mechanism 'cliping' to switch: mechanisms are 'clip', .* \(did you mean 'clip'\?\)\.$",
    ):
        ask(told())


def test_a_mechanism_is_not_switched_against_itself():
    with pytest.raises(ClaimError, match=r"^switching\('clip', against='clip'\): these twins are one and the same\.$"):
        told().switching("clip", against="clip")


def test_several_iterations_are_not_compared():
    contrast = told().switching("clip").mean_kl.held_out
    for compare in (lambda: contrast > 1, lambda: contrast <= 1, lambda: 1 > contrast):  # noqa: SIM300
        with pytest.raises(ClaimError, match=r"^PPO's mean KL.*say first which is meant: .*\.overall\(\)\.$"):
            compare()


@pytest.mark.parametrize("k", [-1, 4, 1.0, "0", True])
def test_an_iteration_that_is_not_kept_is_refused(k):
    with pytest.raises(ClaimError, match=r"there are 4 kept iterations, from at\(0\) to at\(3\)\.$"):
        told().let_go_moved_outward.at(k)


def test_short_run_repeats_its_last_iteration():
    contrast = CheckpointSeries(named("effect"), ((0.1, 0.2), (0.3, 0.4), ()), (0, 1, 2), Scope(()), ())
    assert contrast.at(0).values[:2] == (0.1, 0.3) and contrast.at(3).values[:2] == (0.2, 0.4)
    assert math.isnan(contrast.at(3).values[2])


def test_a_contrast_is_judged_as_samples_are():
    rows = tuple((x, x + 0.2) for x in (0.3, 0.35, 0.4, 0.45, 0.5, 0.55))
    contrast = CheckpointSeries(named("the quantity"), rows, SEEDS, Scope.of("a task", 0, SEEDS), (), log_scale=True)
    evidence = contrast.overall() > 1
    assert evidence.verdict is Verdict.SUPPORTED
    assert evidence.interval.estimate == pytest.approx(math.exp(0.525))
    assert "mean over the kept iterations" in evidence.quantity.label
    assert (contrast.at(1) > 1).interval.estimate == pytest.approx(math.exp(0.625))
