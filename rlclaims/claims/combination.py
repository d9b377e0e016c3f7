"""Several comparisons as one judgement: all of them hold, or at least one does."""

from dataclasses import dataclass
from typing import Any, Literal

from rlclaims.claims.comparison import Comparison
from rlclaims.claims.evidence import ClaimError, Evidence, current_terms, replace_in_record
from rlclaims.claims.judging_terms import JudgingTerms
from rlclaims.stats.verdict import Reason, Verdict


@dataclass(frozen=True, eq=False)
class Combination(Evidence):
    """Several sentences joined by "and" or by "or".

    "All" holds exactly if each part does. Supporting it takes the support of every part, at the full error rate each
    (intersection-union), while any part may refute it and so has a share of the error rate. For "any" it is the other
    way round. Each part has its own looks and verdict.
    """

    operator: Literal["all", "any"]
    parts: tuple[Evidence, ...]

    @property
    def verdict(self) -> Verdict:  # noqa: D102
        of_one, of_every = Verdict.REFUTED, Verdict.SUPPORTED
        if self.operator == "any":
            of_one, of_every = of_every, of_one
        verdicts = [part.verdict for part in self.parts]
        if of_one in verdicts:
            return of_one
        return of_every if set(verdicts) == {of_every} else Verdict.INCONCLUSIVE

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

    def judge_on(self, terms: JudgingTerms) -> "Combination":  # noqa: D102
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
    """Join the parts, each judged on its share of the terms."""
    share = terms.split(refute=len(parts)) if operator == "all" else terms.split(support=len(parts))
    return Combination(operator, tuple(part.judge_on(share) for part in parts))


def all_of(*sentences: Evidence) -> Evidence:
    """Judge that all of the given comparisons hold, as one judgement.

    Raises:
        ClaimError: none are given, or one is not a comparison.
    """
    return _joined("all", sentences)


def any_of(*sentences: Evidence) -> Evidence:
    """Judge that at least one of the given comparisons holds, as one judgement.

    To claim that the largest of some quantities exceeds the largest of others, no estimate of a maximum is needed:
    `any_of(*(all_of(*(a > b for b in others)) for a in some))`.

    Raises:
        ClaimError: none are given, or one is not a comparison.
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
            f"The margin {terms.margin:g} applies to each part of {operator}_of, which joins ratios and others: it "
            "would be a factor for some and a distance for others. Write separate claims, each with its own margin."
        )
    joined = combined(operator, sentences, terms)
    replace_in_record(sentences, joined)
    return joined
