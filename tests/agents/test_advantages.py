import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlclaims.agents.advantages import RewardScaler, generalized_advantages

ENDINGS = st.lists(st.sampled_from(["goes on", "goes on", "terminated", "truncated"]), min_size=1, max_size=15)
FRACTIONS = st.floats(0, 1)


class Episodes:
    """One seed's steps with the given endings, and random rewards and values."""

    def __init__(self, endings, seed=0):
        rng = np.random.default_rng(seed)
        self.terminated = np.array([ending == "terminated" for ending in endings])
        self.truncated = np.array([ending == "truncated" for ending in endings])
        self.done = self.terminated | self.truncated
        self.reward, self.value, self.next_value = rng.standard_normal((3, len(endings)))
        # Inside an episode a step leads to the next step's state; at its end, to a separate last state.
        inside = ~self.done[:-1]
        self.next_value[:-1][inside] = self.value[1:][inside]

    def advantages(self, gamma, lam):
        steps = (self.reward, self.value, self.next_value, self.terminated, self.truncated)
        return generalized_advantages(*(x[None] for x in steps), gamma=gamma, lam=lam)[0]

    def errors(self, gamma):
        """Return r + gamma V(next) - V, without the bootstrap after a termination."""
        return [
            r + (0 if over else gamma * after) - v
            for r, v, after, over in zip(self.reward, self.value, self.next_value, self.terminated, strict=True)
        ]

    def end_of_episode(self, t):
        while t < len(self.done) - 1 and not self.done[t]:
            t += 1
        return t


@given(ENDINGS, FRACTIONS, FRACTIONS, st.integers(0, 99))
def test_advantages_sum_discounted_errors_to_the_episodes_end(endings, gamma, lam, seed):
    steps = Episodes(endings, seed)
    error = steps.errors(gamma)
    expected = [
        sum((gamma * lam) ** (k - t) * error[k] for k in range(t, steps.end_of_episode(t) + 1))
        for t in range(len(endings))
    ]
    np.testing.assert_allclose(steps.advantages(gamma, lam), expected, rtol=1e-12, atol=1e-12)


@given(ENDINGS, FRACTIONS)
def test_lambda_one_gives_discounted_returns_less_the_value(endings, gamma):
    steps = Episodes(endings)
    expected = []
    for t in range(len(endings)):
        end = steps.end_of_episode(t)
        total = sum(gamma ** (k - t) * steps.reward[k] for k in range(t, end + 1))
        # Truncated by the time limit or the rollout's end: bootstrap from the value of the next state.
        if not steps.terminated[end]:
            total += gamma ** (end + 1 - t) * steps.next_value[end]
        expected.append(total - steps.value[t])
    np.testing.assert_allclose(steps.advantages(gamma, 1.0), expected, rtol=1e-12, atol=1e-12)


@given(ENDINGS, FRACTIONS)
def test_lambda_zero_gives_one_step_errors(endings, gamma):
    steps = Episodes(endings)
    np.testing.assert_allclose(steps.advantages(gamma, 0.0), steps.errors(gamma), rtol=1e-12, atol=1e-12)


def test_only_a_truncated_step_is_worth_where_it_led():
    # Powers of two, so that every sum is exact.
    args = {"gamma": 0.5, "lam": 0.5}
    reward, value, next_value = np.array([[1.0, 2.0]]), np.array([[4.0, 8.0]]), np.array([[16.0, 32.0]])
    ends, goes_on = np.array([[True, False]]), np.array([[False, False]])
    last = 2 + 0.5 * 32 - 8
    for terminated, truncated, first in (
        (ends, goes_on, 1 - 4),
        (goes_on, ends, 1 + 0.5 * 16 - 4),
        (goes_on, goes_on, 1 + 0.5 * 16 - 4 + 0.25 * last),
    ):
        advantage = generalized_advantages(reward, value, next_value, terminated, truncated, **args)
        assert advantage.tolist() == [[first, last]]


def test_seeds_do_not_mix():
    rng = np.random.default_rng(0)
    reward, value, next_value = rng.standard_normal((3, 4, 30))
    terminated, truncated = rng.random((2, 4, 30)) < 0.1
    steps = (reward, value, next_value, terminated, truncated)
    together = generalized_advantages(*steps, gamma=0.99, lam=0.95)
    for i in range(4):
        alone = generalized_advantages(*(x[[i]] for x in steps), gamma=0.99, lam=0.95)
        assert np.array_equal(together[[i]], alone)


def naively_scaled(reward_T, done_T, gamma, clip):
    """Divide rewards by the standard deviation of the list of discounted returns so far."""
    returns, scaled, discounted = [], [], 0.0
    for reward, done in zip(reward_T, done_T, strict=True):
        discounted = gamma * discounted + reward
        returns.append(discounted)
        std = np.std(returns, ddof=1) + 1e-8 if len(returns) > 1 else 1.0
        scaled.append(np.clip(reward / std, -clip, clip))
        if done:
            discounted = 0.0
    return np.array(scaled), std


@pytest.mark.parametrize("clip", [None, 0.7])
def test_rewards_are_divided_by_the_std_of_returns_so_far(clip):
    rng = np.random.default_rng(0)
    reward_ST, done_ST = 3 + rng.standard_normal((2, 60)), rng.random((2, 60)) < 0.1
    bound = np.inf if clip is None else clip
    expected = [naively_scaled(r, d, 0.9, bound) for r, d in zip(reward_ST, done_ST, strict=True)]
    scaler = RewardScaler(2, "returns", 0.9, clip)
    # The statistic and the running return continue from one rollout to the next.
    scaled_ST = np.concatenate([scaler(reward_ST[:, t : t + 20], done_ST[:, t : t + 20]) for t in (0, 20, 40)], 1)
    np.testing.assert_allclose(scaled_ST, [scaled for scaled, _ in expected], rtol=1e-12)
    assert clip is None or (scaled_ST == clip).any()

    other_ST = rng.standard_normal((2, 5))
    for _ in range(2):  # frozen: the second answer is the first
        std_S1 = np.array([[std] for _, std in expected])
        np.testing.assert_allclose(scaler.current(other_ST), (other_ST / std_S1).clip(-bound, bound), rtol=1e-12)


@pytest.mark.parametrize("clip", [None, 3.5])
def test_rewards_are_scaled_about_their_mean_by_their_std(clip):
    rng = np.random.default_rng(0)
    reward_ST, done_ST = 3 + 0.5 * rng.standard_normal((2, 60)), rng.random((2, 60)) < 0.1
    bound = np.inf if clip is None else clip

    def scaled(reward, so_far):
        std = np.std(so_far, ddof=1) + 1e-8 if len(so_far) > 1 else 1.0
        return np.clip(np.mean(so_far) + (reward - np.mean(so_far)) / std, -bound, bound)

    scaler = RewardScaler(2, "rewards", 0.9, clip)
    scaled_ST = np.concatenate([scaler(reward_ST[:, t : t + 20], done_ST[:, t : t + 20]) for t in (0, 20, 40)], 1)
    expected_ST = [[scaled(reward_T[t], reward_T[: t + 1]) for t in range(60)] for reward_T in reward_ST]
    np.testing.assert_allclose(scaled_ST, expected_ST, rtol=1e-12)
    assert clip is None or (scaled_ST == clip).any()

    other_ST = rng.standard_normal((2, 5))
    for _ in range(2):  # frozen: the second answer is the first
        expected_ST = [scaled(other_T, reward_T) for other_T, reward_T in zip(other_ST, reward_ST, strict=True)]
        np.testing.assert_allclose(scaler.current(other_ST), expected_ST, rtol=1e-12)


def test_constant_rewards_are_unchanged_about_their_mean():
    scaler = RewardScaler(1, "rewards", 0.99, clip=2.5)
    assert (scaler(np.ones((1, 10)), np.zeros((1, 10), dtype=bool)) == 1).all()


@pytest.mark.parametrize("scaling", ["returns", "rewards"])
def test_reward_scaler_resumes_from_the_state_of_some_seeds(scaling):
    rng = np.random.default_rng(3)
    reward_ST, done_ST = rng.normal(2.0, 3.0, (3, 40)), rng.random((3, 40)) < 0.1
    whole = RewardScaler(3, scaling, 0.9, None)
    whole(reward_ST[:, :25], done_ST[:, :25])
    resumed = RewardScaler(2, scaling, 0.9, None)
    resumed.load_state(whole.state()[[2, 0]])
    rest = reward_ST[:, 25:], done_ST[:, 25:]
    later_ST = whole(*rest)
    mine = rest[0][[2, 0]], rest[1][[2, 0]]
    assert np.array_equal(resumed(*mine), later_ST[[2, 0]])
    assert not np.array_equal(RewardScaler(2, scaling, 0.9, None)(*mine), later_ST[[2, 0]])
