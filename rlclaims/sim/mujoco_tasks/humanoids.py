"""Tasks of a humanoid: Humanoid, which walks, and HumanoidStandup."""

from dataclasses import dataclass

import mujoco
import numpy as np

from rlclaims.sim.task import Bools, Floats, Range, State, Task, TaskWithHealth, Transition, uniform_noise

FIRST_OBSERVED = {"cinert": 1, "cvel": 1, "qfrc_actuator": 6, "cfrc_ext": 1}
"""First observed row of each optional field: the world's body and the root's six degrees of freedom are left out."""


@dataclass(frozen=True, kw_only=True)
class Human(Task):
    """Observations and costs that both tasks share."""

    ctrl_cost_weight: float = 0.1
    """Cost of an action's sum of squares."""
    reset_noise_scale: float = 1e-2
    """Half width of the uniform noise on positions and velocities at a reset."""
    exclude_current_positions_from_observation: bool = True
    """True if observations leave out the position on the ground."""
    include_cinert_in_observation: bool = True
    """True if observations include the bodies' inertias."""
    include_cvel_in_observation: bool = True
    """True if observations include the bodies' velocities."""
    include_qfrc_actuator_in_observation: bool = True
    """True if observations include the actuators' forces."""
    include_cfrc_ext_in_observation: bool = True
    """True if observations include contact forces."""

    @property
    def derived(self) -> tuple[str, ...]:
        """Fields that are observed."""
        return self._observed

    @property
    def _observed(self) -> tuple[str, ...]:
        return tuple(name for name in FIRST_OBSERVED if getattr(self, f"include_{name}_in_observation"))

    def observe(self, state: State) -> Floats:
        """Return positions, velocities and the optional fields."""
        parts = [state["qpos"][:, 2 * self.exclude_current_positions_from_observation :], state["qvel"]]
        parts += [state[name][:, FIRST_OBSERVED[name] :] for name in self._observed]
        return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)

    def _control(self, transition: Transition) -> Floats:
        # Gymnasium uses MuJoCo's copy of the action here, which is in double precision and not clipped.
        cost_S: Floats = self.ctrl_cost_weight * np.square(transition.action.astype(np.float64)).sum(axis=1)
        return cost_S

    def _impact(self, transition: Transition, weight: float, bounds: Range) -> Floats:
        squares_S = np.zeros(len(transition.action))
        if weight != 0:
            squares_S = np.square(transition.after["cfrc_ext"].reshape(len(squares_S), -1)).sum(axis=1)
        return (weight * squares_S).clip(*bounds)

    def initial_state(self, model: mujoco.MjModel, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Draw uniform noise on positions and velocities."""
        return uniform_noise(model, rng, self.reset_noise_scale)


@dataclass(frozen=True, kw_only=True)
class Humanoid(TaskWithHealth, Human):
    """A humanoid that is to walk forward without falling."""

    id: str = "Humanoid-v5"
    xml_file: str = "humanoid.xml"
    frame_skip: int = 5
    forward_reward_weight: float = 1.25
    """Reward of a velocity of 1 m/s."""
    contact_cost_weight: float = 5e-7
    """Cost of the contact forces' sum of squares."""
    contact_cost_range: Range = (-np.inf, 10.0)
    """Bounds to which this cost is clipped."""
    healthy_reward: float = 5.0
    healthy_z_range: Range = (1.0, 2.0)

    @property
    def derived(self) -> tuple[str, ...]:
        """Observed fields, the bodies' centers of mass, and contact forces if they cost anything."""
        forces = ("cfrc_ext",) if self.contact_cost_weight != 0 else ()
        return tuple(dict.fromkeys(("xipos", *self._observed, *forces)))

    def reward(self, transition: Transition, unhealthy_S: Bools) -> Floats:
        """Return the reward of the center of mass's forward velocity and of health, minus control and contact costs."""
        forward_S = (_center_of_mass_x(transition.after) - _center_of_mass_x(transition.before)) / transition.seconds
        cost_S = self._control(transition) + self._impact(transition, self.contact_cost_weight, self.contact_cost_range)
        reward_S: Floats = self.forward_reward_weight * forward_S + ~unhealthy_S * self.healthy_reward - cost_S
        return reward_S

    def unhealthy(self, state: State) -> Bools:
        """Return which are too low or too high."""
        low, high = self.healthy_z_range
        return ~((state["qpos"][:, 2] > low) & (state["qpos"][:, 2] < high))


@dataclass(frozen=True, kw_only=True)
class HumanoidStandup(Human):
    """A humanoid that lies on the ground and is to stand up."""

    id: str = "HumanoidStandup-v5"
    xml_file: str = "humanoidstandup.xml"
    frame_skip: int = 5
    uph_cost_weight: float = 1.0
    """Weight of the height; Gymnasium accepts it and does not use it."""
    impact_cost_weight: float = 0.5e-6
    """Cost of the contact forces' sum of squares."""
    impact_cost_range: Range = (-np.inf, 10.0)
    """Bounds to which this cost is clipped."""

    @property
    def derived(self) -> tuple[str, ...]:
        """Observed fields, and contact forces if they cost anything."""
        forces = ("cfrc_ext",) if self.impact_cost_weight != 0 else ()
        return tuple(dict.fromkeys((*self._observed, *forces)))

    def reward(self, transition: Transition, unhealthy_S: Bools) -> Floats:  # noqa: ARG002
        """Return the reward of the height, minus control and contact costs."""
        height_S = transition.after["qpos"][:, 2] / transition.after.model.opt.timestep
        impact_S = self._impact(transition, self.impact_cost_weight, self.impact_cost_range)
        reward_S: Floats = height_S - self._control(transition) - impact_S + 1
        return reward_S


def _center_of_mass_x(state: State) -> Floats:
    """Return the center of mass along x, in m (S,)."""
    mass_B = state.model.body_mass
    x_S: Floats = np.einsum("b,sb->s", mass_B, state["xipos"][:, :, 0]) / mass_B.sum()
    return x_S
