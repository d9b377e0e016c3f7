"""The base class of algorithms: a frozen dataclass of the settings that PPO and TRPO share, with a `learn` method.

`learn` updates the state of an `Agent` (`rlclaims.agents.agent`).
"""

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

from torch import Tensor

from rlclaims.agents.networks import ACTIVATIONS
from rlclaims.agents.settings import paper_settings
from rlclaims.text import describe
from rlclaims.update import Batch, Rollout, Update

if TYPE_CHECKING:
    from rlclaims.agents.agent import Agent

MAX_NUMBER = 1e38
"""Limit of numbers among the settings: larger ones are typing errors, as are those beyond the limits below."""
MAX_COUNT = 10**8
"""Limit of counts."""
MAX_WIDTH = 2**14
"""Limit of the width of a hidden layer."""
MAX_DEPTH = 32
"""Limit of the number of hidden layers."""


@dataclass(frozen=True)
class Algorithm(ABC):
    """Settings of an actor-critic with separate networks; subclasses add their own and implement `learn`."""

    steps: int = 2048
    """Environment steps between two updates, T."""
    gamma: float = 0.99
    """Discount factor."""
    gae_lambda: float = 0.95
    """Lambda of generalised advantage estimation."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of both networks."""
    value_learning_rate: float = 2.5e-4
    """Adam's step size for the value network."""
    value_epochs: int = 10
    """Passes over the rollout in the value regression."""
    minibatches: int = 32
    """Parts into which a pass splits the rollout."""
    adam_epsilon: float = 1e-5
    """Adam's denominator offset."""
    value_baseline: bool = True
    """Advantages are estimated with the value network; without it they are discounted returns to go (1811.02553)."""

    value_clip: float | None = None
    """Optimisation 1: how far a value may move from its old prediction before it stops learning."""
    scale_rewards: bool = False
    """Optimisation 2: scale rewards by a running standard deviation."""
    reward_scaling: str = "returns"
    """Statistic for `scale_rewards`: "returns", the discounted return so far, or "rewards", scaled about their mean."""
    initialization: str = "xavier"
    """Optimisation 3: "orthogonal" with scaled heads, or "xavier"."""
    anneal_learning_rates: bool = False
    """Optimisation 4: both learning rates fall linearly to 0 over the planned iterations."""
    reward_clip: float | None = None
    """Optimisation 5: bound on a reward, after scaling if `scale_rewards` is on."""
    normalize_observations: bool = True
    """Optimisation 6: subtract the running mean and divide by the running standard deviation."""
    observation_clip: float | None = None
    """Optimisation 7: bound on an observation, after normalisation if `normalize_observations` is on."""
    activation: str = "tanh"
    """Optimisation 8: nonlinearity of the hidden layers."""
    gradient_clip: float | None = None
    """Optimisation 9: bound on the l2 norm of the policy's gradient (off in the papers' code but for PPO-NoClip)."""

    def __post_init__(self) -> None:
        for name in ("steps", "minibatches", "value_epochs"):
            self._require_positive(name, int)
        for name in ("value_learning_rate", "adam_epsilon"):
            self._require_positive(name)
        for name in ("value_clip", "reward_clip", "observation_clip", "gradient_clip"):
            if getattr(self, name) is not None:
                self._require_positive(name)
        for name in ("gamma", "gae_lambda"):
            value = getattr(self, name)
            self._require(_is_number(value) and 0 <= value <= 1, f"{name} must lie in [0, 1], not {describe(value)}")
        self._require(
            self.steps % self.minibatches == 0 and self.steps > self.minibatches,
            f"steps ({self.steps}) must be a multiple of minibatches ({self.minibatches}), and more than one",
        )
        for name in ("scale_rewards", "anneal_learning_rates", "normalize_observations", "value_baseline"):
            self._require_boolean(name)
        self._require(
            isinstance(self.hidden, tuple)
            and all(type(width) is int and 0 < width <= MAX_WIDTH for width in self.hidden)
            and len(self.hidden) <= MAX_DEPTH,
            f"hidden must be a tuple of positive widths, at most {MAX_DEPTH} of at most {MAX_WIDTH:,}, not "
            f"{describe(self.hidden)}",
        )
        self._require(
            isinstance(self.initialization, str) and self.initialization in ("orthogonal", "xavier"),
            f"initialization must be 'orthogonal' or 'xavier', not {describe(self.initialization)}",
        )
        self._require(
            isinstance(self.activation, str) and self.activation in ACTIVATIONS,
            f"activation must be one of {', '.join(sorted(ACTIVATIONS))}, not {describe(self.activation)}",
        )
        self._require(
            isinstance(self.reward_scaling, str) and self.reward_scaling in ("returns", "rewards"),
            f"reward_scaling must be 'returns' or 'rewards', not {describe(self.reward_scaling)}",
        )
        self._require(
            self.reward_scaling == "returns" or self.scale_rewards,
            "reward_scaling='rewards' selects how rewards are scaled and needs scale_rewards=True",
        )
        for field in fields(self):
            value = getattr(self, field.name)
            # 10 and 10.0 are the same setting and must give the same digest.
            if "float" in str(field.type) and _is_number(value) and abs(value) < MAX_NUMBER:
                object.__setattr__(self, field.name, float(value) + 0.0)

    def check(self) -> None:
        """Check what can be checked without training.

        Raises:
            ValueError: the class is not declared correctly.
        """
        for cls in type(self).__mro__[: type(self).__mro__.index(Algorithm)]:
            known = {field.name for field in fields(cls)}
            annotated = set(inspect.get_annotations(cls))
            if annotated and "__dataclass_fields__" not in vars(cls):
                raise ValueError(
                    f"{cls.__name__} declares settings and must be decorated with @dataclass(frozen=True)."
                )
            if bare := sorted(known.intersection(vars(cls)) - annotated):
                raise ValueError(f"{cls.__name__}.{bare[0]} has no type and sets nothing; write {bare[0]}: float = ...")

    def _require(self, condition: bool, sentence: str) -> None:
        if not condition:
            raise ValueError(f"{type(self).__name__}: {sentence}.")

    def _require_positive(self, name: str, kind: type = float) -> None:
        value = getattr(self, name)
        fits = type(value) is int and value <= MAX_COUNT if kind is int else _is_number(value)
        number = "whole number" if kind is int else "number"
        if type(value) is int and value > MAX_COUNT:
            number += f" of at most {MAX_COUNT:,}" if kind is int else ""
        off = ", or None for off" if "None" in str(type(self).__dataclass_fields__[name].type) else ""
        self._require(
            fits and 0 < value < MAX_NUMBER, f"{name} must be a positive {number}{off}, not {describe(value)}"
        )

    def _require_nonzero(self, name: str) -> None:
        value = getattr(self, name)
        fits = _is_number(value) and 0 < abs(value) < MAX_NUMBER
        self._require(fits, f"{name} must be a number other than 0, or None for off, not {describe(value)}")

    def _require_boolean(self, name: str) -> None:
        value = getattr(self, name)
        self._require(isinstance(value, bool), f"{name} must be True or False, not {describe(value)}")

    @classmethod
    def for_task(cls, task: str, **changes: Any) -> Self:
        """Return the papers' settings for a Gymnasium id, or the defaults without any, with `changes` applied.

        A subclass inherits the settings of the class that the papers name, but a default that it sets itself wins.

        Raises:
            ValueError: a setting is unknown or does not fit.
        """
        known = {field.name for field in fields(cls)}
        if unknown := sorted(changes.keys() - known):
            raise ValueError(
                f"{cls.__name__} has no setting {describe(unknown[0])}; it has {', '.join(sorted(known))}."
            )
        name = task.partition("(")[0]  # "Hopper-v5(healthy_reward=2.0)" is Hopper
        for owner in cls.__mro__:
            settings = paper_settings(owner.__name__, name) if owner.__module__.startswith("rlclaims.") else None
            if settings is not None:
                subclasses = cls.__mro__[: cls.__mro__.index(owner)]
                own = {name for subclass in subclasses for name in inspect.get_annotations(subclass)}
                return cls(**{**{name: value for name, value in settings.items() if name not in own}, **changes})
        return cls(**changes)

    @property
    def gradient_steps(self) -> int:
        """Minibatch steps per iteration, a rough measure of its cost for any number of seeds."""
        return self.value_epochs * self.minibatches

    @property
    def ratio_epsilon(self) -> float:
        """The eps of the interval [1 - eps, 1 + eps] that ratios are compared with; .2, as in the papers' figures."""
        return 0.2

    @property
    def standardizes_advantages(self) -> bool:
        """True if the objective weights pairs by advantages with mean 0 and standard deviation 1."""
        return True

    def objective(self, update: Update) -> Tensor:
        """Return the objective that the policy update maximises, (S,), on all pairs of the batch; used by landscapes.

        Raises:
            NotImplementedError: the algorithm does not define it.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define the objective that its update maximises.")

    def weights(self, batch: Batch) -> Tensor:
        """Return the objective's weights of pairs, (S, B), float64."""
        advantage_SB = batch.advantage_SB
        return (standardized(advantage_SB) if self.standardizes_advantages else advantage_SB).double()

    @abstractmethod
    def learn(self, agent: "Agent", rollout: Rollout) -> Batch:
        """Improve the policy and refit the values on a rollout of the current policy.

        Returns:
            The pairs and advantages that the policy learned from.
        """


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def standardized(advantage_SB: Tensor) -> Tensor:
    """Return each seed's advantages scaled to mean 0 and (unbiased) standard deviation 1."""
    mean_S1, std_S1 = advantage_SB.mean(1, keepdim=True), advantage_SB.std(1, keepdim=True)
    return (advantage_SB - mean_S1) / (std_S1 + 1e-8)
