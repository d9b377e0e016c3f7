"""The interface of a declared task, over arrays of S simulations: arguments, observations, rewards and termination.

`Simulator` does the rest. The tasks themselves are in `rlclaims/sim/mujoco_tasks/`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]
Range = tuple[float, float]
"""Lower and upper bound."""


@dataclass(frozen=True)
class State:
    """The state of S simulations of a model."""

    model: mujoco.MjModel
    fields: Mapping[str, Floats]
    """Fields of MuJoCo's `MjData` by name: qpos (S, Q), qvel (S, V), and a task's `derived` fields."""

    def __getitem__(self, name: str) -> Floats:
        return self.fields[name]

    def body(self, body: int | str) -> Floats:
        """Return the position (S, 3) of a body in m, by its number or name, for a task that derives "xpos"."""
        return self.fields["xpos"][:, self.model.body(body).id]


@dataclass(frozen=True)
class Transition:
    """One environment step of S simulations."""

    before: State
    """States before the step."""
    after: State
    """States after the step."""
    action: Floats
    """Actions (S, A) in the agent's precision, not clipped to the control range."""
    seconds: float
    """Simulated time of one environment step."""


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """A declared Gymnasium environment. All fields but the first two are Gymnasium's arguments, with its defaults."""

    id: str
    """Gymnasium id, with the arguments that are not its defaults (`rlclaims.sim.spelling`)."""
    time_limit: int | None = 1000
    """Environment steps after which an episode is truncated (Gymnasium's `max_episode_steps`); None for no limit."""
    xml_file: str
    """Model: the name of one of Gymnasium's, or the path of another, which begins with ".", "/" or "~"."""
    frame_skip: int
    """Simulator steps in an environment step."""

    @property
    def derived(self) -> tuple[str, ...]:
        """Fields of the state besides qpos and qvel.

        Any of them costs a forward pass at each reset; `cfrc_ext` also costs time at each step.
        """
        return ()

    @property
    def model_path(self) -> Path:
        """Path of the model's file, found as Gymnasium finds it."""
        if self.xml_file.startswith((".", "/", "~")):
            return Path(self.xml_file).expanduser()
        return Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / self.xml_file

    @abstractmethod
    def observe(self, state: State) -> Floats:
        """Return the observations (S, O) of a state."""

    @abstractmethod
    def reward(self, transition: Transition, unhealthy_S: Bools) -> Floats:
        """Return the rewards (S,) of a step, given which simulations it left unhealthy."""

    def unhealthy(self, state: State) -> Bools:
        """Return which states (S,) are unhealthy and may end the episode; a NaN counts as in Gymnasium."""
        return np.zeros(len(state["qpos"]), dtype=bool)

    def terminated(self, unhealthy_S: Bools) -> Bools:
        """Return which episodes (S,) an unhealthy state ends."""
        return unhealthy_S

    @abstractmethod
    def initial_state(self, model: mujoco.MjModel, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Draw an episode's initial positions (Q,) and velocities (V,), in the order in which Gymnasium draws them."""


@dataclass(frozen=True, kw_only=True)
class TaskWithHealth(Task):
    """A task that rewards staying healthy."""

    healthy_reward: float = 1.0
    """Reward of a step that leads to a healthy state."""
    terminate_when_unhealthy: bool = True
    """True if an unhealthy state ends the episode."""
    healthy_z_range: Range
    """Heights, in m, that are healthy."""

    def terminated(self, unhealthy_S: Bools) -> Bools:
        """Return which episodes (S,) an unhealthy state ends: none, or all that are unhealthy."""
        return unhealthy_S if self.terminate_when_unhealthy else np.zeros_like(unhealthy_S)


def uniform_noise(model: mujoco.MjModel, rng: np.random.Generator, scale: float) -> tuple[Floats, Floats]:
    """Return the model's initial positions and zero velocities, both with uniform noise of half width `scale`."""
    return model.qpos0 + rng.uniform(-scale, scale, model.nq), rng.uniform(-scale, scale, model.nv)


def normal_velocities(model: mujoco.MjModel, rng: np.random.Generator, scale: float) -> tuple[Floats, Floats]:
    """Return the same, but with normal noise of standard deviation `scale` on the velocities."""
    return model.qpos0 + rng.uniform(-scale, scale, model.nq), scale * rng.standard_normal(model.nv)
