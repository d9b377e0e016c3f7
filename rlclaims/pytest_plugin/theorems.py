"""Theorems under pytest: what is refused, how one ended, and what the report holds of it.

A theorem is a test whose outcome follows what it ships as; it takes no runs and no share of a family. Hypothesis is not
imported: what is needed of it hangs on the functions that it wraps.
"""

import re
import unittest
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal

import pytest
from _pytest._code.code import ExceptionRepr

from rlclaims.claims.theorem import Theorem
from rlclaims.pytest_plugin.plugin import JUDGED
from rlclaims.pytest_plugin.results import digest
from rlclaims.pytest_plugin.session import ClaimSession, with_parameters
from rlclaims.pytest_plugin.verdict_outcome import ContradictedError
from rlclaims.report.record import Json

COLOUR = re.compile(r"\x1b\[[\d;]*m")


@dataclass(frozen=True)
class Tried:
    """A theorem and what its examples said."""

    declared: Theorem
    name: str
    """The theorem's id, with its parameters."""
    verdict: Literal["supported", "refuted"]
    examples: int | None
    """That it held for; None where it is refuted, or where hypothesis does not try it."""
    counterexample: str | None
    """What failed and on which example, as hypothesis tells it; None where it is supported."""

    @property
    def as_expected(self) -> bool:
        """Whether the verdict is the one that the theorem ships with."""
        return self.verdict == self.declared.expected

    def message(self) -> str:
        """Everything a reader needs to see why the theorem ended as it did."""
        why = (
            "supported, though it ships as refuted: its counterexample is no longer one"
            if self.counterexample is None
            else "refuted\n    " + self.counterexample.replace("\n", "\n    ")
        )
        return (
            f'{self.name}: "{self.declared.says}"\n'
            f"  stands in  {self.declared.source}\n"
            f"  means      {self.declared.means}\n"
            f"  verdict    {why}"
        ) + (f"\n  expected   refuted: {self.declared.evidence}" if self.declared.evidence else "")


def theorem_of(item: pytest.Item) -> Theorem | None:
    """What an item declares as a theorem, or None."""
    declared = getattr(getattr(item, "function", None), "__rlclaims_theorem__", None)
    return declared if isinstance(declared, Theorem) else None


def theorem_name(item: pytest.Item) -> str:
    """A theorem's id, with its parameters."""
    declared = theorem_of(item)
    assert declared is not None
    return with_parameters(declared.id, item)


def check_theorem(session: ClaimSession, item: pytest.Function, declared: Theorem) -> None:
    """Refuse what is not written as a theorem.

    Raises:
        pytest.UsageError: it takes runs, pytest would not judge it, or it is expected to fail by a mark.
    """
    for runs in session.requests_of(item):
        raise pytest.UsageError(
            f"The theorem {declared.id!r} takes the runs {runs!r}, and a theorem takes none: a sentence about runs is "
            "a claim."
        )
    if item.cls is not None and issubclass(item.cls, unittest.TestCase):
        raise pytest.UsageError(f"The theorem {declared.id!r} is in a unittest.TestCase; use a plain function.")
    # An example that is marked so fails the test when it holds, which would be taken for a refutation.
    examples = getattr(item.function, "hypothesis_explicit_examples", ())
    if item.get_closest_marker("xfail") is not None or any(getattr(e, "raises", None) is not None for e in examples):
        raise pytest.UsageError(
            f"The theorem {declared.id!r} or an example of it is marked xfail; say expected='refuted' and on what "
            "evidence instead."
        )


def judge(item: pytest.Function) -> Generator[None, object, object]:
    """Let pytest call a theorem's function, and settle it by how that ends.

    Raises:
        ContradictedError: it is supported, and ships as refuted.
        Exception: what the function raised, unless that is the refutation which is expected.
    """
    declared, name = theorem_of(item), theorem_name(item)
    assert declared is not None
    item.stash[JUDGED] = None  # what an earlier try came to
    with _counted(item.function) as examples:
        try:
            result = yield
        except Exception as error:
            failures = _failures(error)
            if not all(isinstance(failure, AssertionError) for failure in failures):
                raise
            tried = item.stash[JUDGED] = Tried(declared, name, "refuted", None, "\n".join(map(_told, failures)))
            if tried.as_expected:
                return None
            raise
    tried = item.stash[JUDGED] = Tried(declared, name, "supported", examples(), None)
    if not tried.as_expected:
        raise ContradictedError(tried.message())
    return result


@contextmanager
def _counted(function: Any) -> Iterator[Callable[[], int | None]]:
    """How many examples a property holds for, of those that hypothesis calls it with; None where it does not."""
    hypothesis, count = getattr(function, "hypothesis", None), 0
    inner = getattr(hypothesis, "inner_test", None)  # which hypothesis lets test runners replace
    if hypothesis is None or inner is None:
        yield lambda: None
        return

    @wraps(inner)
    def counting(*args: object, **kwargs: object) -> object:
        __tracebackhide__ = True
        nonlocal count
        # An example that fails, or that assume() rejects, does not return.
        result = inner(*args, **kwargs)
        count += 1
        return result

    hypothesis.inner_test = counting
    try:
        yield lambda: count
    finally:
        hypothesis.inner_test = inner


def _failures(error: BaseException) -> list[BaseException]:
    """The failures that hypothesis found: several are a group, and what is a kind of group is a failure of its own."""
    if type(error) is ExceptionGroup:
        return [failure for part in error.exceptions for failure in _failures(part)]
    return [error]


def _told(failure: BaseException) -> str:
    """A failed assertion and the example it failed on, as plain text that any file can hold."""
    lines = [str(failure), *map(str, getattr(failure, "__notes__", ()))]
    text = COLOUR.sub("", "\n".join(lines)).strip() or "AssertionError"
    return text.encode(errors="backslashreplace").decode()


def explain(report: pytest.TestReport, tried: Tried | None) -> None:
    """Say what was refuted, below pytest's own account of the failure, which shows where it was."""
    if tried is not None and tried.verdict == "refuted" and isinstance(report.longrepr, ExceptionRepr):
        report.longrepr.addsection("theorem", tried.message())


def theorem_result(item: pytest.Item, tried: Tried | None) -> Json:
    """A theorem and what it came to; an error where it was not tried, or failed otherwise."""
    declared = theorem_of(item)
    assert declared is not None
    return {
        "id": declared.id,
        "name": theorem_name(item),
        "sha256": digest(declared, item.function),  # type: ignore[attr-defined]
        "source": str(declared.source),
        "says": declared.says,
        "means": declared.means,
        "expected": declared.expected,
        "expected_evidence": declared.evidence,
        "test": item.nodeid,
        "verdict": "error" if tried is None else tried.verdict,
        "examples": None if tried is None else tried.examples,
        "counterexample": None if tried is None else tried.counterexample,
    }
