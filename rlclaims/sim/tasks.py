"""The tasks: Gymnasium's MuJoCo environments as declarations over arrays of S simulations.

A task says where its model is, what it observes, what it pays and when it ends; `Simulator` does the rest. The
formulas are those of `gymnasium.envs.mujoco` (the -v5 tasks at their default arguments) and are tested against
them, step for step. Another task is another entry of `TASKS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gymnasium
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Moment:
    """S simulations around one environment step; arrays lead with S."""

    qpos_before: Floats
    """Generalised positions before the step."""
    qpos: Floats
    """Generalised positions after it."""
    qvel: Floats
    """Generalised velocities after it."""
    action: Floats
    """The action as the agent gave it, in its own precision, not clipped to the control range."""
    seconds: float
    """Simulated time of one environment step."""


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
    observe: Callable[[Floats, Floats], Floats]
    """Observations (S, O) from positions and velocities."""
    reward: Callable[[Moment, Bools], Floats]
    """Rewards (S,) of a step, given whether each simulation is terminated by it."""
    terminated: Callable[[Floats, Floats], Bools]
    """Whether positions and velocities end the episode, (S,)."""

    @property
    def model_path(self) -> Path:
        """The model's file in the installed Gymnasium."""
        return Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / self.model


def _hopper_observation(qpos: Floats, qvel: Floats) -> Floats:
    return np.concatenate((qpos[:, 1:], qvel.clip(-10, 10)), axis=1)


def _hopper_unhealthy(qpos: Floats, qvel: Floats) -> Bools:
    # Written so that NaN is unhealthy, as it is in Gymnasium.
    state = np.concatenate((qpos, qvel), axis=1)[:, 2:]
    in_range = ((state > -100) & (state < 100)).all(axis=1)
    return ~(in_range & (qpos[:, 1] > 0.7) & (qpos[:, 2] > -0.2) & (qpos[:, 2] < 0.2))


def _hopper_reward(moment: Moment, terminated: Bools) -> Floats:
    forward = (moment.qpos[:, 0] - moment.qpos_before[:, 0]) / moment.seconds
    reward: Floats = forward + ~terminated * 1.0 - 1e-3 * np.square(moment.action).sum(axis=1)
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
            observe=_hopper_observation,
            reward=_hopper_reward,
            terminated=_hopper_unhealthy,
        ),
        Task(
            id="InvertedPendulum-v5",
            model="inverted_pendulum.xml",
            frame_skip=2,
            time_limit=1000,
            reset_noise=1e-2,
            observe=lambda qpos, qvel: np.concatenate((qpos, qvel), axis=1),
            reward=lambda _, terminated: ~terminated * 1.0,
            terminated=lambda qpos, qvel: (
                ~(np.isfinite(qpos) & np.isfinite(qvel)).all(axis=1) | (np.abs(qpos[:, 1]) > 0.2)
            ),
        ),
    )
}


def task_named(task_id: str) -> Task:
    """The task of a Gymnasium id.

    Raises:
        ValueError: there is none of that name.
    """
    if task_id not in TASKS:
        raise ValueError(f"There is no task {task_id!r}; there are {', '.join(sorted(TASKS))}.")
    return TASKS[task_id]
