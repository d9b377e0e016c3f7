"""The record of one run, and its arrays by name, for a file from which the run resumes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from rlclaims.checkpoints import Checkpoint, checkpoints_to_arrays, start_from_arrays

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass
class RunRecord:
    """The record of one run."""

    algorithm: Any
    """The `Algorithm` that trained the run, or the settings of an external training (`rlclaims.adapters`)."""
    seed: int
    failure: str | None = None
    """Reason and time of the run's failure, or None."""
    series: dict[str, list[float]] = field(default_factory=dict)
    """Measures by name, one value per measured iteration."""
    policy_parameters: list[npt.NDArray[np.float32]] = field(default_factory=list)
    """Parameters theta before the first update and after each."""
    episodes: list[tuple[int, int, float]] = field(default_factory=list)
    """(first step, length, undiscounted return) of every episode started in training, in the order they ended."""
    checkpoints: list[Checkpoint] = field(default_factory=list)
    """Checkpoints at `checkpoint_iterations`."""
    normalizations: list[tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]] = field(default_factory=list)
    """Normalisation of observations at the time of each update: offset (O,) and factor (O,)."""

    def state_dict(self) -> dict[str, npt.NDArray[Any]]:
        """Return the record so far as arrays by name."""
        return {
            **({} if self.failure is None else {"failure": np.frombuffer(self.failure.encode(), np.uint8)}),
            **{f"series/{name}": np.array(values, np.float64) for name, values in self.series.items()},
            "theta_KP": np.stack(self.policy_parameters),
            "episodes_E3": np.array(self.episodes, np.float64).reshape(-1, 3),
            **{f"checkpoints/{name}": array for name, array in checkpoints_to_arrays(self.checkpoints).items()},
            "normalizations_K2O": np.array(self.normalizations, np.float64),
        }

    def load_state_dict(self, arrays: Arrays) -> None:
        """Restore what `state_dict` returned."""

        def under(prefix: str) -> dict[str, npt.NDArray[Any]]:
            return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}

        theta_KP = arrays["theta_KP"]
        self.failure = arrays["failure"].tobytes().decode() if "failure" in arrays else None
        self.series = {name: values.tolist() for name, values in under("series/").items()}
        self.policy_parameters = list(theta_KP)
        self.episodes = [(int(first), int(n), float(total)) for first, n, total in arrays["episodes_E3"]]
        self.checkpoints = list(start_from_arrays(self.seed, theta_KP, under("checkpoints/")).checkpoints)
        self.normalizations = [(offset_O, inverse_std_O) for offset_O, inverse_std_O in arrays["normalizations_K2O"]]
