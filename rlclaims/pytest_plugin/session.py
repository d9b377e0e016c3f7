"""One pytest session's claims: what they need, training it, and handing out the finished runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from rlclaims import compiled
from rlclaims.adapters.external import ExternalTraining
from rlclaims.adapters.lookup import named
from rlclaims.agents.algorithm import Algorithm
from rlclaims.claims.declaration import Claim
from rlclaims.claims.evidence import ClaimError
from rlclaims.claims.judging_terms import Family, JudgingTerms, Pilot
from rlclaims.execution.cohorts import Plan, plan
from rlclaims.execution.derive import Told, make_simulated
from rlclaims.execution.pool import LocalPool, TrainingError, WorkerPool, cores
from rlclaims.execution.train import Progress, execute
from rlclaims.execution.twin_executor import Done, make_twins
from rlclaims.planning.profile import Profile
from rlclaims.planning.specs import runs_of_a_seed
from rlclaims.planning.subjects import Subject, subject
from rlclaims.pytest_plugin.options import TASK, Settings, settings
from rlclaims.pytest_plugin.pilots import read_pilots
from rlclaims.results.runs import SUBJECT, RunsRequest
from rlclaims.store.baseline import Baseline, BaselineError, BaselineSpec, check_baseline, read_baseline
from rlclaims.store.resume import tidy
from rlclaims.store.run_spec import RunSpec, SpecError
from rlclaims.store.store import UNREADABLE, Store
from rlclaims.studies.registry import TWINS, Studied, Study
from rlclaims.text import describe_error

ShowProgress = Callable[[Plan], AbstractContextManager[Callable[[Progress], None]]]


def claim_of(item: pytest.Item) -> Claim | None:
    """What an item declares as a claim, or None."""
    declared = getattr(getattr(item, "function", None), "__rlclaims_claim__", None)
    return declared if isinstance(declared, Claim) else None


def claim_name(item: pytest.Item) -> str:
    """A claim's id, with its parameters."""
    declared = claim_of(item)
    assert declared is not None
    return with_parameters(declared.id, item)


def with_parameters(name: str, item: pytest.Item) -> str:
    """The id of what an item declares, with the item's parameters if it has any."""
    return f"{name}[{item.callspec.id}]" if hasattr(item, "callspec") else name


class ClaimSession:
    """Claims of one session: what they want, training it, and handing it out."""

    def __init__(self, asked: Settings) -> None:
        self.asked = asked
        self.store = Store(asked.store)
        """Where this session's runs are."""
        self.families: dict[str, Family] = {}
        """The family of each claim, by the claim's id."""
        self.say: Callable[[str], None] = lambda _: None
        """Tells the person a line."""
        self._runs: dict[tuple[object, ...], Subject] = {}
        self._baselines: dict[BaselineSpec, Baseline] = {}
        self._pilots: dict[Path, Mapping[str, Pilot]] = {}

    @property
    def profile(self) -> Profile:
        """Its budget."""
        return self.asked.profile

    def seeds(self, block: int, n: int) -> tuple[int, ...]:
        """The first n seeds of the runs of a block."""
        first = self.asked.first_seed + 1000 * block
        return tuple(range(first, first + n))

    def runs_of(self, item: pytest.Item) -> dict[str, RunsRequest]:
        """The runs that an item takes, by fixture name, with their tasks."""
        needs: dict[str, RunsRequest] = {}
        if isinstance(item, pytest.Function):
            for name, definitions in item._fixtureinfo.name2fixturedefs.items():
                spec = getattr(definitions[-1].func, "__rlclaims_runs__", None)
                if isinstance(spec, RunsRequest):
                    task = spec.task if spec.task is not None else self._task(item)
                    needs[name] = self._afforded(replace(spec, task=task))
        return needs

    def baselines_of(self, item: pytest.Item) -> dict[str, BaselineSpec]:
        """The baselines that an item takes, by fixture name."""
        definitions = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}
        taken = {name: getattr(of[-1].func, "__rlclaims_baseline__", None) for name, of in definitions.items()}
        return {name: spec for name, spec in taken.items() if isinstance(spec, BaselineSpec)}

    def baseline(self, spec: BaselineSpec) -> Baseline:
        """The baseline that a fixture stands for.

        Raises:
            BaselineError: there is none, or it is not as it was kept.
        """
        check_baseline(spec)
        if spec not in self._baselines:
            self._baselines[spec] = read_baseline(spec, self.asked.baselines, wiring=not self.profile.evidence)
        return self._baselines[spec]

    def _afforded(self, spec: RunsRequest) -> RunsRequest:
        """What is trained for a fixture: few of a factorial's combinations where nothing counts as evidence.

        Raises:
            pytest.UsageError: it is of an algorithm that is to be named, and there is none of the name.
        """
        named = isinstance(spec.algorithm, str) and spec.algorithm == SUBJECT
        algorithm = self.subject if named else spec.algorithm
        return replace(spec, algorithm=algorithm, wiring=not self.profile.evidence)

    @cached_property
    def subject(self) -> type[Algorithm] | Algorithm | ExternalTraining:
        """What --claims-subject names.

        Raises:
            pytest.UsageError: nothing.
        """
        if self.asked.subject is None:
            raise pytest.UsageError(
                "Which algorithm is it about? --claims-subject my_pkg.algos:MyPPO, sb3:PPO or cleanrl:script.py, or "
                "subject in [tool.rlclaims.gate]."
            )
        try:
            return named(self.asked.subject)
        except ValueError as error:
            raise pytest.UsageError(str(error)) from None

    def _task(self, item: pytest.Function) -> str:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        return str(parameters.get(TASK, self.profile.tasks[0]))

    def pilot(self, item: pytest.Item) -> Pilot | None:
        """What development seeds said of a claim, or None."""
        folder = item.path.parent
        if folder not in self._pilots:
            self._pilots[folder] = read_pilots(folder)
        return self._pilots[folder].get(claim_name(item))

    def terms(self, item: pytest.Item) -> JudgingTerms:
        """What a claim is judged on: the profile's looks, its family's error rates, its margin and its pilot."""
        declared = claim_of(item)
        assert declared is not None
        share, alpha = self.families[declared.id].share, self.profile.alpha
        return JudgingTerms(
            self.profile.looks,
            # Support against expectation turns a build red as a refutation does.
            alpha_support=min(share, alpha) if declared.expected == "refuted" else alpha,
            alpha_refute=share,
            margin=declared.margin,
            pilot=self.pilot(item),
            no_evidence=self.profile.no_evidence,
        )

    def check(self, items: Sequence[pytest.Item]) -> None:
        """Make sure that the runs which the items need can be made, and that their baselines are there.

        Raises:
            pytest.UsageError: they can not, or one is not.
        """
        for item in items:
            for fixture, baseline in self.baselines_of(item).items():
                try:
                    self.baseline(baseline)
                except BaselineError as error:
                    raise pytest.UsageError(f"{error} (the baseline {fixture!r} of {item.nodeid})") from None
            for fixture, spec in self.runs_of(item).items():
                try:
                    self.run_specs(spec, self.profile.seeds)
                except SpecError as error:
                    raise pytest.UsageError(f"{error} (the runs {fixture!r} of {item.nodeid})") from None

    def prepare_store(self) -> None:
        """Make sure that runs can be kept.

        Raises:
            pytest.UsageError: they can not.
        """
        try:
            self.store.prepare()
        except SpecError as error:
            raise pytest.UsageError(str(error)) from None

    def train(
        self,
        wanted: Sequence[RunSpec],
        show_progress: ShowProgress,
        wait: Callable[[], None] = lambda: None,
        studied: Sequence[Studied] = (),
    ) -> None:
        """Make those of the runs that the store lacks.

        Args:
            wanted: the runs.
            show_progress: shows how far a plan is.
            wait: called before waiting for another session on the same store.
            studied: what is to be made of them next: of these runs more is read than measurements.

        Raises:
            pytest.UsageError: the store cannot be written.
            TrainingError, StoreError: training broke off; what was finished is stored.
        """
        tidy(self.store, wanted)
        read = {run for run, study in studied if not self.store.has_study(run, study)}
        if not plan(wanted, self.store, read).missing:
            return
        self.prepare_store()
        with self._alone(wait):
            for run in plan(wanted, self.store, read).missing:
                self.store.clear(run)
            training = plan(wanted, self.store, read)
            if training.missing:
                crew, processes = self.crew, self.processes
                if compiled.missed():
                    self.say(
                        "rlclaims: warning: cc, or what CC names, compiles no kernels here: training takes half as "
                        "long again, and its runs are others than with them. RLCLAIMS_COMPILED=0 says so on purpose."
                    )
                with show_progress(training) as on_progress:
                    execute(training, self.store, processes, on_progress, crew)
                if left := crew.seen(lambda: plan(wanted, self.store).missing):
                    raise TrainingError(
                        f"{left[0].name} was trained under another name than planned: its source was edited while "
                        "training started. Run the same command again."
                    )

    def make_studies(
        self, wanted: Sequence[Studied], on_twins: Done, on_simulated: Told, wait: Callable[[], None] = lambda: None
    ) -> None:
        """Make what is derived from runs and the store lacks; the runs are there.

        Args:
            wanted: the runs, and what of each.
            on_twins: told how far twin updates are.
            on_simulated: told how far the others are.
            wait: called before waiting for another session on the same store.

        Raises:
            pytest.UsageError: where an update started, or what the policies of a run were, cannot be read, or the store
                cannot be written.
            TrainingError, StoreError: it broke off; what was finished is stored.
        """
        if all(self.store.has_study(*studied) for studied in wanted):
            return
        self.prepare_store()
        with self._alone(wait):
            missing = [studied for studied in dict.fromkeys(wanted) if not self.store.has_study(*studied)]
            for studied in missing:
                self.store.clear(*studied)
            try:
                self._check_readable(missing)
            except SpecError as error:
                raise pytest.UsageError(str(error)) from None
            twins = [run for run, study in missing if study == TWINS]
            make_twins(twins, self.store, self.processes, on_twins, self.crew)
            others = [(run, study) for run, study in missing if study != TWINS]
            make_simulated(others, self.store, self.processes, on_simulated, self.crew)

    def _check_readable(self, missing: Sequence[Studied]) -> None:
        """Read what finished runs' studies are made from, before any process is."""
        for run in dict.fromkeys(run for run, _ in missing):
            if self.store.measured(run).failure is None:
                self.store.start(run)
                self.store.history(run)

    @contextmanager
    def _alone(self, wait: Callable[[], None]) -> Iterator[None]:
        """Keep others out of the store: another session may be making the same, which is then found made.

        Raises:
            pytest.UsageError: that cannot be done.
        """
        lock = FileLock(path := self.store.root / "training.lock")
        try:
            try:
                held = lock.acquire(timeout=0)
            except Timeout:
                wait()
                held = lock.acquire()
        except (OSError, NotImplementedError) as error:
            why = getattr(error, "strerror", None) or describe_error(error)
            raise pytest.UsageError(
                f"{path} cannot be locked ({why}), by which sessions on one store take turns: move away what is in its "
                "place, or choose a store on a file system that has locks with --claims-store DIR or RLCLAIMS_STORE."
            ) from None
        with held:
            yield

    @property
    def processes(self) -> int:
        """Training processes at a time."""
        return self.asked.processes or self.crew.cores

    @property
    def probes(self) -> int:
        """Processes that try how fast this machine trains."""
        return min(self.processes, cores()) if self.asked.on_ray else self.processes

    @cached_property
    def crew(self) -> WorkerPool:
        """Who runs them; a pytest.UsageError if there is no Ray that can be reached."""
        if not self.asked.on_ray:
            return LocalPool()
        from rlclaims.execution.ray_pool import RayPool

        try:
            return RayPool(self.store, cores(), lambda line: self.say(line))
        except SpecError as error:
            raise pytest.UsageError(str(error)) from None

    def close(self) -> None:
        """Let go of those that run processes."""
        if "crew" in self.__dict__:
            self.crew.close()
            del self.crew

    def runs(self, spec: RunsRequest, n: int | None = None) -> Subject:
        """The finished runs that a fixture stands for, all or those of the first n seeds."""
        spec = self._afforded(spec)
        run_specs = tuple(self.run_specs(spec, n or self.profile.seeds))
        study = self._study(spec, run_specs[0])
        key = run_specs, study, spec.factors, spec.tuned
        if key not in self._runs:
            store = self.store
            try:
                measured = tuple(store.study(run, study) if study else store.measured(run) for run in run_specs)
            except UNREADABLE:
                raise ClaimError(
                    f"{run_specs[0].name} and its like are not trained: only runs that a test takes as arguments are."
                ) from None
            self._runs[key] = subject(spec, run_specs, measured)
        return self._runs[key]

    def wanted(self, items: Sequence[pytest.Item], n: int) -> list[RunSpec]:
        """The runs of the first n seeds that the items take."""
        return [run for item in items for spec in self.runs_of(item).values() for run in self.run_specs(spec, n)]

    def studied(self, items: Sequence[pytest.Item], n: int) -> list[Studied]:
        """What the items take that is derived from runs of the first n seeds."""
        specs = [spec for item in items for spec in self.runs_of(item).values()]
        runs = [(spec, run) for spec in specs for run in self.run_specs(spec, n)]
        return [(run, study) for spec, run in runs if (study := self._study(spec, run))]

    def _study(self, spec: RunsRequest, run: RunSpec) -> Study | None:
        """What is derived from a run; a large update is a small one where nothing counts as evidence."""
        study = spec.study
        if study is None or study.pairs is None or self.profile.evidence:
            return study
        return replace(study, pairs=min(study.pairs, 2 * run.algorithm.steps))

    def run_specs(self, spec: RunsRequest, n: int) -> list[RunSpec]:
        """The runs of the first n seeds.

        Raises:
            SpecError: they cannot be made.
        """
        # Refuses a block that is none before seeds are counted from it.
        runs = runs_of_a_seed(spec, self.profile, self.asked.first_seed)
        return [replace(run, seed=seed) for run in runs for seed in self.seeds(spec.block, n)]


_SESSION = pytest.StashKey[ClaimSession]()
SEEDS = pytest.StashKey[int]()
"""On an item: how many seeds it is judged on."""


def claim_session(config: pytest.Config) -> ClaimSession:
    """The claims of this session.

    Raises:
        pytest.UsageError: what is asked for makes no sense.
    """
    if _SESSION not in config.stash:
        config.stash[_SESSION] = ClaimSession(settings(config))
    return config.stash[_SESSION]
