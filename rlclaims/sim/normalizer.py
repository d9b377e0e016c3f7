"""Running normalisation of observations, each seed by its own statistics."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rlclaims.sim.tasks import Floats


class ObservationNormalizer:
    """(x - mean) / std with the mean and standard deviation of all observations so far, then a clip, per seed.

    Code-level optimisations 6 and 7 of "Implementation Matters" (2005.12729): the statistic takes in every observation
    before it is normalised, as the running filter of MadryLab/implementation-matters does.

    Args:
        n_observation: entries of an observation.
        enabled: per seed, whether to normalise at all.
        clip: per seed, the bound on a normalised observation, or None.
    """

    def __init__(self, n_observation: int, enabled: Sequence[bool], clip: Sequence[float | None]) -> None:
        n_seeds = len(enabled)
        self._enabled_S1 = np.array(enabled)[:, None]
        self._clip_S1 = np.array([np.inf if c is None else c for c in clip])[:, None]
        self._count_S1 = np.zeros((n_seeds, 1))
        self._mean_SO = np.zeros((n_seeds, n_observation))
        self._sum_of_squares_SO = np.zeros((n_seeds, n_observation))  # of deviations (Welford 1962)
        self._refresh()

    def observe(self, observation_SO: Floats, which: npt.NDArray[np.int_] | slice = slice(None)) -> Floats:
        """Take in one observation of each of the given seeds, and normalise it (float32)."""
        deviation_SO = observation_SO - self._mean_SO[which]
        self._count_S1[which] += 1
        self._mean_SO[which] += deviation_SO / self._count_S1[which]
        self._sum_of_squares_SO[which] += deviation_SO * (observation_SO - self._mean_SO[which])
        self._refresh()
        return self.frozen(observation_SO, which)

    def frozen(self, observation_SO: Floats, which: npt.NDArray[np.int_] | slice = slice(None)) -> Floats:
        """Normalise by the statistics as they stand (float32)."""
        clip_S1 = self._clip_S1[which]
        scaled_SO = (observation_SO - self._offset_SO[which]) * self._inverse_std_SO[which]
        return np.clip(scaled_SO, -clip_S1, clip_S1).astype(np.float32)

    def statistics(self) -> tuple[Floats, Floats]:
        """The offset and the factor that are applied now, (S, O) each: 0 and 1 where not enabled."""
        return self._offset_SO.copy(), self._inverse_std_SO.copy()

    def _refresh(self) -> None:
        variance_SO = self._sum_of_squares_SO / np.maximum(self._count_S1 - 1, 1)
        std_SO = np.where(self._count_S1 < 2, 1.0, np.sqrt(variance_SO) + 1e-8)
        self._offset_SO = np.where(self._enabled_S1, self._mean_SO, 0.0)
        self._inverse_std_SO = np.where(self._enabled_S1, 1 / std_SO, 1.0)
