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
        self.steps_S = np.zeros(len(parameters), dtype=np.int64)
        self.mean_SP: Floats = np.zeros_like(parameters.detach().numpy())
        self.square_SP = np.zeros_like(self.mean_SP)

    def step(self, gradient: Tensor, learning_rate: float) -> None:
        """Move the parameters down their gradient."""
        # Tests of other routes take float64.
        if compiled.library() is not None and gradient.dtype == self._parameters.dtype == torch.float32:
            compiled.adam(self._parameters.detach(), gradient, self.begun(learning_rate, 1))
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

    def begun(self, learning_rate: float, n_steps: int) -> compiled.AdamSteps:
        """The next steps, counted as taken: whoever asks takes them, and moves the moments in place."""
        factors = self._factors(learning_rate, n_steps)
        self.steps_S = self.steps_S + n_steps
        return compiled.AdamSteps(self.mean_SP, self.square_SP, *factors, (self._beta1, self._beta2), self._epsilon)

    def _factors(self, learning_rate: float, n_steps: int) -> tuple[Floats, Floats]:
        """Of each row's next K steps and of its second moment's root, both moments' biases corrected, (S, K) each."""
        select = list(zip(self._rates(learning_rate), self.steps_S.tolist(), strict=True))
        factors = {  # of rows that differ
            (rate, taken): [
                (rate / (1 - self._beta1**n), 1 / math.sqrt(1 - self._beta2**n))
                for n in range(taken + 1, taken + 1 + n_steps)
            ]
            for rate, taken in set(select)
        }
        # In the precision that a Python number has next to the moments.
        factor_SK2 = np.array([factors[row] for row in select], dtype=self.mean_SP.dtype)
        return factor_SK2[..., 0].copy(), factor_SK2[..., 1].copy()

    def _rates(self, learning_rate: float) -> Sequence[float]:
        """Each row's."""
        return [learning_rate] * len(self.steps_S)

    def copy(self) -> "Adam":
        """The same state, on the same parameters, which moves by itself."""
        that = copy(self)
        that.mean_SP, that.square_SP = self.mean_SP.copy(), self.square_SP.copy()
        return that

    def select(self, which: Sequence[int], parameters: Tensor) -> "Adam":
        """The state of some of the rows, on parameters of their own."""
        those, rows = copy(self), list(which)
        those._parameters = parameters
        those.steps_S, those.mean_SP, those.square_SP = self.steps_S[rows], self.mean_SP[rows], self.square_SP[rows]
        return those

    def state_dict(self, i: int) -> dict[str, npt.NDArray[Any]]:
        """The state of one row, as arrays by name."""
        return {"steps_1": self.steps_S[[i]], "mean_P": self.mean_SP[i], "square_P": self.square_SP[i]}

    def load_state_dict(self, rows: Sequence[Mapping[str, npt.NDArray[Any]]]) -> None:
        """Restore every row from what `state_dict` returned."""
        self.steps_S = np.concatenate([row["steps_1"] for row in rows])
        self.mean_SP, self.square_SP = (np.stack([row[name] for row in rows]) for name in ("mean_P", "square_P"))

    def assign(self, which: Sequence[int], those: "Adam") -> None:
        """Let some of the rows have the state that `select` made, and that has moved since."""
        for name in ("steps_S", "mean_SP", "square_SP"):
            its = getattr(those, name)
            mine = getattr(self, name).astype(its.dtype)  # a copy: who copied this Adam keeps what it had
            mine[list(which)] = its
            setattr(self, name, mine)
