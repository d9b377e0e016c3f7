"""Numbers at several iterations, one row of them per seed: what series over training and at kept iterations share."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlclaims.claims.quantity import Quantity, Window
from rlclaims.claims.sample import Sample
from rlclaims.claims.scope import Scope

if TYPE_CHECKING:
    from rlclaims.results.runs import TrainedRuns

Row = tuple[float, ...]


@dataclass(frozen=True)
class SeedRows:
    """One row of numbers per seed, of which a window becomes one number per seed."""

    quantity: Quantity
    rows: tuple[Row, ...]
    """Per seed, the value at each measured iteration; empty for a seed whose run failed."""
    seeds: tuple[int, ...]
    scope: Scope
    failures: tuple[str, ...]
    """The failed runs, and why they failed."""
    log_scale: bool = False
    """True if the values are logarithms of the reported numbers."""
    bounds: tuple[float, float] | None = None
    """Natural bounds of the values, infinite on a side that has none; None if they are not known."""
    runs: "TrainedRuns | None" = None
    """The runs, or the results of a study of them, that it is measured on."""

    def _sample(self, window: Window, summary: Callable[[Row], float]) -> Sample:
        return Sample(
            quantity=self.quantity.over(window),
            values=tuple(summary(row) if row else math.nan for row in self.rows),
            seeds=self.seeds,
            scope=self.scope,
            failures=self.failures,
            log_scale=self.log_scale,
            bounds=self.bounds,
            runs=self.runs,
        )
