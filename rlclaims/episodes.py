"""Whole episodes of many policies on common random numbers: what a landscape of returns is made of.

Policies that are compared start from the same states and draw the same action noise, so that their differences are
paired. The episodes are listed before the first is begun, and every one is played to its end: stopping at a number of
steps, or putting the next episode in a long one's place, would favour short ones.

Simulations are slots. An episode that ends makes room for the next of the list, and when there is none its slot leaves,
so that all that is left is stepped at MuJoCo's own rate. Which slot an episode gets changes no bit of it.
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
"""Simulations that step at a time: enough for their numpy to cost little beside MuJoCo, few enough for the caches."""


@dataclass(frozen=True)
class Policies:
    """N policies as they act."""

    network: PolicyNetwork
    theta_NP: Floats32
    normalization: Normalization
    """What each normalises observations by, N rows."""


@dataclass(frozen=True)
class Draws:
    """The random numbers of D episodes, whoever plays them; where an environment starts, its seed is a position."""

    qpos_DQ: Floats
    """Positions that they start from."""
    qvel_DV: Floats
    """Velocities that they start from."""
    noise_DTA: Floats32
    """Standard normal noise of the actions, as many as the longest episode takes."""


@dataclass(frozen=True)
class Trajectory:
    """L steps of an episode."""

    observation_LO: Floats32
    """Normalised, with the last one that it led to: one more than steps."""
    action_LA: Floats32
    reward_L: Floats
    qpos_LQ: Floats
    """Positions of the simulator before each step."""
    qvel_LV: Floats
    """Its velocities."""


@dataclass(frozen=True)
class Played:
    """M episodes, in the order of their list."""

    length_M: npt.NDArray[np.int64]
    """Steps."""
    return_M: Floats
    """Sum of the rewards."""
    discounted_M: Floats
    """Sum of the rewards, each discounted by gamma for every step before it."""
    terminated_M: npt.NDArray[np.bool_]
    """Whether the task ended it, and not the time limit."""
    unstable_M: npt.NDArray[np.bool_]
    """Whether MuJoCo could not simulate it: its numbers mean nothing."""
    trajectories: tuple[Trajectory, ...]
    """The steps of those that were to be kept."""

    def part(self, first: int, end: int, trajectories: tuple[Trajectory, ...] = ()) -> "Played":
        """Some consecutive episodes, with the steps that are given."""
        rows = slice(first, end)
        return Played(
            self.length_M[rows],
            self.return_M[rows],
            self.discounted_M[rows],
            self.terminated_M[rows],
            self.unstable_M[rows],
            trajectories,
        )


def draws(task: AnyTask, seed: int, indices: Sequence[int]) -> Draws:
    """The random numbers of a seed's episodes with the given indices, each its own streams."""
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
        policies: who plays.
        drawn: random numbers.
        episodes: a policy and a draw each. Where the longest come first, few slots are left waiting at the end.
        gamma: discount factor of the discounted returns.
        keep: the episodes whose steps are kept, by their places in the list.
        slots: simulations that step at a time; no bit depends on it.
        threads: simulator threads; nor on these.
        on_steps: told of simulator steps, as they are made.
    """
    return _Play(task, policies, drawn, episodes, gamma, keep, slots, threads).done(on_steps)


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
        n, m = min(slots, len(episodes)), len(episodes)
        self._episodes = np.array(episodes, dtype=np.int64).reshape(-1, 2)
        self._policies, self._drawn, self._gamma = policies, drawn, gamma
        self._keep_M = np.isin(np.arange(m), list(keep))
        self._all = policies.network.actor(torch.from_numpy(policies.theta_NP))
        self._actor = policies.network.actor(torch.zeros(n, policies.network.n_parameters))
        # A slot's own generator is never asked: its episodes start where the draws say.
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

    def done(self, on_steps: Callable[[int], None]) -> Played:
        """All episodes."""
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
        numbers = self._length_M, self._return_M, self._discounted_M, self._terminated_M, self._unstable_M
        return Played(*numbers, trajectories)

    def _begin(self, which: npt.NDArray[np.int64]) -> None:
        """Start the next episodes of the list in slots that are free; those that are left over leave."""
        which, leaving = np.split(which, [len(self._episodes) - self._next])
        self._live_S[leaving], self._step_S[leaving], self._raw_SO[leaving] = False, 0, 0.0
        if len(which) == 0:
            return
        episode = np.arange(self._next, self._next + len(which))
        self._next += len(which)
        policy, draw = self._episodes[episode].T
        self._episode_S[which], self._draw_S[which] = episode, draw
        self._actor.assign(which, self._all, policy)
        its, mine = self._policies.normalization.select(policy), self._normalization
        for array, source in (
            (mine.offset_SO, its.offset_SO),
            (mine.inverse_std_SO, its.inverse_std_SO),
            (mine.clip_S1, its.clip_S1),
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
        answer = self._simulator.step(action_SA, live)
        self._terminated_S, self._truncated_S = answer.terminated_S, answer.truncated_S
        if self._keep_M.any():
            self._observation_LSO[self._step_S, slots] = observation_SO
            self._action_LSA[self._step_S, slots] = action_SA
            self._reward_LS[self._step_S, slots] = answer.reward_S
        self._raw_SO = answer.observation_SO
        self._return_S += answer.reward_S
        self._discounted_S += self._discount_S * answer.reward_S
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
                    observation_LO,
                    self._action_LSA[:n, slot].copy(),
                    self._reward_LS[:n, slot].copy(),
                    self._qpos_LSQ[:n, slot].copy(),
                    self._qvel_LSV[:n, slot].copy(),
                )
