"""Record the updates of any training loop.

    recorder = UpdateRecorder()
    for observation, action, advantage in rollouts:
        with recorder.update(policy, Pairs(observation, action, advantage)):
            ...  # improve the policy in place
    recorder.series["kl_old_new/mean/training"]

`policy` is called before and after the update, and returns a distribution over actions. Recording draws no random
number and changes no parameter, so a training is bit-identical whether it is recorded or not.
"""

import copy
import random  # noqa: TID251  (its state is restored, and nothing is drawn)
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.distributions import Distribution

from rlclaims.adapters.actions import PolicyOutput, TorchActions
from rlclaims.measures.registry import measures
from rlclaims.training import HELD_OUT_EVERY
from rlclaims.update import Batch, Update

EPSILON = 0.2
"""Default distance from 1 beyond which a ratio counts as an exceedance."""


@dataclass(frozen=True)
class Pairs:
    """B state-action pairs from a policy before its update."""

    observation: Any
    """Observations of B states, of any type that the policy accepts."""
    action: Any
    """Actions taken, (B,) or (B, A): tensor or array."""
    advantage: Any
    """Advantages before any standardisation, (B,): tensor or array."""


Policy = Callable[[Any], PolicyOutput]
"""A function from observations to a distribution over actions."""


class UpdateRecorder:
    """Measures the updates of one training as they are made.

    Args:
        epsilon: Distance from 1 beyond which a ratio counts as an exceedance.
    """

    def __init__(self, epsilon: float = EPSILON) -> None:
        self.epsilon = epsilon
        self.iteration = 0
        """Number of updates recorded."""
        self.series: dict[str, list[float]] = {}
        """Measures by name: a value per update, and on held-out pairs a value per tenth update."""
        self.failure: str | None = None
        """The measure that was no longer finite, and when; nothing is recorded afterwards."""
        self._before_update: list[tuple[str, Pairs, TorchActions]] = []

    @property
    def wants_held_out(self) -> bool:
        """True if the next update is also measured on held-out pairs: the first, and every tenth after it."""
        return self.iteration % HELD_OUT_EVERY == 0

    @contextmanager
    def update(self, policy: Policy, pairs: Pairs, held_out: Callable[[], Pairs] | None = None) -> Iterator[None]:
        """Measure the update that is made in the body of the `with` statement.

        Args:
            policy: The policy that is updated in place: a module, or a function that calls one. If calling the module
                changes it (batch normalisation, for example), pass a function that switches it to eval mode meanwhile.
            pairs: The pairs that the update learns from.
            held_out: Collects as many fresh pairs with the policy; called every tenth time, before the update.

        Raises:
            TypeError: The policy does not return distributions.
            NotImplementedError: torch has no KL divergence of these distributions.
            ValueError: The shapes of pairs and policy output do not match.
        """
        self.begin(policy, pairs, held_out)
        try:
            yield
        except BaseException:
            self.discard()
            raise
        self.end(policy)

    def begin(self, policy: Policy, pairs: Pairs, held_out: Callable[[], Pairs] | None = None) -> None:
        """Evaluate the policy before an update; the first half of `update`."""
        if self.failure is not None:
            return
        with preserve_random_states(), torch.no_grad():
            batches = {"training": _copy(pairs)}
            if held_out is not None and self.wants_held_out:
                batches["held_out"] = _copy(held_out())
            evaluated = [(states, batch, _evaluate(policy, batch)) for states, batch in batches.items()]
            for _, batch, output in evaluated:
                # Raise errors of shapes and of missing KL divergences before the update, not after.
                output.log_prob(batch.action[None])
                output.kl(output)
        self._before_update = evaluated

    def discard(self) -> None:
        """Discard an update that was started and not completed."""
        self._before_update = []

    def end(self, policy: Policy) -> None:
        """Evaluate the policy after an update and record the measures; the second half of `update`."""
        if not self._before_update:
            return
        with preserve_random_states(), torch.no_grad():
            values = {
                f"{name}/{states}": float(value_S[0])
                for states, pairs, old in self._before_update
                for name, value_S in measures(_update(pairs, old, _evaluate(policy, pairs)), self.epsilon).items()
            }
        self._before_update = []
        not_finite = next((name for name, value in values.items() if not np.isfinite(value)), None)
        if not_finite is not None:
            self.failure = f"{not_finite} is not finite in iteration {self.iteration}"
            return
        for name, value in values.items():
            self.series.setdefault(name, []).append(value)
        self.iteration += 1


def _copy(pairs: Pairs) -> Pairs:
    """Return a deep copy, since a training may reuse the memory."""
    action, advantage = (torch.as_tensor(x).detach().cpu().clone() for x in (pairs.action, pairs.advantage))
    if action.ndim == 0 or advantage.ndim != 1 or not len(action) == len(advantage) > 0:
        raise ValueError(
            f"Advantages must be one number per pair, and actions one row per pair; their shapes are "
            f"{tuple(advantage.shape)} and {tuple(action.shape)}."
        )
    observation = pairs.observation
    is_tensor = isinstance(observation, torch.Tensor)
    return Pairs(observation.detach().clone() if is_tensor else copy.deepcopy(observation), action, advantage)


def _evaluate(policy: Policy, pairs: Pairs) -> TorchActions:
    validates = Distribution._validate_args
    # Without validation a policy with NaN parameters does not raise here: `end` reports the measure instead.
    Distribution.set_default_validate_args(False)
    try:
        return TorchActions(policy(pairs.observation))
    finally:
        Distribution.set_default_validate_args(validates)


def _update(pairs: Pairs, old: TorchActions, new: TorchActions) -> Update:
    # Both policies are evaluated already, so the states, whose shape is unknown here, are not needed.
    states = torch.empty(1, len(pairs.advantage), 0)
    return Update(lambda _: old, lambda _: new, Batch(states, pairs.action[None], pairs.advantage[None]))


@contextmanager
def preserve_random_states() -> Iterator[None]:
    """Restore the states of the global random generators of torch, numpy and Python on exit."""
    torch_state = torch.get_rng_state()
    numpy_state = np.random.get_state()  # noqa: NPY002
    python_state = random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(torch_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
