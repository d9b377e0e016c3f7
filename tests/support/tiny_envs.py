"""Small environments, one for each kind of observation and action, for example "tiny_envs:tiny/BoxMultiBinary-v0"."""

import gymnasium
import numpy as np
from gymnasium import spaces

LIMIT = 11
BOX = spaces.Box(-np.inf, np.inf, (3,), np.float32)
PLANES = np.arange(36 * 36).reshape(36, 36, 1) % 5
SEEN = {
    "Box": BOX,
    "Discrete": spaces.Discrete(5),
    "Dict": spaces.Dict({"where": BOX, "which": spaces.Discrete(5)}),
    "Image": spaces.Box(0, 255, (36, 36, 1), np.uint8),
}
ACTIONS = {
    "Box": spaces.Box(np.array([-1.0, -2.0, 0.0], np.float32), np.array([1.0, 2.0, 3.0], np.float32)),
    "Matrix": spaces.Box(-2.0, 2.0, (2, 2), np.float32),
    "Discrete": spaces.Discrete(4),
    "MultiDiscrete": spaces.MultiDiscrete([2, 3]),
    "MultiBinary": spaces.MultiBinary(3),
}


class Tiny(gymnasium.Env):
    """A random walk pushed by actions; episodes end far out, and are truncated after some steps."""

    def __init__(self, seen, acts):
        self.observation_space, self.action_space = SEEN[seen], ACTIONS[acts]
        self._seen = seen

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._position = self.np_random.normal(size=3)
        return self._observation(), {}

    def step(self, action):
        if isinstance(self.action_space, spaces.Box):
            assert self.action_space.contains(action), action
        else:
            assert np.shape(action) == self.action_space.shape, action
        push = float(np.mean(np.asarray(action, float)))
        self._position = 0.9 * self._position + 0.3 * push + 0.3 * self.np_random.normal(size=3)
        reward = float(self._position[0] - 0.1 * push**2)
        return self._observation(), reward, bool(abs(self._position[1]) > 1.5), False, {}

    def _observation(self):
        which = int(np.clip(self._position[0] + 2.5, 0, 4))
        match self._seen:
            case "Box":
                return self._position.astype(np.float32)
            case "Discrete":
                return which
            case "Dict":
                return {"where": self._position.astype(np.float32), "which": which}
            case _:
                return (255 * (which == PLANES)).astype(np.uint8)


for seen in SEEN:
    for acts in ACTIONS:
        gymnasium.register(
            f"tiny/{seen}{acts}-v0",
            lambda seen=seen, acts=acts: Tiny(seen, acts),
            max_episode_steps=LIMIT,
            disable_env_checker=True,
        )
