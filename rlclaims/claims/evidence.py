"""Evidence: a verdict with its numbers, which the running claim records when a comparison is made.

Inside a claim, truth-testing only passes the verdict on: refuted is false, so that `assert` fails, and supported and
inconclusive are true. What counts afterwards is the record. Outside a claim nothing would notice an inconclusive
verdict, so truth-testing it raises there.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from rlclaims.claims.judging_terms import JudgingTerms
from rlclaims.stats.verdict import Reason, Verdict

if TYPE_CHECKING:
    from rlclaims.claims.comparison import Comparison


class ClaimError(Exception):
    """A claim that is not written correctly, in one sentence."""


class InconclusiveError(Exception):
    """Inconclusive evidence was truth-tested where nobody would report it."""


@dataclass
class Recorder:
    """The record of a running claim: what it has judged so far, and on which terms."""

    terms: JudgingTerms = field(default_factory=JudgingTerms)
    evidence: list["Evidence"] = field(default_factory=list)
    asserted: list["Evidence"] = field(default_factory=list)
    """Evidence that was truth-tested."""
    assumed: Verdict | None = None
    """The verdict that all evidence is taken to have, unjudged; None to judge it."""

    def verdict(self, evidence: "Evidence") -> Verdict:
        """Return the verdict of a piece of evidence, or the assumed one."""
        return self.assumed or evidence.verdict


_current: ContextVar[Recorder | None] = ContextVar("rlclaims_recorder", default=None)


@contextmanager
def recording(terms: JudgingTerms | None = None, assumed: Verdict | None = None) -> Iterator[Recorder]:
    """Collect the evidence that a claim makes while it runs.

    Args:
        terms: what the evidence is judged on.
        assumed: a verdict to assume for all evidence, instead of judging it.
    """
    recorder = Recorder(terms or JudgingTerms(), assumed=assumed)
    token = _current.set(recorder)
    try:
        yield recorder
    finally:
        _current.reset(token)


class Evidence(ABC):
    """A judged sentence."""

    @property
    @abstractmethod
    def verdict(self) -> Verdict:
        """The verdict: supported, refuted or inconclusive."""

    @property
    @abstractmethod
    def reason(self) -> Reason | None:
        """The reason why it is inconclusive, or None."""

    @property
    @abstractmethod
    def n(self) -> int:
        """The number of seeds in each group that the verdict rests on, not counting a baseline's."""

    @property
    @abstractmethod
    def comparisons(self) -> tuple["Comparison", ...]:
        """The comparisons that it joins; itself, if it is one."""

    @property
    @abstractmethod
    def definition(self) -> tuple[Any, ...]:
        """Everything about the judgement that must be fixed before the data."""

    @abstractmethod
    def judge_on(self, terms: JudgingTerms) -> "Evidence":
        """Return the same sentence, judged on other terms; it is not recorded."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""

    def __bool__(self) -> bool:
        if (recorder := _current.get()) is not None:
            recorder.asserted.append(self)
            return recorder.verdict(self) is not Verdict.REFUTED
        if self.verdict is Verdict.INCONCLUSIVE:
            raise InconclusiveError(f"Outside a claim, inconclusive evidence is neither true nor false: {self}")
        return self.verdict is not Verdict.REFUTED

    def __eq__(self, other: object) -> NoReturn:
        raise ClaimError("Evidence cannot be compared with ==; assert it as it is.")

    def __hash__(self) -> int:
        return id(self)


def record(evidence: Evidence) -> None:
    """Add evidence to the record of the running claim, if there is one."""
    if (recorder := _current.get()) is not None:
        recorder.evidence.append(evidence)


def replace_in_record(parts: tuple[Evidence, ...], whole: Evidence) -> None:
    """Replace evidence in the record of the running claim by the judgement that joins it."""
    if (recorder := _current.get()) is not None:
        recorder.evidence[:] = [e for e in recorder.evidence if not any(e is part for part in parts)]
        recorder.evidence.append(whole)


def current_terms() -> JudgingTerms:
    """Return the terms of the running claim; outside of one, a single look at 5% on either side."""
    recorder = _current.get()
    return JudgingTerms() if recorder is None else recorder.terms
