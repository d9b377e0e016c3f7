"""What users give, as a sentence can hold it: on one line and of a length to read, whatever it is."""

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
        # Python refuses to write out what takes it long.
        return super().repr_int(x, level) if x.bit_length() < 10_000 else f"a number of {x.bit_length():,} bits"


_SHORT = _Short()


def describe(value: object) -> str:
    """A value as Python writes it, cut where it is long; a value that cannot be written by its type."""
    return _line(_SHORT.repr(value))


def describe_error(error: BaseException) -> str:
    """What an error says, and for one that says nothing its name; on one line, without a full stop at its end."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    try:
        words = _line(str(error)).rstrip(".")
    except Exception:
        words = ""
    named = isinstance(error, OSError | ImportError | SyntaxError | ValueError)
    return words[:500] if words and named else f"{type(error).__name__}: {words[:500]}".removesuffix(": ")


def describe_bad_file(error: BaseException) -> str:
    """What is wrong with a file, by the error that reading it, or what it holds, has come to; as `said` does."""
    match error:
        case KeyError():
            return f"it has no {describe(error.args[0])}"
        case TypeError() | AttributeError() | IndexError() | OverflowError():
            return "a part of it is of another kind than it should be"
        case ValueError() if "int_max_str_digits" in str(error):
            return "a number in it is too long"
        case UnicodeError():
            return "it is no text"
    return describe_error(error)


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        OSError, ValueError: it cannot be read, or is none.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError(describe_error(error)) from None


def printable(text: str) -> str:
    """A text without what would move a terminal's cursor, but for ends of lines."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _line(text: str) -> str:
    return printable(" ".join(text.split()))
