"""On-policy algorithms of Stable-Baselines3 and sb3-contrib: by public callbacks, the model untouched.

    model.learn(100_000, callback=RecordUpdates())           a training of your own; the callback has `recorder`
    rlclaims.runs(SB3("PPO", n_steps=1024), "Hopper-v5")     the runs of a claim

What they log as KL is another estimator, of the last epoch's minibatches; and sb3-contrib's TRPO bounds KL(new || old),
of a Gaussian as a mean over the entries of an action, where KL is their sum.
Recurrent and masked policies, which a state alone does not settle, are not recorded.
"""

import importlib
import inspect
import json
import math
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rlclaims.adapters.actions import Said, TorchActions
from rlclaims.adapters.external import ExternalTraining, in_names
from rlclaims.adapters.recorder import EPSILON, Pairs, Recorder
from rlclaims.agents.advantages import generalized_advantages
from rlclaims.randomness import Purpose, stream, torch_stream
from rlclaims.sim.spelling import parse_task
from rlclaims.text import describe, describe_error

try:
    from gymnasium import spaces
    from stable_baselines3.common.buffers import DictRolloutBuffer, RolloutBuffer
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
    from stable_baselines3.common.vec_env import VecEnv, VecNormalize
except ImportError:
    raise ImportError("The adapter of Stable-Baselines3 needs it: pip install 'rlclaims[sb3]'.") from None

HOMES = ("stable_baselines3", "sb3_contrib")
"""Where an algorithm is looked for that is named without a module."""
OURS = ("env", "seed", "policy", "self", "verbose", "tensorboard_log", "device", "_init_setup_model")
"""Arguments of a constructor that are not the user's to give."""


class RecordUpdates(BaseCallback):  # type: ignore[misc]
    """A callback that records the updates of a training.

    Args:
        recorder: where to; by default a new one.
        make_env: makes environments like those that are trained in, for fresh pairs every tenth update; without it
            there are none held out. They are normalised as the training's are, by statistics that stand still.
        seed: of the fresh pairs.
    """

    def __init__(
        self, recorder: Recorder | None = None, make_env: Callable[[], VecEnv] | None = None, seed: int = 0
    ) -> None:
        super().__init__()
        self.recorder = recorder or Recorder()
        """The updates so far."""
        self._make_env, self._seed = make_env, seed

    def _on_training_start(self) -> None:
        buffer = getattr(self.model, "rollout_buffer", None)
        if type(buffer) not in (RolloutBuffer, DictRolloutBuffer):
            raise ValueError(
                f"Updates are recorded of on-policy algorithms without recurrent or masked policies; "
                f"{type(self.model).__name__} keeps its rollouts in a {type(buffer).__name__}."
            )
        self.recorder.give_up()  # what a training that was broken off had begun

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        buffer = self.model.rollout_buffer
        action = _flat(buffer.actions)
        if (bijector := self._bijector) is not None:
            action = bijector.inverse(torch.from_numpy(action))
        pairs = Pairs(self._states(buffer.observations), action, _flat(buffer.advantages))
        self.recorder.begin(self._said, pairs, None if self._make_env is None else self._fresh)

    def _on_rollout_start(self) -> None:
        self.recorder.end(self._said)

    def _on_training_end(self) -> None:
        self.recorder.end(self._said)

    def _states(self, seen_TE: Any) -> Any:
        """What was seen in T steps of E environments, as the policy takes it."""
        space = self.model.observation_space

        def taken(x_TE: Any, space: Any) -> Any:
            # Of a discrete observation, a buffer keeps the one number in a column, and a policy takes it without.
            return _flat(x_TE).reshape(-1) if isinstance(space, spaces.Discrete) else _flat(x_TE)

        if isinstance(seen_TE, dict):
            return {key: taken(part, space[key]) for key, part in seen_TE.items()}
        return taken(seen_TE, space)

    @property
    def _bijector(self) -> Any:
        """What squashes actions, if anything: densities are told before it, where ratios and KL are the same."""
        return getattr(self.model.policy.action_dist, "bijector", None)

    def _said(self, observation: Any) -> Said:
        """What the policy says of actions before they are squashed, as it does while it collects."""
        policy = self.model.policy
        learning = policy.training
        policy.set_training_mode(False)
        seen, _ = policy.obs_to_tensor(observation)
        said: Said = policy.get_distribution(seen).distribution
        policy.set_training_mode(learning)
        return said

    def _fresh(self) -> Pairs:
        """As many pairs as the training's, from episodes of their own."""
        model, index = self.model, self.recorder.iteration
        policy, pairs = model.policy, model.rollout_buffer.buffer_size * model.n_envs
        assert self._make_env is not None
        torch.set_rng_state(torch_stream(self._seed, Purpose.HELD_OUT_NOISE, index).get_state())
        seen, taken, numbers = [], [], []
        with closing(self._make_env()) as made:
            env = self._normalized(made)
            env.seed(int(stream(self._seed, Purpose.HELD_OUT_RESETS, index).integers(2**31)))
            observation = env.reset()
            for _ in range(math.ceil(pairs / env.num_envs)):
                # State by state: gSDE's own noise lasts for some steps.
                action, value_E = TorchActions(self._said(observation)).sample(), _values(policy, observation)
                following, reward_E, done_E, infos = env.step(self._as_acted(action))
                cut_E = done_E & np.array([bool(info.get("TimeLimit.truncated", False)) for info in infos])
                next_value_E = _values(policy, following)
                for e in np.flatnonzero(cut_E):
                    next_value_E[e] = _values(policy, infos[e]["terminal_observation"])[0]
                seen.append(observation)
                taken.append(action)
                numbers.append((reward_E, value_E, next_value_E, done_E & ~cut_E, cut_E))
                observation = following
        reward_ET, value_ET, next_ET, terminated_ET, truncated_ET = (np.stack(x, 1) for x in zip(*numbers, strict=True))
        advantage_ET = generalized_advantages(
            reward_ET.astype(np.float64),
            value_ET.astype(np.float64),
            next_ET.astype(np.float64),
            terminated_ET,
            truncated_ET,
            gamma=model.gamma,
            lam=model.gae_lambda,
        )
        keys = seen[0].keys() if isinstance(seen[0], dict) else None
        stacked = {key: np.stack([o[key] for o in seen]) for key in keys} if keys else np.stack(seen)
        return Pairs(self._states(stacked), _flat(torch.stack(taken)), advantage_ET.reshape(-1).astype(np.float32))

    def _normalized(self, env: VecEnv) -> VecEnv:
        ours = self.model.get_vec_normalize_env()
        if ours is None:
            return env
        same = ("norm_obs", "norm_reward", "clip_obs", "clip_reward", "gamma", "epsilon", "norm_obs_keys")
        made = VecNormalize(env, training=False, **{name: getattr(ours, name) for name in same})
        made.obs_rms, made.ret_rms = ours.obs_rms, ours.ret_rms  # which only training moves
        return made

    def _as_acted(self, action: torch.Tensor) -> Any:
        """What the environment is given."""
        space, policy = self.model.action_space, self.model.policy
        taken = (action if self._bijector is None else self._bijector.forward(action)).numpy()
        if not isinstance(space, spaces.Box):
            return taken
        taken = taken.astype(np.float32).reshape(-1, *space.shape)
        return policy.unscale_action(taken) if policy.squash_output else np.clip(taken, space.low, space.high)


def _flat(x_TE: Any) -> Any:
    """Of T steps of E environments, the pairs one environment after the other."""
    return x_TE.swapaxes(0, 1).reshape(-1, *x_TE.shape[2:])


def _values(policy: Any, observation: Any) -> Any:
    with torch.no_grad():
        return policy.predict_values(policy.obs_to_tensor(observation)[0]).flatten().cpu().numpy()


@dataclass(frozen=True, init=False)
class SB3(ExternalTraining):
    """An on-policy algorithm of Stable-Baselines3 or sb3-contrib, with its own settings but for those that are given.

    Args:
        name: "PPO", "A2C" or "TRPO"; "my_pkg.algos:MyPPO" for a subclass of yours.
        policy: "MlpPolicy", "CnnPolicy" or "MultiInputPolicy".
        environments: that are trained in at a time.
        normalize: whether VecNormalize normalises observations and rewards.
        **settings: of the algorithm's constructor, as JSON has them: numbers, texts, lists and tables.

    Raises:
        ValueError: a setting is none that JSON has.
    """

    name: str
    policy: str
    environments: int
    normalize: bool
    settings: str
    """As JSON, which names a run."""

    def __init__(
        self,
        name: str,
        policy: str = "MlpPolicy",
        environments: int = 1,
        normalize: bool = False,
        settings: str = "{}",
        **given: Any,
    ) -> None:
        for what, text in (("name", name), ("policy", policy), ("settings", settings)):
            if not isinstance(text, str) or not text.isprintable():
                raise ValueError(f"SB3 takes a text as its {what}, not {describe(text)}.")
        try:
            written = json.dumps({**json.loads(settings), **given}, sort_keys=True, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            why = f"not {describe(given or settings)}" if isinstance(error, TypeError) else describe_error(error)
            raise ValueError(f"Settings of {name} are numbers, texts, lists or tables of them ({why}).") from None
        for field, value in (
            ("name", name), ("policy", policy), ("environments", environments),
            ("normalize", normalize), ("settings", written),
        ):  # fmt: skip
            object.__setattr__(self, field, value)

    @property
    def title(self) -> str:
        """Such as "sb3-PPO"."""
        return "sb3-" + in_names(self.name)

    @property
    def words(self) -> str:
        """Such as "sb3-PPO(n_steps=1024)"."""
        usual = {"policy": "MlpPolicy", "environments": 1, "normalize": False}
        changed = {name: value for name, x in usual.items() if (value := getattr(self, name)) != x}
        given = changed | json.loads(self.settings)
        said = ", ".join(f"{name}={value!r}" for name, value in given.items())
        return f"{self.title}({said})" if given else self.title

    @property
    def steps(self) -> int:
        """Environment steps between two updates, of all environments."""
        return int(self._setting("n_steps")) * self.environments

    @property
    def ratio_epsilon(self) -> float:
        """The clip range where it is a constant number."""
        clip = self._setting("clip_range")
        return float(clip) if isinstance(clip, int | float) else EPSILON

    @property
    def libraries(self) -> tuple[str, ...]:
        """Stable-Baselines3, and sb3-contrib for what is from there or made of that."""
        bases = {cls.__module__.partition(".")[0] for cls in self._class.__mro__}
        return tuple(name.replace("_", "-") for name in HOMES if name in bases)

    @property
    def code(self) -> tuple[tuple[str, Path], ...]:
        """The modules of the class that trains, and of its bases, so far as they are not the libraries'."""
        mine = [cls.__module__ for cls in self._class.__mro__ if cls.__module__.partition(".")[0] not in HOMES]
        files = [(name, getattr(sys.modules.get(name), "__file__", None)) for name in mine]
        return tuple((name, Path(file)) for name, file in files if file is not None)

    def check(self) -> None:
        """See that there is such an algorithm, with such settings.

        Raises:
            ValueError: there is none.
        """
        made = self._class
        if not isinstance(made, type) or not issubclass(made, OnPolicyAlgorithm):
            raise ValueError(f"{self.name} is no on-policy algorithm of Stable-Baselines3, whose updates are recorded.")
        known = [name for name in self._parameters if name not in OURS]
        if unknown := [name for name in json.loads(self.settings) if name not in known]:
            raise ValueError(f"{self.name} has no setting {describe(unknown[0])}; there are {', '.join(known)}.")
        if type(self.environments) is not int or self.environments < 1:
            raise ValueError(
                f"{self.name} trains in a number of environments from 1 up, not {describe(self.environments)}."
            )
        if type(n := self._setting("n_steps")) is not int or n < 1:
            raise ValueError(f"{self.name} takes a whole number of steps between updates, n_steps, not {describe(n)}.")
        named = self._class.policy_aliases
        meant = [named[self.policy]] if self.policy in named else [*named.values()]
        asked = [len(inspect.signature(policy.get_distribution).parameters) for policy in meant]
        if asked and 2 not in asked:  # itself and an observation
            raise ValueError(f"{self.name}'s policies are asked about more than an observation: it is not recorded.")
        if self.policy not in named:
            raise ValueError(f"{self.name} has no policy {describe(self.policy)}; there are {', '.join(named)}.")

    def train(self, task: str, seed: int, iterations: int, recorder: Recorder) -> None:
        """Train one seed."""
        name, arguments = parse_task(task)

        def make_env(seed: int | None = None) -> VecEnv:
            return make_vec_env(name, n_envs=self.environments, seed=seed, env_kwargs=arguments)

        settings = json.loads(self.settings)
        with closing(make_env(seed)) as made:
            env = VecNormalize(made, gamma=self._setting("gamma")) if self.normalize else made
            model = self._class(self.policy, env, seed=seed, device="cpu", **settings)
            model.learn(iterations * self.steps, callback=RecordUpdates(recorder, make_env, seed))

    def _setting(self, name: str) -> Any:
        given: Mapping[str, Any] = json.loads(self.settings)
        if name in given:
            return given[name]
        parameter = self._parameters.get(name)
        return None if parameter is None else parameter.default

    @property
    def _parameters(self) -> dict[str, inspect.Parameter]:
        """Of the constructor by name, and of those that it hands on what else it is given."""
        found: dict[str, inspect.Parameter] = {}
        for cls in self._class.__mro__:
            if "__init__" in vars(cls):
                own = inspect.signature(cls.__init__).parameters.values()
                hands_on = [p for p in own if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
                found |= {p.name: p for p in own if p not in hands_on and p.name not in found}
                if not hands_on:
                    break
        return found

    @property
    def _class(self) -> Any:
        home, _, name = self.name.rpartition(":")
        for module in [home] if home else HOMES:
            try:
                return getattr(importlib.import_module(module), name)
            except (ImportError, AttributeError):
                continue
        where = home or "stable_baselines3 and sb3_contrib"
        raise ValueError(f"There is no algorithm {describe(name)} in {where}; sb3-contrib's need it installed.")
