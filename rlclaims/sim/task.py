"""What a task declares, over arrays of S simulations: its arguments, what it observes and pays, and when it ends.

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
"""The least and the most."""


@dataclass(frozen=True)
class State:
    """S simulations of a model."""

    model: mujoco.MjModel
    fields: Mapping[str, Floats]
    """Of MuJoCo's `MjData`, by name: qpos (S, Q), qvel (S, V), and a task's `derived` ones."""

    def __getitem__(self, name: str) -> Floats:
        return self.fields[name]

    def body(self, body: int | str) -> Floats:
        """Where a body is, by its number or name, in m (S, 3), of a task that derives "xpos"."""
        return self.fields["xpos"][:, self.model.body(body).id]


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


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """A Gymnasium environment, declared. All fields but the first two are Gymnasium's arguments, with its defaults."""

    id: str
    """Gymnasium's id, with the arguments that are not its defaults (`rlclaims.sim.spelling`)."""
    time_limit: int | None = 1000
    """Environment steps after which an episode is truncated, if it is: Gymnasium's `max_episode_steps`."""
    xml_file: str
    """The model: one of Gymnasium's, or the path of another, which begins with ".", "/" or "~"."""
    frame_skip: int
    """Simulator steps in an environment step."""

    @property
    def derived(self) -> tuple[str, ...]:
        """Fields of the state besides qpos and qvel. They cost a forward pass at a reset, `cfrc_ext` time at a step."""
        return ()

    @property
    def model_path(self) -> Path:
        """The model's file, found as Gymnasium finds it."""
        if self.xml_file.startswith((".", "/", "~")):
            return Path(self.xml_file).expanduser()
        return Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / self.xml_file

    @abstractmethod
    def observe(self, state: State) -> Floats:
        """Observations (S, O) of a state."""

    @abstractmethod
    def reward(self, moment: Moment, unhealthy_S: Bools) -> Floats:
        """Rewards (S,) of a step, given where it led to an unhealthy state."""

    def unhealthy(self, state: State) -> Bools:
        """Where a state is one that ends an episode, or may end it, (S,); where it has a NaN, as in Gymnasium."""
        return np.zeros(len(state["qpos"]), dtype=bool)

    def terminated(self, unhealthy_S: Bools) -> Bools:
        """Where an unhealthy state ends the episode, (S,)."""
        return unhealthy_S

    @abstractmethod
    def initial_state(self, model: mujoco.MjModel, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Draw where an episode starts, positions (Q,) and velocities (V,), in the order in which Gymnasium draws."""


@dataclass(frozen=True, kw_only=True)
class Mortal(Task):
    """Who is to stay healthy."""

    healthy_reward: float = 1.0
    """For a step that leads to a healthy state."""
    terminate_when_unhealthy: bool = True
    """Whether another ends the episode."""
    healthy_z_range: Range
    """Heights, in m, that are healthy."""

    def terminated(self, unhealthy_S: Bools) -> Bools:
        """Where an unhealthy state ends the episode."""
        return unhealthy_S if self.terminate_when_unhealthy else np.zeros_like(unhealthy_S)


def uniform_noise(model: mujoco.MjModel, rng: np.random.Generator, scale: float) -> tuple[Floats, Floats]:
    """The model's positions, and velocities 0, with uniform noise on both of half width `scale`."""
    return model.qpos0 + rng.uniform(-scale, scale, model.nq), rng.uniform(-scale, scale, model.nv)


def normal_velocities(model: mujoco.MjModel, rng: np.random.Generator, scale: float) -> tuple[Floats, Floats]:
    """The same with normal noise on velocities, whose standard deviation is `scale`."""
    return model.qpos0 + rng.uniform(-scale, scale, model.nq), scale * rng.standard_normal(model.nv)
