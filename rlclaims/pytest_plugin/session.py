"""One pytest session's claims: what they need, training it, and handing out the finished runs."""

import ast
import inspect
import textwrap
import unittest
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rlclaims.judging.claim import Claim
from rlclaims.judging.runs import Runs, RunsSpec
from rlclaims.judging.terms import ALPHA, Family, Pilot, Terms
from rlclaims.pytest_plugin.pilots import DEVELOPMENT_SEEDS_FROM, read_pilots

if TYPE_CHECKING:
    from rlclaims.study.executor import Progress
    from rlclaims.study.plan import Plan
    from rlclaims.study.spec import RunSpec
    from rlclaims.study.store import Store


@dataclass(frozen=True)
class Profile:
    """The budget of a run of the suite."""

    name: str
    task: str
    """Task of the runs that name none."""
    iterations: int
    """Updates of the runs that name no number."""
    looks: tuple[int, ...]
    """Runs per algorithm at which the data are looked at."""

    @property
    def seeds(self) -> int:
        """Runs per algorithm."""
        return self.looks[-1]


PROFILES = {"standard": Profile("standard", task="Hopper-v5", iterations=100, looks=(6, 8, 10, 12))}

ShowProgress = Callable[["Plan"], AbstractContextManager[Callable[["Progress"], None]]]


def claim_of(item: pytest.Item) -> Claim | None:
    """What an item declares as a claim, or None."""
    declared = getattr(getattr(item, "function", None), "__rlclaims_claim__", None)
    return declared if isinstance(declared, Claim) else None


def claim_name(item: pytest.Item) -> str:
    """A claim's id, with its parameters."""
    declared = claim_of(item)
    assert declared is not None
    return f"{declared.id}[{item.callspec.id}]" if hasattr(item, "callspec") else declared.id


def check_claims(items: Iterable[pytest.Item]) -> None:
    """Refuse what is not written as a claim.

    Raises:
        pytest.UsageError: two claims share an id, or one takes what is neither runs nor a parameter.
    """
    seen: dict[str, str] = {}
    for item in items:
        declared = claim_of(item)
        if declared is None or not isinstance(item, pytest.Function):
            continue
        place = item.nodeid.partition("[")[0]
        if seen.setdefault(declared.id, place) != place:
            raise pytest.UsageError(f"Two claims have the id {declared.id!r}: {seen[declared.id]} and {place}.")
        if item.function.__module__ != item.module.__name__:
            raise pytest.UsageError(
                f"The claim {declared.id!r} is written in {item.function.__module__} and collected from "
                f"{item.path.name} too: a claim is judged in the file it is written in, with the family of that file."
            )
        _check_assertions(item.function, declared)
        if item.cls is not None and issubclass(item.cls, unittest.TestCase):
            raise pytest.UsageError(
                f"The claim {declared.id!r} is in a unittest.TestCase, which takes no runs; use a plain function."
            )
        if item.get_closest_marker("xfail") is not None:
            raise pytest.UsageError(
                f"The claim {declared.id!r} is marked xfail; say expected='refuted' and on what evidence instead."
            )
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        needs = runs_of(item)
        for name in item._fixtureinfo.argnames:
            if name not in needs and name not in parameters:
                raise pytest.UsageError(
                    f"The claim {declared.id!r} takes {name!r}, and a claim takes only runs "
                    "(fixtures made by rlclaims.runs) and parameters."
                )


def _check_assertions(function: Callable[..., object], declared: Claim) -> None:
    """Refuse what Python itself decides half of, and so hides from the record.

    Raises:
        pytest.UsageError: an assertion joins comparisons with and, or, a chain, all() or any().
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):  # written where no source is kept
        return
    for statement in ast.walk(tree):
        for node in ast.walk(statement.test) if isinstance(statement, ast.Assert) else ():
            chained = isinstance(node, ast.Compare) and len(node.ops) > 1
            called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            if chained or called in ("all", "any") or isinstance(node, ast.BoolOp):
                raise pytest.UsageError(
                    f"The claim {declared.id!r} asserts several comparisons at once, of which Python may skip some: "
                    "join them with rlclaims.all_of(...) or any_of(...), or use .within(low, high)."
                )


def runs_of(item: pytest.Item) -> dict[str, RunsSpec]:
    """The runs that an item takes, by fixture name."""
    needs: dict[str, RunsSpec] = {}
    if isinstance(item, pytest.Function):
        for name, definitions in item._fixtureinfo.name2fixturedefs.items():
            spec = getattr(definitions[-1].func, "__rlclaims_runs__", None)
            if isinstance(spec, RunsSpec):
                needs[name] = spec
    return needs


class ClaimSession:
    """Claims of one session: what they want, training it, and handing it out."""

    def __init__(
        self,
        profile: Profile,
        first_seed: int,
        store_root: Path | None,
        processes: int | None,
        *,
        writes_pilots: bool = False,
    ) -> None:
        self.profile, self.first_seed = profile, first_seed
        self._store_root, self._processes, self.writes_pilots = store_root, processes, writes_pilots
        self._runs: dict[tuple[int, int], Runs] = {}
        self._specs: list[RunsSpec] = []
        self.families: dict[str, Family] = {}
        """The family of each claim, by the claim's id."""
        self._pilots: dict[Path, Mapping[str, Pilot]] = {}

    def seeds(self, block: int, n: int) -> tuple[int, ...]:
        """The first n seeds of the runs of a block."""
        first = self.first_seed + 1000 * block
        return tuple(range(first, first + n))

    def terms(self, item: pytest.Item) -> Terms:
        """What a claim is judged on: the profile's looks, its family's error rates, its margin and its pilot."""
        declared = claim_of(item)
        assert declared is not None
        share = self.families[declared.id].share
        return Terms(
            self.profile.looks,
            # Support against expectation turns a build red as a refutation does.
            alpha_support=min(share, ALPHA) if declared.expected == "refuted" else ALPHA,
            alpha_refute=share,
            margin=declared.margin,
            pilot=self._pilots.get(item.path.parent, {}).get(claim_name(item)),
        )

    @property
    def store(self) -> "Store":
        """Where this session's runs are."""
        from rlclaims.study.executor import default_store
        from rlclaims.study.store import Store

        return Store(self._store_root or default_store())

    def check(self, items: Sequence[pytest.Item]) -> None:
        """Make sure that the runs which the items need can be made and kept.

        Raises:
            pytest.UsageError: they can not.
        """
        from rlclaims.stats.verdict import MIN_SEEDS
        from rlclaims.study.spec import SpecError

        if self.profile.seeds < MIN_SEEDS:
            raise pytest.UsageError(
                f"A verdict needs at least {MIN_SEEDS} seeds, and --claims-seeds asks for {self.profile.seeds}."
            )
        if self.first_seed < 0:
            raise pytest.UsageError(f"--claims-first-seed is a number from 0 up, not {self.first_seed}.")
        if self.writes_pilots and self.first_seed < DEVELOPMENT_SEEDS_FROM:
            raise pytest.UsageError(
                "A pilot is made on development seeds, which are not those that judge: add --claims-first-seed "
                f"{DEVELOPMENT_SEEDS_FROM} to --claims-write-pilots."
            )
        if self._processes is not None and self._processes < 1:
            raise pytest.UsageError(f"--claims-processes is a number from 1 up, not {self._processes}.")
        try:
            self._pilots = {folder: read_pilots(folder) for folder in {item.path.parent for item in items}}
            self.store.prepare()
            for item in items:
                for spec in runs_of(item).values():
                    self.run_specs(spec, self.profile.seeds)
        except SpecError as error:
            raise pytest.UsageError(str(error)) from None

    def train(self, wanted: Sequence["RunSpec"], show_progress: ShowProgress) -> None:
        """Make those of the runs that the store lacks.

        Raises:
            TrainingError: training broke off; what was finished is stored.
        """
        from filelock import FileLock

        from rlclaims.study.executor import TrainingError, cores, execute
        from rlclaims.study.plan import plan

        store = self.store
        # Another session on this store may be training the same runs: wait, and find them made.
        with FileLock(store.root / "training.lock"):
            training = plan(wanted, store)
            if training.missing:
                with show_progress(training) as on_progress:
                    execute(training, store, self._processes or cores(), on_progress)
                if left := plan(wanted, store).missing:
                    raise TrainingError(
                        f"{left[0].name} was trained under another name than planned: its source was edited while "
                        "training started. Run the same command again."
                    )

    def runs(self, spec: RunsSpec, n: int | None = None) -> Runs:
        """The finished runs that a fixture stands for, all or those of the first n seeds."""
        n = n or self.profile.seeds
        if (id(spec), n) not in self._runs:
            run_specs = self.run_specs(spec, n)
            store = self.store
            first = run_specs[0]
            self._specs.append(spec)  # keeps the object, and so its id, alive
            self._runs[id(spec), n] = Runs(
                first.algorithm,
                first.task,
                first.iterations,
                self.seeds(spec.block, n),
                tuple(store.measured(r) for r in run_specs),
            )
        return self._runs[id(spec), n]

    def run_specs(self, spec: RunsSpec, n: int) -> list["RunSpec"]:
        """The runs of the first n seeds.

        Raises:
            SpecError: they cannot be made.
        """
        from rlclaims.agents.algorithm import Algorithm
        from rlclaims.study.spec import RunSpec, SpecError, checked

        task = self.profile.task if spec.task is None else spec.task
        if not isinstance(task, str):
            raise SpecError(f"A task is the name of an environment, such as 'Hopper-v5', not {task!r}.")
        if type(spec.block) is not int or not 0 <= spec.block < 10:
            raise SpecError(f"A block of seeds is a number from 0 to 9, not {spec.block!r}.")
        iterations = self.profile.iterations if spec.iterations is None else spec.iterations
        if isinstance(spec.algorithm, Algorithm):
            if spec.changes:
                raise SpecError("rlclaims.runs takes settings for a class; an instance has its own.")
            algorithm = spec.algorithm
        elif isinstance(spec.algorithm, type) and issubclass(spec.algorithm, Algorithm):
            try:
                algorithm = spec.algorithm.for_task(task, **dict(spec.changes))
            except (ValueError, TypeError) as error:
                raise SpecError(str(error)) from None
        else:
            raise SpecError(
                f"rlclaims.runs takes an algorithm, such as rlclaims.PPO or a subclass of it, not {spec.algorithm!r}."
            )
        return [checked(RunSpec(algorithm, task, iterations, seed)) for seed in self.seeds(spec.block, n)]


SESSION = pytest.StashKey[ClaimSession]()
SEEDS = pytest.StashKey[int]()
"""On an item: how many seeds it is judged on."""
