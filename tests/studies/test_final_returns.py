"""Returns of the trained policies of real, small runs, by episodes played by hand."""

import math

import numpy as np
import pytest
from small_runs import ITERATIONS, NaiveEpisode, by_hand, group_means

from rlclaims.studies.final_returns.compute import final_returns

FIRST = 4 * 10**10


@pytest.mark.parametrize("name", ["PPO", "TRPO"])
def test_final_returns_use_the_last_policy_and_normaliser(name, runs):
    run, numbers = runs[name], final_returns(runs[name])
    kinds = {
        "return": lambda hand: math.fsum(hand.rewards),
        "discounted": NaiveEpisode.discounted,
        "length": lambda hand: len(hand.rewards),
    }

    def played(policy, normaliser):
        hands = [by_hand(run, run.history.theta_KP[policy], normaliser, FIRST + e) for e in range(32)]
        return {what: group_means(list(map(number, hands))) for what, number in kinds.items()}

    expected = played(ITERATIONS, ITERATIONS - 1)
    assert numbers.keys() == expected.keys()
    for what, values in expected.items():
        assert numbers[what] == pytest.approx(values, rel=1e-4), what
    # The policy before the last update is another one, and so is the last one with what it was made with before.
    for other in (played(ITERATIONS - 1, ITERATIONS - 1), played(ITERATIONS, ITERATIONS - 2)):
        assert np.abs(np.subtract(other["return"], numbers["return"])).max() > 0.1
