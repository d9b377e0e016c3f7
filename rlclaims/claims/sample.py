"""One number per seed, and the comparisons that judge it.

A `Sample` is compared with a number, or divided by or subtracted from another sample, and yields `Evidence`. Samples
on the same seeds are paired, samples on different seeds are two groups; a mixture is refused. Only `<`, `<=`, `>`, `>=`
and `within` judge; an estimate is never equal to anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np

from rlclaims.claims.estimand import MEAN_BY_T, WELCH, Estimand, Judgeable, mean_method
from rlclaims.claims.evidence import ClaimError
from rlclaims.claims.numbers import is_number
from rlclaims.claims.quantity import Derived, Quantity
from rlclaims.claims.scope import Scope
from rlclaims.stats.describe import correlation
from rlclaims.stats.distribution_free import Betting, ClopperPearson, Quantile
from rlclaims.stats.effect import WrongOrder

Values = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Sample(Judgeable):
    """Numbers of a quantity, one per seed."""

    quantity: Quantity
    values: Values
    """The numbers; NaN where the run failed or the number does not exist."""
    seeds: tuple[int, ...]
    scope: Scope
    failures: tuple[str, ...] = ()
    """The failed runs and why they failed."""
    log_scale: bool = False
    """True if the values are logarithms of the reported numbers (ratios of positive quantities)."""
    bounds: tuple[float, float] | None = None
    """The natural bounds of the values, infinite on a side that has none; None if they are not known."""
    baseline: str | None = None
    """Name of the baseline that the values were saved in; None for values of current runs."""
    runs: object = None
    """The runs that it was read from; None for a sample that is made of others, and for an effect in a factorial."""
    made_of: tuple[Sample, ...] = ()
    """The samples that it is made of; empty for one that was read from runs."""

    @property
    def plain(self) -> tuple[Sample, ...]:
        """The samples that were read from runs and that it is made of; itself, if it was read from runs."""
        return self.made_of or (self,)

    @property
    def groups(self) -> tuple[Values, ...]:
        """The values, as the one group that they are."""
        return (self.values,)

    @property
    def group_seeds(self) -> tuple[tuple[int, ...], ...]:
        """The seeds of the one group."""
        return (self.seeds,)

    @property
    def correlation(self) -> float | None:
        """Always None: the values are not paired."""
        return None

    @property
    def saved_group(self) -> int | None:
        """Always None: the sample is one group."""
        return None

    @property
    def mean(self) -> Estimand:
        """The mean over seeds by t, which is what a comparison judges unless told otherwise."""
        return Estimand(self, MEAN_BY_T)

    @property
    def as_bound(self) -> float:
        """The mean of a baseline's values as a plain number, to hold a sample against.

        It counts as if it were known exactly: the error of the baseline's own seeds is in no verdict then.

        Raises:
            ClaimError: the values are not a baseline's.
        """
        return self.mean.as_bound

    @property
    def median(self) -> Estimand:
        """The median over seeds: exact, and robust to heavy tails."""
        return self.quantile(0.5)

    def quantile(self, q: float) -> Estimand:
        """Return a quantile over seeds: exact.

        Raises:
            ClaimError: q does not lie between 0 and 1.
        """
        if not is_number(q) or not 0 < q < 1:
            raise ClaimError(f"{self.quantity}: a quantile lies between 0 and 1, unlike {q!r}.")
        return Estimand(self, Quantile(q))

    def by(self, method: str) -> Sample | Estimand:
        """Return the mean over seeds, judged by another method; each has assumptions of its own.

        Args:
            method: "t" (normal seeds), "bootstrap-t" (skewed ones), "sign flips" (symmetric ones: paired differences),
                "betting" (quantities with known bounds).

        Raises:
            ClaimError: there is no such method, or it is not for these numbers.
        """
        if method == "betting":
            if self.bounds is None or not all(map(math.isfinite, self.bounds)):
                raise ClaimError(f"{self.quantity} has no bounds of its own, which betting needs.")
            return Estimand(self, Betting(*self.bounds))
        chosen = mean_method(method, self.quantity, n_groups=1)
        return self if chosen == MEAN_BY_T else Estimand(self, chosen)

    def chance_above(self, bound: float) -> Estimand:
        """Return the probability over seeds of a number above the bound, judged exactly."""
        return self._chance(bound, "above", ">", lambda value: value > bound)

    def chance_below(self, bound: float) -> Estimand:
        """Return the probability over seeds of a number below the bound, judged exactly."""
        return self._chance(bound, "below", "<", lambda value: value < bound)

    def wrong_order(self, seeds: int = 3) -> Estimand:
        """Return the probability that the mean over a few seeds is below 0: that they rank a paired difference wrongly.

        Args:
            seeds: the number of seeds in a study that ranks by their mean.

        Raises:
            ClaimError: the number is not a whole number from 1 up, or the values are ratios.
        """
        if type(seeds) is not int or seeds < 1:
            raise ClaimError(f"{self.quantity}: a wrong order is by a whole number of seeds from 1 up, not {seeds!r}.")
        if self.log_scale:
            raise ClaimError(f"{self.quantity} is a ratio; a wrong order is of a difference: (a - b).wrong_order().")
        return Estimand(self, WrongOrder(seeds))

    def __truediv__(self, other: Sample) -> Sample | TwoGroupSample:
        """Return the ratio to a positive sample, judged on the log scale; paired on the same seeds.

        Its mean is a geometric mean over seeds. A seed with a negative number has no ratio.

        Raises:
            ClaimError: the other is no sample, or shares some of the seeds but not all.
        """
        other = self._comparable(other, "/")
        quantity = Derived("ratio", (self.quantity, other.quantity), form="({0}) / ({1})")
        mine, theirs = (tuple(_log_ratio(value, 1.0) for value in side.values) for side in (self, other))
        if self.seeds != other.seeds:
            return self._unpaired(other, quantity, mine, theirs, log_scale=True)
        ratios = tuple(_log_ratio(a, b) for a, b in zip(self.values, other.values, strict=True))
        together = correlation(np.array(mine), np.array(theirs))
        return self._paired(other, quantity, ratios, together, log_scale=True)

    def __sub__(self, other: Sample | float) -> Sample | TwoGroupSample:
        """Return the difference from a number or from another sample; paired on the same seeds.

        Raises:
            ClaimError: the other sample shares some of the seeds but not all.
        """
        if not isinstance(other, Judgeable) and is_number(other):
            return self._shifted(other)
        other = self._comparable(other, "-")
        quantity = Derived("difference", (self.quantity, other.quantity), form="({0}) - ({1})")
        if self.seeds != other.seeds:
            return self._unpaired(other, quantity, self.values, other.values, log_scale=False)
        differences = tuple(a - b for a, b in zip(self.values, other.values, strict=True))
        together = correlation(np.array(self.values), np.array(other.values))
        return self._paired(other, quantity, differences, together, log_scale=False)

    def refuse_operation(self, operator: str) -> None:
        """Raise a ClaimError if it is a ratio, which is only compared with a number."""
        if self.log_scale:
            raise ClaimError(
                f"{self.quantity} is a ratio already; compare it with a number instead of using {operator}."
            )

    def _minus(self, other: object) -> Judgeable:
        return self - self._comparable(other, "-")

    def _shifted(self, by: float) -> Sample:
        self._finite_number(by)
        self.refuse_operation("-")
        return replace(
            self,
            quantity=Derived("difference", (self.quantity,), (float(by),), form=f"{{0}} - {by:g}"),
            values=tuple(value - float(by) for value in self.values),
            bounds=None if self.bounds is None else (self.bounds[0] - by, self.bounds[1] - by),
            runs=None,
            made_of=self.plain,
        )

    def _chance(self, bound: float, event: str, sign: str, happened: Callable[[float], bool]) -> Estimand:
        self._finite_number(bound)
        self.refuse_operation("a probability")
        sample = replace(
            self,
            quantity=Derived(event, (self.quantity,), (float(bound),), form=f"{{0}} {sign} {bound:g}"),
            values=tuple(math.nan if math.isnan(value) else float(happened(value)) for value in self.values),
            bounds=(0.0, 1.0),
            runs=None,
            made_of=self.plain,
        )
        return Estimand(sample, ClopperPearson())

    def _paired(
        self, other: Sample, quantity: Quantity, values: Values, together: float, *, log_scale: bool
    ) -> PairedSample:
        bounds = None
        if not log_scale and self.bounds is not None and other.bounds is not None:
            bounds = self.bounds[0] - other.bounds[1], self.bounds[1] - other.bounds[0]
        return PairedSample(
            quantity=quantity,
            values=values,
            seeds=self.seeds,
            scope=self.scope | other.scope,
            failures=tuple(dict.fromkeys(self.failures + other.failures)),
            log_scale=log_scale,
            bounds=bounds,
            made_of=self.plain + other.plain,
            together=together,
        )

    def _unpaired(
        self, other: Sample, quantity: Quantity, values: Values, others: Values, *, log_scale: bool
    ) -> TwoGroupSample:
        return TwoGroupSample(
            quantity=quantity,
            groups=(values, others),
            group_seeds=(self.seeds, other.seeds),
            scope=self.scope | other.scope,
            failures=tuple(dict.fromkeys(self.failures + other.failures)),
            log_scale=log_scale,
            saved_group=next((i for i, sample in enumerate((self, other)) if sample.baseline), None),
            plain=self.plain + other.plain,
        )

    def _comparable(self, other: object, operator: str) -> Sample:
        """Return the other side of an operation, if it can be one.

        Raises:
            ClaimError: it can not, or this sample can not.
        """
        if not isinstance(other, Judgeable):
            raise ClaimError(f"{self.quantity} {operator} {other!r}: both sides must be samples of runs.")
        self.refuse_operation(operator)
        other.refuse_operation(operator)
        assert isinstance(other, Sample), "all others refuse every operation"
        if self.baseline and other.baseline:
            raise ClaimError(
                f"{self.quantity} and {other.quantity} are both of baselines: compare current runs with one."
            )
        shared = set(self.seeds) & set(other.seeds)
        if (self.baseline or other.baseline) and shared:
            current, saved = (other, self) if self.baseline else (self, other)
            raise ClaimError(
                f"{current.quantity} and the baseline {saved.baseline!r} share the seed {min(shared)}: take fresh "
                "seeds, rlclaims.runs(..., block=1) or --claims-first-seed N, or hold the runs against "
                "before[...].as_bound, the saved estimate as a plain number."
            )
        if self.seeds != other.seeds and shared:
            raise ClaimError(
                f"{self.quantity} and {other.quantity} share the seed {min(shared)} and not all seeds: compare runs on "
                "the same seeds, which are paired, or on entirely different ones."
            )
        return other


@dataclass(frozen=True, eq=False)
class PairedSample(Sample):
    """A difference or ratio of two samples on the same seeds, seed by seed."""

    together: float = math.nan
    """The correlation of the two sides over seeds, NaN if one of them does not vary."""

    @property
    def correlation(self) -> float | None:
        """The correlation of the two sides over seeds, NaN if one of them does not vary."""
        return self.together


@dataclass(frozen=True, eq=False)
class TwoGroupSample(Judgeable):
    """A difference or ratio of two samples on different seeds, judged by Welch's t unless told otherwise."""

    quantity: Quantity
    groups: tuple[Values, Values]
    """The numbers of either side, on the scale that is judged."""
    group_seeds: tuple[tuple[int, ...], tuple[int, ...]]
    scope: Scope
    failures: tuple[str, ...]
    """The failed runs and why they failed."""
    log_scale: bool
    """True if the numbers are logarithms of the reported ones."""
    saved_group: int | None
    """The side that is a baseline's, 0 or 1; None if both are current runs."""
    plain: tuple[Sample, ...]
    """The samples that were read from runs and that it is made of."""

    @property
    def runs(self) -> None:
        """Always None: it is of more than one fixture's runs."""
        return

    @property
    def baseline(self) -> None:
        """Always None: a comparison with a baseline is about current runs."""
        return

    @property
    def correlation(self) -> None:
        """Always None: the groups are not paired."""
        return

    @property
    def bounds(self) -> None:
        """Always None: the natural bounds of a difference of groups are not kept."""
        return

    @property
    def mean(self) -> Estimand:
        """The difference of means over seeds, by Welch's t."""
        return Estimand(self, WELCH)

    def by(self, method: str) -> TwoGroupSample | Estimand:
        """Return the difference of means, judged by another method.

        Args:
            method: "Welch's t" or "permutations".

        Raises:
            ClaimError: there is no such method, or it is for one group.
        """
        if method == "betting":
            self._refuse("betting")
        chosen = mean_method(method, self.quantity, n_groups=2)
        return self if chosen == WELCH else Estimand(self, chosen)

    @property
    def as_bound(self) -> float:
        """Nothing: only a baseline's own values are a bound."""
        return self.mean.as_bound

    @property
    def median(self) -> Estimand:
        """Nothing: a quantile is of one group."""
        self._refuse("a quantile")

    def quantile(self, q: float) -> Estimand:  # noqa: ARG002
        """Refuse: a quantile is of one group."""
        self._refuse("a quantile")

    def wrong_order(self, seeds: int = 3) -> Estimand:  # noqa: ARG002
        """Refuse: a wrong order is of paired differences."""
        self._refuse("a wrong order")

    def chance_above(self, bound: float) -> Estimand:  # noqa: ARG002
        """Refuse: a probability over seeds is of one group."""
        self._refuse("a probability")

    def chance_below(self, bound: float) -> Estimand:  # noqa: ARG002
        """Refuse: a probability over seeds is of one group."""
        self._refuse("a probability")

    def _refuse(self, what: str) -> NoReturn:
        raise ClaimError(f"{self.quantity} is between runs on different seeds, which {what} is not for.")

    def refuse_operation(self, operator: str) -> None:
        """Raise a ClaimError: two groups are only compared with a number."""
        kind = "a ratio" if self.log_scale else "a difference between runs on different seeds"
        raise ClaimError(f"{self.quantity} is {kind} already; compare it with a number instead of using {operator}.")


def _log_ratio(a: float, b: float) -> float:
    """Return log(a / b) of numbers that are not negative, NaN if it does not exist."""
    if not (a >= 0 and b >= 0) or (a == 0 and b == 0):
        return math.nan
    if a == 0 or b == 0:
        return -math.inf if a == 0 else math.inf
    return math.log(a) - math.log(b)
