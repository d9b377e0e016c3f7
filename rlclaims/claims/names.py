"""Names that are misspelt, and the one that was probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches

from rlclaims.claims.evidence import ClaimError


class UnknownNameError(ClaimError, AttributeError):
    """An attribute that does not exist, in one sentence that names those that do."""


def did_you_mean(name: object, names: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" if one of the names is close, else an empty text."""
    close = get_close_matches(str(name), list(names), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def check_name(name: object, names: Iterable[str], asked: str, what: str) -> None:
    """Refuse a name that is not among some.

    Args:
        name: what was given.
        names: those that exist.
        asked: the call, for the message.
        what: the kind of thing that is named, in the plural.

    Raises:
        ClaimError: there is no such name.
    """
    names = list(names)
    if not isinstance(name, str) or name not in names:
        raise ClaimError(f"{asked}: {what} are {', '.join(map(repr, names))}{did_you_mean(name, names)}.")
