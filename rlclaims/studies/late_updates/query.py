"""Effects of late updates on the return, one by one, as a claim receives them.

    ppo.late_updates.mean_change()
                     ------------- of an update

Changes are parts of the return. Numbers that are not linear in returns are taken over different groups of episodes.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np

from rlclaims.claims.quantity import Argument
from rlclaims.claims.sample import Sample
from rlclaims.results.checkpoint_series import per_seed
from rlclaims.results.measured import Measured
from rlclaims.results.runs import TrainedRuns
from rlclaims.stats import split_samples
from rlclaims.stats.method import Floats
from rlclaims.studies.landscape.query import which_return
from rlclaims.studies.replayed_run import GROUPS

LEAST_UPDATES = 3
"""Fewest updates that have a distribution of changes; runs of fewer than 9 iterations have none."""


class LateUpdates(TrainedRuns):
    """The return before and after every update of the last quarter of runs (`compute.py`)."""

    def __repr__(self) -> str:
        return f"<late updates of {self.name}: {self.scope}>"

    def mean_change(self, *, discounted: bool = False) -> Sample:
        """Return the mean change of the return by an update, as a part of the return."""
        which = which_return(discounted)
        words = f"mean change of the {'discounted ' if discounted else ''}return by a late update"
        arguments = {"discounted": discounted}
        return self._sample("mean_change", words, lambda change_UG: float(change_UG.mean()), which, arguments)

    @property
    def share_lowering(self) -> Sample:
        """The share of updates with a lower return after than before, as measured: noise pulls it towards 1/2.

        Skewed noise may pull it across.
        """
        words = "share of late updates that lower the return"
        return self._sample("share_lowering", words, split_samples.raw_share_below_zero, bounds=(0, 1))

    @property
    def share_lowering_net_of_noise(self) -> Sample:
        """The same share of true changes, if these are normal over updates."""
        words = "share of late updates that lower the return, net of noise"
        return self._sample("share_lowering_net_of_noise", words, split_samples.share_below_zero, bounds=(0, 1))

    @property
    def variance(self) -> Sample:
        """The variance over updates of the true change, net of noise, in squared parts of the return."""
        return self._sample("variance", "variance of the change by a late update", split_samples.signal_variance)

    @property
    def third_moment(self) -> Sample:
        """The third central moment of the true change, net of noise: below 0 if its left tail is longer."""
        words = "third moment of the change by a late update"
        return self._sample("third_moment", words, split_samples.third_central_moment)

    @property
    def skewness(self) -> Sample:
        """The same in units of the spread: a ratio, noisy and biased; missing if the spread is lost in noise."""
        return self._sample("skewness", "skewness of the change by a late update", split_samples.skewness)

    def _sample(
        self,
        measure: str,
        words: str,
        number: Callable[[Floats], float],
        which: str = "return",
        arguments: Mapping[str, Argument] | None = None,
        bounds: tuple[float, float] | None = None,
    ) -> Sample:
        def of_run(measured: Measured) -> float:
            before_UG, after_UG = (
                np.array(measured.series[f"{w}/{which}"]).reshape(-1, GROUPS) for w in ("before", "after")
            )
            if len(before_UG) < LEAST_UPDATES:
                return math.nan
            # Each group is a part of what the others return: it must not share its noise.
            others_G = (before_UG.mean() * GROUPS - before_UG.mean(0)) / (GROUPS - 1)
            return number((after_UG - before_UG) / np.abs(others_G))

        return per_seed(self, measure, words, of_run, arguments, bounds)
