"""The combinations of a factorial: which are trained, and with which settings."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from rlclaims.planning.request import RunsRequest
from rlclaims.stats.factorial import Combination, two_level_design
from rlclaims.text import describe, describe_error

Settings = dict[str, Any]


def settings_by_combination(request: RunsRequest, papers: object) -> dict[Combination, list[Settings]]:
    """Return the settings of each combination of a whole design: one row, or a row for each value that is tuned.

    Args:
        request: of a factorial.
        papers: the algorithm with the papers' settings, to which values that are functions are applied.

    Raises:
        ValueError: a setting has other than two values, or equal ones, or there are too many.
    """
    factors = request.factors or ()
    for name, values in factors:
        if len(values) != 2:
            raise ValueError(f"A setting of a factorial has two values, {name}=(one, other), not {describe(values)}.")
    tuned = _tuned(request)
    levels = {name: _levels(papers, name, values) for name, values in (*factors, *tuned)}
    for name, values_of_setting in levels.items():
        if twice := [one for one, other in combinations(values_of_setting, 2) if one == other]:
            raise ValueError(
                f"A setting of a factorial has different values, and {name} is {describe(twice[0])} twice."
            )
    choices: list[Settings] = [{name: value} for name, _ in tuned for value in levels[name]] or [{}]
    return {
        switched: [{**{name: levels[name][name in switched] for name, _ in factors}, **choice} for choice in choices]
        for switched in _design(request)
    }


def combinations_trained(request: RunsRequest, *, smoke: bool) -> tuple[Combination, ...]:
    """Return the combinations that are trained, the one with all settings at their first value first.

    A smoke test trains as few as have each setting at either value, which prove no less of the wiring.
    """
    design = _design(request)
    if not smoke:
        return design
    trained = list(design[:1])
    left = {name for name, _ in request.factors or ()}
    for combination in reversed(design):
        if combination & left:
            trained.append(combination)
            left -= combination
    return tuple(trained)


def _design(request: RunsRequest) -> tuple[Combination, ...]:
    return two_level_design([name for name, _ in request.factors or ()], () if request.full else None)


def _tuned(request: RunsRequest) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    """Return the setting that is tuned, with its values; nothing where none is.

    Raises:
        ValueError: it is not one setting with two values or more, or has a value of its own as well.
    """
    if request.tuned is None:
        return ()
    if not isinstance(request.tuned, tuple) or len(request.tuned) != 1:
        raise ValueError(
            f"One setting is tuned, such as tuned={{'learning_rate': (one, other)}}, not {describe(request.tuned)}."
        )
    ((name, values),) = request.tuned
    if not isinstance(values, tuple) or len(values) < 2:
        raise ValueError(
            f"A setting is tuned over two values or more, {{{name!r}: (one, other)}}, not {describe(values)}."
        )
    if name in dict(request.changes) or name in dict(request.factors or ()):
        raise ValueError(f"{name} is tuned, so it can be neither varied nor given a value of its own.")
    return request.tuned


def _levels(papers: object, name: str, values: Sequence[Any]) -> list[Any]:
    """Return the values of a setting, with functions applied to the papers' value."""

    def level(value: Any) -> Any:
        if not callable(value) or not hasattr(papers, name):
            return value
        try:
            return value(getattr(papers, name))
        except Exception as error:
            raise ValueError(
                f"The function that varies {name} fails at the papers' value {describe(getattr(papers, name))}: "
                f"{describe_error(error)}."
            ) from error

    return [level(value) for value in values]
