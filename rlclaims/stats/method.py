"""Interface of the methods of inference: bounds of an estimand, p-values, and levels for several looks.

Methods work on many repetitions at once, so that the study of their error rates runs the very code that judges claims.
Data are a tuple of groups, each (R, n): R repetitions of n seeds. A seed that failed is NaN.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Groups = tuple[Floats, ...]
"""One group (R, n), or two groups of runs on different seeds, whose means are compared (first minus second)."""


class Guarantee(StrEnum):
    """Condition under which a method's error rate holds."""

    EXACT = "exact"
    """At most nominal at any number of seeds, for every distribution in the class that the method names."""
    BOUNDED = "bounded-nonparametric"
    """At most nominal at any number of seeds, for every distribution on a known interval."""
    MODEL = "model-based"
    """Nominal if the seeds are normal."""
    ASYMPTOTIC = "asymptotic"
    """Nominal for many seeds; for few, see the published study of error rates."""


@dataclass(frozen=True)
class Method(ABC):
    """Method that bounds one number, the estimand, from below; its mirror image bounds it from above."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the test or interval, as shown to readers."""

    @property
    @abstractmethod
    def guarantee(self) -> Guarantee:
        """Condition under which the error rate holds."""

    @property
    @abstractmethod
    def assumption(self) -> str:
        """Class of distributions for which the method is valid, in words."""

    @property
    def takes_any_value(self) -> bool:
        """True if infinite and equal seeds are allowed, and the bounds hold for any value of a failed seed."""
        return False

    @property
    def rearranges(self) -> bool:
        """True if the method goes through thousands of rearrangements of each sample."""
        return False

    @property
    def n_groups(self) -> int:
        """Number of groups of seeds that the method takes."""
        return 1

    @property
    def in_standard_deviations(self) -> bool:
        """True if distances of the estimand can be expressed in standard deviations of a seed."""
        return True

    def estimate(self, data: Groups) -> Floats:
        """Return point estimates (R,), NaN where undefined; by default the mean, or the difference of two means."""
        means = [x.mean(-1) for x in data]
        return np.asarray(means[0] - means[1] if len(means) == 2 else means[0])

    @abstractmethod
    def lower(self, data: Groups, alpha: float) -> Floats:
        """Return lower bounds (R,), each above the estimand with probability at most `alpha`; -inf if unbounded.

        A method for which `takes_any_value` is false is given finite seeds that are not all equal.
        """

    @abstractmethod
    def p_value(self, data: Groups, null: float) -> Floats:
        """Return one-sided p-values (R,) of "the estimand is at most `null`"."""

    def mirrored(self) -> "Method":
        """Return the method for the negated data."""
        return self

    def upper(self, data: Groups, alpha: float) -> Floats:
        """Return upper bounds (R,), each below the estimand with probability at most `alpha`."""
        return -self.mirrored().lower(_negated(data), alpha)

    def p_value_above(self, data: Groups, null: float) -> Floats:
        """Return one-sided p-values (R,) of "the estimand is at least `null`"."""
        return self.mirrored().p_value(_negated(data), -null)

    def levels(self, looks: tuple[int, ...], spent: tuple[float, ...]) -> tuple[float, ...]:  # noqa: ARG002
        """Return the lower bound's nominal level at each look, such that it has erred by each look at most `spent`.

        The default is the error rate that each look adds to `spent`: valid for any method, but not the sharpest.
        """
        return tuple(now - before for before, now in zip((0.0, *spent), spent, strict=False))


def kth_smallest(values: Floats, k: int) -> Floats:
    """Return the k-th smallest value (from 1) along the last axis; -inf for k = 0."""
    if k < 1:
        return np.full(values.shape[:-1], -np.inf)
    smallest: Floats = np.partition(values, k - 1, axis=-1)[..., k - 1]
    return smallest


def rounding_tolerance(data: Groups) -> Floats:
    """Return the largest rounding error of a mean of some seeds, (R,): means this close count as equal."""
    size_R: Floats = np.max([np.abs(x).max(-1) for x in data], axis=0)
    return 1e-12 * size_R


def apply_in_blocks(rows: Groups, width: int, function: Callable[[Groups], Floats]) -> Floats:
    """Apply a function of groups to blocks of repetitions whose tables, `width` wide, fit into a processor cache."""
    size = max(1, 500_000 // width)
    n = len(rows[0])
    return np.concatenate([function(tuple(x[i : i + size] for x in rows)) for i in range(0, n, size)])


def _negated(data: Groups) -> Groups:
    return tuple(-x for x in data)
