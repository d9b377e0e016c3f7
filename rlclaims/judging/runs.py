"""Runs of one algorithm, as a claim receives them: measures by name, series over training, samples over seeds.

trpo.kl_old_new.mean.held_out.last(0.25)
---- algorithm    ---- over states  ---- over iterations
     ---------- measure  -------- on which pairs
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NoReturn

from rlclaims.judging.evidence import ClaimError, is_number
from rlclaims.judging.samples import Sample

if TYPE_CHECKING:
    from rlclaims.agents.algorithm import Algorithm
    from rlclaims.study.store import Measured


@dataclass(frozen=True)
class RunsSpec:
    """What a runs fixture asks for, before the profile fills in what it leaves open."""

    algorithm: "type[Algorithm] | Algorithm"
    """A class, for the papers' settings of the task, or an instance with settings of its own."""
    task: str | None
    """Gymnasium's id, or None for the profile's task."""
    iterations: int | None
    """Updates per run, or None for the profile's."""
    changes: tuple[tuple[str, Any], ...] = ()
    """Settings that differ from the papers'."""
    block: int = 0
    """Which block of seeds it takes; runs of different blocks are never paired."""


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

    def first(self, fraction: float) -> Sample:
        """Mean over the first part of the measured iterations, per seed."""
        return self._part("first", fraction, lambda row, k: row[:k])

    def last(self, fraction: float) -> Sample:
        """Mean over the last part of the measured iterations, per seed."""
        return self._part("last", fraction, lambda row, k: row[len(row) - k :])

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

        return self._sample(f"{self.quantity}, {which} {fraction:.0%} of training", mean)

    def _sample(self, quantity: str, summary: Callable[[tuple[float, ...]], float]) -> Sample:
        values = tuple(summary(row) if row else math.nan for row in self.rows)
        return Sample(quantity, values, self.seeds, self.scope, self.failures, bounds=self.bounds)


@dataclass(frozen=True)
class Measure:
    """One measure of an update, by the pairs it is taken on."""

    _runs: "Runs"
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
    max: Measure
    """Largest among the states; grows with their number."""


@dataclass(frozen=True)
class Ratio:
    """pi_new / pi_old of the actions taken."""

    max: Measure
    """Largest among the pairs; grows with their number."""
    min: Measure
    """Smallest among the pairs; falls with their number."""
    exceedance: Measure
    """Fraction of pairs outside [1 - eps, 1 + eps], with the algorithm's clip eps (.2 where it has none)."""


@dataclass(frozen=True)
class Surrogate:
    """Mean of ratio times advantage, unclipped and not standardised."""

    old: Measure
    """At the old policy: the mean advantage."""
    new: Measure
    """At the new policy."""


class Runs:
    """Finished runs of one algorithm and task over seeds."""

    def __init__(
        self,
        algorithm: "Algorithm",
        task: str,
        iterations: int,
        seeds: tuple[int, ...],
        measured: "tuple[Measured, ...]",
    ) -> None:
        self.settings: Any = algorithm
        """The algorithm, a frozen dataclass of its settings."""
        self.name = _named(algorithm, task)
        """The algorithm's class, with the settings that differ from the papers' for the task."""
        self.task = task
        self.seeds = seeds
        self._measured = measured
        self.scope = (
            f"{task}, {iterations * algorithm.steps:,} steps, seeds {seeds[0]} to {seeds[-1]}"
            if seeds
            else f"{task}, no seeds"
        )
        self.failures = tuple(
            f"{self.name} seed {seed}: {m.failure}" for seed, m in zip(seeds, measured, strict=True) if m.failure
        )

    def __repr__(self) -> str:
        return f"<runs of {self.name}: {self.scope}>"

    @property
    def kl_old_new(self) -> Divergence:
        """KL(old || new) of each update, in nats."""
        return Divergence(
            Measure(self, "kl_old_new/mean", f"{self.name}'s mean KL(old||new)"),
            Measure(self, "kl_old_new/max", f"{self.name}'s max KL(old||new)"),
        )

    @property
    def ratio(self) -> Ratio:
        """Ratios new/old of the probabilities of the actions taken."""
        return Ratio(
            Measure(self, "ratio/max", f"{self.name}'s max ratio"),
            Measure(self, "ratio/min", f"{self.name}'s min ratio"),
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

    def _series(self, name: str, words: str, bounds: tuple[float, float] | None) -> Series:
        rows = tuple(() if m.failure else tuple(m.series[name]) for m in self._measured)
        return Series(words, rows, self.seeds, self.scope, self.failures, bounds)


def _named(algorithm: "Algorithm", task: str) -> str:
    usual = type(algorithm).for_task(task)
    changed = [
        f"{field.name}={getattr(algorithm, field.name)!r}"
        for field in fields(algorithm)
        if getattr(algorithm, field.name) != getattr(usual, field.name)
    ]
    return type(algorithm).__name__ + (f"({', '.join(changed)})" if changed else "")
