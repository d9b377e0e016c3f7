"""The human figure: Humanoid, which is to walk, and HumanoidStandup."""

from dataclasses import dataclass

import mujoco
import numpy as np

from rlclaims.sim.task import Bools, Floats, Moment, Mortal, Range, State, Task, uniform_noise

SEEN = {"cinert": 1, "cvel": 1, "qfrc_actuator": 6, "cfrc_ext": 1}
"""What may be seen besides positions and velocities, and from where on: of all bodies but the world, and of joints."""


@dataclass(frozen=True, kw_only=True)
class Human(Task):
    """What both see, and are charged."""

    ctrl_cost_weight: float = 0.1
    """What an action's square is charged."""
    reset_noise_scale: float = 1e-2
    """Half width of the uniform noise on positions and velocities at a reset."""
    exclude_current_positions_from_observation: bool = True
    """Whether it does not see where on the ground it is."""
    include_cinert_in_observation: bool = True
    """Whether bodies' inertias are seen."""
    include_cvel_in_observation: bool = True
    """Whether bodies' velocities are seen."""
    include_qfrc_actuator_in_observation: bool = True
    """Whether actuators' forces are seen."""
    include_cfrc_ext_in_observation: bool = True
    """Whether contact forces are seen."""

    @property
    def derived(self) -> tuple[str, ...]:
        """What is seen."""
        return self._seen

    @property
    def _seen(self) -> tuple[str, ...]:
        return tuple(name for name in SEEN if getattr(self, f"include_{name}_in_observation"))

    def observe(self, state: State) -> Floats:
        """Positions, velocities, and what else is seen."""
        parts = [state["qpos"][:, 2 * self.exclude_current_positions_from_observation :], state["qvel"]]
        parts += [state[name][:, SEEN[name] :] for name in self._seen]
        return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)

    def _control(self, moment: Moment) -> Floats:
        # Gymnasium takes the action as MuJoCo holds it here: in double precision, and not clipped either.
        cost_S: Floats = self.ctrl_cost_weight * np.square(moment.action.astype(np.float64)).sum(axis=1)
        return cost_S

    def _impact(self, moment: Moment, weight: float, bounds: Range) -> Floats:
        squares_S = np.zeros(len(moment.action))
        if weight != 0:
            squares_S = np.square(moment.after["cfrc_ext"].reshape(len(squares_S), -1)).sum(axis=1)
        return (weight * squares_S).clip(*bounds)

    def initial_state(self, model: mujoco.MjModel, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """With uniform noise on positions and velocities."""
        return uniform_noise(model, rng, self.reset_noise_scale)


@dataclass(frozen=True, kw_only=True)
class Humanoid(Mortal, Human):
    """It is to walk ahead and not to fall."""

    id: str = "Humanoid-v5"
    xml_file: str = "humanoid.xml"
    frame_skip: int = 5
    forward_reward_weight: float = 1.25
    """What a velocity of 1 m/s is paid."""
    contact_cost_weight: float = 5e-7
    """What the squares of contact forces are charged."""
    contact_cost_range: Range = (-np.inf, 10.0)
    """That this charge is clipped to."""
    healthy_reward: float = 5.0
    healthy_z_range: Range = (1.0, 2.0)

    @property
    def derived(self) -> tuple[str, ...]:
        """What is seen, where bodies' centres of mass are, and contact forces where they count."""
        forces = ("cfrc_ext",) if self.contact_cost_weight != 0 else ()
        return tuple(dict.fromkeys(("xipos", *self._seen, *forces)))

    def reward(self, moment: Moment, unhealthy_S: Bools) -> Floats:
        """For the centre of mass's way ahead and for health, less the effort and the impacts."""
        forward_S = (_centre(moment.after) - _centre(moment.before)) / moment.seconds
        cost_S = self._control(moment) + self._impact(moment, self.contact_cost_weight, self.contact_cost_range)
        reward_S: Floats = self.forward_reward_weight * forward_S + ~unhealthy_S * self.healthy_reward - cost_S
        return reward_S

    def unhealthy(self, state: State) -> Bools:
        """Low or high."""
        low, high = self.healthy_z_range
        return ~((state["qpos"][:, 2] > low) & (state["qpos"][:, 2] < high))


@dataclass(frozen=True, kw_only=True)
class HumanoidStandup(Human):
    """It lies, and is to stand up."""

    id: str = "HumanoidStandup-v5"
    xml_file: str = "humanoidstandup.xml"
    frame_skip: int = 5
    uph_cost_weight: float = 1.0
    """Of height; Gymnasium takes it, and does not use it."""
    impact_cost_weight: float = 0.5e-6
    """What the squares of contact forces are charged."""
    impact_cost_range: Range = (-np.inf, 10.0)
    """That this charge is clipped to."""

    @property
    def derived(self) -> tuple[str, ...]:
        """What is seen, and contact forces where they count."""
        forces = ("cfrc_ext",) if self.impact_cost_weight != 0 else ()
        return tuple(dict.fromkeys((*self._seen, *forces)))

    def reward(self, moment: Moment, unhealthy_S: Bools) -> Floats:  # noqa: ARG002
        """For its height, less the effort and the impacts."""
        height_S = moment.after["qpos"][:, 2] / moment.after.model.opt.timestep
        impact_S = self._impact(moment, self.impact_cost_weight, self.impact_cost_range)
        reward_S: Floats = height_S - self._control(moment) - impact_S + 1
        return reward_S


def _centre(state: State) -> Floats:
    """Of mass, along x, in m (S,)."""
    mass_B = state.model.body_mass
    x_S: Floats = np.einsum("b,sb->s", mass_B, state["xipos"][:, :, 0]) / mass_B.sum()
    return x_S
