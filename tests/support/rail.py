"""A point mass on a rail pushed by a motor: tasks with known expected returns, and a check of means against them."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rlclaims import PPO
from rlclaims.agents.networks import MLP, GaussianNetwork
from rlclaims.checkpoints import Checkpoint, History, Start
from rlclaims.randomness import Purpose, stream, stream_to_array
from rlclaims.sim.task import State, Task, Transition, uniform_noise
from rlclaims.studies.replayed_run import FinishedRun

SECONDS, MASS, SKIP, NOISE = 0.05, 1.5, 2, 0.8
POINT_MASS = f"""
<mujoco>
  <option timestep="{SECONDS}" gravity="0 0 0" integrator="Euler"/>
  <worldbody>
    <body>
      <joint name="x" type="slide" axis="1 0 0"/>
      <geom type="sphere" size="0.1" mass="{MASS}" contype="0" conaffinity="0"/>
    </body>
  </worldbody>
  <actuator><motor joint="x"/></actuator>
</mujoco>
"""


@dataclass(frozen=True, kw_only=True)
class OnTheRail(Task):
    """A task of the mass with rewards `pays` and terminations `ends`, which read the derived fields `reads`."""

    id: str = "PointMass"
    time_limit: int = 15
    frame_skip: int = SKIP
    pays: Callable[[Transition], npt.NDArray] = lambda transition: np.zeros(len(transition.action))
    ends: Callable[[State], npt.NDArray] = lambda state: np.zeros(len(state["qpos"]), bool)
    reads: tuple[str, ...] = ()

    @property
    def derived(self):
        return self.reads

    def observe(self, state):
        return np.concatenate((state["qpos"], state["qvel"]), axis=1)

    def reward(self, transition, _):
        return self.pays(transition)

    def unhealthy(self, state):
        return self.ends(state)

    def initial_state(self, model, rng):
        return uniform_noise(model, rng, NOISE)


def task_at(path, **changes):
    """Write the model to a file and return a task of it; its dynamics are linear in state and force."""
    path.write_text(POINT_MASS)
    return OnTheRail(xml_file=str(path), **changes)


NETWORK = GaussianNetwork(MLP((2, 1)))  # weights of position and velocity, a bias, a log standard deviation
OFFSET, INVERSE_STD = np.array([0.2, -0.3]), np.array([1.6, 0.7])


POSITION, VELOCITY, EFFORT, DRIFT = 0.7, 0.3, 0.2, 0.4


def quadratic(transition):
    x_S, v_S = transition.after["qpos"][:, 0], transition.after["qvel"][:, 0]
    effort_S = EFFORT * transition.action[:, 0].astype(np.float64) ** 2
    return DRIFT * x_S - POSITION * x_S**2 - VELOCITY * v_S**2 - effort_S


def expected_returns(theta_P, task, gamma):
    """Return the expected return and discounted return, by mean and covariance of (x, v) step by step."""
    *weights, bias, log_std = map(float, theta_P)
    gain_2 = np.array(weights) * INVERSE_STD  # gain on the unnormalised state
    constant, variance = bias - gain_2 @ OFFSET, math.exp(2 * log_std)
    # Semi-implicit Euler: v' = v + dt F / m, then x' = x + dt v', as often as frames are skipped.
    once_22, force_2 = np.array([[1, SECONDS], [0, 1]]), np.array([SECONDS**2, SECONDS]) / MASS
    a_22, b_2 = np.eye(2), np.zeros(2)
    for _ in range(SKIP):
        a_22, b_2 = once_22 @ a_22, once_22 @ b_2 + force_2
    closed_22 = a_22 + np.outer(b_2, gain_2)
    mean_2, covariance_22 = np.zeros(2), np.eye(2) * NOISE**2 / 3
    total = discounted = 0.0
    for t in range(task.time_limit):
        effort = (gain_2 @ mean_2 + constant) ** 2 + gain_2 @ covariance_22 @ gain_2 + variance
        mean_2 = closed_22 @ mean_2 + b_2 * constant
        covariance_22 = closed_22 @ covariance_22 @ closed_22.T + np.outer(b_2, b_2) * variance
        x_squared, v_squared = mean_2**2 + np.diag(covariance_22)
        reward = DRIFT * mean_2[0] - POSITION * x_squared - VELOCITY * v_squared - EFFORT * effort
        total, discounted = total + reward, discounted + gamma**t * reward
    return total, discounted


def mean_and_error(x_N):
    return x_N.mean(), x_N.std(ddof=1) / math.sqrt(len(x_N))


def assert_within_4_errors(x_N, expected):
    mean, error = mean_and_error(x_N)
    assert abs(mean - expected) < 4 * error, (mean, expected, error)


LEAST = 0.25


def decision(point_mass):
    """Return a task in which a step with an action above LEAST earns 1, and any other ends the episode."""
    return point_mass(
        reads=("qfrc_actuator",),
        ends=lambda state: state["qfrc_actuator"][:, 0] < LEAST,
        pays=lambda transition: 1.0 * (transition.action[:, 0].astype(np.float64) > LEAST),
    )


def on_the_rail(task, theta_P, n_pairs=8):
    """Return a run of one update on a task, with inaccurate values."""
    rng = np.random.default_rng(0)
    pairs = tuple(rng.standard_normal(shape).astype(np.float32) for shape in ((n_pairs, 2), (n_pairs, 1), (n_pairs,)))
    value_P, nothing_P = np.array([0.5, -0.5, -2.0], np.float32), np.zeros(4, np.float32)
    checkpoint = Checkpoint(
        0,
        nothing_P,
        nothing_P,
        0,
        stream_to_array(stream(3, Purpose.MINIBATCHES)),
        value_P,
        value_P,
        np.array([0.0, 101.0, 0.0, 100 * 1.7**2]),
        pairs,
        pairs,
    )
    theta_KP = np.array([theta_P, theta_P + 0.1], np.float32)
    history = History(theta_KP, np.tile(OFFSET, (2, 1)), np.tile(INVERSE_STD, (2, 1)))
    algorithm = PPO(hidden=(), gamma=0.9, observation_clip=None, reward_clip=None)
    start = Start(3, theta_KP[0], theta_KP[:1], (checkpoint,))
    return FinishedRun(algorithm, task, 1, start, history, lambda _: None)
