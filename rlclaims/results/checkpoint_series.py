"""Numbers at the iterations whose updates are kept of a run (`rlclaims.checkpoints`): one row of them per seed.

ppo_gradients.cosine(2048).last(2)
------------------------- of each kept iteration
                          ------- over which of them
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from rlclaims.checkpoints import checkpoint_iterations
from rlclaims.claims.evidence import ClaimError
from rlclaims.claims.sample import Sample
from rlclaims.results.runs import TrainedRuns
from rlclaims.training import HELD_OUT_EVERY

if TYPE_CHECKING:
    from rlclaims.results.measured import Measured

Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class CheckpointSeries:
    """A number, or what something changes, at each of the kept iterations: one row of them per seed."""

    quantity: str
    rows: Rows
    """Logarithms of a factor, or differences; empty for a seed whose run failed."""
    seeds: tuple[int, ...]
    scope: str
    failures: tuple[str, ...]
    log_scale: bool
    bounds: tuple[float, float] | None = None
    runs: TrainedRuns | None = None
    """The runs that it is a number of."""

    def overall(self) -> Sample:
        """Over the kept iterations, each with the same weight: the mean, and of factors the geometric mean."""
        return self._sample("mean over the kept iterations", lambda row: sum(row) / len(row))

    def at(self, k: int) -> Sample:
        """At the k-th of the kept iterations, from 0; in runs of up to 30 iterations, which have fewer, at the last.

        Raises:
            ClaimError: there is none in runs of any length.
        """
        from rlclaims.checkpoints import CHECKPOINTS_AT

        most = len(CHECKPOINTS_AT)
        if type(k) is not int or not 0 <= k < most:
            raise ClaimError(f"at({k!r}): there are {most} kept iterations, from at(0) to at({most - 1}).")
        return self._sample(f"at the kept iteration {k}", lambda row: row[min(k, len(row) - 1)])

    def last(self, n: int) -> Sample:
        """Over the last n of the kept iterations, each with the same weight; over all in runs that have fewer.

        Raises:
            ClaimError: it is no whole number from 1 up.
        """
        if type(n) is not int or n < 1:
            raise ClaimError(f"last({n!r}): a whole number of kept iterations, from 1 up.")
        return self._sample(f"mean over the last {n} kept iterations", lambda row: sum(row[-n:]) / len(row[-n:]))

    def _no_comparison(self, _: object) -> NoReturn:
        raise ClaimError(
            f"{self.quantity}, is one number per iteration; say first which is meant: .at(0), .last(2) or .overall()."
        )

    if not TYPE_CHECKING:  # which says itself that there is none
        __lt__ = __le__ = __gt__ = __ge__ = __sub__ = __truediv__ = _no_comparison

        def __getattr__(self, name: str) -> NoReturn:
            if name in ("within", "median", "quantile", "by", "chance_above", "chance_below", "wrong_order"):
                self._no_comparison(None)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _sample(self, when: str, summary: Callable[[tuple[float, ...]], float]) -> Sample:
        values = tuple(summary(row) if row else math.nan for row in self.rows)
        words = f"{self.quantity}, {when}"
        return Sample(
            words,
            values,
            self.seeds,
            self.scope,
            self.failures,
            log_scale=self.log_scale,
            bounds=self.bounds,
            runs=self.runs,
        )


class At:
    """One run's numbers at a kept iteration, by name."""

    def __init__(self, measured: "Measured", k: int) -> None:
        self._series, self._k = measured.series, k

    def __call__(self, name: str) -> float:
        """The number of a name."""
        return self._series[f"{self._k}/{name}"][0]


class Kept(TrainedRuns):
    """Finished runs, of which a study keeps a number of each name at each kept iteration."""

    def _contrast(
        self, words: str, number: Callable[[At], float], bounds: tuple[float, float] | None = None
    ) -> CheckpointSeries:
        kept = range(len(checkpoint_iterations(self.iterations, HELD_OUT_EVERY)))
        rows = tuple(() if m.failure else tuple(number(At(m, k)) for k in kept) for m in self._measured)
        return CheckpointSeries(
            f"{self.name}'s {words}", rows, self.seeds, self.scope, self.failures, False, bounds, self
        )
