"""`rlclaims.runs`, `factorial` and `baseline`: fixtures that say what they stand for before any of it is made."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from rlclaims.planning.request import RunsRequest
from rlclaims.pytest_plugin.session import SEEDS, claim_session
from rlclaims.store.baseline import Baseline, BaselineSpec
from rlclaims.text import describe

if TYPE_CHECKING:
    from _pytest.fixtures import FixtureFunctionDefinition

    from rlclaims.adapters.external import ExternalTraining
    from rlclaims.agents.algorithm import Algorithm
    from rlclaims.planning.resolve import Results


def runs(
    algorithm: "type[Algorithm] | Algorithm | ExternalTraining | str",
    task: str | None = None,
    *,
    iterations: int | None = None,
    block: int = 0,
    **settings: Any,
) -> "FixtureFunctionDefinition":
    """Make a fixture: the runs of an algorithm on a task, over as many seeds as the test that takes it needs.

    A test receives `rlclaims.Runs`: its measures, and its studies as attributes, such as `ppo.landscape`. Which of
    them a claim asks for is found out before anything is trained.

    Args:
        algorithm: a class, for the papers' settings of the task; an instance with settings of its own; or an external
            training (`rlclaims.adapters`), such as `SB3("PPO")`.
        task: Gymnasium's id, with or without arguments, such as "Ant-v5(ctrl_cost_weight=0.1)"; by default each task
            of the profile.
        iterations: updates per run; by default the profile's.
        block: block k takes the seeds from 1,000 k on. Runs of one block are paired by their seeds; runs of different
            blocks share nothing, and are compared as two groups.
        **settings: settings that differ from the papers', for a class.

    Returns:
        The fixture, to be assigned to its name: `ppo = rlclaims.runs(PPO)`. Mistakes in it are reported in one
        sentence when the claims that use it have been collected.
    """
    return _runs_fixture(
        RunsRequest(algorithm=algorithm, task=task, iterations=iterations, changes=tuple(settings.items()), block=block)
    )


def factorial(
    algorithm: "type[Algorithm]",
    task: str | None = None,
    *,
    full: bool = False,
    tuned: Mapping[str, tuple[Any, ...]] | None = None,
    iterations: int | None = None,
    block: int = 0,
    **settings: Any,
) -> "FixtureFunctionDefinition":
    """Make a fixture: runs of an algorithm with settings varied together, each between two values.

    Up to three settings are tried in all combinations; from four on, in a fraction of resolution IV or more
    (`rlclaims.stats.factorial`). Every combination is trained on the same seeds.

    With `tuned`, every combination is also trained with each value of one more setting. Seed by seed it counts at the
    value where what the claim asks for is largest on average over the seeds before; `rlclaims.results.factorial` says
    why only over these. So no combination is judged at a rate that suits another.

    Args:
        algorithm: a class, for the papers' settings of the task.
        task: as for `runs`.
        full: whether to try all combinations of four settings or more.
        tuned: one setting, with two values or more: `{"learning_rate": (lambda rate: rate, lambda rate: rate / 3)}`.
        iterations: as for `runs`.
        block: as for `runs`.
        **settings: one to nine with a pair of values each, which are varied, and others, which are the same for all. A
            function as a value, here and in `tuned`, is applied to the papers' value for the task:
            `learning_rate=(lambda x: x, lambda x: x / 2)`.

    Returns:
        The fixture, to be assigned to its name: `rates = rlclaims.factorial(PPO, epochs=(10, 5))`. A test receives
        `rlclaims.Factorial`.
    """
    return _runs_fixture(
        RunsRequest(
            algorithm=algorithm,
            task=task,
            iterations=iterations,
            changes=tuple((name, value) for name, value in settings.items() if not isinstance(value, tuple)),
            block=block,
            factors=tuple((name, value) for name, value in settings.items() if isinstance(value, tuple)),
            full=full,
            tuned=tuple(tuned.items()) if isinstance(tuned, Mapping) else tuned,
        )
    )


def baseline(name: str, *, runs: str | None = None) -> "FixtureFunctionDefinition":
    """Make a fixture: an earlier version's numbers, as `rlclaims baseline save` stored them in `reports/baselines`.

    Args:
        name: the name it was saved under.
        runs: the fixture whose numbers are meant, where several had the same quantity.

    Returns:
        The fixture, to be assigned to its name: `before = rlclaims.baseline("my-ppo-1.0")`. A claim indexes it by a
        sample of its current runs, `kl / before[kl] <= 1.1`; mistakes are reported before anything is trained.
    """
    spec = BaselineSpec(name, runs)

    def saved(*_: object, request: pytest.FixtureRequest) -> Baseline:
        return claim_session(request.config).baseline(spec)

    return _fixture(saved, "__rlclaims_baseline__", spec, f"The baseline {describe(name)}.")


def _runs_fixture(asked: RunsRequest) -> "FixtureFunctionDefinition":
    def results(request: pytest.FixtureRequest, task: str) -> "Results":
        session = claim_session(request.config)
        return session.results(session.resolve(asked, task), request.node.stash.get(SEEDS, None))

    # The positional arguments take what a class passes as self.
    def on_its_task(*_: object, request: pytest.FixtureRequest) -> "Results":
        return results(request, "")

    def on_the_profiles_task(*_: object, request: pytest.FixtureRequest, _claims_task: str) -> "Results":
        return results(request, _claims_task)

    name = getattr(asked.algorithm, "__name__", None) or describe(asked.algorithm)
    what = "Runs" if asked.factors is None else "A factorial of runs"
    where = asked.task if isinstance(asked.task, str) else "the tasks of the profile"
    function = on_the_profiles_task if asked.task is None else on_its_task
    return _fixture(function, "__rlclaims_runs__", asked, f"{what} of {name} on {where}.")


def _fixture(function: Callable[..., Any], mark: str, asked: object, doc: str) -> "FixtureFunctionDefinition":
    """Return a fixture that is marked with what it stands for."""
    setattr(function, mark, asked)
    function.__doc__ = doc
    return pytest.fixture(function)
