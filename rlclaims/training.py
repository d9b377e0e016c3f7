"""Training in lockstep: S runs collect, update and record as one program.

A cohort is any mix of algorithms on one task; every run in it is bit-identical to the same run alone. Per iteration:

    collect    T steps of every seed, with the observation statistics moving
    learn      each algorithm improves its seeds' policies on the steps they took
    measure    old against new policy on those steps; every tenth iteration also on fresh pairs of the old policy
    checkpoint at four iterations, save what an update started from, so that variants of it can be computed later

Fresh pairs come from a separate simulator and separate random streams, with all statistics frozen, so measuring
does not affect training. Episodes continue across iterations. Each is counted in the iteration it starts in, and those
that are unfinished when training ends are played to their end with the last policy, so that whether an episode is
counted does not depend on its length.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rlclaims.agents.agent import Agent
from rlclaims.agents.algorithm import Algorithm
from rlclaims.agents.networks import Actors, NetworkPolicy
from rlclaims.checkpoints import checkpoint_iterations, start_of_update
from rlclaims.measures.registry import measures
from rlclaims.randomness import Purpose, stream, stream_from_array, stream_to_array
from rlclaims.records import Arrays, RunRecord
from rlclaims.sim.normalizer import Normalization, ObservationNormalizer
from rlclaims.sim.simulator import Simulation, Simulator, simulate
from rlclaims.sim.tasks import AnyTask, Floats
from rlclaims.update import ActionDistribution, Batch, Policy, Rollout, Update

Floats32 = npt.NDArray[np.float32]

HELD_OUT_EVERY = 10
"""Iterations between two measurements on fresh pairs, the first at iteration 0 (1811.02553's code has the same)."""


@dataclass(frozen=True)
class Group:
    """Runs of one algorithm in a cohort."""

    algorithm: Algorithm
    seeds: tuple[int, ...]


def times_held_out(iterations: int) -> int:
    """Return in how many of a run's iterations fresh pairs are collected and measured: the first and every tenth."""
    return len(range(0, iterations, HELD_OUT_EVERY))


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Limit torch to one thread, since the rounding of products and factorisations depends on the number of threads.

    The cores are used by processes, each with a cohort of its own, and by the simulator's threads.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class DeployedPolicy:
    """Policies with the observation statistics they act with; they take the simulator's raw observations."""

    policy: Policy
    normalization: Normalization

    def __call__(self, observation_SBO: torch.Tensor) -> ActionDistribution:
        """Return action distributions in the given raw observations, float64."""
        return self.policy(torch.from_numpy(self.normalization.of_batches()(observation_SBO.numpy())))


class Cohort:
    """Runs that train together on one task.

    Args:
        task: the environment.
        groups: the algorithms and their seeds; all algorithms must take the same number of steps between updates.
        iterations: updates per run.
        threads: simulator threads; the results do not depend on their number.

    Raises:
        ValueError: there are no runs, or the algorithms' steps differ.
    """

    @one_torch_thread()
    def __init__(self, task: AnyTask, groups: Sequence[Group], iterations: int, threads: int = 1) -> None:
        steps = {group.algorithm.steps for group in groups}
        if len(steps) != 1:
            raise ValueError(
                f"All runs of a cohort must take the same number of steps per iteration, not {sorted(steps)}."
            )
        self.steps = steps.pop()
        self.iterations = iterations
        runs = [(group.algorithm, seed) for group in groups for seed in group.seeds]
        self.records = [RunRecord(algorithm, seed) for algorithm, seed in runs]
        self._seeds = [seed for _, seed in runs]
        self._simulator = simulate(task, [stream(s, Purpose.TRAINING_RESETS) for s in self._seeds], threads)
        self._task = task
        self._threads = threads
        self._unstable_S = np.zeros(len(runs), dtype=bool)
        n_observation, n_action = self._simulator.n_observation, self._simulator.n_action
        self._normalizer = ObservationNormalizer(
            n_observation,
            [algorithm.normalize_observations for algorithm, _ in runs],
            [algorithm.observation_clip for algorithm, _ in runs],
        )
        self._agents: list[tuple[slice, Agent]] = []
        first = 0
        for group in groups:
            which = slice(first, first + len(group.seeds))
            first = which.stop
            sizes = n_observation, n_action, iterations, self._simulator.choices
            self._agents.append((which, Agent(group.algorithm, group.seeds, *sizes)))
        self._noise_rngs = [stream(s, Purpose.TRAINING_NOISE) for s in self._seeds]
        self._raw_SO = self._simulator.reset()
        self._observation_SO = self._normalizer.observe(self._raw_SO)
        self._checkpoints = checkpoint_iterations(iterations, HELD_OUT_EVERY)
        self.iteration = self._step = 0
        n_seeds = len(runs)
        self._episode_start_S = np.zeros(n_seeds, dtype=np.int64)
        self._episode_return_S = np.zeros(n_seeds)
        for record, theta_P in zip(self.records, self._parameters(), strict=True):
            record.policy_parameters.append(theta_P)
        self._attributes = [set(vars(agent)) for _, agent in self._agents]

    @property
    def resumable(self) -> bool:
        """True if `state_dict` captures the whole run: no Gymnasium environment, no attributes that users added."""
        agents = zip((agent for _, agent in self._agents), self._attributes, strict=True)
        own = all(agent.resumable and vars(agent).keys() == names for agent, names in agents)
        return own and isinstance(self._simulator, Simulator)

    def state_dict(self, i: int) -> dict[str, npt.NDArray[Any]]:
        """Return the whole state of one run of a resumable cohort, between two iterations, as arrays by name."""
        assert isinstance(self._simulator, Simulator)
        which, agent = next(group for group in self._agents if group[0].start <= i < group[0].stop)
        parts: dict[str, Arrays] = {
            "record": self.records[i].state_dict(),
            "agent": agent.state_dict(i - which.start),
            "simulator": self._simulator.state_dict(i),
            "normalizer": self._normalizer.state_dict(i),
        }
        own = {
            "noise": stream_to_array(self._noise_rngs[i]),
            "unstable_1": self._unstable_S[[i]],
            "raw_O": self._raw_SO[i],
            "observation_O": self._observation_SO[i],
            "episode_2": np.array([self._episode_start_S[i], self._episode_return_S[i]]),
        }
        state = own | {f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()}
        return {name: np.array(array, order="C") for name, array in state.items()}  # copies

    def load_state_dict(self, iteration: int, rows: Sequence[Arrays]) -> None:
        """Restore every run from its `state_dict` after `iteration` iterations, in this or any other cohort."""
        assert isinstance(self._simulator, Simulator)

        def part(prefix: str, arrays: Arrays) -> Arrays:
            return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}

        self.iteration = iteration
        self._step = iteration * self.steps
        for which, agent in self._agents:
            agent.iteration = iteration
            agent.load_state_dict([part("agent/", arrays) for arrays in rows[which]])
        for i, arrays in enumerate(rows):
            self.records[i].load_state_dict(part("record/", arrays))
            self._simulator.load_state_dict(i, part("simulator/", arrays))
            self._normalizer.load_state_dict(i, part("normalizer/", arrays))
            self._noise_rngs[i] = stream_from_array(arrays["noise"])
            self._unstable_S[i] = arrays["unstable_1"][0]
            self._episode_start_S[i], self._episode_return_S[i] = arrays["episode_2"]
        self._raw_SO = np.stack([arrays["raw_O"] for arrays in rows])
        self._observation_SO = np.stack([arrays["observation_O"] for arrays in rows])

    @one_torch_thread()
    def train(self, on_iteration: Callable[[int], None] = lambda _: None) -> list[RunRecord]:
        """Train every run to its end, and call `on_iteration` with the number completed after each iteration."""
        while self.iteration < self.iterations:
            self._iterate(self.iteration)
            self.iteration += 1
            on_iteration(self.iteration)
        self._finish_episodes()
        return self.records

    def _iterate(self, iteration: int) -> None:
        deployed_before = self._normalizer.current
        rollout, raw_STO = self._collect(self._simulator, self._noise_rngs, learning=True)
        self._unstable_S |= self._simulator.unstable_S
        held_out = self._collect_held_out(iteration) if iteration % HELD_OUT_EVERY == 0 else None
        deployed_after = self._normalizer.current
        for which, agent in self._agents:
            old = agent.policy()
            start = start_of_update(agent) if iteration in self._checkpoints else None
            # Advantages of fresh pairs use the old values, and the reward scale that the update learns from.
            fresh = None if held_out is None else held_out[0].select(which)
            fresh_values = None if fresh is None else agent.values(fresh)
            batch = agent.learn(rollout.select(which))
            agent.iteration += 1
            # The observation statistics of the next rollout are part of the deployed policy.
            statistics = deployed_before.select(which), deployed_after.select(which)
            change = _Change(agent.algorithm, old, agent.policy(), *statistics)
            measured = change.measured_on(batch, raw_STO[which], "training")
            if held_out is not None and fresh is not None and fresh_values is not None:
                fresh_advantage = agent.advantages(fresh, *fresh_values, frozen=True)
                fresh_batch = Batch(fresh.observation_STO, fresh.action_STA, fresh_advantage)
                measured |= change.measured_on(fresh_batch, held_out[1][which], "held_out")
            self._record(which, agent, measured, iteration)
            if start is not None and fresh is not None:
                for i, record in enumerate(self.records[which]):
                    if record.failure is None:
                        record.checkpoints.append(start(iteration, i, batch, fresh_batch))

    def _record(self, which: slice, agent: Agent, measured: Mapping[str, Floats], iteration: int) -> None:
        normalization = self._normalizer.current
        for i, record in enumerate(self.records[which]):
            theta_P = agent.theta_SP[i].detach().numpy().copy()
            values = {name: float(value_S[i]) for name, value_S in measured.items()}
            if record.failure is None:
                record.failure = self._failure(which.start + i, theta_P, values, iteration)
            if record.failure is not None:
                # A failed run stays in its cohort with its initial parameters; nothing more is recorded of it.
                with torch.no_grad():
                    agent.theta_SP[i] = torch.from_numpy(record.policy_parameters[0])
                continue
            for name, value in values.items():
                record.series.setdefault(name, []).append(value)
            record.policy_parameters.append(theta_P)
            record.normalizations.append(normalization.row(which.start + i))

    def _failure(self, run: int, theta_P: Floats32, values: Mapping[str, float], iteration: int) -> str | None:
        """Return the reason why a run has failed in this iteration, or None."""
        if self._unstable_S[run]:
            return f"{self._simulator.failure} in iteration {iteration}"
        if not np.isfinite(theta_P).all():
            return f"the policy's parameters are no longer finite after iteration {iteration}"
        for name, value in values.items():
            if not np.isfinite(value):
                return f"{name} is not finite in iteration {iteration}"
        return None

    def _collect(
        self, simulator: Simulation, noise_rngs: Sequence[np.random.Generator], *, learning: bool
    ) -> tuple[Rollout, torch.Tensor]:
        """Collect T steps of every seed with the current policies; `learning` updates statistics and counts episodes.

        Returns:
            The steps, and their raw observations (S, T, O).
        """
        n_seeds = len(self._seeds)
        n_action = simulator.n_action
        steps = self.steps
        actors = self._actors()
        # Each seed draws the noise of a whole rollout from its own stream, independent of the rest of the cohort.
        noise_TSA = np.stack([rng.standard_normal((steps, n_action), np.float32) for rng in noise_rngs], axis=1)
        normalize = self._normalizer.observe if learning else self._normalizer.frozen
        if learning:
            raw_SO, observation_SO = self._raw_SO, self._observation_SO
        else:
            raw_SO = simulator.reset()
            observation_SO = normalize(raw_SO)
        raw_TSO = np.empty((steps, *raw_SO.shape))
        observation_TSO = np.empty((steps, *observation_SO.shape), np.float32)
        next_observation_TSO = np.empty_like(observation_TSO)
        action_TSA = np.empty((steps, n_seeds, n_action), np.float32)
        reward_TS = np.empty((steps, n_seeds))
        terminated_TS = np.empty((steps, n_seeds), bool)
        truncated_TS = np.empty((steps, n_seeds), bool)
        for t in range(steps):
            raw_TSO[t], observation_TSO[t] = raw_SO, observation_SO
            action_TSA[t] = actors.act(observation_SO, noise_TSA[t])
            raw_SO, reward_TS[t], terminated_TS[t], truncated_TS[t] = simulator.step(action_TSA[t])
            observation_SO = normalize(raw_SO)
            next_observation_TSO[t] = observation_SO
            if learning:
                self._step += 1
                self._episode_return_S += reward_TS[t]
            done_S = terminated_TS[t] | truncated_TS[t]
            if done_S.any():
                which = np.flatnonzero(done_S)
                if learning:
                    self._count_episodes(which)
                raw_SO, observation_SO = raw_SO.copy(), observation_SO.copy()
                raw_SO[which] = simulator.reset(which)
                observation_SO[which] = normalize(raw_SO[which], which)
        if learning:
            self._raw_SO, self._observation_SO = raw_SO, observation_SO

        def seeds_first(x: npt.NDArray[np.generic]) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(x.swapaxes(0, 1)))

        rollout = Rollout(
            observation_STO=seeds_first(observation_TSO),
            action_STA=seeds_first(action_TSA),
            reward_ST=seeds_first(reward_TS),
            next_observation_STO=seeds_first(next_observation_TSO),
            terminated_ST=seeds_first(terminated_TS),
            truncated_ST=seeds_first(truncated_TS),
        )
        return rollout, seeds_first(raw_TSO)

    def _collect_held_out(self, iteration: int) -> tuple[Rollout, torch.Tensor]:
        """Collect T fresh steps of every seed, from new episodes, in a separate simulator."""

        def streams(purpose: Purpose) -> list[np.random.Generator]:
            return [stream(seed, purpose, iteration) for seed in self._seeds]

        simulator = simulate(self._task, streams(Purpose.HELD_OUT_RESETS), self._threads)
        collected = self._collect(simulator, streams(Purpose.HELD_OUT_NOISE), learning=False)
        self._unstable_S |= simulator.unstable_S
        return collected

    def _actors(self) -> Actors:
        return Actors([(agent.network, agent.theta_SP.detach()) for _, agent in self._agents])

    def _count_episodes(self, which: npt.NDArray[np.int_]) -> None:
        for i in which:
            start = int(self._episode_start_S[i])
            if self.records[i].failure is None:
                self.records[i].episodes.append((start, self._step - start, float(self._episode_return_S[i])))
        self._episode_start_S[which] = self._step
        self._episode_return_S[which] = 0.0

    def _finish_episodes(self) -> None:
        """Play unfinished episodes to their end, without learning and without starting new ones.

        Without a time limit, episodes still unfinished after as many steps as training took are not counted.
        """
        actors = self._actors()
        open_S = self._episode_start_S < self._step
        for _ in range(self._task.time_limit or self._step):
            if not open_S.any():
                break
            noise_SA = np.stack([rng.standard_normal(self._simulator.n_action, np.float32) for rng in self._noise_rngs])
            action_SA = actors.act(self._observation_SO, noise_SA)
            raw_SO, reward_S, terminated_S, truncated_S = self._simulator.step(action_SA)
            self._observation_SO = self._normalizer.frozen(raw_SO)
            self._step += 1
            for i in np.flatnonzero(open_S & self._simulator.unstable_S):
                failure = f"{self._simulator.failure} after the last iteration"
                self.records[i].failure = self.records[i].failure or failure
            self._episode_return_S += reward_S
            done_S = terminated_S | truncated_S
            self._count_episodes(np.flatnonzero(done_S & open_S))
            open_S &= ~done_S
            if done_S.any():
                self._simulator.reset(np.flatnonzero(done_S))

    def _parameters(self) -> Iterator[npt.NDArray[np.float32]]:
        for _, agent in self._agents:
            yield from agent.theta_SP.detach().numpy().copy()


@dataclass(frozen=True)
class _Change:
    """The update of the seeds of one group."""

    algorithm: Algorithm
    old: NetworkPolicy
    new: NetworkPolicy
    deployed_before: Normalization
    """Observation statistics that the old policy acted with."""
    deployed_after: Normalization
    """Observation statistics that the new policy will act with."""

    def measured_on(self, batch: Batch, raw_STO: torch.Tensor, states: str) -> dict[str, Floats]:
        """Return all measures on a batch, whose raw observations are `raw_STO`."""
        deployed = Update(
            DeployedPolicy(self.old, self.deployed_before),
            DeployedPolicy(self.new, self.deployed_after),
            replace(batch, observation_SBO=raw_STO),
        )
        return measure(Update(self.old, self.new, batch), deployed, self.algorithm, states)


def measure(update: Update, deployed: Update, algorithm: Algorithm, states: str) -> dict[str, Floats]:
    """Return all measures of an update, named `measure/states`, (S,) each.

    Args:
        update: the update of the parameters alone, on normalised observations.
        deployed: the same update of the policies as deployed, on raw observations.
        algorithm: the algorithm, whose eps defines exceedance.
        states: "training" or "held_out".
    """
    of_parameters = measures(update, algorithm.ratio_epsilon)
    as_deployed = measures(deployed, algorithm.ratio_epsilon, deployed=True)
    return {f"{name}/{states}": value_S for name, value_S in (of_parameters | as_deployed).items()}
