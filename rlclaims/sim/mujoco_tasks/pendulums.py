"""Tasks of balancing poles on a cart: InvertedPendulum and InvertedDoublePendulum."""

from dataclasses import dataclass

import mujoco
import numpy as np

from rlclaims.sim.task import Bools, Floats, State, Task, Transition, normal_velocities, uniform_noise


@dataclass(frozen=True, kw_only=True)
class InvertedPendulum(Task):
    """One pole on a cart."""

    id: str = "InvertedPendulum-v5"
    xml_file: str = "inverted_pendulum.xml"
    frame_skip: int = 2
    reset_noise_scale: float = 1e-2
    """Half width of the uniform noise on positions and velocities at a reset."""

    def observe(self, state: State) -> Floats:
        """Return positions and velocities."""
        return np.concatenate((state["qpos"], state["qvel"]), axis=1)

    def reward(self, transition: Transition, unhealthy_S: Bools) -> Floats:  # noqa: ARG002
        """Return 1 while the pole stands."""
        return ~unhealthy_S * 1.0

    def unhealthy(self, state: State) -> Bools:
        """Return which poles have fallen; a state that is not finite counts as fallen."""
        fallen_S = ~(np.isfinite(state["qpos"]) & np.isfinite(state["qvel"])).all(axis=1)
        return fallen_S | (np.abs(state["qpos"][:, 1]) > 0.2)

    def initial_state(self, model: mujoco.MjModel, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Draw uniform noise on positions and velocities."""
        return uniform_noise(model, rng, self.reset_noise_scale)


@dataclass(frozen=True, kw_only=True)
class InvertedDoublePendulum(Task):
    """A pole on a pole on a cart."""

    id: str = "InvertedDoublePendulum-v5"
    xml_file: str = "inverted_double_pendulum.xml"
    frame_skip: int = 5
    healthy_reward: float = 10.0
    """Reward of a step after which the poles stand."""
    reset_noise_scale: float = 0.1
    """Half width of the uniform noise on positions at a reset, and standard deviation of the normal on velocities."""

    @property
    def derived(self) -> tuple[str, ...]:
        """Position of the tip, and forces of constraints."""
        return ("site_xpos", "qfrc_constraint")

    def observe(self, state: State) -> Floats:
        """Return the cart's position, sines and cosines of the poles' angles, velocities, and the force on the cart."""
        angle, force = state["qpos"][:, 1:], state["qfrc_constraint"][:, :1]
        parts = state["qpos"][:, :1], np.sin(angle), np.cos(angle), state["qvel"].clip(-10, 10), force.clip(-10, 10)
        return np.concatenate(parts, axis=1)

    def reward(self, transition: Transition, unhealthy_S: Bools) -> Floats:
        """Return the reward of standing, minus costs of the tip's distance from its place and of the poles' speeds."""
        x_S, _, y_S = transition.after["site_xpos"][:, 0].T
        v1_S, v2_S = transition.after["qvel"][:, 1:3].T
        distance = 0.01 * _squared(x_S) + _squared(y_S - 2)
        speed = 1e-3 * _squared(v1_S) + 5e-3 * _squared(v2_S)
        reward_S: Floats = ~unhealthy_S * self.healthy_reward - distance - speed
        return reward_S

    def unhealthy(self, state: State) -> Bools:
        """Return which tips are too low."""
        low_S: Bools = state["site_xpos"][:, 0, 2] <= 1
        return low_S

    def initial_state(self, model: mujoco.MjModel, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Draw uniform noise on positions and normal noise on velocities."""
        return normal_velocities(model, rng, self.reset_noise_scale)


def _squared(x_S: Floats) -> Floats:
    # C's pow on each number, as in Gymnasium: it may round differently from the square of an array.
    return np.array([x**2 for x in x_S])
