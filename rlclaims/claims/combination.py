"""Several comparisons as one judgement: all of them hold, or any of them does."""

from dataclasses import dataclass
from typing import Any, Literal

from rlclaims.claims.comparison import Comparison
from rlclaims.claims.evidence import ClaimError, Evidence, current_terms, recording, replace_in_record
from rlclaims.claims.judging_terms import JudgingTerms
from rlclaims.stats.verdict import Reason, Verdict


@dataclass(frozen=True, eq=False)
class Combination(Evidence):
    """Several sentences joined by "and" or by "or".

    All of them hold exactly if each does, so supporting it takes the support of every part and nothing extra
    (intersection-union), while each refutation may end it and has its share of the error rate. For any of them it is
    the other way round. Each part has looks and a verdict of its own.
    """

    operator: Literal["all", "any"]
    parts: tuple[Evidence, ...]

    @property
    def verdict(self) -> Verdict:  # noqa: D102
        one, every = Verdict.REFUTED, Verdict.SUPPORTED
        if self.operator == "any":
            one, every = every, one
        verdicts = [part.verdict for part in self.parts]
        if one in verdicts:
            return one
        return every if set(verdicts) == {every} else Verdict.INCONCLUSIVE

    @property
    def reason(self) -> Reason | None:  # noqa: D102
        if self.verdict is not Verdict.INCONCLUSIVE:
            return None
        return next(part.reason for part in self.parts if part.reason is not None)

    @property
    def n(self) -> int:  # noqa: D102
        return max(part.n for part in self.parts)

    @property
    def comparisons(self) -> tuple[Comparison, ...]:  # noqa: D102
        return tuple(comparison for part in self.parts for comparison in part.comparisons)

    @property
    def definition(self) -> tuple[Any, ...]:  # noqa: D102
        return self.operator, *(part.definition for part in self.parts)

    def rejudged(self, terms: JudgingTerms) -> "Combination":  # noqa: D102
        return combined(self.operator, self.parts, terms)

    def __str__(self) -> str:
        parts = "".join(f"\n    {part}" for part in self.parts)
        return f"{self.verdict}: {self.operator} of{parts}"

    def to_json(self) -> dict[str, Any]:  # noqa: D102
        return {
            "operator": self.operator,
            "verdict": str(self.verdict),
            "reason": None if self.reason is None else str(self.reason),
            "n": self.n,
            "parts": [part.to_json() for part in self.parts],
        }


def combined(operator: Literal["all", "any"], parts: tuple[Evidence, ...], terms: JudgingTerms) -> Combination:
    """The parts, each judged on its share of the terms, as one sentence."""
    share = terms.split(refute=len(parts)) if operator == "all" else terms.split(support=len(parts))
    with recording():
        return Combination(operator, tuple(part.rejudged(share) for part in parts))


def all_of(*sentences: Evidence) -> Evidence:
    """One judgement that all of the given comparisons hold.

    Raises:
        ClaimError: there are none, or one is no comparison.
    """
    return _joined("all", sentences)


def any_of(*sentences: Evidence) -> Evidence:
    """One judgement that at least one of the given comparisons holds.

    That the largest of some quantities exceeds the largest of others needs no estimate of a maximum:
    `any_of(*(all_of(*(a > b for b in others)) for a in some))`.

    Raises:
        ClaimError: there are none, or one is no comparison.
    """
    return _joined("any", sentences)


def _joined(operator: Literal["all", "any"], sentences: tuple[Evidence, ...]) -> Evidence:
    if not sentences:
        raise ClaimError(f"{operator}_of needs at least one comparison.")
    for sentence in sentences:
        if not isinstance(sentence, Evidence):
            raise ClaimError(f"{operator}_of joins comparisons of samples, such as x < 1, not {sentence!r}.")
    terms = current_terms()
    scales = {comparison.log_scale for sentence in sentences for comparison in sentence.comparisons}
    if terms.margin is not None and len(scales) > 1:
        raise ClaimError(
            f"The margin {terms.margin:g} is each part's of {operator}_of, which joins ratios and others: for "
            "some it is a factor, for others a distance. Make claims of them, each with a margin of its own."
        )
    joined = combined(operator, sentences, terms)
    replace_in_record(sentences, joined)
    return joined
