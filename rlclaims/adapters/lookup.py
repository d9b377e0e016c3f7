"""Look up algorithms by the names given on a command line."""

import importlib
import os
import sys

from rlclaims.adapters.external import ExternalTraining
from rlclaims.adapters.script import Script
from rlclaims.agents.algorithm import Algorithm
from rlclaims.text import describe, describe_error

Subject = type[Algorithm] | Algorithm | ExternalTraining
CLEANRL_STEPS = 2048
"""Environment steps between two updates of CleanRL's continuous PPO, which trains in one environment."""


def find_subject(name: str) -> Subject:
    """Return the algorithm that a name refers to.

    Args:
        name: "my_pkg.algos:MyPPO" for a subclass of `rlclaims.Algorithm`, or an instance of one or of an adapter,
            importable from the working directory too; "sb3:PPO" for Stable-Baselines3 and sb3-contrib, with their own
            settings; "cleanrl:path/to/script.py" for a script in CleanRL's style with `CLEANRL_STEPS` between updates.

    Raises:
        ValueError: There is no such algorithm.
    """
    prefix, colon, rest = name.partition(":")
    if not colon or not prefix or not rest:
        raise ValueError(
            f"An algorithm is given as 'my_pkg.algos:MyPPO', 'sb3:PPO' or 'cleanrl:script.py', not {describe(name)}."
        )
    if prefix == "cleanrl":
        return Script(rest, CLEANRL_STEPS)
    if prefix == "sb3":
        try:
            from rlclaims.adapters.sb3 import SB3
        except ImportError as error:
            raise ValueError(str(error)) from None
        return SB3(rest)
    if os.getcwd() not in sys.path:  # noqa: PTH109  (the spelling of sys.path)
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    try:
        module = importlib.import_module(prefix)
    except (Exception, SystemExit) as error:  # importing a user's module may raise anything
        raise ValueError(
            f"The module {describe(prefix)} of {describe(name)} cannot be imported: {describe_error(error)}."
        ) from None
    if not hasattr(module, rest):
        raise ValueError(f"The module {describe(prefix)} has no {describe(rest)}.")
    value = getattr(module, rest)
    if isinstance(value, Algorithm | ExternalTraining) or (isinstance(value, type) and issubclass(value, Algorithm)):
        subject: Subject = value
        return subject
    raise ValueError(
        f"{describe(name)} is neither a subclass of rlclaims.Algorithm nor an instance of one or of an adapter, but "
        f"{describe(value)}."
    )
