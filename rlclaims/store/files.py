"""Files of a store, which are written whole or not at all, and tell what they are and whether that is still so.

A JSON file begins with the checksum of the rest, and has among the rest its own name and the digest of its run, so that
neither damage nor a file that belongs elsewhere is taken for what was written. What is not is set aside, never deleted.
"""

import hashlib
import json
import os
import re
import secrets
import stat
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

FORMAT = 2
_CHECKED = re.compile(rb'\{\n "sha256": "([0-9a-f]{64})",')


class DamagedError(ValueError):
    """What is in a file, or in its place, is not what was written there."""


def sha256(content: bytes) -> str:
    """A checksum, 64 hexadecimal characters."""
    return hashlib.sha256(content).hexdigest()


def json_content(name: str, digest: str, content: dict[str, Any]) -> bytes:
    """A JSON file.

    Args:
        name: of the file.
        digest: of the run that it is about.
        content: what it says.
    """
    told = {**content, "format": FORMAT, "digest": digest, "file": name}
    body = json.dumps(told, sort_keys=True, indent=1).encode()
    return b'{\n "sha256": "%s",' % sha256(body).encode() + body[1:]


def read_json(path: Path, digest: str | None = None) -> dict[str, Any]:
    """What a JSON file says.

    Args:
        path: its place.
        digest: of the run that it is about; None to take it from anybody's.

    Raises:
        FileNotFoundError: there is none.
        DamagedError: it is not what was written under this name about this run.
    """
    content = read(path)
    head = _CHECKED.match(content)
    if head is None or sha256(b"{" + content[head.end() :]) != head[1].decode():
        raise DamagedError("its checksum is another")
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):  # somebody has made a checksum of it
        raise DamagedError("it is no JSON") from None
    if told.get("format") != FORMAT or told.get("file") != path.name or digest not in (None, told.get("digest")):
        raise DamagedError("it is another file, or of another run")
    return dict(told)


def read(path: Path) -> bytes:
    """What is in a file.

    Raises:
        FileNotFoundError: there is none.
        DamagedError: it cannot be read, or what is there is no file: a pipe would be waited for, a device has no end.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DamagedError("it is no file")
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DamagedError(error.strerror or str(error)) from None


def write(path: Path, content: bytes) -> None:
    """Write a file, or nothing, and take the place of what was there.

    Raises:
        OSError: it cannot be written.
    """
    # A name of its own: another process may be writing the same.
    partial = path.with_name(f".partial-{secrets.token_hex(8)}")
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def set_aside(root: Path, path: Path) -> Path | None:
    """Move what is at a place of the store to another, out of the way, and tell where that is.

    Returns:
        Where it is now; None if nothing was there.

    Raises:
        OSError: it cannot be moved.
    """
    folder = root / "set-aside"
    folder.mkdir(exist_ok=True)
    name = "-".join(path.relative_to(root).parts[1:])
    target = next(to for n in count(1) if not os.path.lexists(to := folder / f"{name}-{n}"))
    try:
        path.rename(target)  # of a link the link itself
    except FileNotFoundError:
        return None
    return target
