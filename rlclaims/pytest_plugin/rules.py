"""Rules that claims and theorems must follow, checked after collection and before training."""

import ast
import inspect
import sys
import textwrap
import unittest
from collections.abc import Callable, Iterable

import pytest
from _pytest.python import get_direct_param_fixture_func

from rlclaims.claims.declaration import Claim
from rlclaims.pytest_plugin.project import unknown
from rlclaims.pytest_plugin.session import ClaimSession, claim_of
from rlclaims.pytest_plugin.theorems import check_theorem, theorem_of


def check_claims(session: ClaimSession, items: Iterable[pytest.Item]) -> None:
    """Check that all claims and theorems follow the rules.

    Raises:
        pytest.UsageError: Python skips asserts, two claims or theorems share an id, one is declared below hypothesis's
            given, or one breaks another rule.
    """
    if sys.flags.optimize:
        raise pytest.UsageError(
            "Claims and theorems are asserts, which python -O and PYTHONOPTIMIZE remove: run pytest without them."
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
                f"{item.nodeid} has @{kind} below hypothesis's @given, which hides it: put @{kind} above @given."
            )


def _check_claim(session: ClaimSession, item: pytest.Function, declared: Claim) -> None:
    if item.function.__module__ != item.module.__name__:
        raise pytest.UsageError(
            f"The claim {declared.id!r} is defined in {item.function.__module__} and also collected from "
            f"{item.path.name}: a claim is judged only in the file that defines it, with the family of that file."
        )
    _check_assertions(item.function, declared)
    if item.cls is not None and issubclass(item.cls, unittest.TestCase):
        raise pytest.UsageError(
            f"The claim {declared.id!r} is in a unittest.TestCase, which cannot use runs; use a plain function."
        )
    if item.get_closest_marker("xfail") is not None:
        raise pytest.UsageError(
            f"The claim {declared.id!r} is marked xfail; use expected='refuted' with its evidence instead."
        )
    session.pilot(item)  # raises for an invalid pilots.json
    needs = session.requests_of(item).keys() | session.baselines_of(item)
    for name in item._fixtureinfo.argnames:
        if name not in needs and not _is_plain_parameter(item, name):
            raise pytest.UsageError(
                f"The claim {declared.id!r} takes {name!r}, and a claim can take only runs "
                "(fixtures made by rlclaims.runs), baselines and parameters."
            )


def skip_those_of_other_profiles(session: ClaimSession, config: pytest.Config, items: Iterable[pytest.Item]) -> None:
    """Skip claims of other profiles; a profile without evidence, such as smoke, runs all of them.

    Claims that name profiles get these as marks, so that `-m paper` selects those of `paper`.

    Raises:
        pytest.UsageError: a claim names a profile that does not exist, so that it would never be judged.
    """
    profile = session.profile
    known = session.asked.profiles
    for name in known:
        config.addinivalue_line("markers", f"{name}: claims that name the profile {name}")
    for item in items:
        declared = claim_of(item)
        if declared is None or declared.profiles is None:
            continue
        for name in declared.profiles:
            if name not in known:
                raise pytest.UsageError(unknown(f"The claim {declared.id!r} names the profile", name, known))
        for name in declared.profiles:
            item.add_marker(name)
        if profile.name in declared.profiles or not profile.evidence:
            continue
        names = ", ".join(declared.profiles)
        item.add_marker(pytest.mark.skip(reason=f"a claim of --claims-profile {names}"))


def _is_plain_parameter(item: pytest.Function, name: str) -> bool:
    """Return whether an argument is a value of parametrize, unchanged by a fixture."""
    definitions = item._fixtureinfo.name2fixturedefs.get(name, ())
    made = any(definition.func is not get_direct_param_fixture_func for definition in definitions[-1:])
    return hasattr(item, "callspec") and name in item.callspec.params and not made


def _check_assertions(function: Callable[..., object], declared: Claim) -> None:
    """Refuse assertions of several comparisons, some of which Python may skip and so hide from the record.

    Raises:
        pytest.UsageError: an assertion joins comparisons by and, or, a chain, all() or any().
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):  # the source is not available
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
