"""Which error rates a claim is judged at: those of its family, whose size no selection of claims changes."""

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from rlclaims.judging.claim import Claim
from rlclaims.judging.terms import Family


@dataclass(frozen=True)
class Declared:
    """A claim where it is declared, whether or not it is selected."""

    claim: Claim
    instances: int
    """How many claims its parameters make of it."""

    @property
    def shares(self) -> int:
        """Shares of its family's error rate that it takes."""
        return self.claim.shares * self.instances


def families(items: Iterable[pytest.Item]) -> dict[str, Family]:
    """The family of each collected claim, by the claim's id.

    Claims that name none are a family with the others of their file. All claims that a file declares count, so items
    can be selected in any way.

    Raises:
        pytest.UsageError: a family is declared in two ways, or its claims take more shares than it has.
    """
    files = {str(item.path): item.module for item in items if isinstance(item, pytest.Function) and item.module}
    declared = {path: list(_declared(module)) for path, module in files.items()}
    found: dict[str, Family] = {}
    named: dict[str, Family] = {}
    taken: dict[str, dict[str, int]] = {}
    for path, claims in declared.items():
        own = [d for d in claims if d.claim.family is None]
        of_file = Family(_name(files[path]), max(1, sum(d.shares for d in own)))
        for d in claims:
            family = d.claim.family or of_file
            if d.claim.family is not None and named.setdefault(family.name, family) != family:
                raise pytest.UsageError(
                    f"The family {family.name!r} is declared with {named[family.name].size} shares at a rate of "
                    f"{named[family.name].rate:g} and with {family.size} at {family.rate:g}; make them one."
                )
            found[d.claim.id] = family
            taken.setdefault(family.name, {})[d.claim.id] = d.shares
    for name, family in named.items():
        if (needed := sum(taken[name].values())) > family.size:
            raise pytest.UsageError(
                f"The family {name!r} has {family.size} shares and its claims take {needed}; raise its size."
            )
    return found


def _declared(module: ModuleType) -> Iterator[Declared]:
    marks = _marks(module)
    for value in vars(module).values():
        if inspect.isclass(value):
            for method in vars(value).values():
                yield from _if_claim(method, [*marks, *_marks(value)])
        else:
            yield from _if_claim(value, marks)


def _if_claim(function: object, marks: list[pytest.Mark]) -> Iterator[Declared]:
    declared = vars(function).get("__rlclaims_claim__") if inspect.isfunction(function) else None
    if isinstance(declared, Claim):
        instances = 1
        for mark in [*marks, *_marks(function)]:
            if mark.name == "parametrize":
                values: Any = mark.args[1] if len(mark.args) > 1 else mark.kwargs.get("argvalues")
                instances *= len(values) if hasattr(values, "__len__") else 1
        yield Declared(declared, instances)


def _marks(owner: object) -> list[pytest.Mark]:
    """The marks of a module, a class or a function; a module may have one alone, and undecorated."""
    marks: Any = getattr(owner, "pytestmark", [])
    listed = marks if isinstance(marks, list) else [marks]
    return [mark.mark if isinstance(mark, pytest.MarkDecorator) else mark for mark in listed]


def _name(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]
