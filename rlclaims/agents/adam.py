"""Adam for S seeds at once, with the same bits for a seed in any company."""

import math
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlclaims import compiled

Floats = npt.NDArray[np.floating]


class Adam:
    """Adam (Kingma and Ba 2015, 1412.6980, algorithm 1) on a tensor whose rows are seeds, each with its own steps.

    Every operation is elementwise and rounds separately. torch's own Adam fuses operations and rounds the last few
    elements of a tensor differently from the rest, so a seed's parameters would depend on the seeds it is stacked
    with.

    Args:
        parameters: tensor to update in place.
        epsilon: added to the square root of the bias-corrected second moment.
        beta1: decay rate of the first moment.
        beta2: decay rate of the second moment.
    """

    def __init__(self, parameters: Tensor, epsilon: float, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self._parameters = parameters
        self._epsilon = epsilon
        self._beta1 = beta1
        self._beta2 = beta2
        self.steps_S = np.zeros(len(parameters), dtype=np.int64)
        self.mean_SP: Floats = np.zeros_like(parameters.detach().numpy())
        self.square_SP = np.zeros_like(self.mean_SP)

    def step(self, gradient: Tensor, learning_rate: float) -> None:
        """Move the parameters down their gradient."""
        # Tests use float64 to bypass the kernels.
        if compiled.library() is not None and gradient.dtype == self._parameters.dtype == torch.float32:
            compiled.adam(self._parameters.detach(), gradient, self.next_steps(learning_rate, 1))
            return
        g = gradient.numpy()
        self.mean_SP = self._beta1 * self.mean_SP + (1 - self._beta1) * g
        self.square_SP = self._beta2 * self.square_SP + (1 - self._beta2) * (g * g)
        size_S1, correction_S1 = self._factors(learning_rate, 1)
        self.steps_S = self.steps_S + 1
        root = np.sqrt(self.square_SP)
        root *= correction_S1
        root += self._epsilon
        parameters = self._parameters.detach().numpy()
        parameters -= size_S1 * (self.mean_SP / root)

    def next_steps(self, learning_rate: float, n_steps: int) -> compiled.AdamSteps:
        """Return the next steps, counted as taken: the caller must take them, which updates the moments in place."""
        factors = self._factors(learning_rate, n_steps)
        self.steps_S = self.steps_S + n_steps
        return compiled.AdamSteps(self.mean_SP, self.square_SP, *factors, (self._beta1, self._beta2), self._epsilon)

    def _factors(self, learning_rate: float, n_steps: int) -> tuple[Floats, Floats]:
        """Return the bias-corrected size of each row's next K steps, and the correction of its root, (S, K) each."""
        rows = list(zip(self._rates(learning_rate), self.steps_S.tolist(), strict=True))
        factors = {  # computed once for equal rows
            (rate, steps): [
                (rate / (1 - self._beta1**n), 1 / math.sqrt(1 - self._beta2**n))
                for n in range(steps + 1, steps + 1 + n_steps)
            ]
            for rate, steps in set(rows)
        }
        # The precision that a Python number would have in arithmetic with the moments.
        factor_SK2 = np.array([factors[row] for row in rows], dtype=self.mean_SP.dtype)
        return factor_SK2[..., 0].copy(), factor_SK2[..., 1].copy()

    def _rates(self, learning_rate: float) -> Sequence[float]:
        """Return each row's learning rate."""
        return [learning_rate] * len(self.steps_S)

    def copy(self) -> "Adam":
        """Return a copy with moments of its own, on the same parameters."""
        other = copy(self)
        other.mean_SP = self.mean_SP.copy()
        other.square_SP = self.square_SP.copy()
        return other

    def select(self, which: Sequence[int], parameters: Tensor) -> "Adam":
        """Return an Adam with a copy of the state of some rows, on the given parameters."""
        selected = copy(self)
        rows = list(which)
        selected._parameters = parameters
        selected.steps_S = self.steps_S[rows]
        selected.mean_SP = self.mean_SP[rows]
        selected.square_SP = self.square_SP[rows]
        return selected

    def state_dict(self, i: int) -> dict[str, npt.NDArray[Any]]:
        """Return the state of one row as arrays by name."""
        return {"steps_1": self.steps_S[[i]], "mean_P": self.mean_SP[i], "square_P": self.square_SP[i]}

    def load_state_dict(self, rows: Sequence[Mapping[str, npt.NDArray[Any]]]) -> None:
        """Restore every row from what `state_dict` returned."""
        self.steps_S = np.concatenate([row["steps_1"] for row in rows])
        self.mean_SP, self.square_SP = (np.stack([row[name] for row in rows]) for name in ("mean_P", "square_P"))

    def assign(self, which: Sequence[int], selected: "Adam") -> None:
        """Copy the state of `selected`, which `select` returned and which has stepped since, back into its rows."""
        for name in ("steps_S", "mean_SP", "square_SP"):
            source = getattr(selected, name)
            array = getattr(self, name).astype(source.dtype)  # a copy: copies of this Adam may share the old array
            array[list(which)] = source
            setattr(self, name, array)
