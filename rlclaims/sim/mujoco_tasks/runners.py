"""What is to run or swim ahead: HalfCheetah, Swimmer, Hopper, Walker2d and Ant."""

from dataclasses import dataclass
from typing import ClassVar

import mujoco
import numpy as np

from rlclaims.sim.task import Bools, Floats, Moment, Mortal, Range, State, Task, normal_velocities, uniform_noise


@dataclass(frozen=True, kw_only=True)
class Runner(Task):
    """Paid for its way along x, and charged for its effort."""

    places: ClassVar[int] = 1
    """Positions, at the front of qpos, that say where on the ground it is."""

    forward_reward_weight: float = 1.0
    """What a velocity of 1 m/s is paid."""
    ctrl_cost_weight: float
    """What an action's square is charged."""
    reset_noise_scale: float
    """Of the noise on positions and velocities at a reset."""
    exclude_current_positions_from_observation: bool = True
    """Whether it does not see where on the ground it is."""

    def observe(self, state: State) -> Floats:
        """Positions and velocities."""
        return np.concatenate((self._positions(state), state["qvel"]), axis=1)

    def _positions(self, state: State) -> Floats:
        return state["qpos"][:, self.places * self.exclude_current_positions_from_observation :]

    def reward(self, moment: Moment, unhealthy_S: Bools) -> Floats:  # noqa: ARG002
        """For the way ahead, less the effort."""
        return self._forward(moment) - self._control(moment)

    def _forward(self, moment: Moment) -> Floats:
        x_S = moment.after["qpos"][:, 0] - moment.before["qpos"][:, 0]
        return self.forward_reward_weight * (x_S / moment.seconds)

    def _control(self, moment: Moment) -> Floats:
        cost_S: Floats = self.ctrl_cost_weight * np.square(moment.action).sum(axis=1)
        return cost_S

    def initial_state(self, model: mujoco.MjModel, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """With uniform noise on positions and velocities."""
        return uniform_noise(model, rng, self.reset_noise_scale)


@dataclass(frozen=True, kw_only=True)
class HalfCheetah(Runner):
    """Two legs in a plane, that cannot fall over for good."""

    id: str = "HalfCheetah-v5"
    xml_file: str = "half_cheetah.xml"
    frame_skip: int = 5
    ctrl_cost_weight: float = 0.1
    reset_noise_scale: float = 0.1

    def initial_state(self, model: mujoco.MjModel, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """With normal noise on velocities."""
        return normal_velocities(model, rng, self.reset_noise_scale)


@dataclass(frozen=True, kw_only=True)
class Swimmer(Runner):
    """Three links in a viscous fluid."""

    places: ClassVar[int] = 2

    id: str = "Swimmer-v5"
    xml_file: str = "swimmer.xml"
    frame_skip: int = 4
    ctrl_cost_weight: float = 1e-4
    reset_noise_scale: float = 0.1


@dataclass(frozen=True, kw_only=True)
class MortalRunner(Mortal, Runner):
    """A runner that is to stay healthy."""

    def reward(self, moment: Moment, unhealthy_S: Bools) -> Floats:
        """For the way ahead and for health, less the effort."""
        reward_S: Floats = self._forward(moment) + ~unhealthy_S * self.healthy_reward - self._control(moment)
        return reward_S


@dataclass(frozen=True, kw_only=True)
class Walker2d(MortalRunner):
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
        """Positions and velocities, these clipped."""
        return np.concatenate((self._positions(state), state["qvel"].clip(-10, 10)), axis=1)

    def unhealthy(self, state: State) -> Bools:
        """Low, high, or bent."""
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
    """What is healthy of every position and velocity but the first two."""

    def unhealthy(self, state: State) -> Bools:
        """Low, high, bent, or too far or too fast in something else."""
        low, high = self.healthy_state_range
        rest = np.concatenate((state["qpos"][:, 2:], state["qvel"]), axis=1)
        unhealthy_S = super().unhealthy(state)
        if rest.min() > low and rest.max() < high:  # of all simulations, as nearly always
            return unhealthy_S
        return unhealthy_S | ~((rest > low) & (rest < high)).all(axis=1)


@dataclass(frozen=True, kw_only=True)
class Ant(MortalRunner):
    """Four legs."""

    places: ClassVar[int] = 2

    id: str = "Ant-v5"
    xml_file: str = "ant.xml"
    frame_skip: int = 5
    ctrl_cost_weight: float = 0.5
    reset_noise_scale: float = 0.1
    healthy_z_range: Range = (0.2, 1.0)
    contact_cost_weight: float = 5e-4
    """What the squares of contact forces are charged."""
    contact_force_range: Range = (-1.0, 1.0)
    """That contact forces are clipped to."""
    main_body: int | str = 1
    """The body whose way counts, by its number or name."""
    include_cfrc_ext_in_observation: bool = True
    """Whether contact forces are seen."""

    @property
    def derived(self) -> tuple[str, ...]:
        """Where bodies are, and contact forces where they count."""
        forces = self.include_cfrc_ext_in_observation or self.contact_cost_weight != 0
        return ("xpos", "cfrc_ext") if forces else ("xpos",)

    def observe(self, state: State) -> Floats:
        """Positions, velocities, and forces on all bodies but the world."""
        seen = super().observe(state)
        if not self.include_cfrc_ext_in_observation:
            return seen
        return np.concatenate((seen, self._forces(state)[:, 6:]), axis=1)

    def _forces(self, state: State) -> Floats:
        """Contact forces on bodies, six numbers for each, clipped."""
        force: Floats = state["cfrc_ext"].reshape(len(state["qpos"]), -1).clip(*self.contact_force_range)
        return force

    def reward(self, moment: Moment, unhealthy_S: Bools) -> Floats:
        """For the way ahead and for health, less the effort and the impacts."""
        cost_S = self._control(moment)
        if self.contact_cost_weight != 0:
            cost_S = cost_S + self.contact_cost_weight * np.square(self._forces(moment.after)).sum(axis=1)
        reward_S: Floats = self._forward(moment) + ~unhealthy_S * self.healthy_reward - cost_S
        return reward_S

    def _forward(self, moment: Moment) -> Floats:
        x_S = moment.after.body(self.main_body)[:, 0] - moment.before.body(self.main_body)[:, 0]
        return x_S / moment.seconds * self.forward_reward_weight

    def unhealthy(self, state: State) -> Bools:
        """Low or high, the bounds being healthy, or no number."""
        low, high = self.healthy_z_range
        finite_S = np.isfinite(state["qpos"]).all(axis=1) & np.isfinite(state["qvel"]).all(axis=1)
        z_S = state["qpos"][:, 2]
        return ~(finite_S & (low <= z_S) & (z_S <= high))

    def initial_state(self, model: mujoco.MjModel, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """With normal noise on velocities."""
        return normal_velocities(model, rng, self.reset_noise_scale)
