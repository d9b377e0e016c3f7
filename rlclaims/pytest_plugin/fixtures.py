"""`rlclaims.runs`: a pytest fixture that says which runs it stands for before any is made."""

from typing import TYPE_CHECKING, Any

import pytest

from rlclaims.judging.runs import Runs, RunsSpec
from rlclaims.pytest_plugin.session import SEEDS, SESSION

if TYPE_CHECKING:
    from rlclaims.agents.algorithm import Algorithm


def runs(
    algorithm: "type[Algorithm] | Algorithm",
    task: str | None = None,
    *,
    iterations: int | None = None,
    block: int = 0,
    **settings: Any,
) -> Any:
    """A fixture: the runs of an algorithm on a task, over as many seeds as the test that takes it needs.

    Args:
        algorithm: a class, for the papers' settings of the task, or an instance with settings of its own.
        task: Gymnasium's id; by default the profile's task.
        iterations: updates per run; by default the profile's.
        block: block k takes seeds that lie 1,000 k further on. Runs of one block are paired by their seeds; runs of
            different blocks share nothing, and are compared as two groups.
        **settings: settings that differ from the papers', for a class.

    Returns:
        What to assign to the fixture's name: `ppo = rlclaims.runs(PPO)`. Mistakes in it are reported once, in one
        sentence, when the claims that use it have been collected.
    """
    spec = RunsSpec(algorithm, task, iterations, tuple(settings.items()), block)

    def fixture(request: pytest.FixtureRequest) -> Runs:
        return request.config.stash[SESSION].runs(spec, request.node.stash.get(SEEDS, None))

    fixture.__rlclaims_runs__ = spec  # type: ignore[attr-defined]
    return pytest.fixture(fixture)
