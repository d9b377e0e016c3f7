"""What the policy of a finished run returns, by fresh episodes: not those that it learnt from, which are of others."""

from rlclaims.studies.replayed_run import FINAL_RETURNS, GROUPS, FinishedRun, Numbers, grouped, tables, typical_episode

EPISODES = 32


def final_returns(run: FinishedRun) -> Numbers:
    """Returns and lengths of the episodes of the policy after the last update, by groups.

    It acts with the normaliser of the last update. It is the last policy, and not the best that there was.

    Raises:
        SimulationFailure: MuJoCo could not simulate an episode.
    """
    last = run.iterations - 1
    played = run.play([(run.history.theta_KP[-1], last)], [(0, FINAL_RETURNS + e) for e in range(EPISODES)])
    at = tables(played, EPISODES)
    return {name: grouped(at[name]) for name in ("return", "discounted", "length")}


def length(name: str, iterations: int) -> int:  # noqa: ARG001
    """How many numbers a series has."""
    return GROUPS


def expected_steps(pairs: int | None, iterations: int) -> int:  # noqa: ARG001
    """Simulator steps for one run, roughly."""
    return EPISODES * typical_episode(iterations)
