"""Two-level designs: what they recover, by least squares; and what a factorial of runs says of its settings."""

import math
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import pytest
from planted_runs import planted
from samples import sample as named_sample

from rlclaims.agents.algorithm import Algorithm
from rlclaims.agents.ppo import PPO, PPOM
from rlclaims.agents.trpo import TRPO
from rlclaims.claims.evidence import ClaimError
from rlclaims.planning.profile import Profile
from rlclaims.planning.request import RunsRequest
from rlclaims.planning.resolve import expand, resolve
from rlclaims.planning.study_checks import check_study
from rlclaims.results.factorial import Factorial, Tuned
from rlclaims.results.measured import Measured
from rlclaims.stats.factorial import aliases, two_level_design
from rlclaims.stats.verdict import Reason
from rlclaims.store.run_spec import SpecError
from rlclaims.studies.final_returns.query import FinalReturns
from rlclaims.studies.gradients.query import Gradients, NearTrueGradients
from rlclaims.studies.landscape.query import Landscapes
from rlclaims.studies.large_updates.query import LargeUpdates
from rlclaims.studies.late_updates.query import LateUpdates
from rlclaims.studies.registry import Study
from rlclaims.studies.runs import Runs
from rlclaims.studies.twin_updates.query import TwinUpdates
from rlclaims.studies.values.query import Values

TWINS = Study("twins")

# Combinations of the smallest two-level designs of resolution IV and more, by the number of factors.
FEWEST = {0: 1, 1: 2, 2: 4, 3: 8, 4: 8, 5: 16, 6: 16, 7: 16, 8: 16, 9: 32}


def factors(k):
    return [f"factor {i}" for i in range(k)]


def signs(k, tried):
    """A row per combination, -1 or 1 per factor."""
    return np.array([[1.0 if factor in switched else -1.0 for factor in factors(k)] for switched in tried])


@pytest.mark.parametrize("k", FEWEST)
def test_a_design_is_balanced_and_starts_from_all_first_levels(k):
    tried = two_level_design(factors(k))
    assert len(tried) == len(set(tried)) == FEWEST[k]
    assert frozenset() in tried
    x = signs(k, tried).reshape(len(tried), k)
    # Each factor is at each level as often, and with each level of each other factor.
    assert np.array_equal(x.T @ x, len(tried) * np.eye(k)) and not x.sum(0).any()


@pytest.mark.parametrize("k", [k for k in FEWEST if k])
def test_average_effects_are_recovered_despite_interactions(k):
    rng, tried = np.random.default_rng(k), two_level_design(factors(k))
    x = signs(k, tried)
    main, constant = rng.normal(size=k), rng.normal()
    pairs = {pair: rng.normal() for pair in combinations(range(k), 2)}
    response = [constant + row @ main + sum(b * row[i] * row[j] for (i, j), b in pairs.items()) for row in x]
    for i, factor in enumerate(factors(k)):
        sides = [[], []]
        for switched, y in zip(tried, response, strict=True):
            sides[factor in switched].append(y)
        assert np.mean(sides[1]) - np.mean(sides[0]) == pytest.approx(2 * main[i], abs=1e-12)


def test_more_factors_than_there_are_designs_for_are_refused():
    with pytest.raises(ValueError, match=r"^A two-level design has at most 9 factors, not 10\.$"):
        two_level_design(factors(10))


def groups_by_least_squares(k, tried):
    """Effects whose columns do not add to each other's rank."""
    x = signs(k, tried)
    effects = [(i,) for i in range(k)] + list(combinations(range(k), 2))
    columns = {" x ".join(f"factor {i}" for i in effect): np.prod(x[:, list(effect)], axis=1) for effect in effects}
    groups = []
    for name, column in columns.items():
        for group in groups:
            if np.linalg.matrix_rank(np.column_stack([columns[group[0]], column])) == 1:
                group.append(name)
                break
        else:
            groups.append([name])
    return [tuple(group) for group in groups]


@pytest.mark.parametrize("k", [k for k in FEWEST if k])
def test_aliases_are_effects_that_least_squares_cannot_separate(k):
    tried = two_level_design(factors(k))
    found = aliases(factors(k), tried)
    assert found == groups_by_least_squares(k, tried)
    # No factor has another effect beside it.
    assert found[:k] == [(factor,) for factor in factors(k)]
    assert len(found) == k + k * (k - 1) // 2 if k in (1, 2, 3, 5) else any(len(group) > 1 for group in found)


def test_aliases_of_other_designs_are_found_whatever_their_sign():
    # Half of 2^3, of the combinations with an odd and with an even number at their second level: C = AB and C = -AB.
    for parity in (0, 1):
        half = [
            frozenset(f for f, on in zip("ABC", levels, strict=True) if on)
            for levels in product((False, True), repeat=3)
            if sum(levels) % 2 == parity
        ]
        assert aliases("ABC", half) == [("A", "B x C"), ("B", "A x C"), ("C", "A x B")]


# Runs with settings varied together.

FOUR = {
    "clip_epsilon": (0.2, None),
    "epochs": (10, 5),
    "learning_rate": (lambda x: x, lambda x: x / 2),
    "gradient_clip": (None, 0.5),
}
SEEDS, ITERATIONS = (3, 4, 5, 6, 7, 8), 4


def spec(levels, **changes):
    return RunsRequest(PPO, "Hopper-v5", None, factors=tuple(levels.items()), **changes)


def cells(asked, task="Hopper-v5", smoke=False):
    return expand(PPO, asked, task, smoke=smoke)


def numbers_of(algorithm, seed):
    """Return made-up numbers of a run: a level set by its settings, with noise of its seed and settings."""
    rng = np.random.default_rng([seed, int(1e6 * algorithm.learning_rate), algorithm.epochs])
    level = 2.0 if algorithm.clip_epsilon is None else 1.0
    return (level * (1 + 0.1 * rng.random(ITERATIONS)) * algorithm.epochs).tolist()


def factorial(levels=FOUR, failed=(), numbers=numbers_of, *, smoke=False, **changes):
    asked = spec(levels, **changes)
    algorithms = cells(asked, smoke=smoke)

    def measured(run):
        return Measured(
            "it broke" if (algorithms.index(run.algorithm), run.seed) in failed else None,
            {"kl_old_new/mean/training": numbers(run.algorithm, run.seed)},
        )

    return planted(asked, measured, ITERATIONS, SEEDS, smoke=smoke)


def kl(runs):
    return runs.kl_old_new.mean.training.last(0.5)


def has_second(algorithm, setting):
    papers = PPO.for_task("Hopper-v5")
    return getattr(algorithm, setting) != getattr(papers, setting)


def test_cells_apply_functions_of_the_papers_values():
    made = cells(spec(FOUR), "Walker2d-v5")
    assert len(made) == len(set(made)) == 8
    papers = PPO.for_task("Walker2d-v5")
    assert papers in made and papers.learning_rate == 4e-4 and papers.value_clip == 0.2
    for algorithm, switched in zip(made, two_level_design(list(FOUR)), strict=True):
        assert algorithm.clip_epsilon == (None if "clip_epsilon" in switched else 0.2)
        assert algorithm.epochs == (5 if "epochs" in switched else 10)
        assert algorithm.learning_rate == (2e-4 if "learning_rate" in switched else 4e-4)
        assert algorithm.gradient_clip == (0.5 if "gradient_clip" in switched else None)
        assert algorithm.value_clip == 0.2
    assert cells(RunsRequest(PPO, "Hopper-v5", None, (("epochs", 3),))) == [PPO(epochs=3)]


def test_a_factorial_gives_each_combination_its_own_runs():
    made = factorial()
    assert made.factors == tuple(sorted(FOUR)) and len(made.cells) == 8
    for switched, runs in made.cells.items():
        assert {setting for setting in FOUR if has_second(runs.settings, setting)} == switched
        assert runs.seeds == SEEDS and runs.task == "Hopper-v5"
        expected = [np.mean(numbers_of(runs.settings, seed)[2:]) for seed in SEEDS]
        assert kl(runs).values == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("setting", FOUR)
def test_effect_is_the_mean_with_over_the_mean_without_per_seed(setting):
    made = factorial()
    change, factor = made.change_by(setting, kl), made.factor_of(setting, kl)
    for i, seed in enumerate(SEEDS):
        sides = {True: [], False: []}
        for runs in made.cells.values():
            sides[has_second(runs.settings, setting)].append(np.mean(numbers_of(runs.settings, seed)[2:]))
        assert len(sides[True]) == len(sides[False]) == 4
        assert change.values[i] == pytest.approx(np.mean(sides[True]) - np.mean(sides[False]), rel=1e-12)
        log_factor = np.mean(np.log(sides[True])) - np.mean(np.log(sides[False]))
        assert factor.values[i] == pytest.approx(log_factor, rel=1e-9, abs=1e-12)
    assert factor.log_scale and not change.log_scale
    assert change.seeds == factor.seeds == SEEDS
    assert f"by {setting} in PPO's mean KL(old||new)" in change.quantity.label and factor.quantity.label.startswith(
        "factor by"
    )
    assert change.correlation is None and factor.correlation is None


def test_an_effect_that_was_put_in_comes_out():
    made = factorial(numbers=lambda a, seed: [(2.0 if a.clip_epsilon is None else 1.0) * a.epochs] * ITERATIONS)
    assert made.factor_of("clip_epsilon", kl).values == pytest.approx([math.log(2)] * 6)
    assert made.factor_of("epochs", kl).values == pytest.approx([math.log(0.5)] * 6)
    assert made.factor_of("learning_rate", kl).values == pytest.approx([0] * 6, abs=1e-12)
    # 20 and 10, or 10 and 5.
    assert made.change_by("clip_epsilon", kl).values == pytest.approx([7.5] * 6)
    assert made.change_by("epochs", kl).values == pytest.approx([-7.5] * 6)


def test_a_share_changes_by_at_most_1():
    shares = [Measured(None, {"ratio/exceedance/training": share}) for share in ([0.2, 0.9], [1.0, 1.0])]
    runs = [Runs(PPO(), "Hopper-v5", 2, (0,), (m,)) for m in shares]
    made = Factorial({frozenset(): runs[0], frozenset({"epochs"}): runs[1]})
    change = made.change_by("epochs", lambda r: r.ratio.exceedance.training.overall())
    assert change.values == pytest.approx((0.45,)) and change.bounds == (-1.0, 1.0)


@pytest.mark.parametrize("where", [0, 5])
def test_seed_that_failed_in_any_combination_is_nan_and_kept(where):
    made = factorial(failed={(where, 5)})
    for setting in FOUR:
        for sample in (made.change_by(setting, kl), made.factor_of(setting, kl)):
            assert [math.isnan(value) for value in sample.values] == [seed == 5 for seed in SEEDS]
            (failure,) = sample.failures
            assert failure.endswith("seed 5: it broke")
            assert (sample < 1e9).reason is Reason.RUN_FAILED


def test_a_seed_whose_number_is_zero_has_no_factor():
    made = factorial(numbers=lambda a, seed: [0.0 if seed == 4 and a.epochs == 5 else 1.0] * ITERATIONS)
    assert not math.isfinite(made.factor_of("epochs", kl).values[1])
    assert made.change_by("epochs", kl).values[1] == -1.0


@pytest.mark.parametrize("effect", ["factor_of", "change_by"])
def test_a_setting_that_is_not_varied_is_refused(effect):
    with pytest.raises(ClaimError, match=r"^The factorial does not vary 'gamma'; it varies clip_epsilon, epochs, "):
        getattr(factorial(), effect)("gamma", kl)


@pytest.mark.parametrize("effect", ["factor_of", "change_by"])
def test_quantity_of_the_runs_must_be_an_unjudged_sample(effect):
    ask = getattr(factorial(), effect)
    with pytest.raises(ClaimError, match="combine samples first"):
        ask("epochs", lambda runs: kl(runs).median)
    with pytest.raises(ClaimError, match=r"by epochs is of one number per seed, runs\."):
        ask("epochs", lambda runs: runs.kl_old_new.mean.training)
    with pytest.raises(ClaimError, match=r"^What epochs changes is asked for by a function of runs, not by 3\.$"):
        ask("epochs", 3)


@pytest.mark.parametrize(
    ("levels", "sentence"),
    [
        ({"epochs": (5, 10, 20)}, r"has two values, epochs=\(one, other\), not \(5, 10, 20\)"),
        ({"epoch": (5, 10)}, "no setting 'epoch'"),
        ({"epochs": (5, 0)}, "epochs must be a positive whole number"),
        ({"epochs": (10, 10)}, r"has different values, and epochs is 10 twice\."),
        ({"learning_rate": (3e-4, lambda x: x)}, r"has different values, and learning_rate is 0\.0003 twice\."),
        (
            {"learning_rate": (3e-4, lambda x: x["a"])},
            r"function that varies learning_rate fails at .* 0\.0003: TypeError: '",
        ),
        ({f"setting{i}": (1, 2) for i in range(10)}, "at most 9 factors"),
    ],
)
def test_levels_that_make_no_factorial_are_refused(levels, sentence):
    with pytest.raises(ValueError, match=sentence):
        cells(spec(levels))


# All combinations, and few of them.


def test_full_factorial_has_all_combinations_and_their_effects():
    made = cells(spec(FOUR, full=True))
    levels = {
        (a.clip_epsilon is None, a.epochs == 5, a.learning_rate == 1.5e-4, a.gradient_clip is not None) for a in made
    }
    assert levels == set(product((False, True), repeat=4)) and len(made) == 16

    # What three settings do together is mixed up with the fourth in the fraction of eight, and not in all sixteen.
    def together(algorithm, _):
        return [2.0 if all(has_second(algorithm, setting) for setting in list(FOUR)[:3]) else 1.0] * ITERATIONS

    fraction, full = factorial(numbers=together), factorial(numbers=together, full=True)
    assert fraction.change_by("gradient_clip", kl).values == pytest.approx([1 / 4] * 6)
    assert full.change_by("gradient_clip", kl).values == pytest.approx([0] * 6)
    assert full.change_by("epochs", kl).values == pytest.approx([1 / 4] * 6)


NINE = {
    "value_clip": (None, 0.2),
    "scale_rewards": (True, False),
    "initialization": ("orthogonal", "xavier"),
    "anneal_learning_rates": (True, False),
    "reward_clip": (10.0, None),
    "normalize_observations": (True, False),
    "observation_clip": (10.0, None),
    "activation": ("tanh", "relu"),
    "gradient_clip": (None, 0.5),
}


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("k", range(1, 10))
def test_smoke_cells_give_each_setting_both_values(k, full):
    levels = dict(list(NINE.items())[:k])
    every = cells(spec(levels, full=full))
    few = cells(spec(levels, full=full), smoke=True)
    assert len(few) <= 3 and set(few) <= set(every) and few[0] == every[0]
    for name, values in levels.items():
        assert {getattr(algorithm, name) for algorithm in few} == set(values)


def test_effects_are_asked_of_few_combinations_as_of_all():
    made = factorial(NINE, numbers=lambda a, seed: [1.0 + seed] * ITERATIONS, smoke=True)
    assert len(made.cells) == 3
    for setting in NINE:
        assert made.change_by(setting, kl).values == (0.0,) * 6


def test_impossible_combination_is_refused_in_smoke_runs_too():
    # Neither value is wrong alone, nor are all at their second value.
    levels = {"steps": (64, 32), "minibatches": (32, 16), "epochs": (10, 5)}
    assert PPO(steps=64, minibatches=32, epochs=10) and PPO(steps=32, minibatches=16, epochs=5)
    for smoke in (False, True):
        with pytest.raises(ValueError, match=r"steps \(32\) must be a multiple of minibatches \(32\), and more"):
            cells(spec(levels), smoke=smoke)


# Final returns, and a setting that is tuned.


RATES = (("learning_rate", (lambda x: x, lambda x: x / 3, 1e-3)),)
TWO = {"epochs": (10, 5), "gradient_clip": (None, 0.5)}


def returns_of(algorithm, seed):
    """Return made-up returns of a run in four groups of episodes: its settings' level and its seed's luck."""
    unclipped = algorithm.gradient_clip is None
    rng = np.random.default_rng([seed, round(1e6 * algorithm.learning_rate), algorithm.epochs, unclipped])
    level = 100 * algorithm.epochs + 40 * unclipped
    return (level + rng.normal(0, 200, 4)).tolist()


def tuned_factorial(seeds=SEEDS, failed=(), levels=TWO, tuned=RATES, numbers=returns_of):

    def measured(run):
        if (run.algorithm, run.seed) in failed:
            return Measured("it broke", {})
        return Measured(None, {"return": numbers(run.algorithm, run.seed)})

    return planted(spec(levels, tuned=tuned), measured, ITERATIONS, seeds)


def final(runs):
    return runs.final_returns.mean


def test_the_combinations_of_a_factorial_may_be_final_returns():
    made = tuned_factorial(tuned=None)
    assert all(type(cell) is Runs for cell in made.cells.values()) and len(made.cells) == 4
    change = made.change_by("epochs", final)
    for i, seed in enumerate(SEEDS):
        by = {
            (epochs, clip): np.mean(returns_of(PPO(epochs=epochs, gradient_clip=clip), seed))
            for epochs in (10, 5)
            for clip in (None, 0.5)
        }
        expected = (by[5, None] + by[5, 0.5] - by[10, None] - by[10, 0.5]) / 2
        assert change.values[i] == pytest.approx(expected, rel=1e-12)
    assert "change by epochs in PPO's final return" in change.quantity.label


def chosen_by_hand(numbers_of_rates, seeds):
    """Seed by seed, the number of the rate whose average over the seeds before is largest."""
    counted = []
    for i, seed in enumerate(seeds):
        before = {rate: [numbers[s] for s in seeds[:i]] for rate, numbers in numbers_of_rates.items()}
        if i == 0:
            counted.append(np.mean([numbers[seed] for numbers in numbers_of_rates.values()]))
        else:
            best = max(before, key=lambda rate: np.mean(before[rate]))
            counted.append(numbers_of_rates[best][seed])
    return counted


@pytest.mark.parametrize("setting", TWO)
def test_tuned_cell_uses_the_rate_that_was_best_on_other_seeds(setting):
    made = tuned_factorial()
    assert made.factors == tuple(TWO) and len(made.cells) == 4
    counted, rates_chosen = {}, set()
    for epochs, clip in product((10, 5), (None, 0.5)):
        algorithms = [PPO(epochs=epochs, gradient_clip=clip, learning_rate=r) for r in (3e-4, 3e-4 / 3, 1e-3)]
        of_rates = {a.learning_rate: {s: np.mean(returns_of(a, s)) for s in SEEDS} for a in algorithms}
        counted[epochs, clip] = chosen_by_hand(of_rates, SEEDS)
        rates_chosen |= {r for r, numbers in of_rates.items() for s in SEEDS if numbers[s] in counted[epochs, clip]}
    assert len(rates_chosen) == 3  # each counts somewhere
    change, factor = made.change_by(setting, final), made.factor_of(setting, final)
    for i in range(len(SEEDS)):
        second = [n[i] for (epochs, clip), n in counted.items() if (epochs == 5 if setting == "epochs" else clip)]
        first = [n[i] for (epochs, clip), n in counted.items() if not (epochs == 5 if setting == "epochs" else clip)]
        assert change.values[i] == pytest.approx(np.mean(second) - np.mean(first), rel=1e-9)
        log_factor = np.mean(np.log(second)) - np.mean(np.log(first))
        assert factor.values[i] == pytest.approx(log_factor, rel=1e-9)
    assert "final return, learning_rate tuned on earlier seeds" in change.quantity.label


def test_seeds_that_are_added_change_no_number_of_those_before():
    few, all_of_them = (tuned_factorial(seeds).change_by("epochs", final).values for seeds in (SEEDS[:4], SEEDS))
    assert few == all_of_them[:4]


def test_run_that_failed_at_any_rate_is_nan_and_selects_nothing():
    papers = PPO.for_task("Hopper-v5")
    broken = PPO(learning_rate=1e-3, epochs=5)  # in one combination, at one of its rates

    def numbers(algorithm, seed):
        # The seed that fails would choose another rate than all others do.
        suits = 1e-3 if seed != 4 else papers.learning_rate
        return [1.0 + (algorithm.learning_rate == suits) * (1.0 if seed != 4 else 100.0)] * 4

    made = tuned_factorial(failed={(broken, 4)}, numbers=numbers)
    for effect in (made.change_by("epochs", final), made.factor_of("gradient_clip", final)):
        assert [math.isnan(value) for value in effect.values] == [seed == 4 for seed in SEEDS]
        (failure,) = effect.failures
        assert failure == "PPO(learning_rate=0.001, epochs=5) seed 4: it broke"
        assert (effect < 1e9).reason is Reason.RUN_FAILED
    cell = made.cells[frozenset({"epochs"})]
    counted = cell.best(final).values
    assert cell.best(final).failures == (failure,)
    # Seed 3 has none before it; 5 to 8 are chosen for by 3, and by one another.
    assert counted[0] == pytest.approx((1 + 1 + 2) / 3) and math.isnan(counted[1]) and counted[2:] == (2.0,) * 4
    whole = tuned_factorial(numbers=numbers).cells[frozenset({"epochs"})].best(final).values
    assert whole[2:] == (1.0,) * 4  # with it, it would


class Given:
    """Stands for runs, of which one number a seed is asked."""

    failures = ()

    def __init__(self, values):
        self.sample = named_sample("x", values, range(len(values)))


def test_tuning_leaves_seeds_unbiased_and_independent():
    # Two values that are equally good: what is counted must have mean 0, and a mean over seeds the spread that its
    # seeds tell. The largest mean over the same seeds has neither.
    rng, n, times = np.random.default_rng(0), 10, 4000
    counted, largest = [], []
    for _ in range(times):
        x_VN = rng.standard_normal((2, n))
        cell = Tuned("learning_rate", [Given(x_N) for x_N in x_VN])
        counted.append(cell.best(lambda given: given.sample).values)
        largest.append(x_VN[x_VN.mean(1).argmax()])
    means = np.mean(counted, axis=1)
    error = 1 / math.sqrt(n * times)
    assert abs(means.mean()) < 4 * error and np.mean(largest) > 20 * error
    told = np.mean(np.var(counted, axis=1, ddof=1)) / n
    assert means.var() == pytest.approx(told, rel=0.1)


def test_tuning_takes_the_first_of_equally_good_values():
    cell = Tuned("learning_rate", [Given([1, 2, 5]), Given([2, 1, 7])])
    assert cell.best(lambda given: given.sample).values == (1.5, 1, 5)


@pytest.mark.parametrize("effect", ["factor_of", "change_by"])
def test_quantity_of_tuned_runs_must_be_an_unjudged_sample(effect):
    ask = getattr(tuned_factorial(), effect)
    with pytest.raises(ClaimError, match="combine samples first"):
        ask("epochs", lambda runs: final(runs).median)
    with pytest.raises(ClaimError, match=r"by epochs is of one number per seed, runs\."):
        ask("epochs", lambda returns: 3)
    with pytest.raises(ClaimError, match=r"^The factorial does not vary 'learning_rate'; it varies epochs, gradient"):
        ask("learning_rate", final)


@pytest.mark.parametrize(
    ("tuned", "sentence"),
    [
        ((), r"^One setting is tuned, such as tuned=\{'learning_rate': \(one, other\)\}, not \(\)\."),
        ("learning_rate", r"^One setting is tuned, .*, not 'learning_rate'\.$"),
        ((("learning_rate", (1e-3, 1e-4)), ("gamma", (0.9, 0.99))), "^One setting is tuned"),
        ((("learning_rate", (1e-3,)),), r"two values or more, \{'learning_rate': \(one, other\)\}, not \(0\.001,\)\.$"),
        ((("learning_rate", 1e-3),), r"two values or more, .*, not 0\.001\.$"),
        ((("learning_rate", (3e-4, lambda x: x)),), r"different values, and learning_rate is 0\.0003 twice\.$"),
        ((("gae_lambda", (0.9, 0.8, 0.9)),), r"different values, and gae_lambda is 0\.9 twice\.$"),
        ((("learning_rte", (1e-3, 1e-4)),), "PPO has no setting 'learning_rte'"),
        ((("learning_rate", (1e-3, -1e-4)),), "learning_rate must be a positive number"),
        (
            (("learning_rate", (1e-3, lambda x: x["a"])),),
            r"function that varies learning_rate fails at .* 0\.0003",
        ),
        ((("epochs", (3, 4)),), r"^epochs is tuned, so it can be neither varied nor given a value of its own\.$"),
        ((("gamma", (0.9, 0.99)),), r"^gamma is tuned, so it can be neither varied nor given a value of its own\.$"),
    ],
)
def test_a_setting_that_cannot_be_tuned_is_refused(tuned, sentence):
    with pytest.raises(ValueError, match=sentence):
        cells(RunsRequest(PPO, "Hopper-v5", None, (("gamma", 0.98),), factors=tuple(TWO.items()), tuned=tuned))


# What else a fixture stands for.


def test_runs_have_their_studies_as_attributes():
    asked = []
    profile = Profile("planted", tasks=("Hopper-v5",), iterations=ITERATIONS, looks=(6,))

    def read_study(runs, study):
        asked.append(study)
        return [Measured(None, {"return": [0.1 * run.seed]}) for run in runs]

    def read_runs(runs):
        return [Measured(None, {"kl_old_new/mean/training": [0.1 * run.seed] * 4}) for run in runs]

    runs = resolve(RunsRequest(PPO, "Hopper-v5"), profile, SEEDS[0]).results(len(SEEDS), read_runs, read_study)
    assert isinstance(runs, Runs) and runs.seeds == SEEDS and asked == []
    assert runs.kl_old_new.mean.training.overall().values == pytest.approx([0.1 * seed for seed in SEEDS])
    for it, cls, study in (
        (lambda: runs.twins, TwinUpdates, TWINS),
        (lambda: runs.landscape, Landscapes, Study("landscapes")),
        (lambda: runs.late_updates, LateUpdates, Study("late_updates")),
        (lambda: runs.large_updates(pairs=2**15), LargeUpdates, Study("large_updates", 2**15)),
        (lambda: runs.gradients(), Gradients, Study("gradients", 2**14)),
        (lambda: runs.gradients(pairs=2048, near_true=True), NearTrueGradients, Study("near_true_gradients", 2048)),
        (lambda: runs.values, Values, Study("values")),
        (lambda: runs.final_returns, FinalReturns, Study("final_returns")),
    ):
        results = it()
        assert type(results) is cls and results.seeds == SEEDS and results.study == study
        assert asked.pop() == study and asked == []
    # Asked for again, a study is the same object: nothing is read twice.
    assert runs.landscape is runs.landscape and runs.gradients() is runs.gradients(pairs=2**14) and asked == []
    assert runs.final_returns.mean.values == pytest.approx([0.1 * seed for seed in SEEDS])


def test_runs_without_a_store_have_no_studies():
    runs = Runs(PPO(), "Hopper-v5", ITERATIONS, SEEDS, [Measured(None, {})] * len(SEEDS))
    with pytest.raises(ClaimError, match="has no landscapes: only runs of a fixture have studies"):
        _ = runs.landscape


class Clips(PPOM):
    def policy_loss(self, ratio_SB, advantage_SB):
        return super().policy_loss(ratio_SB, advantage_SB)


class Learns(PPO):
    def learn(self, agent, rollout):
        return super().learn(agent, rollout)


class Improves(PPO):
    def improve(self, agent, batch):
        super().improve(agent, batch)


class RunsEpochs(PPO):
    def run_epoch(self, agent, batch, old_log_prob_SB):
        super().run_epoch(agent, batch, old_log_prob_SB)


class LearnsAsTRPO(TRPO):
    pass


def test_large_updates_need_an_unchanged_learn_and_enough_pairs():
    for algorithm in (PPO(), PPOM(), Clips(), ImprovesAndSays(), TRPO(), LearnsAsTRPO()):
        check_study(Study("large_updates", 2048), algorithm)
    with pytest.raises(SpecError, match=r"^Learns learns in a way of its own, .* that leave learn as it is\.$"):
        check_study(Study("large_updates", 4096), Learns())
    for pairs in (2047, 0, -4096, 4096.0, "4096", True, None, [4096]):
        with pytest.raises(SpecError, match=r"^Large updates of PPO are .* no fewer than the 2048 that .*, not .*\.$"):
            check_study(Study("large_updates", pairs), PPO())


def test_gradients_accept_any_algorithm_and_need_1024_pairs():
    for algorithm in (PPO(), TRPO(), Learns(), LearnsAnew()):
        studies = Study("gradients", 1024), Study("near_true_gradients", 2**16), Study("values"), Study("final_returns")
        for study in studies:
            check_study(study, algorithm)
    for pairs in (1023, 0, -4096, 4096.0, "4096", True, None):
        with pytest.raises(SpecError, match=r"^Gradients are estimated from a whole .*, 1,024 or more, not .*\.$"):
            check_study(Study("gradients", pairs), PPO())
        with pytest.raises(SpecError, match=r"^Gradients are estimated from a whole number of pairs"):
            check_study(Study("near_true_gradients", pairs), PPO())


@dataclass(frozen=True)
class Penalised(PPO):
    def policy_loss(self, ratio_SB, advantage_SB):
        penalty_SB = advantage_SB.abs() * (ratio_SB - 1).square() / 0.4
        return -(ratio_SB * advantage_SB - penalty_SB).mean(1)


@dataclass(frozen=True)
class TwiceAsMuch(PPO):
    def policy_loss(self, ratio_SB, advantage_SB):
        return 2 * super().policy_loss(ratio_SB, advantage_SB)


@dataclass(frozen=True)
class OfGoodPairs(PPO):
    def policy_loss(self, ratio_SB, advantage_SB):
        return -(ratio_SB * advantage_SB.clamp(min=0)).mean(1)


def test_gradients_need_objectives_with_the_surrogates_slope():
    for algorithm in (PPO(), PPOM(), PPO(clip_epsilon=None), Clips(), Penalised(), TwiceAsMuch(), TRPO()):
        check_study(Study("gradients", 1024), algorithm)
    for algorithm, sentence in (
        (OfGoodPairs(), r"^Gradients are of objectives .*; OfGoodPairs\.policy_loss has another slope there\.$"),
        (PPO(entropy_coefficient=0.01), r"^Gradients are of objectives without entropy, and PPO has .* of 0\.01\.$"),
    ):
        check_study(Study("values"), algorithm)
        for asked in ("gradients", "near_true_gradients"):
            with pytest.raises(SpecError, match=sentence):
                check_study(Study(asked, 1024), algorithm)


def test_values_and_gradients_need_a_value_network():
    for algorithm in (PPO(value_baseline=False), TRPO(value_baseline=False)):
        check_study(Study("final_returns"), algorithm)
        for study in (Study("values"), Study("gradients", 1024), Study("near_true_gradients", 1024)):
            with pytest.raises(SpecError, match=rf"^{study.words.capitalize()} are of .* value_baseline=False\.$"):
                check_study(study, algorithm)


class ImprovesAndSays(Improves):
    def objective(self, update):
        return super().objective(update)


class LearnsAnew(Algorithm):
    def learn(self, agent, rollout):
        raise NotImplementedError


def test_late_updates_accept_any_algorithm_unlike_landscapes():
    for algorithm in (PPO(), TRPO(), Clips(), ImprovesAndSays(), Learns(), Improves(), RunsEpochs(), LearnsAnew()):
        check_study(Study("late_updates"), algorithm)
    for algorithm in (PPO(), TRPO(), Clips(), LearnsAsTRPO(), ImprovesAndSays()):
        check_study(Study("landscapes"), algorithm)
    for algorithm in (Learns(), Improves(), RunsEpochs(), LearnsAnew()):
        with pytest.raises(SpecError, match=f"^{type(algorithm).__name__} learns in a way .* objective"):
            check_study(Study("landscapes"), algorithm)
    with pytest.raises(SpecError, match=r"^Improves learns in a way .* objective"):
        check_study(Study("large_updates", 2048), Improves())
    with pytest.raises(NotImplementedError, match="LearnsAnew does not define the objective that its update maximises"):
        LearnsAnew().objective(None)


def test_updates_are_made_again_of_what_learns_as_ppo_does():
    for algorithm in (PPO(), PPOM(), Clips()):
        check_study(TWINS, algorithm)
    with pytest.raises(SpecError, match="and TRPO is not one"):
        check_study(TWINS, TRPO())
    for algorithm in (Learns(), Improves(), RunsEpochs()):
        with pytest.raises(SpecError, match=f"{type(algorithm).__name__} learns in a way of its own"):
            check_study(TWINS, algorithm)
