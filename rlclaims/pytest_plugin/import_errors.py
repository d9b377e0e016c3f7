"""Mistakes that show as a file of claims is imported: a wrong call of rlclaims is one sentence, not its traceback."""

import re
from pathlib import Path
from types import TracebackType

import rlclaims
from rlclaims.text import describe_error

PACKAGE = Path(rlclaims.__file__).parent


def sentence(error: BaseException) -> str | None:
    """What an import has broken off by, if that is a wrong call of rlclaims, with the line that makes it."""
    frames = list(_frames(error.__traceback__))
    if not frames:
        return None
    *_, (file, _, within) = frames
    ours = [place for place, (path, *_) in enumerate(frames) if path.is_relative_to(PACKAGE)]
    name = None
    if type(error).__module__.startswith("rlclaims."):
        words = str(error)
    elif isinstance(error, ValueError | AttributeError) and file.is_relative_to(PACKAGE):
        words = describe_error(error).removeprefix("AttributeError: ")
    elif isinstance(error, TypeError) and (name := _called(str(error), within)):
        words = f"{describe_error(error).removeprefix('TypeError: ')}; help(rlclaims.{name}) tells what it takes"
    else:
        return None
    # The line before rlclaims' own, by which it was called.
    caller = frames[max(0, (ours[0] if ours else len(frames)) - 1)]
    return f"{caller[0]}:{caller[1]}: {words}{'' if words.endswith('.') else '.'}"


def _called(words: str, within: dict[str, object]) -> str | None:
    """The public name whose call does not fit, unless the module has another of that name."""
    found = re.match(r"(\w+)(\.__init__)?\(\) ", words)
    if found is None or found[1] not in rlclaims.__all__:
        return None
    public = getattr(rlclaims, found[1])
    return found[1] if within.get(found[1], public) is public else None


def _frames(traceback: TracebackType | None) -> "list[tuple[Path, int, dict[str, object]]]":
    frames = []
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if not file.startswith("<"):  # as what dataclasses write is
            frames.append((Path(file), traceback.tb_lineno, traceback.tb_frame.f_globals))
        traceback = traceback.tb_next
    return frames
