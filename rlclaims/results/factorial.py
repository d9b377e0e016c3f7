"""A training factorial, as a claim receives it: runs with settings varied together, and the effect of each setting."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rlclaims.claims.estimand import Estimand
from rlclaims.claims.evidence import ClaimError
from rlclaims.claims.quantity import Derived
from rlclaims.claims.sample import Sample
from rlclaims.results.runs import TrainedRuns

Summary = Callable[[Any], Sample]
"""A question to the runs of each combination, such as `lambda runs: runs.kl_old_new.mean.held_out.last(0.25)`."""


class Tuned:
    """Runs with several values of one setting, where each seed counts at the value that earlier seeds chose.

    The best value is the one with the largest mean. The largest of several means over the same seeds is too large,
    because chance chooses too. So a seed has no part in choosing its own value, and later seeds have none either, for
    two reasons. A number must not change as later looks add seeds. And two seeds that choose for each other are not
    independent: with ten seeds, each chosen for by the other nine, a t test at 5% errs 11% of the time if the values
    are equally good, and at most 7% if each is chosen for by the seeds before it. The first seed counts at the mean
    over the values, as does one before which no seed has all its numbers.
    """

    def __init__(self, setting: str, runs: Sequence[TrainedRuns]) -> None:
        self.setting = setting
        """Name of the tuned setting."""
        self.runs = tuple(runs)
        """Runs of each value, over the same seeds."""

    def best(self, of: Callable[[TrainedRuns], Sample]) -> Sample:
        """Return the answer of each seed at its chosen value; NaN for a seed with a missing number at any value."""
        samples = [of(runs) for runs in self.runs]
        values: list[float] = []
        earlier: list[tuple[float, ...]] = []
        for numbers in zip(*(sample.values for sample in samples), strict=True):
            if not all(map(math.isfinite, numbers)):
                values.append(math.nan)
                continue
            sums = [sum(of_value) for of_value in zip(*earlier, strict=True)]
            values.append(numbers[sums.index(max(sums))] if sums else statistics.fmean(numbers))
            earlier.append(numbers)
        form = f"{{0}}, {self.setting} tuned on earlier seeds"
        quantity = Derived("tuned", (samples[0].quantity,), (self.setting,), form=form)
        failures = tuple(dict.fromkeys(failure for sample in samples for failure in sample.failures))
        return replace(samples[0], quantity=quantity, values=tuple(values), failures=failures)


class Factorial:
    """Runs of a two-level design over the same seeds; effects are of a setting's second value against its first."""

    def __init__(self, cells: "Mapping[frozenset[str], TrainedRuns | Tuned]") -> None:
        self.cells = cells
        """The runs of each combination, by the settings that have their second value."""
        self.factors = tuple(sorted(frozenset().union(*cells)))

    def __repr__(self) -> str:
        return f"<factorial of {', '.join(self.factors)} in {len(self.cells)} combinations>"

    def factor_of(self, setting: str, of: Summary) -> Sample:
        """Return the factor by which a setting changes a positive number, on average over the others, per seed.

        Raises:
            ClaimError: the design has no such setting, or what is asked for is not one number per seed.
        """
        return self._contrast(setting, of, _ratio, "factor")

    def change_by(self, setting: str, of: Summary) -> Sample:
        """Return the difference that a setting makes to a number, on average over the others, per seed.

        Raises:
            ClaimError: the design has no such setting, or what is asked for is not one number per seed.
        """
        return self._contrast(setting, of, _difference, "change")

    def _contrast(self, setting: str, of: Summary, against: Callable[[Sample, Sample], Sample], kind: str) -> Sample:
        if setting not in self.factors:
            raise ClaimError(f"The factorial does not vary {setting!r}; it varies {', '.join(self.factors)}.")
        if not callable(of):
            raise ClaimError(f"What {setting} changes is asked for by a function of runs, not by {of!r}.")

        def of_runs(runs: TrainedRuns) -> Sample:
            sample = of(runs)
            if isinstance(sample, Estimand):
                sample.refuse_operation(kind)
            if not isinstance(sample, Sample):
                raise ClaimError(
                    f"A {kind} by {setting} is of one number per seed, runs.ratio.max.held_out.last(0.25), say."
                )
            return sample

        samples = {cell: r.best(of_runs) if isinstance(r, Tuned) else of_runs(r) for cell, r in self.cells.items()}
        base = samples[frozenset()]
        # Each combination against the first, seed by seed, on the scale that is judged: their base cancels.
        sides: dict[bool, list[Sample]] = {True: [], False: []}
        for switched, sample in samples.items():
            sides[setting in switched].append(against(sample, base))
        values = tuple(
            sum(one) / len(one) - sum(other) / len(other)
            for one, other in zip(
                *(zip(*(s.values for s in sides[at]), strict=True) for at in (True, False)), strict=True
            )
        )
        failures = tuple(dict.fromkeys(failure for sample in samples.values() for failure in sample.failures))
        form = f"{kind} by {setting} in {{0}}, on average over the design"
        side = sides[True][0]
        return Sample(
            quantity=Derived(f"{kind}_by", (base.quantity,), (setting,), form=form),
            values=values,
            seeds=side.seeds,
            scope=side.scope,
            failures=failures,
            log_scale=side.log_scale,
            bounds=side.bounds,
        )


def _ratio(one: Sample, base: Sample) -> Sample:
    ratio = one / base
    assert isinstance(ratio, Sample), "combinations are trained on the same seeds"
    return ratio


def _difference(one: Sample, base: Sample) -> Sample:
    difference = one - base
    assert isinstance(difference, Sample), "combinations are trained on the same seeds"
    return difference
