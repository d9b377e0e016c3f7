"""All measures of an update, by key.

Adding a measure takes one file in this package. Every module here may have a tuple `MEASURES`, and all of them are
collected:

    MEASURES = (Measure("ratio/median", lambda update: update.ratio.median(1).values, "median ratio"),)

From then on every training records `ratio/median/training` and `ratio/median/held_out`, and a claim reads them as
`runs.ratio.median`. Cost estimates, trial runs, figures and the record's schema follow. `register` adds a measure from
outside this package, for trainings in the same process.
"""

import pkgutil
from importlib import import_module

from rlclaims import measures as package
from rlclaims.measures.measure import Floats, Measure
from rlclaims.update import Update

REGISTRY: dict[str, Measure] = {}
"""Measures by key, in the order in which they are recorded."""


def register(measure: Measure) -> Measure:
    """Add a measure to the registry, and return it.

    Raises:
        ValueError: its key is taken.
    """
    if measure.key in REGISTRY:
        raise ValueError(f"There is a measure {measure.key!r} already; choose another key.")
    REGISTRY[measure.key] = measure
    return measure


def measures(update: Update, epsilon: float, *, deployed: bool = False) -> dict[str, Floats]:
    """Return all measures of an update by key, (S,) each.

    Args:
        update: of the parameters alone, or of the policies as deployed.
        epsilon: for the measures that take one.
        deployed: whether to take the measures of policies as deployed, or those of parameters.
    """
    return {key: measure(update, epsilon) for key, measure in REGISTRY.items() if measure.deployed == deployed}


def measure_of_series(name: str) -> Measure | None:
    """Return the measure that a recorded series is of, or None.

    Args:
        name: `ratio/q99/training` of a run, or `clip/ratio/q99/held_out` of its twin updates.
    """
    return REGISTRY.get("/".join(name.split("/")[-3:-1]))


for _module in pkgutil.iter_modules(package.__path__):
    if _module.name != "registry":
        for _measure in getattr(import_module(f"{package.__name__}.{_module.name}"), "MEASURES", ()):
            register(_measure)
