"""Any Gymnasium environment as a task: how it is made, and how its observations and actions become vectors.

A policy sees an observation as a vector of numbers: a Box's entries, or a one-hot encoding of choices. Its action is a
vector too: numbers for a Box, and for Discrete, MultiDiscrete and MultiBinary the index of each entry's choice, counted
from 0. Box actions are clipped to the bounds only when they are passed to the environment, as Stable-Baselines3 and
CleanRL do: the policy learns from, and computes the probability of, the unclipped action.
"""

import importlib
import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import gymnasium
import mujoco
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec, load_env_creator

from rlclaims.sim.spelling import parse_task

MAX_CHOICES = 1000
"""Largest number of choices in a one-hot observation, and in an action."""


@dataclass(frozen=True)
class Environment:
    """A task that is simulated by the environment that `gymnasium.make` returns."""

    id: str
    """Argument of `gymnasium.make`, with arguments; "my_pkg:Mine-v0" also names the module that registers it."""
    n_observation: int
    """Entries of an observation."""
    n_action: int
    """Entries of an action."""
    choices: tuple[int, ...]
    """Number of choices of each entry of an action; empty if entries are real numbers."""
    time_limit: int | None
    """Steps after which an episode is truncated; None for no limit."""
    modules: tuple[str, ...]
    """Modules that define the environment and its wrappers."""

    def make(self) -> "gymnasium.Env[Any, Any]":
        """Return a new instance of the environment."""
        return make(self.id)


def make(task: str) -> "gymnasium.Env[Any, Any]":
    """Return the Gymnasium environment of a task, for example of "CartPole-v1(sutton_barto_reward=True)".

    Raises:
        ValueError: The text is malformed.
        Exception: Any error of `gymnasium.make`.
    """
    name, arguments = parse_task(task)
    # MuJoCo's default handler appends to MUJOCO_LOG.TXT in the working directory, for some models on loading them.
    mujoco.set_mju_user_warning(lambda _: None)
    with warnings.catch_warnings(action="ignore"):  # Gymnasium's advice on names
        return gymnasium.make(name, disable_env_checker=True, **arguments)


def flatten_observation(space: "spaces.Space[Any]", observation: Any) -> npt.NDArray[np.float64]:
    """Return an observation as the vector (O,) that a policy sees."""
    return np.asarray(spaces.flatten(space, observation), np.float64)


def environment_action(space: "spaces.Space[Any]", action_A: npt.NDArray[np.floating]) -> Any:
    """Convert a policy's action to an element of the environment's action space."""
    if isinstance(space, spaces.Box):
        return action_A.reshape(space.shape).clip(space.low, space.high).astype(space.dtype)
    if isinstance(space, spaces.Discrete):
        return space.start + int(action_A[0])
    # MultiDiscrete has a `start`, MultiBinary has not.
    return action_A.reshape(space.shape).astype(space.dtype) + getattr(space, "start", 0)


@cache
def environment_named(task_id: str) -> Environment:
    """Return the environment of a Gymnasium id, with or without arguments, after trying one step of it.

    Raises:
        ValueError: There is no such environment, or it cannot be trained on; the message says why.
    """
    full_name, arguments = parse_task(task_id)
    module, _, name = full_name.rpartition(":")
    try:
        if module:
            importlib.import_module(module)
        spec = gymnasium.spec(name)
    except Exception as error:
        raise ValueError(f"There is no task {task_id!r}: {error_sentence(error)}") from None
    check_arguments(task_id, arguments, spec)
    entry = spec.entry_point  # a function, a class, or a path to one: "my_pkg.envs:Mine"
    home = entry.partition(":")[0] if isinstance(entry, str) else str(getattr(entry, "__module__", ""))
    if not module and home.partition(".")[0] != "gymnasium":
        raise ValueError(
            f"Training processes cannot find the task {task_id!r}: also name the module that registers it, as in "
            f"'my_pkg:{task_id}'."
        )
    time_limit = arguments.get("max_episode_steps") or spec.max_episode_steps
    try:
        env = make(task_id)
    except Exception as error:
        raise ValueError(f"The task {task_id!r} cannot be made: {error_sentence(error)}") from None
    try:
        n_observation = _n_observation(task_id, env)
        choices = _choices(task_id, env)
        n_action = len(choices) or int(np.prod(env.action_space.shape or ()))
        try:
            observation, _ = env.reset(seed=0)
            observation, _, _, _, _ = env.step(environment_action(env.action_space, np.zeros(n_action, np.float32)))
            n_returned = len(flatten_observation(env.observation_space, observation))
        except Exception as error:
            raise ValueError(f"The task {task_id!r} fails at its first step: {error_sentence(error)}") from None
        if n_returned != n_observation:
            raise ValueError(
                f"The task {task_id!r} declares observations of {n_observation} numbers and returns {n_returned}."
            )
        return Environment(
            id=task_id,
            n_observation=n_observation,
            n_action=n_action,
            choices=choices,
            time_limit=None if time_limit == -1 else time_limit,
            modules=tuple(dict.fromkeys([*filter(None, (module, home)), *_defining_modules(env)])),
        )
    finally:
        env.close()


def check_arguments(task: str, arguments: Mapping[str, Any], spec: EnvSpec) -> None:
    """Check the names of arguments against the signature of the environment's constructor, as far as it lists them.

    Raises:
        ValueError: The environment has no argument of one of these names.
    """
    if "render_mode" in arguments:
        raise ValueError(rendering_message(task, "render_mode"))
    entry: Any = spec.entry_point
    try:
        creator = load_env_creator(entry) if isinstance(entry, str) else entry
        parameters = inspect.signature(creator).parameters.values()
    except Exception:  # making the environment fails later, with a better message
        return
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    known = sorted({"max_episode_steps", *(parameter.name for parameter in parameters)} - {"render_mode"})
    if unknown := [name for name in arguments if name not in known]:
        raise ValueError(f"The task {task!r} has no argument {unknown[0]!r}; it takes {', '.join(known)}.")


def rendering_message(task: str, argument: str) -> str:
    """Return the message that refuses an argument about rendering."""
    return f"The task {task!r} has {argument}, which only affects rendering, and nothing is rendered: omit it."


def _n_observation(task_id: str, env: "gymnasium.Env[Any, Any]") -> int:
    space = env.observation_space
    if not isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        raise ValueError(
            f"The task {task_id!r} has observations in a {type(space).__name__}, and policies see a vector of numbers: "
            "register it wrapped in gymnasium.wrappers.FlattenObservation."
        )
    n = int(spaces.flatdim(space))
    if not isinstance(space, spaces.Box) and n > MAX_CHOICES:
        raise ValueError(
            f"The task {task_id!r} has observations of {n:,} choices, each of which is an entry of what a policy sees; "
            f"at most {MAX_CHOICES:,} are supported."
        )
    return n


def _choices(task_id: str, env: "gymnasium.Env[Any, Any]") -> tuple[int, ...]:
    space = env.action_space
    match space:
        case spaces.Box() if np.issubdtype(space.dtype, np.floating):
            return ()
        case spaces.Discrete():
            choices: tuple[int, ...] = (int(space.n),)
        case spaces.MultiDiscrete():
            choices = tuple(map(int, space.nvec.ravel()))
        case spaces.MultiBinary():
            choices = (2,) * int(np.prod(space.shape))
        case _:
            raise ValueError(
                f"The task {task_id!r} takes actions in {space}; policies support a Box of real numbers, Discrete, "
                "MultiDiscrete and MultiBinary."
            )
    if sum(choices) > MAX_CHOICES:
        raise ValueError(
            f"The task {task_id!r} has actions of {sum(choices):,} choices; at most {MAX_CHOICES:,} are supported."
        )
    return choices


def _defining_modules(env: "gymnasium.Env[Any, Any]") -> tuple[str, ...]:
    """Return the modules of the classes of an environment and its wrappers, and of their base classes."""
    layer: Any = env
    modules: dict[str, None] = {}
    while layer is not None:
        modules |= {cls.__module__: None for cls in type(layer).__mro__}
        layer = getattr(layer, "env", None) if isinstance(layer, gymnasium.Wrapper) else None
    return tuple(modules)


def error_sentence(error: Exception) -> str:
    """Return an exception's message on one line, ending in a full stop."""
    message = " ".join(str(error).split())
    if not isinstance(error, gymnasium.error.Error | ImportError):
        message = f"{type(error).__name__}: {message}"
    return message if message.endswith((".", "?", "!")) else f"{message}."
