"""Parse the text of a task: "Ant-v5", or with arguments, "Ant-v5(ctrl_cost_weight=0.1, xml_file='./my.xml')".

Values are Python literals, and inf. `canonical` gives the one spelling that runs are named by.
"""

import ast
import math
from typing import Any, NamedTuple

EXAMPLE = "'Ant-v5(ctrl_cost_weight=0.1)'"
LITERALS = (bool, int, float, str, type(None))


class Call(NamedTuple):
    """The parts of a task's text."""

    name: str
    """Gymnasium id."""
    arguments: dict[str, Any]
    """Arguments of `gymnasium.make` by name."""


def parse_task(task: str) -> Call:
    """Parse a task's text without executing any of it.

    Raises:
        ValueError: The text is malformed; the message says how.
    """
    name, bracket, _ = task.partition("(")
    if not bracket:
        return Call(task, {})
    try:
        call = ast.parse(f"_{task[len(name) :]}", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        message = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ValueError(f"The task {task!r} is malformed ({message}); write it like {EXAMPLE}.") from None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise ValueError(f"The task {task!r} has text after its arguments; write it like {EXAMPLE}.")
    unnamed = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg is None)]
    if unnamed:
        value = ast.unparse(unnamed[0])
        raise ValueError(f"The task {task!r} has the argument {value} without a name; write it like {EXAMPLE}.")
    names = [str(keyword.arg) for keyword in call.keywords]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"The task {task!r} has {twice[0]} twice; write it like {EXAMPLE}.")
    arguments = {str(keyword.arg): _value(task, str(keyword.arg), keyword.value) for keyword in call.keywords}
    return Call(name.strip(), arguments)


def canonical(task: str) -> str:
    """Return the one spelling of a task: arguments sorted by name, values by their repr.

    A malformed text is returned unchanged, for `task_named` to refuse.
    """
    try:
        name, arguments = parse_task(task)
    except ValueError:
        return task
    written = ", ".join(f"{key}={arguments[key]!r}" for key in sorted(arguments))
    return f"{name}({written})" if written else name


def _value(task: str, name: str, node: ast.expr) -> Any:
    try:
        value = ast.literal_eval(_Infinity().visit(node))
        plain = _is_plain(value)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        plain = False
    if not plain:
        raise ValueError(
            f"The task {task!r} gives {name} a value that is not a literal; use numbers, strings, True, False, None, "
            "and tuples, lists and dictionaries of them."
        )
    return value


def _is_plain(value: object) -> bool:
    """Return whether a value always has the same repr; sets, whose order is arbitrary, have not."""
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, [*value, *value.values()]))
    return isinstance(value, LITERALS)


class _Infinity(ast.NodeTransformer):
    """Replaces the name inf, which is Python's repr of infinity, by its value."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.copy_location(ast.Constant(math.inf), node) if node.id == "inf" else node
