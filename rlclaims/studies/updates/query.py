"""What updates of runs do to the return, as a claim receives it: late updates one by one, and one on many more pairs.

ppo_late_updates.mean_change()
---------------- of an update

Changes are told as parts of the return. What is not linear in returns is taken over different groups of episodes.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from rlclaims.claims.sample import Sample
from rlclaims.results.runs import TrainedRuns
from rlclaims.stats import split_samples
from rlclaims.stats.method import Floats
from rlclaims.studies.landscape.query import which_return
from rlclaims.studies.replayed_run import GROUPS

if TYPE_CHECKING:
    from rlclaims.results.measured import Measured

LEAST_UPDATES = 3
"""That a distribution of changes is told of; runs of fewer than 9 iterations have none."""


class LateUpdates(TrainedRuns):
    """The return before and after every update of the last quarter of runs (`rlclaims.studies.kinds`)."""

    def __repr__(self) -> str:
        return f"<late updates of {self.name}: {self.scope}>"

    def mean_change(self, *, discounted: bool = False) -> Sample:
        """Mean change of the return by an update, as a part of the return."""
        which = which_return(discounted)
        words = f"mean change of the {'discounted ' if discounted else ''}return by a late update"
        return self._sample(words, lambda change_UG: float(change_UG.mean()), which)

    @property
    def share_lowering(self) -> Sample:
        """Share of the updates whose return is lower after than before, as measured: noise pulls it towards 1/2.

        Skewed noise may pull it across.
        """
        return self._sample(
            "share of late updates that lower the return", split_samples.raw_share_below_zero, bounds=(0, 1)
        )

    @property
    def share_lowering_net_of_noise(self) -> Sample:
        """The same of true changes, if these are normal over updates."""
        return self._sample(
            "share of late updates that lower the return, net of noise", split_samples.share_below_zero, bounds=(0, 1)
        )

    @property
    def variance(self) -> Sample:
        """Variance over updates of the true change, net of noise, in squared parts of the return."""
        return self._sample("variance of the change by a late update", split_samples.spread)

    @property
    def third_moment(self) -> Sample:
        """Third central moment over updates of the true change, net of noise: below 0 where its left tail is longer."""
        return self._sample("third moment of the change by a late update", split_samples.third_central_moment)

    @property
    def skewness(self) -> Sample:
        """The same in units of the spread: a ratio, noisy and not unbiased; none where the spread is lost in noise."""
        return self._sample("skewness of the change by a late update", split_samples.skewness)

    def _sample(
        self,
        words: str,
        number: Callable[[Floats], float],
        which: str = "return",
        bounds: tuple[float, float] | None = None,
    ) -> Sample:
        def of(measured: "Measured") -> float:
            before_UG, after_UG = (
                np.array(measured.series[f"{w}/{which}"]).reshape(-1, GROUPS) for w in ("before", "after")
            )
            if len(before_UG) < LEAST_UPDATES:
                return math.nan
            # Each group is a part of what the others return: it must not share its noise.
            others_G = (before_UG.mean() * GROUPS - before_UG.mean(0)) / (GROUPS - 1)
            return number((after_UG - before_UG) / np.abs(others_G))

        values = tuple(math.nan if m.failure else of(m) for m in self._measured)
        quantity = f"{self.name}'s {words}"
        return Sample(quantity, values, self.seeds, self.scope, self.failures, bounds=bounds, runs=self)


class LargeUpdates(TrainedRuns):
    """The last kept update of runs, made on many more fresh pairs (`rlclaims.studies.kinds`)."""

    def __repr__(self) -> str:
        return f"<large updates of {self.name}: {self.scope}>"

    @property
    def change(self) -> Sample:
        """By what part of the return at theta the large update changes it."""
        return self._sample("change of the return by the large update", lambda return_PG: return_PG[2] - return_PG[0])

    @property
    def usual_change(self) -> Sample:
        """By what part the update that the run made, on its own batch, does."""
        return self._sample("change of the return by the usual update", lambda return_PG: return_PG[1] - return_PG[0])

    @property
    def improvement(self) -> Sample:
        """What the large update gains over the usual one, as a part of the return at theta."""
        return self._sample("gain of the large update over the usual", lambda return_PG: return_PG[2] - return_PG[1])

    def _sample(self, words: str, change: Callable[[Floats], Floats]) -> Sample:
        def of(measured: "Measured") -> float:
            return_PG = np.array(measured.series["return"]).reshape(3, -1)
            return float(change(return_PG).mean() / abs(measured.series["own/return"][0]))

        values = tuple(math.nan if m.failure else of(m) for m in self._measured)
        return Sample(f"{self.name}'s {words}", values, self.seeds, self.scope, self.failures, runs=self)
