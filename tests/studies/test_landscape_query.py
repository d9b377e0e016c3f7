"""Landscapes as claims receive them: each number against a naive loop over planted returns."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import norm

from rlclaims import PPO, ClaimError, Landscapes, LargeUpdates, LateUpdates
from rlclaims.checkpoints import checkpoint_iterations
from rlclaims.results.measured import Measured
from rlclaims.studies.registry import KINDS
from rlclaims.training import HELD_OUT_EVERY

X = (0, 0.5, 1, 1.5, 2, 2.5, 3, 6, 12)
SEEDS, ITERATIONS = (3, 4, 5), 100
PROMISES = ("training", "held_out", "unclipped", "monte_carlo")


def planted(seed):
    rng = np.random.default_rng(seed)
    series = {}
    for k in range(4):
        series |= {f"{k}/own/{name}": [float(rng.uniform(30, 60))] for name in ("return", "discounted", "length")}
        for part in ("along", "near", "far"):
            for name in ("return", "discounted", "variance", "length", "kl", *(f"promise/{on}" for on in PROMISES)):
                full = f"{k}/{part}/{name}"
                values = rng.uniform(1, 9, KINDS["landscapes"].length(full, ITERATIONS))
                # theta returns some 50, random directions change that by a little
                series[full] = (values + (50 if (part, name[:6]) == ("along", "return") else -5)).tolist()
                if name in ("variance", "length"):
                    series[full] = (values * 10).tolist()
        # Random directions are worse than the step by more than the noise, or by nothing but noise, of mean 0.
        along = np.array(series[f"{k}/along/return"]).reshape(-1, 4)
        gap_G = np.array([20, 21, 22, 23]) if seed == 4 else np.array([3, -3, 3, -3])
        series[f"{k}/near/return"] = np.tile(along[2] - along[0] - gap_G, 20).tolist()
    return series


SERIES = {seed: planted(seed) for seed in SEEDS}


def landscapes(failed=()):
    measured = tuple(Measured("it broke", {}) if seed in failed else Measured(None, SERIES[seed]) for seed in SEEDS)
    return Landscapes(PPO(), "Hopper-v5", ITERATIONS, SEEDS, measured)


def table(seed, k, part, name="return"):
    values = SERIES[seed][f"{k}/{part}/{name}"]
    return [values[i : i + 4] for i in range(0, len(values), 4)]


def mean(values):
    values = list(values)
    return math.fsum(values) / len(values)


def over_groups(function):
    """The mean of a function of two different groups, in either order."""
    return mean(function(g, h) for g, h in itertools.permutations(range(4), 2))


def own(seed, k, name="return"):
    """Return the return of theta in other episodes: the unit of the landscape's returns."""
    return SERIES[seed][f"{k}/own/{name}"][0]


def theta(seed, k):
    return mean(table(seed, k, "along")[0])


def test_there_are_four_kept_iterations_here():
    assert len(checkpoint_iterations(ITERATIONS, HELD_OUT_EVERY)) == 4


@pytest.mark.parametrize("k", range(4))
def test_changes_are_parts_of_the_return_at_theta(k):
    found = landscapes().change(1.0, 3.0).at(k).values
    for seed, value in zip(SEEDS, found, strict=True):
        along = table(seed, k, "along")
        changes = [(mean(along[X.index(x)]) - theta(seed, k)) / own(seed, k) for x in (1, 3)]
        assert value == pytest.approx(mean(changes))
    found = landscapes().random_change().at(k).values
    for seed, value in zip(SEEDS, found, strict=True):
        assert value == pytest.approx(mean(map(mean, table(seed, k, "near"))) / own(seed, k))
    found = landscapes().random_change("norm 2", discounted=True).at(k).values
    for seed, value in zip(SEEDS, found, strict=True):
        expected = mean(SERIES[seed][f"{k}/far/discounted"]) / own(seed, k, "discounted")
        assert value == pytest.approx(expected)


def test_the_last_of_the_kept_iterations_weigh_alike():
    changes = landscapes().change(1.0)
    two, three = changes.at(2).values, changes.at(3).values
    assert changes.last(2).values == pytest.approx([(a + b) / 2 for a, b in zip(two, three, strict=True)])
    assert changes.last(9).values == pytest.approx(changes.overall().values)
    for n in (0, -1, 2.0, True):
        with pytest.raises(ClaimError, match="a whole number of kept iterations"):
            changes.last(n)


@pytest.mark.parametrize("on", PROMISES)
def test_promises_are_parts_of_the_return_at_theta(on):
    for seed, value in zip(SEEDS, landscapes().promised(2.0, on).at(1).values, strict=True):
        assert value == pytest.approx(SERIES[seed][f"1/along/promise/{on}"][X.index(2)] / own(seed, 1))


def test_alignment_is_a_slope_through_the_origin():
    for seed, value in zip(SEEDS, landscapes().alignment(0.5, 1.0).at(2).values, strict=True):
        change = [mean(row) - theta(seed, 2) for row in table(seed, 2, "along")]
        promise = SERIES[seed]["2/along/promise/training"]
        fitted, *_ = np.linalg.lstsq(np.array(promise[1:3])[:, None], np.array(change[1:3]), rcond=None)
        assert value == pytest.approx(fitted[0])


def test_samples_inform_by_how_much_the_squared_error_falls():
    for seed, value in zip(SEEDS, landscapes().forecast_gain(6.0, 12.0).at(0).values, strict=True):
        falls = []
        for x in (6, 12):
            change = mean(table(seed, 0, "along")[X.index(x)]) - theta(seed, 0)
            promise = SERIES[seed]["0/along/promise/unclipped"][X.index(x)]
            falls.append((change**2 - (change - promise) ** 2) / own(seed, 0) ** 2)
        assert value == pytest.approx(mean(falls))


def test_step_gap_to_random_directions_is_net_of_noise():
    found, signs = landscapes(), set()
    for i, seed in enumerate(SEEDS):
        along, near = table(seed, 3, "along"), table(seed, 3, "near")
        gaps = [[along[2][g] - along[0][g] - row[g] for g in range(4)] for row in near]
        square = mean(over_groups(lambda g, h, gap=gap: gap[g] * gap[h]) for gap in gaps)
        of = {part: [v * n for v, n in zip(SERIES[seed][f"3/{part}/variance"], SERIES[seed][f"3/{part}/length"],
              strict=True)] for part in ("along", "near")}  # fmt: skip
        variance = of["along"][2] + mean(of["near"])
        signs.add(square > 0)
        pairs = norm.ppf(0.95) ** 2 * variance / square if square > 0 else math.inf
        assert found.pairs_to_order.at(3).values[i] == pytest.approx(pairs)
        # Where so many pairs give that certainty exactly, the two are equal.
        at = square - variance / 2048 * norm.ppf(0.9) ** 2
        assert found.ranks_step_reliably(2048, 0.9).at(3).values[i] == pytest.approx(at / own(seed, 3) ** 2)
        chance = norm.cdf(math.sqrt(max(square, 0) / (variance / 2048)))
        assert found.chance_of_order(2048).at(3).values[i] == pytest.approx(chance)
    assert signs == {True, False}


def differences(x):
    first = [b - a for a, b in itertools.pairwise(x)]
    return first, [b - a for a, b in itertools.pairwise(first)]


def squares(seed, k):
    """Unbiased mean squares of second and first differences up to 3 steps, as parts of the squared return."""
    groups = list(zip(*table(seed, k, "along")[:7], strict=True))
    first, second = zip(*map(differences, groups), strict=True)

    def square(rows):
        return over_groups(lambda g, h: mean(a * b for a, b in zip(rows[g], rows[h], strict=True)))

    return square(second) / own(seed, k) ** 2, square(first) / own(seed, k) ** 2


def test_roughness_sums_second_and_first_differences():
    found = landscapes()
    for i, seed in enumerate(SEEDS):
        second, first = (sum(parts) for parts in zip(*(squares(seed, k) for k in (1, 2, 3)), strict=True))
        assert found.rougher_than(1.5, last=3).values[i] == pytest.approx(second - 1.5 * first)
        noise_second = noise_first = by_second = by_first = 0.0
        for k in (1, 2, 3):
            v = [a * b / 500 / own(seed, k) ** 2 for a, b in zip(SERIES[seed][f"{k}/along/variance"],
                 SERIES[seed][f"{k}/along/length"], strict=True)]  # fmt: skip
            noise_first += mean(v[j] + v[j + 1] for j in range(6))
            noise_second += mean(v[j] + 4 * v[j + 1] + v[j + 2] for j in range(5))
            one, two = differences([x / own(seed, k) for x in SERIES[seed][f"{k}/along/promise/training"][:7]])
            by_first, by_second = by_first + mean(x**2 for x in one), by_second + mean(x**2 for x in two)
        expected = (second + noise_second) / (first + noise_first)
        assert found.roughness(last=3, pairs=500).values[i] == pytest.approx(expected)
        expected = second - by_second / by_first * first
        assert found.rougher_than_surrogate(last=3).values[i] == pytest.approx(expected)


def test_best_and_lowest_are_judged_by_the_group_left_out():
    found = landscapes()
    for i, seed in enumerate(SEEDS):
        along = table(seed, 1, "along")
        gains, lows = [], []
        for g in range(4):
            others = [math.fsum(row) - row[g] for row in along]
            gains.append(along[others.index(max(others))][g] - along[2][g])
            lows.append(along[1 + others[1:7].index(min(others[1:7]))][g])
        assert found.best_step_gain.at(1).values[i] == pytest.approx(mean(gains) / own(seed, 1))
        assert found.lowest.at(1).values[i] == pytest.approx(mean(lows) / own(seed, 1))


def test_a_batch_holds_its_pairs_over_the_length_of_an_episode():
    expected = [2048 / own(seed, 2, "length") for seed in SEEDS]
    assert landscapes().trajectories_per_batch.at(2).values == pytest.approx(expected)
    assert landscapes().kl(12.0).at(2).values == tuple(SERIES[seed]["2/along/kl"][8] for seed in SEEDS)


def test_a_failed_seed_is_none_that_can_be_left_out():
    found = landscapes(failed=[4])
    for sample in (found.change(1.0).at(0), found.roughness(last=3, pairs=9), found.pairs_to_order.overall()):
        assert math.isnan(sample.values[1]) and not math.isnan(sample.values[2])
        assert sample.failures == ("PPO seed 4: it broke",)


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda s: s.change(), r"change\(\): the landscape has x = 0.5, 1"),
        (lambda s: s.change(0.7), r"change\(0.7\): the landscape has x = 0.5, 1"),
        (lambda s: s.change("1"), r"change\('1'\): the landscape has"),
        (lambda s: s.random_change("far"), "random directions are 'as far', 'norm 2' \\(did you mean 'as far'\\?\\)"),
        (lambda s: s.promised(1.0, "batch"), "surrogates are 'training', 'held_out'"),
        (lambda s: s.ranks_step_reliably(2048, 0.5), "lies between 1/2 and 1"),
        (lambda s: s.ranks_step_reliably(0, 0.9), "a whole number of pairs, from 1 up"),
        (lambda s: s.chance_of_order(0), "a whole number of pairs, from 1 up"),
        (lambda s: s.roughness(last=3, pairs=0.5), "a whole number of pairs, from 1 up"),
        (lambda s: s.roughness(last=0, pairs=5), "a whole number of kept iterations, from 1 up"),
        (lambda s: s.rougher_than("1", last=3), "the bound is a number"),
        (lambda s: s.rougher_than_surrogate(last=1.5), "a whole number of kept iterations, from 1 up"),
        (lambda s: s.kl(0.0), r"kl\(0.0\): the landscape has x = 0.5"),
        (lambda s: s.change(1.0, 1), "each to be named once"),
        (lambda s: s.change(1.0, discounted="yes"), "discounted='yes': it is True or False"),
        (lambda s: s.change(1.0) - s.change(2.0), "one number per iteration"),
        (lambda s: s.change(1.0).median, "one number per iteration"),
        (lambda s: s.kl(-1.0), r"kl\(-1.0\): the landscape has"),
        (lambda s: s.change(1.0) < 0, "one number per iteration"),
    ],
)
def test_mistakes_are_told_in_a_sentence(ask, sentence):
    with pytest.raises(ClaimError, match=sentence):
        ask(landscapes())


def late(seed):
    rng = np.random.default_rng(seed)
    names = [f"{when}/{what}" for when in ("before", "after") for what in ("return", "discounted")]
    return {name: rng.uniform(40, 60, 25 * 4).tolist() for name in names}


LATE = {seed: late(seed) for seed in SEEDS}


def test_late_updates_are_told_as_parts_of_the_return():
    found = LateUpdates(PPO(), "Hopper-v5", ITERATIONS, SEEDS, tuple(Measured(None, LATE[s]) for s in SEEDS))
    for i, seed in enumerate(SEEDS):
        before, after = (np.array(LATE[seed][f"{when}/return"]).reshape(25, 4) for when in ("before", "after"))
        scales = [np.delete(before, g, axis=1).mean() for g in range(4)]
        change = (after - before) / scales
        assert found.mean_change().values[i] == pytest.approx(change.mean())
        assert found.share_lowering.values[i] == sum(row.mean() < 0 for row in change) / 25
        variance = over_groups(lambda g, h, c=change: np.cov(c[:, g], c[:, h])[0, 1])
        assert found.variance.values[i] == pytest.approx(variance)
        net = found.share_lowering_net_of_noise.values[i]
        expected = norm.cdf(-change.mean() / math.sqrt(variance)) if variance > 0 else float(change.mean() < 0)
        assert net == pytest.approx(expected)
        c = change - change.mean(0)
        third = mean((c[:, g] * c[:, h] * c[:, f]).sum() for g, h, f in itertools.permutations(range(4), 3))
        assert found.third_moment.values[i] == pytest.approx(third * 25 / (24 * 23))
    discounted = found.mean_change(discounted=True)
    assert "discounted" in discounted.quantity.label and discounted.values != found.mean_change().values


def test_a_large_update_is_told_beside_the_usual_one():
    series = {"return": [10, 10, 10, 10, 12, 12, 12, 12, 11, 11, 11, 15.0], "own/return": [8.0]}
    found = LargeUpdates(PPO(), "Hopper-v5", ITERATIONS, (0,), (Measured(None, series),))
    assert found.usual_change.values == pytest.approx((0.25,))
    assert found.change.values == pytest.approx((0.25,))
    series = {"return": [-10, -10, -10, -10, -12, -12, -12, -12, -11, -11, -11, -11.0], "own/return": [-10.0]}
    found = LargeUpdates(PPO(), "Hopper-v5", ITERATIONS, (0,), (Measured(None, series),))
    assert found.change.values == pytest.approx((-0.1,)) and found.improvement.values == pytest.approx((0.1,))


def test_fewer_than_three_late_updates_have_no_distribution():
    series = {name: values[: 2 * 4] for name, values in LATE[3].items()}
    found = LateUpdates(PPO(), "Hopper-v5", 8, (3,), (Measured(None, series),))
    for sample in (found.mean_change(), found.share_lowering, found.variance, found.third_moment, found.skewness):
        assert math.isnan(sample.values[0])
