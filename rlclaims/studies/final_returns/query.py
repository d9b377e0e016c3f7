"""Returns of the trained policies of runs, as a claim receives them: one number per seed, over fresh episodes."""

import statistics

from rlclaims.claims.sample import Sample
from rlclaims.results.checkpoint_series import per_seed
from rlclaims.results.runs import TrainedRuns


class FinalReturns(TrainedRuns):
    """Returns of the policies after the last update (`compute.py`)."""

    def __repr__(self) -> str:
        return f"<final returns of {self.name}: {self.scope}>"

    @property
    def mean(self) -> Sample:
        """The mean return of a whole fresh episode."""
        return per_seed(self, "mean", "final return", lambda m: statistics.fmean(m.series["return"]))
