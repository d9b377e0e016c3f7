"""What is measured with the policies of finished runs, which play again: each kind in a file of its own.

    landscapes             returns and surrogates around a policy
    late_updates           the return before and after every late update
    large_updates          the last kept update, made on many more pairs
    gradients              how far estimates of the policy gradient agree, with each other and with the step
    near_true_gradients    the same, and of estimates by values that are fitted to many more pairs
    values                 what the value network knows of the values
    final_returns          what the trained policy returns
    planes                 the return and the surrogate around a policy, for pictures

Each makes series of numbers of one run, from which its query makes one number a seed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from rlclaims.agents.algorithm import Algorithm
from rlclaims.checkpoints import History, Start
from rlclaims.sim.tasks import task_named
from rlclaims.studies.final_returns import compute as final_returns
from rlclaims.studies.gradients import compute as gradients
from rlclaims.studies.landscape import compute as landscapes
from rlclaims.studies.planes import compute as planes
from rlclaims.studies.replayed_run import FinishedRun, Numbers, SimulationFailure, Told
from rlclaims.studies.updates import compute as updates
from rlclaims.studies.values import compute as values
from rlclaims.training import one_torch_thread

__all__ = ["KINDS", "Kind", "SimulationFailure", "measured"]


@dataclass(frozen=True)
class Kind:
    """One way to measure a finished run; of the functions, pairs are those of its batches, None where it takes none."""

    numbers: Callable[[FinishedRun, int | None], Numbers]
    """The series of a run, by name."""
    length: Callable[[str, int], int]
    """How many numbers a series has, by its name and the run's iterations."""
    expected_steps: Callable[[int | None, int], int]
    """Simulator steps for one run, roughly, by the pairs and the run's iterations."""
    code: tuple[str, ...]
    """Files of the package that make it, beside what trains and measures a run."""
    bytes: int
    """Of a run's series in a file, roughly, in runs as long as the papers'."""


_EPISODES = ("episodes.py", "studies/replayed_run.py")

KINDS = {
    "landscapes": Kind(
        lambda run, _: landscapes.landscapes(run),
        landscapes.length,
        landscapes.expected_steps,
        (*_EPISODES, "studies/landscape/compute.py"),
        60_000,
    ),
    "late_updates": Kind(
        lambda run, _: updates.late_updates(run),
        updates.late_length,
        updates.late_expected_steps,
        (*_EPISODES, "studies/updates/compute.py", "studies/landscape/compute.py"),
        10_000,
    ),
    "large_updates": Kind(
        updates.large_update,
        updates.large_length,
        updates.large_expected_steps,
        (*_EPISODES, "studies/updates/compute.py", "studies/landscape/compute.py"),
        1_000,
    ),
    "gradients": Kind(
        gradients.gradients,
        gradients.length,
        gradients.expected_steps,
        (*_EPISODES, "studies/gradients/compute.py"),
        4_000,
    ),
    "near_true_gradients": Kind(
        partial(gradients.gradients, near_true=True),
        gradients.length,
        partial(gradients.expected_steps, near_true=True),
        (*_EPISODES, "studies/gradients/compute.py"),
        5_000,
    ),
    "values": Kind(
        lambda run, _: values.values(run),
        values.length,
        values.expected_steps,
        (*_EPISODES, "studies/values/compute.py"),
        2_000,
    ),
    "final_returns": Kind(
        lambda run, _: final_returns.final_returns(run),
        final_returns.length,
        final_returns.expected_steps,
        (*_EPISODES, "studies/final_returns/compute.py"),
        500,
    ),
    "planes": Kind(
        lambda run, _: planes.planes(run),
        planes.length,
        planes.expected_steps,
        (*_EPISODES, "studies/planes/compute.py", "studies/landscape/compute.py"),
        20_000,
    ),
}
"""By name."""


def measured(
    kind: str,
    pairs: int | None,
    algorithm: Algorithm,
    task: str,
    iterations: int,
    start: Start,
    history: History,
    on_steps: Told = lambda _: None,
) -> Numbers:
    """The numbers of one run, by name.

    Args:
        kind: one of `KINDS`.
        pairs: of its batches, for kinds that are asked for a number of pairs.
        algorithm: what the run was trained by.
        task: Gymnasium's id.
        iterations: of its training.
        start: where its kept updates started.
        history: its policies and normalisers.
        on_steps: told of simulator steps, as they are made.

    Raises:
        SimulationFailure: MuJoCo could not simulate an episode.
    """
    run = FinishedRun(algorithm, task_named(task), iterations, start, history, on_steps)
    with one_torch_thread(), torch.no_grad():  # what takes gradients says so
        return KINDS[kind].numbers(run, pairs)
