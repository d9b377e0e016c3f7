"""`--claims-replay SEED`: train the claims' runs of one seed again, each alone, and compare them with the store."""

from collections.abc import Sequence
from typing import TextIO

import pytest

from rlclaims.execution.verify import differences
from rlclaims.pytest_plugin.session import ClaimSession


def replay(session: ClaimSession, items: Sequence[pytest.Item], seed: int, file: TextIO) -> None:
    """Report for each run of the seed whether it is bit-identical to the stored one.

    Raises:
        pytest.UsageError: no claim uses the seed, or none of its runs is stored.
        ReplayError: a run differs.
        TrainingError: a run cannot be trained.
    """
    wanted = dict.fromkeys(session.wanted(items, session.profile.seeds))
    of_seed = [run for run in wanted if run.seed == seed]
    if not of_seed:
        seeds = sorted({run.seed for run in wanted})
        raise pytest.UsageError(f"--claims-replay {seed}: the selected claims use seeds {seeds[0]} to {seeds[-1]}.")
    stored = [run for run in of_seed if session.store.has(run)]
    if not stored:
        raise pytest.UsageError(f"--claims-replay {seed}: the store has no run of that seed; run the claims first.")
    print(f"rlclaims: training {', '.join(run.name for run in stored)} again, each alone.", file=file, flush=True)
    found = differences(stored, session.store)
    for run, changed in found.items():
        outcome = f"differs in {', '.join(changed)}" if changed else "the same bits as in the store"
        print(f"rlclaims: {run.name}, {run.iterations} iterations: {outcome}.", file=file, flush=True)
    if different := sum(map(bool, found.values())):
        raise ReplayError(
            f"{different} of {len(stored)} runs differ from the store. Runs are bit-identical only on processors that "
            "round alike: if the store comes from another machine, this is expected. rlclaims store verify finds "
            "damaged files."
        )


class ReplayError(RuntimeError):
    """A run that differs from the stored one when trained again."""
