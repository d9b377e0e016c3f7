"""Adapter of the on-policy algorithms of Stable-Baselines3 and sb3-contrib, which leaves the model unchanged.

    model.learn(100_000, callback=RecordUpdates())           a training of your own; the callback has `recorder`
    rlclaims.runs(SB3("PPO", n_steps=1024), "Hopper-v5")     the runs of a claim

The KL that these libraries log is a different estimator, over the last epoch's minibatches. sb3-contrib's TRPO bounds
KL(new || old), and for a Gaussian the mean over the entries of an action, where the KL is their sum.
Recurrent and masked policies depend on more than the observation and cannot be recorded.
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

from rlclaims.adapters.actions import PolicyOutput, TorchActions
from rlclaims.adapters.external import ExternalTraining, slug
from rlclaims.adapters.recorder import EPSILON, Pairs, UpdateRecorder
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
    raise ImportError("Stable-Baselines3 is not installed: pip install 'rlclaims[sb3]'.") from None

LIBRARIES = ("stable_baselines3", "sb3_contrib")
"""Modules in which an algorithm named without a module is looked up."""
RESERVED = ("env", "seed", "policy", "self", "verbose", "tensorboard_log", "device", "_init_setup_model")
"""Arguments of an algorithm's constructor that are not settings."""


class RecordUpdates(BaseCallback):  # type: ignore[misc]
    """A callback that records the updates of a training.

    Args:
        recorder: Recorder of the updates; by default a new one.
        make_env: Makes environments like those of the training, to collect held-out pairs every tenth update; without
            it no pairs are held out. They are normalised by the training's statistics, which they do not update.
        seed: Seed of the held-out pairs.
    """

    def __init__(
        self, recorder: UpdateRecorder | None = None, make_env: Callable[[], VecEnv] | None = None, seed: int = 0
    ) -> None:
        super().__init__()
        self.recorder = recorder or UpdateRecorder()
        """Recorder of the updates so far."""
        self._make_env = make_env
        self._seed = seed

    def _on_training_start(self) -> None:
        buffer = getattr(self.model, "rollout_buffer", None)
        if type(buffer) not in (RolloutBuffer, DictRolloutBuffer):
            raise ValueError(
                f"Only on-policy algorithms without recurrent or masked policies can be recorded; "
                f"{type(self.model).__name__} stores its rollouts in a {type(buffer).__name__}."
            )
        self.recorder.discard()  # the update in which an earlier training was interrupted, if any

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        buffer = self.model.rollout_buffer
        action = _flat(buffer.actions)
        if (bijector := self._bijector) is not None:
            action = bijector.inverse(torch.from_numpy(action))
        pairs = Pairs(self._states(buffer.observations), action, _flat(buffer.advantages))
        self.recorder.begin(self._distribution, pairs, None if self._make_env is None else self._collect_held_out)

    def _on_rollout_start(self) -> None:
        self.recorder.end(self._distribution)

    def _on_training_end(self) -> None:
        self.recorder.end(self._distribution)

    def _states(self, observation_TE: Any) -> Any:
        """Return the observations of T steps of E environments as the policy takes them."""
        space = self.model.observation_space

        def flat(x_TE: Any, space: Any) -> Any:
            # A buffer stores discrete observations in a column, and a policy takes them without.
            return _flat(x_TE).reshape(-1) if isinstance(space, spaces.Discrete) else _flat(x_TE)

        if isinstance(observation_TE, dict):
            return {key: flat(part, space[key]) for key, part in observation_TE.items()}
        return flat(observation_TE, space)

    @property
    def _bijector(self) -> Any:
        """Squashing of actions, or None. Densities are of actions before it: ratios and KL are the same."""
        return getattr(self.model.policy.action_dist, "bijector", None)

    def _distribution(self, observation: Any) -> PolicyOutput:
        """Return the policy's distribution of actions before they are squashed, in evaluation mode."""
        policy = self.model.policy
        training = policy.training
        policy.set_training_mode(False)
        states, _ = policy.obs_to_tensor(observation)
        distribution: PolicyOutput = policy.get_distribution(states).distribution
        policy.set_training_mode(training)
        return distribution

    def _collect_held_out(self) -> Pairs:
        """Return as many pairs as the training batch has, from new episodes."""
        model = self.model
        policy = model.policy
        index = self.recorder.iteration
        n_pairs = model.rollout_buffer.buffer_size * model.n_envs
        assert self._make_env is not None
        torch.set_rng_state(torch_stream(self._seed, Purpose.HELD_OUT_NOISE, index).get_state())
        observations, actions, steps = [], [], []
        with closing(self._make_env()) as new_env:
            env = self._normalized(new_env)
            env.seed(int(stream(self._seed, Purpose.HELD_OUT_RESETS, index).integers(2**31)))
            observation = env.reset()
            for _ in range(math.ceil(n_pairs / env.num_envs)):
                # Sampled independently in each state, whereas gSDE's own noise lasts for several steps.
                action = TorchActions(self._distribution(observation)).sample()
                value_E = _values(policy, observation)
                next_observation, reward_E, done_E, infos = env.step(self._environment_action(action))
                truncated_E = done_E & np.array([bool(info.get("TimeLimit.truncated", False)) for info in infos])
                next_value_E = _values(policy, next_observation)
                for e in np.flatnonzero(truncated_E):
                    next_value_E[e] = _values(policy, infos[e]["terminal_observation"])[0]
                observations.append(observation)
                actions.append(action)
                steps.append((reward_E, value_E, next_value_E, done_E & ~truncated_E, truncated_E))
                observation = next_observation
        reward_ET, value_ET, next_ET, terminated_ET, truncated_ET = (np.stack(x, 1) for x in zip(*steps, strict=True))
        advantage_ET = generalized_advantages(
            reward_ET.astype(np.float64),
            value_ET.astype(np.float64),
            next_ET.astype(np.float64),
            terminated_ET,
            truncated_ET,
            gamma=model.gamma,
            lam=model.gae_lambda,
        )
        keys = observations[0].keys() if isinstance(observations[0], dict) else None
        stacked = {key: np.stack([o[key] for o in observations]) for key in keys} if keys else np.stack(observations)
        return Pairs(self._states(stacked), _flat(torch.stack(actions)), advantage_ET.reshape(-1).astype(np.float32))

    def _normalized(self, env: VecEnv) -> VecEnv:
        training_env = self.model.get_vec_normalize_env()
        if training_env is None:
            return env
        shared = ("norm_obs", "norm_reward", "clip_obs", "clip_reward", "gamma", "epsilon", "norm_obs_keys")
        normalized = VecNormalize(env, training=False, **{name: getattr(training_env, name) for name in shared})
        # Shared with the training's environment; only that one updates them.
        normalized.obs_rms = training_env.obs_rms
        normalized.ret_rms = training_env.ret_rms
        return normalized

    def _environment_action(self, action: torch.Tensor) -> Any:
        """Return a policy's action as the environment takes it."""
        space, policy = self.model.action_space, self.model.policy
        squashed = (action if self._bijector is None else self._bijector.forward(action)).numpy()
        if not isinstance(space, spaces.Box):
            return squashed
        squashed = squashed.astype(np.float32).reshape(-1, *space.shape)
        return policy.unscale_action(squashed) if policy.squash_output else np.clip(squashed, space.low, space.high)


def _flat(x_TE: Any) -> Any:
    """Flatten T steps of E environments to pairs, one environment after the other."""
    return x_TE.swapaxes(0, 1).reshape(-1, *x_TE.shape[2:])


def _values(policy: Any, observation: Any) -> Any:
    with torch.no_grad():
        return policy.predict_values(policy.obs_to_tensor(observation)[0]).flatten().cpu().numpy()


@dataclass(frozen=True, init=False)
class SB3(ExternalTraining):
    """An on-policy algorithm of Stable-Baselines3 or sb3-contrib, with the library's defaults for settings not given.

    Args:
        name: "PPO", "A2C" or "TRPO"; "my_pkg.algos:MyPPO" for a subclass of your own.
        policy: "MlpPolicy", "CnnPolicy" or "MultiInputPolicy".
        environments: Number of environments that a seed trains in at a time.
        normalize: Whether VecNormalize normalises observations and rewards.
        settings: Settings as a JSON object, as an alternative to keyword arguments.
        **given: Arguments of the algorithm's constructor that JSON can hold: numbers, strings, lists and dicts.

    Raises:
        ValueError: JSON cannot hold a setting, or a string is not printable.
    """

    name: str
    policy: str
    environments: int
    normalize: bool
    settings: str
    """Settings as JSON with sorted keys."""

    def __init__(
        self,
        name: str,
        policy: str = "MlpPolicy",
        environments: int = 1,
        normalize: bool = False,
        settings: str = "{}",
        **given: Any,
    ) -> None:
        for argument, text in (("name", name), ("policy", policy), ("settings", settings)):
            if not isinstance(text, str) or not text.isprintable():
                raise ValueError(f"SB3 takes a printable string as its {argument}, not {describe(text)}.")
        try:
            written = json.dumps({**json.loads(settings), **given}, sort_keys=True, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            why = f"not {describe(given or settings)}" if isinstance(error, TypeError) else describe_error(error)
            raise ValueError(f"Settings of {name} must be numbers, strings, lists or dicts of them ({why}).") from None
        for field, value in (
            ("name", name), ("policy", policy), ("environments", environments),
            ("normalize", normalize), ("settings", written),
        ):  # fmt: skip
            object.__setattr__(self, field, value)

    @property
    def title(self) -> str:
        """Short name: "sb3-PPO"."""
        return "sb3-" + slug(self.name)

    @property
    def label(self) -> str:
        """Title with all settings that are given or differ from their defaults: "sb3-PPO(n_steps=1024)"."""
        defaults = {"policy": "MlpPolicy", "environments": 1, "normalize": False}
        changed = {name: value for name, default in defaults.items() if (value := getattr(self, name)) != default}
        shown = changed | json.loads(self.settings)
        arguments = ", ".join(f"{name}={value!r}" for name, value in shown.items())
        return f"{self.title}({arguments})" if shown else self.title

    @property
    def steps(self) -> int:
        """Environment steps between two updates, of all environments."""
        return int(self._setting("n_steps")) * self.environments

    @property
    def ratio_epsilon(self) -> float:
        """The clip range if it is a constant number, else the default."""
        clip = self._setting("clip_range")
        return float(clip) if isinstance(clip, int | float) else EPSILON

    @property
    def libraries(self) -> tuple[str, ...]:
        """Stable-Baselines3, and sb3-contrib if the algorithm or a base class comes from there."""
        bases = {cls.__module__.partition(".")[0] for cls in self._class.__mro__}
        return tuple(name.replace("_", "-") for name in LIBRARIES if name in bases)

    @property
    def code(self) -> tuple[tuple[str, Path], ...]:
        """Modules of the algorithm's class and its base classes, except those of the libraries, and their files."""
        modules = [cls.__module__ for cls in self._class.__mro__ if cls.__module__.partition(".")[0] not in LIBRARIES]
        files = [(name, getattr(sys.modules.get(name), "__file__", None)) for name in modules]
        return tuple((name, Path(file)) for name, file in files if file is not None)

    def check(self) -> None:
        """Check that the algorithm exists and has these settings.

        Raises:
            ValueError: It does not.
        """
        algorithm = self._class
        if not isinstance(algorithm, type) or not issubclass(algorithm, OnPolicyAlgorithm):
            raise ValueError(
                f"{self.name} is not an on-policy algorithm of Stable-Baselines3; only these can be recorded."
            )
        known = [name for name in self._parameters if name not in RESERVED]
        if unknown := [name for name in json.loads(self.settings) if name not in known]:
            raise ValueError(f"{self.name} has no setting {describe(unknown[0])}; it has {', '.join(known)}.")
        if type(self.environments) is not int or self.environments < 1:
            raise ValueError(f"{self.name} takes at least 1 as environments, not {describe(self.environments)}.")
        if type(n := self._setting("n_steps")) is not int or n < 1:
            raise ValueError(f"{self.name} takes a whole number of steps between updates, n_steps, not {describe(n)}.")
        aliases = self._class.policy_aliases
        policies = [aliases[self.policy]] if self.policy in aliases else [*aliases.values()]
        n_parameters = [len(inspect.signature(policy.get_distribution).parameters) for policy in policies]
        if n_parameters and 2 not in n_parameters:  # self and the observation
            raise ValueError(f"{self.name}'s policies need more than an observation, so it cannot be recorded.")
        if self.policy not in aliases:
            raise ValueError(f"{self.name} has no policy {describe(self.policy)}; it has {', '.join(aliases)}.")

    def train(self, task: str, seed: int, iterations: int, recorder: UpdateRecorder) -> None:
        """Train one seed."""
        name, arguments = parse_task(task)

        def make_env(seed: int | None = None) -> VecEnv:
            return make_vec_env(name, n_envs=self.environments, seed=seed, env_kwargs=arguments)

        settings = json.loads(self.settings)
        with closing(make_env(seed)) as plain_env:
            env = VecNormalize(plain_env, gamma=self._setting("gamma")) if self.normalize else plain_env
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
        """Parameters by name of the constructor, and of base classes' as long as *args or **kwargs pass on the rest."""
        parameters: dict[str, inspect.Parameter] = {}
        for cls in self._class.__mro__:
            if "__init__" in vars(cls):
                own = inspect.signature(cls.__init__).parameters.values()
                variadic = [p for p in own if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
                parameters |= {p.name: p for p in own if p not in variadic and p.name not in parameters}
                if not variadic:
                    break
        return parameters

    @property
    def _class(self) -> Any:
        module_name, _, name = self.name.rpartition(":")
        for module in [module_name] if module_name else LIBRARIES:
            try:
                return getattr(importlib.import_module(module), name)
            except (ImportError, AttributeError):
                continue
        where = module_name or "stable_baselines3 and sb3_contrib"
        raise ValueError(f"There is no algorithm {describe(name)} in {where}; those of sb3-contrib need it installed.")
