"""Late updates one by one: the return before and after every update of the last quarter of training."""

import math

from rlclaims.studies.replayed_run import (
    GROUPS,
    LATE_UPDATES,
    STRIDE,
    FinishedRun,
    Numbers,
    grouped,
    tables,
    typical_episode,
)

LATE = 0.75
"""Fraction of training after which updates are late."""
LATE_EPISODES = 8
"""Episodes before and after each late update."""


def late_iterations(iterations: int) -> range:
    """Return the iterations whose updates are late."""
    return range(math.floor(LATE * iterations), iterations)


def late_updates(run: FinishedRun) -> Numbers:
    """Return returns before and after every late update, both with the normaliser that the update was made with.

    Raises:
        SimulationFailure: MuJoCo could not simulate an episode.
    """
    late = late_iterations(run.iterations)
    policies = [(run.history.theta_KP[j], i) for i in late for j in (i, i + 1)]
    episodes = [
        (policy, iteration * STRIDE + LATE_UPDATES + e)
        for policy, (_, iteration) in enumerate(policies)
        for e in range(LATE_EPISODES)
    ]
    at = tables(run.play(policies, episodes), LATE_EPISODES)
    return {
        f"{when}/{name}": grouped(at[name][side::2])
        for side, when in enumerate(("before", "after"))
        for name in ("return", "discounted")
    }


def length(name: str, iterations: int) -> int:  # noqa: ARG001
    """Return how many numbers a series has."""
    return len(late_iterations(iterations)) * GROUPS


def expected_steps(pairs: int | None, iterations: int) -> int:  # noqa: ARG001
    """Return roughly how many simulator steps one run takes."""
    return sum(2 * LATE_EPISODES * typical_episode(i) for i in late_iterations(iterations))
