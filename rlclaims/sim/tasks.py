"""The tasks: Gymnasium's MuJoCo environments as declarations over arrays of S simulations.

A task says where its model is, what it observes, what it pays and when it ends; `Simulator` does the rest. The
formulas are those of `gymnasium.envs.mujoco` (the -v5 tasks at their default arguments) and are tested against
them, step for step. Another task is another entry of `TASKS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import gymnasium
import numpy as np
import numpy.typing as npt

from rlclaims.sim.environment import Environment, environment_named

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]
State = Mapping[str, Floats]
"""Fields of MuJoCo's `MjData` over S simulations, by name: qpos (S, Q), qvel (S, V), and a task's `derived` ones."""


@dataclass(frozen=True)
class Moment:
    """S simulations around one environment step."""

    before: State
    """Where it began."""
    after: State
    """Where it led."""
    action: Floats
    """The action (S, A) as the agent gave it, in its own precision, not clipped to the control range."""
    seconds: float
    """Simulated time of one environment step."""
    mass: Floats
    """Masses of the model's bodies, in kg (B,)."""


@dataclass(frozen=True)
class Task:
    """A Gymnasium environment, declared."""

    id: str
    """Gymnasium's id."""
    model: str
    """File name of the model among Gymnasium's assets."""
    frame_skip: int
    """Simulator steps in an environment step."""
    time_limit: int
    """Environment steps after which an episode is truncated."""
    reset_noise: float
    """Half width of the uniform noise on positions and velocities at a reset."""
    observe: Callable[[State], Floats]
    """Observations (S, O) of a state."""
    reward: Callable[[Moment, Bools], Floats]
    """Rewards (S,) of a step, given whether each simulation is terminated by it."""
    terminated: Callable[[State], Bools]
    """Whether a state ends the episode, (S,). One with a NaN does, as in Gymnasium."""
    derived: tuple[str, ...] = ()
    """Fields of the state besides qpos and qvel. They cost a forward pass at a reset, and `cfrc_ext` time at a step."""

    @property
    def model_path(self) -> Path:
        """The model's file in the installed Gymnasium."""
        return Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / self.model


def _planar_observation(state: State) -> Floats:
    return np.concatenate((state["qpos"][:, 1:], state["qvel"].clip(-10, 10)), axis=1)


def _planar_reward(moment: Moment, terminated: Bools) -> Floats:
    forward = (moment.after["qpos"][:, 0] - moment.before["qpos"][:, 0]) / moment.seconds
    reward: Floats = forward + ~terminated * 1.0 - 1e-3 * np.square(moment.action).sum(axis=1)
    return reward


def _hopper_unhealthy(state: State) -> Bools:
    qpos = state["qpos"]
    rest = np.concatenate((qpos, state["qvel"]), axis=1)[:, 2:]
    in_range = ((rest > -100) & (rest < 100)).all(axis=1)
    return ~(in_range & (qpos[:, 1] > 0.7) & (qpos[:, 2] > -0.2) & (qpos[:, 2] < 0.2))


def _walker2d_unhealthy(state: State) -> Bools:
    z_S, angle_S = state["qpos"][:, 1], state["qpos"][:, 2]
    return ~((z_S > 0.8) & (z_S < 2) & (angle_S > -1) & (angle_S < 1))


def _humanoid_observation(state: State) -> Floats:
    parts = (
        state["qpos"][:, 2:],
        state["qvel"],
        state["cinert"][:, 1:],
        state["cvel"][:, 1:],
        state["qfrc_actuator"][:, 6:],
        state["cfrc_ext"][:, 1:],
    )
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def _humanoid_reward(moment: Moment, terminated: Bools) -> Floats:
    def centre(state: State) -> Floats:
        """Of mass, along x."""
        x_S: Floats = np.einsum("b,sb->s", moment.mass, state["xipos"][:, :, 0]) / moment.mass.sum()
        return x_S

    forward = (centre(moment.after) - centre(moment.before)) / moment.seconds
    # Gymnasium takes the action as MuJoCo holds it here: in double precision, and not clipped either.
    control = 0.1 * np.square(moment.action.astype(np.float64)).sum(axis=1)
    force = moment.after["cfrc_ext"].reshape(len(terminated), -1)
    contact = (5e-7 * np.square(force).sum(axis=1)).clip(max=10)
    reward: Floats = 1.25 * forward + ~terminated * 5.0 - (control + contact)
    return reward


TASKS: dict[str, Task] = {
    task.id: task
    for task in (
        Task(
            id="Hopper-v5",
            model="hopper.xml",
            frame_skip=4,
            time_limit=1000,
            reset_noise=5e-3,
            observe=_planar_observation,
            reward=_planar_reward,
            terminated=_hopper_unhealthy,
        ),
        Task(
            id="Walker2d-v5",
            model="walker2d_v5.xml",
            frame_skip=4,
            time_limit=1000,
            reset_noise=5e-3,
            observe=_planar_observation,
            reward=_planar_reward,
            terminated=_walker2d_unhealthy,
        ),
        Task(
            id="Humanoid-v5",
            model="humanoid.xml",
            frame_skip=5,
            time_limit=1000,
            reset_noise=1e-2,
            observe=_humanoid_observation,
            reward=_humanoid_reward,
            terminated=lambda state: ~((state["qpos"][:, 2] > 1) & (state["qpos"][:, 2] < 2)),
            derived=("xipos", "cinert", "cvel", "qfrc_actuator", "cfrc_ext"),
        ),
        Task(
            id="InvertedPendulum-v5",
            model="inverted_pendulum.xml",
            frame_skip=2,
            time_limit=1000,
            reset_noise=1e-2,
            observe=lambda state: np.concatenate((state["qpos"], state["qvel"]), axis=1),
            reward=lambda _, terminated: ~terminated * 1.0,
            terminated=lambda state: (
                ~(np.isfinite(state["qpos"]) & np.isfinite(state["qvel"])).all(axis=1)
                | (np.abs(state["qpos"][:, 1]) > 0.2)
            ),
        ),
    )
}


AnyTask = Task | Environment


def task_named(task_id: str) -> AnyTask:
    """The task of a Gymnasium id: one that is declared here, or else the environment as it comes.

    Raises:
        ValueError: there is none of that name, or it cannot be trained on, and why.
    """
    return TASKS.get(task_id) or environment_named(task_id)
