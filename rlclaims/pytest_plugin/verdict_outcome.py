"""The outcome that pytest reports for a claim.

The record decides, not the exception: the function must have ended as the one verdict that it recorded requires.
"""

from dataclasses import dataclass

from _pytest.outcomes import Skipped  # pytest.skip.Exception, which type checkers do not know

from rlclaims.claims.declaration import Claim
from rlclaims.claims.evidence import ClaimError, Evidence, Recorder
from rlclaims.stats.verdict import Verdict


@dataclass(frozen=True)
class Judged:
    """A claim and its evidence."""

    declared: Claim
    name: str
    """The claim's id, with its parameters."""
    evidence: Evidence

    @property
    def as_expected(self) -> bool:
        """True if the verdict is the expected one."""
        return str(self.evidence.verdict) == self.declared.expected

    def message(self) -> str:
        """Return a full account of the claim and its verdict."""
        return (
            f'{self.name}: "{self.declared.says}"\n'
            f"  source     {self.declared.source}\n"
            f"  means      {self.declared.means}\n"
            f"  verdict    {self.evidence}"
        ) + (f"\n  expected   {self.declared.expected}: {self.declared.evidence}" if self.declared.evidence else "")


class ContradictedError(AssertionError):
    """A claim that is refuted, or that is supported although it is expected to be refuted."""


class UndecidedError(Skipped):
    """An inconclusive claim; a kind of skip, so that pytest's debugger does not stop at it."""


def settle(declared: Claim, name: str, recorder: Recorder, raised: BaseException | None) -> Judged:
    """Return a claim with its evidence, after its function has ended.

    Raises:
        ClaimError: the function judged nothing, judged twice, or ended in contradiction to its evidence.
        BaseException: the exception that the function raised, if it is not a failed assertion.
    """
    if raised is not None and not isinstance(raised, AssertionError):
        if recorder.evidence and not isinstance(raised, Exception):  # pytest's own ways to end a test
            raise ClaimError(
                f"The claim {name!r} was skipped or marked xfail after it had judged: let its verdict stand."
            ) from None
        raise raised
    if not recorder.evidence:
        raise ClaimError(f"The claim {name!r} judged nothing: assert one comparison of its runs.") from raised
    if not recorder.asserted:
        raise ClaimError(f"The claim {name!r} compares without asserting: write assert before the comparison.")
    if len(recorder.evidence) > 1:
        raise ClaimError(f"The claim {name!r} judged {len(recorder.evidence)} times: a claim makes one judgement.")
    evidence = recorder.evidence[0]
    if not any(asserted is evidence for asserted in recorder.asserted):
        raise ClaimError(
            f"The claim {name!r} asserts only a part of a joined comparison: assert the joined comparison itself."
        )
    verdict = recorder.verdict(evidence)
    if verdict is Verdict.REFUTED and raised is None:
        raise ClaimError(
            f"The claim {name!r} passed although its evidence is refuted: assert the comparison itself, without not or "
            "or, and do not catch its failure."
        )
    if verdict is not Verdict.REFUTED and raised is not None:
        raise ClaimError(
            f"The claim {name!r} failed although its evidence is {verdict}: assert the comparison itself and nothing "
            "else."
        ) from raised
    return Judged(declared, name, evidence)
