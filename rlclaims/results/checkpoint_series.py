"""Numbers at the iterations whose updates are kept of a run (`rlclaims.checkpoints`): one row of them per seed.

ppo.gradients().cosine(2048).last(2)
---------------------------- at each kept iteration
------- over which of them
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from rlclaims.checkpoints import CHECKPOINTS_AT, checkpoint_iterations
from rlclaims.claims.evidence import ClaimError
from rlclaims.claims.names import UnknownNameError, did_you_mean
from rlclaims.claims.quantity import Argument, Window
from rlclaims.claims.sample import Sample
from rlclaims.results.runs import TrainedRuns
from rlclaims.results.seed_rows import SeedRows
from rlclaims.training import HELD_OUT_EVERY

if TYPE_CHECKING:
    from rlclaims.results.measured import Measured


@dataclass(frozen=True)
class CheckpointSeries(SeedRows):
    """A number, or a change of one, at each of the kept iterations: one row per seed."""

    def overall(self) -> Sample:
        """Return the mean over the kept iterations; of factors the geometric mean."""
        window = Window("overall", (), "mean over the kept iterations")
        return self._sample(window, lambda row: sum(row) / len(row))

    def at(self, k: int) -> Sample:
        """Return the value at the k-th of the kept iterations, from 0; in runs of up to 30 iterations at the last.

        Raises:
            ClaimError: no run keeps that many.
        """
        most = len(CHECKPOINTS_AT)
        if type(k) is not int or not 0 <= k < most:
            raise ClaimError(f"at({k!r}): there are {most} kept iterations, from at(0) to at({most - 1}).")
        return self._sample(Window("at", (k,), f"at the kept iteration {k}"), lambda row: row[min(k, len(row) - 1)])

    def last(self, n: int) -> Sample:
        """Return the mean over the last n of the kept iterations; over all in runs that have fewer.

        Raises:
            ClaimError: n is not a whole number from 1 up.
        """
        if type(n) is not int or n < 1:
            raise ClaimError(f"last({n!r}): a whole number of kept iterations, from 1 up.")
        window = Window("last", (n,), f"mean over the last {n} kept iterations")
        return self._sample(window, lambda row: sum(row[-n:]) / len(row[-n:]))

    def _no_comparison(self, _: object) -> NoReturn:
        raise ClaimError(
            f"{self.quantity}, is one number per iteration; say first which is meant: .at(0), .last(2) or .overall()."
        )

    if not TYPE_CHECKING:  # type checkers report missing operators themselves
        __lt__ = __le__ = __gt__ = __ge__ = __sub__ = __truediv__ = _no_comparison

        def __getattr__(self, name: str) -> NoReturn:
            if name in ("within", "median", "quantile", "by", "chance_above", "chance_below", "wrong_order"):
                self._no_comparison(None)
            if name.startswith("_"):
                raise AttributeError(name)
            windows = ("at", "last", "overall")
            raise UnknownNameError(
                f"Numbers at the kept iterations have no .{name}{did_you_mean(name, windows)}; they have "
                ".at(0), .last(2) and .overall()."
            )


class Checkpoint:
    """One run's numbers at a kept iteration."""

    def __init__(self, measured: "Measured", k: int) -> None:
        self.measured = measured
        self.k = k

    def __call__(self, name: str) -> float:
        """Return the first number of a series."""
        return self.measured.series[f"{self.k}/{name}"][0]


class CheckpointStudy(TrainedRuns):
    """Results of a study that has numbers at each kept iteration."""

    @property
    def kept(self) -> range:
        """Places of the kept iterations."""
        return range(len(checkpoint_iterations(self.iterations, HELD_OUT_EVERY)))

    def _checkpoint_series(
        self,
        measure: str,
        words: str,
        number: Callable[[Checkpoint], float],
        arguments: Mapping[str, Argument] | None = None,
        bounds: tuple[float, float] | None = None,
    ) -> CheckpointSeries:
        return CheckpointSeries(
            quantity=self.quantity(measure, words, arguments),
            rows=tuple(() if m.failure else tuple(number(Checkpoint(m, k)) for k in self.kept) for m in self._measured),
            seeds=self.seeds,
            scope=self.scope,
            failures=self.failures,
            bounds=bounds,
            runs=self,
        )

    def _per_seed(
        self,
        measure: str,
        words: str,
        number: "Callable[[Measured], float]",
        arguments: Mapping[str, Argument] | None = None,
        bounds: tuple[float, float] | None = None,
    ) -> Sample:
        return per_seed(self, measure, words, number, arguments, bounds)


def per_seed(
    runs: TrainedRuns,
    measure: str,
    words: str,
    number: "Callable[[Measured], float]",
    arguments: Mapping[str, Argument] | None = None,
    bounds: tuple[float, float] | None = None,
) -> Sample:
    """Return one number per seed, NaN for a seed whose run failed.

    Args:
        runs: the results that it is a number of.
        measure: its name among those of the study.
        words: the same for people.
        number: computes it from one run's numbers.
        arguments: what it was asked for with, by name.
        bounds: natural bounds of the values, or None.
    """
    return Sample(
        quantity=runs.quantity(measure, words, arguments),
        values=tuple(math.nan if m.failure else number(m) for m in runs._measured),
        seeds=runs.seeds,
        scope=runs.scope,
        failures=runs.failures,
        bounds=bounds,
        runs=runs,
    )
