"""A finished run whose policies play again: shared by the kinds of studies that play."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlclaims.agents.advantages import generalized_advantages
from rlclaims.agents.agent import Agent
from rlclaims.agents.algorithm import Algorithm
from rlclaims.agents.networks import NetworkPolicy, PolicyNetwork, policy_network
from rlclaims.checkpoints import Checkpoint, History, Start, resumed
from rlclaims.episodes import Floats32, Played, Policies, draws, play
from rlclaims.sim.normalizer import Normalization
from rlclaims.sim.tasks import AnyTask, Floats
from rlclaims.update import Batch, Rollout, Update

GROUPS = 4
"""Groups of independent episodes: numbers that are not linear in returns are taken over different groups."""

STRIDE = 100_000
"""Distance between the random-number indices of two iterations; within it, each use has its own range."""
PILOT, MAIN, LATE_UPDATES, BATCHES = (STRIDE // 4 * use for use in range(4))

POOL_STRIDE = 10**7
"""The same distance for uses that may play millions of episodes."""
GRADIENTS, NEAR_TRUE, VALUES, FINAL_RETURNS = (10**10 * use for use in range(1, 5))
PILOT_EPISODES = 8
"""Episodes that estimate the episode length, before the number of episodes is fixed."""

OnSteps = Callable[[int], None]
Numbers = dict[str, list[float]]
"""Series by name."""


class SimulationFailure(Exception):  # noqa: N818  (stored as the failure of the study)
    """A failure of MuJoCo in a study, explained in words."""


@dataclass(frozen=True)
class FinishedRun:
    """A finished run, with all that is needed to play its policies and to repeat its updates."""

    algorithm: Algorithm
    task: AnyTask
    iterations: int
    start: Start
    history: History
    on_steps: OnSteps
    """OnSteps of simulator steps, as they are made."""

    def step(self, checkpoint: Checkpoint) -> tuple[Floats, Floats]:
        """Return theta before a kept update (P,), and what the update added to it, in double precision."""
        old_P, new_P = self.history.theta_KP[checkpoint.iteration :][:2].astype(np.float64)
        return old_P, new_P - old_P

    def play(
        self,
        policies: Sequence[tuple[Floats32, int]],
        episodes: Sequence[tuple[int, int]],
        keep: Collection[int] = (),
        begin: tuple[Floats, Floats] | None = None,
    ) -> Played:
        """Play whole episodes.

        Args:
            policies: parameters of each, and the iteration whose normaliser it acts with.
            episodes: place of the policy of each, and the index of its random numbers.
            keep: places of the episodes whose steps are kept.
            begin: initial positions and velocities, a row per episode, instead of the task's own.

        Raises:
            SimulationFailure: MuJoCo could not simulate an episode.
        """
        places = {index: place for place, index in enumerate(dict.fromkeys(index for _, index in episodes))}
        at = [iteration for _, iteration in policies]
        clip = self.algorithm.observation_clip
        normalization = Normalization(
            self.history.offset_KO[at],
            self.history.inverse_std_KO[at],
            np.full((len(at), 1), np.inf if clip is None else clip),
        )
        acting = Policies(self.network, np.stack([theta_P for theta_P, _ in policies]), normalization)
        listed = [(policy, places[index]) for policy, index in episodes]
        random_numbers = draws(self.task, self.start.seed, list(places))
        if begin is not None:
            random_numbers = replace(random_numbers, qpos_DQ=begin[0], qvel_DV=begin[1])
        played = play(
            self.task, acting, random_numbers, listed, self.algorithm.gamma, keep=keep, on_steps=self.on_steps
        )
        if played.unstable_M.any():
            raise SimulationFailure("an episode of one of its policies could not be simulated")
        return played

    def episode_length(self, checkpoints: Sequence[Checkpoint]) -> list[float]:
        """Return the mean episode length of theta at kept iterations, in steps, from a pilot."""
        policies = [(self.theta(checkpoint), checkpoint.iteration) for checkpoint in checkpoints]
        listed = [
            (policy, iteration * STRIDE + PILOT + e)
            for policy, (_, iteration) in enumerate(policies)
            for e in range(PILOT_EPISODES)
        ]
        lengths: list[float] = self.play(policies, listed).length_M.reshape(len(policies), -1).mean(1).tolist()
        return lengths

    def theta(self, checkpoint: Checkpoint) -> Floats32:
        """Return the policy before a kept update, (P,)."""
        return np.asarray(self.history.theta_KP[checkpoint.iteration])

    @property
    def network(self) -> PolicyNetwork:
        """The policy network that parameters belong to."""
        observation_TO, action_TA, _ = self.start.checkpoints[0].training
        actions = action_TA.shape[1], self.start.checkpoints[0].choices
        return policy_network(observation_TO.shape[1], *actions, self.algorithm.hidden, self.algorithm.activation)

    def update(self, checkpoint: Checkpoint, theta_NP: Floats32, batch: Batch) -> Update:
        """Return the updates from theta at a checkpoint to N policies, all on one batch (1, B)."""
        n = len(theta_NP)
        old_P: Any = self.history.theta_KP[checkpoint.iteration]
        old, new = (torch.from_numpy(t) for t in (np.repeat(old_P[None], n, 0), theta_NP))
        columns = (x.expand(n, *x.shape[1:]) for x in (batch.observation_SBO, batch.action_SBA, batch.advantage_SB))
        return Update(NetworkPolicy(self.network, old), NetworkPolicy(self.network, new), Batch(*columns))

    def promised(
        self, checkpoint: Checkpoint, theta_NP: Floats32, batch: Batch, length: float, spread: float | None = None
    ) -> list[float]:
        """Return the rise of the algorithm's own objective from theta to N policies, in units of return.

        Args:
            checkpoint: the checkpoint of theta.
            theta_NP: the N policies.
            batch: the pairs (1, B) of the objective.
            length: mean episode length in steps. An objective is a mean over pairs, a return a sum over an episode.
            spread: standard deviation of advantages by the present reward scale, for a batch whose own advantages were
                computed while the scale moved, as it does a lot at the start of training; None to use the batch's.
        """
        old_P: Any = self.history.theta_KP[checkpoint.iteration]
        objective_N = self.algorithm.objective(self.update(checkpoint, np.concatenate([theta_NP, old_P[None]]), batch))
        unit = self.reward_unit(checkpoint) * length
        own = float(batch.advantage_SB.std())
        if self.algorithm.standardizes_advantages:
            unit *= own
        if spread is not None:
            unit *= spread / own
        return [float(x) for x in unit * (objective_N[:-1] - objective_N[-1])]

    def reward_unit(self, checkpoint: Checkpoint) -> float:
        """Return what rewards are divided by: the task's reward that the algorithm learns from as 1.

        It is an approximation for reward_scaling="rewards", which divides distances from a mean, and clipped rewards.
        """
        return float(self.agent(checkpoint).reward_scale.std_S[0]) if self.algorithm.scale_rewards else 1.0

    def batch(self, checkpoint: Checkpoint, played: Played, keep: Sequence[int], lam: float) -> Batch:
        """Return kept episodes as one batch (1, B) of pairs, with generalised advantages in the learner's units.

        Args:
            checkpoint: the checkpoint whose values and reward scale are used.
            played: episodes.
            keep: places of the episodes whose steps were kept.
            lam: lambda of the advantages; 1 for Monte Carlo.
        """
        agent = self.agent(checkpoint, gae_lambda=lam)
        rollout = rollout_of(played, keep)
        advantage_1B = agent.advantages(rollout, *agent.values(rollout), frozen=True)
        return Batch(rollout.observation_STO, rollout.action_STA, advantage_1B)

    def agent(self, checkpoint: Checkpoint, **changes: Any) -> Agent:
        """Return the agent in its state when a kept update was made, with some settings changed."""
        k = next(k for k, kept in enumerate(self.start.checkpoints) if kept is checkpoint)
        return resumed(replace(self.algorithm, **changes), self.iterations, self.start, k)


def split(played: Played, episodes: Sequence[int]) -> list[Played]:
    """Return consecutive parts with the given numbers of episodes, whose steps were all kept."""
    ends = np.cumsum(episodes).tolist()
    return [
        played.part(end - n, end, played.trajectories[end - n : end]) for n, end in zip(episodes, ends, strict=True)
    ]


def rollout_of(played: Played, keep: Sequence[int]) -> Rollout:
    """Return kept episodes one after the other, as a rollout of one seed, (1, T)."""
    terminated_M = played.terminated_M[np.sort(keep)]
    last_T = np.concatenate([np.arange(len(t.reward_L), 0, -1) == 1 for t in played.trajectories])
    terminated_T = np.repeat(terminated_M, [len(t.reward_L) for t in played.trajectories]) & last_T
    columns = (
        np.concatenate([t.observation_LO[:-1] for t in played.trajectories]),
        np.concatenate([t.action_LA for t in played.trajectories]),
        np.concatenate([t.reward_L for t in played.trajectories]),
        np.concatenate([t.observation_LO[1:] for t in played.trajectories]),
        terminated_T,
        last_T & ~terminated_T,
    )
    return Rollout(*(torch.from_numpy(column)[None] for column in columns))


def to_go(rollout: Rollout, value_1T: Tensor, next_value_1T: Tensor, gamma: float) -> Tensor:
    """Compute returns to go less the value, (1, T), to the end of the episode, be it a fall or the time limit."""
    end_1T = (rollout.terminated_ST | rollout.truncated_ST).numpy()
    reward, value, following = (x.double().numpy() for x in (rollout.reward_ST, value_1T, next_value_1T))
    return torch.from_numpy(generalized_advantages(reward, value, following, end_1T, end_1T, gamma=gamma, lam=1.0))


def steps_before(rollout: Rollout) -> Tensor:
    """Return the steps of the same episode before each step, (1, T), of a rollout that begins with an episode."""
    (end_T,) = (rollout.terminated_ST | rollout.truncated_ST).numpy()
    place_T = np.arange(len(end_T))
    begin_T = np.maximum.accumulate(np.where(np.roll(end_T, 1) | (place_T == 0), place_T, 0))
    return torch.from_numpy(place_T - begin_T)[None]


def typical_episode(iteration: int) -> int:
    """Return roughly how many steps an episode has after some updates, for episodes that grow from 20 steps to 350."""
    return min(20 + 4 * iteration, 350)


def tables(played: Played, episodes: int) -> dict[str, Floats]:
    """Return returns and lengths of episodes that were listed point by point, (points, episodes)."""
    named: dict[str, Floats] = {"return": played.return_M, "discounted": played.discounted_M}
    named["length"] = played.length_M.astype(np.float64)
    return {name: x_M.reshape(-1, episodes) for name, x_M in named.items()}


def grouped(x_NE: Floats) -> list[float]:
    """Return the means of the groups of each point's episodes, point by point."""
    means: list[float] = x_NE.reshape(len(x_NE), GROUPS, -1).mean(2).ravel().tolist()
    return means
