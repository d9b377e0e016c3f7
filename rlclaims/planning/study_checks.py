"""Whether a study can be made of an algorithm's runs, and on a task."""

import torch

from rlclaims.adapters.external import ExternalTraining
from rlclaims.agents.algorithm import Algorithm
from rlclaims.agents.ppo import PPO
from rlclaims.agents.trpo import TRPO
from rlclaims.sim.environment import Environment
from rlclaims.sim.tasks import TASKS, task_named
from rlclaims.store.run_spec import SpecError
from rlclaims.studies.registry import Study
from rlclaims.text import describe

LEAST_POOL = 1024
"""Pairs that gradients are estimated from, at least."""


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
