"""A measure over training: one row of iterations per seed, of which a window becomes one number per seed."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

from rlclaims.claims.evidence import ClaimError
from rlclaims.claims.names import UnknownNameError, did_you_mean
from rlclaims.claims.numbers import is_number
from rlclaims.claims.quantity import Derived, Quantity, Window
from rlclaims.claims.sample import Sample
from rlclaims.results.seed_rows import Row, SeedRows
from rlclaims.stats.describe import rank_correlation

ASKED = ("first", "last", "between", "overall", "highest", "where", "rank_correlation")
"""Names of the queries of a series."""


@dataclass(frozen=True)
class Series(SeedRows):
    """A measure over training: one row of iterations per seed."""

    every: int = 1
    """Iterations from one value to the next."""

    def first(self, fraction: float) -> Sample:
        """Return the mean over the first part of the measured iterations, per seed.

        Raises:
            ClaimError: the fraction does not lie in (0, 1].
        """
        return self._part("first", fraction, lambda row, k: row[:k])

    def last(self, fraction: float) -> Sample:
        """Return the mean over the last part of the measured iterations, per seed.

        Raises:
            ClaimError: the fraction does not lie in (0, 1].
        """
        return self._part("last", fraction, lambda row, k: row[len(row) - k :])

    def between(self, start: float, end: float) -> Sample:
        """Return the mean over the measured iterations between two parts of training, such as .375 and .625, per seed.

        If none lies between, as in a short run, it is the value at the one nearest to the middle.

        Raises:
            ClaimError: the parts are not two ascending numbers from 0 to 1.
        """
        if not (is_number(start) and is_number(end) and 0 <= start < end <= 1):
            raise ClaimError(f"between({start!r}, {end!r}): two parts of training ascend, from 0 to 1.")
        n = max(map(len, self.rows), default=0)
        # The middles of n equal parts; the offsets are for products that round.
        chosen = [i for i in range(n) if start - 1e-9 <= (i + 0.5) / n <= end + 1e-9]
        if n and not chosen:
            chosen = [min(range(n), key=lambda i: abs((i + 0.5) / n - (start + end) / 2))]
        window = Window("between", (start, end), f"from {_percent(start)} to {_percent(end)} of training")
        return self._sample(window, lambda row: sum(row[i] for i in chosen) / len(chosen))

    def overall(self) -> Sample:
        """Return the mean over all measured iterations, per seed."""
        return self._sample(Window("overall", (), "all of training"), lambda row: sum(row) / len(row))

    def highest(self) -> Sample:
        """Return the largest value over all measured iterations, per seed; it grows with their number."""
        return self._sample(Window("highest", (), "highest of training"), max)

    def where(self, other: "Series") -> "Series":
        """Return the same measure at the iterations at which another is measured, so that both are of the same updates.

        Raises:
            ClaimError: they are of different runs.
        """
        self._same_runs(other, "is compared with")
        step = max(1, other.every // self.every)
        form = "{0} at the iterations of {1}"
        return replace(
            self,
            quantity=Derived("at_iterations_of", (self.quantity, other.quantity), form=form),
            rows=tuple(row[::step] for row in self.rows),
            every=self.every * step,
        )

    def rank_correlation(self, other: "Series") -> Sample:
        """Return Spearman's rank correlation over the iterations at which both are measured, one number per seed.

        Two measures on the same pairs share these pairs' noise, which makes them go together; so one is taken on the
        training batch and the other on held-out pairs.

        Raises:
            ClaimError: they are of different runs, or on the same pairs.
        """
        self._same_runs(other, "is correlated with")
        if pairs_of(self.quantity) == pairs_of(other.quantity):
            raise ClaimError(
                f"{self.quantity} and {other.quantity} are measured on the same pairs and share their noise: take "
                "one on .training and the other on .held_out."
            )
        form = "rank correlation over training of {0} and {1}"
        rows = zip(self.where(other).rows, other.where(self).rows, strict=True)
        return Sample(
            quantity=Derived("rank_correlation", (self.quantity, other.quantity), form=form),
            values=tuple(rank_correlation(one, two) for one, two in rows),
            seeds=self.seeds,
            scope=self.scope,
            failures=self.failures,
            bounds=(-1.0, 1.0),
            runs=self.runs,
        )

    @property
    def _runs_compared(self) -> tuple[object, ...]:
        """Settings, seeds and scope of the runs: two series may be compared if these are equal."""
        return self.runs and self.runs.settings, self.seeds, self.scope

    def _same_runs(self, other: object, what: str) -> None:
        if not isinstance(other, Series):
            raise ClaimError(f"{self.quantity} {what} another series, not {other!r}.")
        if self._runs_compared != other._runs_compared:
            raise ClaimError(f"{self.quantity} {what} another series of the same runs, not {other.quantity}.")

    def _no_comparison(self, _: object) -> NoReturn:
        raise ClaimError(f"{self.quantity} is a series; say which part of training is compared, such as .last(0.25).")

    if not TYPE_CHECKING:  # type checkers report missing operators themselves
        __lt__ = __le__ = __gt__ = __ge__ = _no_comparison

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_"):
                raise AttributeError(name)
            known = ", ".join(f".{one}" for one in ASKED)
            raise UnknownNameError(f"A series has no .{name}{did_you_mean(name, ASKED)}; it has {known}.")

    def _part(self, which: str, fraction: float, part: Callable[[Row, int], Row]) -> Sample:
        if not is_number(fraction) or not 0 < fraction <= 1:
            raise ClaimError(f"{which}({fraction!r}): the fraction of training lies in (0, 1].")

        def mean(row: Row) -> float:
            # The fewest iterations that are at least the fraction; the offset is for .1 * 30 = 3.0000000000000004.
            chosen = part(row, math.ceil(fraction * len(row) - 1e-9))
            return sum(chosen) / len(chosen)

        return self._sample(Window(which, (fraction,), f"{which} {_percent(fraction)} of training"), mean)


def pairs_of(quantity: Quantity) -> str | None:
    """Return the pairs that a quantity is measured on; for one that is made of others, those of the first."""
    while isinstance(quantity, Derived):
        quantity = quantity.operands[0]
    pairs: str | None = getattr(quantity, "pairs", None)
    return pairs


def _percent(fraction: float) -> str:
    return f"{100 * fraction:g}%"
