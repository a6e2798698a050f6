"""The one way in: plain files, of a size known before they are read, and no link out of their folder.

    data = read_plain(path, most=1_000_000)

A folder from somebody else may hold a named pipe that never ends a read, a device that never ends at all, a link to a
file of yours, or a file larger than memory. Whatever of that it is, there is an OSError whose `strerror` says so.
"""

from __future__ import annotations

import errno
import os
import stat
from io import FileIO
from pathlib import Path

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_LINK = "it is a link out of its folder, which Racer does not follow"


class NotPlainError(OSError):
    """A path leads to something other than a plain file, out of its folder, or to more bytes than are believed."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EINVAL, reason)


def open_plain(path: Path, most: int | None = None) -> FileIO:
    """Open a file for reading, unbuffered. A link is followed only to a file in the link's own folder or below.

    Args:
        path: The file.
        most: Bytes believed; any number if None, for files that are read in parts.

    Raises:
        NotPlainError: If it is not a plain file, a link out of its folder, or larger.
        OSError: If it cannot be opened.
    """
    target = _target(path)
    # Asked before it is opened, for to open a device can do something to it, and after, for names change.
    _refuse(os.stat(target, follow_symlinks=False), most)
    file = FileIO(target, "r", opener=lambda name, flags: os.open(name, _FLAGS))
    try:
        _refuse(os.fstat(file.fileno()), most)
    except BaseException:
        file.close()
        raise
    return file


def read_plain(path: Path, most: int) -> bytes:
    """Return the bytes of a file; see `open_plain`.

    Raises:
        NotPlainError: If it is not a plain file, a link out of its folder, or has more than `most` bytes.
        OSError: If it cannot be read.
    """
    with open_plain(path, most) as file:
        parts, left = [], most + 1
        while left and (part := file.read(min(left, 2**20))):
            parts.append(part)
            left -= len(part)
    if not left:
        raise NotPlainError(f"more than {most} bytes is too large")
    return b"".join(parts)


def _target(path: Path) -> str:
    if not path.is_symlink():
        return os.fspath(path)
    target = os.path.realpath(path, strict=True)
    if not Path(target).is_relative_to(os.path.realpath(path.parent)):
        raise NotPlainError(_LINK)
    return target


def _refuse(found: os.stat_result, most: int | None) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):
        raise NotPlainError("it is not a plain file")
    if most is not None and found.st_size > most:
        raise NotPlainError(f"{found.st_size} bytes is too large")
