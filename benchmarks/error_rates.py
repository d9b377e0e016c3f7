"""Measure error rates of verdicts, nominal against actual, with the code that judges claims.

    python benchmarks/error_rates.py            (some minutes on two cores)
    python benchmarks/error_rates.py --quick    (a tenth of the repetitions)

Each table draws thousands of samples whose truth is known, passes them to `rlclaims.stats.verdict.decide`, and counts
wrong verdicts, for each tail separately: "too high" is a lower bound above the truth, "too low" an upper bound below
it. If a method promises an error rate, a rate that contradicts the promise is flagged; a table shows any flag by
chance with probability at most 1%. If a method promises nothing, at few seeds or outside its class of distributions,
the rate is shown without a judgement: its guarantee class warns of it.

The last table has negative controls: procedures that are known to be wrong and must be flagged.
"""

import argparse
import itertools
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

# Parallelism is over processes, one thread each. Set this before numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
from scipy import stats

from rlclaims.stats.distribution_free import Betting, ClopperPearson, Quantile
from rlclaims.stats.effect import WrongOrder
from rlclaims.stats.mean import BootstrapT, SignFlip, StudentT
from rlclaims.stats.method import Floats, Groups, Method
from rlclaims.stats.two_groups import Permutation, Welch
from rlclaims.stats.verdict import Design, Region, decide

ALPHA = 0.05
FLAGGED_BY_CHANCE = 0.01
"""Maximum probability that a table of methods that keep their promises shows any flag."""
SEEDS = (3, 5, 6, 10, 14, 20)
LOOKS = ((6, 8, 10, 12), (6, 10, 14, 20))

Sampler = Callable[[np.random.Generator, tuple[int, ...]], Floats]
Promise = Literal["nominal", "at most", "none"]


@dataclass(frozen=True)
class Distribution:
    """Distribution that seeds are drawn from."""

    name: str
    sample: Sampler
    mean: float
    median: float
    bounded: bool = False
    """True if the support is within [0, 1]."""
    symmetric: bool = False


def _contaminated(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return rng.normal(size=shape) - 10.0 * (rng.random(shape) < 0.05)


def _contaminated_median() -> float:
    # The root of .95 Phi(x) + .05 Phi(x + 10) = 1/2, in which the second Phi is 1 up to 10^-20.
    return float(stats.norm.ppf((0.5 - 0.05) / 0.95))


NORMAL = Distribution("normal", lambda rng, n: rng.normal(size=n), 0.0, 0.0, symmetric=True)
DISTRIBUTIONS = (
    NORMAL,
    Distribution("uniform", lambda rng, n: rng.random(n), 0.5, 0.5, bounded=True, symmetric=True),
    Distribution("lognormal", lambda rng, n: rng.lognormal(0, 0.69, n), math.exp(0.69**2 / 2), 1.0),
    Distribution("exponential", lambda rng, n: rng.exponential(size=n), 1.0, math.log(2)),
    Distribution("contaminated", _contaminated, -0.5, _contaminated_median()),
    Distribution("Beta(.5, 10)", lambda rng, n: rng.beta(0.5, 10, n), 0.5 / 10.5, stats.beta.median(0.5, 10), True),
    Distribution("Bernoulli(.1)", lambda rng, n: (rng.random(n) < 0.1) * 1.0, 0.1, 0.0, True),
    Distribution("Bernoulli(.5)", lambda rng, n: (rng.random(n) < 0.5) * 1.0, 0.5, 0.0, True),
    Distribution("0 or .05 .. 1", lambda rng, n: np.where(rng.random(n) < 0.97, 0.05, 1.0), 0.0785, 0.05, True),
)
CONTINUOUS = DISTRIBUTIONS[:6]


@dataclass(frozen=True)
class Rate:
    """One cell of a table: the frequency of an error."""

    label: tuple[str, ...]
    wrong: int
    repetitions: int
    nominal: float
    promise: Promise

    @property
    def actual(self) -> float:
        """Share of repetitions with the error."""
        return self.wrong / self.repetitions

    def p_value(self) -> float:
        """Return the p-value of the promise by the exact binomial test."""
        if self.promise == "none":
            return 1.0
        side = "two-sided" if self.promise == "nominal" else "greater"
        return float(stats.binomtest(self.wrong, self.repetitions, self.nominal, alternative=side).pvalue)


def flags(rates: Sequence[Rate]) -> list[Rate]:
    """Return the rates that contradict their promise, at level `FLAGGED_BY_CHANCE` over all of them (Bonferroni)."""
    promised = [rate for rate in rates if rate.promise != "none"]
    return [rate for rate in promised if rate.p_value() < FLAGGED_BY_CHANCE / len(promised)]


def count(supported: npt.NDArray[np.bool_], label: tuple[str, ...], nominal: float, promise: Promise) -> Rate:
    return Rate(label, int(supported.sum()), len(supported), nominal, promise)


def tails(
    method: Method, data: Groups, truth: float, design: Design, label: tuple[str, ...], promise: Promise
) -> Iterator[Rate]:
    """Yield rates of wrong verdicts at the boundary: a region just beyond the truth is false, its complement true."""
    for tail, false, true in (("too high", ">", "<="), ("too low", "<", ">=")):
        wrong = decide(method, data, Region.half_line(false, truth), design).supported
        yield count(wrong, (*label, tail, "supports"), design.alpha_support, promise)
        if len(design.looks) > 1:  # with one look, both errors are the same event
            wrong = decide(method, data, Region.half_line(true, truth), design).refuted
            yield count(wrong, (*label, tail, "refutes"), design.alpha_refute, promise)


def promise_of(method: Method, distribution: Distribution) -> Promise | None:
    """Return what a method promises for a distribution; None if it does not apply to it."""
    match method:
        case StudentT():
            return "nominal" if distribution is NORMAL else "none"
        case WrongOrder():
            return "nominal" if distribution is NORMAL else "none" if distribution in CONTINUOUS else None
        case Welch():  # here groups have equal sizes and variances
            return "at most" if distribution is NORMAL else "none"
        case SignFlip():
            return "at most" if distribution.symmetric else "none"
        case Permutation() | Quantile():
            return "at most"
        case Betting():
            return "at most" if distribution.bounded else None
        case ClopperPearson():
            return "at most" if distribution.name.startswith("Bernoulli") else None
    return "none"


METHODS = (
    StudentT(),
    BootstrapT(),
    SignFlip(),
    Quantile(),
    ClopperPearson(),
    Betting(),
    Welch(),
    Permutation(),
    WrongOrder(),
)
SLOW = (BootstrapT, SignFlip, Permutation, WrongOrder)
"""Methods that get fewer repetitions."""


def draw(
    method: Method, distribution: Distribution, rng: np.random.Generator, shape: tuple[int, int]
) -> tuple[Groups, float]:
    """Return samples for a method, and the true value of its estimand."""
    data = tuple(distribution.sample(rng, shape) for _ in range(method.n_groups))
    match method:
        case Quantile():
            return data, distribution.median
        case WrongOrder():
            point, chance = below(distribution, method.seeds)
            return (data[0] - point,), chance
    return data, 0.0 if len(data) == 2 else distribution.mean


@lru_cache
def below(distribution: Distribution, seeds: int) -> tuple[float, float]:
    """Return a point that the mean of some seeds is rarely below, and the probability that it is."""
    if distribution is NORMAL:
        return float(stats.norm.ppf(0.2)) / math.sqrt(seeds), 0.2
    means = distribution.sample(np.random.default_rng(4), (1_000_000, seeds)).mean(-1)
    point = float(np.quantile(means, 0.2))
    return point, float(np.mean(means < point))


def fixed(
    repetitions: int,
    rng: np.random.Generator,
    methods: Sequence[Method] = METHODS,
    distributions: int = len(DISTRIBUTIONS),
) -> Iterator[Rate]:
    """Yield rates with one look, over methods, the first `distributions` distributions, and numbers of seeds."""
    for method, distribution, n in itertools.product(methods, DISTRIBUTIONS[:distributions], SEEDS):
        if (promise := promise_of(method, distribution)) is None:
            continue
        fewer = repetitions // (5 if isinstance(method, SLOW) else 1)
        data, truth = draw(method, distribution, rng, (fewer, n))
        label = (method.name, distribution.name, f"n = {n}")
        yield from tails(method, data, truth, Design((n,)), label, promise)
    for effect, n in itertools.product((0.0, 1.5), SEEDS) if WrongOrder() in methods else ():  # other true values
        data = (rng.normal(effect, 1, (repetitions // 5, n)),)
        truth = float(stats.norm.sf(math.sqrt(3) * effect))
        label = ("noncentral t", f"normal, {effect:g} sd", f"n = {n}")
        yield from tails(WrongOrder(seeds=3), data, truth, Design((n,)), label, "nominal")
    for n in SEEDS if Welch() in methods else ():  # unequal variances and group sizes
        data = rng.normal(size=(repetitions, n)), 3 * rng.normal(size=(repetitions, 2 * n))
        yield from tails(Welch(), data, 0.0, Design((n,)), ("Welch's t", "normal, 1 : 3", f"n = {n}, {2 * n}"), "none")


def sequential(repetitions: int, rng: np.random.Generator) -> Iterator[Rate]:
    """Yield rates with several looks, each verdict at its own error rate, at the boundary and a margin from it."""
    for looks in LOOKS:
        design = Design(looks, alpha_support=0.05, alpha_refute=0.01)
        cases = [
            (StudentT(), NORMAL, "nominal"),
            (Quantile(), DISTRIBUTIONS[2], "at most"),
            (ClopperPearson(), DISTRIBUTIONS[6], "at most"),
            (Betting(), DISTRIBUTIONS[5], "at most"),
            (SignFlip(), NORMAL, "at most"),
            (Welch(), NORMAL, "at most"),
            (Permutation(), NORMAL, "at most"),
            (BootstrapT(), DISTRIBUTIONS[2], "none"),
            (WrongOrder(), NORMAL, "at most"),
        ]
        for method, distribution, promise in cases:
            fewer = repetitions // (10 if isinstance(method, SLOW) else 1)
            data, truth = draw(method, distribution, rng, (fewer, looks[-1]))
            label = (method.name, distribution.name, f"looks {looks}")
            yield from tails(method, data, truth, design, label, promise)
        # The share of a large family is a small error rate, at which seeds that are not normal do most harm.
        rare = Design(looks, alpha_refute=0.0005)
        for distribution in CONTINUOUS:
            x = distribution.sample(rng, (20 * repetitions, looks[-1]))
            promise = "nominal" if distribution is NORMAL else "none"
            for tail, true in (("too high", "<="), ("too low", ">=")):
                wrong = decide(StudentT(), (x,), Region.half_line(true, distribution.mean), rare).refuted
                yield count(wrong, ("t", distribution.name, f"looks {looks}", tail, "refutes"), 0.0005, promise)
        for margin in (0.2, -0.2):  # away from the boundary only one verdict is wrong, and less often
            x = rng.normal(size=(repetitions, looks[-1])) + margin
            decisions = decide(StudentT(), (x,), Region.half_line("<=", 0.0), design)
            wrong = decisions.supported if margin > 0 else decisions.refuted
            nominal = design.alpha_support if margin > 0 else design.alpha_refute
            yield count(wrong, ("t", f"normal, truth at the bound {margin:+g}", f"looks {looks}"), nominal, "at most")
        x = rng.normal(size=(repetitions, looks[-1]))
        # Regions that contain the truth, at an end or inside.
        for region in (Region(0.0, 0.5), Region(-0.5, 0.0), Region(-0.2, 0.2)):
            refuted = decide(StudentT(), (x,), region, design).refuted
            yield count(refuted, ("t", f"normal {region}", f"looks {looks}", "refutes"), 0.01, "at most")
        # Open regions whose end is the truth, which they do not contain.
        for region in (Region(0.0, 2.0, closed=False), Region(-2.0, 0.0, closed=False)):
            supported = decide(StudentT(), (x,), region, design).supported
            yield count(supported, ("t", f"normal {region}, open", f"looks {looks}", "supports"), 0.05, "at most")


def families(repetitions: int, rng: np.random.Generator, share: Callable[[int], float] | None = None) -> Iterator[Rate]:
    """Yield rates of any wrong refutation among m claims with estimands on their bounds and correlated seeds."""
    looks = LOOKS[0]
    for m in (5, 20) if share else (2, 5, 20):  # for two claims, the wrong correction equals the right one
        for correlation in (0.0, 0.5):
            design = Design(looks, alpha_refute=share(m) if share else ALPHA / m)
            common = rng.normal(size=(repetitions, looks[-1]))
            red = np.zeros(repetitions, bool)
            for _ in range(m):
                own = rng.normal(size=common.shape)
                x = math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own
                red |= decide(StudentT(), (x,), Region.half_line("<=", 0.0), design).refuted
            yield count(red, (f"{m} claims", f"correlation {correlation:g}", f"looks {looks}"), ALPHA, "at most")


def joined(repetitions: int, rng: np.random.Generator) -> Iterator[Rate]:
    """Yield rates of `all_of`, `any_of` and a comparison of two maxima of three, at their least favourable truths."""
    n = 10
    false = Region.half_line(">", 0.0)
    true = Region.half_line("<=", 0.0)
    sure = rng.normal(5, 1, (repetitions, n))
    edge = [rng.normal(size=(repetitions, n)) for _ in range(6)]

    def supported(x: Floats, alpha: float) -> npt.NDArray[np.bool_]:
        return decide(StudentT(), (x,), false, Design((n,), alpha_support=alpha)).supported

    def refuted(x: Floats, alpha: float) -> npt.NDArray[np.bool_]:
        return decide(StudentT(), (x,), true, Design((n,), alpha_refute=alpha)).refuted

    wrong = supported(sure, ALPHA) & supported(edge[0], ALPHA)
    yield count(wrong, ("all of 2", "one true, one on the edge", "supports"), ALPHA, "at most")
    wrong = refuted(edge[0], ALPHA / 2) | refuted(edge[1], ALPHA / 2)
    yield count(wrong, ("all of 2", "both on the edge", "refutes"), ALPHA, "at most")
    wrong = supported(edge[0], ALPHA / 2) | supported(edge[1], ALPHA / 2)
    yield count(wrong, ("any of 2", "both on the edge", "supports"), ALPHA, "at most")
    wrong = refuted(edge[0], ALPHA) & refuted(sure, ALPHA)
    yield count(wrong, ("any of 2", "one false, one on the edge", "refutes"), ALPHA, "at most")
    # With six equal means, "the largest of three exceeds the largest of the others" is false by the smallest amount.
    wrong = np.zeros(repetitions, bool)
    for x in edge[:3]:
        wrong |= np.all([supported(x - y, ALPHA / 3) for y in edge[3:]], axis=0)
    yield count(wrong, ("largest of 3 > largest of 3", "all six equal", "supports"), ALPHA, "at most")


class PercentileBootstrap(StudentT):
    """Negative control: quantiles of the resampled means as bounds."""

    def lower(self, data: Groups, alpha: float) -> Floats:
        (x_RN,) = data
        n = x_RN.shape[-1]
        weights_NB = np.random.default_rng(n).multinomial(n, np.full(n, 1 / n), size=999).T / n
        return np.quantile(x_RN @ weights_NB, alpha, axis=-1)


class NaiveLooks(StudentT):
    """Negative control: each look at the full level."""

    def levels(self, looks: tuple[int, ...], spent: tuple[float, ...]) -> tuple[float, ...]:
        return (spent[-1],) * len(looks)


class UnsignedPermutation(Permutation):
    """Negative control: the absolute difference compared with the quantile of signed ones."""

    def p_value(self, data: Groups, null: float) -> Floats:
        signed = super().p_value(data, null)
        return np.minimum(signed, super().p_value(data[::-1], -null))


def controls(repetitions: int, rng: np.random.Generator) -> Iterator[tuple[str, list[Rate]]]:
    """Yield wrong procedures by name, each with the rates that must be flagged."""
    x = rng.normal(size=(repetitions, 20))
    five = (x[:, :5],)
    yield (
        "percentile bootstrap at n = 5",
        list(tails(PercentileBootstrap(), five, 0.0, Design((5,)), ("percentile bootstrap", "normal"), "at most")),
    )
    yield (
        "t at full level at each of four looks",
        list(tails(NaiveLooks(), (x,), 0.0, Design(LOOKS[1]), ("naive t", "normal"), "at most")),
    )
    data = rng.normal(size=(repetitions // 5, 5)), rng.normal(size=(repetitions // 5, 5))
    p = UnsignedPermutation().p_value(data, 0.0)
    label = ("|difference| against signed quantiles", "normal")
    yield "a two-sided statistic against signed quantiles", [count(p <= ALPHA, label, ALPHA, "at most")]
    # Confidence .95 + .05 / m instead of 1 - .05 / m.
    yield "a correction that divides the wrong thing", list(families(repetitions, rng, lambda m: ALPHA - ALPHA / m))


@dataclass(frozen=True)
class Efficiency:
    """Verdicts and cost of a design at one effect, by t at an error rate of 5% on either side."""

    looks: tuple[int, ...]
    effect: float
    """Effect in standard deviations of a seed."""
    supported: float
    refuted: float
    seeds: float
    """Mean number of seeds used."""


def efficiency(repetitions: int, rng: np.random.Generator) -> Iterator[Efficiency]:
    """Yield the power and the mean number of seeds of each design, by effect."""
    for looks in LOOKS:
        design = Design(looks)
        for effect in (0.0, 0.5, 1.0, 1.5):
            x = rng.normal(effect, 1, (repetitions, looks[-1]))
            decisions = decide(StudentT(), (x,), Region.half_line(">", 0.0), design)
            seeds = float(np.array(looks)[decisions.look].mean())
            supported, refuted = float(decisions.supported.mean()), float(decisions.refuted.mean())
            yield Efficiency(looks=looks, effect=effect, supported=supported, refuted=refuted, seeds=seeds)


def show(title: str, rates: Sequence[Rate]) -> None:
    promised = sum(rate.promise != "none" for rate in rates)
    flagged = flags(rates)
    print(f"\n{title}: {len(rates)} rates, {promised} of them promised, {len(flagged)} flagged")
    print(f"{'':72}{'nominal':>9}{'actual':>9}  promise")
    for rate in rates:
        mark = "  FLAG" if rate in flagged else ""
        print(f"{', '.join(rate.label)[:71]:72}{rate.nominal:9.4g}{rate.actual:9.4f}  {rate.promise}{mark}")


def part(number: int, repetitions: int) -> tuple[str, list[Rate]]:
    """Return a table's title and a part of its rates, the work of one process."""
    rng = np.random.default_rng([1, number])
    if number < len(METHODS):
        return "One look", list(fixed(repetitions, rng, METHODS[number : number + 1]))
    title, table = (("All looks", sequential), ("Families", families), ("Joined", joined))[number - len(METHODS)]
    return title, list(table(repetitions, rng))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the repetitions")
    repetitions = 1_000 if parser.parse_args().quick else 10_000
    begin = time.perf_counter()
    failed = False
    tables: dict[str, list[Rate]] = {}
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as processes:
        for title, rates in processes.map(part, range(len(METHODS) + 3), itertools.repeat(repetitions)):
            tables.setdefault(title, []).extend(rates)
    for title, rates in tables.items():
        show(title, rates)
        failed |= bool(flags(rates))
    print("\nNegative controls, which must be flagged")
    for name, rates in controls(repetitions, np.random.default_rng(2)):
        caught = bool(flags(rates))
        failed |= not caught
        worst = max(rates, key=lambda rate: rate.actual / rate.nominal)
        print(f"  {name:50} {worst.actual:.3f} against {worst.nominal:.3f}: {'caught' if caught else 'NOT CAUGHT'}")
    print("\nPower and mean number of seeds")
    for e in efficiency(repetitions, np.random.default_rng(3)):
        print(
            f"  looks {e.looks!s:16} effect {e.effect:3.1f} sd: supported {e.supported:.3f}, refuted {e.refuted:.3f}, "
            f"seeds {e.seeds:.1f} of {e.looks[-1]}"
        )
    print(f"\n{repetitions:,} repetitions, {time.perf_counter() - begin:.0f} s")
    sys.exit(failed)


if __name__ == "__main__":
    main()
