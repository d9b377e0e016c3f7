"""Numbers that users give, and numbers as messages show them."""

import math
from numbers import Real
from typing import TypeGuard


def is_number(x: object) -> TypeGuard[int | float]:
    """Return whether it is a real number, numpy's included; a bool is not."""
    return isinstance(x, Real) and not isinstance(x, bool)


def is_finite(x: float) -> bool:
    """Return whether a number is finite as a float."""
    try:
        return math.isfinite(float(x))
    except OverflowError:
        return False


def number(x: float) -> str:
    """Return a number in four digits; an infinite one is "none"."""
    return f"{x:.4g}" if math.isfinite(x) else "none"
