"""`rlclaims.runs`: a pytest fixture that says which runs it stands for before any is made."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rlclaims.judging.runs import Runs, RunsSpec
from rlclaims.pytest_plugin.session import SEEDS, claim_session

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
        task: Gymnasium's id; by default each task of the profile.
        iterations: updates per run; by default the profile's.
        block: block k takes seeds that lie 1,000 k further on. Runs of one block are paired by their seeds; runs of
            different blocks share nothing, and are compared as two groups.
        **settings: settings that differ from the papers', for a class.

    Returns:
        What to assign to the fixture's name: `ppo = rlclaims.runs(PPO)`. Mistakes in it are reported once, in one
        sentence, when the claims that use it have been collected.
    """
    spec = RunsSpec(algorithm, task, iterations, tuple(settings.items()), block)

    # What a class would pass as self is of no use to it.
    def on_its_task(*_: object, request: pytest.FixtureRequest) -> Runs:
        return claim_session(request.config).runs(spec, request.node.stash.get(SEEDS, None))

    def on_the_profiles_task(*_: object, request: pytest.FixtureRequest, _claims_task: str) -> Runs:
        on_task = replace(spec, task=_claims_task)
        return claim_session(request.config).runs(on_task, request.node.stash.get(SEEDS, None))

    fixture: Any = on_the_profiles_task if task is None else on_its_task
    fixture.__rlclaims_runs__ = spec
    fixture.__doc__ = f"Runs of {getattr(algorithm, '__name__', algorithm)} on {task or 'the tasks of the profile'}."
    return pytest.fixture(fixture)
