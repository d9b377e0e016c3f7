"""Before the first claim runs: refuse mistakes, and train what the claims need, or estimate the cost."""

from collections.abc import Sequence
from contextlib import closing

import pytest
from _pytest.skipping import evaluate_skip_marks

from rlclaims.pytest_plugin.dry_run import dry_run
from rlclaims.pytest_plugin.looks import more_seeds_may_help, take_looks
from rlclaims.pytest_plugin.nightly import register_claims
from rlclaims.pytest_plugin.progress import Display
from rlclaims.pytest_plugin.project import writable
from rlclaims.pytest_plugin.replay import replay
from rlclaims.pytest_plugin.session import claim_session
from rlclaims.pytest_plugin.trial_run import check_bodies
from rlclaims.pytest_plugin.xdist import progress_stream
from rlclaims.store.run_spec import RunSpec, Studied


def prepare(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Prepare a session before its tests run.

    Raises:
        pytest.UsageError: a claim or an option is wrong.
        TrainingError: training failed; what was finished is stored.
    """
    session = claim_session(config)
    items = [item for item in items if not _is_skipped(item)]
    session.check(items)
    check_bodies(session, items)
    if session.asked.nights is not None:
        register_claims(session, config, items)
    option = config.option
    with progress_stream(config) as file, closing(session):
        if option.claims_dry_run:
            dry_run(session, items, file)
            return
        if option.claims_replay is not None:
            replay(session, items, option.claims_replay, file)
            return
        # A read-only store is fine if every needed run is already in it.
        if session.store.prepared() or not session.asked.report.is_relative_to(session.store.root):
            writable(session.asked.report, "report", "--claims-report DIR")
        if session.asked.nights is not None:
            writable(session.asked.nights.path.absolute().parent, "nights'", "--claims-nightly FILE")
        display = Display(file)
        session.store.notify = display.quarantine
        session.say = display.say

        def train(wanted: Sequence[RunSpec], studied: Sequence[Studied]) -> None:
            session.train(wanted, display.training, display.wait, studied)
            session.make_studies(studied, display.studies, display.wait)

        try:
            take_looks(
                session,
                items,
                train,
                lambda item: more_seeds_may_help(session, item),
                display.look,
            )
        except KeyboardInterrupt:
            display.say(
                "rlclaims: stopped. Finished cohorts and studies are in the store; run the same command to resume."
            )
            raise


def _is_skipped(item: pytest.Item) -> bool:
    """Return whether pytest skips an item because of its marks."""
    try:
        return evaluate_skip_marks(item) is not None
    except pytest.fail.Exception:  # an invalid condition, which pytest reports when it reaches the item
        return True
