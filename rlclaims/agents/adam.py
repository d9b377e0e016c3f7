"""Adam for S seeds at once, with the same bits for a seed in any company."""

import math
from copy import copy

import numpy as np
import numpy.typing as npt
from torch import Tensor

Factor = float | npt.NDArray[np.floating]


class Adam:
    """Adam (Kingma and Ba 2015, 1412.6980, algorithm 1) on a tensor whose rows are seeds.

    Every operation is elementwise and rounds by itself. torch's own Adam fuses operations, and rounds the last few
    elements of a tensor otherwise than the rest, so that with it a seed's parameters would depend on the seeds it is
    stacked with.

    Args:
        parameters: what to move, in place.
        epsilon: added to the root of the second moment, after its bias is corrected.
    """

    def __init__(self, parameters: Tensor, epsilon: float, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self._parameters = parameters
        self._epsilon, self._beta1, self._beta2 = epsilon, beta1, beta2
        self.steps = 0
        self.mean_SP: npt.NDArray[np.floating] = np.zeros_like(parameters.detach().numpy())
        self.square_SP = np.zeros_like(self.mean_SP)

    def step(self, gradient: Tensor, learning_rate: float) -> None:
        """Move the parameters down their gradient."""
        self.steps += 1
        g = gradient.numpy()
        self.mean_SP = self._beta1 * self.mean_SP + (1 - self._beta1) * g
        self.square_SP = self._beta2 * self.square_SP + (1 - self._beta2) * (g * g)
        size, correction = self._factors(learning_rate)
        root = np.sqrt(self.square_SP)
        root *= correction
        root += self._epsilon
        parameters = self._parameters.detach().numpy()
        parameters -= size * (self.mean_SP / root)

    def _factors(self, learning_rate: float) -> "tuple[Factor, Factor]":
        """Of the step and of the second moment's root, both moments' biases corrected: for all rows, or a column."""
        return learning_rate / (1 - self._beta1**self.steps), 1 / math.sqrt(1 - self._beta2**self.steps)

    def copy(self) -> "Adam":
        """The same state, on the same parameters: steps replace the moments and do not change them in place."""
        return copy(self)
