"""Tasks of running or swimming forward: HalfCheetah, Swimmer, Hopper, Walker2d and Ant."""

from dataclasses import dataclass
from typing import ClassVar

import mujoco
import numpy as np

from rlclaims.sim.task import (
    Bools,
    Floats,
    Range,
    State,
    Task,
    TaskWithHealth,
    Transition,
    normal_velocities,
    uniform_noise,
)


@dataclass(frozen=True, kw_only=True)
class Runner(Task):
    """A task that rewards velocity along x and charges for control."""

    n_ground_coordinates: ClassVar[int] = 1
    """Entries at the front of qpos that give the position on the ground."""

    forward_reward_weight: float = 1.0
    """Reward of a velocity of 1 m/s."""
    ctrl_cost_weight: float
    """Cost of an action's sum of squares."""
    reset_noise_scale: float
    """Scale of the noise on positions and velocities at a reset."""
    exclude_current_positions_from_observation: bool = True
    """True if observations leave out the position on the ground."""

    def observe(self, state: State) -> Floats:
        """Return positions and velocities."""
        return np.concatenate((self._positions(state), state["qvel"]), axis=1)

    def _positions(self, state: State) -> Floats:
        return state["qpos"][:, self.n_ground_coordinates * self.exclude_current_positions_from_observation :]

    def reward(self, transition: Transition, unhealthy_S: Bools) -> Floats:  # noqa: ARG002
        """Return the reward of the forward velocity, minus the control cost."""
        return self._forward(transition) - self._control(transition)

    def _forward(self, transition: Transition) -> Floats:
        x_S = transition.after["qpos"][:, 0] - transition.before["qpos"][:, 0]
        return self.forward_reward_weight * (x_S / transition.seconds)

    def _control(self, transition: Transition) -> Floats:
        cost_S: Floats = self.ctrl_cost_weight * np.square(transition.action).sum(axis=1)
        return cost_S

    def initial_state(self, model: mujoco.MjModel, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Draw uniform noise on positions and velocities."""
        return uniform_noise(model, rng, self.reset_noise_scale)


@dataclass(frozen=True, kw_only=True)
class HalfCheetah(Runner):
    """Two legs in a plane; episodes do not end when it falls over."""

    id: str = "HalfCheetah-v5"
    xml_file: str = "half_cheetah.xml"
    frame_skip: int = 5
    ctrl_cost_weight: float = 0.1
    reset_noise_scale: float = 0.1

    def initial_state(self, model: mujoco.MjModel, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Draw uniform noise on positions and normal noise on velocities."""
        return normal_velocities(model, rng, self.reset_noise_scale)


@dataclass(frozen=True, kw_only=True)
class Swimmer(Runner):
    """Three links in a viscous fluid."""

    n_ground_coordinates: ClassVar[int] = 2

    id: str = "Swimmer-v5"
    xml_file: str = "swimmer.xml"
    frame_skip: int = 4
    ctrl_cost_weight: float = 1e-4
    reset_noise_scale: float = 0.1


@dataclass(frozen=True, kw_only=True)
class RunnerWithHealth(TaskWithHealth, Runner):
    """A runner that is to stay healthy."""

    def reward(self, transition: Transition, unhealthy_S: Bools) -> Floats:
        """Return the rewards of the forward velocity and of health, minus the control cost."""
        reward_S: Floats = self._forward(transition) + ~unhealthy_S * self.healthy_reward - self._control(transition)
        return reward_S


@dataclass(frozen=True, kw_only=True)
class Walker2d(RunnerWithHealth):
    """Two legs in a plane."""

    id: str = "Walker2d-v5"
    xml_file: str = "walker2d_v5.xml"
    frame_skip: int = 4
    ctrl_cost_weight: float = 1e-3
    reset_noise_scale: float = 5e-3
    healthy_z_range: Range = (0.8, 2.0)
    healthy_angle_range: Range = (-1.0, 1.0)
    """Angles of the trunk, in rad, that are healthy."""

    def observe(self, state: State) -> Floats:
        """Return positions and clipped velocities."""
        return np.concatenate((self._positions(state), state["qvel"].clip(-10, 10)), axis=1)

    def unhealthy(self, state: State) -> Bools:
        """Return which trunks are too low, too high or too far from upright."""
        (z_low, z_high), (low, high) = self.healthy_z_range, self.healthy_angle_range
        z_S, angle_S = state["qpos"][:, 1], state["qpos"][:, 2]
        return ~((z_S > z_low) & (z_S < z_high) & (angle_S > low) & (angle_S < high))


@dataclass(frozen=True, kw_only=True)
class Hopper(Walker2d):
    """One leg in a plane."""

    id: str = "Hopper-v5"
    xml_file: str = "hopper.xml"
    healthy_z_range: Range = (0.7, np.inf)
    healthy_angle_range: Range = (-0.2, 0.2)
    healthy_state_range: Range = (-100.0, 100.0)
    """Healthy values of all positions and velocities but the first two positions."""

    def unhealthy(self, state: State) -> Bools:
        """Return which are unhealthy as a Walker2d, or have any other position or velocity out of range."""
        low, high = self.healthy_state_range
        rest = np.concatenate((state["qpos"][:, 2:], state["qvel"]), axis=1)
        unhealthy_S = super().unhealthy(state)
        if rest.min() > low and rest.max() < high:  # the common case: all simulations are in range
            return unhealthy_S
        return unhealthy_S | ~((rest > low) & (rest < high)).all(axis=1)


@dataclass(frozen=True, kw_only=True)
class Ant(RunnerWithHealth):
    """Four legs."""

    n_ground_coordinates: ClassVar[int] = 2

    id: str = "Ant-v5"
    xml_file: str = "ant.xml"
    frame_skip: int = 5
    ctrl_cost_weight: float = 0.5
    reset_noise_scale: float = 0.1
    healthy_z_range: Range = (0.2, 1.0)
    contact_cost_weight: float = 5e-4
    """Cost of the contact forces' sum of squares."""
    contact_force_range: Range = (-1.0, 1.0)
    """Bounds to which contact forces are clipped."""
    main_body: int | str = 1
    """Number or name of the body whose velocity is rewarded."""
    include_cfrc_ext_in_observation: bool = True
    """True if observations include contact forces."""

    @property
    def derived(self) -> tuple[str, ...]:
        """Positions of bodies, and contact forces if they are observed or cost anything."""
        forces = self.include_cfrc_ext_in_observation or self.contact_cost_weight != 0
        return ("xpos", "cfrc_ext") if forces else ("xpos",)

    def observe(self, state: State) -> Floats:
        """Return positions, velocities, and contact forces on all bodies but the world."""
        observation = super().observe(state)
        if not self.include_cfrc_ext_in_observation:
            return observation
        return np.concatenate((observation, self._forces(state)[:, 6:]), axis=1)

    def _forces(self, state: State) -> Floats:
        """Return the clipped contact forces on all bodies, six numbers each."""
        force: Floats = state["cfrc_ext"].reshape(len(state["qpos"]), -1).clip(*self.contact_force_range)
        return force

    def reward(self, transition: Transition, unhealthy_S: Bools) -> Floats:
        """Return the rewards of the forward velocity and of health, minus control and contact costs."""
        cost_S = self._control(transition)
        if self.contact_cost_weight != 0:
            cost_S = cost_S + self.contact_cost_weight * np.square(self._forces(transition.after)).sum(axis=1)
        reward_S: Floats = self._forward(transition) + ~unhealthy_S * self.healthy_reward - cost_S
        return reward_S

    def _forward(self, transition: Transition) -> Floats:
        x_S = transition.after.body(self.main_body)[:, 0] - transition.before.body(self.main_body)[:, 0]
        return x_S / transition.seconds * self.forward_reward_weight

    def unhealthy(self, state: State) -> Bools:
        """Return which are too low, too high or not finite; the bounds themselves are healthy."""
        low, high = self.healthy_z_range
        finite_S = np.isfinite(state["qpos"]).all(axis=1) & np.isfinite(state["qvel"]).all(axis=1)
        z_S = state["qpos"][:, 2]
        return ~(finite_S & (low <= z_S) & (z_S <= high))

    def initial_state(self, model: mujoco.MjModel, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Draw uniform noise on positions and normal noise on velocities."""
        return normal_velocities(model, rng, self.reset_noise_scale)
