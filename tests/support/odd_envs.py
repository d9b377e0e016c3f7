"""Environments with one oddity each, for example "odd_envs:odd/Endless-v0"."""

import gymnasium
import numpy as np
from gymnasium import spaces

ROW = spaces.Box(-np.inf, np.inf, (2,), np.float64)
LEVER = spaces.Discrete(2)


class Odd(gymnasium.Env):
    """Observes the number of steps in the episode, and a number drawn at its start."""

    observation_space, action_space = ROW, LEVER

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        self.noise = float(self.np_random.normal())
        return self.seen(), {}

    def step(self, action):
        self.steps += 1
        return self.seen(), 1.0, False, False, {}

    def seen(self):
        return np.array([self.steps, self.noise])


class NanAboveThirty(Odd):
    """Returns NaN observations for actions above 30."""

    action_space = spaces.Box(-50.0, 50.0, (1,), np.float64)
    closed = 0

    def step(self, action):
        seen, *rest = super().step(action)
        return seen * (np.nan if action[0] > 30 else 1.0), *rest

    def close(self):
        NanAboveThirty.closed += 1


class NanRewardOnce(Odd):
    """Returns a NaN reward for its three hundredth step."""

    def step(self, action):
        seen, reward, *rest = super().step(action)
        return seen, reward if self.steps != 300 else np.nan, *rest


class Lies(Odd):
    """Returns observations of more entries than it declares."""

    def seen(self):
        return np.zeros(3)


class OldStep(Odd):
    """Has the old step method, without truncation."""

    def step(self, action):
        return self.seen(), 1.0, False, {}


class Counts(Odd):
    """Observes the number of its state, one of six; its action is a number from 1 to 3."""

    observation_space, action_space = spaces.Discrete(6, start=2), spaces.Discrete(3, start=1)

    def __init__(self, by=1):
        self.by = by

    def step(self, action):
        assert self.action_space.contains(action), action
        self.steps += self.by * int(action)
        return self.seen(), float(action), self.steps > 5, False, {}

    def seen(self):
        return 2 + min(self.steps, 5)


def other(**spaces_):
    return type("Other", (Odd,), spaces_)


for name, make in {
    "Endless": Odd,
    "NanAboveThirty": NanAboveThirty,
    "NanRewardOnce": NanRewardOnce,
    "Lies": Lies,
    "OldStep": OldStep,
    "Counts": Counts,
    "Pair": other(observation_space=spaces.Tuple((ROW, ROW))),
    "Words": other(observation_space=spaces.Text(5)),
    "Many": other(observation_space=spaces.Discrete(5000)),
    "Whole": other(action_space=spaces.Box(0, 9, (2,), np.int64)),
    "Levers": other(action_space=spaces.Dict({"one": LEVER})),
    "ManyLevers": other(action_space=spaces.MultiDiscrete([900, 200])),
}.items():
    gymnasium.register(f"odd/{name}-v0", make)


gymnasium.register(
    "odd/SuttonBarto-v0",
    "gymnasium.envs.classic_control.cartpole:CartPoleEnv",
    max_episode_steps=30,
    kwargs={"sutton_barto_reward": True},
)


def unmade():
    raise RuntimeError("there is no\nengine")


gymnasium.register("odd/Unmade-v0", unmade)
