"""What is to be balanced on a cart: InvertedPendulum and InvertedDoublePendulum."""

from dataclasses import dataclass

import mujoco
import numpy as np

from rlclaims.sim.task import Bools, Floats, Moment, State, Task, normal_velocities, uniform_noise


@dataclass(frozen=True, kw_only=True)
class InvertedPendulum(Task):
    """One pole."""

    id: str = "InvertedPendulum-v5"
    xml_file: str = "inverted_pendulum.xml"
    frame_skip: int = 2
    reset_noise_scale: float = 1e-2
    """Half width of the uniform noise on positions and velocities at a reset."""

    def observe(self, state: State) -> Floats:
        """Positions and velocities."""
        return np.concatenate((state["qpos"], state["qvel"]), axis=1)

    def reward(self, moment: Moment, unhealthy_S: Bools) -> Floats:  # noqa: ARG002
        """1 while it stands."""
        return ~unhealthy_S * 1.0

    def unhealthy(self, state: State) -> Bools:
        """Fallen, or no number."""
        fallen_S = ~(np.isfinite(state["qpos"]) & np.isfinite(state["qvel"])).all(axis=1)
        return fallen_S | (np.abs(state["qpos"][:, 1]) > 0.2)

    def initial_state(self, model: mujoco.MjModel, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """With uniform noise on positions and velocities."""
        return uniform_noise(model, rng, self.reset_noise_scale)


@dataclass(frozen=True, kw_only=True)
class InvertedDoublePendulum(Task):
    """A pole on a pole."""

    id: str = "InvertedDoublePendulum-v5"
    xml_file: str = "inverted_double_pendulum.xml"
    frame_skip: int = 5
    healthy_reward: float = 10.0
    """For a step after which it stands."""
    reset_noise_scale: float = 0.1
    """Half width of the uniform noise on positions at a reset, standard deviation of the normal one on velocities."""

    @property
    def derived(self) -> tuple[str, ...]:
        """Where the tip is, and forces of constraints."""
        return ("site_xpos", "qfrc_constraint")

    def observe(self, state: State) -> Floats:
        """Where the cart is, sines and cosines of the poles' angles, velocities, and the force on the cart."""
        angle, force = state["qpos"][:, 1:], state["qfrc_constraint"][:, :1]
        parts = state["qpos"][:, :1], np.sin(angle), np.cos(angle), state["qvel"].clip(-10, 10), force.clip(-10, 10)
        return np.concatenate(parts, axis=1)

    def reward(self, moment: Moment, unhealthy_S: Bools) -> Floats:
        """For standing, less the tip's distance from its place and its poles' speeds."""
        x_S, _, y_S = moment.after["site_xpos"][:, 0].T
        v1_S, v2_S = moment.after["qvel"][:, 1:3].T
        distance = 0.01 * _squared(x_S) + _squared(y_S - 2)
        speed = 1e-3 * _squared(v1_S) + 5e-3 * _squared(v2_S)
        reward_S: Floats = ~unhealthy_S * self.healthy_reward - distance - speed
        return reward_S

    def unhealthy(self, state: State) -> Bools:
        """A tip that is low."""
        low_S: Bools = state["site_xpos"][:, 0, 2] <= 1
        return low_S

    def initial_state(self, model: mujoco.MjModel, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """With normal noise on velocities."""
        return normal_velocities(model, rng, self.reset_noise_scale)


def _squared(x_S: Floats) -> Floats:
    # As Gymnasium squares, number by number: C's pow, which at times rounds otherwise than an array's square.
    return np.array([x**2 for x in x_S])
