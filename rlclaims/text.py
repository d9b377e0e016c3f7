"""Describe values, errors and files in messages: on one line, short enough to read, for any input."""

import json
import reprlib
from pathlib import Path
from typing import Any


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxstring = self.maxother = self.maxlong = 200
        self.maxtuple = self.maxlist = self.maxdict = self.maxset = self.maxfrozenset = 12

    def repr_int(self, x: int, level: int) -> str:
        # Python raises ValueError for integers with too many decimal digits.
        return super().repr_int(x, level) if x.bit_length() < 10_000 else f"a number of {x.bit_length():,} bits"


_SHORT = _Short()


def describe(value: object) -> str:
    """Return a value's repr on one line, shortened if long; if repr fails, the value's type."""
    return _one_line(_SHORT.repr(value))


def describe_error(error: BaseException) -> str:
    """Return an error's message on one line, without a final full stop; for an error without a message, its type."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    try:
        message = _one_line(str(error)).rstrip(".")
    except Exception:
        message = ""
    is_self_explanatory = isinstance(error, OSError | ImportError | SyntaxError | ValueError)
    if message and is_self_explanatory:
        return message[:500]
    return f"{type(error).__name__}: {message[:500]}".removesuffix(": ")


def describe_bad_file(error: BaseException) -> str:
    """Return what is wrong with a file, given the error that reading or parsing it raised; as in `describe_error`."""
    match error:
        case KeyError():
            return f"it has no {describe(error.args[0])}"
        case TypeError() | AttributeError() | IndexError() | OverflowError():
            return "a part of it has the wrong type"
        case ValueError() if "int_max_str_digits" in str(error):
            return "a number in it is too long"
        case UnicodeError():
            return "it is not text"
    return describe_error(error)


def read_json(path: Path) -> Any:
    """Return the contents of a JSON file.

    Raises:
        OSError, ValueError: The file cannot be read, or is not valid JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError(describe_error(error)) from None


def printable(text: str) -> str:
    """Return a text with all unprintable characters replaced, so that it cannot move a terminal's cursor.

    Newlines are kept.
    """
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))
