"""`--claims-replay SEED`: train the claims' runs of one seed again, alone, and hold them against the store."""

from collections.abc import Sequence
from typing import TextIO

import pytest

from rlclaims.execution.verify import differences
from rlclaims.pytest_plugin.session import ClaimSession


def replay(session: ClaimSession, items: Sequence[pytest.Item], seed: int, file: TextIO) -> None:
    """Say of each run of the seed whether it has the same bits again.

    Raises:
        pytest.UsageError: no claim takes such a seed, or the store has none of its runs.
        ReplayError: a run has other bits.
        TrainingError: a run cannot be trained.
    """
    wanted = dict.fromkeys(session.wanted(items, session.profile.seeds))
    of_seed = [run for run in wanted if run.seed == seed]
    if not of_seed:
        seeds = sorted({run.seed for run in wanted})
        raise pytest.UsageError(f"--claims-replay {seed}: the selected claims take seeds {seeds[0]} to {seeds[-1]}.")
    stored = [run for run in of_seed if session.store.has(run)]
    if not stored:
        raise pytest.UsageError(f"--claims-replay {seed}: the store has no run of that seed; run the claims first.")
    print(f"rlclaims: training {', '.join(run.name for run in stored)} again, each alone.", file=file, flush=True)
    found = differences(stored, session.store)
    for run, wrong in found.items():
        told = f"differs in {', '.join(wrong)}" if wrong else "the same bits as in the store"
        print(f"rlclaims: {run.name}, {run.iterations} iterations: {told}.", file=file, flush=True)
    if different := sum(map(bool, found.values())):
        raise ReplayError(
            f"{different} of {len(stored)} runs have other bits than in the store. Bits are the same on one kind of "
            "processor: if the store is from another, this is no error. rlclaims store verify tells damage."
        )


class ReplayError(RuntimeError):
    """A run that was trained again has other bits."""
