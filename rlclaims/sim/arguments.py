"""A declared task with arguments: each is checked before anything is simulated, and put in its place."""

import math
from dataclasses import fields, replace
from typing import Any, get_type_hints

import mujoco
import numpy as np

from rlclaims.sim.environment import said
from rlclaims.sim.task import Moment, Range, State, Task

RENDERING = (
    "camera_id",
    "camera_name",
    "default_camera_config",
    "height",
    "max_geom",
    "render_mode",
    "visual_options",
    "width",
)
"""Arguments of Gymnasium's MuJoCo tasks that change nothing but pictures."""
LIMIT = "max_episode_steps"
MOST = 2**31 - 1
"""Of steps, as MuJoCo's step and arrays count them."""
KINDS: dict[Any, str] = {
    bool: "True or False",
    float: "a finite number",
    int: f"a whole number from 1 to {MOST}",
    str: "the path of a model",
    int | str: "the number or the name of a body",
    Range: "a pair of numbers, the lower one first",
}
"""What is taken as an argument, by the type of its field."""


def with_arguments(task: Task, text: str, arguments: dict[str, Any]) -> Task:
    """The same task with some arguments, which is tried once.

    Args:
        task: with Gymnasium's defaults.
        text: how the task is written.
        arguments: by Gymnasium's names.

    Raises:
        ValueError: an argument is unknown or does not fit, or there is no such environment.
    """
    kinds = get_type_hints(type(task))
    known = sorted({LIMIT, *(field.name for field in fields(task))} - {"id", "time_limit"})
    changes: dict[str, Any] = {"id": text}
    for name, value in arguments.items():
        if name in RENDERING:
            raise ValueError(f"The task {text!r} has {name}, which is about pictures, and none are drawn: omit it.")
        if name not in known:
            raise ValueError(f"The task {text!r} has no argument {name!r}; there are {', '.join(known)}.")
        if name == LIMIT:
            changes["time_limit"] = _time_limit(text, value)
            continue
        changes[name] = _taken(kinds[name], value)
        if changes[name] is None:
            raise ValueError(f"The task {text!r} takes {KINDS[kinds[name]]} as {name}, not {value!r}.")
    made = replace(task, **changes)
    _try(made)
    return made


def _time_limit(text: str, value: object) -> int | None:
    if type(value) is not int or (not 1 <= value <= MOST and value != -1):
        raise ValueError(f"The task {text!r} takes {KINDS[int]} as {LIMIT}, or -1 for no limit, not {value!r}.")
    return None if value == -1 else value


def _taken(kind: Any, value: object) -> Any:
    """A value as a field of a kind holds it, or None where it does not fit."""
    if kind is bool or kind is str:
        return value if type(value) is kind else None
    if kind is int:
        return value if type(value) is int and 1 <= value <= MOST else None
    if kind is float:
        return number if (number := _number(value)) is not None and math.isfinite(number) else None
    if kind == Range:
        pair = [_number(end) for end in value] if isinstance(value, tuple | list) else []
        match pair:
            case [float() as low, float() as high] if low <= high:
                return low, high
        return None
    return value if type(value) in (int, str) else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _try(task: Task) -> None:
    """Begin an episode, and be paid for a step that leads nowhere.

    Raises:
        ValueError: it fails, and why.
    """
    try:
        is_there, where = task.model_path.is_file(), f"there is no file {task.model_path}"
    except (OSError, RuntimeError) as error:  # a name that is too long, the home of nobody
        is_there, where = False, said(error).rstrip(".")
    if not is_there:
        raise ValueError(
            f"The task {task.id!r} has no model {task.xml_file!r}: {where}. One of yours is found from the working "
            "directory, and begins with a dot: './my.xml'."
        )
    mujoco.set_mju_user_warning(lambda _: None)
    try:
        model = mujoco.MjModel.from_xml_path(str(task.model_path))
        data = mujoco.MjData(model)
        data.qpos, data.qvel = task.initial_state(model, np.random.default_rng(0))
        mujoco.mj_forward(model, data)
        state = State(model, {name: getattr(data, name)[None] for name in ("qpos", "qvel", *task.derived)})
        seconds = model.opt.timestep * task.frame_skip
        task.observe(state)
        task.reward(Moment(state, state, np.zeros((1, model.nu)), seconds), task.unhealthy(state))
    except Exception as error:
        raise ValueError(f"The task {task.id!r} cannot be made: {said(error)}") from None
    if model.nu == 0:
        raise ValueError(f"The task {task.id!r} has a model without actuators: there is nothing to act by.")
