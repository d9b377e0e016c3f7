"""Two-level designs: which combinations of factors to try, and which of their effects these cannot tell apart."""

from collections.abc import Sequence
from itertools import combinations, product
from math import prod

Combination = frozenset[str]
"""The factors at their second level."""

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
"""By the number of factors: the products of the first factors, A, B, ..., that the last ones follow.

Up to three factors all combinations are tried. From four on these are fractions of resolution IV or V with the fewest
combinations (Box, Hunter and Hunter, "Statistics for Experimenters", table of 2^(k-p) designs): no factor's average
effect is mixed up with another's, nor with that of any pair of factors. Those of resolution IV, all but that of five,
mix it up with what three of them do together.
"""


def two_level_design(factors: Sequence[str], words: Sequence[str] | None = None) -> tuple[Combination, ...]:
    """The combinations of factors to try; the one with every factor at its first level is among them.

    Args:
        factors: at most nine.
        words: as in `GENERATORS`, for another fraction than the one there.

    Raises:
        ValueError: there are more factors.
    """
    if len(factors) not in GENERATORS:
        raise ValueError(f"A two-level design has at most {max(GENERATORS)} factors, not {len(factors)}.")
    words = GENERATORS[len(factors)] if words is None else words
    free = len(factors) - len(words)
    combinations_tried = []
    for signs in product((-1, 1), repeat=free):
        # The sign of a product with every factor at its first level, -1, must be that level again.
        made = (-prod(-signs[ord(letter) - ord("A")] for letter in word) for word in words)
        levels = (*signs, *made)
        combinations_tried.append(frozenset(f for f, level in zip(factors, levels, strict=True) if level == 1))
    return tuple(combinations_tried)


def aliases(factors: Sequence[str], tried: Sequence[Combination]) -> list[tuple[str, ...]]:
    """Factors and pairs of them, "a x b", in groups whose average effects have one estimate, up to its sign."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for effect in [(factor,) for factor in factors] + list(combinations(factors, 2)):
        column = [prod(1 if factor in combination else -1 for factor in effect) for combination in tried]
        groups.setdefault(tuple(column[0] * sign for sign in column), []).append(" x ".join(effect))
    return [tuple(group) for group in groups.values()]
