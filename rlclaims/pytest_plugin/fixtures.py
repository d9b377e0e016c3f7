"""`rlclaims.runs`, `twins`, `landscape` and so on: fixtures that say which runs they stand for before any is made."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rlclaims.claims.evidence import ClaimError
from rlclaims.pytest_plugin.session import SEEDS, claim_session
from rlclaims.results.runs import RunsRequest
from rlclaims.store.baseline import Baseline, BaselineSpec
from rlclaims.studies.registry import TWINS, Study
from rlclaims.text import describe

if TYPE_CHECKING:
    from rlclaims.adapters.external import ExternalTraining
    from rlclaims.agents.algorithm import Algorithm
    from rlclaims.planning.subjects import Subject


def runs(
    algorithm: "type[Algorithm] | Algorithm | ExternalTraining | str",
    task: str | None = None,
    *,
    iterations: int | None = None,
    block: int = 0,
    **settings: Any,
) -> Any:
    """A fixture: the runs of an algorithm on a task, over as many seeds as the test that takes it needs.

    Args:
        algorithm: a class, for the papers' settings of the task, or an instance with settings of its own; or somebody
            else's training (`rlclaims.adapters`), `SB3("PPO")`, say.
        task: Gymnasium's id, with arguments or without, "Ant-v5(ctrl_cost_weight=0.1)"; by default each task of the
            profile.
        iterations: updates per run; by default the profile's.
        block: block k takes seeds that lie 1,000 k further on. Runs of one block are paired by their seeds; runs of
            different blocks share nothing, and are compared as two groups.
        **settings: settings that differ from the papers', for a class.

    Returns:
        What to assign to the fixture's name: `ppo = rlclaims.runs(PPO)`. Mistakes in it are reported once, in one
        sentence, when the claims that use it have been collected.
    """
    return _fixture(RunsRequest(algorithm, task, iterations, tuple(settings.items()), block))


def twins(
    algorithm: "type[Algorithm] | Algorithm",
    task: str | None = None,
    *,
    iterations: int | None = None,
    block: int = 0,
    **settings: Any,
) -> Any:
    """A fixture: the updates of the runs that `runs` would give, made again with mechanisms switched.

    Args:
        algorithm: PPO or a subclass that changes settings or `policy_loss`, or an instance of one.
        task: as for `runs`.
        iterations: as for `runs`.
        block: as for `runs`.
        **settings: as for `runs`.

    Returns:
        What to assign to the fixture's name: `ppo_twins = rlclaims.twins(PPO)`.
    """
    return _fixture(RunsRequest(algorithm, task, iterations, tuple(settings.items()), block, TWINS))


def landscape(
    algorithm: "type[Algorithm] | Algorithm",
    task: str | None = None,
    *,
    iterations: int | None = None,
    block: int = 0,
    **settings: Any,
) -> Any:
    """A fixture: returns and surrogates around the policies of the runs that `runs` would give, at up to four of them.

    Args:
        algorithm: as for `runs`.
        task: as for `runs`.
        iterations: as for `runs`.
        block: as for `runs`.
        **settings: as for `runs`.

    Returns:
        What to assign to the fixture's name: `ppo_landscape = rlclaims.landscape(PPO)`.
    """
    return _fixture(RunsRequest(algorithm, task, iterations, tuple(settings.items()), block, Study("landscapes")))


def late_updates(
    algorithm: "type[Algorithm] | Algorithm",
    task: str | None = None,
    *,
    iterations: int | None = None,
    block: int = 0,
    **settings: Any,
) -> Any:
    """A fixture: the return before and after every update of the last quarter of the runs that `runs` would give.

    Args:
        algorithm: as for `runs`.
        task: as for `runs`.
        iterations: as for `runs`.
        block: as for `runs`.
        **settings: as for `runs`.

    Returns:
        What to assign to the fixture's name: `ppo_late_updates = rlclaims.late_updates(PPO)`.
    """
    return _fixture(RunsRequest(algorithm, task, iterations, tuple(settings.items()), block, Study("late_updates")))


def large_updates(
    algorithm: "type[Algorithm] | Algorithm",
    task: str | None = None,
    *,
    pairs: int,
    iterations: int | None = None,
    block: int = 0,
    **settings: Any,
) -> Any:
    """A fixture: the last kept update of the runs that `runs` would give, made on many more fresh pairs.

    Args:
        algorithm: PPO, TRPO or a subclass of them that leaves `learn` as it is, or an instance of one.
        task: as for `runs`.
        pairs: of the batch, at least as many as the algorithm learns from itself; the last episode is whole.
        iterations: as for `runs`.
        block: as for `runs`.
        **settings: as for `runs`.

    Returns:
        What to assign to the fixture's name: `ppo_large_updates = rlclaims.large_updates(PPO, pairs=2**16)`.
    """
    study = Study("large_updates", pairs)
    return _fixture(RunsRequest(algorithm, task, iterations, tuple(settings.items()), block, study))


def gradients(
    algorithm: "type[Algorithm] | Algorithm",
    task: str | None = None,
    *,
    pairs: int = 2**14,
    near_true: bool = False,
    iterations: int | None = None,
    block: int = 0,
    **settings: Any,
) -> Any:
    """A fixture: estimates of the policy gradient of the runs that `runs` would give, and how far they agree.

    Args:
        algorithm: as for `runs`.
        task: as for `runs`.
        pairs: of the pool that gradients are estimated from, 1,024 or more.
        near_true: whether to play as many pairs more and fit values to them, by which a gradient is estimated as well.
        iterations: as for `runs`.
        block: as for `runs`.
        **settings: as for `runs`.

    Returns:
        What to assign to the fixture's name: `ppo_gradients = rlclaims.gradients(PPO)`.

    Raises:
        ClaimError: `near_true` is neither True nor False.
    """
    if type(near_true) is not bool:
        raise ClaimError(f"gradients(near_true={describe(near_true)}) is to be True or False.")
    study = Study("near_true_gradients" if near_true else "gradients", pairs)
    return _fixture(RunsRequest(algorithm, task, iterations, tuple(settings.items()), block, study))


def values(
    algorithm: "type[Algorithm] | Algorithm",
    task: str | None = None,
    *,
    iterations: int | None = None,
    block: int = 0,
    **settings: Any,
) -> Any:
    """A fixture: what the value networks of the runs that `runs` would give know of the values.

    Args:
        algorithm: as for `runs`.
        task: as for `runs`.
        iterations: as for `runs`.
        block: as for `runs`.
        **settings: as for `runs`.

    Returns:
        What to assign to the fixture's name: `ppo_values = rlclaims.values(PPO)`.
    """
    return _fixture(RunsRequest(algorithm, task, iterations, tuple(settings.items()), block, Study("values")))


def final_returns(
    algorithm: "type[Algorithm] | Algorithm",
    task: str | None = None,
    *,
    iterations: int | None = None,
    block: int = 0,
    **settings: Any,
) -> Any:
    """A fixture: what the trained policies of the runs that `runs` would give return, by fresh episodes.

    Args:
        algorithm: as for `runs`.
        task: as for `runs`.
        iterations: as for `runs`.
        block: as for `runs`.
        **settings: as for `runs`.

    Returns:
        What to assign to the fixture's name: `ppo_final = rlclaims.final_returns(PPO)`.
    """
    return _fixture(RunsRequest(algorithm, task, iterations, tuple(settings.items()), block, Study("final_returns")))


def factorial(
    algorithm: "type[Algorithm]",
    task: str | None = None,
    *,
    of: str | None = None,
    full: bool = False,
    tuned: Mapping[str, tuple[Any, ...]] | None = None,
    iterations: int | None = None,
    block: int = 0,
    **settings: Any,
) -> Any:
    """A fixture: runs of an algorithm with settings varied together, each between two values.

    Up to three settings are tried in all combinations; from four on, in a fraction of resolution IV or more
    (`rlclaims.stats.factorial`). Every combination is trained on the same seeds.

    With `tuned`, every combination is trained with each value of one setting more, and counts, seed by seed, at the
    value where what the claim asks for is largest on average over the seeds before; `rlclaims.results.factorial` says
    why only over these. So no combination is judged at a rate that suits another.

    Args:
        algorithm: a class, for the papers' settings of the task.
        task: as for `runs`.
        of: "final_returns" for what the policies of `final_returns` return, instead of the runs.
        full: whether to try all combinations of four settings and more, too.
        tuned: one setting, with two values or more: `{"learning_rate": (lambda rate: rate, lambda rate: rate / 3)}`.
        iterations: as for `runs`.
        block: as for `runs`.
        **settings: one to nine with a pair of values each, which are varied, and others, which are the same for all. A
            value that is a function is, here and in `tuned`, what it makes of the papers' value for the task:
            `learning_rate=(lambda x: x, lambda x: x / 2)`.

    Returns:
        What to assign to the fixture's name: `rates = rlclaims.factorial(PPO, epochs=(10, 5))`.
    """
    factors = tuple((name, value) for name, value in settings.items() if isinstance(value, tuple))
    fixed = tuple((name, value) for name, value in settings.items() if not isinstance(value, tuple))
    study = None if of is None else Study(of if isinstance(of, str) else describe(of))
    values = tuple(tuned.items()) if isinstance(tuned, Mapping) else tuned
    return _fixture(RunsRequest(algorithm, task, iterations, fixed, block, study, factors, full, values))


def baseline(name: str, *, runs: str | None = None) -> Any:
    """A fixture: what an earlier version came to, as `rlclaims baseline save` kept it in `reports/baselines`.

    Args:
        name: as it was saved under.
        runs: the fixture whose numbers are meant, where several had the same quantity.

    Returns:
        What to assign to the fixture's name: `before = rlclaims.baseline("my-ppo-1.0")`. A claim asks it by a sample
        of its current runs, `kl / before[kl] <= 1.1`, and mistakes are told before anything is trained.
    """
    spec = BaselineSpec(name, runs)

    def kept(*_: object, request: pytest.FixtureRequest) -> Baseline:
        return claim_session(request.config).baseline(spec)

    fixture: Any = kept
    fixture.__rlclaims_baseline__ = spec
    fixture.__doc__ = f"The baseline {describe(name)}."
    return pytest.fixture(fixture)


def _fixture(spec: RunsRequest) -> Any:
    # What a class would pass as self is of no use to it.
    def on_its_task(*_: object, request: pytest.FixtureRequest) -> "Subject":
        return claim_session(request.config).runs(spec, request.node.stash.get(SEEDS, None))

    def on_the_profiles_task(*_: object, request: pytest.FixtureRequest, _claims_task: str) -> "Subject":
        on_task = replace(spec, task=_claims_task)
        return claim_session(request.config).runs(on_task, request.node.stash.get(SEEDS, None))

    fixture: Any = on_the_profiles_task if spec.task is None else on_its_task
    fixture.__rlclaims_runs__ = spec
    name, what = getattr(spec.algorithm, "__name__", None) or describe(spec.algorithm), "runs"
    if spec.study is not None:
        what = f"{spec.study.words} of runs"
    if spec.factors is not None:
        what = f"a factorial of {what}"
    where = spec.task if isinstance(spec.task, str) else "the tasks of the profile"
    fixture.__doc__ = f"{what[0].upper()}{what[1:]} of {name} on {where}."
    return pytest.fixture(fixture)
