"""Invalid values for every place where input enters, and checks of the answer: one sentence, or acceptance."""

import json
import math
import re
from dataclasses import fields
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import strategies as st

import rlclaims

ALGORITHMS = (
    rlclaims.PPO, rlclaims.PPOM, rlclaims.PPOMAtPPOsRates, rlclaims.PPONoClip, rlclaims.TRPO, rlclaims.TRPOPlus
)  # fmt: skip

# Words that only a traceback, or an error from a lower layer, contains.
LOW_LEVEL = re.compile(
    r"Traceback|RecursionError|MemoryError|object is not|object has no|unsupported operand|not supported between|"
    r"unhashable|ambiguous|int_max_str_digits|NoneType|positional argument|<lambda>|got multiple values"
)


class Unprintable:
    """Value whose repr fails."""

    def __repr__(self):
        raise RuntimeError("no")


class Contrary:
    """Value that cannot be compared."""

    def __eq__(self, other):
        raise RuntimeError("no")

    __hash__ = None


TEXTS = (
    "", " ", "\0", "\n", "PPO", "../..", "/", "a" * 300, "é\nn", "\ud800", "nan", "Hopper-v5 ", "hopper-v5", "Hopper",
    "gymnasium:Hopper-v5", "nowhere:Hopper-v5", ":", "::", "a:b:c", ".", "..", "Hopper-v99", "{}", "{0.__class__}",
    "--", "=", "-1", "%s", "os:getcwd", "sb3:", "~nobody/there", "sb3:PPO", "sb3:DQN", "cleanrl:", "cleanrl:/", ".a:b",
    "rlclaims:PPO",
)  # fmt: skip
NUMBERS = (
    0, -1, 1, 2, 3, 5, 10**6, 10**18, 10**400, -(10**400), 10**5000, 0.0, -0.0, 5e-324, 1e-30, 0.5, 1.0, 2.5, 1e30,
    1.7e308, math.inf, -math.inf, math.nan, np.float64(0.1), np.float32("nan"), np.int64(3), np.bool_(True), 1j,
    Decimal("0.1"), Decimal("NaN"), Fraction(1, 3), True, False,
)  # fmt: skip
THINGS = (
    None, (), (0,), (1,), (64, 64), (math.nan,), (None, None), (1, 2), (1, "a"), [], [1], {}, {"a": 1}, set(), b"x",
    range(3), np.zeros(2), np.array(["a"]), object(), int, rlclaims.PPO, print, Unprintable(), Contrary(), Unprintable,
    ((), ()), ("x" * 3000,), (10**18, 64), (True,), (64.0,), Ellipsis,
)  # fmt: skip


def deep(n, leaf=()):
    for _ in range(n):
        leaf = (leaf,)
    return leaf


texts = st.one_of(st.sampled_from(TEXTS), st.text(max_size=20))
numbers = st.one_of(st.sampled_from(NUMBERS), st.integers(), st.floats())
rubbish = st.one_of(texts, numbers, st.sampled_from(THINGS), st.sampled_from([deep(5), deep(3000)]))
plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(TEXTS[:-8])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
"""Strategy for values that JSON and TOML can express."""


def changes_of(algorithm):
    """Return a strategy for settings of an algorithm: most values are invalid, and some names unknown."""
    names = [field.name for field in fields(algorithm)]
    name = st.one_of(*[st.sampled_from(names)] * 5, st.sampled_from(["learnin_rate", "é", ""]))
    usual = st.sampled_from([64, 2, 1, 0.1, 1e-3, 10.0, (8,), (), None, True, False, "xavier", "relu", "rewards"])
    return st.dictionaries(name, st.one_of(rubbish, usual), min_size=1, max_size=2)


def check_sentence(text, *, parts=1):
    """Check that a message is one printable line that ends in a full stop.

    A message about several mistakes may have up to `parts` such lines.
    """
    lines = text.split("\n")
    assert len(lines) <= parts, f"not one line: {text!r}"
    for line in lines:
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", line), f"not printable: {line!r}"
        assert re.search(r"[.?!]$|[.?!] \([^()]*( of .*)?\)$", line), f"no full stop: {line!r}"
        assert len(line) < 2000, f"too long: {line[:200]!r}"
        assert not LOW_LEVEL.search(line), f"from a lower layer: {line!r}"


def outcome(call, refusal):
    """Return "accepted" if the call succeeds, or "refused" if it raises the refusal with a sentence."""
    try:
        call()
    except refusal as error:
        check_sentence(str(error))
        return "refused"
    return "accepted"


class FakeItem(pytest.Function):
    nodeid = "test_it.py::test_it"
    __hash__ = object.__hash__


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))


def item_taking(fixtures):
    """Return a pytest item that takes the given fixtures and belongs to no file."""
    item = object.__new__(FakeItem)
    definitions = {name: [SimpleNamespace(func=fixture._get_wrapped_function())] for name, fixture in fixtures.items()}
    item.stash = pytest.Stash()
    item._fixtureinfo = SimpleNamespace(name2fixturedefs=definitions, argnames=tuple(fixtures))
    return item


def mutated(draw, document):
    """Return a copy of a JSON document with one to three entries replaced or deleted."""
    document = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 3))):
        where = document
        while isinstance(where, dict | list) and where:
            keys = sorted(where) if isinstance(where, dict) else list(range(len(where)))
            key = draw(st.sampled_from(keys))
            inner = where[key]
            if not isinstance(inner, dict | list) or not inner or draw(st.integers(0, 3)) == 0:
                if draw(st.booleans()):
                    where[key] = draw(plain)
                else:
                    del where[key]
                break
            where = inner
        else:
            return draw(plain)
    return document
