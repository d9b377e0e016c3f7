"""Generalised advantage estimation, and the scaling of rewards that precedes it."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rlclaims import compiled

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]


def generalized_advantages(
    reward_ST: Floats,
    value_ST: Floats,
    next_value_ST: Floats,
    terminated_ST: Bools,
    truncated_ST: Bools,
    *,
    gamma: float,
    lam: float,
) -> Floats:
    """Return GAE(gamma, lambda) (Schulman et al. 2015, 1506.02438, eq. 16), (S, T), with true bootstraps.

    A terminated step is worth its reward alone. A truncated step, and the last step of the rollout, is worth its
    reward plus the value of the state it led to, which `next_value_ST` holds (never the value of the state after a
    reset, nor of the state before the step). The sum of later errors stops at both kinds of ending.
    """
    error_ST = reward_ST + gamma * next_value_ST * ~terminated_ST - value_ST
    keep_ST = gamma * lam * ~(terminated_ST | truncated_ST)
    if compiled.library() is not None:
        return compiled.advantages(error_ST, keep_ST)
    advantage_ST = np.empty_like(error_ST)
    later_S = np.zeros_like(error_ST[:, 0])
    for t in reversed(range(error_ST.shape[1])):
        later_S = error_ST[:, t] + keep_ST[:, t] * later_S
        advantage_ST[:, t] = later_S
    return advantage_ST


@dataclass(frozen=True)
class RewardScale:
    """A `RewardScaler`'s scaling with its statistic frozen."""

    mean_S: Floats
    std_S: Floats
    keeps_mean: bool
    """True if deviations from the mean are divided instead of rewards."""
    clip: float

    def __call__(self, reward_ST: Floats) -> Floats:
        """Return scaled rewards, (S, T)."""
        mean_S1, std_S1 = self.mean_S[:, None], self.std_S[:, None]
        scaled_ST = mean_S1 + (reward_ST - mean_S1) / std_S1 if self.keeps_mean else reward_ST / std_S1
        return scaled_ST.clip(-self.clip, self.clip)


class RewardScaler:
    """Scaling of rewards by a running standard deviation, in one of two ways, followed by clipping.

    Code-level optimisations 2 and 5 of "Implementation Matters" (2005.12729) as implemented in
    MadryLab/implementation-matters:

    "returns" divides by the standard deviation of the discounted return so far. The statistic takes
    R <- gamma R + r at every step; R is reset to 0 at the end of an episode, and the mean is not subtracted.

    "rewards" divides deviations from the mean m by the standard deviation of the rewards so far: m + (r - m) / std,
    not r / std, as that code's `ZFilter(center=False)` does.
    """

    def __init__(self, n_seeds: int, scaling: str, gamma: float, clip: float | None) -> None:
        self._keeps_mean = scaling == "rewards"
        self._gamma = 0.0 if scaling == "rewards" else gamma  # a reward is a return with discount 0
        self._clip = np.inf if clip is None else clip
        self._return_S = np.zeros(n_seeds)
        self._count_S = np.zeros(n_seeds)
        self._mean_S = np.zeros(n_seeds)
        self._sum_of_squares_S = np.zeros(n_seeds)  # of deviations from the mean (Welford 1962)

    def __call__(self, reward_ST: Floats, done_ST: Bools) -> Floats:
        """Return scaled rewards of the next T steps, (S, T), and update the statistic."""
        if compiled.library() is not None:
            state_S4 = self.state()
            scaled_ST = compiled.scale_rewards(
                reward_ST, done_ST, state_S4, gamma=self._gamma, clip=self._clip, keeps_mean=self._keeps_mean
            )
            self.load_state(state_S4)
            return scaled_ST
        scaled_ST = np.empty_like(reward_ST)
        for t in range(reward_ST.shape[1]):
            self._return_S = self._gamma * self._return_S + reward_ST[:, t]
            self._count_S = self._count_S + 1
            deviation_S = self._return_S - self._mean_S
            self._mean_S = self._mean_S + deviation_S / self._count_S
            self._sum_of_squares_S = self._sum_of_squares_S + deviation_S * (self._return_S - self._mean_S)
            scaled_ST[:, t : t + 1] = self.current(reward_ST[:, t : t + 1])
            self._return_S = self._return_S * ~done_ST[:, t]
        return scaled_ST

    def state(self) -> Floats:
        """Return the whole statistic, (S, 4): return so far, number of values, mean, sum of squared deviations."""
        return np.stack([self._return_S, self._count_S, self._mean_S, self._sum_of_squares_S], axis=1)

    def load_state(self, state_S4: Floats) -> None:
        """Restore what `state` returned."""
        self._return_S, self._count_S, self._mean_S, self._sum_of_squares_S = state_S4.T.copy()

    def select(self, which: Sequence[int]) -> "RewardScaler":
        """Return a scaler with a copy of the state of some seeds."""
        selected = copy(self)
        selected.load_state(self.state()[list(which)])
        return selected

    def assign(self, which: Sequence[int], selected: "RewardScaler") -> None:
        """Copy the state of `selected`, which `select` returned, back into its rows."""
        state_S4 = self.state()
        state_S4[list(which)] = selected.state()
        self.load_state(state_S4)

    @property
    def current(self) -> RewardScale:
        """Scaling by the current statistic, for measurements, which must not update it."""
        return RewardScale(self._mean_S, self._std(), self._keeps_mean, self._clip)

    def _std(self) -> Floats:
        std_S = np.sqrt(self._sum_of_squares_S / np.maximum(self._count_S - 1, 1)) + 1e-8
        return np.where(self._count_S < 2, 1.0, std_S)
