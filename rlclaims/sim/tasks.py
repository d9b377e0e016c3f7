"""The tasks by name: Gymnasium's MuJoCo environments as they are declared here, any other as Gymnasium makes it.

Another declared task is a class in `rlclaims/sim/mujoco_tasks/` and an entry of `TASKS`.
"""

from functools import cache

from rlclaims.sim.arguments import with_arguments
from rlclaims.sim.environment import Environment, environment_named
from rlclaims.sim.mujoco_tasks.arms import Pusher, Reacher
from rlclaims.sim.mujoco_tasks.humanoids import Humanoid, HumanoidStandup
from rlclaims.sim.mujoco_tasks.pendulums import InvertedDoublePendulum, InvertedPendulum
from rlclaims.sim.mujoco_tasks.runners import Ant, HalfCheetah, Hopper, Swimmer, Walker2d
from rlclaims.sim.spelling import canonical, parsed
from rlclaims.sim.task import Bools, Floats, Moment, State, Task

__all__ = ["TASKS", "AnyTask", "Bools", "Floats", "Moment", "State", "Task", "task_named"]

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
"""With Gymnasium's arguments."""


def task_named(task: str) -> AnyTask:
    """The task of a Gymnasium id, with arguments or without: one that is declared here, or else the environment.

    Raises:
        ValueError: it is malformed, there is none of that name, an argument does not fit, or it cannot be trained on;
            and why.
    """
    name, arguments = parsed(task)
    if name not in TASKS:
        return environment_named(canonical(task))
    return _declared(canonical(task)) if arguments else TASKS[name]


@cache
def _declared(task: str) -> Task:
    name, arguments = parsed(task)
    return with_arguments(TASKS[name], task, arguments)
