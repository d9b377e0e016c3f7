"""Atomic, self-describing files of a store.

A JSON file begins with the checksum of the rest, and contains its own name and the digest of its run, so that damaged
or misplaced files are recognised. They are moved to quarantine, never deleted.
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
    """A file that is damaged, misplaced, or not a regular file."""


def sha256(content: bytes) -> str:
    """Return a checksum of 64 hexadecimal characters."""
    return hashlib.sha256(content).hexdigest()


def json_content(name: str, digest: str, content: dict[str, Any]) -> bytes:
    """Return the content of a JSON file, with its checksum, name and run.

    Args:
        name: the file's name.
        digest: the digest of its run.
        content: its entries.
    """
    document = {**content, "format": FORMAT, "digest": digest, "file": name}
    body = json.dumps(document, sort_keys=True, indent=1).encode()
    return b'{\n "sha256": "%s",' % sha256(body).encode() + body[1:]


def read_json(path: Path, digest: str | None = None) -> dict[str, Any]:
    """Return the entries of a JSON file.

    Args:
        path: the file.
        digest: the digest of its run; None to accept any run's.

    Raises:
        FileNotFoundError: it does not exist.
        DamagedError: it is damaged, or was written under another name or for another run.
    """
    content = read(path)
    head = _CHECKED.match(content)
    if head is None or sha256(b"{" + content[head.end() :]) != head[1].decode():
        raise DamagedError("its checksum differs")
    try:
        entries = json.loads(content)
    except (ValueError, RecursionError):  # possible even with a matching checksum, if written by other software
        raise DamagedError("it is not JSON") from None
    misplaced = entries.get("file") != path.name or digest not in (None, entries.get("digest"))
    if entries.get("format") != FORMAT or misplaced:
        raise DamagedError("it has another format, or belongs to another file or run")
    return dict(entries)


def read(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        FileNotFoundError: it does not exist.
        DamagedError: it cannot be read, or is not a regular file. Reading a pipe or a device might never end.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DamagedError("it is not a regular file")
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DamagedError(error.strerror or str(error)) from None


def write(path: Path, content: bytes) -> None:
    """Write a file atomically, replacing what was there.

    Raises:
        OSError: it cannot be written.
    """
    # The name is random because another process may be writing the same file.
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


def quarantine(root: Path, path: Path) -> Path | None:
    """Move a file or folder of the store to its quarantine folder.

    Returns:
        Its new path; None if it did not exist.

    Raises:
        OSError: it cannot be moved.
    """
    folder = root / "quarantine"
    folder.mkdir(exist_ok=True)
    name = "-".join(path.relative_to(root).parts[1:])
    target = next(to for n in count(1) if not os.path.lexists(to := folder / f"{name}-{n}"))
    try:
        path.rename(target)  # moves a link itself, not its target
    except FileNotFoundError:
        return None
    return target
