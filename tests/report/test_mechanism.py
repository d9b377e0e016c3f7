"""The mechanism table of made-up twin updates, with intervals by scipy."""

import math
from io import StringIO

import numpy as np
import pytest
from scipy import stats
from terminal import Terminal

from rlclaims import PPO
from rlclaims.report.mechanism import mechanism_table
from rlclaims.results.measured import Measured
from rlclaims.studies.twin_updates.compute import BATCHES, name_of, twin_combinations
from rlclaims.studies.twin_updates.query import TwinUpdates

ITERATIONS = (0, 30, 60, 90)
SEEDS = (0, 1, 2, 3, 4, 5)


def made_up(rng):
    """Numbers of every twin in which switching `clip` alone multiplies KL by e^z, and nothing else changes any."""
    measured = []
    effects_NK = rng.normal(2.0, 0.3, (len(SEEDS), len(ITERATIONS)))
    for effects_K in effects_NK:
        series = {"matched_kl/ratio/exceedance/held_out": [0.1] * 4, "pushed_out/share": [0.5] * 4}
        series |= {"converged/late_gain": [0.2] * 4}
        for twin in [*map(name_of, twin_combinations()), "converged"]:
            for states in BATCHES:
                kl = 0.01 * np.exp(effects_K) if twin == "clip" else np.full(4, 0.01)
                series[f"{twin}/kl_old_new/mean/{states}"] = kl.tolist()
                series[f"{twin}/ratio/exceedance/{states}"] = [0.2] * 4
        measured.append(Measured(None, series))
    return effects_NK, TwinUpdates(PPO(), "Hopper-v5", 100, SEEDS, tuple(measured))


@pytest.fixture
def printed():
    effects_NK, made = made_up(np.random.default_rng(0))
    file = StringIO()
    mechanism_table(made, ITERATIONS, file, 120)
    return effects_NK, file.getvalue()


def test_intervals_are_by_t_at_an_error_rate_for_all_of_them(printed):
    effects_NK, table = printed
    # Nine mechanisms, four columns, four iterations and their mean; and four effects beside.
    level = 1 - 0.05 / (9 * 4 * 5 + 4)
    rows = table.split("clip: on -> off")[1].splitlines()[1:6]
    columns = [*effects_NK.T, effects_NK.mean(1)]
    for row, label, x_N in zip(rows, [*map(str, ITERATIONS), "all"], columns, strict=True):
        low, high = stats.t.interval(level, 5, loc=x_N.mean(), scale=stats.sem(x_N))
        shown = f"{math.exp(x_N.mean()):.3g} [{math.exp(low):.3g}, {math.exp(high):.3g}]"
        assert row.split() == [label, *shown.split(), "0", "1", "0"]


def test_effects_below_the_table_share_its_error_rate():
    effects_NK, made = made_up(np.random.default_rng(0))
    shares_NK = np.random.default_rng(1).random(effects_NK.shape)
    varied = tuple(
        Measured(None, measured.series | {"pushed_out/share": shares_K.tolist()})
        for measured, shares_K in zip(made._measured, shares_NK, strict=True)
    )
    file = StringIO()
    mechanism_table(TwinUpdates(PPO(), "Hopper-v5", 100, SEEDS, varied), ITERATIONS, file, 120)
    x_N = shares_NK.mean(1)
    low, high = stats.t.interval(1 - 0.05 / (9 * 4 * 5 + 4), 5, loc=x_N.mean(), scale=stats.sem(x_N))
    assert f"moved further out: {x_N.mean():.3g} [{low:.3g}, {high:.3g}]" in " ".join(file.getvalue().split())


def test_what_changes_nothing_has_no_interval(printed):
    _, table = printed
    rows = table.split("epochs: 10 -> 5")[1].splitlines()[1:6]
    assert [row.split() for row in rows] == [[label, *"1010"] for label in [*map(str, ITERATIONS), "all"]]


def test_a_seed_that_failed_leaves_no_number():
    _, made = made_up(np.random.default_rng(0))
    broken = (*made._measured[:5], Measured("it broke", {}))
    file = StringIO()
    mechanism_table(TwinUpdates(PPO(), "Hopper-v5", 100, SEEDS, broken), ITERATIONS, file, 120)
    assert file.getvalue().split("head: ")[1].splitlines()[1].split() == ["0", *["none"] * 4]


def test_a_narrow_terminal_cuts_nothing_off(printed):
    _, wide = printed
    _, made = made_up(np.random.default_rng(0))
    file = Terminal()
    mechanism_table(made, ITERATIONS, file, 80)
    narrow = file.getvalue()
    assert max(map(len, narrow.splitlines())) <= 80
    # The words of a row of the wide table, which has one line each, wherever the narrow one breaks it.
    row = wide.split("clip: on -> off")[1].splitlines()[1].split()
    rows = narrow.split("clip: on -> off")[1].split("epsilon: ")[0].split()
    assert not set(row) - set(rows)
    assert "0.0003 -> 0.00015" in " ".join(narrow.split("learning_rate:")[1].split()[:3])
