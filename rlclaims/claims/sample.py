"""One number per seed, and the comparisons that judge it.

A `Sample` is compared with a number, or divided by or subtracted from another sample, and yields `Evidence`. Samples
on the same seeds are paired, samples on different seeds are two groups; a mixture is refused. Only `<`, `<=`, `>`, `>=`
and `within` judge; an estimate is never equal to anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from rlclaims.claims.comparison import Comparison
from rlclaims.claims.evidence import ClaimError, Evidence
from rlclaims.claims.numbers import is_finite, is_number
from rlclaims.stats.describe import correlation
from rlclaims.stats.distribution_free import Betting, ClopperPearson, Quantile
from rlclaims.stats.effect import WrongOrder
from rlclaims.stats.mean import BootstrapT, SignFlip, StudentT
from rlclaims.stats.method import Method
from rlclaims.stats.two_groups import Permutation, Welch
from rlclaims.stats.verdict import Region, Relation

if TYPE_CHECKING:
    from rlclaims.results.runs import TrainedRuns

MEAN_BY_T, WELCH = StudentT(), Welch()
METHODS: dict[str, Method] = {
    method.name: method for method in (MEAN_BY_T, BootstrapT(), SignFlip(), WELCH, Permutation())
}
"""Ways to judge a mean, by name; "betting", for quantities with known bounds, is another."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Numbers, one per seed, of a quantity that a claim is about."""

    quantity: str
    """What the numbers are, in words."""
    values: tuple[float, ...]
    """One per seed; NaN where the run failed or the number does not exist."""
    seeds: tuple[int, ...]
    scope: str
    failures: tuple[str, ...] = ()
    method: Method = MEAN_BY_T
    """What is estimated over seeds, and how: by default the mean by t."""
    log_scale: bool = False
    """Whether the values are logarithms of what is reported (ratios of positive quantities)."""
    bounds: tuple[float, float] | None = None
    """The interval that the numbers lie in by their nature, or None."""
    others: tuple[float, ...] = ()
    """Of a difference between runs on different seeds, the numbers that are subtracted."""
    other_seeds: tuple[int, ...] = ()
    correlation: float | None = None
    """Of paired numbers, that of the two sides over seeds, NaN where they do not vary; None for what is not paired."""
    saved: str | None = None
    """The baseline that the numbers were kept in, by name; None for those of runs."""
    saved_group: int | None = None
    """Of a difference from a baseline's numbers, which side these are: 0, or 1 for what is subtracted."""
    runs: TrainedRuns | None = None
    """The runs that it is a plain number of; None for what is made of such samples, and of a factorial."""
    made_of: tuple[Sample, ...] = ()
    """The plain samples of runs that it is made of; empty where it is one."""

    @property
    def plain(self) -> tuple[Sample, ...]:
        """The plain samples of runs that it is made of, itself if it is one."""
        return self.made_of or (self,)

    @property
    def as_bound(self) -> float:
        """The estimate of a baseline's numbers, their mean by default, as a plain number to hold a sample against.

        It counts as if it were known: the error of the baseline's own seeds is in no verdict then.

        Raises:
            ClaimError: the numbers are not a baseline's, or are compared already.
        """
        if self.saved is None:
            raise ClaimError(f"{self.quantity} is of no baseline: a bound is written before its runs are made.")
        estimate = float(self.method.estimate((np.array([self.values]),))[0])
        return math.exp(estimate) if self.log_scale else estimate

    @property
    def median(self) -> Sample:
        """The same numbers, judged by their median over seeds: exact, and at ease with heavy tails."""
        return self.quantile(0.5)

    def quantile(self, q: float) -> Sample:
        """The same numbers, judged by a quantile over seeds: exact.

        Raises:
            ClaimError: q does not lie between 0 and 1, or the runs are on different seeds.
        """
        if not is_number(q) or not 0 < q < 1:
            raise ClaimError(f"{self.quantity}: a quantile lies between 0 and 1, unlike {q!r}.")
        self._one_group("a quantile")
        self._not_judged_yet()
        return replace(self, method=Quantile(q))

    def by(self, method: str) -> Sample:
        """The same mean, judged by another method, each with assumptions of its own.

        Args:
            method: "t" (normal seeds), "bootstrap-t" (skewed ones), "sign flips" (symmetric ones: paired differences),
                "betting" (quantities with known bounds); between runs on different seeds "Welch's t" or "permutations".

        Raises:
            ClaimError: there is no such method, or it is not for these numbers.
        """
        self._not_judged_yet()
        if method == "betting":
            self._one_group("betting")
            if self.bounds is None:
                raise ClaimError(f"{self.quantity} has no bounds of its own, which betting needs.")
            return replace(self, method=Betting(*self.bounds))
        if not isinstance(method, str) or method not in METHODS:
            names = ", ".join(map(repr, [*METHODS, "betting"]))
            raise ClaimError(f"There is no method {method!r} for a mean; there are {names}.")
        chosen, groups = METHODS[method], 2 if self.others else 1
        if chosen.n_groups != groups:
            seeds = "runs on different seeds" if groups == 2 else "one number per seed"
            raise ClaimError(f"{self.quantity}: {method} is not for {seeds}.")
        return replace(self, method=chosen)

    def chance_above(self, bound: float) -> Sample:
        """The probability over seeds of a number above the bound, judged exactly."""
        return self._chance(bound, ">", lambda value: value > bound)

    def chance_below(self, bound: float) -> Sample:
        """The probability over seeds of a number below the bound, judged exactly."""
        return self._chance(bound, "<", lambda value: value < bound)

    def wrong_order(self, seeds: int = 3) -> Sample:
        """The probability that so many seeds have a mean below 0: of a paired difference, that they rank it wrongly.

        Args:
            seeds: how many are ranked by, in a study that somebody else might make.

        Raises:
            ClaimError: that is no whole number from 1 up, or the numbers are ratios or between runs on different seeds.
        """
        if type(seeds) is not int or seeds < 1:
            raise ClaimError(f"{self.quantity}: a wrong order is by a whole number of seeds from 1 up, not {seeds!r}.")
        self._one_group("a wrong order")
        if self.log_scale:
            raise ClaimError(f"{self.quantity} is a ratio; a wrong order is of a difference: (a - b).wrong_order().")
        self._not_judged_yet()
        return replace(self, method=WrongOrder(seeds))

    def within(self, low: float, high: float) -> Evidence:
        """Judge that the estimand lies in [low, high]: equivalence, if the interval is about no difference.

        Raises:
            ClaimError: the ends are not finite numbers in ascending order.
        """
        self._finite_number(low)
        self._finite_number(high)
        if not low < high:
            raise ClaimError(f"{self.quantity}.within({low:g}, {high:g}): the first end must be below the second.")
        return self._evidence(Region(self._scaled(low), self._scaled(high)))

    def __truediv__(self, other: Sample) -> Sample:
        """Ratio to a positive sample, judged on the log scale; paired on the same seeds.

        Its mean is a geometric mean over seeds. A seed with a negative number has no ratio.

        Raises:
            ClaimError: the other is no sample, or shares some of the seeds but not all.
        """
        other = self._comparable(other, "/")
        if self.seeds == other.seeds:
            logs = tuple(_log_ratio(a, b) for a, b in zip(self.values, other.values, strict=True))
            sides = (np.array([_log_ratio(v, 1.0) for v in side.values]) for side in (self, other))
            together = correlation(*sides)
            return replace(self._combined(other, "/", logs, log_scale=True), correlation=together)
        values, others = (tuple(_log_ratio(v, 1.0) for v in group) for group in (self.values, other.values))
        return self._unpaired(other, "/", values, others, log_scale=True)

    def __sub__(self, other: Sample | float) -> Sample:
        """Difference from a number or from another sample; paired on the same seeds.

        Raises:
            ClaimError: the other sample shares some of the seeds but not all.
        """
        if not isinstance(other, Sample) and is_number(other):
            self._finite_number(other)
            self._plain("-")
            self._not_judged_yet()
            shifted = tuple(a - float(other) for a in self.values)
            bounds = None if self.bounds is None else (self.bounds[0] - other, self.bounds[1] - other)
            quantity = f"{self.quantity} - {other:g}"
            return replace(self, quantity=quantity, values=shifted, bounds=bounds, runs=None, made_of=self.plain)
        other = self._comparable(other, "-")
        if self.seeds == other.seeds:
            differences = tuple(a - b for a, b in zip(self.values, other.values, strict=True))
            together = correlation(np.array(self.values), np.array(other.values))
            return replace(self._combined(other, "-", differences, log_scale=False), correlation=together)
        return self._unpaired(other, "-", self.values, other.values, log_scale=False)

    def __lt__(self, other: Sample | float) -> Evidence:
        return self._judge("<", other)

    def __le__(self, other: Sample | float) -> Evidence:
        return self._judge("<=", other)

    def __gt__(self, other: Sample | float) -> Evidence:
        return self._judge(">", other)

    def __ge__(self, other: Sample | float) -> Evidence:
        return self._judge(">=", other)

    def __eq__(self, other: object) -> NoReturn:
        raise ClaimError("An estimate is never equal to a number; claim a bound with <, <=, >, >= or within(...).")

    def __ne__(self, other: object) -> NoReturn:
        raise ClaimError("An estimate is never equal to a number; claim a bound with <, <=, >, >= or within(...).")

    def _no_arithmetic(self, *_: object) -> NoReturn:
        raise ClaimError(
            f"{self.quantity} can be divided by another sample, and another sample or a number can be subtracted from "
            "it; there is no other arithmetic."
        )

    if not TYPE_CHECKING:  # which says itself that there is none
        __add__ = __radd__ = __mul__ = __rmul__ = __neg__ = __rsub__ = __rtruediv__ = __pow__ = _no_arithmetic

    def __bool__(self) -> NoReturn:
        raise ClaimError(f"{self.quantity} is a sample, which is neither true nor false; compare it with something.")

    __hash__ = None  # type: ignore[assignment]

    def _judge(self, relation: Relation, other: Sample | float) -> Evidence:
        if isinstance(other, Sample):
            return (self - other)._judge(relation, 0.0)
        self._finite_number(other)
        return self._evidence(Region.of(relation, self._scaled(other)))

    def _evidence(self, region: Region) -> Evidence:
        if self.saved:
            raise ClaimError(f"{self.quantity} is a baseline's, and current runs are judged: compare them with it.")
        return Comparison(
            quantity=f"{self._estimand} of {self.quantity}",
            region=region,
            method=self.method,
            groups=(self.values, self.others) if self.others else (self.values,),
            seeds=(self.seeds, self.other_seeds) if self.others else (self.seeds,),
            log_scale=self.log_scale,
            scope=self.scope,
            failures=self.failures,
            correlation=self.correlation,
            saved=self.saved_group,
            samples=self.plain,
        )

    @property
    def _estimand(self) -> str:
        match self.method:
            case Quantile(q=0.5):
                return "median over seeds"
            case Quantile(q=q):
                return f"{q:g}-quantile over seeds"
            case ClopperPearson():
                return "probability over seeds"
            case WrongOrder(seeds=k):
                return f"probability of the wrong order (a mean below 0) by {k} {'seed' if k == 1 else 'seeds'}"
        return "geometric mean over seeds" if self.log_scale else "mean over seeds"

    def _scaled(self, bound: float) -> float:
        if self.log_scale and bound <= 0:
            raise ClaimError(f"A ratio of positive quantities is compared with a positive number, not {bound:g}.")
        return math.log(bound) if self.log_scale else float(bound)

    def _finite_number(self, x: object) -> None:
        if not is_number(x) or not is_finite(x):
            raise ClaimError(f"{self.quantity} is compared with a finite number or another sample, not {x!r}.")

    def _chance(self, bound: float, sign: str, event: Callable[[float], bool]) -> Sample:
        self._finite_number(bound)
        self._one_group("a probability")
        self._plain("a probability")
        self._not_judged_yet()
        values = tuple(math.nan if math.isnan(value) else float(event(value)) for value in self.values)
        quantity = f"{self.quantity} {sign} {bound:g}"
        return replace(
            self,
            quantity=quantity,
            values=values,
            method=ClopperPearson(),
            bounds=(0.0, 1.0),
            runs=None,
            made_of=self.plain,
        )

    def _combined(self, other: Sample, operator: str, values: tuple[float, ...], *, log_scale: bool) -> Sample:
        """One number per seed, judged as both sides are where they agree."""
        bounds = None
        if operator == "-" and self.bounds is not None and other.bounds is not None:
            bounds = self.bounds[0] - other.bounds[1], self.bounds[1] - other.bounds[0]
        return replace(
            self,
            quantity=f"({self.quantity}) {operator} ({other.quantity})",
            values=values,
            scope=_both(self.scope, other.scope),
            failures=tuple(dict.fromkeys(self.failures + other.failures)),
            log_scale=log_scale,
            bounds=bounds,
            runs=None,
            made_of=self.plain + other.plain,
        )

    def _unpaired(
        self, other: Sample, operator: str, values: tuple[float, ...], others: tuple[float, ...], *, log_scale: bool
    ) -> Sample:
        combined = self._combined(other, operator, values, log_scale=log_scale)
        side = next((i for i, sample in enumerate((self, other)) if sample.saved), None)
        return replace(
            combined,
            method=WELCH,
            bounds=None,
            others=others,
            other_seeds=other.seeds,
            saved=None,
            saved_group=side,
        )

    def _comparable(self, other: object, operator: str) -> Sample:
        if not isinstance(other, Sample):
            raise ClaimError(f"{self.quantity} {operator} {other!r}: both sides must be samples of runs.")
        for side in (self, other):
            side._plain(operator)
            side._not_judged_yet()
        if self.saved and other.saved:
            raise ClaimError(
                f"{self.quantity} and {other.quantity} are both of baselines: compare current runs with one."
            )
        if (self.saved or other.saved) and (shared := set(self.seeds) & set(other.seeds)):
            current, kept = (other, self) if self.saved else (self, other)
            raise ClaimError(
                f"{current.quantity} and the baseline {kept.saved!r} share the seed {min(shared)}: take fresh seeds, "
                "rlclaims.runs(..., block=1) or --claims-first-seed N, or hold the runs against before[...].as_bound, "
                "the kept estimate as a plain number."
            )
        if self.seeds != other.seeds and (shared := set(self.seeds) & set(other.seeds)):
            raise ClaimError(
                f"{self.quantity} and {other.quantity} share the seed {min(shared)} and not all seeds: compare runs on "
                "the same seeds, which are paired, or on entirely different ones."
            )
        return other

    def _not_judged_yet(self) -> None:
        # A difference that has no method yet is one between other seeds, by Welch's t.
        if self.method not in (MEAN_BY_T, WELCH):
            raise ClaimError(
                f"{self.quantity} is to be judged as {self._estimand} by {self.method.name} already: combine samples "
                "first, and say how to judge them last and once: (a - b).median, say."
            )

    def _one_group(self, what: str) -> None:
        if self.others:
            raise ClaimError(f"{self.quantity} is between runs on different seeds, which {what} is not for.")

    def _plain(self, operator: str) -> None:
        if self.log_scale or self.others:
            kind = "a ratio" if self.log_scale else "a difference between runs on different seeds"
            raise ClaimError(
                f"{self.quantity} is {kind} already; compare it with a number instead of using {operator}."
            )


def _both(one: str, other: str) -> str:
    return one if one == other else f"{one}; {other}"


def _log_ratio(a: float, b: float) -> float:
    """log(a / b) of numbers that are not negative, NaN where there is none."""
    if not (a >= 0 and b >= 0) or (a == 0 and b == 0):
        return math.nan
    if a == 0 or b == 0:
        return -math.inf if a == 0 else math.inf
    return math.log(a) - math.log(b)
