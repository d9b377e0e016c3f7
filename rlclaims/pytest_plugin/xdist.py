"""Support of pytest-xdist: workers collect, train and judge, and the controller reports.

All workers need the same runs. A lock on the store lets one of them train; the others then find the runs stored.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import pytest

STOPPED = pytest.StashKey[tuple[str, int]]()
"""The reason why a worker stopped, and the exit code, in the stash of the controller's config."""
STOP_KEY = "rlclaims_stopped"
"""Key of the same in a worker's output."""


def is_worker(config: pytest.Config) -> bool:
    """Return whether the session is an xdist worker's."""
    return hasattr(config, "workerinput")


@contextmanager
def stopping(config: pytest.Config) -> Iterator[None]:
    """End the session with a message after a user's mistake or failed training; in a worker, end the controller's.

    Raises:
        pytest.UsageError: a user's mistake.
        pytest.exit.Exception: training failed, or a replayed run differs.
    """
    from rlclaims.execution.pool import TrainingError
    from rlclaims.pytest_plugin.replay import ReplayError
    from rlclaims.store.store import StoreError

    try:
        yield
    except (pytest.UsageError, TrainingError, StoreError, ReplayError) as error:
        usage = isinstance(error, pytest.UsageError)
        broken = (
            pytest.ExitCode.INTERNAL_ERROR
            if isinstance(error, TrainingError | StoreError)
            else pytest.ExitCode.TESTS_FAILED
        )
        code = int(pytest.ExitCode.USAGE_ERROR if usage else broken)
        if is_worker(config):
            config.workeroutput.setdefault(STOP_KEY, [str(error), code])  # type: ignore[attr-defined]
        elif usage:
            raise
        else:
            pytest.exit(str(error), returncode=code)


def stopped(session: pytest.Session) -> bool:
    """Return whether the session is a worker's that has to stop, and if so tell pytest to stop it."""
    if is_worker(session.config) and STOP_KEY in session.config.workeroutput:  # type: ignore[attr-defined]
        session.shouldstop = "the claims cannot be run"
        return True
    return False


def on_worker_exit(node: Any) -> None:
    """Remember in the controller why a worker stopped."""
    if STOP_KEY in getattr(node, "workeroutput", {}):
        node.config.stash[STOPPED] = tuple(node.workeroutput[STOP_KEY])


@contextmanager
def progress_stream(config: pytest.Config) -> Iterator[TextIO]:
    """Yield the stream for progress: the terminal, or a worker's standard error, which is the controller's."""
    if is_worker(config):
        with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            yield sys.stderr
    elif (reporter := config.pluginmanager.getplugin("terminalreporter")) is not None:
        yield reporter._tw._file
    else:
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123
            yield nowhere
