"""Final returns: the returns of a trained policy over fresh episodes.

The episodes that it learnt from were played by the policies before it.
"""

from rlclaims.studies.replayed_run import FINAL_RETURNS, GROUPS, FinishedRun, Numbers, grouped, tables, typical_episode

EPISODES = 32
"""Fresh episodes of each run."""


def final_returns(run: FinishedRun) -> Numbers:
    """Return returns and lengths of episodes of the policy after the last update, by groups.

    It acts with the normaliser of the last update. It is the last policy, not the best one.

    Raises:
        SimulationFailure: MuJoCo could not simulate an episode.
    """
    last = run.iterations - 1
    played = run.play([(run.history.theta_KP[-1], last)], [(0, FINAL_RETURNS + e) for e in range(EPISODES)])
    at = tables(played, EPISODES)
    return {name: grouped(at[name]) for name in ("return", "discounted", "length")}


def length(name: str, iterations: int) -> int:  # noqa: ARG001
    """Return how many numbers a series has."""
    return GROUPS


def expected_steps(pairs: int | None, iterations: int) -> int:  # noqa: ARG001
    """Return roughly how many simulator steps one run takes."""
    return EPISODES * typical_episode(iterations)
