"""Gradients, values and final returns as claims receive them: each number against arithmetic on planted series."""

import math

import numpy as np
import pytest

from rlclaims import PPO, ClaimError, FinalReturns, Gradients, Values
from rlclaims.results.measured import Measured
from rlclaims.studies.gradients.query import NearTrueGradients

SEEDS, ITERATIONS = (3, 4, 5), 100  # of which four are kept
WEIGHTS = ("surrogate", "returns", "near_true", "discounted", "undiscounted")
STEPS = 2048


def gradient_series(seed):
    rng = np.random.default_rng(seed)
    series = {}
    for k in range(4):
        for i, name in enumerate(WEIGHTS):
            series[f"{k}/{name}/square"] = [float(rng.uniform(0.5, 2))]
            series[f"{k}/{name}/noise"] = [float(rng.uniform(500, 3000))]
            series[f"{k}/{name}/step"] = [float(rng.uniform(-0.3, 0.6))]
            series[f"{k}/{name}/step_square"] = [float(rng.uniform(-0.1, 1.0))]
            series |= {f"{k}/{name}*{other}": [float(rng.uniform(-1, 2))] for other in WEIGHTS[i + 1 :]}
    return series


def value_series(seed):
    rng = np.random.default_rng(seed)
    whats = ("error", "size", "spread", "relative")
    return {
        f"{k}/{on}/{what}": [float(rng.uniform(1, 9))]
        for k in range(4)
        for on in ("training", "held_out", "returns", "true")
        for what in (whats[:3] if on == "true" else whats)
    }


GRADIENTS, VALUES = ({seed: series(seed) for seed in SEEDS} for series in (gradient_series, value_series))
RETURNS = {3: [1.0, 2.0, 3.0, 6.0], 4: [-5.0, 5.0, 7.0, 9.0], 5: [0.25, 0.0, 0.25, 0.0]}


def subject(cls, series, failed=()):
    measured = tuple(Measured("it broke", {}) if seed in failed else Measured(None, series[seed]) for seed in SEEDS)
    return cls(PPO(), "Hopper-v5", ITERATIONS, SEEDS, measured)


def gradients(**changes):
    """With numbers of seed 4 at the kept iteration 1 that are changed: square=-1.0, say."""
    changed = {f"1/surrogate/{name}": [value] for name, value in changes.items()}
    return subject(NearTrueGradients, {**GRADIENTS, 4: GRADIENTS[4] | changed})


def of(series, k, name):
    return [series[seed][f"{k}/{name}"][0] for seed in SEEDS]


# Gradients.


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("k", range(4))
def test_cosines_and_steps_are_of_the_gradient_that_is_asked_for(name, k):
    found, (square, noise, step, along) = gradients(), (
        of(GRADIENTS, k, f"{name}/{what}") for what in ("square", "noise", "step", "step_square")
    )  # fmt: skip
    for pairs in (1, 2048, 10**6):
        expected = [s / (s + n / pairs) for s, n in zip(square, noise, strict=True)]
        assert found.cosine(pairs, name).at(k).values == pytest.approx(expected)
    assert found.step(name).at(k).values == pytest.approx(step)
    # As parts of the squared length that an estimate has on average, from as many pairs as the algorithm takes.
    expected = [(a - 0.6**2 * s) / (s + n / STEPS) for a, s, n in zip(along, square, noise, strict=True)]
    assert found.step_beyond(0.6, name).at(k).values == pytest.approx(expected)


def test_the_surrogates_gradient_is_the_one_where_none_is_named():
    found = gradients()
    for asked, named in (
        (found.cosine(2048), found.cosine(2048, of="surrogate")),
        (found.step(), found.step("surrogate")),
        (found.step_beyond(0.5), found.step_beyond(0.5, of="surrogate")),
    ):
        assert (asked.quantity, asked.rows) == (named.quantity, named.rows)
    assert found.cosine(2048).rows != found.cosine(2048, of="returns").rows


def test_step_beyond_a_cosine_is_closer_to_the_gradients_line():
    for cosine, expected in ((0.4, 1), (0.5, 0), (0.6, -1)):
        # Of length 2, of which 1 lies along the step, whichever way.
        value = gradients(square=4.0, step_square=1.0).step_beyond(cosine).at(1).values[1]
        assert (value > 1e-9) - (value < -1e-9) == expected


def test_cosines_of_a_square_lost_in_noise_are_negative_or_nan():
    for square, pairs, expected in (
        (-1.0, 100, -1 / 9),  # 10 is the noise of 100 pairs
        (-1.0, 999, -1 / (-1 + 1000 / 999)),
        (-1.0, 1000, math.nan),
        (-1.0, 5000, math.nan),
        (0.0, 5000, 0.0),
    ):
        value = gradients(square=square, noise=1000.0).cosine(pairs).at(1).values[1]
        assert value == pytest.approx(expected, nan_ok=True)
    for noise in (2048.0, 1000.0):  # 1 and less of the algorithm's own pairs
        assert math.isnan(gradients(square=-1.0, noise=noise).step_beyond(0.5).at(1).values[1])


@pytest.mark.parametrize(
    ("one", "other"), [("surrogate", "discounted"), ("surrogate", "undiscounted"), ("discounted", "undiscounted")]
)
def test_cosines_between_gradients_are_of_unbiased_products(one, other):
    product, *squares = (of(GRADIENTS, 3, name) for name in (f"{one}*{other}", f"{one}/square", f"{other}/square"))
    expected = [p / (a * b) ** 0.5 for p, a, b in zip(product, *squares, strict=True)]
    assert gradients().between(one, other).at(3).values == pytest.approx(expected)
    assert gradients().between(other, one).rows == gradients().between(one, other).rows


def test_gradients_of_which_one_is_lost_in_noise_have_no_cosine():
    for square in (0.0, -0.5):
        values = gradients(square=square).between("surrogate", "undiscounted").at(1).values
        assert math.isnan(values[1]) and not math.isnan(values[0] + values[2])


def test_values_that_were_not_fitted_have_no_gradient():
    without = {seed: {name: x for name, x in GRADIENTS[seed].items() if "near_true" not in name} for seed in SEEDS}
    found = subject(Gradients, without)
    for ask in (lambda g: g.cosine(9, "near_true"), lambda g: g.step("near_true")):
        with pytest.raises(
            ClaimError, match=r"^\w+\(of='near_true'\): .* gradients\(near_true=True\) fits values to more pairs\.$"
        ):
            ask(found)
    for pairs, name in ((9, "surrogate"), (2048, "returns")):
        assert found.cosine(pairs, name).rows == gradients().cosine(pairs, name).rows


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda g: g.cosine(0), r"^cosine\(0\): a whole number of pairs, from 1 up\.$"),
        (lambda g: g.cosine(2048.0), r"^cosine\(2048\.0\): a whole number of pairs, from 1 up\.$"),
        (lambda g: g.cosine(True), r"^cosine\(True\): a whole number of pairs, from 1 up\.$"),
        (
            lambda g: g.cosine(9, "true"),
            r"^cosine\(of='true'\): gradients are 'surrogate', .*, 'undiscounted' \(did you mean 'near_true'\?\)\.$",
        ),
        (lambda g: g.step(of="step"), r"^step\(of='step'\): gradients are 'surrogate', .*\.$"),
        (lambda g: g.step_beyond(0.5, None), r"^step_beyond\(of=None\): gradients are .*\.$"),
        (lambda g: g.step_beyond(0.0), r"^step_beyond\(0\.0\): the cosine lies between 0 and 1\.$"),
        (lambda g: g.step_beyond(1), r"^step_beyond\(1\): the cosine lies between 0 and 1\.$"),
        (lambda g: g.step_beyond("0.5"), r"^step_beyond\('0\.5'\): the cosine lies between 0 and 1\.$"),
        (lambda g: g.step_beyond(math.nan), r"^step_beyond\(nan\): the cosine lies between 0 and 1\.$"),
        (
            lambda g: g.between("surrogate", "returns"),
            r"^between\('surrogate', 'returns'\): two different ones of 'surrogate', 'discounted', 'undiscounted'\.$",
        ),
        (lambda g: g.between("discounted", "discounted"), r"^between\('discounted', .*\): two different ones of .*\.$"),
        (lambda g: g.cosine(9) > 0, r"is one number per iteration; say first which is meant: .*\.$"),
        (lambda g: g.step().median, r"is one number per iteration; say first which is meant: .*\.$"),
        (lambda g: g.step().at(4), r"^at\(4\): there are 4 kept iterations, from at\(0\) to at\(3\)\.$"),
    ],
)
def test_mistakes_about_gradients_are_told_in_a_sentence(ask, sentence):
    with pytest.raises(ClaimError, match=sentence):
        ask(gradients())


# Values.


@pytest.mark.parametrize("on", ["training", "held_out", "returns"])
def test_errors_of_values_are_parts_of_what_they_are_errors_of(on):
    found = subject(Values, VALUES)
    for k in range(4):
        error, size, relative = (of(VALUES, k, f"{on}/{what}") for what in ("error", "size", "relative"))
        expected = [(e / s) ** 0.5 for e, s in zip(error, size, strict=True)]
        assert found.error(on).at(k).values == pytest.approx(expected)
        assert found.mean_relative_error(on).at(k).values == pytest.approx(relative)


def test_true_beyond_compares_errors_in_units_of_returns():
    found = subject(Values, VALUES)
    error, size, spread = (of(VALUES, 2, f"true/{what}") for what in ("error", "size", "spread"))
    units = [of(VALUES, 2, f"returns/{what}") for what in ("size", "spread")]
    for bound in (0.1, 1, 1.5):
        expected = [(e - bound * bound * s) / unit for e, s, unit in zip(error, size, units[0], strict=True)]
        assert found.true_beyond(bound).at(2).values == pytest.approx(expected)
        # Of a variance, which is a square already.
        expected = [(e - bound * s) / unit for e, s, unit in zip(error, spread, units[1], strict=True)]
        assert found.true_unexplained_beyond(bound).at(2).values == pytest.approx(expected)


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda v: v.error("true"), r"^error\('true'\): errors are 'training', 'held_out', 'returns'\.$"),
        (lambda v: v.error(None), r"^error\(None\): errors are 'training', .*\.$"),
        (lambda v: v.mean_relative_error("batch"), r"^mean_relative_error\('batch'\): errors are 'training', .*\.$"),
        (lambda v: v.true_beyond(0), r"^true_beyond\(0\): .* a positive number\.$"),
        (lambda v: v.true_beyond("1"), r"^true_beyond\('1'\): .* a positive number\.$"),
        (lambda v: v.true_beyond(math.nan), r"^true_beyond\(nan\): .* a positive number\.$"),
        (lambda v: v.true_unexplained_beyond(-1.0), r"^true_unexplained_beyond\(-1\.0\): .* a positive number\.$"),
        (lambda v: v.error("training") < 1, r"is one number per iteration; say first which is meant: .*\.$"),
    ],
)
def test_mistakes_about_values_are_told_in_a_sentence(ask, sentence):
    with pytest.raises(ClaimError, match=sentence):
        ask(subject(Values, VALUES))


# Final returns, and failed runs.


def test_final_returns_are_the_means_of_their_groups():
    series = {seed: {"return": RETURNS[seed], "discounted": [9.0] * 4, "length": [9.0] * 4} for seed in SEEDS}
    sample = subject(FinalReturns, series).mean
    assert sample.values == (3.0, 4.0, 0.125)
    assert sample.seeds == SEEDS and not sample.log_scale and sample.failures == ()


@pytest.mark.parametrize(
    "ask",
    [
        lambda failed: subject(Gradients, GRADIENTS, failed).cosine(2048).at(0),
        lambda failed: subject(Gradients, GRADIENTS, failed).step("returns").last(2),
        lambda failed: subject(Gradients, GRADIENTS, failed).step_beyond(0.9).overall(),
        lambda failed: subject(Gradients, GRADIENTS, failed).between("surrogate", "discounted").at(1),
        lambda failed: subject(Values, VALUES, failed).error("held_out").overall(),
        lambda failed: subject(Values, VALUES, failed).mean_relative_error("returns").at(3),
        lambda failed: subject(Values, VALUES, failed).true_beyond(0.5).last(1),
        lambda failed: subject(Values, VALUES, failed).true_unexplained_beyond(0.5).last(1),
        lambda failed: subject(FinalReturns, {s: {"return": RETURNS[s]} for s in SEEDS}, failed).mean,
    ],
)
def test_failed_run_is_nan_and_reported_and_changes_no_other(ask):
    whole, broken = ask(()), ask((4,))
    assert not any(map(math.isnan, whole.values)) and whole.failures == ()
    assert math.isnan(broken.values[1])
    assert broken.values[::2] == whole.values[::2] and broken.seeds == whole.seeds == SEEDS
    assert broken.failures == ("PPO seed 4: it broke",)
    assert all(map(math.isnan, ask(SEEDS).values)) and len(ask(SEEDS).failures) == 3
