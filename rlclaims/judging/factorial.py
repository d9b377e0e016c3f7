"""A training factorial, as a claim receives it: runs with settings varied together, and what each setting does."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from rlclaims.judging.evidence import ClaimError
from rlclaims.judging.runs import Trained
from rlclaims.judging.samples import Sample

Summary = Callable[[Any], Sample]
"""What is asked of the runs of each combination: `lambda runs: runs.kl_old_new.mean.held_out.last(0.25)`."""


class Factorial:
    """Runs of a two-level design over the same seeds; effects are of a setting's second value against its first."""

    def __init__(self, cells: "Mapping[frozenset[str], Trained]") -> None:
        self.cells = cells
        """The runs of each combination, by the settings that have their second value."""
        self.factors = tuple(sorted(frozenset().union(*cells)))

    def __repr__(self) -> str:
        return f"<factorial of {', '.join(self.factors)} in {len(self.cells)} combinations>"

    def factor_of(self, setting: str, of: Summary) -> Sample:
        """By which factor a setting changes a positive number, on average over the others: one number per seed.

        Raises:
            ClaimError: the design has no such setting, or what is asked for is not one number per seed.
        """
        return self._contrast(setting, of, lambda one, base: one / base, "factor")

    def change_by(self, setting: str, of: Summary) -> Sample:
        """By how much a setting changes a number, on average over the others: one number per seed.

        Raises:
            ClaimError: the design has no such setting, or what is asked for is not one number per seed.
        """
        return self._contrast(setting, of, lambda one, base: one - base, "change")

    def _contrast(self, setting: str, of: Summary, against: Callable[[Sample, Sample], Sample], kind: str) -> Sample:
        if setting not in self.factors:
            raise ClaimError(f"The factorial does not vary {setting!r}; it varies {', '.join(self.factors)}.")
        if not callable(of):
            raise ClaimError(f"What {setting} changes is asked for by a function of runs, not by {of!r}.")
        base = of(self.cells[frozenset()])
        if not isinstance(base, Sample):
            raise ClaimError(
                f"A {kind} by {setting} is of one number per seed, runs.ratio.max.held_out.last(0.25), say."
            )
        # Each combination against the first, seed by seed, on the scale that is judged: their base cancels.
        sides: dict[bool, list[Sample]] = {True: [], False: []}
        for switched, runs in self.cells.items():
            sides[setting in switched].append(against(of(runs), base))
        values = tuple(
            sum(one) / len(one) - sum(other) / len(other)
            for one, other in zip(
                *(zip(*(s.values for s in sides[at]), strict=True) for at in (True, False)), strict=True
            )
        )
        failures = tuple(dict.fromkeys(f for runs in self.cells.values() for f in runs.failures))
        return replace(
            sides[True][0],
            quantity=f"{kind} by {setting} in {base.quantity}, on average over the design",
            values=values,
            failures=failures,
            correlation=None,
        )
