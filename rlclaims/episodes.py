"""Whole episodes of many policies on common random numbers, from which landscapes of returns are computed.

Policies that are compared start from the same states and draw the same action noise, so that their differences are
paired. The list of episodes is fixed before the first one starts, and every one is played to its end: stopping after a
number of steps, or replacing a long episode by the next one, would favour short episodes.

Each simulation is a slot. When an episode ends, its slot takes the next one of the list; when the list is empty the
slot is dropped, and only the remaining ones are stepped. An episode's results are bit-identical in any slot.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from rlclaims.agents.networks import PolicyNetwork
from rlclaims.randomness import Purpose, stream
from rlclaims.sim.normalizer import Normalization
from rlclaims.sim.simulator import simulate
from rlclaims.sim.tasks import AnyTask, Floats

Floats32 = npt.NDArray[np.float32]

SLOTS = 128
"""Simulations stepped at a time: enough to make numpy's cost small beside MuJoCo's, few enough for the caches."""


@dataclass(frozen=True)
class Policies:
    """N policies with their observation normalisation."""

    network: PolicyNetwork
    theta_NP: Floats32
    normalization: Normalization
    """Normalisation of observations, one row per policy."""


@dataclass(frozen=True)
class Draws:
    """The random numbers of D episodes, for any policy; a Gymnasium environment's seed is stored as a position."""

    qpos_DQ: Floats
    """Initial positions."""
    qvel_DV: Floats
    """Initial velocities."""
    noise_DTA: Floats32
    """Standard normal noise of the actions, for the longest possible episode."""


@dataclass(frozen=True)
class Trajectory:
    """The L steps of an episode."""

    observation_LO: Floats32
    """Normalised observations before each step and after the last: L + 1 rows, one more than steps."""
    action_LA: Floats32
    reward_L: Floats
    qpos_LQ: Floats
    """Simulator positions before each step."""
    qvel_LV: Floats
    """Simulator velocities before each step."""


@dataclass(frozen=True)
class Played:
    """The results of M episodes, in the order of their list."""

    length_M: npt.NDArray[np.int64]
    """Number of steps."""
    return_M: Floats
    """Sum of rewards."""
    discounted_M: Floats
    """Sum of rewards, each discounted by gamma per preceding step."""
    terminated_M: npt.NDArray[np.bool_]
    """True if the task ended the episode, not the time limit."""
    unstable_M: npt.NDArray[np.bool_]
    """True if the simulation became unstable; the episode's numbers are meaningless."""
    trajectories: tuple[Trajectory, ...]
    """Steps of the episodes in `keep`."""

    def part(self, first: int, end: int, trajectories: tuple[Trajectory, ...] = ()) -> "Played":
        """Return some consecutive episodes, with the given trajectories."""
        rows = slice(first, end)
        return Played(
            length_M=self.length_M[rows],
            return_M=self.return_M[rows],
            discounted_M=self.discounted_M[rows],
            terminated_M=self.terminated_M[rows],
            unstable_M=self.unstable_M[rows],
            trajectories=trajectories,
        )


def draws(task: AnyTask, seed: int, indices: Sequence[int]) -> Draws:
    """Return the random numbers of a seed's episodes with the given indices, each from separate streams."""
    assert task.time_limit is not None
    simulator = simulate(task, [stream(seed, Purpose.LANDSCAPE_RESETS)])
    starts = [simulator.initial_state(stream(seed, Purpose.LANDSCAPE_RESETS, i)) for i in indices]
    shape = task.time_limit, simulator.n_action
    noise = [stream(seed, Purpose.LANDSCAPE_NOISE, i).standard_normal(shape, np.float32) for i in indices]
    return Draws(np.array([qpos for qpos, _ in starts]), np.array([qvel for _, qvel in starts]), np.array(noise))


def play(
    task: AnyTask,
    policies: Policies,
    drawn: Draws,
    episodes: Sequence[tuple[int, int]],
    gamma: float,
    *,
    keep: Collection[int] = (),
    slots: int = SLOTS,
    threads: int = 1,
    on_steps: Callable[[int], None] = lambda _: None,
) -> Played:
    """Play episodes, each to its end.

    Args:
        task: the environment.
        policies: the policies.
        drawn: the random numbers.
        episodes: indices of a policy and a draw each; listing the longest first leaves few idle slots at the end.
        gamma: discount factor of the discounted returns.
        keep: indices of the episodes whose steps are returned.
        slots: simulations stepped at a time; the results do not depend on their number.
        threads: simulator threads; the results do not depend on their number.
        on_steps: called with the number of simulator steps after they are taken.
    """
    return _Play(task, policies, drawn, episodes, gamma, keep, slots, threads).run(on_steps)


class _Play:
    def __init__(
        self,
        task: AnyTask,
        policies: Policies,
        drawn: Draws,
        episodes: Sequence[tuple[int, int]],
        gamma: float,
        keep: Collection[int],
        slots: int,
        threads: int,
    ) -> None:
        n = min(slots, len(episodes))
        m = len(episodes)
        self._episodes = np.array(episodes, dtype=np.int64).reshape(-1, 2)
        self._policies = policies
        self._drawn = drawn
        self._gamma = gamma
        self._keep_M = np.isin(np.arange(m), list(keep))
        self._all = policies.network.actor(torch.from_numpy(policies.theta_NP))
        self._actor = policies.network.actor(torch.zeros(n, policies.network.n_parameters))
        # The generators of slots are never used: the draws contain the initial states.
        self._simulator = simulate(task, [stream(0, Purpose.LANDSCAPE_RESETS)] * n, threads)
        n_observation = self._simulator.n_observation
        self._normalization = Normalization(np.zeros((n, n_observation)), np.ones((n, n_observation)), np.ones((n, 1)))
        self._raw_SO: Floats = np.zeros((n, n_observation))
        self._episode_S = np.full(n, -1)
        self._draw_S, self._step_S = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
        self._return_S, self._discounted_S, self._discount_S = np.zeros(n), np.zeros(n), np.ones(n)
        self._live_S = np.zeros(n, dtype=bool)
        self._next = 0
        self._length_M, self._return_M, self._discounted_M = np.zeros(m, dtype=np.int64), np.zeros(m), np.zeros(m)
        self._terminated_M, self._unstable_M = np.zeros(m, dtype=bool), np.zeros(m, dtype=bool)
        self._trajectories: list[Trajectory | None] = [None] * m
        rows = drawn.noise_DTA.shape[1] if self._keep_M.any() else 0
        self._observation_LSO = np.empty((rows, n, n_observation), np.float32)
        self._action_LSA = np.empty((rows, n, self._simulator.n_action), np.float32)
        self._reward_LS = np.empty((rows, n))
        qpos_SQ, qvel_SV = self._simulator.state
        self._qpos_LSQ, self._qvel_LSV = np.empty((rows, *qpos_SQ.shape)), np.empty((rows, *qvel_SV.shape))

    def run(self, on_steps: Callable[[int], None]) -> Played:
        """Play all episodes and return their results."""
        self._begin(np.arange(len(self._live_S)))
        every = np.arange(len(self._live_S))
        while self._live_S.any():
            self._step()
            on_steps(int(self._live_S.sum()))
            over_S = self._live_S & (self._terminated_S | self._truncated_S | self._simulator.unstable_S)
            if over_S.any():
                self._end(every[over_S])
                self._begin(every[over_S])
        trajectories = tuple(t for t in self._trajectories if t is not None)
        return Played(
            length_M=self._length_M,
            return_M=self._return_M,
            discounted_M=self._discounted_M,
            terminated_M=self._terminated_M,
            unstable_M=self._unstable_M,
            trajectories=trajectories,
        )

    def _begin(self, which: npt.NDArray[np.int64]) -> None:
        """Start the next episodes of the list in free slots, and deactivate the slots that are left over."""
        which, leaving = np.split(which, [len(self._episodes) - self._next])
        self._live_S[leaving], self._step_S[leaving], self._raw_SO[leaving] = False, 0, 0.0
        if len(which) == 0:
            return
        episode = np.arange(self._next, self._next + len(which))
        self._next += len(which)
        policy, draw = self._episodes[episode].T
        self._episode_S[which], self._draw_S[which] = episode, draw
        self._actor.assign(which, self._all, policy)
        slots = self._normalization
        new = self._policies.normalization.select(policy)
        for array, source in (
            (slots.offset_SO, new.offset_SO),
            (slots.inverse_std_SO, new.inverse_std_SO),
            (slots.clip_S1, new.clip_S1),
        ):
            array[which] = source
        self._step_S[which], self._return_S[which], self._discounted_S[which], self._discount_S[which] = 0, 0, 0, 1
        self._live_S[which] = True
        self._simulator.unstable_S[which] = False
        drawn = self._drawn
        self._raw_SO[which] = self._simulator.set_state(which, drawn.qpos_DQ[draw], drawn.qvel_DV[draw])

    def _step(self) -> None:
        observation_SO = self._normalization(self._raw_SO)
        noise_SA = self._drawn.noise_DTA[self._draw_S, self._step_S]
        action_SA = self._actor.act(observation_SO, noise_SA)
        live = None if self._live_S.all() else np.flatnonzero(self._live_S)
        slots = np.arange(len(self._step_S))
        if self._keep_M.any():
            self._qpos_LSQ[self._step_S, slots], self._qvel_LSV[self._step_S, slots] = self._simulator.state
        step = self._simulator.step(action_SA, live)
        self._terminated_S, self._truncated_S = step.terminated_S, step.truncated_S
        if self._keep_M.any():
            self._observation_LSO[self._step_S, slots] = observation_SO
            self._action_LSA[self._step_S, slots] = action_SA
            self._reward_LS[self._step_S, slots] = step.reward_S
        self._raw_SO = step.observation_SO
        self._return_S += step.reward_S
        self._discounted_S += self._discount_S * step.reward_S
        self._discount_S *= self._gamma
        self._step_S[self._live_S] += 1

    def _end(self, which: npt.NDArray[np.int64]) -> None:
        episode = self._episode_S[which]
        self._length_M[episode] = self._step_S[which]
        self._return_M[episode], self._discounted_M[episode] = self._return_S[which], self._discounted_S[which]
        self._terminated_M[episode] = self._terminated_S[which]
        self._unstable_M[episode] = self._simulator.unstable_S[which]
        kept = which[self._keep_M[episode]]
        if len(kept):
            last_SO = self._normalization.select(kept)(self._raw_SO[kept])
            for slot, last_O in zip(kept, last_SO, strict=True):
                n, m = self._step_S[slot], self._episode_S[slot]
                observation_LO = np.concatenate([self._observation_LSO[:n, slot], last_O[None]])
                self._trajectories[m] = Trajectory(
                    observation_LO=observation_LO,
                    action_LA=self._action_LSA[:n, slot].copy(),
                    reward_L=self._reward_LS[:n, slot].copy(),
                    qpos_LQ=self._qpos_LSQ[:n, slot].copy(),
                    qvel_LV=self._qvel_LSV[:n, slot].copy(),
                )
