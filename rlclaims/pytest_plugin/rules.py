"""What a claim or a theorem may not be: refused when they have been collected, before anything is trained."""

import ast
import inspect
import sys
import textwrap
import unittest
from collections.abc import Callable, Iterable

import pytest
from _pytest.python import get_direct_param_fixture_func

from rlclaims.claims.declaration import Claim
from rlclaims.pytest_plugin.session import ClaimSession, claim_of
from rlclaims.pytest_plugin.theorems import check_theorem, theorem_of


def check_claims(session: ClaimSession, items: Iterable[pytest.Item]) -> None:
    """Refuse what is not written as a claim, or as a theorem.

    Raises:
        pytest.UsageError: asserts are left out, two claims or theorems share an id, one is declared below hypothesis's
            given, or is not written as it has to be.
    """
    if sys.flags.optimize:
        raise pytest.UsageError(
            "Claims and theorems are asserts, and python -O and PYTHONOPTIMIZE leave asserts out: run pytest without "
            "them."
        )
    seen: dict[str, tuple[str, str]] = {}
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        declared, theorem = claim_of(item), theorem_of(item)
        if declared is not None:
            _check_id(seen, "claim", declared.id, item)
            _check_claim(session, item, declared)
        elif theorem is not None:
            _check_id(seen, "theorem", theorem.id, item)
            check_theorem(session, item, theorem)
        _check_not_hidden(item)


def _check_id(seen: dict[str, tuple[str, str]], kind: str, name: str, item: pytest.Function) -> None:
    place = item.nodeid.partition("[")[0]
    other, where = seen.setdefault(name, (kind, place))
    if where != place:
        both = f"Two {kind}s" if kind == other else "A claim and a theorem"
        raise pytest.UsageError(f"{both} have the id {name!r}: {where} and {place}.")


def _check_not_hidden(item: pytest.Function) -> None:
    within = getattr(getattr(item.function, "hypothesis", None), "inner_test", None)
    for kind in ("claim", "theorem"):
        if hasattr(within, f"__rlclaims_{kind}__"):
            raise pytest.UsageError(
                f"{item.nodeid} is declared to be a {kind} below hypothesis's given, which hides it: put @{kind} above."
            )


def _check_claim(session: ClaimSession, item: pytest.Function, declared: Claim) -> None:
    if item.function.__module__ != item.module.__name__:
        raise pytest.UsageError(
            f"The claim {declared.id!r} is written in {item.function.__module__} and collected from "
            f"{item.path.name} too: a claim is judged in the file it is written in, with the family of that file."
        )
    _check_assertions(item.function, declared)
    if item.cls is not None and issubclass(item.cls, unittest.TestCase):
        raise pytest.UsageError(
            f"The claim {declared.id!r} is in a unittest.TestCase, which takes no runs; use a plain function."
        )
    if item.get_closest_marker("xfail") is not None:
        raise pytest.UsageError(
            f"The claim {declared.id!r} is marked xfail; say expected='refuted' and on what evidence instead."
        )
    session.pilot(item)  # refuses a file that is none
    needs = session.requests_of(item).keys() | session.baselines_of(item)
    for name in item._fixtureinfo.argnames:
        if name not in needs and not _is_plain_parameter(item, name):
            raise pytest.UsageError(
                f"The claim {declared.id!r} takes {name!r}, and a claim takes only runs "
                "(fixtures made by rlclaims.runs), baselines and parameters."
            )


def skip_those_of_other_profiles(session: ClaimSession, config: pytest.Config, items: Iterable[pytest.Item]) -> None:
    """Skip claims that are not of the session's profile; where nothing is evidence all are run, to prove the wiring.

    Claims of some profiles only have these as marks, so that `-m paper` selects those of `paper`.

    Raises:
        pytest.UsageError: a claim names a profile that there is not, in which it would never be judged.
    """
    profile, known = session.profile, session.asked.profiles
    for name in known:
        config.addinivalue_line("markers", f"{name}: claims of the profile {name}, of those that name profiles")
    for item in items:
        declared = claim_of(item)
        if declared is None or declared.profiles is None:
            continue
        if unknown := [name for name in declared.profiles if name not in known]:
            raise pytest.UsageError(
                f"The claim {declared.id!r} is of the profile {unknown[0]!r}, and there are {', '.join(known)}."
            )
        for name in declared.profiles:
            item.add_marker(name)
        if profile.name in declared.profiles or not profile.evidence:
            continue
        names = ", ".join(declared.profiles)
        item.add_marker(pytest.mark.skip(reason=f"a claim of --claims-profile {names}"))


def _is_plain_parameter(item: pytest.Function, name: str) -> bool:
    """Whether an argument is a value that parametrize gives, not one that a fixture makes of it."""
    definitions = item._fixtureinfo.name2fixturedefs.get(name, ())
    made = any(definition.func is not get_direct_param_fixture_func for definition in definitions[-1:])
    return hasattr(item, "callspec") and name in item.callspec.params and not made


def _check_assertions(function: Callable[..., object], declared: Claim) -> None:
    """Refuse what Python itself decides half of, and so hides from the record.

    Raises:
        pytest.UsageError: an assertion joins comparisons with and, or, a chain, all() or any().
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):  # written where no source is kept
        return
    for statement in ast.walk(tree):
        if not isinstance(statement, ast.Assert):
            continue
        node = statement.test
        while isinstance(node, ast.UnaryOp):
            node = node.operand
        chained = isinstance(node, ast.Compare) and len(node.ops) > 1
        called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        if chained or called in ("all", "any") or isinstance(node, ast.BoolOp):
            raise pytest.UsageError(
                f"The claim {declared.id!r} asserts several comparisons at once, of which Python may skip some: "
                "join them with rlclaims.all_of(...) or any_of(...), or use .within(low, high)."
            )
