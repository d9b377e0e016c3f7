"""S simulations of one task: of a MuJoCo task as a batch on several threads, of any other environment in a loop."""

import weakref
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import gymnasium
import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch, SimulationError

from rlclaims.randomness import stream_from_array, stream_to_array
from rlclaims.sim.environment import Environment, environment_action, flatten_observation
from rlclaims.sim.lean import lean_model
from rlclaims.sim.task import Bools, Floats, State, Task, Transition
from rlclaims.sim.tasks import AnyTask


class Step(NamedTuple):
    """The results of one step of S simulations."""

    observation_SO: Floats
    """Observations after the step; at an episode's end its last observation."""
    reward_S: Floats
    terminated_S: Bools
    truncated_S: Bools


class Simulator:
    """S independent simulations, each reset from its own random stream.

    The caller resets simulations that have ended; `step` never does. The solver's warm start is part of MuJoCo's state,
    so stepping in a batch gives Gymnasium's trajectories; a reset clears it, as in Gymnasium. Gymnasium's reset also
    makes a forward pass, which only affects derived quantities: here only tasks that read some make it.
    """

    choices: tuple[int, ...] = ()
    """Number of choices of each entry of an action: empty, as all entries are real numbers."""
    failure = "the simulation became unstable"
    """Failure message of a run whose simulation is in `unstable_S`."""

    def __init__(self, task: Task, rngs: Sequence[np.random.Generator], threads: int = 1) -> None:
        self.task = task
        # MuJoCo's default handler appends to MUJOCO_LOG.TXT in the working directory; warnings are counted below.
        mujoco.set_mju_user_warning(lambda _: None)
        model = lean_model(task.model_path)
        has_forces = "cfrc_ext" in task.derived
        self._batch = Batch(model, nsim=len(rngs), nthread=threads, persistent=has_forces)
        self._rngs = list(rngs)
        bound = {name: self._batch.bind(name) for name in ("qpos", "qvel", *task.derived)}
        # A step does not compute external forces. They are computed on a copy of each simulation's data, which a batch
        # keeps only if it is persistent.
        self._scratch = mujoco.MjData(model) if has_forces else None
        self._forces_of_forward = bound.get("cfrc_ext")
        if has_forces:
            bound["cfrc_ext"] = np.zeros_like(bound["cfrc_ext"])
        self._state = State(self._batch.model, bound)
        self._ctrl_SA = self._batch.bind("ctrl")
        self._elapsed_S = np.zeros(len(rngs), dtype=np.int64)
        self._time_limit = np.iinfo(np.int64).max if task.time_limit is None else task.time_limit
        self._seconds = model.opt.timestep * task.frame_skip
        self._warnings_seen = self._batch.warning.copy()
        self._unstable_S = np.zeros(len(rngs), dtype=bool)
        # The integration state before the first step; everything else is derived from it.
        self._initial_state = self._batch.state[0].copy()

    @property
    def unstable_S(self) -> Bools:  # noqa: N802
        """Simulations that MuJoCo warned about (of a diverged state, for example) or could not step; may be set."""
        self._collect_warnings()
        return self._unstable_S

    @property
    def n_observation(self) -> int:
        """Entries of an observation."""
        return int(self.task.observe(self._state).shape[1])

    @property
    def n_action(self) -> int:
        """Entries of an action."""
        return int(self._batch.model.nu)

    @property
    def state(self) -> tuple[Floats, Floats]:
        """Current positions (S, Q) and velocities (S, V)."""
        return self._state["qpos"], self._state["qvel"]

    def reset(self, which: npt.ArrayLike | None = None) -> Floats:
        """Start new episodes in the given simulations (ascending; all by default) and return their observations."""
        which = np.arange(len(self._rngs)) if which is None else np.asarray(which)
        states = [self.initial_state(self._rngs[i]) for i in which]
        return self.set_state(which, np.stack([qpos for qpos, _ in states]), np.stack([qvel for _, qvel in states]))

    def initial_state(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Draw an episode's initial positions (Q,) and velocities (V,)."""
        return self.task.initial_state(self._batch.model, rng)

    def set_state(self, which: npt.NDArray[np.int_], qpos: Floats, qvel: Floats) -> Floats:
        """Start new episodes of the given simulations (ascending) in given states, and return their observations.

        As in Gymnasium, the quantities that MuJoCo derives from positions and velocities (positions of bodies, for
        example) are then up to date and contact forces are 0, whereas after a step they lag one simulator step behind.
        So for tasks that read such quantities, the first observation differs slightly from that of an episode that
        passed through the same state, and so does the first reward of Ant and Humanoid, which is for a distance; the
        rest of the episode is the same.
        """
        self._collect_warnings()
        if self._scratch is None and not self._batch.warning[which].any():
            self._batch.state[which] = self._initial_state  # twenty times as fast as MuJoCo's own reset
        else:  # persistent data hold more than this state, and a warning has to be cleared for the next to be counted
            self._batch.reset(ids=which, stage=mujoco.mjtStage.mjSTAGE_NONE)
            # A reset clears the counts of warnings, which must not look like new warnings.
            self._warnings_seen[which] = self._batch.warning[which]
        self._state["qpos"][which] = qpos
        self._state["qvel"][which] = qvel
        self._elapsed_S[which] = 0
        if self.task.derived:
            self._batch.forward(ids=which)
        if self._forces_of_forward is not None:  # zeros, except for models whose sensors need these forces
            self._state["cfrc_ext"][which] = self._forces_of_forward[which]
        return self.task.observe(State(self._state.model, {n: field[which] for n, field in self._state.fields.items()}))

    def step(self, action_SA: Floats, which: npt.NDArray[np.int_] | None = None) -> Step:
        """Make one environment step of every simulation.

        An action with a NaN or infinite entry is replaced by zeros, and marks its simulation as unstable.

        Args:
            action_SA: An action for each simulation.
            which: The simulations that step (ascending; all by default); results of the others are meaningless.
        """
        before = State(self._state.model, {name: field.copy() for name, field in self._state.fields.items()})
        self._ctrl_SA[:] = action_SA
        bad_S = ~np.isfinite(action_SA).all(axis=1)
        if bad_S.any():
            self._unstable_S |= bad_S
            self._ctrl_SA[bad_S] = 0
        try:
            self._batch.step(ids=which, nstep=self.task.frame_skip)
        except SimulationError as error:
            self._unstable_S[error.ids] = True
        if self._scratch is not None:
            self._compute_external_forces(self._scratch, which)
        self._elapsed_S += 1
        unhealthy_S = self.task.unhealthy(self._state)
        return Step(
            self.task.observe(self._state),
            self.task.reward(Transition(before, self._state, action_SA, self._seconds), unhealthy_S),
            self.task.terminated(unhealthy_S),
            self._elapsed_S >= self._time_limit,
        )

    def state_dict(self, i: int) -> dict[str, npt.NDArray[Any]]:
        """Return the state that one simulation resumes from, its random stream included, as arrays by name."""
        return {
            "state": self._batch.state[i].copy(),  # mjSTATE_INTEGRATION, with the solver's warm start and the time
            **{name: self._state[name][i].copy() for name in self.task.derived},
            "elapsed_1": self._elapsed_S[[i]],
            "unstable_1": self.unstable_S[[i]],
            "resets": stream_to_array(self._rngs[i]),
        }

    def load_state_dict(self, i: int, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restore one simulation of the same task from what `state_dict` returned, before its next step."""
        self._batch.state[i] = arrays["state"]
        for name in self.task.derived:  # the next reward also depends on these, which only a step computes
            field = self._state[name]
            field.flags.writeable = True
            field[i] = arrays[name]
        self._elapsed_S[i], self.unstable_S[i] = arrays["elapsed_1"][0], arrays["unstable_1"][0]
        self._rngs[i] = stream_from_array(arrays["resets"])

    def _compute_external_forces(self, scratch: mujoco.MjData, which: npt.NDArray[np.int_] | None) -> None:
        for i in range(len(self._rngs)) if which is None else which:
            self._batch.get_data(i, scratch)
            mujoco.mj_rnePostConstraint(self._batch.model, scratch)
            self._state["cfrc_ext"][i] = scratch.cfrc_ext

    def _collect_warnings(self) -> None:
        """Mark simulations with new warnings as unstable, before a reset clears MuJoCo's counts and when asked."""
        warnings = self._batch.warning
        if not np.array_equal(warnings, self._warnings_seen):
            self._unstable_S |= (warnings != self._warnings_seen).any(axis=(1, 2))
            self._warnings_seen = warnings.copy()


class Environments:
    """S Gymnasium environments, each with its own random stream, stepped one after the other.

    The interface is that of `Simulator`, except that states can neither be read nor set. The seed that an environment
    is reset with, drawn from its stream, determines an episode's initial state and all randomness in it. The caller
    resets environments that have ended, as there.
    """

    failure = "the environment received or returned a value that is not finite"

    def __init__(self, task: Environment, rngs: Sequence[np.random.Generator]) -> None:
        self.n_observation, self.n_action, self.choices = task.n_observation, task.n_action, task.choices
        self._rngs = list(rngs)
        self._envs = [task.make() for _ in rngs]
        weakref.finalize(self, _close, self._envs)
        self._observation_space = self._envs[0].observation_space
        self._action_space = self._envs[0].action_space
        self._seed_S1 = np.zeros((len(rngs), 1))
        self.unstable_S = np.zeros(len(rngs), dtype=bool)
        """Environments that were given an action that is not finite, or returned a value that is not."""

    @property
    def state(self) -> tuple[Floats, Floats]:
        """The seeds (S, 1) of the episodes and an empty array (S, 0); the environments' own states cannot be read."""
        return self._seed_S1, np.zeros((len(self._rngs), 0))

    def reset(self, which: npt.ArrayLike | None = None) -> Floats:
        """Start new episodes in the given environments (ascending; all by default) and return their observations."""
        which = np.arange(len(self._rngs)) if which is None else np.asarray(which)
        states = [self.initial_state(self._rngs[i]) for i in which]
        return self.set_state(which, np.stack([seed for seed, _ in states]), np.stack([empty for _, empty in states]))

    def initial_state(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Draw the seed (1,) of an episode, beside an empty array (0,)."""
        return np.array([float(rng.integers(2**31))]), np.zeros(0)

    def set_state(self, which: npt.NDArray[np.int_], seed: Floats, empty: Floats) -> Floats:  # noqa: ARG002
        """Start new episodes of the given environments (ascending) by seeds, and return their observations."""
        self._seed_S1[which] = seed
        observations = [self._envs[i].reset(seed=int(s))[0] for i, (s,) in zip(which, seed, strict=True)]
        return np.stack([flatten_observation(self._observation_space, observation) for observation in observations])

    def step(self, action_SA: Floats, which: npt.NDArray[np.int_] | None = None) -> Step:
        """Make one step of every environment.

        An action with a NaN or infinite entry is replaced by zeros, and marks its environment as unstable.

        Args:
            action_SA: An action for each environment.
            which: The environments that step (ascending; all by default); results of the others are meaningless.
        """
        n = len(self._envs)
        finite_S: Bools = np.asarray(np.isfinite(action_SA).all(axis=1))
        action_SA = np.where(finite_S[:, None], action_SA, 0)
        step = Step(np.zeros((n, self.n_observation)), np.zeros(n), np.zeros(n, bool), np.zeros(n, bool))
        for i in range(n) if which is None else which:
            observation, *rest, _ = self._envs[i].step(environment_action(self._action_space, action_SA[i]))
            step.observation_SO[i] = flatten_observation(self._observation_space, observation)
            step.reward_S[i], step.terminated_S[i], step.truncated_S[i] = rest
        self.unstable_S |= ~(finite_S & np.isfinite(step.observation_SO).all(axis=1) & np.isfinite(step.reward_S))
        return step


def _close(envs: "Sequence[gymnasium.Env[Any, Any]]") -> None:
    for env in envs:
        env.close()


Simulation = Simulator | Environments


def simulate(task: AnyTask, rngs: Sequence[np.random.Generator], threads: int = 1) -> Simulation:
    """Return simulations of a task, one for each random stream."""
    return Environments(task, rngs) if isinstance(task, Environment) else Simulator(task, rngs, threads)
