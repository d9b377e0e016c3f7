"""A claim: a test function with an id, where its sentence stands, what it says, and what that means here."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from rlclaims.judging.evidence import ClaimError

TestFunction = TypeVar("TestFunction", bound=Callable[..., None])

Expected = Literal["supported", "refuted"]

SEED_POST = '"Are Deep Policy Gradient Algorithms Truly Policy Gradient Algorithms?", the post series'


@dataclass(frozen=True)
class Source:
    """Where a sentence stands."""

    where: str
    """Part, section, figure or footnote."""
    work: str
    """Title and, where there is one, arXiv number."""

    def __str__(self) -> str:
        return f"{self.work}, {self.where}"


def source(where: str, work: str = SEED_POST) -> Source:
    """A place in a work, by default in the post that the suite implements."""
    return Source(where, work)


@dataclass(frozen=True)
class Claim:
    """What a claim declares about itself."""

    id: str
    """Unique, as "section/sentence"."""
    source: Source
    says: str
    """The sentence, as it stands in the source."""
    means: str
    """Its operational definition, written before the data."""
    expected: Expected = "supported"
    """The verdict that the suite ships the claim with; any other decided verdict turns it red."""
    evidence: str | None = None
    """For a claim that is expected to be refuted: the data that say so."""


def claim(
    id: str,  # noqa: A002
    source: Source,
    *,
    says: str,
    means: str,
    expected: Expected = "supported",
    evidence: str | None = None,
) -> Callable[[TestFunction], TestFunction]:
    """Mark a test function as a claim.

    Args:
        id: unique, as "section/sentence".
        source: where the sentence stands, from `rlclaims.source`.
        says: the sentence itself.
        means: its operational definition, written before the data.
        expected: "refuted" for a sentence that data have turned against; it then passes while it is refuted.
        evidence: those data, in words; only with `expected="refuted"`.

    Raises:
        ClaimError: a part is missing.
    """
    for part, text in (("an id", id), ("says=", says), ("means=", means)):
        if not isinstance(text, str) or not text.strip():
            raise ClaimError(f"The claim {id!r} needs {part}, a text that is not empty.")
    if not isinstance(source, Source):
        raise ClaimError(f"The claim {id!r} needs a source: source('Part III, Trust Regions'), say.")
    if expected not in get_args(Expected):
        raise ClaimError(f"The claim {id!r} is expected to be 'supported' or 'refuted', not {expected!r}.")
    if (expected == "refuted") != bool(evidence):
        raise ClaimError(f"The claim {id!r} needs evidence= exactly if it says expected='refuted'.")
    declared = Claim(id, source, says, means, expected, evidence)

    def mark(function: TestFunction) -> TestFunction:
        if not inspect.isfunction(function) or inspect.iscoroutinefunction(function):
            raise ClaimError(f"The claim {id!r} must be a plain function, neither a class nor async.")
        function.__rlclaims_claim__ = declared  # type: ignore[attr-defined]
        return function

    return mark
