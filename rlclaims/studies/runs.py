"""The runs that a claim receives: their measures, and as attributes the studies of them.

ppo.kl_old_new.mean.held_out.last(0.25)
ppo.landscape.change(1.0).last(2)
ppo.gradients(pairs=2**14).cosine(2048).at(0)
"""

from collections.abc import Callable, Sequence

from rlclaims.adapters.external import ExternalTraining
from rlclaims.agents.algorithm import Algorithm
from rlclaims.claims.evidence import ClaimError
from rlclaims.results.measured import Measured
from rlclaims.results.runs import MeasuredRuns, TrainedRuns
from rlclaims.studies.attributes import StudyAttribute, StudyMethod
from rlclaims.studies.final_returns.query import FinalReturns
from rlclaims.studies.gradients import query as gradients
from rlclaims.studies.gradients.query import Gradients
from rlclaims.studies.landscape.query import Landscapes
from rlclaims.studies.large_updates import query as large_updates
from rlclaims.studies.large_updates.query import LargeUpdates
from rlclaims.studies.late_updates.query import LateUpdates
from rlclaims.studies.registry import Study
from rlclaims.studies.twin_updates.query import TwinUpdates
from rlclaims.studies.values.query import Values


class Runs(MeasuredRuns):
    """Finished runs of one algorithm and task over seeds."""

    landscape = StudyAttribute(Study("landscapes"), Landscapes)
    twins = StudyAttribute(Study("twins"), TwinUpdates)
    values = StudyAttribute(Study("values"), Values)
    final_returns = StudyAttribute(Study("final_returns"), FinalReturns)
    late_updates = StudyAttribute(Study("late_updates"), LateUpdates)
    large_updates = StudyMethod(large_updates.study, LargeUpdates)
    gradients = StudyMethod(gradients.study, Gradients)

    def __init__(
        self,
        algorithm: Algorithm | ExternalTraining,
        task: str,
        iterations: int,
        seeds: tuple[int, ...],
        measured: Sequence[Measured] | Callable[[], Sequence[Measured]],
        read_study: Callable[[Study], Sequence[Measured]] | None = None,
    ) -> None:
        super().__init__(algorithm, task, iterations, seeds, measured)
        self._read_study = read_study
        self._studies: dict[Study, TrainedRuns] = {}

    def __repr__(self) -> str:
        return f"<runs of {self.name}: {self.scope}>"

    def study_results(self, study: Study) -> TrainedRuns:
        """Return what a study computed from the runs, as a claim receives it.

        Raises:
            ClaimError: these runs come without studies.
        """
        if study not in self._studies:
            if self._read_study is None:
                raise ClaimError(f"{self!r} has no {study.words}: only runs of a fixture have studies.")
            query = study.definition.query
            if query is None:
                raise ClaimError(f"{study.words.capitalize()} are for pictures: a claim cannot ask for them.")
            self._studies[study] = query()(
                self.settings, self.task, self.iterations, self.seeds, self._read_study(study), study
            )
        return self._studies[study]

    @property
    def studied(self) -> tuple[TrainedRuns, ...]:
        """Results of the studies that were asked for so far."""
        return tuple(self._studies.values())
