"""Runs of one algorithm: what every result of them has, and their measures, attributes by the registry's keys.

trpo.kl_old_new.mean.held_out.last(0.25)
---- algorithm    ---- over states  ---- over iterations
---------- group of measures
-------- on which pairs
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from rlclaims.claims.evidence import ClaimError
from rlclaims.claims.names import UnknownNameError, did_you_mean
from rlclaims.claims.quantity import Argument, Plain
from rlclaims.claims.scope import Scope
from rlclaims.results.series import Series

if TYPE_CHECKING:
    from rlclaims.adapters.external import ExternalTraining
    from rlclaims.agents.algorithm import Algorithm
    from rlclaims.measures.measure import Measure
    from rlclaims.results.measured import Measured


class StudyName(Protocol):
    """The study that results are of."""

    @property
    def kind(self) -> str:
        """Name of its kind."""

    @property
    def pairs(self) -> int | None:
        """Size of its batches, for kinds that are asked for one."""

    @property
    def name(self) -> str:
        """Identifier: kind and pairs."""

    @property
    def words(self) -> str:
        """Words for people."""


class TrainedRuns:
    """Finished runs of one algorithm and task over seeds, or the results of a study of them."""

    def __init__(
        self,
        algorithm: "Algorithm | ExternalTraining",
        task: str,
        iterations: int,
        seeds: tuple[int, ...],
        measured: "Sequence[Measured] | Callable[[], Sequence[Measured]]",
        study: StudyName | None = None,
    ) -> None:
        self.settings: Any = algorithm
        """The algorithm, a frozen dataclass of its settings."""
        self.name = name_of(algorithm, task)
        """The algorithm's class, with the settings that differ from the papers' for the task."""
        self.task = task
        self.iterations = iterations
        self.steps = iterations * algorithm.steps
        """Environment steps in each run."""
        self.seeds = seeds
        self.study = study
        """The study that the numbers are from; None for the runs' own measures."""
        self._read = measured
        self.scope = Scope.of(task, self.steps, seeds)
        """The task, steps and seeds."""

    @cached_property
    def _measured(self) -> "tuple[Measured, ...]":
        """Numbers of each seed, read from the store when they are first asked for."""
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
        """Words for what the numbers are from: runs, or a study of them."""
        return "runs" if self.study is None else self.study.words

    def quantity(
        self, measure: str, words: str, arguments: Mapping[str, Argument] | None = None, pairs: str | None = None
    ) -> Plain:
        """Return the description of one of the numbers.

        Args:
            measure: its name among those of the runs or of the study.
            words: the same for people.
            arguments: what it was asked for with, by name.
            pairs: "training" or "held_out", for what is measured on either.
        """
        study = "runs" if self.study is None else self.study.name
        given = tuple((arguments or {}).items())
        return Plain(measure, words=words, arguments=given, pairs=pairs, of=self.name, study=study)


@dataclass(frozen=True)
class MeasureOfRuns:
    """One measure of the updates of runs, by the pairs it is taken on."""

    _runs: "MeasuredRuns"
    _measure: "Measure"

    @property
    def training(self) -> Series:
        """The measure on the rollout that the update learned from, at every iteration."""
        return self._runs._series(self._measure, "training")

    @property
    def held_out(self) -> Series:
        """The measure on as many fresh pairs of the old policy, at every tenth iteration from the first."""
        return self._runs._series(self._measure, "held_out")

    if not TYPE_CHECKING:  # type checkers report missing attributes themselves

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_"):
                raise AttributeError(name)
            raise UnknownNameError(
                f"{self._measure.key} is measured on .training or .held_out pairs, not on .{name}"
                f"{did_you_mean(name, ('training', 'held_out'))}."
            )


class MeasureGroup:
    """The measures of one group of the registry, such as ratio, as attributes."""

    def __init__(self, runs: "MeasuredRuns", group: str) -> None:
        self._runs = runs
        self._group = group

    if not TYPE_CHECKING:  # type checkers know the annotations of the groups below

        def __getattr__(self, name: str) -> MeasureOfRuns:
            from rlclaims.measures.registry import REGISTRY

            if (measure := REGISTRY.get(f"{self._group}/{name}")) is not None:
                return MeasureOfRuns(self._runs, measure)
            if name.startswith("_"):
                raise AttributeError(name)
            names = [measure.name for measure in REGISTRY.values() if measure.group == self._group]
            raise UnknownNameError(
                f"Runs have no measure {self._group}.{name}{did_you_mean(name, names)}; {self._group} has "
                f"{', '.join(names)}. {HOW_TO_ADD}"
            )


HOW_TO_ADD = "A new measure is one file in rlclaims/measures/, or rlclaims.measures.registry.register(Measure(...))."


class Divergence(MeasureGroup):
    """KL(old || new) of an update, exact in each state."""

    mean: MeasureOfRuns
    """Mean over states."""
    q99: MeasureOfRuns
    """The 99% quantile over states; does not grow with their number."""
    max: MeasureOfRuns
    """Largest among the states; grows with their number."""


class Ratio(MeasureGroup):
    """Ratios pi_new / pi_old of the actions taken."""

    max: MeasureOfRuns
    """Largest among the pairs; grows with their number."""
    q99: MeasureOfRuns
    """The 99% quantile over pairs; does not grow with their number."""
    q01: MeasureOfRuns
    """The 1% quantile over pairs."""
    min: MeasureOfRuns
    """Smallest among the pairs; falls with their number."""
    deviation: MeasureOfRuns
    """Mean distance from 1."""
    exceedance: MeasureOfRuns
    """Fraction of pairs outside [1 - eps, 1 + eps], with the algorithm's clip eps (.2 where it has none)."""


class Surrogate(MeasureGroup):
    """Mean of ratio times advantage, unclipped and not standardised."""

    old: MeasureOfRuns
    """At the old policy: the mean advantage."""
    new: MeasureOfRuns
    """At the new policy."""


class MeasuredRuns(TrainedRuns):
    """Finished runs of one algorithm and task over seeds, with the measures of their updates."""

    @property
    def kl_old_new(self) -> Divergence:
        """KL(old || new) of each update of the parameters alone, on observations normalised alike, in nats."""
        return Divergence(self, "kl_old_new")

    @property
    def kl_deployed(self) -> Divergence:
        """KL(old || new) of each update of the policy as deployed, in nats.

        Old and new normalise the simulator's observations by the statistics that they act with, which move too.
        """
        return Divergence(self, "kl_deployed")

    @property
    def ratio(self) -> Ratio:
        """Ratios new/old of the probabilities of the actions taken."""
        return Ratio(self, "ratio")

    @property
    def surrogate(self) -> Surrogate:
        """The surrogate before and after each update, in the units the algorithm learns from."""
        return Surrogate(self, "surrogate")

    if not TYPE_CHECKING:  # which would accept every name

        def __getattr__(self, name: str) -> MeasureGroup:
            """Return a group of measures that was added to the registry."""
            if name.startswith("_"):
                raise AttributeError(name)
            from rlclaims.measures.registry import REGISTRY

            groups = dict.fromkeys(measure.group for measure in REGISTRY.values())
            if name in groups:
                return MeasureGroup(self, name)
            names = [*groups, *(each for each in dir(type(self)) if not each.startswith("_") and each not in groups)]
            raise UnknownNameError(
                f"Runs have no {name!r}{did_you_mean(name, names)}; they have {', '.join(names)}. {HOW_TO_ADD}"
            )

    def _series(self, measure: "Measure", pairs: str) -> Series:
        from rlclaims.adapters.external import ExternalTraining  # which imports torch
        from rlclaims.training import HELD_OUT_EVERY

        name = f"{measure.key}/{pairs}"
        epsilon = {"epsilon": self.settings.ratio_epsilon} if measure.takes_epsilon else {}
        words = measure.label.format(**{key: f"{value:g}" for key, value in epsilon.items()})
        quantity = self.quantity(measure.key, words, epsilon, pairs)
        if isinstance(self.settings, ExternalTraining) and self.settings.lacks_measure(name):
            raise ClaimError(
                f"{quantity.general_label} is not available for {self.name}: its adapter does not record it."
            )
        return Series(
            quantity=quantity,
            rows=tuple(() if m.failure else tuple(self._numbers(m, name)) for m in self._measured),
            seeds=self.seeds,
            scope=self.scope,
            failures=self.failures,
            bounds=measure.bounds,
            every=HELD_OUT_EVERY if pairs == "held_out" else 1,
            runs=self,
        )

    def _numbers(self, measured: "Measured", name: str) -> Sequence[float]:
        try:
            return measured.series[name]
        except KeyError:
            _not_recorded(self.name, name)


def _not_recorded(runs: str, name: str) -> NoReturn:
    raise ClaimError(
        f"The runs of {runs} in the store have no {name}: the measure was registered after they were measured. "
        "Register it where training processes import it, in a file of rlclaims/measures/."
    )


def name_of(algorithm: "Algorithm | ExternalTraining", task: str) -> str:
    """Return the name of an algorithm's class, with the settings that differ from the papers' for the task."""
    from rlclaims.adapters.external import ExternalTraining  # which imports torch

    if isinstance(algorithm, ExternalTraining):
        return algorithm.label
    usual = type(algorithm).for_task(task)
    changed = [
        f"{field.name}={getattr(algorithm, field.name)!r}"
        for field in fields(algorithm)
        if getattr(algorithm, field.name) != getattr(usual, field.name)
    ]
    return type(algorithm).__name__ + (f"({', '.join(changed)})" if changed else "")
