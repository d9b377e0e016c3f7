"""What a fixture stands for, made from finished runs: the runs, what is derived from them, or a factorial of runs."""

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import torch

from rlclaims.adapters.external import ExternalTraining
from rlclaims.agents.algorithm import Algorithm
from rlclaims.agents.ppo import PPO
from rlclaims.agents.trpo import TRPO
from rlclaims.results.factorial import Factorial, Tuned
from rlclaims.results.runs import Runs, RunsRequest
from rlclaims.sim.environment import Environment
from rlclaims.sim.tasks import TASKS, task_named
from rlclaims.stats.factorial import Combination, two_level_design
from rlclaims.store.run_spec import RunSpec, SpecError
from rlclaims.studies.final_returns.query import FinalReturns
from rlclaims.studies.gradients.query import Gradients, NearTrueGradients
from rlclaims.studies.landscape.query import Landscapes
from rlclaims.studies.registry import Study
from rlclaims.studies.twin_updates.query import TwinUpdates
from rlclaims.studies.updates.query import LargeUpdates, LateUpdates
from rlclaims.studies.values.query import Values
from rlclaims.text import describe, describe_error

if TYPE_CHECKING:
    from rlclaims.results.measured import Measured

Derived = TwinUpdates | Landscapes | LateUpdates | LargeUpdates | Gradients | Values | FinalReturns
Subject = Runs | Derived | Factorial

LEAST_POOL = 1024
"""Pairs that gradients are estimated from, at least."""

DERIVED: dict[str, type[Derived]] = {
    "twins": TwinUpdates,
    "landscapes": Landscapes,
    "late_updates": LateUpdates,
    "large_updates": LargeUpdates,
    "gradients": Gradients,
    "near_true_gradients": NearTrueGradients,
    "values": Values,
    "final_returns": FinalReturns,
}
"""By kind of study."""


def cells(algorithm: type[Algorithm], spec: RunsRequest, task: str) -> list[Algorithm]:
    """The algorithm of each combination of a factorial, or the one algorithm where there are no factors.

    Where a setting is tuned, a combination has one for each of its values, side by side.

    Raises:
        ValueError, TypeError: a setting is unknown or does not fit, or there are too many factors.
    """
    changes = dict(spec.changes)
    if spec.factors is None:
        return [algorithm.for_task(task, **changes)]
    for name, values in spec.factors:
        if len(values) != 2:
            raise ValueError(f"A setting of a factorial has two values, {name}=(one, other), not {describe(values)}.")
    tuned = _tuned(spec)
    papers = algorithm.for_task(task, **changes)
    levels = {name: _levels(papers, name, values) for name, values in (*spec.factors, *tuned)}
    for name, made in levels.items():
        if twice := [one for one, other in combinations(made, 2) if one == other]:
            raise ValueError(
                f"A setting of a factorial has different values, and {name} is {describe(twice[0])} twice."
            )
    choices = [{name: value} for name, _ in tuned for value in levels[name]] or [{}]
    # All of the design are made, so that one that cannot be is seen wherever the claim is run.
    of_design = {
        switched: [
            algorithm.for_task(
                task, **{**changes, **{name: levels[name][name in switched] for name, _ in spec.factors}, **choice}
            )
            for choice in choices
        ]
        for switched in _design(spec)
    }
    return [made for switched in _tried(spec) for made in of_design[switched]]


def _tuned(spec: RunsRequest) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    """The setting that is tuned, with its values; nothing where none is.

    Raises:
        ValueError: it is not one setting with two values or more, or has a value of its own as well.
    """
    if spec.tuned is None:
        return ()
    if not isinstance(spec.tuned, tuple) or len(spec.tuned) != 1:
        raise ValueError(
            f"One setting is tuned, tuned={{'learning_rate': (one, other)}}, say, not {describe(spec.tuned)}."
        )
    ((name, values),) = spec.tuned
    if not isinstance(values, tuple) or len(values) < 2:
        raise ValueError(
            f"A setting is tuned over two values or more, {{{name!r}: (one, other)}}, not {describe(values)}."
        )
    if name in dict(spec.changes) or name in dict(spec.factors or ()):
        raise ValueError(f"{name} is tuned, and so neither varied nor given a value of its own.")
    return spec.tuned


def _levels(papers: Algorithm, name: str, values: Sequence[Any]) -> list[Any]:
    """The values of a setting, those that are functions made of the papers'."""

    def level(value: Any) -> Any:
        if not callable(value) or not hasattr(papers, name):
            return value
        try:
            return value(getattr(papers, name))
        except Exception as error:
            raise ValueError(
                f"The function that {name} is varied by fails at the papers' {describe(getattr(papers, name))}: "
                f"{describe_error(error)}."
            ) from error

    return [level(value) for value in values]


def subject(spec: RunsRequest, run_specs: Sequence[RunSpec], measured: "Sequence[Measured]") -> Subject:
    """What a fixture stands for, from its runs and what they measured.

    Runs are given combination by combination, in it value by value of what is tuned, and of these seed by seed.
    """
    tried, tuned = _tried(spec), _tuned(spec)
    each = sum(len(values) for _, values in tuned) or 1
    n = len(run_specs) // (len(tried) * each)

    def of_cell(i: int) -> tuple[Algorithm | ExternalTraining, str, int, tuple[int, ...], "tuple[Measured, ...]"]:
        runs, first = run_specs[i * n : (i + 1) * n], run_specs[i * n]
        seeds = tuple(run.seed for run in runs)
        return first.algorithm, first.task, first.iterations, seeds, tuple(measured[i * n : (i + 1) * n])

    asked = Runs if spec.study is None else DERIVED[spec.study.kind]
    made = [asked(*of_cell(i), spec.study) for i in range(len(tried) * each)]
    if spec.factors is None:
        return made[0]
    if not tuned:
        return Factorial(dict(zip(tried, made, strict=True)))
    ((setting, _),) = tuned
    return Factorial({cell: Tuned(setting, made[i * each : (i + 1) * each]) for i, cell in enumerate(tried)})


def kind(spec: RunsRequest) -> str:
    """What a fixture stands for, in words."""
    words = "runs" if spec.study is None else spec.study.words
    if spec.factors is None:
        return words
    return "factorial" if spec.study is None else f"factorial of {words}"


def check_study(study: Study, algorithm: Algorithm | ExternalTraining) -> None:
    """Refuse what cannot be derived from an algorithm's runs.

    Raises:
        SpecError: it can not, and why.
    """
    if isinstance(algorithm, ExternalTraining):
        raise SpecError(
            f"{study.words.capitalize()} are of algorithms that rlclaims trains itself; of {algorithm.title} it only "
            "records updates."
        )
    if study.kind == "twins":
        _check_remakable(algorithm)
    if study.kind == "large_updates":
        _check_large(study.pairs, algorithm)
    of_gradients = study.kind in ("gradients", "near_true_gradients")
    if of_gradients and (type(study.pairs) is not int or study.pairs < LEAST_POOL):
        raise SpecError(
            f"Gradients are estimated from a whole number of pairs, {LEAST_POOL:,} or more, "
            f"not {describe(study.pairs)}."
        )
    if (of_gradients or study.kind == "values") and not algorithm.value_baseline:
        raise SpecError(
            f"{study.words.capitalize()} are of algorithms with a value network, and {type(algorithm).__name__} has "
            "none with value_baseline=False."
        )
    if of_gradients and isinstance(algorithm, PPO):
        _check_first_step(algorithm)
    if study.kind in ("landscapes", "large_updates"):
        _check_objective(algorithm)


def check_playable(study: Study, task: str) -> None:
    """Refuse what cannot be derived from runs on a task.

    Raises:
        SpecError: it can not, or there is no such task, and why.
    """
    try:
        found = task_named(task)
    except ValueError as error:
        raise SpecError(str(error)) from None
    if study.kind == "twins":
        return
    if study.kind == "values" and isinstance(found, Environment):
        raise SpecError(
            "Values are held against the states' true ones, by episodes that are played on from given states, and "
            f"{task!r} can only be begun anew; the tasks whose state can be set are {', '.join(TASKS)}."
        )
    if found.time_limit is None:
        raise SpecError(
            f"{study.words.capitalize()} are of whole episodes, and no time limit ends those of {task!r}; give it "
            "max_episode_steps."
        )


def _check_first_step(algorithm: PPO) -> None:
    """Refuse an objective whose gradient is not, at the old policy, the mean advantage times that of log pi(a|s)."""
    name = type(algorithm).__name__
    try:
        algorithm.check()
    except ValueError as error:
        raise SpecError(str(error)) from None
    if algorithm.entropy_coefficient is not None:
        raise SpecError(
            f"Gradients are of objectives without entropy, and {name} has an entropy_coefficient of "
            f"{algorithm.entropy_coefficient:g}."
        )
    ratio_SB, advantage_SB = torch.ones((1, 4), requires_grad=True), torch.tensor([[1.5, -1.0, 0.5, -1.0]])
    (slope_SB,) = torch.autograd.grad(-algorithm.policy_loss(ratio_SB, advantage_SB).sum(), ratio_SB)
    # A factor that all pairs have in common turns no gradient.
    if not torch.cosine_similarity(slope_SB, advantage_SB) > 1 - 1e-6:
        raise SpecError(
            f"Gradients are of objectives that climb ratio times advantage where the ratio is 1; {name}.policy_loss "
            "has another slope there."
        )


def _check_remakable(algorithm: Algorithm) -> None:
    """Refuse an algorithm whose updates cannot be made again with mechanisms switched."""
    cls = type(algorithm)
    if not issubclass(cls, PPO):
        raise SpecError(f"Twin updates are of rlclaims.PPO and its subclasses, and {cls.__name__} is none.")
    if any(getattr(cls, name) is not getattr(PPO, name) for name in ("learn", "improve", "run_epoch")):
        raise SpecError(
            f"{cls.__name__} learns in a way of its own, which has no such mechanisms to switch: twin updates are of "
            "subclasses of PPO that change settings or policy_loss."
        )


def _check_objective(algorithm: Algorithm) -> None:
    """Refuse an algorithm that learns otherwise than the class does that says what its update climbs."""
    mro = type(algorithm).__mro__

    def home(method: str) -> int:
        return next((i for i, cls in enumerate(mro) if method in vars(cls)), len(mro))

    says = home("objective")
    if mro[says] is Algorithm or min(map(home, ("learn", "improve", "run_epoch"))) < says:
        name = mro[0].__name__
        raise SpecError(
            f"{name} learns in a way of its own, and landscapes ask what its update climbs: give it a method "
            "objective(update) -> one number per seed, as rlclaims.PPO and rlclaims.TRPO have."
        )


def _check_large(pairs: object, algorithm: Algorithm) -> None:
    """Refuse a batch that an update cannot be made on, and an algorithm whose update cannot be made on another."""
    cls = type(algorithm)
    if not callable(getattr(cls, "improve", None)) or cls.learn not in (PPO.learn, TRPO.learn):
        raise SpecError(
            f"{cls.__name__} learns in a way of its own, in which an update of the policy is not made by itself: large "
            "updates are of rlclaims.PPO, rlclaims.TRPO and their subclasses that leave learn as it is."
        )
    if type(pairs) is not int or pairs < algorithm.steps:
        raise SpecError(
            f"Large updates of {cls.__name__} are made on a whole number of pairs, no fewer than the {algorithm.steps} "
            f"that it learns from itself, not {describe(pairs)}."
        )


def _design(spec: RunsRequest) -> tuple[Combination, ...]:
    return two_level_design([name for name, _ in spec.factors or ()], () if spec.full else None)


def _tried(spec: RunsRequest) -> tuple[Combination, ...]:
    """The combinations of the design that are trained, the one with all settings at their first value before others."""
    design = _design(spec)
    if not spec.wiring:
        return design
    tried, left = list(design[:1]), {name for name, _ in spec.factors or ()}
    for combination in reversed(design):
        if combination & left:
            tried.append(combination)
            left -= combination
    return tuple(tried)
