"""Tasks of arms: Reacher, which reaches for a target, and Pusher, which pushes a cylinder to a goal."""

from dataclasses import dataclass

import mujoco
import numpy as np

from rlclaims.sim.task import Bools, Floats, State, Task, Transition


@dataclass(frozen=True, kw_only=True)
class Reacher(Task):
    """Two links in a plane. The target's position is part of qpos."""

    id: str = "Reacher-v5"
    time_limit: int | None = 50
    xml_file: str = "reacher.xml"
    frame_skip: int = 2
    reward_dist_weight: float = 1.0
    """Cost of the fingertip's distance from the target, per m."""
    reward_control_weight: float = 1.0
    """Cost of an action's sum of squares."""

    @property
    def derived(self) -> tuple[str, ...]:
        """Positions of bodies."""
        return ("xpos",)

    def observe(self, state: State) -> Floats:
        """Return cosines and sines of the angles, the target, the arm's velocities, and the way to the target."""
        angle, qpos, qvel = state["qpos"][:, :2], state["qpos"], state["qvel"]
        parts = np.cos(angle), np.sin(angle), qpos[:, 2:], qvel[:, :2], _between(state, "fingertip", "target")[:, :2]
        return np.concatenate(parts, axis=1)

    def reward(self, transition: Transition, unhealthy_S: Bools) -> Floats:  # noqa: ARG002
        """Return the costs of distance and control, negated."""
        distance_S = -_length(_between(transition.after, "fingertip", "target")) * self.reward_dist_weight
        control_S = -np.square(transition.action).sum(axis=1) * self.reward_control_weight
        reward_S: Floats = distance_S + control_S
        return reward_S

    def initial_state(self, model: mujoco.MjModel, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Draw an arm with some noise, and a target in a disc around its shoulder."""
        qpos = rng.uniform(-0.1, 0.1, model.nq) + model.qpos0
        while np.linalg.norm(goal := rng.uniform(-0.2, 0.2, 2)) >= 0.2:
            pass
        qpos[-2:] = goal
        qvel = rng.uniform(-0.005, 0.005, model.nv)
        qvel[-2:] = 0
        return qpos, qvel


@dataclass(frozen=True, kw_only=True)
class Pusher(Task):
    """An arm of seven joints. The positions of the cylinder and its goal are part of qpos."""

    id: str = "Pusher-v5"
    time_limit: int | None = 100
    xml_file: str = "pusher_v5.xml"
    frame_skip: int = 5
    reward_near_weight: float = 0.5
    """Cost of the arm's distance from the cylinder, per m."""
    reward_dist_weight: float = 1.0
    """Cost of the cylinder's distance from its goal, per m."""
    reward_control_weight: float = 0.1
    """Cost of an action's sum of squares."""

    @property
    def derived(self) -> tuple[str, ...]:
        """Positions of bodies."""
        return ("xpos",)

    def observe(self, state: State) -> Floats:
        """Return the arm's positions and velocities, and the positions of its tip, the cylinder and the goal."""
        bodies = (state.body(name) for name in ("tips_arm", "object", "goal"))
        return np.concatenate((state["qpos"][:, :7], state["qvel"][:, :7], *bodies), axis=1)

    def reward(self, transition: Transition, unhealthy_S: Bools) -> Floats:  # noqa: ARG002
        """Return the costs of distance and control, negated."""
        near_S = -_length(_between(transition.after, "object", "tips_arm")) * self.reward_near_weight
        distance_S = -_length(_between(transition.after, "object", "goal")) * self.reward_dist_weight
        control_S = -np.square(transition.action).sum(axis=1) * self.reward_control_weight
        reward_S: Floats = distance_S + control_S + near_S
        return reward_S

    def initial_state(self, model: mujoco.MjModel, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Draw noise on the velocities of an arm in its initial position, and a cylinder away from its goal."""
        qpos = model.qpos0.copy()
        while True:
            cylinder = np.concatenate((rng.uniform(-0.3, 0, 1), rng.uniform(-0.2, 0.2, 1)))
            if np.linalg.norm(cylinder) > 0.17:
                break
        qpos[-4:-2], qpos[-2:] = cylinder, 0
        qvel = rng.uniform(-0.005, 0.005, model.nv)
        qvel[-4:] = 0
        return qpos, qvel


def _between(state: State, body: str, other: str) -> Floats:
    """Return the vector from the other body to the body, in m (S, 3)."""
    return state.body(body) - state.body(other)


def _length(vector_S3: Floats) -> Floats:
    # A dot product, as in NumPy's norm of a single vector: it may round differently from a sum of squares.
    length_S: Floats = np.sqrt(np.vecdot(vector_S3, vector_S3))
    return length_S
