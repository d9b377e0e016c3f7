"""Validate the whole instrument: red suites in A/A comparisons, and verdicts in worlds whose truth is known.

    python benchmarks/instrument.py                 (a minute; uses tests/data/aa_bank.json)
    python benchmarks/instrument.py --train         (first trains the bank again: 240 short runs, some minutes)

A/A: a bank of real, short runs of one algorithm, PPO on Hopper-v5, each on its own seed. A suite draws two disjoint
sets of seeds, treats them as two algorithms, and judges claims about them, with looks and in a family. All claims of
the forms "no larger than" and "no smaller than" are true, with equality, and all of the forms "larger than" and
"smaller than" are false. So each red suite and each "supported" is an error, at most 5% of each. Exact methods keep
this rate; t does not on the tail of skewed measures, as its guarantee class states.

Worlds: a linear-quadratic controller and a walk on a chain, whose expected returns are known in closed form. A "run"
measures the return of a policy on a few episodes; claims compare two policies at a known distance from the truth.
"""

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from rlclaims.stats.distribution_free import Betting, Quantile
from rlclaims.stats.mean import BootstrapT, SignFlip, StudentT
from rlclaims.stats.method import Floats, Method
from rlclaims.stats.two_groups import Permutation, Welch
from rlclaims.stats.verdict import Design, Region, decide

BANK = Path(__file__).parent.parent / "tests" / "data" / "aa_bank.json"
BANK_SEEDS = range(20_000, 20_240)
BANK_ITERATIONS = 10
LOOKS = (6, 8, 10, 12)
RATE = 0.05


def train_bank() -> None:
    """Train the bank's runs, and write their measures to `BANK`."""
    from rlclaims.agents.ppo import PPO
    from rlclaims.execution.cohorts import plan
    from rlclaims.execution.pool import cores
    from rlclaims.execution.train import execute
    from rlclaims.store.run_spec import RunSpec
    from rlclaims.store.store import Store

    specs = [RunSpec(PPO.for_task("Hopper-v5"), "Hopper-v5", BANK_ITERATIONS, seed) for seed in BANK_SEEDS]
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.prepare()
        execute(plan(specs, store), store, cores(), lambda _: None)
        runs = [store.measured(spec).series for spec in specs]
    late = math.ceil(BANK_ITERATIONS / 4)
    measures = {
        "late mean KL": [fmean(run["kl_old_new/mean/training"][-late:]) for run in runs],
        "late max KL": [fmean(run["kl_old_new/max/training"][-late:]) for run in runs],
        "max ratio": [fmean(run["ratio/max/training"]) for run in runs],
        "late exceedance": [fmean(run["ratio/exceedance/training"][-late:]) for run in runs],
        "surrogate gain": [
            fmean(b - a for a, b in zip(run["surrogate/old/training"], run["surrogate/new/training"], strict=True))
            for run in runs
        ],
    }
    rounded = {name: [float(f"{value:.6g}") for value in values] for name, values in measures.items()}
    setting = f"PPO, Hopper-v5, {BANK_ITERATIONS} iterations, seeds {BANK_SEEDS[0]} to {BANK_SEEDS[-1]}"
    lines = [f' "{name}": {json.dumps(values)}' for name, values in rounded.items()]
    BANK.write_text(f'{{"setting": "{setting}", "measures": {{\n' + ",\n".join(lines) + "\n}}\n", encoding="utf-8")


@dataclass(frozen=True)
class Sentence:
    """Estimand with a known true value, over runs of one algorithm."""

    name: str
    method: Method
    groups: tuple[Floats, ...]
    """Groups of seeds, (R, n) each, for R suites."""
    truth: float


def sentences(measure: str, bank: Floats, resampled: Floats, first: Floats, second: Floats) -> Iterator[Sentence]:
    """Yield the estimands that a suite judges for one measure.

    Args:
        measure: name of the measure.
        bank: all values of the measure in the bank.
        resampled: runs (R, n) drawn from the bank with replacement, whose distribution is the bank's.
        first: runs (R, n) of one algorithm.
        second: runs (R, n) of the other, none of which is in `first`.
    """
    logs = np.log(np.maximum(first, 1e-12)), np.log(np.maximum(second, 1e-12))
    paired = first - second
    ratios = logs[0] - logs[1]
    mean = float(bank.mean())
    median = float(np.quantile(bank, 0.5, method="lower"))
    yield Sentence(f"{measure}: mean, against the bank's", StudentT(), (resampled,), mean)
    yield Sentence(f"{measure}: mean by bootstrap-t, against the bank's", BootstrapT(), (resampled,), mean)
    yield Sentence(f"{measure}: median, against the bank's", Quantile(), (resampled,), median)
    yield Sentence(f"{measure}: difference, paired", StudentT(), (paired,), 0.0)
    yield Sentence(f"{measure}: difference, by sign flips", SignFlip(), (paired,), 0.0)
    yield Sentence(f"{measure}: median of ratio, paired", Quantile(), (ratios,), 0.0)
    yield Sentence(f"{measure}: difference, other seeds", Welch(), (first, second), 0.0)
    yield Sentence(f"{measure}: ratio, other seeds", Welch(), logs, 0.0)
    yield Sentence(f"{measure}: difference, by permutations", Permutation(), (first, second), 0.0)
    if measure == "late exceedance":
        yield Sentence(f"{measure}: mean by betting, against the bank's", Betting(), (resampled,), mean)


@dataclass(frozen=True)
class Null:
    """Error rates of A/A suites."""

    suites: int
    claims: int
    red: float
    """Share of suites in which any true sentence was refuted."""
    false_support: dict[str, tuple[float, float]]
    """Share of suites that support the false claims that an estimand is larger, and smaller, than it is."""


def null_suites(suites: int, rng: np.random.Generator) -> Null:
    """Judge A/A suites resampled from the bank, and return their error rates."""
    measures = {name: np.array(v) for name, v in json.loads(BANK.read_text(encoding="utf-8"))["measures"].items()}
    n_runs = len(next(iter(measures.values())))
    # Without replacement within a suite: two algorithms never share a run.
    chosen = rng.permuted(np.tile(np.arange(n_runs), (suites, 1)), axis=1)[:, : 2 * LOOKS[-1]]
    every = [
        sentence
        for name, bank in measures.items()
        for sentence in sentences(
            name,
            bank,
            bank[rng.integers(n_runs, size=(suites, LOOKS[-1]))],
            bank[chosen[:, : LOOKS[-1]]],
            bank[chosen[:, LOOKS[-1] :]],
        )
    ]
    claims = 2 * len(every)  # "no larger" and "no smaller"
    design = Design(LOOKS, alpha_support=RATE, alpha_refute=RATE / claims)
    red = np.zeros(suites, bool)
    support = {}
    for sentence in every:
        rates = []
        for true, false in (("<=", ">"), (">=", "<")):
            red |= decide(sentence.method, sentence.groups, Region.half_line(true, sentence.truth), design).refuted
            wrong = decide(sentence.method, sentence.groups, Region.half_line(false, sentence.truth), design).supported
            rates.append(float(wrong.mean()))
        support[sentence.name] = rates[0], rates[1]
    return Null(suites, claims, float(red.mean()), support)


def linear_quadratic(gain: float, repetitions: int, seeds: int, noise: Floats) -> tuple[Floats, float]:
    """Return the average cost of u = -gain x on x' = .9 x + .5 u + w over 50 steps from 0, (R, n), and its expectation.

    Args:
        gain: gain of the controller.
        repetitions: R.
        seeds: n.
        noise: w, standard normal, (R, n, 50): two controllers on the same noise are paired runs.
    """
    closed_loop = 0.9 - 0.5 * gain
    price = 1 + 0.1 * gain**2
    x = np.zeros((repetitions, seeds))
    cost = np.zeros_like(x)
    variance = 0.0
    expected = 0.0
    steps = noise.shape[-1]
    for t in range(steps):
        x = closed_loop * x + noise[..., t]
        variance = closed_loop**2 * variance + 1
        cost += price * x**2 / steps
        expected += price * variance / steps
    return cost, expected


def chain(forward: float, repetitions: int, seeds: int, uniform: Floats) -> tuple[Floats, float]:
    """Return the discounted return of a walk on five states, (R, n), and its expectation.

    Reaching the last state pays 1 and ends the episode.

    Args:
        forward: probability of a step forward; otherwise the walk steps back, or stays at the first state.
        repetitions: R.
        seeds: n; a run is the mean of its episodes.
        uniform: uniform numbers on [0, 1), (R, n, E, T), for E episodes of at most T steps.
    """
    gamma = 0.95
    last = 4
    steps = uniform.shape[-1]
    state = np.zeros((repetitions, seeds, uniform.shape[2]), int)
    discounted = np.zeros(state.shape)
    running = np.ones(state.shape, bool)
    for t in range(steps):
        state = np.where(running, np.clip(state + np.where(uniform[..., t] < forward, 1, -1), 0, last), state)
        discounted += gamma**t * (running & (state == last))
        running &= state != last
    value = np.zeros(last + 1)  # by backward induction over the same T steps
    for _ in range(steps):
        ahead = np.append(value[1:], 0.0)
        back = np.append(value[0], value[:-1])
        reward = np.zeros(last + 1)
        reward[last - 1] = 1.0
        value = forward * (reward + gamma * np.where(np.arange(last + 1) == last - 1, 0.0, ahead))
        value += (1 - forward) * gamma * back
        value[last] = 0.0
    return discounted.mean(-1), float(value[0])


def confusion(repetitions: int, rng: np.random.Generator) -> Iterator[tuple[str, float, float, float, float]]:
    """Judge "the first policy's return is lower by more than b", at bounds b at and around the known difference.

    Yields:
        The world and method; the distance of the truth into the region, in standard deviations of a seed; and the
        shares of supported, refuted and inconclusive verdicts.
    """
    n = LOOKS[-1]
    noise = rng.normal(size=(2, repetitions, n, 50))
    walks = rng.random((2, repetitions, n, 8, 60))
    worlds = {
        "LQ, same noise": (
            linear_quadratic(1.0, repetitions, n, noise[0]),
            linear_quadratic(0.8, repetitions, n, noise[0]),
        ),
        "LQ, other noise": (
            linear_quadratic(1.0, repetitions, n, noise[0]),
            linear_quadratic(0.8, repetitions, n, noise[1]),
        ),
        "chain, same noise": (chain(0.6, repetitions, n, walks[0]), chain(0.7, repetitions, n, walks[0])),
        "chain, other noise": (chain(0.6, repetitions, n, walks[0]), chain(0.7, repetitions, n, walks[1])),
    }
    design = Design(LOOKS, alpha_support=RATE, alpha_refute=RATE)
    for world, ((x, mean_x), (y, mean_y)) in worlds.items():
        paired = "same" in world
        truth = mean_x - mean_y
        sd = float((x - y).std() if paired else np.hypot(x.std(), y.std()) / math.sqrt(2))
        method = StudentT() if paired else Welch()
        groups = (x - y,) if paired else (x, y)
        for distance in (-2.0, -1.0, 0.0, 1.0, 2.0):
            decisions = decide(method, groups, Region.half_line("<=", truth + distance * sd), design)
            supported, refuted = float(decisions.supported.mean()), float(decisions.refuted.mean())
            yield f"{world}, {method.name}", distance, supported, refuted, 1 - supported - refuted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--train", action="store_true", help="train the bank's runs again")
    parser.add_argument("--suites", type=int, default=4000, help="suites to resample (default: 4000)")
    options = parser.parse_args()
    if options.train:
        train_bank()
    if not BANK.exists():
        sys.exit(f"The bank {BANK} does not exist; create it with --train.")
    null = null_suites(options.suites, np.random.default_rng(0))
    print(f"A/A, {json.loads(BANK.read_text(encoding='utf-8'))['setting']}")
    print(
        f"  {null.suites:,} suites of {null.claims} true claims: {null.red:.2%} are red, of at most {RATE:.0%} allowed"
    )
    print("  shares of suites that support false claims: at most 5%, subject to the method's guarantee")
    print(f"    {'':60}{'larger':>9}{'smaller':>9}")
    for name, (larger, smaller) in sorted(null.false_support.items(), key=lambda item: -max(item[1])):
        print(f"    {name:60}{larger:9.2%}{smaller:9.2%}")
    print("\nWorlds of known truth: distance of the truth into the region, in standard deviations of a seed")
    print(f"  {'':34}{'distance':>9}{'supported':>11}{'refuted':>9}{'inconclusive':>14}")
    for label, distance, supported, refuted, inconclusive in confusion(2000, np.random.default_rng(1)):
        print(f"  {label:34}{distance:9.1f}{supported:11.3f}{refuted:9.3f}{inconclusive:14.3f}")


if __name__ == "__main__":
    main()
