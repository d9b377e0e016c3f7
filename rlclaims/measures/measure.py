"""The description of a measure: everything that the rest of the package needs to know about it, in one place."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from rlclaims.update import Update

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Plot:
    """The figure of a measure over training, on the training batch."""

    name: str
    """Name of the figure's file."""
    title: str
    axis: str
    """Label of the vertical axis; `{epsilon}` stands for the epsilon of a measure that takes one."""
    log: bool = False
    """True for a logarithmic axis."""


@dataclass(frozen=True)
class Measure:
    """A pure function of an update with one number per seed, and what is known about these numbers."""

    key: str
    """`group/name`: `ratio/q99` is `runs.ratio.q99`. Series in files begin with it, so it does not change."""
    function: Callable[..., Tensor]
    """Takes an `Update`, and `epsilon` if `takes_epsilon`; returns one number per seed, (S,)."""
    label: str
    """Words for people, free to change; `{epsilon}` stands for the epsilon of a measure that takes one."""
    unit: str = ""
    """Unit of the values; empty for a plain number."""
    bounds: tuple[float, float] = (-math.inf, math.inf)
    """Natural bounds of the values."""
    imagined_range: tuple[float, float] = (0.1, 0.9)
    """Range of the numbers that stand for the values when a claim's body is tried before training."""
    plot: Plot | None = None
    """Figure over training; None if it is not drawn."""
    scale: Literal["linear", "log"] = "linear"
    """Scale on which the values of different seeds are best compared. Nothing reads it yet."""
    takes_epsilon: bool = False
    """True if the function takes the algorithm's `ratio_epsilon`."""
    deployed: bool = False
    """True if it is taken on the policies as deployed, which normalise raw observations by their own statistics."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z]\w*/[a-z]\w*", self.key):
            raise ValueError(f"A measure's key is group/name in lower case, such as ratio/q99, not {self.key!r}.")

    @property
    def group(self) -> str:
        """The part of the key that names an attribute of runs: `ratio`."""
        return self.key.partition("/")[0]

    @property
    def name(self) -> str:
        """The part of the key that names an attribute of the group: `q99`."""
        return self.key.partition("/")[2]

    def __call__(self, update: Update, epsilon: float) -> Floats:
        """Measure an update, (S,)."""
        value_S = self.function(update, epsilon) if self.takes_epsilon else self.function(update)
        return value_S.detach().numpy()
