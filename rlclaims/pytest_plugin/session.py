"""One pytest session's claims: the runs they take, the terms they are judged on, and handing out finished runs."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import pytest

from rlclaims.adapters.external import ExternalTraining
from rlclaims.adapters.lookup import find_subject
from rlclaims.agents.algorithm import Algorithm
from rlclaims.claims.declaration import Claim
from rlclaims.claims.evidence import ClaimError
from rlclaims.claims.judging_terms import Family, JudgingTerms, Pilot
from rlclaims.planning.profile import Profile
from rlclaims.planning.request import SUBJECT, RunsRequest
from rlclaims.planning.resolve import ResolvedRuns, Results, resolve
from rlclaims.pytest_plugin.options import TASK, Settings, settings
from rlclaims.pytest_plugin.pilots import read_pilots
from rlclaims.pytest_plugin.runner import Runner
from rlclaims.results.measured import Measured
from rlclaims.store.baseline import Baseline, BaselineError, BaselineSpec, check_baseline, read_baseline
from rlclaims.store.run_spec import RunSpec, SpecError, Studied
from rlclaims.store.store import UNREADABLE
from rlclaims.studies.registry import Study

SEEDS = pytest.StashKey[int]()
"""The number of seeds that an item is judged on."""
STUDIES = pytest.StashKey[Mapping[str, Sequence[Study | None]]]()
"""The studies that a claim's body asks for (`trial_run`), by fixture; None for the runs' own measures."""
_RESOLVED = pytest.StashKey[dict[str, ResolvedRuns]]()


def claim_of(item: pytest.Item) -> Claim | None:
    """Return what an item declares as a claim, or None."""
    declared = getattr(getattr(item, "function", None), "__rlclaims_claim__", None)
    return declared if isinstance(declared, Claim) else None


def claim_name(item: pytest.Item) -> str:
    """Return a claim's id, with its parameters."""
    declared = claim_of(item)
    assert declared is not None
    return with_parameters(declared.id, item)


def with_parameters(name: str, item: pytest.Item) -> str:
    """Return the id of what an item declares, with the item's parameters if it has any."""
    return f"{name}[{item.callspec.id}]" if hasattr(item, "callspec") else name


class ClaimSession(Runner):
    """The claims of one session."""

    def __init__(self, asked: Settings) -> None:
        super().__init__(asked)
        self.families: dict[str, Family] = {}
        """The family of each claim, by the claim's id."""
        self._resolved: dict[tuple[int, str | None], tuple[RunsRequest, ResolvedRuns]] = {}
        self._results: dict[tuple[ResolvedRuns, int], Results] = {}
        self._baselines: dict[BaselineSpec, Baseline] = {}
        self._pilots: dict[Path, Mapping[str, Pilot]] = {}

    @property
    def profile(self) -> Profile:
        """The session's budget."""
        return self.asked.profile

    def requests_of(self, item: pytest.Item) -> dict[str, RunsRequest]:
        """Return what an item's runs fixtures ask for, by fixture name, as it is written."""
        requests: dict[str, RunsRequest] = {}
        if isinstance(item, pytest.Function):
            for name, definitions in item._fixtureinfo.name2fixturedefs.items():
                request = getattr(definitions[-1].func, "__rlclaims_runs__", None)
                if isinstance(request, RunsRequest):
                    requests[name] = request
        return requests

    def resolved(self, item: pytest.Item) -> dict[str, ResolvedRuns]:
        """Return the runs that an item takes, by fixture name.

        Raises:
            pytest.UsageError: some cannot be trained.
        """
        if _RESOLVED not in item.stash:
            found: dict[str, ResolvedRuns] = {}
            for fixture, request in self.requests_of(item).items():
                try:
                    found[fixture] = self.resolve(request, self._task(item))
                except SpecError as error:
                    raise pytest.UsageError(f"{error} (the runs {fixture!r} of {item.nodeid})") from None
            item.stash[_RESOLVED] = found
        return item.stash[_RESOLVED]

    def resolve(self, request: RunsRequest, task: str) -> ResolvedRuns:
        """Return the runs that a request stands for.

        Args:
            request: as a fixture makes it.
            task: of runs that name none.

        Raises:
            SpecError: they cannot be trained.
            pytest.UsageError: they are of --claims-subject, which is missing or unknown.
        """
        key = id(request), task if request.task is None else None
        if key not in self._resolved:
            named_subject = isinstance(request.algorithm, str) and request.algorithm == SUBJECT
            filled_in = replace(
                request,
                algorithm=self.subject if named_subject else request.algorithm,
                task=task if request.task is None else request.task,
            )
            # The request is kept too, so that its id stays its own.
            self._resolved[key] = request, resolve(filled_in, self.profile, self.asked.first_seed)
        return self._resolved[key][1]

    def _task(self, item: pytest.Item) -> str:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        return str(parameters.get(TASK, self.profile.tasks[0]))

    @cached_property
    def subject(self) -> type[Algorithm] | Algorithm | ExternalTraining:
        """The algorithm that --claims-subject names.

        Raises:
            pytest.UsageError: it names none.
        """
        if self.asked.subject is None:
            raise pytest.UsageError(
                "The gate needs an algorithm: --claims-subject my_pkg.algos:MyPPO, sb3:PPO or cleanrl:script.py, or "
                "subject in [tool.rlclaims.gate]."
            )
        try:
            return find_subject(self.asked.subject)
        except ValueError as error:
            raise pytest.UsageError(str(error)) from None

    def baselines_of(self, item: pytest.Item) -> dict[str, BaselineSpec]:
        """Return the baselines that an item takes, by fixture name."""
        definitions = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}
        specs = {name: getattr(of[-1].func, "__rlclaims_baseline__", None) for name, of in definitions.items()}
        return {name: spec for name, spec in specs.items() if isinstance(spec, BaselineSpec)}

    def baseline(self, spec: BaselineSpec) -> Baseline:
        """Return the baseline that a fixture stands for.

        Raises:
            BaselineError: it is missing, or not as it was saved.
        """
        check_baseline(spec)
        if spec not in self._baselines:
            self._baselines[spec] = read_baseline(spec, self.asked.baselines, smoke=not self.profile.evidence)
        return self._baselines[spec]

    def pilot(self, item: pytest.Item) -> Pilot | None:
        """Return a claim's pilot from development seeds, or None."""
        folder = item.path.parent
        if folder not in self._pilots:
            self._pilots[folder] = read_pilots(folder)
        return self._pilots[folder].get(claim_name(item))

    def terms(self, item: pytest.Item) -> JudgingTerms:
        """Return what a claim is judged on: the profile's looks, its family's error rates, its margin and its pilot."""
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
        """Make sure that the runs which the items take can be trained, and that their baselines exist.

        Raises:
            pytest.UsageError: some cannot, or one is missing.
        """
        for item in items:
            for fixture, baseline in self.baselines_of(item).items():
                try:
                    self.baseline(baseline)
                except BaselineError as error:
                    raise pytest.UsageError(f"{error} (the baseline {fixture!r} of {item.nodeid})") from None
            self.resolved(item)

    def wanted(self, items: Iterable[pytest.Item], n: int) -> list[RunSpec]:
        """Return the runs of the first n seeds that the items take."""
        return [run for item in items for runs in self.resolved(item).values() for run in runs.run_specs(n)]

    def studied(self, items: Iterable[pytest.Item], n: int) -> list[Studied]:
        """Return the studies that the items ask for, of runs of the first n seeds."""
        return [
            (run, runs.study(study))
            for item in items
            for fixture, runs in self.resolved(item).items()
            for study in item.stash.get(STUDIES, {}).get(fixture, ())
            if study is not None
            for run in runs.run_specs(n)
        ]

    def results(self, runs: ResolvedRuns, n: int | None = None) -> Results:
        """Return finished runs as a claim receives them, those of the first n seeds or all of the profile's.

        Raises:
            ClaimError: they are not in the store.
        """
        n = n or self.profile.seeds
        if (runs, n) not in self._results:
            specs = runs.run_specs(n)
            if not all(map(self.store.has, specs)):
                raise ClaimError(
                    f"No runs of {specs[0].title} on {runs.task} are available. Only runs that a test requests as a "
                    "fixture argument are trained."
                )
            self._results[runs, n] = runs.results(n, self._measurements, self._study)
        return self._results[runs, n]

    def _measurements(self, specs: Sequence[RunSpec]) -> tuple[Measured, ...]:
        return tuple(map(self.store.measured, specs))

    def _study(self, specs: Sequence[RunSpec], study: Study) -> tuple[Measured, ...]:
        """Return what a study computed; one that no claim's trial run asked for, as in a plain test, is made now."""
        try:
            return tuple(self.store.study(run, study) for run in specs)
        except UNREADABLE:
            studied = [(run, study) for run in specs]
            self.train(specs, lambda _: nullcontext(lambda _: None), studied=studied)
            self.make_studies(studied, lambda _: None)
        return tuple(self.store.study(run, study) for run in specs)


_SESSION = pytest.StashKey[ClaimSession]()


def claim_session(config: pytest.Config) -> ClaimSession:
    """Return the claims of this session.

    Raises:
        pytest.UsageError: an option is not valid.
    """
    if _SESSION not in config.stash:
        config.stash[_SESSION] = ClaimSession(settings(config))
    return config.stash[_SESSION]
