"""Tasks by name: Gymnasium's MuJoCo environments as declared here, any other as Gymnasium makes it.

To declare another task, add a class to `rlclaims/sim/mujoco_tasks/` and an entry to `TASKS`.
"""

from functools import cache

from rlclaims.sim.arguments import with_arguments
from rlclaims.sim.environment import Environment, environment_named
from rlclaims.sim.mujoco_tasks.arms import Pusher, Reacher
from rlclaims.sim.mujoco_tasks.humanoids import Humanoid, HumanoidStandup
from rlclaims.sim.mujoco_tasks.pendulums import InvertedDoublePendulum, InvertedPendulum
from rlclaims.sim.mujoco_tasks.runners import Ant, HalfCheetah, Hopper, Swimmer, Walker2d
from rlclaims.sim.spelling import canonical, parse_task
from rlclaims.sim.task import Bools, Floats, State, Task, Transition

__all__ = ["TASKS", "AnyTask", "Bools", "Floats", "State", "Task", "Transition", "task_named"]

AnyTask = Task | Environment
TASKS: dict[str, Task] = {
    task.id: task
    for task in (
        Ant(),
        HalfCheetah(),
        Hopper(),
        Humanoid(),
        HumanoidStandup(),
        InvertedDoublePendulum(),
        InvertedPendulum(),
        Pusher(),
        Reacher(),
        Swimmer(),
        Walker2d(),
    )
}
"""Declared tasks by Gymnasium id, with Gymnasium's default arguments."""


def task_named(task: str) -> AnyTask:
    """Return the task of a Gymnasium id, with or without arguments: a declared task if there is one.

    Raises:
        ValueError: The text is malformed, there is no such task, an argument is invalid, or the task cannot be trained
            on; the message says which.
    """
    name, arguments = parse_task(task)
    if name not in TASKS:
        return environment_named(canonical(task))
    return _declared(canonical(task)) if arguments else TASKS[name]


@cache
def _declared(task: str) -> Task:
    name, arguments = parse_task(task)
    return with_arguments(TASKS[name], task, arguments)
