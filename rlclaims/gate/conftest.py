"""Fixtures of the gate: its subject, and the bounds that the subject must keep."""

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

EXTERNAL_REPLAY_ITERATIONS = 5
"""Iterations of external training that check reproducibility; a full run takes minutes on one core."""


def pytest_configure(config: pytest.Config) -> None:
    """Use the profile `gate` unless another one is given."""
    if config.option.claims_profile is None:
        config.option.claims_profile = "gate"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each claim its bound, or skip a claim without one."""
    if "bound" not in metafunc.fixturenames:
        return
    name = metafunc.function.__name__.removeprefix("test_")
    value = None
    with suppress(pytest.UsageError):  # reported once, after collection
        value = settings(metafunc.config).bounds.get(name)
    reason = f"no bound is given: use --claims-bound {name}=NUMBER, or {name} in [tool.rlclaims.gate]"
    if value is not None and name == "held_out_agreement" and not _holds_out(metafunc.config):
        value = None
        reason = "this algorithm's adapter records no held-out pairs"
    marks = [pytest.mark.skip(reason=reason)] if value is None else []
    metafunc.parametrize("bound", [pytest.param(value, marks=marks, id="none" if value is None else f"{value:g}")])


def _holds_out(config: pytest.Config) -> bool:
    with suppress(pytest.UsageError):
        subject = claim_session(config).subject
        return not (isinstance(subject, ExternalTraining) and subject.lacks_measure("kl_old_new/mean/held_out"))
    return True


@pytest.fixture
def differences_of_a_seed(request: pytest.FixtureRequest) -> list[str]:
    """Train one seed again, alone, and return what differs; for external training, compare two short runs."""
    session = claim_session(request.config)
    (first, *_) = session.resolved(request.node)["subject"].run_specs(1)
    if isinstance(first.algorithm, ExternalTraining):
        first = replace(first, iterations=min(first.iterations, EXTERNAL_REPLAY_ITERATIONS))
        execute(plan([first], session.store), session.store, 1, lambda _: None)
    (differing,) = differences([first], session.store).values()
    return differing
