"""Numbers as people give and read them."""

import math
from numbers import Real
from typing import TypeGuard


def is_number(x: object) -> TypeGuard[int | float]:
    """Whether it is a real number, a numpy one included."""
    return isinstance(x, Real) and not isinstance(x, bool)


def is_finite(x: float) -> bool:
    """Whether a number can be had as a float."""
    try:
        return math.isfinite(float(x))
    except OverflowError:
        return False


def number(x: float) -> str:
    """A number as a person reads it; no bound is "none"."""
    return f"{x:.4g}" if math.isfinite(x) else "none"
