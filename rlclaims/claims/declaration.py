"""The declaration of a claim: a test function with an id, a source, the sentence, and its operational definition."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from rlclaims.claims.evidence import ClaimError
from rlclaims.claims.judging_terms import Family
from rlclaims.claims.numbers import is_number
from rlclaims.text import describe

TestFunction = TypeVar("TestFunction", bound=Callable[..., None])

Expected = Literal["supported", "refuted"]

SEED_POST = '"Are Deep Policy Gradient Algorithms Truly Policy Gradient Algorithms?", the post series'


@dataclass(frozen=True)
class Source:
    """The place of a sentence in a work."""

    where: str
    """Part, section, figure or footnote."""
    work: str
    """Title and, where there is one, arXiv number."""

    def __str__(self) -> str:
        return f"{self.work}, {self.where}"


def source(where: str, work: str = SEED_POST) -> Source:
    """Return a place in a work, by default in the post that the suite implements."""
    return Source(where, work)


def family(name: str, *, size: int, rate: float | None = None) -> Family:
    """Declare claims, in one file or several, that share the rate at which a build goes red by chance.

    Args:
        name: the same in every file.
        size: shares that the rate is split into on each task of a profile, used or not: one for each claim, and another
            for each that is expected to be refuted. Spare shares keep future claims from changing the verdicts of
            others.
        rate: probability that any claim of the family turns red although its sentence is as it ships; by default the
            profile's.

    Raises:
        ClaimError: an argument is not valid.
    """
    if not isinstance(name, str) or not name.strip():
        raise ClaimError(f"A family needs a name, a text that is not empty, unlike {describe(name)}.")
    if type(size) is not int or not 1 <= size <= 10**9:
        raise ClaimError(f"The family {describe(name)} has a whole number of shares, 1 or more, not {describe(size)}.")
    if rate is not None and (not is_number(rate) or not 0 < rate < 0.5):
        raise ClaimError(f"The family {describe(name)} has an error rate between 0 and .5, not {describe(rate)}.")
    return Family(name, size, None if rate is None else float(rate))


@dataclass(frozen=True)
class Claim:
    """The declaration of a claim."""

    id: str
    """Unique, as "section/sentence"."""
    source: Source
    says: str
    """The sentence, as it is in the source."""
    means: str
    """Its operational definition, written before the data."""
    expected: Expected = "supported"
    """The verdict that the suite ships the claim with; any other decided verdict turns it red."""
    evidence: str | None = None
    """Data that refute a claim which is expected to be refuted; None for others."""
    margin: float | None = None
    """The distance from the bound that starts to matter; a factor above 1 for a ratio."""
    family: Family | None = None
    """The claims it shares an error rate with; None for those of its file."""
    profiles: tuple[str, ...] | None = None
    """Names of the profiles that it is judged in; None for all. It runs in every smoke profile."""

    @property
    def shares(self) -> int:
        """Shares of its family's error rate: one to be refuted, one to be supported against expectation."""
        return 2 if self.expected == "refuted" else 1


def check_description(
    kind: str, name: object, where: object, says: object, means: object, expected: object, evidence: object
) -> None:
    """Refuse a claim or a theorem with a missing part.

    Raises:
        ClaimError: a part is missing.
    """
    for part, text in (("an id", name), ("says=", says), ("means=", means)):
        if not isinstance(text, str) or not text.strip():
            raise ClaimError(f"The {kind} {describe(name)} needs {part}, a text that is not empty.")
    if not isinstance(where, Source) or not all(isinstance(p, str) and p.strip() for p in (where.where, where.work)):
        raise ClaimError(f"The {kind} {describe(name)} needs a source: source('Part III, Trust Regions'), say.")
    if expected not in get_args(Expected):
        raise ClaimError(
            f"The {kind} {describe(name)} is expected to be 'supported' or 'refuted', not {describe(expected)}."
        )
    if (expected == "refuted") != bool(evidence):
        raise ClaimError(f"The {kind} {describe(name)} needs evidence= exactly if it says expected='refuted'.")
    if evidence is not None and (not isinstance(evidence, str) or not evidence.strip()):
        raise ClaimError(f"The {kind} {describe(name)} has its evidence= in words, not {describe(evidence)}.")


def check_function(kind: str, name: str, function: object) -> None:
    """Refuse a function that is not plain, or is declared already.

    Raises:
        ClaimError: the function cannot be declared.
    """
    if not inspect.isfunction(function) or inspect.iscoroutinefunction(function):
        raise ClaimError(f"The {kind} {describe(name)} must be a plain function, neither a class nor async.")
    for other in ("claim", "theorem"):
        if hasattr(function, f"__rlclaims_{other}__"):
            raise ClaimError(
                f"The function of the {kind} {describe(name)} is a {other} already: one function, one sentence."
            )


def claim(
    id: str,  # noqa: A002
    source: Source,
    *,
    says: str,
    means: str,
    expected: Expected = "supported",
    evidence: str | None = None,
    margin: float | None = None,
    family: Family | None = None,
    profiles: Sequence[str] | None = None,
) -> Callable[[TestFunction], TestFunction]:
    """Mark a test function as a claim.

    Args:
        id: unique, as "section/sentence".
        source: where the sentence stands, from `rlclaims.source`.
        says: the sentence itself.
        means: its operational definition, written before the data.
        expected: "refuted" for a sentence that data have turned against; it then passes while it is refuted.
        evidence: those data, in words; only with `expected="refuted"`.
        margin: the distance from the claim's bound that starts to matter, set before the data: in the quantity's units,
            or a factor above 1 for a ratio. Shown next to what the design can detect.
        family: the claims that share a rate of going red by chance, from `rlclaims.family`; by default the file's.
        profiles: the profiles that it is judged in, `["paper"]`, say; by default all. In others it is skipped.

    Raises:
        ClaimError: a part is missing.
    """
    check_description("claim", id, source, says, means, expected, evidence)
    if margin is not None and (not is_number(margin) or not 0 < margin < 1e300):
        raise ClaimError(f"The claim {describe(id)} has a positive number as its margin, not {describe(margin)}.")
    if family is not None and not isinstance(family, Family):
        raise ClaimError(f"The claim {describe(id)} has a family from rlclaims.family, not {family!r}.")
    if profiles is not None and (
        isinstance(profiles, str)
        or not isinstance(profiles, Sequence)
        or not profiles
        or not all(isinstance(name, str) and name for name in profiles)
    ):
        raise ClaimError(
            f"The claim {describe(id)} has a list of profiles' names, such as ['paper'], not {describe(profiles)}."
        )
    distance, budgets = None if margin is None else float(margin), None if profiles is None else tuple(profiles)
    declared = Claim(id, source, says, means, expected, evidence, distance, family, budgets)

    def mark(function: TestFunction) -> TestFunction:
        check_function("claim", id, function)
        function.__rlclaims_claim__ = declared  # type: ignore[attr-defined]
        return function

    return mark
