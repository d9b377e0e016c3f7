"""From runs wanted to cohorts to train: each missing run once, everything that can step together together."""

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
    """The runs that are wanted, and those of them that the store lacks."""

    wanted: tuple[RunSpec, ...]
    missing: tuple[RunSpec, ...]

    @property
    def environment_steps(self) -> int:
        """Training steps to take, without those for measuring."""
        return sum(spec.iterations * spec.algorithm.steps for spec in self.missing)


def plan(wanted: Sequence[RunSpec], store: Store, read: Collection[RunSpec] = ()) -> Plan:
    """Each run once, in the order first wanted; of those in `read` more than their measurements is needed."""
    unique = tuple(dict.fromkeys(wanted))
    here = (store.has(spec) and (spec not in read or store.is_whole(spec)) for spec in unique)
    return Plan(unique, tuple(spec for spec, is_here in zip(unique, here, strict=True) if not is_here))


def cohorts(missing: Sequence[RunSpec], processes: int) -> list[tuple[RunSpec, ...]]:
    """Missing runs, split into as many equal cohorts as there are processes.

    Runs step together if they share a task, a length and the number of steps between updates. An update costs much the
    same for one seed as for ten, so a cohort gets as few algorithms as can be: the runs are cut into consecutive parts,
    the costliest algorithms outermost, where the parts balance. Runs do not depend on their company, so how they are
    split changes no number.
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
    """What runs have in common that one process trains: in lockstep, or of a foreign algorithm one after the other."""
    alike = spec.algorithm if isinstance(spec.algorithm, ExternalTraining) else spec.algorithm.steps
    return spec.task, spec.iterations, alike


def groups(specs: Sequence[RunSpec]) -> list[Group]:
    """The runs of a cohort by algorithm."""
    by_algorithm: dict[Algorithm, list[int]] = {}
    for spec in specs:
        assert isinstance(spec.algorithm, Algorithm)
        by_algorithm.setdefault(spec.algorithm, []).append(spec.seed)
    return [Group(algorithm, tuple(seeds)) for algorithm, seeds in by_algorithm.items()]
