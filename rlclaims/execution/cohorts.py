"""Plans training: each missing run once, in cohorts of runs that can step together."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rlclaims.adapters.external import ExternalTraining
from rlclaims.agents.algorithm import Algorithm
from rlclaims.store.run_spec import RunSpec
from rlclaims.store.store import Store
from rlclaims.training import Group


@dataclass(frozen=True)
class Plan:
    """The runs that are wanted, and the ones that the store lacks."""

    wanted: tuple[RunSpec, ...]
    missing: tuple[RunSpec, ...]

    @property
    def environment_steps(self) -> int:
        """Training steps to take; steps for measuring are not counted."""
        return sum(spec.iterations * spec.algorithm.steps for spec in self.missing)


def plan(wanted: Sequence[RunSpec], store: Store, read: Collection[RunSpec] = ()) -> Plan:
    """Return the plan for runs, each once and in the order first wanted; runs in `read` are needed whole."""
    unique = tuple(dict.fromkeys(wanted))
    stored = (store.has(spec) and (spec not in read or store.is_whole(spec)) for spec in unique)
    return Plan(unique, tuple(spec for spec, is_stored in zip(unique, stored, strict=True) if not is_stored))


def cohorts(missing: Sequence[RunSpec], processes: int) -> list[tuple[RunSpec, ...]]:
    """Return missing runs, split into as many equal cohorts as there are processes.

    Runs step together if they share a task, a length and the number of steps between updates. An update costs
    nearly the same for one seed as for ten, so a cohort gets as few algorithms as possible: the runs are cut into
    consecutive parts of equal size, with the costliest algorithms at the ends. A run does not depend on the other runs
    of its cohort, so the split changes no number.
    """
    shares: list[tuple[RunSpec, ...]] = []
    for key in dict.fromkeys(map(_together, missing)):
        together = [spec for spec in missing if _together(spec) == key]
        costliest_first = sorted(dict.fromkeys(s.algorithm for s in together), key=lambda a: -a.gradient_steps)
        order = [*costliest_first[::2], *reversed(costliest_first[1::2])]
        row = sorted(together, key=lambda spec: order.index(spec.algorithm))
        cuts = [round(len(row) * k / processes) for k in range(processes + 1)]
        shares += [tuple(row[first:end]) for first, end in pairwise(cuts) if end > first]
    return shares


def _together(spec: RunSpec) -> object:
    """Return a key that runs share if one process can train them: in lockstep, or external runs one after the other."""
    alike = spec.algorithm if isinstance(spec.algorithm, ExternalTraining) else spec.algorithm.steps
    return spec.task, spec.iterations, alike


def groups(specs: Sequence[RunSpec]) -> list[Group]:
    """Return the runs of a cohort by algorithm."""
    by_algorithm: dict[Algorithm, list[int]] = {}
    for spec in specs:
        assert isinstance(spec.algorithm, Algorithm)
        by_algorithm.setdefault(spec.algorithm, []).append(spec.seed)
    return [Group(algorithm, tuple(seeds)) for algorithm, seeds in by_algorithm.items()]
