"""Any Gymnasium environment as a task: how it is made, what its numbers are, and what it is given as an action.

To a policy an observation is one row of numbers: a Box's entries, or a one where the choice is and zeros elsewhere. An
action is one too: numbers for a Box, and for Discrete, MultiDiscrete and MultiBinary the choice of each entry, counted
from 0. A Box's are clipped to its bounds on their way to the environment alone, as Stable-Baselines3 and CleanRL do:
what a policy learns from, and is asked the probability of, is the action that it took.
"""

import importlib
import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import gymnasium
import mujoco
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec, load_env_creator

from rlclaims.sim.spelling import parsed

MOST_CHOICES = 1000
"""Of an observation that is told as zeros and ones, and of an action."""


@dataclass(frozen=True)
class Environment:
    """A Gymnasium environment that is taken as it comes."""

    id: str
    """As `gymnasium.make` takes it: "my_pkg:Mine-v0" names the module that registers it as well; with arguments."""
    n_observation: int
    """Entries of an observation."""
    n_action: int
    """Entries of an action."""
    choices: tuple[int, ...]
    """Of each entry of an action, among how many it is chosen; empty where entries are numbers."""
    time_limit: int | None
    """Steps after which an episode is truncated, if there is such a number."""
    modules: tuple[str, ...]
    """That define it, and whatever is wrapped around it."""

    def make(self) -> "gymnasium.Env[Any, Any]":
        """One of it."""
        return make(self.id)


def make(task: str) -> "gymnasium.Env[Any, Any]":
    """The Gymnasium environment that a task's text stands for: "CartPole-v1(sutton_barto_reward=True)", say.

    Raises:
        ValueError: the text is malformed.
        Exception: what `gymnasium.make` raises.
    """
    name, arguments = parsed(task)
    # MuJoCo's own handler appends to MUJOCO_LOG.TXT in the working directory, some models' mere loading to it.
    mujoco.set_mju_user_warning(lambda _: None)
    with warnings.catch_warnings(action="ignore"):  # Gymnasium's advice on names
        return gymnasium.make(name, disable_env_checker=True, **arguments)


def observed(space: "spaces.Space[Any]", observation: Any) -> npt.NDArray[np.float64]:
    """What a policy sees of an observation in a space, (O,)."""
    return np.asarray(spaces.flatten(space, observation), np.float64)


def action_for(space: "spaces.Space[Any]", action_A: npt.NDArray[np.floating]) -> Any:
    """What an environment that takes actions in a space is given for a policy's."""
    if isinstance(space, spaces.Box):
        return action_A.reshape(space.shape).clip(space.low, space.high).astype(space.dtype)
    if isinstance(space, spaces.Discrete):
        return space.start + int(action_A[0])
    # Only MultiDiscrete may count from elsewhere than 0.
    return action_A.reshape(space.shape).astype(space.dtype) + getattr(space, "start", 0)


@cache
def environment_named(task_id: str) -> Environment:
    """The environment of a Gymnasium id, with arguments or without: made, reset and stepped once to see that it can be.

    Raises:
        ValueError: there is none, or it cannot be trained on, and why.
    """
    called, arguments = parsed(task_id)
    module, _, name = called.rpartition(":")
    try:
        if module:
            importlib.import_module(module)
        spec = gymnasium.spec(name)
    except Exception as error:
        raise ValueError(f"There is no task {task_id!r}: {said(error)}") from None
    check_arguments(task_id, arguments, spec)
    # A function or a class, or where it is: "my_pkg.envs:Mine".
    entry = spec.entry_point
    home = entry.partition(":")[0] if isinstance(entry, str) else str(getattr(entry, "__module__", ""))
    if not module and home.partition(".")[0] != "gymnasium":
        raise ValueError(
            f"Training processes do not know the task {task_id!r}; name the module that registers it as well, "
            f"'my_pkg:{task_id}', say."
        )
    time_limit = arguments.get("max_episode_steps") or spec.max_episode_steps
    found = Environment(task_id, 0, 0, (), None if time_limit == -1 else time_limit, ())
    try:
        env = found.make()
    except Exception as error:
        raise ValueError(f"The task {task_id!r} cannot be made: {said(error)}") from None
    try:
        n_observation, choices = _n_observation(task_id, env), _choices(task_id, env)
        n_action = len(choices) or int(np.prod(env.action_space.shape or ()))
        try:
            observation, _ = env.reset(seed=0)
            observation, _, _, _, _ = env.step(action_for(env.action_space, np.zeros(n_action, np.float32)))
            n_seen = len(observed(env.observation_space, observation))
        except Exception as error:
            raise ValueError(f"The task {task_id!r} fails at its first step: {said(error)}") from None
        if n_seen != n_observation:
            raise ValueError(
                f"The task {task_id!r} says that an observation has {n_observation} numbers, and gives {n_seen}."
            )
        modules = tuple(dict.fromkeys([*filter(None, (module, home)), *_layers(env)]))
        return replace(found, n_observation=n_observation, n_action=n_action, choices=choices, modules=modules)
    finally:
        env.close()


def check_arguments(task: str, arguments: Mapping[str, Any], spec: EnvSpec) -> None:
    """See that an environment has arguments of these names, so far as its signature says what there are.

    Raises:
        ValueError: it does not.
    """
    if "render_mode" in arguments:
        raise ValueError(f"The task {task!r} has render_mode, which is about pictures, and none are drawn: omit it.")
    entry: Any = spec.entry_point
    try:
        takes = inspect.signature(load_env_creator(entry) if isinstance(entry, str) else entry).parameters.values()
    except Exception:  # the attempt to make it tells why
        return
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes):
        return
    known = sorted({"max_episode_steps", *(parameter.name for parameter in takes)} - {"render_mode"})
    if unknown := [name for name in arguments if name not in known]:
        raise ValueError(f"The task {task!r} has no argument {unknown[0]!r}; there are {', '.join(known)}.")


def _n_observation(task_id: str, env: "gymnasium.Env[Any, Any]") -> int:
    space = env.observation_space
    if not isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        raise ValueError(
            f"The task {task_id!r} has observations in a {type(space).__name__}, and policies see rows of numbers: "
            "register it with gymnasium.wrappers.FlattenObservation around it."
        )
    n = int(spaces.flatdim(space))
    if not isinstance(space, spaces.Box) and n > MOST_CHOICES:
        raise ValueError(
            f"The task {task_id!r} has observations of {n:,} choices, too many for policies that see a number for "
            f"each; there may be {MOST_CHOICES:,}."
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
                f"The task {task_id!r} takes actions in {space}, and policies act in a Box of real numbers, Discrete, "
                "MultiDiscrete or MultiBinary."
            )
    if sum(choices) > MOST_CHOICES:
        raise ValueError(
            f"The task {task_id!r} has actions of {sum(choices):,} choices; there may be {MOST_CHOICES:,}."
        )
    return choices


def _layers(env: "gymnasium.Env[Any, Any]") -> tuple[str, ...]:
    """Modules of the classes of an environment and of the wrappers around it, and of their bases."""
    layer: Any = env
    found: dict[str, None] = {}
    while layer is not None:
        found |= {cls.__module__: None for cls in type(layer).__mro__}
        layer = getattr(layer, "env", None) if isinstance(layer, gymnasium.Wrapper) else None
    return tuple(found)


def said(error: Exception) -> str:
    """What an exception says, on one line and with a full stop."""
    words = " ".join(str(error).split())
    if not isinstance(error, gymnasium.error.Error | ImportError):
        words = f"{type(error).__name__}: {words}"
    return words if words.endswith((".", "?", "!")) else f"{words}."
