"""The algorithm that the gate is about, and the bounds that it is held to."""

from contextlib import suppress

import pytest

import rlclaims
from rlclaims.adapters.foreign import Foreign
from rlclaims.judging.runs import SUBJECT
from rlclaims.pytest_plugin.options import settings
from rlclaims.pytest_plugin.session import claim_session
from rlclaims.study.audit import differences

subject = rlclaims.runs(SUBJECT)


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
        return not (isinstance(subject, Foreign) and subject.lacks("kl_old_new/mean/held_out"))
    return True


@pytest.fixture
def differences_of_a_seed(request: pytest.FixtureRequest) -> list[str]:
    """What differs where one of the seeds is trained again, alone."""
    session = claim_session(request.config)
    spec = session.runs_of(request.node)["subject"]
    (first, *_) = session.run_specs(spec, 1)
    (found,) = differences([first], session.store).values()
    return found
