"""What every method of inference offers: a lower bound for its estimand, a p-value, and how it pays for looks.

Methods work on many repetitions at once, so that the study of their error rates runs the code that judges claims:
data are a tuple of groups, each (R, n): R repetitions of n seeds. A seed that failed is NaN.
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
    """What a method's error rate rests on."""

    EXACT = "exact"
    """At most nominal at any number of seeds, for every distribution in the class that the method names."""
    BOUNDED = "bounded-nonparametric"
    """At most nominal at any number of seeds, for every distribution on a known interval."""
    MODEL = "model-based"
    """Nominal if the seeds are normal."""
    ASYMPTOTIC = "asymptotic"
    """Nominal for many seeds; at few, as the published study of error rates says."""


@dataclass(frozen=True)
class Method(ABC):
    """A way to bound one number, the estimand, from below; its mirror image bounds it from above."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What is computed, in words."""

    @property
    @abstractmethod
    def guarantee(self) -> Guarantee:
        """What its error rate rests on."""

    @property
    @abstractmethod
    def assumption(self) -> str:
        """The class of distributions that it is right for, in words."""

    @property
    def takes_any_value(self) -> bool:
        """Whether it takes infinite values and equal ones, and bounds its estimand whatever a failed seed would be."""
        return False

    @property
    def rearranges(self) -> bool:
        """Whether it looks at thousands of rearrangements of each sample."""
        return False

    @property
    def n_groups(self) -> int:
        """Groups of seeds that it takes."""
        return 1

    @property
    def in_standard_deviations(self) -> bool:
        """Whether distances of its estimand can be told in standard deviations of a seed."""
        return True

    def estimate(self, data: Groups) -> Floats:
        """Point estimates (R,), NaN where there is none; by default the mean, or the difference of two."""
        means = [x.mean(-1) for x in data]
        return np.asarray(means[0] - means[1] if len(means) == 2 else means[0])

    @abstractmethod
    def lower(self, data: Groups, alpha: float) -> Floats:
        """Lower bounds (R,), each above the estimand with probability at most `alpha`; -inf where that is out of reach.

        A method that does not take any value is given finite seeds that are not all equal.
        """

    @abstractmethod
    def p_value(self, data: Groups, null: float) -> Floats:
        """One-sided p-values (R,) of "the estimand is at most `null`"."""

    def mirrored(self) -> "Method":
        """The method that fits the negated data."""
        return self

    def upper(self, data: Groups, alpha: float) -> Floats:
        """Upper bounds (R,), each below the estimand with probability at most `alpha`."""
        return -self.mirrored().lower(_negated(data), alpha)

    def p_value_above(self, data: Groups, null: float) -> Floats:
        """One-sided p-values (R,) of "the estimand is at least `null`"."""
        return self.mirrored().p_value(_negated(data), -null)

    def levels(self, looks: tuple[int, ...], spent: tuple[float, ...]) -> tuple[float, ...]:  # noqa: ARG002
        """Nominal levels of the lower bound at each look, for which it errs at any look so far with at most `spent`.

        By default what is set aside for each look: right for any method, if not the sharpest.
        """
        return tuple(now - before for before, now in zip((0.0, *spent), spent, strict=False))


def kth_smallest(values: Floats, k: int) -> Floats:
    """The k-th smallest (from 1) along the last axis; -inf for k = 0."""
    if k < 1:
        return np.full(values.shape[:-1], -np.inf)
    smallest: Floats = np.partition(values, k - 1, axis=-1)[..., k - 1]
    return smallest


def rounding(data: Groups) -> Floats:
    """How far means of some of the seeds may be off by rounding, (R,): what is so close counts as equal."""
    size_R: Floats = np.max([np.abs(x).max(-1) for x in data], axis=0)
    return 1e-12 * size_R


def by_blocks(rows: Groups, width: int, function: Callable[[Groups], Floats]) -> Floats:
    """Apply a function of groups to blocks of repetitions that make tables small enough for a processor cache."""
    size = max(1, 500_000 // width)
    n = len(rows[0])
    return np.concatenate([function(tuple(x[i : i + size] for x in rows)) for i in range(0, n, size)])


def _negated(data: Groups) -> Groups:
    return tuple(-x for x in data)
