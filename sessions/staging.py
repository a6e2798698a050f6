"""The file the recorder gives to h5py: HDF5 never meets a full disk, and a kill never meets a half-made change.

HDF5 has no journal. A write that fails, or a process that dies, in the middle of a flush can leave a file that no
longer opens, and after a failed flush h5py crashes the interpreter on its way out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from io import SEEK_END, SEEK_SET, FileIO
from pathlib import Path
from typing import Any

from sessions.journal import PAGE, pack_journal


class StagedFile:
    """A file whose writes stay in memory until they are committed, all or none of them.

    Has the methods that h5py's `fileobj` driver calls: seek, tell, read, write, truncate, flush.

    Args:
        file: Empty, unbuffered, open for reading and writing.
    """

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self._pages: dict[int, bytearray] = {}
        self._position = 0
        self._size = 0
        self._unmade: tuple[int, dict[int, bytes]] | None = None
        """Size and changes of a commit whose redo record is on disk while its changes are not."""
        self.committed = 0
        """Bytes of the file on disk that belong to the last commit."""

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Move to `offset`, from the start or (SEEK_END) the end; return the position."""
        self._position = offset + (self._size if whence == SEEK_END else 0)
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def read(self, count: int) -> bytes:
        """Return the next `count` bytes, zeros where none were written."""
        data = self._bytes(self._position, count)
        self._position += count
        return data

    def write(self, data: Any) -> int:
        """Keep `data` (any bytes-like object) for the next commit; return its length in bytes."""
        view = memoryview(data).cast("B")
        at = 0
        for page, start, stop in _pieces(self._position, len(view)):
            if page not in self._pages:
                self._pages[page] = bytearray(self._on_disk(page))
            self._pages[page][start:stop] = view[at : at + stop - start]
            at += stop - start
        self._position += len(view)
        self._size = max(self._size, self._position)
        return len(view)

    def truncate(self, size: int) -> int:
        """Let the file end at `size` from the next commit on."""
        self._size = size
        return size

    def flush(self) -> None:
        """Do nothing: what h5py flushes is not yet a commit."""

    def commit(self, *, sync: bool) -> None:
        """Put all writes on disk. Whatever stops this, the file holds either all or none of them.

        New bytes go after the end of the last commit, where nothing refers to them yet; behind them a redo record of
        the changes to earlier bytes; only then are those changes made, and the record is cut off.

        Args:
            sync: Whether to wait until the bytes have reached the device.

        Raises:
            OSError: If the disk refuses. The writes stay in memory, and the next commit tries them again.
        """
        self._make_changes(sync)
        changes = self._changes()
        fresh = self._bytes(self.committed, self._size - self.committed)
        try:
            self._put(self.committed, fresh + pack_journal(changes) if changes else fresh)
            if sync:
                os.fsync(self._file.fileno())
        except OSError:
            with suppress(OSError):
                self._file.truncate(self.committed)
            raise
        self._unmade = self._size, changes
        self._make_changes(sync)
        self._pages.clear()

    def _make_changes(self, sync: bool) -> None:
        """Make the changes of which there is a redo record, and cut it off."""
        if self._unmade is None:
            return
        size, changes = self._unmade
        for offset, data in changes.items():
            self._put(offset, data)
        if sync and changes:
            os.fsync(self._file.fileno())
        self._file.truncate(size)
        self.committed, self._unmade = size, None

    def close(self) -> None:
        """Close the file; writes since the last commit are lost."""
        self._file.close()

    def _changes(self) -> dict[int, bytes]:
        """Return the writes to bytes that are on disk already: offset of a page to the bytes at its start."""
        end = min(self.committed, self._size)
        pages = (page for page in sorted(self._pages) if page * PAGE < end)
        return {page * PAGE: bytes(self._pages[page][: end - page * PAGE]) for page in pages}

    def _bytes(self, offset: int, count: int) -> bytes:
        return b"".join(
            (self._pages[page] if page in self._pages else self._on_disk(page))[start:stop]
            for page, start, stop in _pieces(offset, count)
        )

    def _on_disk(self, page: int) -> bytes:
        offset = page * PAGE
        count = min(PAGE, self.committed - offset)
        if count <= 0:
            return bytes(PAGE)
        self._file.seek(offset)
        return self._file.read(count).ljust(PAGE, b"\0")

    def _put(self, offset: int, data: bytes) -> None:
        view = memoryview(data)
        self._file.seek(offset)
        while view:
            view = view[self._file.write(view) :]


def rename_without_overwriting(source: Path, target: Path) -> None:
    """Give a file another name in the same folder.

    Raises:
        FileExistsError: If the name is taken.
        OSError: If the file system refuses.
    """
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        # No hard links here (FAT, some network drives): claim the name first, then replace our own empty file.
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        try:
            os.replace(source, target)
        except OSError:
            os.unlink(target)
            raise
    else:
        os.unlink(source)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder have reached the device, where the system can do that."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _pieces(offset: int, count: int) -> Iterator[tuple[int, int, int]]:
    """Yield (page, start, stop) for each page that `count` bytes from `offset` on lie in."""
    end = offset + count
    while offset < end:
        page, start = divmod(offset, PAGE)
        stop = min(PAGE, end - page * PAGE)
        yield page, start, stop
        offset = page * PAGE + stop
