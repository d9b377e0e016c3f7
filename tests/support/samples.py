"""Samples with made-up numbers, of a quantity that is named by a text."""

from rlclaims.claims.quantity import named
from rlclaims.claims.sample import Sample
from rlclaims.claims.scope import Scope

STEPS = 81_920


def sample(name, values, seeds, task="a task", steps=STEPS, **changes):
    """Return numbers, one per seed, of a quantity of that name."""
    seeds = tuple(seeds)
    return Sample(named(name), tuple(map(float, values)), seeds, Scope.of(task, steps, seeds), **changes)
