"""Families of claims, which share an error rate; their sizes do not depend on which claims are selected."""

import inspect
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import pytest

from rlclaims.claims.declaration import Claim
from rlclaims.claims.judging_terms import Family
from rlclaims.planning.profile import Profile
from rlclaims.pytest_plugin.session import claim_of


@dataclass(frozen=True)
class Declared:
    """A claim that a file declares, selected or not."""

    claim: Claim
    """The declaration."""
    instances: int
    """Number of claims that its parameters make of it."""

    @property
    def shares(self) -> int:
        """Shares of its family's error rate that it uses."""
        return self.claim.shares * self.instances


def families(items: Iterable[pytest.Item], profile: Profile) -> dict[str, Family]:
    """Return the family of each collected claim, by the claim's id.

    Claims that name no family form one with the others of their file. All claims that a file declares count, on each
    of the profile's tasks, so that selecting items changes no family.

    Raises:
        pytest.UsageError: a family is declared in two ways, its claims use more shares than it has, or the number of
            claims in a file cannot be determined.
    """
    functions = [item for item in items if isinstance(item, pytest.Function) and item.module]
    files = {item.nodeid.partition("::")[0]: item.module for item in functions}
    found: dict[str, Family] = {}
    named: dict[Family, int] = {}
    instances: dict[str, int] = {}
    for path, module in files.items():
        claims: dict[str, Declared] = {}
        for d in _declared(module, module):
            # A base class and its subclass declare the same claim: reserve the larger number of instances.
            n = max(d.instances * len(profile.tasks), claims[d.claim.id].instances if d.claim.id in claims else 0)
            claims[d.claim.id] = replace(d, instances=n)
        instances |= {name: d.instances for name, d in claims.items()}
        of_file = Family(path, max(1, sum(d.shares for d in claims.values() if d.claim.family is None)))
        for name, d in claims.items():
            found[name] = of_file
            if (family := d.claim.family) is not None:
                # Sizes are declared for a single task.
                found[name] = replace(family, size=family.size * len(profile.tasks))
                named[found[name]] = named.get(found[name], 0) + d.shares
    _check_named(named)
    collected = Counter(claim.id for item in functions if (claim := claim_of(item)) is not None)
    for name, n in collected.items():
        if n > instances.get(name, 0):
            raise pytest.UsageError(
                f"The claim {name!r} becomes {n} claims, and its file declares {instances.get(name, 0)}, so the size "
                "of its family would depend on what is selected: give parameters as a list to "
                "pytest.mark.parametrize, and collect each file once."
            )
    return {
        name: family if family.rate else replace(family, rate=profile.family_rate) for name, family in found.items()
    }


def _check_named(named: Mapping[Family, int]) -> None:
    first: dict[str, Family] = {}
    for family, taken in named.items():
        other = first.setdefault(family.name, family)
        if other != family:
            raise pytest.UsageError(
                f"The family {family.name!r} is declared with {other.size} shares at {_rate(other)} and with "
                f"{family.size} at {_rate(family)}: declare it once."
            )
        if taken > family.size:
            raise pytest.UsageError(
                f"The family {family.name!r} has {family.size} shares on the profile's tasks, and its claims use "
                f"{taken}: raise its size."
            )


def _rate(family: Family) -> str:
    return "the profile's rate" if family.rate is None else f"a rate of {family.rate:g}"


def _declared(owner: ModuleType | type, module: ModuleType, marks: Sequence[pytest.Mark] = ()) -> Iterator[Declared]:
    """Yield the claims of a module or of a class in it, including inherited ones and those of nested classes."""
    marks = [*marks, *_marks(owner)]
    for name in dir(owner):
        value = getattr(owner, name, None)
        if inspect.isclass(value) and value.__module__ == module.__name__ and value is not owner:
            if name != "__class__":
                yield from _declared(value, module, marks)
        elif inspect.isfunction(value) and isinstance(declared := vars(value).get("__rlclaims_claim__"), Claim):
            yield Declared(declared, _instances([*marks, *_marks(value)]))


def _instances(marks: Sequence[pytest.Mark]) -> int:
    """Return the number of claims that the parametrize marks make of one."""
    instances = 1
    for mark in marks:
        if mark.name == "parametrize":
            values: Any = mark.args[1] if len(mark.args) > 1 else mark.kwargs.get("argvalues")
            instances *= max(1, len(values)) if hasattr(values, "__len__") else 1  # without values it is one, skipped
    return instances


def _marks(owner: object) -> list[pytest.Mark]:
    """Return the marks of a module, a class or a function; a module's pytestmark may be a single mark."""
    marks: Any = getattr(owner, "pytestmark", [])
    listed = marks if isinstance(marks, list) else [marks]
    return [mark.mark if isinstance(mark, pytest.MarkDecorator) else mark for mark in listed]
