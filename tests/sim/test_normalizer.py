import numpy as np
import pytest

from rlclaims.sim.normalizer import ObservationNormalizer

# A mean far from 0 next to a standard deviation of 1: sums of squares would lose half of the digits.
OBSERVATION_TSO = 1e4 + np.random.default_rng(0).standard_normal((50, 3, 4)) * [1, 10, 0.1, 1]


def test_observe_normalises_by_all_observations_so_far():
    normalizer = ObservationNormalizer(4, [True] * 3, [None] * 3)
    for t, observation_SO in enumerate(OBSERVATION_TSO):
        normalized_SO = normalizer.observe(observation_SO)
        seen_TSO = OBSERVATION_TSO[: t + 1]
        std_SO = seen_TSO.std(axis=0, ddof=1) + 1e-8 if t > 0 else np.ones((3, 4))
        offset_SO, factor_SO = normalizer.current.offset_SO, normalizer.current.inverse_std_SO
        np.testing.assert_allclose(offset_SO, seen_TSO.mean(axis=0), rtol=1e-13)
        np.testing.assert_allclose(factor_SO, 1 / std_SO, rtol=1e-9)
        # The statistics include the current observation before it is normalised.
        expected_SO = (observation_SO - seen_TSO.mean(axis=0)) / std_SO
        assert normalized_SO.dtype == np.float32
        np.testing.assert_allclose(normalized_SO, expected_SO, rtol=1e-6, atol=1e-9)


def test_frozen_normalises_without_updating_statistics():
    normalizer = ObservationNormalizer(4, [True] * 3, [None] * 3)
    for observation_SO in OBSERVATION_TSO:
        normalizer.observe(observation_SO)
    before = normalizer.current
    other_SO = 1e4 + np.random.default_rng(1).standard_normal((3, 4))
    for _ in range(2):
        expected_SO = (other_SO - OBSERVATION_TSO.mean(axis=0)) / (OBSERVATION_TSO.std(axis=0, ddof=1) + 1e-8)
        frozen_SO = normalizer.frozen(other_SO)
        np.testing.assert_allclose(frozen_SO, expected_SO, rtol=1e-6)
    assert np.array_equal(before.offset_SO, normalizer.current.offset_SO)
    normalizer.observe(other_SO)
    assert not np.array_equal(before.offset_SO, normalizer.current.offset_SO)
    # A normalisation taken earlier does not change.
    np.testing.assert_array_equal(before(other_SO), frozen_SO)


def test_each_seed_has_its_own_switch_and_clip():
    normalizer = ObservationNormalizer(4, [True, False, True, False], [0.5, 10.0, None, None])
    observation_TSO = np.random.default_rng(0).standard_normal((50, 1, 4)).repeat(4, axis=1) * 100
    for observation_SO in observation_TSO:
        normalized_SO = normalizer.observe(observation_SO)
    seen_TO = observation_TSO[:, 0]
    z_O = (seen_TO[-1] - seen_TO.mean(axis=0)) / seen_TO.std(axis=0, ddof=1)
    assert np.abs(z_O).max() > 0.5 and np.abs(seen_TO[-1]).max() > 10
    expected_SO = [np.clip(z_O, -0.5, 0.5), np.clip(seen_TO[-1], -10, 10), z_O, seen_TO[-1]]
    np.testing.assert_allclose(normalized_SO, expected_SO, rtol=1e-6)
    offset_SO, factor_SO = normalizer.current.offset_SO, normalizer.current.inverse_std_SO
    assert not offset_SO[[1, 3]].any() and (factor_SO[[1, 3]] == 1).all()


def test_observing_some_seeds_leaves_others_unchanged():
    normalizer = ObservationNormalizer(4, [True] * 3, [None] * 3)
    seen = [[], [], []]
    turns = [np.array(which) for which in ([0, 1, 2], [2], [0, 2], [2, 1], [1], [0, 1, 2])]
    for which, observation_SO in zip(turns, OBSERVATION_TSO, strict=False):
        normalizer.observe(observation_SO[: len(which)], which)
        for i, observation_O in zip(which, observation_SO, strict=False):
            seen[i].append(observation_O)
        offset_SO, factor_SO = normalizer.current.offset_SO, normalizer.current.inverse_std_SO
        for i, mine in enumerate(seen):
            np.testing.assert_allclose(offset_SO[i], np.mean(mine, axis=0), rtol=1e-13)
            if len(mine) > 1:
                np.testing.assert_allclose(factor_SO[i], 1 / (np.std(mine, axis=0, ddof=1) + 1e-8), rtol=1e-9)


@pytest.mark.parametrize("n_seeds", [1, 3])
def test_constant_entry_becomes_zero_not_infinite(n_seeds):
    normalizer = ObservationNormalizer(2, [True] * n_seeds, [None] * n_seeds)
    for _ in range(5):
        assert not normalizer.observe(np.full((n_seeds, 2), 0.25)).any()
