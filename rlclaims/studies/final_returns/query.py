"""What the trained policies of runs return, as a claim receives it: one number per seed, of fresh episodes."""

import math
import statistics

from rlclaims.claims.sample import Sample
from rlclaims.results.runs import TrainedRuns


class FinalReturns(TrainedRuns):
    """Returns of the policies after the last update (`rlclaims.studies.final_returns.compute`)."""

    def __repr__(self) -> str:
        return f"<final returns of {self.name}: {self.scope}>"

    @property
    def mean(self) -> Sample:
        """Mean return of a whole fresh episode."""
        values = tuple(math.nan if m.failure else statistics.fmean(m.series["return"]) for m in self._measured)
        return Sample(f"{self.name}'s final return", values, self.seeds, self.scope, self.failures, runs=self)
