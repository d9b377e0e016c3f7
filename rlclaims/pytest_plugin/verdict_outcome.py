"""From how a claim ended to what pytest reports.

The record decides, not the exception: the function must have ended as the one verdict it recorded says it should.
"""

from dataclasses import dataclass

from _pytest.outcomes import Skipped  # pytest.skip.Exception, which type checkers do not know

from rlclaims.claims.declaration import Claim
from rlclaims.claims.evidence import ClaimError, Evidence, Recorder
from rlclaims.stats.verdict import Verdict


@dataclass(frozen=True)
class Judged:
    """A claim and the evidence it ended on."""

    declared: Claim
    name: str
    """The claim's id, with its parameters."""
    evidence: Evidence

    @property
    def as_expected(self) -> bool:
        """Whether the verdict is the one that the claim ships with."""
        return str(self.evidence.verdict) == self.declared.expected

    def message(self) -> str:
        """Everything a reader needs to see why the claim ended as it did."""
        return (
            f'{self.name}: "{self.declared.says}"\n'
            f"  stands in  {self.declared.source}\n"
            f"  means      {self.declared.means}\n"
            f"  verdict    {self.evidence}"
        ) + (f"\n  expected   {self.declared.expected}: {self.declared.evidence}" if self.declared.evidence else "")


class ContradictedError(AssertionError):
    """The seeds refute the claim, or support one that ships as refuted."""


class UndecidedError(Skipped):
    """The seeds leave the claim open; pytest's debugger and its like have nothing to stop at."""


def settle(declared: Claim, name: str, recorder: Recorder, raised: BaseException | None) -> Judged:
    """The claim's verdict, once its function has ended.

    Raises:
        ClaimError: the function judged nothing, judged twice, or ended against its evidence.
        BaseException: whatever the function raised that is no failed assertion.
    """
    if raised is not None and not isinstance(raised, AssertionError):
        if recorder.evidence and not isinstance(raised, Exception):  # pytest's own ways to end a test
            raise ClaimError(f"The claim {name!r} was given up after it had judged; let its evidence stand.") from None
        raise raised
    if not recorder.evidence:
        raise ClaimError(f"The claim {name!r} judged nothing: assert one comparison of its runs.") from raised
    if not recorder.asserted:
        raise ClaimError(f"The claim {name!r} compares and does not assert: write assert before the comparison.")
    if len(recorder.evidence) > 1:
        raise ClaimError(f"The claim {name!r} judged {len(recorder.evidence)} times: a claim makes one judgement.")
    evidence = recorder.evidence[0]
    if not any(asserted is evidence for asserted in recorder.asserted):
        raise ClaimError(f"The claim {name!r} asserts a part of what it joined: assert the joined comparison itself.")
    verdict = recorder.verdict(evidence)
    if verdict is Verdict.REFUTED and raised is None:
        raise ClaimError(
            f"The claim {name!r} ended well though its evidence is refuted: assert the comparison itself, neither "
            "negated nor or-ed, and let its failure through."
        )
    if verdict is not Verdict.REFUTED and raised is not None:
        raise ClaimError(
            f"The claim {name!r} failed though its evidence is {verdict}: assert the comparison itself and "
            "nothing else."
        ) from raised
    return Judged(declared, name, evidence)
