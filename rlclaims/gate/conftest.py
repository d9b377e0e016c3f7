"""The algorithm that the gate is about, and the bounds that it is held to."""

from contextlib import suppress
from dataclasses import replace

import pytest

import rlclaims
from rlclaims.adapters.external import ExternalTraining
from rlclaims.execution.cohorts import plan
from rlclaims.execution.train import execute
from rlclaims.execution.verify import differences
from rlclaims.planning.request import SUBJECT
from rlclaims.pytest_plugin.options import settings
from rlclaims.pytest_plugin.session import claim_session

subject = rlclaims.runs(SUBJECT)

FOREIGN_ITERATIONS_AGAIN = 5
"""Of somebody else's training, to see that a seed reproduces: all of one takes minutes, on one core of all."""


def pytest_configure(config: pytest.Config) -> None:
    """Take the gate's own budget, if no other is asked for."""
    if config.option.claims_profile is None:
        config.option.claims_profile = "gate"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each claim its bound, or skip it."""
    if "bound" not in metafunc.fixturenames:
        return
    name, value = metafunc.function.__name__.removeprefix("test_"), None
    with suppress(pytest.UsageError):  # said once, when collection is over
        value = settings(metafunc.config).bounds.get(name)
    reason = f"no bound is given: --claims-bound {name}=NUMBER, or {name} in [tool.rlclaims.gate]"
    if value is not None and name == "held_out_agreement" and not _holds_out(metafunc.config):
        value, reason = None, "of this algorithm's training no fresh pairs are held out"
    marks = [pytest.mark.skip(reason=reason)] if value is None else []
    metafunc.parametrize("bound", [pytest.param(value, marks=marks, id="none" if value is None else f"{value:g}")])


def _holds_out(config: pytest.Config) -> bool:
    with suppress(pytest.UsageError):
        subject = claim_session(config).subject
        return not (isinstance(subject, ExternalTraining) and subject.lacks("kl_old_new/mean/held_out"))
    return True


@pytest.fixture
def differences_of_a_seed(request: pytest.FixtureRequest) -> list[str]:
    """What differs where one of the seeds is trained again, alone; somebody else's training is a short one, twice."""
    session = claim_session(request.config)
    (first, *_) = session.resolved(request.node)["subject"].run_specs(1)
    if isinstance(first.algorithm, ExternalTraining):
        first = replace(first, iterations=min(first.iterations, FOREIGN_ITERATIONS_AGAIN))
        execute(plan([first], session.store), session.store, 1, lambda _: None)
    (found,) = differences([first], session.store).values()
    return found
