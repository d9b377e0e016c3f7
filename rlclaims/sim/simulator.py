"""S simulations of one task: of a MuJoCo task, stepped together on its own threads, or of any environment in a loop."""

import weakref
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import gymnasium
import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch, SimulationError

from rlclaims.randomness import stream_from_array, stream_to_array
from rlclaims.sim.environment import Environment, action_for, observed
from rlclaims.sim.lean import lean_model
from rlclaims.sim.task import Bools, Floats, Moment, State, Task
from rlclaims.sim.tasks import AnyTask


class Step(NamedTuple):
    """What S simulations answer to S actions."""

    observation_SO: Floats
    """Where the step led; at an episode's end its last observation."""
    reward_S: Floats
    terminated_S: Bools
    truncated_S: Bools


class Simulator:
    """S simulations, each reset from its own random stream; what one does never depends on the others.

    The caller resets what has ended: `step` never does. The solver's warm start is part of MuJoCo's state, which is
    why stepping in a batch gives Gymnasium's trajectories; a reset clears it, as Gymnasium's does. Gymnasium's also
    makes a forward pass, which leaves no trace but in derived quantities: it is made for tasks that read some.
    """

    choices: tuple[int, ...] = ()
    """Of each entry of an action, among how many it is chosen: none, as all are numbers."""
    failure = "the simulation became unstable"
    """What it is called to be one of `unstable_S`."""

    def __init__(self, task: Task, rngs: Sequence[np.random.Generator], threads: int = 1) -> None:
        self.task = task
        # MuJoCo's own handler appends to MUJOCO_LOG.TXT in the working directory; warnings are counted below.
        mujoco.set_mju_user_warning(lambda _: None)
        model = lean_model(task.model_path)
        has_forces = "cfrc_ext" in task.derived
        self._batch = Batch(model, nsim=len(rngs), nthread=threads, persistent=has_forces)
        self._rngs = list(rngs)
        bound = {name: self._batch.bind(name) for name in ("qpos", "qvel", *task.derived)}
        # A step does not compute external forces; a batch's data, which a persistent one keeps, are copied to do so.
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
        # All of a simulation that nothing else derives from, as it is before its first step.
        self._fresh = self._batch.state[0].copy()

    @property
    def unstable_S(self) -> Bools:  # noqa: N802
        """Simulations that MuJoCo has warned about (a diverged state, say) or could not step; may be set."""
        self._notice_warnings()
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
        """Positions (S, Q) and velocities (S, V) as they stand."""
        return self._state["qpos"], self._state["qvel"]

    def reset(self, which: npt.ArrayLike | None = None) -> Floats:
        """Start new episodes in the given simulations (ascending; all by default); their observations."""
        which = np.arange(len(self._rngs)) if which is None else np.asarray(which)
        drawn = [self.initial_state(self._rngs[i]) for i in which]
        return self.set_state(which, np.stack([qpos for qpos, _ in drawn]), np.stack([qvel for _, qvel in drawn]))

    def initial_state(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Draw where an episode starts: positions (Q,) and velocities (V,)."""
        return self.task.initial_state(self._batch.model, rng)

    def set_state(self, which: npt.NDArray[np.int_], qpos: Floats, qvel: Floats) -> Floats:
        """Start new episodes in given states; observations of the given simulations (ascending).

        As in Gymnasium, what MuJoCo derives from positions and velocities (where bodies are, say) is up to date then,
        and contact forces are 0, whereas after a step they lag behind by as much as a simulator step. So where a task
        reads some, its first observation is not quite that of an episode that came by, nor is Ant's and Humanoid's
        first reward, for a way; all else goes on alike.
        """
        self._notice_warnings()
        if self._scratch is None and not self._batch.warning[which].any():
            self._batch.state[which] = self._fresh  # MuJoCo's own reset of these takes twenty times as long
        else:  # where data persist they are more than a state; and a warning that is not forgotten hides the next one
            self._batch.reset(ids=which, stage=mujoco.mjtStage.mjSTAGE_NONE)
            # A reset forgets warnings: fewer than before are none of the new episode's.
            self._warnings_seen[which] = self._batch.warning[which]
        self._state["qpos"][which] = qpos
        self._state["qvel"][which] = qvel
        self._elapsed_S[which] = 0
        if self.task.derived:
            self._batch.forward(ids=which)
        if self._forces_of_forward is not None:  # zeros, but for models whose sensors need these forces
            self._state["cfrc_ext"][which] = self._forces_of_forward[which]
        return self.task.observe(State(self._state.model, {n: field[which] for n, field in self._state.fields.items()}))

    def step(self, action_SA: Floats, which: npt.NDArray[np.int_] | None = None) -> Step:
        """One environment step of every simulation. A NaN action is not passed on: its simulation is unstable.

        Args:
            action_SA: an action for each.
            which: the simulations that step (ascending), if not all; what is answered of the others means nothing.
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
            self.task.reward(Moment(before, self._state, action_SA, self._seconds), unhealthy_S),
            self.task.terminated(unhealthy_S),
            self._elapsed_S >= self._time_limit,
        )

    def state_dict(self, i: int) -> dict[str, npt.NDArray[Any]]:
        """All that one simulation goes on from, its random stream too, as arrays by name."""
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
        for name in self.task.derived:  # the next reward is also of these, which only a step makes
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

    def _notice_warnings(self) -> None:
        """MuJoCo counts its warnings until a reset; so they are looked at before that, and when somebody asks."""
        warnings = self._batch.warning
        if not np.array_equal(warnings, self._warnings_seen):
            self._unstable_S |= (warnings != self._warnings_seen).any(axis=(1, 2))
            self._warnings_seen = warnings.copy()


class Environments:
    """S environments as Gymnasium makes them, each with its own random stream, stepped one after the other.

    They take a `Simulator`'s calls, with one difference: their states can neither be read nor set. Where an episode
    starts, and what is random in it, is told by the seed that the environment is reset by, drawn from its stream. The
    caller resets what has ended, as there.
    """

    failure = "the environment was given, or gave, what is no number"

    def __init__(self, task: Environment, rngs: Sequence[np.random.Generator]) -> None:
        self.n_observation, self.n_action, self.choices = task.n_observation, task.n_action, task.choices
        self._rngs = list(rngs)
        self._envs = [task.make() for _ in rngs]
        weakref.finalize(self, _close, self._envs)
        self._seen, self._taken = self._envs[0].observation_space, self._envs[0].action_space
        self._seed_S1 = np.zeros((len(rngs), 1))
        self.unstable_S = np.zeros(len(rngs), dtype=bool)
        """Environments that were to take an action that is no number, or have answered with one."""

    @property
    def state(self) -> tuple[Floats, Floats]:
        """The seeds (S, 1) of the episodes, and nothing more, (S, 0): not where these stand."""
        return self._seed_S1, np.zeros((len(self._rngs), 0))

    def reset(self, which: npt.ArrayLike | None = None) -> Floats:
        """Start new episodes in the given environments (ascending; all by default); their observations."""
        which = np.arange(len(self._rngs)) if which is None else np.asarray(which)
        drawn = [self.initial_state(self._rngs[i]) for i in which]
        return self.set_state(which, np.stack([seed for seed, _ in drawn]), np.stack([nothing for _, nothing in drawn]))

    def initial_state(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Draw where an episode starts: a seed (1,), and nothing more, (0,)."""
        return np.array([float(rng.integers(2**31))]), np.zeros(0)

    def set_state(self, which: npt.NDArray[np.int_], seed: Floats, nothing: Floats) -> Floats:  # noqa: ARG002
        """Start new episodes by given seeds; observations of the given environments (ascending)."""
        self._seed_S1[which] = seed
        begun = [self._envs[i].reset(seed=int(s))[0] for i, (s,) in zip(which, seed, strict=True)]
        return np.stack([observed(self._seen, observation) for observation in begun])

    def step(self, action_SA: Floats, which: npt.NDArray[np.int_] | None = None) -> Step:
        """One step of every environment. A NaN action is not passed on: its environment is unstable.

        Args:
            action_SA: an action for each.
            which: the environments that step (ascending), if not all; what is answered of the others means nothing.
        """
        n = len(self._envs)
        fine_S: Bools = np.asarray(np.isfinite(action_SA).all(axis=1))
        action_SA = np.where(fine_S[:, None], action_SA, 0)
        answer = Step(np.zeros((n, self.n_observation)), np.zeros(n), np.zeros(n, bool), np.zeros(n, bool))
        for i in range(n) if which is None else which:
            seen, *rest, _ = self._envs[i].step(action_for(self._taken, action_SA[i]))
            answer.observation_SO[i] = observed(self._seen, seen)
            answer.reward_S[i], answer.terminated_S[i], answer.truncated_S[i] = rest
        self.unstable_S |= ~(fine_S & np.isfinite(answer.observation_SO).all(axis=1) & np.isfinite(answer.reward_S))
        return answer


def _close(envs: "Sequence[gymnasium.Env[Any, Any]]") -> None:
    for env in envs:
        env.close()


Simulation = Simulator | Environments


def simulate(task: AnyTask, rngs: Sequence[np.random.Generator], threads: int = 1) -> Simulation:
    """Simulations of a task, one for each random stream."""
    return Environments(task, rngs) if isinstance(task, Environment) else Simulator(task, rngs, threads)
