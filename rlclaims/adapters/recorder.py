"""Records the updates of anybody's training loop.

    recorder = Recorder()
    for observation, action, advantage in rollouts:
        with recorder.update(policy, Pairs(observation, action, advantage)):
            ...  # whatever improves the policy, in place
    recorder.series["kl_old_new/mean/training"]

`policy` is asked before and after, and answers with a distribution over actions. That draws no random number and moves
nothing, so that a training is the same bit for bit whether it is recorded or not.
"""

import copy
import random  # noqa: TID251  (its state is put back, and nothing is drawn)
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.distributions import Distribution

from rlclaims.adapters.actions import Said, TorchActions
from rlclaims.measures.registry import measures
from rlclaims.training import HELD_OUT_EVERY
from rlclaims.update import Batch, Update

EPSILON = 0.2
"""Distance from 1 beyond which a ratio is counted, where an algorithm names none."""


@dataclass(frozen=True)
class Pairs:
    """B state-action pairs that a policy made before it was updated."""

    observation: Any
    """What the policy is asked about: anything that it takes, of B states."""
    action: Any
    """What it did, (B,) or (B, A): tensor or array."""
    advantage: Any
    """Advantages in the units that are learnt from, not standardised, (B,): tensor or array."""


Policy = Callable[[Any], Said]
"""What a policy says of actions in the observations it is given."""


class Recorder:
    """The updates of one training, measured as they are made.

    Args:
        epsilon: distance from 1 beyond which a ratio is counted as an exceedance.
    """

    def __init__(self, epsilon: float = EPSILON) -> None:
        self.epsilon = epsilon
        self.iteration = 0
        """Updates recorded."""
        self.series: dict[str, list[float]] = {}
        """Measures by name, one value an update, of held-out pairs one every tenth."""
        self.failure: str | None = None
        """Which measure was no longer finite, and when; nothing is recorded from then on."""
        self._open: list[tuple[str, Pairs, TorchActions]] = []

    @property
    def wants_held_out(self) -> bool:
        """Whether the next update is one that is measured on fresh pairs as well: the first, and every tenth."""
        return self.iteration % HELD_OUT_EVERY == 0

    @contextmanager
    def update(self, policy: Policy, pairs: Pairs, held_out: Callable[[], Pairs] | None = None) -> Iterator[None]:
        """Measure an update that is made in the meantime.

        Args:
            policy: as it stands, and as it will stand at the end: a module, or a function that asks one. A module that
                asking moves, by batch normalisation say, is asked by a function that puts it into eval mode meanwhile.
            pairs: what is learnt from.
            held_out: collects as many fresh pairs of the policy; it is asked every tenth time, before the update.

        Raises:
            TypeError: the policy answers with something else than distributions.
            NotImplementedError: torch knows no KL of these.
            ValueError: pairs do not fit together.
        """
        self.begin(policy, pairs, held_out)
        try:
            yield
        except BaseException:
            self.give_up()
            raise
        self.end(policy)

    def begin(self, policy: Policy, pairs: Pairs, held_out: Callable[[], Pairs] | None = None) -> None:
        """What `update` does before the update."""
        if self.failure is not None:
            return
        with untouched(), torch.no_grad():
            asked = {"training": _kept(pairs)}
            if held_out is not None and self.wants_held_out:
                asked["held_out"] = _kept(held_out())
            opened = [(states, found, _said(policy, found)) for states, found in asked.items()]
            for _, found, said in opened:
                # Which tells what does not fit, and of what torch knows no KL, before it is learnt from.
                said.log_prob(found.action[None])
                said.kl(said)
        self._open = opened

    def give_up(self) -> None:
        """Forget an update that was begun and is not made."""
        self._open = []

    def end(self, policy: Policy) -> None:
        """What it does after."""
        if not self._open:
            return
        with untouched(), torch.no_grad():
            measured = {
                f"{name}/{states}": float(value_S[0])
                for states, pairs, old in self._open
                for name, value_S in measures(_update(pairs, old, _said(policy, pairs)), self.epsilon).items()
            }
        self._open = []
        lost = next((name for name, value in measured.items() if not np.isfinite(value)), None)
        if lost is not None:
            self.failure = f"{lost} is not finite in iteration {self.iteration}"
            return
        for name, value in measured.items():
            self.series.setdefault(name, []).append(value)
        self.iteration += 1


def _kept(pairs: Pairs) -> Pairs:
    """Copies, since a training may use the memory again."""
    action, advantage = (torch.as_tensor(x).detach().cpu().clone() for x in (pairs.action, pairs.advantage))
    if action.ndim == 0 or advantage.ndim != 1 or not len(action) == len(advantage) > 0:
        raise ValueError(
            f"Advantages are one number a pair, and actions as many rows: not {tuple(advantage.shape)} and "
            f"{tuple(action.shape)}."
        )
    seen = pairs.observation
    return Pairs(seen.detach().clone() if isinstance(seen, torch.Tensor) else copy.deepcopy(seen), action, advantage)


def _said(policy: Policy, pairs: Pairs) -> TorchActions:
    validates = Distribution._validate_args
    # A policy that is no longer finite answers, and its measures say so.
    Distribution.set_default_validate_args(False)
    try:
        return TorchActions(policy(pairs.observation))
    finally:
        Distribution.set_default_validate_args(validates)


def _update(pairs: Pairs, old: TorchActions, new: TorchActions) -> Update:
    # Both policies have answered already, about states that are of no shape that would be known here.
    states = torch.empty(1, len(pairs.advantage), 0)
    return Update(lambda _: old, lambda _: new, Batch(states, pairs.action[None], pairs.advantage[None]))


@contextmanager
def untouched() -> Iterator[None]:
    """Put the global random numbers of torch, numpy and Python back to where they were."""
    torch_state, numpy_state, python_state = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        yield
    finally:
        torch.set_rng_state(torch_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
