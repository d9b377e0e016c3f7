"""Theorems under pytest: their rules, outcomes and results.

A theorem is a test whose outcome is compared with the expected one; it uses no runs and no share of a family.
Hypothesis is not imported: all that is needed are attributes of the functions that it wraps.
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
    """A theorem and the outcome of its examples."""

    declared: Theorem
    name: str
    """The theorem's id, with its parameters."""
    verdict: Literal["supported", "refuted"]
    examples: int | None
    """Number of examples for which it held; None if it is refuted, or does not use hypothesis."""
    counterexample: str | None
    """The failure and its example, as hypothesis reports them; None if the theorem is supported."""

    @property
    def as_expected(self) -> bool:
        """True if the verdict is the expected one."""
        return self.verdict == self.declared.expected

    def message(self) -> str:
        """Return a full account of the theorem and its verdict."""
        verdict = (
            "supported, but expected to be refuted: its counterexample no longer fails"
            if self.counterexample is None
            else "refuted\n    " + self.counterexample.replace("\n", "\n    ")
        )
        return (
            f'{self.name}: "{self.declared.says}"\n'
            f"  source     {self.declared.source}\n"
            f"  means      {self.declared.means}\n"
            f"  verdict    {verdict}"
        ) + (f"\n  expected   refuted: {self.declared.evidence}" if self.declared.evidence else "")


def theorem_of(item: pytest.Item) -> Theorem | None:
    """Return the theorem that an item declares, or None."""
    declared = getattr(getattr(item, "function", None), "__rlclaims_theorem__", None)
    return declared if isinstance(declared, Theorem) else None


def theorem_name(item: pytest.Item) -> str:
    """Return a theorem's id, with its parameters."""
    declared = theorem_of(item)
    assert declared is not None
    return with_parameters(declared.id, item)


def check_theorem(session: ClaimSession, item: pytest.Function, declared: Theorem) -> None:
    """Check that a theorem follows the rules.

    Raises:
        pytest.UsageError: it takes runs, is in a unittest.TestCase, or is marked xfail.
    """
    for runs in session.requests_of(item):
        raise pytest.UsageError(
            f"The theorem {declared.id!r} takes the runs {runs!r}, and a theorem cannot use runs: declare a claim "
            "instead."
        )
    if item.cls is not None and issubclass(item.cls, unittest.TestCase):
        raise pytest.UsageError(f"The theorem {declared.id!r} is in a unittest.TestCase; use a plain function.")
    # An example marked xfail fails the test when it holds, which would count as a refutation.
    examples = getattr(item.function, "hypothesis_explicit_examples", ())
    if item.get_closest_marker("xfail") is not None or any(getattr(e, "raises", None) is not None for e in examples):
        raise pytest.UsageError(
            f"The theorem {declared.id!r} or an example of it is marked xfail; use expected='refuted' with its "
            "evidence instead."
        )


def judge(item: pytest.Function) -> Generator[None, object, object]:
    """Let pytest call a theorem's function, and judge the theorem by the outcome.

    Raises:
        ContradictedError: it is supported, but expected to be refuted.
        Exception: the exception that the function raised, unless it is the expected refutation.
    """
    declared, name = theorem_of(item), theorem_name(item)
    assert declared is not None
    item.stash[JUDGED] = None  # an earlier attempt may have left a result
    with _counted(item.function) as examples:
        try:
            result = yield
        except Exception as error:
            failures = _failures(error)
            if not all(isinstance(failure, AssertionError) for failure in failures):
                raise
            counterexample = "\n".join(map(_describe_failure, failures))
            tried = item.stash[JUDGED] = Tried(declared, name, "refuted", None, counterexample)
            if tried.as_expected:
                return None
            raise
    tried = item.stash[JUDGED] = Tried(declared, name, "supported", examples(), None)
    if not tried.as_expected:
        raise ContradictedError(tried.message())
    return result


@contextmanager
def _counted(function: Any) -> Iterator[Callable[[], int | None]]:
    """Yield a function that returns the number of examples that passed; None without hypothesis."""
    hypothesis = getattr(function, "hypothesis", None)
    count = 0
    inner = getattr(hypothesis, "inner_test", None)  # which hypothesis lets test runners replace
    if hypothesis is None or inner is None:
        yield lambda: None
        return

    @wraps(inner)
    def counting(*args: object, **kwargs: object) -> object:
        __tracebackhide__ = True
        nonlocal count
        # An example that fails or that assume() rejects raises.
        result = inner(*args, **kwargs)
        count += 1
        return result

    hypothesis.inner_test = counting
    try:
        yield lambda: count
    finally:
        hypothesis.inner_test = inner


def _failures(error: BaseException) -> list[BaseException]:
    """Return the failures that hypothesis found; several of them are raised as an ExceptionGroup."""
    if type(error) is ExceptionGroup:
        return [failure for part in error.exceptions for failure in _failures(part)]
    return [error]


def _describe_failure(failure: BaseException) -> str:
    """Return a failed assertion and its example as plain text without colours or surrogates."""
    lines = [str(failure), *map(str, getattr(failure, "__notes__", ()))]
    text = COLOUR.sub("", "\n".join(lines)).strip() or "AssertionError"
    return text.encode(errors="backslashreplace").decode()


def explain(report: pytest.TestReport, tried: Tried | None) -> None:
    """Add a refuted theorem's account below pytest's traceback."""
    if tried is not None and tried.verdict == "refuted" and isinstance(report.longrepr, ExceptionRepr):
        report.longrepr.addsection("theorem", tried.message())


def theorem_result(item: pytest.Item, tried: Tried | None) -> Json:
    """Return a theorem's result for the record; its verdict is "error" if it was not judged."""
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
