"""A finished run whose policies play again: what all kinds of measuring with it share."""

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
"""Of independent episodes: what is not linear in returns is taken over different groups."""

STRIDE = 100_000
"""Between the indices of two iterations' random numbers; below it, each use has a range of its own."""
PILOT, MAIN, LATE_UPDATES, BATCHES = (STRIDE // 4 * use for use in range(4))

POOL_STRIDE = 10**7
"""The same for uses that may play millions of episodes."""
GRADIENTS, NEAR_TRUE, VALUES, FINAL_RETURNS = (10**10 * use for use in range(1, 5))
PILOT_EPISODES = 8
"""That say how long an episode is, before it is settled how many there will be."""

OnSteps = Callable[[int], None]
Numbers = dict[str, list[float]]
"""Series by name."""


class SimulationFailure(Exception):  # noqa: N818  (it is told as a failure of the run)
    """Why a landscape has no numbers, in words."""


@dataclass(frozen=True)
class FinishedRun:
    """One run, with all that its policies and updates need to be taken up again."""

    algorithm: Algorithm
    task: AnyTask
    iterations: int
    start: Start
    history: History
    on_steps: OnSteps
    """OnSteps of simulator steps, as they are made."""

    def step(self, checkpoint: Checkpoint) -> tuple[Floats, Floats]:
        """Theta before a kept update (P,), and what the update added to it, in double precision."""
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
            policies: parameters each, and the iteration whose update's normaliser they act with.
            episodes: a policy each, and the index of the random numbers that it draws.
            keep: the episodes whose steps are kept, by their places.
            begin: positions and velocities that they begin with, a row each, if not with the task's own.

        Raises:
            SimulationFailure: MuJoCo could not simulate one.
        """
        places = {index: place for place, index in enumerate(dict.fromkeys(index for _, index in episodes))}
        at, clip = [iteration for _, iteration in policies], self.algorithm.observation_clip
        normalization = Normalization(
            self.history.offset_KO[at],
            self.history.inverse_std_KO[at],
            np.full((len(at), 1), np.inf if clip is None else clip),
        )
        acting = Policies(self.network, np.stack([theta_P for theta_P, _ in policies]), normalization)
        listed = [(policy, places[index]) for policy, index in episodes]
        drawn = draws(self.task, self.start.seed, list(places))
        if begin is not None:
            drawn = replace(drawn, qpos_DQ=begin[0], qvel_DV=begin[1])
        played = play(self.task, acting, drawn, listed, self.algorithm.gamma, keep=keep, on_steps=self.on_steps)
        if played.unstable_M.any():
            raise SimulationFailure("an episode of one of its policies could not be simulated")
        return played

    def episode_length(self, checkpoints: Sequence[Checkpoint]) -> list[float]:
        """Mean length of an episode of theta at each of some kept iterations, by a pilot, in steps."""
        policies = [(self.theta(checkpoint), checkpoint.iteration) for checkpoint in checkpoints]
        listed = [
            (policy, iteration * STRIDE + PILOT + e)
            for policy, (_, iteration) in enumerate(policies)
            for e in range(PILOT_EPISODES)
        ]
        lengths: list[float] = self.play(policies, listed).length_M.reshape(len(policies), -1).mean(1).tolist()
        return lengths

    def theta(self, checkpoint: Checkpoint) -> Floats32:
        """The policy before a kept update, (P,)."""
        return np.asarray(self.history.theta_KP[checkpoint.iteration])

    @property
    def network(self) -> PolicyNetwork:
        """What parameters are of."""
        observation_TO, action_TA, _ = self.start.checkpoints[0].training
        actions = action_TA.shape[1], self.start.checkpoints[0].choices
        return policy_network(observation_TO.shape[1], *actions, self.algorithm.hidden, self.algorithm.activation)

    def update(self, checkpoint: Checkpoint, theta_NP: Floats32, batch: Batch) -> Update:
        """The updates from theta at a checkpoint to N policies, all on one batch (1, B)."""
        n = len(theta_NP)
        old_P: Any = self.history.theta_KP[checkpoint.iteration]
        old, new = (torch.from_numpy(t) for t in (np.repeat(old_P[None], n, 0), theta_NP))
        columns = (x.expand(n, *x.shape[1:]) for x in (batch.observation_SBO, batch.action_SBA, batch.advantage_SB))
        return Update(NetworkPolicy(self.network, old), NetworkPolicy(self.network, new), Batch(*columns))

    def promised(
        self, checkpoint: Checkpoint, theta_NP: Floats32, batch: Batch, length: float, spread: float | None = None
    ) -> list[float]:
        """The rise of the algorithm's own objective from theta at a checkpoint to N policies, in units of return.

        Args:
            checkpoint: where from.
            theta_NP: where to.
            batch: the pairs (1, B) that it is the objective on.
            length: mean of an episode's, in steps. An objective is a mean over pairs, a return a sum over an episode's.
            spread: standard deviation of advantages by the reward scale as it stands, where the batch's own are by one
                that moved under them, at the start of training a lot; None if they are by it.
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
        """A reward that the algorithm learns from as 1, in the task's own: what rewards are divided by.

        Of reward_scaling="rewards", which divides distances from a mean, and of clipped rewards it is an approximation.
        """
        return float(self.agent(checkpoint).reward_scale.std_S[0]) if self.algorithm.scale_rewards else 1.0

    def batch(self, checkpoint: Checkpoint, played: Played, keep: Sequence[int], lam: float) -> Batch:
        """Kept episodes as one batch (1, B) of pairs, with generalised advantages in the units that are learnt from.

        Args:
            checkpoint: whose values and reward scale.
            played: episodes.
            keep: the places of those whose steps were kept.
            lam: of the advantages; 1 for Monte Carlo.
        """
        agent = self.agent(checkpoint, gae_lambda=lam)
        rollout = rollout_of(played, keep)
        advantage_1B = agent.advantages(rollout, *agent.values(rollout), frozen=True)
        return Batch(rollout.observation_STO, rollout.action_STA, advantage_1B)

    def agent(self, checkpoint: Checkpoint, **changes: Any) -> Agent:
        """The agent as it stood when a kept update was made, with some settings changed."""
        k = next(k for k, kept in enumerate(self.start.checkpoints) if kept is checkpoint)
        return resumed(replace(self.algorithm, **changes), self.iterations, self.start, k)


def split(played: Played, episodes: Sequence[int]) -> list[Played]:
    """Consecutive parts of so many episodes each, whose steps were all kept."""
    ends = np.cumsum(episodes).tolist()
    return [
        played.part(end - n, end, played.trajectories[end - n : end]) for n, end in zip(episodes, ends, strict=True)
    ]


def rollout_of(played: Played, keep: Sequence[int]) -> Rollout:
    """Kept episodes one after the other, as a rollout of one seed, (1, T)."""
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
    """Return to go less the value, (1, T): to the end of the episode, which the time limit makes as well as a fall."""
    end_1T = (rollout.terminated_ST | rollout.truncated_ST).numpy()
    reward, value, following = (x.double().numpy() for x in (rollout.reward_ST, value_1T, next_value_1T))
    return torch.from_numpy(generalized_advantages(reward, value, following, end_1T, end_1T, gamma=gamma, lam=1.0))


def steps_before(rollout: Rollout) -> Tensor:
    """Steps of the same episode before each step, (1, T), of a rollout that begins with an episode."""
    (end_T,) = (rollout.terminated_ST | rollout.truncated_ST).numpy()
    place_T = np.arange(len(end_T))
    begin_T = np.maximum.accumulate(np.where(np.roll(end_T, 1) | (place_T == 0), place_T, 0))
    return torch.from_numpy(place_T - begin_T)[None]


def typical_episode(iteration: int) -> int:
    """Steps of an episode after so many updates, roughly: of a learner whose episodes grow from 20 steps to 350."""
    return min(20 + 4 * iteration, 350)


def tables(played: Played, episodes: int) -> dict[str, Floats]:
    """Of episodes that were listed point by point, what each came to, (points, episodes)."""
    named: dict[str, Floats] = {"return": played.return_M, "discounted": played.discounted_M}
    named["length"] = played.length_M.astype(np.float64)
    return {name: x_M.reshape(-1, episodes) for name, x_M in named.items()}


def grouped(x_NE: Floats) -> list[float]:
    """Means of the groups of each point's episodes, point by point."""
    means: list[float] = x_NE.reshape(len(x_NE), GROUPS, -1).mean(2).ravel().tolist()
    return means
