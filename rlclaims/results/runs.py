"""Runs of one algorithm, as a claim receives them: measures by name, series over training, samples over seeds.

trpo.kl_old_new.mean.held_out.last(0.25)
---- algorithm    ---- over states  ---- over iterations
     ---------- measure  -------- on which pairs
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from rlclaims.claims.evidence import ClaimError
from rlclaims.claims.numbers import is_number
from rlclaims.claims.sample import Sample
from rlclaims.stats.describe import rank_correlation

if TYPE_CHECKING:
    from rlclaims.adapters.external import ExternalTraining
    from rlclaims.agents.algorithm import Algorithm
    from rlclaims.results.measured import Measured
    from rlclaims.studies.registry import Study


@dataclass(frozen=True)
class Series:
    """A measure over training: one row of iterations per seed."""

    quantity: str
    rows: tuple[tuple[float, ...], ...]
    """Per seed, the value at each measured iteration; empty for a seed whose run failed."""
    seeds: tuple[int, ...]
    scope: str
    failures: tuple[str, ...]
    bounds: tuple[float, float] | None = None
    """The interval that the values lie in by their nature, or None."""
    every: int = 1
    """Iterations from one value to the next."""
    held_out: bool = False
    """Whether it is measured on fresh pairs, instead of on the training batch."""
    algorithm: str = ""
    """What the runs were trained by, in words."""
    runs: "TrainedRuns | None" = None
    """The runs that it is measured on."""

    def first(self, fraction: float) -> Sample:
        """Mean over the first part of the measured iterations, per seed."""
        return self._part("first", fraction, lambda row, k: row[:k])

    def last(self, fraction: float) -> Sample:
        """Mean over the last part of the measured iterations, per seed."""
        return self._part("last", fraction, lambda row, k: row[len(row) - k :])

    def between(self, start: float, end: float) -> Sample:
        """Mean over the measured iterations from one part of training to another, per seed: from .375 to .625, say.

        Where none lies between, as in a short run, the value at the one nearest to the middle.

        Raises:
            ClaimError: they are not two ascending numbers from 0 to 1.
        """
        if not (is_number(start) and is_number(end) and 0 <= start < end <= 1):
            raise ClaimError(f"between({start!r}, {end!r}): two parts of training ascend, from 0 to 1.")
        n = max(map(len, self.rows), default=0)
        # The middles of n equal parts; the offsets are for products that round.
        chosen = [i for i in range(n) if start - 1e-9 <= (i + 0.5) / n <= end + 1e-9]
        if n and not chosen:
            chosen = [min(range(n), key=lambda i: abs((i + 0.5) / n - (start + end) / 2))]
        return self._sample(
            f"{self.quantity}, from {_percent(start)} to {_percent(end)} of training",
            lambda row: sum(row[i] for i in chosen) / len(chosen),
        )

    def where(self, other: "Series") -> "Series":
        """The same measure at the iterations at which another is measured, so that both are of the same updates.

        Raises:
            ClaimError: they are of different runs.
        """
        self._same_runs(other, "is held against")
        step = max(1, other.every // self.every)
        rows = tuple(row[::step] for row in self.rows)
        return replace(
            self, quantity=f"{self.quantity} at the iterations of {other.quantity}", rows=rows, every=self.every * step
        )

    def rank_correlation(self, other: "Series") -> Sample:
        """Spearman's rank correlation over the iterations at which both are measured, one number per seed.

        Two measures on the same pairs share these pairs' noise, which makes them go together; so one is taken on the
        training batch and the other on held-out pairs.

        Raises:
            ClaimError: they are of different runs, or on the same pairs.
        """
        self._same_runs(other, "is correlated with")
        if self.held_out == other.held_out:
            raise ClaimError(
                f"{self.quantity} and {other.quantity} are measured on the same pairs and share their noise: take "
                "one on .training and the other on .held_out."
            )
        rows = zip(self.where(other).rows, other.where(self).rows, strict=True)
        return Sample(
            f"rank correlation over training of {self.quantity} and {other.quantity}",
            tuple(rank_correlation(one, two) for one, two in rows),
            self.seeds,
            self.scope,
            self.failures,
            bounds=(-1.0, 1.0),
            runs=self.runs,
        )

    def _same_runs(self, other: object, what: str) -> None:
        if not isinstance(other, Series):
            raise ClaimError(f"{self.quantity} {what} another series, not {other!r}.")
        if (self.algorithm, self.seeds, self.scope) != (other.algorithm, other.seeds, other.scope):
            raise ClaimError(f"{self.quantity} {what} another series of the same runs, not {other.quantity}.")

    def overall(self) -> Sample:
        """Mean over all measured iterations, per seed."""
        return self._sample(f"{self.quantity}, all of training", lambda row: sum(row) / len(row))

    def highest(self) -> Sample:
        """Largest value over all measured iterations, per seed; it grows with their number."""
        return self._sample(f"{self.quantity}, highest of training", max)

    def _no_comparison(self, _: object) -> NoReturn:
        raise ClaimError(f"{self.quantity} is a series; say which part of training is compared: .last(0.25), say.")

    if not TYPE_CHECKING:  # which says itself that there is none
        __lt__ = __le__ = __gt__ = __ge__ = _no_comparison

    def _part(self, which: str, fraction: float, part: Callable[[tuple[float, ...], int], tuple[float, ...]]) -> Sample:
        if not is_number(fraction) or not 0 < fraction <= 1:
            raise ClaimError(f"{which}({fraction!r}): the fraction of training lies in (0, 1].")

        def mean(row: tuple[float, ...]) -> float:
            # The fewest iterations that are at least the fraction; the offset is for .1 * 30 = 3.0000000000000004.
            chosen = part(row, math.ceil(fraction * len(row) - 1e-9))
            return sum(chosen) / len(chosen)

        return self._sample(f"{self.quantity}, {which} {_percent(fraction)} of training", mean)

    def _sample(self, quantity: str, summary: Callable[[tuple[float, ...]], float]) -> Sample:
        values = tuple(summary(row) if row else math.nan for row in self.rows)
        return Sample(quantity, values, self.seeds, self.scope, self.failures, bounds=self.bounds, runs=self.runs)


@dataclass(frozen=True)
class Measure:
    """One measure of an update, by the pairs it is taken on."""

    _runs: "MeasuredRuns"
    _name: str
    _words: str
    _bounds: tuple[float, float] | None = None

    @property
    def training(self) -> Series:
        """On the rollout that the update learned from, at every iteration."""
        return self._runs._series(f"{self._name}/training", f"{self._words} (training batch)", self._bounds)

    @property
    def held_out(self) -> Series:
        """On as many fresh pairs of the old policy, at every tenth iteration from the first."""
        return self._runs._series(f"{self._name}/held_out", f"{self._words} (held out)", self._bounds)


@dataclass(frozen=True)
class Divergence:
    """KL(old || new) of an update, exact in each state."""

    mean: Measure
    """Mean over states."""
    q99: Measure
    """What 99 of 100 states stay within; does not grow with their number."""
    max: Measure
    """Largest among the states; grows with their number."""


@dataclass(frozen=True)
class Ratio:
    """pi_new / pi_old of the actions taken."""

    max: Measure
    """Largest among the pairs; grows with their number."""
    q99: Measure
    """What 99 of 100 pairs stay below; does not grow with their number."""
    q01: Measure
    """What 99 of 100 pairs stay above."""
    min: Measure
    """Smallest among the pairs; falls with their number."""
    deviation: Measure
    """Mean distance from 1."""
    exceedance: Measure
    """Fraction of pairs outside [1 - eps, 1 + eps], with the algorithm's clip eps (.2 where it has none)."""


@dataclass(frozen=True)
class Surrogate:
    """Mean of ratio times advantage, unclipped and not standardised."""

    old: Measure
    """At the old policy: the mean advantage."""
    new: Measure
    """At the new policy."""


class TrainedRuns:
    """Finished runs of one algorithm and task over seeds, whatever is asked of them."""

    def __init__(
        self,
        algorithm: "Algorithm | ExternalTraining",
        task: str,
        iterations: int,
        seeds: tuple[int, ...],
        measured: "Sequence[Measured] | Callable[[], Sequence[Measured]]",
        study: "Study | None" = None,
    ) -> None:
        self.settings: Any = algorithm
        """The algorithm, a frozen dataclass of its settings."""
        self.name = _named(algorithm, task)
        """The algorithm's class, with the settings that differ from the papers' for the task."""
        self.task, self.iterations = task, iterations
        self.steps = iterations * algorithm.steps
        """Of the environment, in each run."""
        self.seeds = seeds
        self.study = study
        """What is derived from the runs, or None for the runs themselves."""
        self._read = measured
        self.scope = f"{task}, {self.steps:,} steps, seeds {seeds[0]} to {seeds[-1]}" if seeds else f"{task}, no seeds"

    @cached_property
    def _measured(self) -> "tuple[Measured, ...]":
        """What was measured, seed by seed; read from the store when it is first asked for."""
        return tuple(self._read() if callable(self._read) else self._read)

    @cached_property
    def failures(self) -> tuple[str, ...]:
        """The failed runs, and why they failed."""
        return tuple(
            f"{self.name} seed {seed}: {m.failure}"
            for seed, m in zip(self.seeds, self._measured, strict=True)
            if m.failure
        )

    @property
    def kind(self) -> str:
        """What is asked for of the runs, in words."""
        return "runs" if self.study is None else self.study.words


class MeasuredRuns(TrainedRuns):
    """Finished runs of one algorithm and task over seeds, with the measures of their updates."""

    @property
    def kl_old_new(self) -> Divergence:
        """KL(old || new) of each update of the parameters alone, on observations normalised alike, in nats."""
        return self._divergence("kl_old_new", "KL(old||new)")

    @property
    def kl_deployed(self) -> Divergence:
        """KL(old || new) of each update of the policy as deployed, in nats.

        Old and new normalise the simulator's observations by the statistics that they act with, which move too.
        """
        return self._divergence("kl_deployed", "KL(old||new) as deployed")

    @property
    def ratio(self) -> Ratio:
        """Ratios new/old of the probabilities of the actions taken."""
        return Ratio(
            Measure(self, "ratio/max", f"{self.name}'s max ratio"),
            Measure(self, "ratio/q99", f"{self.name}'s 99% quantile of the ratio"),
            Measure(self, "ratio/q01", f"{self.name}'s 1% quantile of the ratio"),
            Measure(self, "ratio/min", f"{self.name}'s min ratio"),
            Measure(self, "ratio/deviation", f"{self.name}'s mean deviation of ratios from 1"),
            Measure(
                self,
                "ratio/exceedance",
                f"{self.name}'s share of ratios off 1±{self.settings.ratio_epsilon:g}",
                (0.0, 1.0),
            ),
        )

    @property
    def surrogate(self) -> Surrogate:
        """The surrogate before and after each update, in the units the algorithm learns from."""
        return Surrogate(
            Measure(self, "surrogate/old", f"{self.name}'s surrogate before"),
            Measure(self, "surrogate/new", f"{self.name}'s surrogate after"),
        )

    def _divergence(self, name: str, words: str) -> Divergence:
        kinds = {"mean": "mean", "q99": "99% quantile of", "max": "max"}
        return Divergence(
            *(Measure(self, f"{name}/{kind}", f"{self.name}'s {said} {words}") for kind, said in kinds.items())
        )

    def _series(self, name: str, words: str, bounds: tuple[float, float] | None) -> Series:
        from rlclaims.adapters.external import ExternalTraining  # which imports torch
        from rlclaims.training import HELD_OUT_EVERY

        if isinstance(self.settings, ExternalTraining) and self.settings.lacks(name):
            raise ClaimError(f"{words}: there is none of {self.name}, of whose training no more is recorded.")
        rows = tuple(() if m.failure else tuple(m.series[name]) for m in self._measured)
        held_out = name.endswith("/held_out")
        every = HELD_OUT_EVERY if held_out else 1
        return Series(words, rows, self.seeds, self.scope, self.failures, bounds, every, held_out, self.name, self)


def _percent(fraction: float) -> str:
    """To as many digits as tell it from another: what a quantity is called is what it is found by."""
    return f"{100 * fraction:g}%"


def _named(algorithm: "Algorithm | ExternalTraining", task: str) -> str:
    """An algorithm's class, with the settings that differ from the papers' for the task."""
    from rlclaims.adapters.external import ExternalTraining  # which imports torch

    if isinstance(algorithm, ExternalTraining):
        return algorithm.words
    usual = type(algorithm).for_task(task)
    changed = [
        f"{field.name}={getattr(algorithm, field.name)!r}"
        for field in fields(algorithm)
        if getattr(algorithm, field.name) != getattr(usual, field.name)
    ]
    return type(algorithm).__name__ + (f"({', '.join(changed)})" if changed else "")
