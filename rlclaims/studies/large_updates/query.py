"""Effects of an update on many more pairs on the return, as a claim receives them.

    ppo.large_updates(pairs=2**16).improvement

Changes are parts of the return at theta.
"""

from collections.abc import Callable

import numpy as np

from rlclaims.claims.sample import Sample
from rlclaims.results.checkpoint_series import per_seed
from rlclaims.results.measured import Measured
from rlclaims.results.runs import TrainedRuns
from rlclaims.stats.method import Floats
from rlclaims.studies.attributes import whole_number
from rlclaims.studies.registry import Study


def study(*, pairs: int) -> Study:
    """Return the last kept update of each run, made on many more fresh pairs.

    Args:
        pairs: size of the batch, at least what the algorithm learns from itself; its last episode is whole.

    Raises:
        ClaimError: `pairs` is not a whole number.
    """
    return Study("large_updates", whole_number("large_updates", pairs))


class LargeUpdates(TrainedRuns):
    """The last kept update of runs, made on many more fresh pairs (`compute.py`)."""

    def __repr__(self) -> str:
        return f"<large updates of {self.name}: {self.scope}>"

    @property
    def change(self) -> Sample:
        """The change of the return by the large update, as a part of the return at theta."""
        words = "change of the return by the large update"
        return self._sample("change", words, lambda return_PG: return_PG[2] - return_PG[0])

    @property
    def usual_change(self) -> Sample:
        """The change by the update that the run made, on its own batch."""
        words = "change of the return by the usual update"
        return self._sample("usual_change", words, lambda return_PG: return_PG[1] - return_PG[0])

    @property
    def improvement(self) -> Sample:
        """The gain of the large update over the usual one, as a part of the return at theta."""
        words = "gain of the large update over the usual"
        return self._sample("improvement", words, lambda return_PG: return_PG[2] - return_PG[1])

    def _sample(self, measure: str, words: str, change: Callable[[Floats], Floats]) -> Sample:
        def of_run(measured: Measured) -> float:
            return_PG = np.array(measured.series["return"]).reshape(3, -1)
            return float(change(return_PG).mean() / abs(measured.series["own/return"][0]))

        return per_seed(self, measure, words, of_run)
