"""Algorithms by the names that a command line gives them."""

import importlib
import os
import sys

from rlclaims.adapters.external import ExternalTraining
from rlclaims.adapters.script import Script
from rlclaims.agents.algorithm import Algorithm
from rlclaims.text import describe, describe_error

Subject = type[Algorithm] | Algorithm | ExternalTraining
CLEANRL_STEPS = 2048
"""Between two updates of CleanRL's continuous PPO, in one environment."""


def named(name: str) -> Subject:
    """What a name stands for.

    Args:
        name: "my_pkg.algos:MyPPO", a subclass of `rlclaims.Algorithm`, or an instance of one or of an adapter, found
            from the working directory too; "sb3:PPO" for Stable-Baselines3 and sb3-contrib, with their own settings;
            "cleanrl:path/to/script.py" for a script in CleanRL's style with `CLEANRL_STEPS` between updates.

    Raises:
        ValueError: there is no such thing, in a sentence.
    """
    home, colon, rest = name.partition(":")
    if not colon or not home or not rest:
        raise ValueError(
            f"An algorithm is named as 'my_pkg.algos:MyPPO', 'sb3:PPO' or 'cleanrl:script.py', not {describe(name)}."
        )
    if home == "cleanrl":
        return Script(rest, CLEANRL_STEPS)
    if home == "sb3":
        try:
            from rlclaims.adapters.sb3 import SB3
        except ImportError as error:
            raise ValueError(str(error)) from None
        return SB3(rest)
    if os.getcwd() not in sys.path:  # noqa: PTH109  (as Python itself names it)
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    try:
        module = importlib.import_module(home)
    except (Exception, SystemExit) as error:  # whatever stands in it
        raise ValueError(
            f"The module {describe(home)} of {describe(name)} cannot be imported: {describe_error(error)}."
        ) from None
    if not hasattr(module, rest):
        raise ValueError(f"The module {describe(home)} has no {describe(rest)}.")
    found = getattr(module, rest)
    if isinstance(found, Algorithm | ExternalTraining) or (isinstance(found, type) and issubclass(found, Algorithm)):
        subject: Subject = found
        return subject
    raise ValueError(
        f"{describe(name)} is neither a subclass of rlclaims.Algorithm nor an instance of one or of an adapter, but "
        f"{describe(found)}."
    )
