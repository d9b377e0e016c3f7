"""A measure over training: which iterations a part of it takes, and how two measures of the same runs go together."""

import math
import zlib

import numpy as np
import pytest
from scipy import stats

from rlclaims.agents.ppo import PPO, PPOM
from rlclaims.claims.evidence import ClaimError
from rlclaims.claims.quantity import named
from rlclaims.claims.scope import Scope
from rlclaims.measures.registry import REGISTRY
from rlclaims.results.measured import Measured
from rlclaims.results.series import Series
from rlclaims.stats.describe import rank_correlation
from rlclaims.stats.verdict import Reason
from rlclaims.studies.runs import Runs

RNG = np.random.default_rng(5)
N = 23
"""Iterations; held out are 0, 10 and 20 of them."""
KL, RATIO = (RNG.lognormal(size=(5, N)).round(1) for _ in range(2))  # rounded, so that some are equal
FRESH = KL[:, ::10] + RNG.normal(0, 0.3, (5, 3))


def runs(algorithm=None, failed=(), seeds=range(5), iterations=N):
    measured = [
        Measured(
            "it broke" if i in failed else None,
            {
                "kl_old_new/mean/training": KL[i, :iterations].tolist(),
                "ratio/exceedance/training": RATIO[i, :iterations].tolist(),
                "kl_old_new/max/held_out": FRESH[i].tolist(),
                "ratio/exceedance/held_out": FRESH[i, ::-1].tolist(),
            },
        )
        for i in range(len(seeds))
    ]
    return Runs(algorithm or PPO(), "Hopper-v5", iterations, tuple(seeds), tuple(measured))


def series(*rows):
    seeds = tuple(range(len(rows)))
    scope = Scope.of("a task", 0, seeds)
    return Series(named("the measure"), tuple(tuple(map(float, row)) for row in rows), seeds, scope, ())


@pytest.mark.parametrize(
    ("n", "start", "end", "chosen"),
    [
        (10, 0.375, 0.625, [4, 5]),  # of .05, .15, ..., .95
        (10, 0.25, 0.75, [2, 3, 4, 5, 6, 7]),
        (10, 0.15, 0.35, [1, 2, 3]),  # its ends are among them
        (10, 0.0, 1.0, list(range(10))),
        (3, 0.3, 0.7, [1]),
        (1, 0.375, 0.625, [0]),
        (2, 0.0, 0.25, [0]),
        (49, 0.375, 0.625, list(range(18, 31))),  # from 18.5 / 49 = .378 to 30.5 / 49 = .622
        (7, 0.5, 0.6, [3]),
    ],
)
def test_between_takes_iterations_whose_middle_lies_in_the_part(n, start, end, chosen):
    rows = RNG.normal(size=(2, n))
    expected = [sum(row[i] for i in chosen) / len(chosen) for row in rows.tolist()]
    sample = series(*rows).between(start, end)
    assert sample.values == pytest.approx(expected, rel=1e-12)
    assert sample.seeds == (0, 1)


def test_adjacent_parts_cover_every_iteration():
    for n in range(5, 60):
        for cut in (0.2, 0.25, 0.5, 1 / 3):
            for i in range(n):
                alone = series([float(j == i) for j in range(n)])
                assert alone.between(0, cut).values[0] or alone.between(cut, 1).values[0]
    evens = series(range(12))
    assert evens.between(0, 0.25).values == evens.first(0.25).values
    assert evens.between(0.75, 1).values == evens.last(0.25).values


def test_a_part_of_training_keeps_bounds_and_failures():
    of_runs = runs(failed=[1])
    sample = of_runs.ratio.exceedance.held_out.between(0.0, 0.5)
    assert math.isnan(sample.values[1])
    assert sample.values[0] == pytest.approx(FRESH[0, 2:0:-1].mean())
    assert sample.bounds == (0.0, 1.0) and sample.failures == ("PPO seed 1: it broke",)
    assert "from 0% to 50% of training" in sample.quantity.label
    assert (sample < 9).reason is Reason.RUN_FAILED
    all_failed = runs(failed=range(5)).kl_old_new.mean.training.between(0.9, 0.91)
    assert len(all_failed.values) == 5 and all(map(math.isnan, all_failed.values))
    assert runs(seeds=()).kl_old_new.mean.training.between(0.9, 0.91).values == ()


@pytest.mark.parametrize(
    ("start", "end"), [(0.5, 0.5), (0.6, 0.5), (-0.1, 0.5), (0.5, 1.1), ("a", 1), (0, None), (math.nan, 1), (0, True)]
)
def test_two_parts_of_training_ascend(start, end):
    with pytest.raises(ClaimError, match=r"two parts of training ascend, from 0 to 1\.$"):
        series(range(8)).between(start, end)


def test_a_part_without_a_measured_iteration_takes_the_nearest():
    # The middles of four are .125, .375, .625 and .875.
    assert series(range(4)).between(0.9, 0.95).values == (3.0,)
    assert series(range(4)).between(0.5, 0.6).values == (2.0,)
    assert series([7.0]).between(0.0, 0.25).values == (7.0,)


def test_where_keeps_the_iterations_of_the_other_series():
    of_runs = runs(failed=[2])
    kl, fresh = of_runs.kl_old_new.mean.training, of_runs.kl_old_new.max.held_out
    at = kl.where(fresh)
    assert at.rows == tuple(() if i == 2 else tuple(KL[i, [0, 10, 20]]) for i in range(5))
    assert at.every == 10 and at.bounds == (0.0, float("inf"))
    assert "at the iterations of PPO's max KL(old||new), held out" in at.quantity.label
    # The other way, and among themselves, nothing is left out.
    assert fresh.where(kl).rows == fresh.rows and fresh.where(kl).every == 10
    assert kl.where(of_runs.ratio.exceedance.training).rows == kl.rows
    assert at.where(fresh).rows == at.rows
    assert of_runs.ratio.exceedance.training.where(fresh).bounds == (0.0, 1.0)


def test_rank_correlation_over_training_is_scipys_of_each_seed():
    of_runs = runs(failed=[4])
    kl, fresh = of_runs.kl_old_new.mean.training, of_runs.kl_old_new.max.held_out
    for sample in (kl.rank_correlation(fresh), fresh.rank_correlation(kl), kl.where(fresh).rank_correlation(fresh)):
        expected = [stats.spearmanr(KL[i, [0, 10, 20]], FRESH[i]).statistic for i in range(4)]
        assert sample.values[:4] == pytest.approx(expected, rel=1e-12)
        assert math.isnan(sample.values[4]) and sample.failures == ("PPO seed 4: it broke",)
        assert sample.bounds == (-1.0, 1.0) and not sample.log_scale
        assert (sample > 0).reason is Reason.RUN_FAILED


def test_measures_of_the_same_pairs_share_their_noise():
    of_runs = runs()
    kl, outside, fresh = of_runs.kl_old_new.mean, of_runs.ratio.exceedance, of_runs.kl_old_new.max.held_out
    same = [
        (kl.training, outside.training),
        (outside.held_out, fresh),
        (kl.training.where(fresh), outside.training),
        (kl.training, outside.training.where(fresh)),
        (fresh, fresh.where(kl.training)),
    ]
    for one, other in same:
        with pytest.raises(
            ClaimError, match=r"measured on the same pairs and share their noise: take one on \.training"
        ):
            one.rank_correlation(other)


@pytest.mark.parametrize(
    "other",
    [
        runs(PPOM()),
        runs(PPO(clip_epsilon=0.1)),
        runs(seeds=range(1, 6)),
        runs(iterations=22),
    ],
    ids=["another algorithm", "other settings", "other seeds", "another length"],
)
def test_series_of_different_runs_have_no_updates_in_common(other):
    kl, fresh = runs().kl_old_new.mean.training, other.kl_old_new.max.held_out
    for act in (kl.where, kl.rank_correlation):
        with pytest.raises(ClaimError, match=r"PPO's mean KL.* another series of the same runs, not "):
            act(fresh)
        with pytest.raises(ClaimError, match=r"another series, not 0\.5\.$"):
            act(0.5)


@pytest.mark.parametrize("n", [3, 4, 10, 49])
def test_rank_correlation_is_spearmans_with_and_without_ties(n):
    for _ in range(20):
        x, y = RNG.normal(size=(2, n))
        assert rank_correlation(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
        x, y = RNG.integers(0, 4, (2, n)).astype(float)
        if len(set(x)) > 1 and len(set(y)) > 1:
            assert rank_correlation(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    x = RNG.normal(size=n)
    assert rank_correlation(x, np.exp(x)) == pytest.approx(1, abs=1e-12)  # of any increasing function
    assert rank_correlation(x * 1e200, -x * 1e-50) == pytest.approx(-1, abs=1e-12)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([], []),
        ([1.0, 2.0], [1.0, 2.0]),
        ([1.0, 2.0, 3.0], [4.0, 4.0, 4.0]),
        ([1.0, 2.0, math.nan, 4.0], [1.0, 2.0, 3.0, 4.0]),
        ([1.0, 2.0, 3.0, 4.0], [1.0, math.inf, 3.0, 4.0]),
        ([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0]),
        ([1.0, 2.0, 3.0, 4.0], [0.3, 0.1 + 0.2, 0.3, 0.1 + 0.2]),  # equal but for rounding
    ],
)
def test_rank_correlation_is_nan_of_constants_and_nan(x, y):
    assert math.isnan(rank_correlation(x, y))
    assert math.isnan(rank_correlation(y, x))


@pytest.mark.parametrize("group", ["kl_old_new", "kl_deployed", "ratio", "surrogate"])
def test_a_measure_is_read_from_the_series_of_its_name(group):
    class Named(dict):
        """Series whose numbers tell their names."""

        def __missing__(self, name):
            return [float(zlib.crc32(name.encode()))]

    of_seeds = tuple(Measured(None, Named()) for _ in range(5))
    measures = getattr(Runs(PPO(), "Hopper-v5", 1, tuple(range(5)), of_seeds), group)
    # The typed attributes, which editors complete, are those of the registry.
    names = [measure.name for measure in REGISTRY.values() if measure.group == group]
    assert list(type(measures).__annotations__) == names and len(names) >= 2
    for name in names:
        for states in ("training", "held_out"):
            rows = getattr(getattr(measures, name), states).rows
            assert rows == ((zlib.crc32(f"{group}/{name}/{states}".encode()),),) * 5
