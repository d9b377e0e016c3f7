"""Estimands: parameters of the distribution over seeds, their methods, and the operators that judge them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from rlclaims.claims.comparison import Comparison
from rlclaims.claims.evidence import ClaimError, Evidence, current_terms, record
from rlclaims.claims.names import did_you_mean
from rlclaims.claims.numbers import is_finite, is_number
from rlclaims.claims.quantity import Derived, Quantity
from rlclaims.stats.distribution_free import ClopperPearson, Quantile
from rlclaims.stats.effect import WrongOrder
from rlclaims.stats.mean import BootstrapT, SignFlip, StudentT
from rlclaims.stats.method import Method
from rlclaims.stats.two_groups import Permutation, Welch
from rlclaims.stats.verdict import Region, Relation

if TYPE_CHECKING:
    from rlclaims.claims.sample import Sample, TwoGroupSample

MEAN_BY_T, WELCH = StudentT(), Welch()
METHODS: dict[str, Method] = {
    method.name: method for method in (MEAN_BY_T, BootstrapT(), SignFlip(), WELCH, Permutation())
}
"""Ways to judge a mean, by name; "betting", for quantities with known bounds, is another."""


class Judgeable(ABC):
    """A sample or an estimand: what can be held against a bound. It is never equal to anything, nor true or false."""

    quantity: Quantity

    @property
    @abstractmethod
    def mean(self) -> Estimand:
        """The estimand that a comparison judges."""

    def within(self, low: float, high: float) -> Evidence:
        """Judge that the estimand lies in [low, high]: equivalence, if the interval is about no difference.

        Raises:
            ClaimError: the ends are not finite numbers in ascending order.
        """
        self._finite_number(low)
        self._finite_number(high)
        if not low < high:
            raise ClaimError(f"{self.quantity}.within({low:g}, {high:g}): the first end must be below the second.")
        return self.mean.judge(Region(self._scaled(low), self._scaled(high)))

    def __lt__(self, other: Sample | float) -> Evidence:
        return self._compare("<", other)

    def __le__(self, other: Sample | float) -> Evidence:
        return self._compare("<=", other)

    def __gt__(self, other: Sample | float) -> Evidence:
        return self._compare(">", other)

    def __ge__(self, other: Sample | float) -> Evidence:
        return self._compare(">=", other)

    def __eq__(self, other: object) -> NoReturn:
        raise ClaimError("An estimate is never equal to a number; claim a bound with <, <=, >, >= or within(...).")

    def __ne__(self, other: object) -> NoReturn:
        raise ClaimError("An estimate is never equal to a number; claim a bound with <, <=, >, >= or within(...).")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> NoReturn:
        raise ClaimError(f"{self.quantity} is a sample, which is neither true nor false; compare it with something.")

    def _no_arithmetic(self, *_: object) -> NoReturn:
        raise ClaimError(
            f"{self.quantity} can be divided by another sample, and another sample or a number can be subtracted from "
            "it; there is no other arithmetic."
        )

    if not TYPE_CHECKING:  # type checkers report missing operators themselves
        __add__ = __radd__ = __mul__ = __rmul__ = __neg__ = __rsub__ = __rtruediv__ = __pow__ = _no_arithmetic

        def __sub__(self, other):
            return self._minus(other)

        def __truediv__(self, other):
            self.refuse_operation("/")

    @abstractmethod
    def refuse_operation(self, operator: str) -> None:
        """Raise a ClaimError if it cannot be combined with other samples."""

    def _minus(self, other: object) -> Judgeable:  # noqa: ARG002
        self.refuse_operation("-")
        raise NotImplementedError

    def _compare(self, relation: Relation, other: Sample | float) -> Evidence:
        if isinstance(other, Judgeable):
            return self._minus(other)._compare(relation, 0.0)
        self._finite_number(other)
        return self.mean.judge(Region.half_line(relation, self._scaled(other)))

    def _finite_number(self, x: object) -> None:
        if not is_number(x) or not is_finite(x):
            raise ClaimError(f"{self.quantity} is compared with a finite number or another sample, not {x!r}.")

    def _scaled(self, bound: float) -> float:
        if not self.mean.sample.log_scale:
            return float(bound)
        if bound <= 0:
            raise ClaimError(f"A ratio of positive quantities is compared with a positive number, not {bound:g}.")
        return math.log(bound)


@dataclass(frozen=True, eq=False)
class Estimand(Judgeable):
    """A parameter of the distribution over seeds, with the method that estimates and bounds it."""

    sample: Sample | TwoGroupSample
    method: Method

    @property
    def quantity(self) -> Quantity:  # type: ignore[override]
        """The quantity of the sample."""
        return self.sample.quantity

    @property
    def mean(self) -> Estimand:
        """Itself: it says already what is judged."""
        return self

    @property
    def estimated(self) -> Quantity:
        """The parameter: mean, median or probability over seeds of the quantity."""
        name, arguments, words = _parameter(self.method, log_scale=self.sample.log_scale)
        return Derived(name, (self.quantity,), arguments, form=f"{words} of {{0}}")

    @property
    def as_bound(self) -> float:
        """The estimate from a baseline's values as a plain number, to hold a sample against.

        Raises:
            ClaimError: the values are not a baseline's.
        """
        if self.sample.baseline is None:
            raise ClaimError(
                f"as_bound needs a baseline's sample, and {self.quantity} comes from the current runs. A bound must be "
                "fixed before the data."
            )
        (values,) = self.sample.groups
        estimate = float(self.method.estimate((np.array([values]),))[0])
        return math.exp(estimate) if self.sample.log_scale else estimate

    def judge(self, region: Region) -> Evidence:
        """Judge that the estimand lies in a region of the scale it is judged on, on the terms of the running claim.

        Raises:
            ClaimError: the values are a baseline's.
        """
        sample = self.sample
        if sample.baseline is not None:
            raise ClaimError(f"{self.quantity} is a baseline's, and current runs are judged: compare them with it.")
        comparison = Comparison(
            quantity=self.estimated,
            region=region,
            method=self.method,
            groups=sample.groups,
            seeds=sample.group_seeds,
            log_scale=sample.log_scale,
            scope=sample.scope,
            failures=sample.failures,
            correlation=sample.correlation,
            saved=sample.saved_group,
            samples=sample.plain,
            bounds=sample.bounds,
            terms=current_terms(),
        )
        record(comparison)
        return comparison

    if not TYPE_CHECKING:  # an estimand is final; samples are what methods are chosen for

        def __getattr__(self, name):
            if name in ("median", "quantile", "by", "wrong_order", "chance_above", "chance_below"):
                self.refuse_operation(name)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def refuse_operation(self, operator: str) -> None:  # noqa: ARG002
        """Raise a ClaimError: an estimand is not combined with others."""
        _, _, words = _parameter(self.method, log_scale=self.sample.log_scale)
        raise ClaimError(
            f"{self.quantity} is to be judged as {words} by {self.method.name} already: combine samples first, and say "
            "how to judge them last and once: (a - b).median, say."
        )


def _parameter(method: Method, *, log_scale: bool) -> tuple[str, tuple[float, ...], str]:
    """Return the name of what a method estimates, its arguments, and the words for it."""
    match method:
        case Quantile(q=0.5):
            return "median", (), "median over seeds"
        case Quantile(q=q):
            return "quantile", (q,), f"{q:g}-quantile over seeds"
        case ClopperPearson():
            return "probability", (), "probability over seeds"
        case WrongOrder(seeds=k):
            seeds = "1 seed" if k == 1 else f"{k} seeds"
            return "wrong_order", (k,), f"probability of the wrong order (a mean below 0) by {seeds}"
    if log_scale:
        return "geometric_mean", (), "geometric mean over seeds"
    return "mean", (), "mean over seeds"


def mean_method(name: str, quantity: Quantity, n_groups: int) -> Method:
    """Return the method of a name that judges a mean.

    Args:
        name: of the method.
        quantity: what it is to judge.
        n_groups: 1, or 2 for runs on different seeds.

    Raises:
        ClaimError: there is no such method, or it is for another number of groups.
    """
    if not isinstance(name, str) or name not in METHODS:
        names = ", ".join(map(repr, [*METHODS, "betting"]))
        raise ClaimError(
            f"There is no method {name!r} for a mean; there are {names}{did_you_mean(name, [*METHODS, 'betting'])}."
        )
    chosen = METHODS[name]
    if chosen.n_groups != n_groups:
        seeds = "runs on different seeds" if n_groups == 2 else "one number per seed"
        raise ClaimError(f"{quantity}: {name} is not for {seeds}.")
    return chosen
