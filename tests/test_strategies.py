import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import find, given, settings
from torch.distributions import Independent, Normal, kl_divergence

from rlclaims import strategies
from rlclaims.measures.divergence import kl_old_new
from rlclaims.measures.ratio import ratio
from rlclaims.strategies import FiniteMDP


def simplest(strategy, wanted=lambda drawn: True):
    """Return the example that a search shrinks to: deterministic, and independent of other searches."""
    return find(strategy, wanted, settings=settings(derandomize=True, deadline=None))


def test_strategies_are_imported_lazily_from_rlclaims():
    python = "import rlclaims; print(rlclaims.strategies.ratios.__module__)"
    assert subprocess.check_output([sys.executable, "-c", python], text=True) == "rlclaims.strategies\n"


README = Path(__file__).parent.parent / "README.md"


@pytest.mark.parametrize("epsilon", [1 / 16, 0.2, 0.25, 1.5])
@pytest.mark.parametrize("where", ["inside", "outside", "anywhere"])
def test_ratios_avoid_the_edges_of_the_range(epsilon, where):
    @given(strategies.ratios(epsilon, where))
    def check(ratio_SB):
        assert ratio_SB.shape == (2, 4) and ratio_SB.dtype == torch.float64 and (ratio_SB > 0).all()
        from_edge_SB = (ratio_SB - 1).abs() - epsilon
        assert (from_edge_SB.abs() >= 1 / 64).all()
        if where != "anywhere":
            assert ((from_edge_SB > 0) == (where == "outside")).all()

    check()


@pytest.mark.parametrize(
    ("where", "wanted", "expected"),
    [
        ("outside", lambda ratio: True, 1.25),
        ("outside", lambda ratio: ratio < 1, 0.75),
        ("inside", lambda ratio: True, 1.0),
        ("inside", lambda ratio: ratio < 1, 0.9375),
        ("anywhere", lambda ratio: ratio > 1.2, 1.25),
        ("anywhere", lambda ratio: ratio < 0.1, 0.0625),
        ("anywhere", lambda ratio: ratio > 3.9, 3.9375),
    ],
)
def test_ratios_cover_the_range_and_shrink_towards_one(where, wanted, expected):
    assert simplest(strategies.ratios(0.2, where, (1, 1)), lambda ratio_SB: wanted(float(ratio_SB))) == expected


def test_advantages_have_either_sign_and_shrink_to_one():
    for wanted, expected in (
        (lambda a: True, 1.0),
        (lambda a: a < 0, -1.0),
        (lambda a: abs(a) < 0.1, 0.0625),
        (lambda a: a < -1.9, -1.9375),
    ):
        assert simplest(strategies.advantages((1, 1)), lambda x_SB, wanted=wanted: wanted(float(x_SB))) == expected


@given(strategies.advantages())
def test_no_advantage_is_zero(advantage_SB):
    assert advantage_SB.shape == (2, 4) and advantage_SB.all()


@given(strategies.tensors((3, 2), -0.3, 0.7))
def test_tensors_are_sixteenths_within_their_bounds(x):
    assert x.shape == (3, 2) and x.min() >= -0.3 and x.max() <= 0.7
    assert torch.equal((16 * x).round(), 16 * x)


@given(strategies.updates((2, 3, 2)))
def test_updates_have_the_shapes_that_measures_need(update):
    old, new = (
        Independent(Normal(p.mean_SBA, p.log_std_S1A.exp().expand(2, 3, 2)), 1)
        for p in (update.old_actions, update.new_actions)
    )
    assert len(update.batch.observation_SBO[0].unique(dim=0)) == 3
    assert update.batch.advantage_SB.shape == (2, 3)
    action_SBA = update.batch.action_SBA
    assert ((action_SBA - old.mean).abs() <= 3.0001 * old.stddev).all()
    expected_SB = (new.log_prob(action_SBA) - old.log_prob(action_SBA)).exp()
    torch.testing.assert_close(ratio(update), expected_SB, rtol=1e-10, atol=0)
    torch.testing.assert_close(kl_old_new(update), kl_divergence(old, new), rtol=1e-10, atol=1e-12)


def test_updates_shrink_to_policies_that_agree():
    update = simplest(strategies.updates((1, 2, 1)))
    assert torch.equal(ratio(update), torch.ones(1, 2, dtype=torch.float64))
    moved = simplest(strategies.updates((1, 1, 1)), lambda update: float(ratio(update)) > 1)
    changes = [
        float((getattr(moved.new_actions, part) - getattr(moved.old_actions, part)).abs())
        for part in ("mean_SBA", "log_std_S1A")
    ]
    assert sorted(changes) == [0, 1 / 16]


@given(strategies.policies(2, 3))
def test_policies_leave_no_action_out(policy_XA):
    assert policy_XA.shape == (2, 3) and policy_XA.min() >= 1 / 65
    np.testing.assert_allclose(policy_XA.sum(1), 1, rtol=1e-15)


@given(strategies.mdps(discounts=(0.305, 0.6), n_states=4))
def test_decision_problems_are_within_their_bounds(mdp):
    assert mdp.transition_XAX.shape == (4, 2, 4) and 0.31 <= mdp.discount <= 0.6
    assert abs(mdp.reward_XA).max() <= 1
    np.testing.assert_allclose(mdp.transition_XAX.sum(2), 1, rtol=1e-15)


def test_decision_problems_shrink_to_uniform_ones():
    mdp = simplest(strategies.mdps())
    assert (
        not mdp.reward_XA.any() and mdp.discount == 0 and np.array_equal(mdp.transition_XAX, np.full((3, 2, 3), 1 / 3))
    )
    certain = simplest(strategies.mdps(n_states=2, n_actions=1), lambda mdp: mdp.transition_XAX.max() == 1)
    assert 0 in certain.transition_XAX


def step(mdp, policy_XA, weight_X):
    """Return the reward earned in one step of the policy and the weights on states after it, by plain loops."""
    earned, after_X = 0.0, [0.0] * len(weight_X)
    for x, weight in enumerate(weight_X):
        for a, probability in enumerate(policy_XA[x]):
            earned += weight * probability * mdp.reward_XA[x, a]
            for y, transition in enumerate(mdp.transition_XAX[x, a]):
                after_X[y] += weight * probability * transition
    return earned, after_X


def by_steps(mdp, policy_XA, start):
    """Return the discounted return and the discounted time in each state, step after step."""
    total, time_X, weight_X = 0.0, np.zeros(3), [float(x == start) for x in range(3)]
    for t in range(60):  # .5^60 is negligible
        earned, after_X = step(mdp, policy_XA, weight_X)
        total += mdp.discount**t * earned
        time_X += mdp.discount**t * np.array(weight_X)
        weight_X = after_X
    return total, time_X


@given(strategies.mdps(discounts=(0, 0.5)), strategies.policies(), strategies.policies())
def test_mdp_solution_matches_step_by_step_sums(mdp, old_XA, new_XA):
    value_X = [by_steps(mdp, old_XA, x)[0] for x in range(3)]
    total, time_X = by_steps(mdp, old_XA, 0)
    np.testing.assert_allclose(mdp.values(old_XA), value_X, atol=1e-12)
    assert mdp.expected_return(old_XA) == pytest.approx(total, abs=1e-12)
    np.testing.assert_allclose(mdp.visits(old_XA), (1 - mdp.discount) * time_X, atol=1e-12)
    surrogate = total
    for x in range(3):
        for a in range(2):
            worth = mdp.reward_XA[x, a] + mdp.discount * sum(mdp.transition_XAX[x, a] * value_X)
            assert mdp.advantages(old_XA)[x, a] == pytest.approx(worth - value_X[x], abs=1e-12)
            surrogate += time_X[x] * new_XA[x, a] * (worth - value_X[x])
    assert mdp.surrogate(old_XA, new_XA) == pytest.approx(surrogate, abs=1e-12)


@given(strategies.policies(), strategies.policies())
def test_divergences_of_tables_match_torch(old_XA, new_XA):
    old, new = (torch.distributions.Categorical(torch.from_numpy(table_XA)) for table_XA in (old_XA, new_XA))
    np.testing.assert_allclose(strategies.kl(old_XA, new_XA), kl_divergence(old, new), atol=1e-12)
    # With two actions, total variation is the difference of either one's probability.
    np.testing.assert_allclose(strategies.tv(old_XA, new_XA), abs(old_XA[:, 0] - new_XA[:, 0]), atol=1e-15)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: strategies.ratios(0.0), "epsilon must be a number from 1/16 to 2, not 0.0"),
        (lambda: strategies.ratios("outside"), "epsilon must be a number from 1/16 to 2, not 'outside'"),
        (lambda: strategies.ratios(0.2, "beyond"), "must be one of anywhere, inside, outside, not 'beyond'"),
        (
            lambda: FiniteMDP(np.ones((2, 1, 3)), np.zeros((2, 1)), 0.5),
            r"of shape \(2, 1\) need .* \(2, 1, 2\), not \(2, 1, 3\)",
        ),
        (lambda: FiniteMDP(np.ones((2, 1, 2)), np.zeros((2, 1)), 0.5), "sum to 1"),
        (lambda: FiniteMDP(np.array([[[2.0, -1]]] * 2), np.zeros((2, 1)), 0.5), "sum to 1"),
        (lambda: FiniteMDP(np.ones((1, 1, 1)), np.zeros((1, 1)), 1.0), r"discount must lie in \[0, 1\), not 1.0"),
    ],
)
def test_invalid_arguments_are_reported(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


@pytest.fixture
def readmes_test(pytester):
    """Run the README's test of an objective, on the class that it defines or on another."""
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.M | re.S)
    (block,) = [block for block in blocks if "strategies." in block]

    def run(objective):
        pytester.makepyfile(test_readme=block.replace("Clamped().policy_loss", f"{objective}().policy_loss"))
        return pytester.runpytest_inprocess("-p", "no:cacheprovider")

    return run


def test_readme_example_passes_on_its_objective(readmes_test):
    readmes_test("Clamped").assert_outcomes(passed=1)


def test_readme_example_fails_for_ppo_with_a_short_example(readmes_test):
    result = readmes_test("PPO")
    result.assert_outcomes(failed=1)
    # The clipped loss has a gradient at one pair only, and the numbers are the simplest ones.
    shown = "".join(line.removeprefix("E").strip() for line in result.outlines if line.startswith("E  "))
    drawn = [re.findall(r"-?\d+\.\d*", inside) for inside in re.findall(r"tensor\((\[\[.*?\]\])", shown)[-2:]]
    pairs = list(zip(*([float(x) for x in numbers] for numbers in drawn), strict=True))
    assert len(pairs) == 8 and set(pairs) <= {(1.25, 1.0), (0.75, -1.0), (1.25, -1.0), (0.75, 1.0)}
    assert sum((ratio - 1) * advantage < 0 for ratio, advantage in pairs) == 1
