"""A sentence that is true or false without data: no runs, no seeds, no error rate."""

from collections.abc import Callable
from dataclasses import dataclass

from rlclaims.claims.declaration import Expected, Source, TestFunction, check_description, check_function


@dataclass(frozen=True)
class Theorem:
    """The declaration of a theorem."""

    id: str
    """Unique among claims and theorems, as "section/sentence"."""
    source: Source
    says: str
    """The sentence, as it is in the source."""
    means: str
    """The property asserted of every example, its assumptions and the tolerance of rounding."""
    expected: Expected = "supported"
    """The verdict that it ships with; "refuted" for a sentence that an example kept with the test shows to be false."""
    evidence: str | None = None
    """The counterexample in words, for a theorem that is expected to be refuted; None for others."""


def theorem(
    id: str,  # noqa: A002
    source: Source,
    *,
    says: str,
    means: str,
    expected: Expected = "supported",
    evidence: str | None = None,
) -> Callable[[TestFunction], TestFunction]:
    """Mark a property test as a theorem: it holds, or an AssertionError shows a counterexample.

    Put it above hypothesis's `given`. Supported means that no example contradicted it. The docstring has the proof, or
    says that no proof is known.

    Args:
        id: unique, as "section/sentence".
        source: where the sentence stands, from `rlclaims.source`.
        says: the sentence, quoted or, where that is not possible, paraphrased.
        means: what is asserted of every example.
        expected: "refuted" where a counterexample is kept.
        evidence: the counterexample; required with expected="refuted".

    Raises:
        ClaimError: a part is missing or makes no sense.
    """
    check_description("theorem", id, source, says, means, expected, evidence)

    def mark(function: TestFunction) -> TestFunction:
        check_function("theorem", id, function)
        function.__rlclaims_theorem__ = Theorem(id, source, says, means, expected, evidence)  # type: ignore[attr-defined]
        return function

    return mark
