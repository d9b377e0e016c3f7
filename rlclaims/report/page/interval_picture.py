"""The layout of an interval against its region, with its seeds, for the page to draw."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator

from rlclaims.report.record import Json, interval_text

WIDTH, MARGIN = 640.0, 24.0
"""Width of a picture and of the space at its sides, in its own units."""
TICKS = 6
"""Most ticks on the axis, roughly."""


@dataclass(frozen=True)
class Tick:
    """A number on the axis."""

    x: float
    label: str


@dataclass(frozen=True)
class Seed:
    """One seed's number."""

    x: float
    y: float
    """Height from 0 to 1, so that close seeds do not hide each other."""
    label: str
    later: bool
    """True for a seed after the look that decided, which is not in the estimate and the interval."""


@dataclass(frozen=True)
class Picture:
    """The drawing of one comparison, along an axis from 0 to `WIDTH`."""

    region: tuple[float, float]
    """The region that the claim states."""
    ends: tuple[float, ...]
    """Its finite ends."""
    interval: tuple[float, float] | None
    open_ends: tuple[bool, bool]
    """True for each side of the interval that has no bound."""
    estimate: float | None
    seeds: tuple[Seed, ...]
    ticks: tuple[Tick, ...]
    words: str
    """The same in words, for screen readers."""


def picture(evidence: Json) -> Picture | None:
    """Return the picture of one comparison of a record, or None if it has no finite number.

    Args:
        evidence: as `claims.json` has it, without parts.
    """
    log = bool(evidence["log_scale"])
    seeds = _seeds(evidence)
    lower, upper = evidence["region_ends"]
    ends = [evidence["interval90"][end] for end in ("lower", "upper")]
    inner = [*ends, evidence["estimate"]]
    numbers = [x for x in (*inner, lower, upper, *(s[0] for s in seeds)) if x is not None and (x > 0 or not log)]
    if not numbers:
        return None
    scale = _Scale.around(numbers, log=log)
    interval = None
    if evidence["estimate"] is not None:
        interval = scale(_or(ends[0], -math.inf)), scale(_or(ends[1], math.inf))
    return Picture(
        region=(scale(_or(lower, -math.inf)), scale(_or(upper, math.inf))),
        ends=tuple(scale(end) for end in (lower, upper) if end is not None and (end > 0 or not log)),
        interval=interval,
        open_ends=(ends[0] is None, ends[1] is None),
        estimate=None if evidence["estimate"] is None else scale(evidence["estimate"]),
        seeds=tuple(
            Seed(scale(value), (0.5 + i * 0.618) % 1, label, later)
            for i, (value, label, later) in enumerate(seeds)
            if value > 0 or not log
        ),
        ticks=tuple(map(Tick, map(scale, scale.ticks), _labels(scale.ticks))),
        words=_words(evidence),
    )


@dataclass(frozen=True)
class _Scale:
    """A map from numbers to places."""

    low: float
    high: float
    log: bool

    @classmethod
    def around(cls, numbers: Sequence[float], *, log: bool) -> "_Scale":
        low, high = (math.log(x) if log else x for x in (min(numbers), max(numbers)))
        room = 0.08 * (high - low) or abs(high) * 0.1 or 1.0
        return cls(low - room, high + room, log)

    def __call__(self, x: float) -> float:
        """Return a place, at the edge for a number beyond it."""
        at = (math.log(x) if x > 0 else -math.inf) if self.log and x != math.inf else x
        part = (at - self.low) / (self.high - self.low) if math.isfinite(at) else math.copysign(2.0, at)
        return float(round(min(max(MARGIN + part * (WIDTH - 2 * MARGIN), 0.0), WIDTH), 1))

    @property
    def ticks(self) -> list[float]:
        """Round numbers between the ends."""
        low, high = (math.exp(self.low), math.exp(self.high)) if self.log else (self.low, self.high)
        places = MaxNLocator(TICKS).tick_values(low, high)
        if self.log and high > 5 * low:
            subs = (1.0,) if high > 1000 * low else (1.0, 2.0, 5.0)
            places = LogLocator(subs=subs, numticks=TICKS).tick_values(low, high)
        return [float(x) for x in np.asarray(places) if low <= x <= high]


def _labels(ticks: Sequence[float]) -> list[str]:
    """Return numbers with as few digits as keep them different."""
    for digits in range(4, 17):
        labels = [f"{x:.{digits}g}" for x in ticks]
        if len(set(labels)) == len(labels):
            break
    return labels


def _seeds(evidence: Json) -> list[tuple[float, str, bool]]:
    """Return of each seed its number, a label and whether it came later; empty if there are two groups."""
    if len(evidence["values"]) != 1:
        return []  # a difference or a ratio of groups, which no seed has a number of
    (values,), (seeds,) = evidence["values"], evidence["seeds"]
    return [
        (value, f"seed {seed}: {value:.4g}{', after the verdict' if i >= evidence['n'] else ''}", i >= evidence["n"])
        for i, (value, seed) in enumerate(zip(values, seeds, strict=False))
        if value is not None
    ]


def _words(evidence: Json) -> str:
    if evidence["estimate"] is None:
        return f"{evidence['n']} seeds; no interval; the claim says {evidence['region']}"
    bounds = interval_text(evidence, "{} to {}")
    return (
        f"Estimate {evidence['estimate']:.4g}, 90% interval {bounds}; the claim says {evidence['region']}; "
        f"{evidence['n']} seeds"
    )


def _or(x: float | None, otherwise: float) -> float:
    return otherwise if x is None else x
