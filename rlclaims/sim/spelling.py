"""How a task is written: "Ant-v5", or with arguments, as a call: "Ant-v5(ctrl_cost_weight=0.1, xml_file='./my.xml')".

Values are Python's literals, and inf. `canonical` is the one spelling that runs are named by.
"""

import ast
import math
from typing import Any, NamedTuple

EXAMPLE = "'Ant-v5(ctrl_cost_weight=0.1)'"
LITERALS = (bool, int, float, str, type(None))


class Call(NamedTuple):
    """A task, taken apart."""

    name: str
    """Gymnasium's id."""
    arguments: dict[str, Any]
    """Of `gymnasium.make`, by name."""


def parsed(task: str) -> Call:
    """What a task's text says; nothing in it is executed.

    Raises:
        ValueError: it is malformed, and how.
    """
    name, bracket, _ = task.partition("(")
    if not bracket:
        return Call(task, {})
    try:
        call = ast.parse(f"_{task[len(name) :]}", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ValueError(f"The task {task!r} is malformed ({said}); one is written as {EXAMPLE}.") from None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise ValueError(f"The task {task!r} goes on after its arguments; one is written as {EXAMPLE}.")
    unnamed = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg is None)]
    if unnamed:
        value = ast.unparse(unnamed[0])
        raise ValueError(f"The task {task!r} has {value} without a name; one is written as {EXAMPLE}.")
    names = [str(keyword.arg) for keyword in call.keywords]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"The task {task!r} has {twice[0]} twice; one is written as {EXAMPLE}.")
    arguments = {str(keyword.arg): _value(task, str(keyword.arg), keyword.value) for keyword in call.keywords}
    return Call(name.strip(), arguments)


def canonical(task: str) -> str:
    """The one spelling of a task: arguments by their names' order, values as Python writes them.

    A text that is malformed stays as it is, for `task_named` to refuse.
    """
    try:
        name, arguments = parsed(task)
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
            f"The task {task!r} gives {name} something that is no literal; numbers, texts, True, False, None, and "
            "tuples, lists and dictionaries of them are."
        )
    return value


def _is_plain(value: object) -> bool:
    """Whether it is written alike whenever it is: sets, whose order is by chance, are not."""
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, [*value, *value.values()]))
    return isinstance(value, LITERALS)


class _Infinity(ast.NodeTransformer):
    """Lets inf be written as Python writes it."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.copy_location(ast.Constant(math.inf), node) if node.id == "inf" else node
