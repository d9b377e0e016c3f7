"""Two-level factorial designs: the combinations of factors to try, and the effects that these alias."""

from collections.abc import Sequence
from itertools import combinations, product
from math import prod

Combination = frozenset[str]
"""Factors that are at their second level."""

GENERATORS: dict[int, tuple[str, ...]] = {
    0: (),
    1: (),
    2: (),
    3: (),
    4: ("ABC",),
    5: ("ABCD",),
    6: ("ABC", "BCD"),
    7: ("ABC", "BCD", "ACD"),
    8: ("BCD", "ACD", "ABC", "ABD"),
    9: ("BCDE", "ACDE", "ABDE", "ABCE"),
}
"""Generators by the number of factors: the products of the first factors, A, B, ..., that the last ones equal.

Up to three factors, all combinations are tried. From four on, the designs are the fractions of resolution IV or V with
the fewest combinations (Box, Hunter and Hunter, "Statistics for Experimenters", table of 2^(k-p) designs): no main
effect is aliased with another, nor with a two-factor interaction. Those of resolution IV, all but that of five
factors, alias main effects with three-factor interactions.
"""


def two_level_design(factors: Sequence[str], words: Sequence[str] | None = None) -> tuple[Combination, ...]:
    """Return the combinations of factors to try, among them the one with every factor at its first level.

    Args:
        factors: names, at most nine.
        words: generators to use instead of those in `GENERATORS`, in the same form.

    Raises:
        ValueError: there are more than nine factors.
    """
    if len(factors) not in GENERATORS:
        raise ValueError(f"A two-level design has at most {max(GENERATORS)} factors, not {len(factors)}.")
    words = GENERATORS[len(factors)] if words is None else words
    free = len(factors) - len(words)
    combinations_tried = []
    for signs in product((-1, 1), repeat=free):
        # Negating the factors before the product, and the product after it, gives -1 where all factors are at -1.
        generated = (-prod(-signs[ord(letter) - ord("A")] for letter in word) for word in words)
        levels = (*signs, *generated)
        combinations_tried.append(frozenset(f for f, level in zip(factors, levels, strict=True) if level == 1))
    return tuple(combinations_tried)


def aliases(factors: Sequence[str], tried: Sequence[Combination]) -> list[tuple[str, ...]]:
    """Return main effects "a" and interactions "a x b", grouped by those that share one estimate, up to its sign."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for effect in [(factor,) for factor in factors] + list(combinations(factors, 2)):
        column = [prod(1 if factor in combination else -1 for factor in effect) for combination in tried]
        groups.setdefault(tuple(column[0] * sign for sign in column), []).append(" x ".join(effect))
    return [tuple(group) for group in groups.values()]
