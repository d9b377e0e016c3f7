"""From a fixture's request to the runs that are trained for it: once, when its claims have been collected.

    RunsRequest + task + Profile -> ResolvedRuns -> run specs of any number of seeds -> results, once these are finished

Everything after takes `ResolvedRuns`; only this module expands and validates a request.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rlclaims.adapters.external import ExternalTraining
from rlclaims.agents.algorithm import Algorithm
from rlclaims.planning.combinations import combinations_trained, settings_by_combination
from rlclaims.planning.profile import MOST_ITERATIONS, MOST_SEEDS, Profile
from rlclaims.planning.request import RunsRequest
from rlclaims.results.factorial import Factorial, Tuned
from rlclaims.results.measured import Measured
from rlclaims.stats.factorial import Combination
from rlclaims.store.run_spec import RunSpec, SpecError, checked
from rlclaims.studies.registry import Study
from rlclaims.studies.runs import Runs
from rlclaims.text import describe

FEW_STEPS = 4096
"""Most environment steps between two updates in a smoke profile."""

ReadRuns = Callable[[Sequence[RunSpec]], Sequence[Measured]]
"""Return the measurements of finished runs, in their order."""
ReadStudy = Callable[[Sequence[RunSpec], Study], Sequence[Measured]]
"""Return what a study computed from finished runs, in their order."""

Results = Runs | Factorial
"""Results as a claim receives them."""


@dataclass(frozen=True)
class ResolvedRuns:
    """The runs that a fixture stands for on one task, over any number of seeds."""

    algorithms: tuple[Algorithm | ExternalTraining, ...]
    """Trained on each seed: one; for a factorial one a combination and tuned value, combination by combination."""
    task: str
    iterations: int
    """Updates per run."""
    first_seed: int
    """First seed of its block."""
    combinations: tuple[Combination, ...] | None = None
    """Combinations of a factorial that are trained; None for plain runs."""
    tuned: str | None = None
    """The setting that each combination is tuned by, or None."""
    smoke: bool = False
    """True in a smoke test, where studies are made small too."""

    @property
    def steps(self) -> int:
        """Environment steps in each run."""
        return self.iterations * self.algorithms[0].steps

    def seeds(self, n: int) -> tuple[int, ...]:
        """Return the first n seeds of the block."""
        return tuple(range(self.first_seed, self.first_seed + n))

    def run_specs(self, n: int) -> tuple[RunSpec, ...]:
        """Return the runs of the first n seeds, algorithm by algorithm."""
        return tuple(
            RunSpec(algorithm, self.task, self.iterations, seed)
            for algorithm in self.algorithms
            for seed in self.seeds(n)
        )

    def study(self, asked: Study) -> Study:
        """Return the study that is made for one that a claim asks for; in a smoke test a large update is small."""
        if not self.smoke or asked.pairs is None:
            return asked
        return replace(asked, pairs=min(asked.pairs, 2 * self.algorithms[0].steps))

    def results(self, n: int, read_runs: ReadRuns, read_study: ReadStudy) -> Results:
        """Return what a claim receives: the runs of the first n seeds, or a factorial of them.

        Args:
            n: number of seeds.
            read_runs: reads measurements; called when a claim first asks for one.
            read_study: reads a study; called when a claim first asks for it.
        """

        def runs_of(algorithm: Algorithm | ExternalTraining) -> Runs:
            specs = replace(self, algorithms=(algorithm,)).run_specs(n)
            return Runs(
                algorithm,
                self.task,
                self.iterations,
                self.seeds(n),
                lambda: read_runs(specs),
                lambda asked: read_study(specs, self.study(asked)),
            )

        cells = [runs_of(algorithm) for algorithm in self.algorithms]
        if self.combinations is None:
            return cells[0]
        each = len(cells) // len(self.combinations)
        by_combination = {
            combination: cells[i * each : (i + 1) * each] for i, combination in enumerate(self.combinations)
        }
        if self.tuned is None:
            return Factorial({combination: runs for combination, (runs,) in by_combination.items()})
        return Factorial({combination: Tuned(self.tuned, runs) for combination, runs in by_combination.items()})


def resolve(request: RunsRequest, profile: Profile, first_seed: int) -> ResolvedRuns:
    """Return the runs that a request stands for.

    Args:
        request: with its task and its algorithm filled in.
        profile: the budget of the session.
        first_seed: the session's first seed.

    Raises:
        SpecError: the runs cannot be trained.
    """
    # Anything longer, or not printable, is a slip that the registry's own answer would not make clearer.
    if not isinstance(request.task, str) or not request.task.isprintable() or len(request.task) > 500:
        raise SpecError(f"A task is the id of an environment, such as 'Hopper-v5', not {describe(request.task)}.")
    if type(request.block) is not int or not 0 <= request.block < 10:
        raise SpecError(f"A block of seeds is a whole number from 0 to 9, not {describe(request.block)}.")
    iterations = profile.iterations if request.iterations is None else request.iterations
    if type(iterations) is int and iterations > MOST_ITERATIONS:
        raise SpecError(f"Runs have at most {MOST_ITERATIONS:,} iterations, not {describe(iterations)}.")
    smoke = not profile.evidence
    algorithms = _algorithms(request, request.task, smoke=smoke)
    if smoke:
        iterations = min(iterations, profile.iterations) if type(iterations) is int else iterations
        algorithms = [_on_few_steps(algorithm) for algorithm in algorithms]
    runs = [checked(RunSpec(algorithm, request.task, iterations, first_seed)) for algorithm in algorithms]
    return ResolvedRuns(
        algorithms=tuple(run.algorithm for run in runs),
        task=runs[0].task,
        iterations=iterations,
        first_seed=first_seed + MOST_SEEDS * request.block,
        combinations=None if request.factors is None else combinations_trained(request, smoke=smoke),
        tuned=None if request.tuned is None else request.tuned[0][0],
        smoke=smoke,
    )


def _on_few_steps(algorithm: Algorithm | ExternalTraining) -> Algorithm | ExternalTraining:
    """Return the algorithm, with fewer steps between updates if it learns from many at a time."""
    if isinstance(algorithm, ExternalTraining) or algorithm.steps <= FEW_STEPS:
        return algorithm
    return replace(algorithm, steps=max(2, FEW_STEPS // algorithm.minibatches) * algorithm.minibatches)


def _algorithms(request: RunsRequest, task: str, *, smoke: bool) -> list[Algorithm | ExternalTraining]:
    """Return the algorithm that a request asks for, or those of its factorial.

    Raises:
        SpecError: the algorithm or a setting is not valid.
    """
    if type(request.full) is not bool:
        raise SpecError(f"A factorial is full or not, full=True or False, not {describe(request.full)}.")
    if request.factors == ():
        raise SpecError("A factorial varies settings: rlclaims.factorial(PPO, epochs=(10, 5)), for example.")
    if isinstance(request.algorithm, Algorithm | ExternalTraining):
        if request.changes or request.factors is not None:
            raise SpecError("Settings are given for a class, such as rlclaims.PPO; an instance has its own.")
        return [request.algorithm]
    if isinstance(request.algorithm, type) and issubclass(request.algorithm, Algorithm):
        try:
            return list(expand(request.algorithm, request, task, smoke=smoke))
        except (ValueError, TypeError) as error:
            raise SpecError(str(error)) from None
    raise SpecError(
        f"Runs are of an algorithm, such as rlclaims.PPO or a subclass of it, not of {describe(request.algorithm)}."
    )


def expand(algorithm: type[Algorithm], request: RunsRequest, task: str, *, smoke: bool) -> list[Algorithm]:
    """Return the algorithm of each combination of a factorial that is trained, or the one algorithm of plain runs.

    Where a setting is tuned, a combination has one algorithm for each of its values, side by side.

    Raises:
        ValueError, TypeError: a setting is unknown or does not fit, or there are too many factors.
    """
    changes = dict(request.changes)
    papers = algorithm.for_task(task, **changes)
    if request.factors is None:
        return [papers]
    # The whole design is built, so that a combination that is not valid is reported in every profile.
    design = {
        combination: [algorithm.for_task(task, **{**changes, **settings}) for settings in rows]
        for combination, rows in settings_by_combination(request, papers).items()
    }
    return [one for combination in combinations_trained(request, smoke=smoke) for one in design[combination]]
