"""Errors on importing a file of claims: a wrong call of rlclaims is reported as one sentence, without a traceback."""

import re
from pathlib import Path
from types import TracebackType

import rlclaims
from rlclaims.text import describe_error

PACKAGE = Path(rlclaims.__file__).parent


def sentence(error: BaseException) -> str | None:
    """Return a message with the line of a wrong call of rlclaims, or None if an import failed for another reason."""
    frames = list(_frames(error.__traceback__))
    if not frames:
        return None
    *_, (file, _, within) = frames
    inside = [i for i, (path, *_) in enumerate(frames) if path.is_relative_to(PACKAGE)]
    name = None
    if type(error).__module__.startswith("rlclaims."):
        message = str(error)
    elif isinstance(error, ValueError | AttributeError) and file.is_relative_to(PACKAGE):
        message = describe_error(error).removeprefix("AttributeError: ")
    elif isinstance(error, TypeError) and (name := _called_name(str(error), within)):
        message = f"{describe_error(error).removeprefix('TypeError: ')}; see help(rlclaims.{name}) for its arguments"
    else:
        return None
    # The last frame before rlclaims' own is the caller.
    caller = frames[max(0, (inside[0] if inside else len(frames)) - 1)]
    return f"{caller[0]}:{caller[1]}: {message}{'' if message.endswith('.') else '.'}"


def _called_name(message: str, within: dict[str, object]) -> str | None:
    """Return the public name whose arguments do not fit, unless the module defines another object of that name."""
    match = re.match(r"(\w+)(\.__init__)?\(\) ", message)
    if match is None or match[1] not in rlclaims.__all__:
        return None
    public = getattr(rlclaims, match[1])
    return match[1] if within.get(match[1], public) is public else None


def _frames(traceback: TracebackType | None) -> "list[tuple[Path, int, dict[str, object]]]":
    frames = []
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if not file.startswith("<"):  # generated code, as of dataclasses
            frames.append((Path(file), traceback.tb_lineno, traceback.tb_frame.f_globals))
        traceback = traceback.tb_next
    return frames
