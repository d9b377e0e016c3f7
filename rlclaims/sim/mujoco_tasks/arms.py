"""Arms that are to reach a target: Reacher, and Pusher, which is to push a cylinder there."""

from dataclasses import dataclass

import mujoco
import numpy as np

from rlclaims.sim.task import Bools, Floats, Moment, State, Task


@dataclass(frozen=True, kw_only=True)
class Reacher(Task):
    """Two links in a plane. Its target is a part of qpos."""

    id: str = "Reacher-v5"
    time_limit: int | None = 50
    xml_file: str = "reacher.xml"
    frame_skip: int = 2
    reward_dist_weight: float = 1.0
    """What the fingertip's distance from the target is charged, for each m."""
    reward_control_weight: float = 1.0
    """What an action's square is charged."""

    @property
    def derived(self) -> tuple[str, ...]:
        """Where bodies are."""
        return ("xpos",)

    def observe(self, state: State) -> Floats:
        """Cosines and sines of the angles, the target, velocities of the arm, and its distance from the target."""
        angle, qpos, qvel = state["qpos"][:, :2], state["qpos"], state["qvel"]
        parts = np.cos(angle), np.sin(angle), qpos[:, 2:], qvel[:, :2], _between(state, "fingertip", "target")[:, :2]
        return np.concatenate(parts, axis=1)

    def reward(self, moment: Moment, unhealthy_S: Bools) -> Floats:  # noqa: ARG002
        """Nothing but charges."""
        distance_S = -_length(_between(moment.after, "fingertip", "target")) * self.reward_dist_weight
        control_S = -np.square(moment.action).sum(axis=1) * self.reward_control_weight
        reward_S: Floats = distance_S + control_S
        return reward_S

    def initial_state(self, model: mujoco.MjModel, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """An arm with some noise, and a target in a disc around its shoulder."""
        qpos = rng.uniform(-0.1, 0.1, model.nq) + model.qpos0
        while np.linalg.norm(goal := rng.uniform(-0.2, 0.2, 2)) >= 0.2:
            pass
        qpos[-2:] = goal
        qvel = rng.uniform(-0.005, 0.005, model.nv)
        qvel[-2:] = 0
        return qpos, qvel


@dataclass(frozen=True, kw_only=True)
class Pusher(Task):
    """Seven joints. The cylinder and its goal are parts of qpos."""

    id: str = "Pusher-v5"
    time_limit: int | None = 100
    xml_file: str = "pusher_v5.xml"
    frame_skip: int = 5
    reward_near_weight: float = 0.5
    """What the arm's distance from the cylinder is charged, for each m."""
    reward_dist_weight: float = 1.0
    """What the cylinder's distance from its goal is charged, for each m."""
    reward_control_weight: float = 0.1
    """What an action's square is charged."""

    @property
    def derived(self) -> tuple[str, ...]:
        """Where bodies are."""
        return ("xpos",)

    def observe(self, state: State) -> Floats:
        """The arm's positions and velocities, and where its tip, the cylinder and the goal are."""
        bodies = (state.body(name) for name in ("tips_arm", "object", "goal"))
        return np.concatenate((state["qpos"][:, :7], state["qvel"][:, :7], *bodies), axis=1)

    def reward(self, moment: Moment, unhealthy_S: Bools) -> Floats:  # noqa: ARG002
        """Nothing but charges."""
        near_S = -_length(_between(moment.after, "object", "tips_arm")) * self.reward_near_weight
        distance_S = -_length(_between(moment.after, "object", "goal")) * self.reward_dist_weight
        control_S = -np.square(moment.action).sum(axis=1) * self.reward_control_weight
        reward_S: Floats = distance_S + control_S + near_S
        return reward_S

    def initial_state(self, model: mujoco.MjModel, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """The arm at rest but for noise on its velocities, and a cylinder that is not at its goal yet."""
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
    """From the other body to the one, in m (S, 3)."""
    return state.body(body) - state.body(other)


def _length(vector_S3: Floats) -> Floats:
    # As NumPy's norm of one vector: a dot product, which at times rounds otherwise than a sum of squares.
    length_S: Floats = np.sqrt(np.vecdot(vector_S3, vector_S3))
    return length_S
