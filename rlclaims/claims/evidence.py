"""What a claim's one comparison yields: a verdict with its numbers, recorded when it is made.

Inside a claim, truth-testing only passes the verdict on: refuted is false, so that `assert` fails, and supported and
inconclusive are true. What counts afterwards is the record. Outside a claim nothing would notice an inconclusive
verdict, so there it raises.
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
    """A claim that is not written as one, in one sentence."""


class InconclusiveError(Exception):
    """Inconclusive evidence was truth-tested where nobody would report it."""


@dataclass
class Recorder:
    """What a claim has judged so far, and the terms it is judged on."""

    terms: JudgingTerms = field(default_factory=JudgingTerms)
    evidence: list["Evidence"] = field(default_factory=list)
    asserted: list["Evidence"] = field(default_factory=list)
    """What was truth-tested."""
    assumed: Verdict | None = None
    """The verdict that everything is taken to have, without being judged, or None."""

    def verdict(self, evidence: "Evidence") -> Verdict:
        """The verdict of a piece of evidence, or the one assumed."""
        return self.assumed or evidence.verdict


_current: ContextVar[Recorder | None] = ContextVar("rlclaims_recorder", default=None)


@contextmanager
def recording(terms: JudgingTerms | None = None, assumed: Verdict | None = None) -> Iterator[Recorder]:
    """Collect the evidence that a claim makes while it runs, judged on the given terms, or as if it had been."""
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
        """Supported, refuted or inconclusive."""

    @property
    @abstractmethod
    def reason(self) -> Reason | None:
        """Why it is inconclusive, or None."""

    @property
    @abstractmethod
    def n(self) -> int:
        """Seeds of each group that the verdict rests on, beside a baseline's."""

    @property
    @abstractmethod
    def comparisons(self) -> tuple["Comparison", ...]:
        """The comparisons it is made of, itself if it is one."""

    @property
    @abstractmethod
    def definition(self) -> tuple[Any, ...]:
        """What is judged, and how: all that must be fixed before the data."""

    @abstractmethod
    def rejudged(self, terms: JudgingTerms) -> "Evidence":
        """The same sentence, judged on other terms."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """As plain data."""

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
    """Let the claim that is running, if any, have judged something."""
    if (recorder := _current.get()) is not None:
        recorder.evidence.append(evidence)


def replace_in_record(parts: tuple[Evidence, ...], whole: Evidence) -> None:
    """Let a judgement stand in the record for those that it joins."""
    if (recorder := _current.get()) is not None:
        recorder.evidence[:] = [e for e in recorder.evidence if not any(e is part for part in parts)]
        recorder.evidence.append(whole)


def current_terms() -> JudgingTerms:
    """The terms of the claim that is running, or those of one look at 5% on either side."""
    recorder = _current.get()
    return JudgingTerms() if recorder is None else recorder.terms
