"""What MuJoCo does beside simulating, at a fifth of a Hopper's step, and without a bit's difference to it: left out."""

import ctypes
import sys
from contextlib import suppress
from functools import cache

import mujoco


def leave_out_islands(model: mujoco.MjModel) -> None:
    """Solve a model's constraints as one system, where they are one.

    MuJoCo looks for parts of a model that do not touch each other at every evaluation, and solves them one by one. A
    single kinematic tree never has two such parts: the same sums are made in the same order without the search. Where
    there are more trees, islands are solved to another rounding, and stay; and so they do where bodies may fall asleep,
    as it is islands that do.
    """
    if model.ntree == 1 and not model.opt.enableflags & mujoco.mjtEnableBit.mjENBL_SLEEP:
        model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_ISLAND


def leave_out_timers() -> None:
    """Stop the clock that `MjData.timer` is kept by, in all of this process: a step reads it over a hundred times.

    The bindings replace it (`mujoco.set_mjcb_time`) and cannot do without; the C library can, where its variable is to
    be had (not on Windows, whose libraries do not name what others export). A clock that somebody else has set goes on.
    """
    clock = clock_of_mujoco()
    if clock is not None and mujoco.get_mjcb_time() is None:
        clock.value = None


@cache
def clock_of_mujoco() -> ctypes.c_void_p | None:
    """The C library's `mjcb_time`, a pointer to a function or none; None where it cannot be reached."""
    with suppress(AttributeError, KeyError, OSError, TypeError, ValueError):
        # Already loaded: whoever opens it again is given the same, and the names of what it is linked to.
        return ctypes.c_void_p.in_dll(ctypes.CDLL(sys.modules["mujoco._functions"].__file__), "mjcb_time")
    return None
