"""Running normalisation of observations, with separate statistics for each seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rlclaims import compiled
from rlclaims.sim.tasks import Floats

_STATISTICS = ("_count_S1", "_mean_SO", "_sum_of_squares_SO")


@dataclass(frozen=True)
class Normalization:
    """A normaliser with fixed statistics."""

    offset_SO: Floats
    inverse_std_SO: Floats
    clip_S1: Floats

    def __call__(self, observation_SO: Floats) -> Floats:
        """Return the normalised observations (S, O), float32."""
        scaled_SO = (observation_SO - self.offset_SO) * self.inverse_std_SO
        return np.clip(scaled_SO, -self.clip_S1, self.clip_S1).astype(np.float32)

    def select(self, which: npt.NDArray[np.int_] | slice) -> "Normalization":
        """Return the same normalisation for some of the seeds."""
        return Normalization(self.offset_SO[which], self.inverse_std_SO[which], self.clip_S1[which])

    def row(self, i: int) -> tuple[Floats, Floats]:
        """Return one seed's offset (O,), which is subtracted first, and the factor (O,) that follows."""
        return self.offset_SO[i].copy(), self.inverse_std_SO[i].copy()

    def of_batches(self) -> "Normalization":
        """Return the same normalisation for observations (S, B, O)."""
        return Normalization(self.offset_SO[:, None], self.inverse_std_SO[:, None], self.clip_S1[:, None])


class ObservationNormalizer:
    """A normaliser to (x - mean) / std, with mean and standard deviation of all observations so far, then a clip.

    Code-level optimisations 6 and 7 of "Implementation Matters" (2005.12729): the statistics are updated with every
    observation before it is normalised, as in the running filter of MadryLab/implementation-matters.

    Args:
        n_observation: Entries of an observation.
        enabled: Whether to normalise at all, per seed.
        clip: Bound on the absolute value of a normalised entry, or None, per seed.
    """

    def __init__(self, n_observation: int, enabled: Sequence[bool], clip: Sequence[float | None]) -> None:
        n_seeds = len(enabled)
        self._enabled_S1 = np.array(enabled)[:, None]
        self._clip_S1 = np.array([np.inf if c is None else c for c in clip])[:, None]
        self._count_S1 = np.zeros((n_seeds, 1))
        self._mean_SO = np.zeros((n_seeds, n_observation))
        self._sum_of_squares_SO = np.zeros((n_seeds, n_observation))  # squared deviations (Welford 1962)

    def observe(self, observation_SO: Floats, which: npt.NDArray[np.int_] | None = None) -> Floats:
        """Update the statistics by one observation of each given seed (all by default), and normalise it (float32)."""
        if compiled.library() is not None:
            return self._by_kernels(observation_SO, which, learning=True)
        rows = slice(None) if which is None else which
        deviation_SO = observation_SO - self._mean_SO[rows]
        self._count_S1[rows] += 1
        self._mean_SO[rows] += deviation_SO / self._count_S1[rows]
        self._sum_of_squares_SO[rows] += deviation_SO * (observation_SO - self._mean_SO[rows])
        return self.frozen(observation_SO, which)

    def frozen(self, observation_SO: Floats, which: npt.NDArray[np.int_] | None = None) -> Floats:
        """Normalise by the current statistics without updating them (float32)."""
        if compiled.library() is not None:
            return self._by_kernels(observation_SO, which, learning=False)
        return self._normalization(slice(None) if which is None else which)(observation_SO)

    def state_dict(self, i: int) -> dict[str, Floats]:
        """Return one seed's statistics, as arrays by name."""
        return {name: getattr(self, name)[i] for name in _STATISTICS}

    def load_state_dict(self, i: int, arrays: Mapping[str, Floats]) -> None:
        """Restore one seed's statistics from what `state_dict` returned."""
        for name in _STATISTICS:
            getattr(self, name)[i] = arrays[name]

    @property
    def current(self) -> Normalization:
        """The normalisation by the current statistics; seeds that are not enabled have offset 0 and factor 1."""
        return self._normalization(slice(None))

    def _normalization(self, rows: npt.NDArray[np.int_] | slice) -> Normalization:
        count_S1, enabled_S1 = self._count_S1[rows], self._enabled_S1[rows]
        variance_SO = self._sum_of_squares_SO[rows] / np.maximum(count_S1 - 1, 1)
        std_SO = np.where(count_S1 < 2, 1.0, np.sqrt(variance_SO) + 1e-8)
        return Normalization(
            np.where(enabled_S1, self._mean_SO[rows], 0.0), np.where(enabled_S1, 1 / std_SO, 1.0), self._clip_S1[rows]
        )

    def _by_kernels(self, observation_SO: Floats, which: npt.NDArray[np.int_] | None, *, learning: bool) -> Floats:
        statistics = self._count_S1, self._mean_SO, self._sum_of_squares_SO
        return compiled.observe(observation_SO, which, statistics, self._enabled_S1, self._clip_S1, learning=learning)
