"""A disk that does what disks do: fills up, hangs, goes away. Given to a recorder as what makes its files."""

from __future__ import annotations

import errno
import threading
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

Change = tuple[int, bytes | None] | None
"""(offset, bytes) written, (size, None) cut or extended to, or None: all before has reached the device."""


@dataclass
class FakeDisk:
    """Makes files that are as good as the disk is at the moment."""

    room: int = 10**9
    """Bytes that a file may have; the write that does not fit is done in part."""
    gone: bool = False
    """Whether the drive has gone away; descriptors from before stay dead after it."""
    writes_left: int = 10**9
    """Writes that it takes; of the next one it takes half, and refuses all after."""
    working: threading.Event = field(default_factory=threading.Event)
    """Cleared while the disk hangs: a write waits for it."""
    log: list[Change] = field(default_factory=list)
    """What was done to its file, in order."""

    def __post_init__(self) -> None:
        self.working.set()

    def make(self, path: Path) -> FileIO:
        """Make a file on this disk."""
        return _File(path, self)


class _File(FileIO):
    def __init__(self, path: Path, disk: FakeDisk) -> None:
        self._disk = disk
        super().__init__(path, "x+")

    def fileno(self) -> int:
        self._refuse_if_gone()
        return super().fileno()

    def write(self, data: memoryview) -> int:  # type: ignore[override]
        self._refuse_if_gone()
        self._disk.working.wait()
        at = self.tell()
        self._disk.writes_left -= 1
        taken = len(data) if self._disk.writes_left >= 0 else len(data) // 2 if self._disk.writes_left == -1 else 0
        fits = min(taken, self._disk.room - at)
        if fits <= 0 < len(data):
            raise OSError(errno.ENOSPC, "No space left on device")
        self._disk.log.append((at, bytes(data[:fits])))
        return super().write(data[:fits])

    def truncate(self, size: int) -> int:  # type: ignore[override]
        self._disk.log.append((size, None))
        return super().truncate(size)

    def _refuse_if_gone(self) -> None:
        if self._disk.gone:
            raise OSError(errno.ESTALE, "Stale file handle")


def apply(image: bytearray, change: Change) -> None:
    """Do to the bytes of a file what was done to it."""
    if change is None:
        return
    offset, data = change
    image.extend(bytes(max(0, offset - len(image))))
    image[offset : len(image) if data is None else offset + len(data)] = data or b""
