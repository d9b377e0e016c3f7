"""Set the arguments of a declared task, and check each before anything is simulated."""

import math
from dataclasses import fields, replace
from typing import Any, get_type_hints

import mujoco
import numpy as np

from rlclaims.sim.environment import error_sentence, rendering_message
from rlclaims.sim.task import Range, State, Task, Transition

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
"""Arguments of Gymnasium's MuJoCo tasks that only affect rendering."""
LIMIT = "max_episode_steps"
MAX_INT = 2**31 - 1
"""Largest integer argument: MuJoCo counts steps in 32 bits."""
EXPECTED: dict[Any, str] = {
    bool: "True or False",
    float: "a finite number",
    int: f"a whole number from 1 to {MAX_INT}",
    str: "the path of a model",
    int | str: "the number or the name of a body",
    Range: "a pair of numbers, the lower one first",
}
"""Descriptions of the values that an argument accepts, by the type of its field."""


def with_arguments(task: Task, text: str, arguments: dict[str, Any]) -> Task:
    """Return the task with some arguments changed, after simulating one step of it.

    Args:
        task: The task with Gymnasium's defaults.
        text: The task as the user wrote it, arguments included.
        arguments: Values by Gymnasium's argument names.

    Raises:
        ValueError: An argument is unknown or has an invalid value, or the task cannot be simulated with it.
    """
    types = get_type_hints(type(task))
    known = sorted({LIMIT, *(field.name for field in fields(task))} - {"id", "time_limit"})
    changes: dict[str, Any] = {"id": text}
    for name, value in arguments.items():
        if name in RENDERING:
            raise ValueError(rendering_message(text, name))
        if name not in known:
            raise ValueError(f"The task {text!r} has no argument {name!r}; it takes {', '.join(known)}.")
        if name == LIMIT:
            changes["time_limit"] = _time_limit(text, value)
            continue
        changes[name] = _convert(types[name], value)
        if changes[name] is None:
            raise ValueError(f"The task {text!r} takes {EXPECTED[types[name]]} as {name}, not {value!r}.")
    changed = replace(task, **changes)
    _try_one_step(changed)
    return changed


def _time_limit(text: str, value: object) -> int | None:
    if type(value) is not int or (not 1 <= value <= MAX_INT and value != -1):
        raise ValueError(f"The task {text!r} takes {EXPECTED[int]} as {LIMIT}, or -1 for no limit, not {value!r}.")
    return None if value == -1 else value


def _convert(field_type: Any, value: object) -> Any:
    """Return a value as a field of this type stores it, or None if it is invalid."""
    if field_type is bool or field_type is str:
        return value if type(value) is field_type else None
    if field_type is int:
        return value if type(value) is int and 1 <= value <= MAX_INT else None
    if field_type is float:
        return number if (number := _number(value)) is not None and math.isfinite(number) else None
    if field_type == Range:
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


def _try_one_step(task: Task) -> None:
    """Load the model, start an episode, and compute an observation and the reward of a step that moves nothing.

    Raises:
        ValueError: Any of this fails; the message says why.
    """
    try:
        is_file = task.model_path.is_file()
        problem = f"there is no file {task.model_path}"
    except (OSError, RuntimeError) as error:  # a name that is too long, the home of an unknown user
        is_file = False
        problem = error_sentence(error).rstrip(".")
    if not is_file:
        raise ValueError(
            f"The task {task.id!r} has no model {task.xml_file!r}: {problem}. Give a model of your own by a path that "
            "starts with a dot, relative to the working directory: './my.xml'."
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
        task.reward(Transition(state, state, np.zeros((1, model.nu)), seconds), task.unhealthy(state))
    except Exception as error:
        raise ValueError(f"The task {task.id!r} cannot be made: {error_sentence(error)}") from None
    if model.nu == 0:
        raise ValueError(f"The task {task.id!r} has a model without actuators: a policy has nothing to control.")
