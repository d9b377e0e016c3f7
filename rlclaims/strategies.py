"""Hypothesis strategies: ratios, advantages, policies, updates and small decision problems for property tests.

"My objective has no gradient outside its range" is a property of every ratio and advantage:

    @given(strategies.ratios(0.2, "outside"), strategies.advantages())
    def test_no_gradient_outside_the_range(ratio_SB, advantage_SB):
        MyPPO().policy_loss(ratio_SB.requires_grad_(), advantage_SB).sum().backward()
        assert not ratio_SB.grad.any()

Numbers are multiples of 1/16: exact in binary, short to read, and equal or at least 1/16 apart. So a counterexample
shows mathematics, not rounding. Examples shrink to ratios next to 1, to advantages of 1, and to uniform policies and
transitions. Shapes are fixed, so that separately drawn tensors fit together.

Tensors are float64 with the axes of `rlclaims.update`. Finite decision problems are numpy's, with axes of their own:
X states, A actions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from rlclaims.update import Batch, DiagonalGaussian, Update

Floats = npt.NDArray[np.float64]

Where = Literal["anywhere", "inside", "outside"]


def tensors(shape: Sequence[int], low: float = -1.0, high: float = 1.0) -> SearchStrategy[Tensor]:
    """Generate tensors of multiples of 1/16 from `low` to `high`."""
    return _tensor_of(shape, _sixteenths(low, high))


def ratios(epsilon: float = 0.2, where: Where = "anywhere", shape: Sequence[int] = (2, 4)) -> SearchStrategy[Tensor]:
    """Generate ratios new/old of the probabilities of actions, (S, B), from 1/16 to 4.

    Args:
        epsilon: half width of the clip range. Ratios stay 1/64 away from 1 - epsilon and 1 + epsilon, at which the
            gradient is a convention.
        where: part of the numbers to draw from: anywhere, or only inside or outside of the clip range.
        shape: numbers of seeds and pairs.

    Raises:
        ValueError: an argument is out of range.
    """
    if not isinstance(epsilon, int | float) or not 1 / 16 <= epsilon <= 2:
        raise ValueError(f"ratios: epsilon must be a number from 1/16 to 2, not {epsilon!r}.")
    if where not in get_args(Where):
        raise ValueError(f"ratios: where must be one of {', '.join(get_args(Where))}, not {where!r}.")
    near_first = sorted((k / 16 for k in range(1, 65)), key=lambda ratio: (abs(ratio - 1), -ratio))
    inside = [ratio for ratio in near_first if abs(ratio - 1) <= epsilon - 1 / 64]
    outside = [ratio for ratio in near_first if abs(ratio - 1) >= epsilon + 1 / 64]
    choices = {"anywhere": inside + outside, "inside": inside, "outside": outside}[where]
    return _tensor_of(shape, st.sampled_from(choices))


def advantages(shape: Sequence[int] = (2, 4)) -> SearchStrategy[Tensor]:
    """Generate advantages, (S, B), of either sign and of sizes from 1/16 to 2; never 0, which has no gradient."""
    sizes = sorted((k / 16 for k in range(1, 33)), key=lambda size: abs(size - 1))
    return _tensor_of(shape, st.sampled_from([signed for size in sizes for signed in (size, -size)]))


def gaussians(shape: Sequence[int] = (2, 4, 2)) -> SearchStrategy[DiagonalGaussian]:
    """Generate action distributions (S, B, A) with means from -1 to 1 and log standard deviations from -1/2 to 1/2."""
    n_seeds, _, n_action = shape
    return st.builds(DiagonalGaussian, tensors(shape), tensors((n_seeds, 1, n_action), -0.5, 0.5))


@dataclass(frozen=True)
class FixedPolicy:
    """`rlclaims.update.Policy` that returns given distributions for any states."""

    actions: DiagonalGaussian

    def __call__(self, observation_SBO: Tensor) -> DiagonalGaussian:  # noqa: ARG002
        """Return the given distributions, one per pair."""
        return self.actions


def updates(shape: Sequence[int] = (2, 4, 2)) -> SearchStrategy[Update]:
    """Generate updates from one Gaussian policy to another, of S seeds on B pairs with A action entries.

    Actions are within 3 standard deviations of the old policy's mean; all states differ.
    """
    return st.builds(_update, gaussians(shape), gaussians(shape), tensors(shape, -3, 3), advantages(shape[:2]))


def _update(old: DiagonalGaussian, new: DiagonalGaussian, noise_SBA: Tensor, advantage_SB: Tensor) -> Update:
    n_seeds, n_pairs = advantage_SB.shape
    observation_SBO = torch.arange(n_pairs, dtype=torch.float64).expand(n_seeds, -1).unsqueeze(-1)
    action_SBA = old.mean_SBA + old.log_std_S1A.exp() * noise_SBA
    return Update(FixedPolicy(old), FixedPolicy(new), Batch(observation_SBO, action_SBA, advantage_SB))


@dataclass(frozen=True)
class FiniteMDP:
    """Decision problem small enough to be solved exactly, with an infinite horizon and start state 0.

    Policies are tables of probabilities, (X, A). Sums over time are linear solves, which lose a factor of at most
    (1 + discount) / (1 - discount) of float64's precision.
    """

    transition_XAX: Floats
    """Probability of the next state."""
    reward_XA: Floats
    """Expected reward."""
    discount: float
    """Discount factor gamma, in [0, 1)."""

    def __post_init__(self) -> None:
        n_states, n_actions = self.reward_XA.shape
        if self.transition_XAX.shape != (n_states, n_actions, n_states):
            raise ValueError(
                f"FiniteMDP: rewards of shape {(n_states, n_actions)} need transitions of shape "
                f"{(n_states, n_actions, n_states)}, not {self.transition_XAX.shape}."
            )
        if (self.transition_XAX < 0).any() or not np.allclose(self.transition_XAX.sum(2), 1, rtol=0, atol=1e-12):
            raise ValueError("FiniteMDP: transition probabilities must be non-negative and sum to 1 over next states.")
        if not 0 <= self.discount < 1:
            raise ValueError(f"FiniteMDP: discount must lie in [0, 1), not {self.discount!r}.")

    def values(self, policy_XA: Floats) -> Floats:
        """Return the expected sum of discounted rewards from each state, (X,)."""
        return np.linalg.solve(self._resolvent(policy_XA), (policy_XA * self.reward_XA).sum(1))

    def expected_return(self, policy_XA: Floats) -> float:
        """Return the value of state 0, which 1502.05477 calls eta."""
        return float(self.values(policy_XA)[0])

    def advantages(self, policy_XA: Floats) -> Floats:
        """Return the policy's advantage function, (X, A)."""
        value_X = self.values(policy_XA)
        advantage_XA: Floats = self.reward_XA + self.discount * self.transition_XAX @ value_X - value_X[:, None]
        return advantage_XA

    def visits(self, policy_XA: Floats) -> Floats:
        """Return the share of discounted time spent in each state, (X,): d of 1705.10528, which sums to 1."""
        start_X = np.eye(len(self.reward_XA))[0]
        visit_X: Floats = (1 - self.discount) * np.linalg.solve(self._resolvent(policy_XA).T, start_X)
        return visit_X

    def surrogate(self, old_XA: Floats, new_XA: Floats) -> float:
        """Return L_old(new) of 1502.05477 (eq. 3): the return of `new` if it visited the states that `old` visits."""
        gain_X = (new_XA * self.advantages(old_XA)).sum(1)
        return self.expected_return(old_XA) + float(self.visits(old_XA) @ gain_X) / (1 - self.discount)

    def _resolvent(self, policy_XA: Floats) -> Floats:
        chain_XX: Floats = np.einsum("xa,xay->xy", policy_XA, self.transition_XAX)
        return np.eye(len(chain_XX)) - self.discount * chain_XX


def mdps(
    discounts: tuple[float, float] = (0.0, 0.95), n_states: int = 3, n_actions: int = 2
) -> SearchStrategy[FiniteMDP]:
    """Generate decision problems with rewards from -1 to 1 and a discount, a multiple of 1/100, from an interval."""
    low, high = discounts
    return st.builds(
        FiniteMDP,
        _rows((n_states, n_actions, n_states), st.integers(0, 4)),
        tensors((n_states, n_actions)).map(Tensor.numpy),
        st.integers(math.ceil(100 * low), math.floor(100 * high)).map(lambda k: k / 100),
    )


def policies(n_states: int = 3, n_actions: int = 2) -> SearchStrategy[Floats]:
    """Generate tables of the positive probability of each action in each state, (X, A)."""
    return _rows((n_states, n_actions), st.integers(1, 32))


def kl(old_XA: Floats, new_XA: Floats) -> Floats:
    """Return KL(old || new) of two policies in each state, (X,), in nats."""
    divergence_X: Floats = (old_XA * np.log(old_XA / new_XA)).sum(1)
    return divergence_X


def tv(old_XA: Floats, new_XA: Floats) -> Floats:
    """Return the total variation of two policies in each state, (X,): half the sum of |new - old|."""
    distance_X: Floats = np.abs(new_XA - old_XA).sum(1) / 2
    return distance_X


def _sixteenths(low: float, high: float) -> SearchStrategy[float]:
    return st.integers(math.ceil(16 * low), math.floor(16 * high)).map(lambda k: k / 16)


def _tensor_of(shape: Sequence[int], numbers: SearchStrategy[float]) -> SearchStrategy[Tensor]:
    size = math.prod(shape)
    return st.lists(numbers, min_size=size, max_size=size).map(
        lambda values: torch.tensor(values, dtype=torch.float64).reshape(*shape)
    )


def _rows(shape: Sequence[int], weights: SearchStrategy[int]) -> SearchStrategy[Floats]:
    """Generate probabilities in proportion to whole numbers, equal ones if all of these are 0."""

    def normalized(weights: list[int]) -> Floats:
        weight = np.array(weights, dtype=np.float64).reshape(shape)
        weight[weight.sum(-1) == 0] = 1
        probability: Floats = weight / weight.sum(-1, keepdims=True)
        return probability

    size = math.prod(shape)
    return st.lists(weights, min_size=size, max_size=size).map(normalized)
