"""A file on disk that goes from one commit to the next: neither a kill nor a power failure leaves half of one."""

from __future__ import annotations

import os
import threading
import zlib
from array import array
from collections.abc import Iterator, Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path

from disk.reading import open_plain
from disk.writing import as_owner, hold, make_folder, open_single, sync_folder, write_all
from sessions.storage.journal import PAGE, pack_journal

Pages = Mapping[int, bytes | bytearray]
"""Number of a page to its bytes, PAGE each."""
_COPY_BYTES = 2**20
_EMPTY = zlib.crc32(bytes(PAGE))
_CUT_SHORT = "something else has cut off part of what was written to it"


class ChangedError(OSError):
    """Something else has changed what was written to a file."""

    def __init__(self) -> None:
        super().__init__("something else has changed what was written to it")


class CommittedFile:
    """Puts pages on disk, all or none of them. Reading and committing may happen in two threads.

    New bytes go after the end of the last commit, where nothing refers to them yet, and behind them a redo record of
    the changes to earlier bytes. Once these have reached the device the changes are made, and once those have, the
    record is cut off. A device that is cut off from power keeps its latest writes in any order, or not at all; with
    the two waits there is a whole record wherever changes are made in part.

    Before each commit it looks whether the file still stands under its name. One that was deleted or moved away, with
    its folder or without, is written anew; a descriptor that no longer works (a network drive that was away, a stick
    that was pulled out) is replaced if the file of that name holds at least what was committed.

    Its file is locked against other writers that ask for a lock, as HDF5 does. Of every page it keeps the
    CRC-32, so that bytes which something else has changed are not taken for its own.

    Args:
        file: Empty, unbuffered, open for reading and writing.
        durable: Whether a commit waits for the device. Without, no power failure is survived.
    """

    def __init__(self, file: FileIO, durable: bool = True) -> None:
        self._file, self._durable = file, durable
        self._path = Path(os.fsdecode(file.name)).absolute()
        # Of its own position, so that reading need not wait while a commit writes.
        self._reader = open_plain(self._path)
        self._reading = threading.Lock()
        hold(file.fileno(), shared=True)
        self._checksums = array("I")
        """Of each committed page, filled up with zeros."""
        self._unmade: tuple[int, dict[int, bytes], dict[int, int]] | None = None
        """Size, changes and checksums of a commit whose redo record is on disk while its changes are not."""
        self.committed = 0
        """Bytes of the file on disk that belong to the last commit."""

    def read_page(self, page: int) -> bytes:
        """Return the bytes of a page as last committed, zeros after the end; no commit may be changing it.

        Raises:
            OSError: If the disk refuses, or they are no longer there.
            ChangedError: If they are others.
        """
        offset = page * PAGE
        count = min(PAGE, self.committed - offset)
        if count <= 0:
            return bytes(PAGE)
        with self._reading:
            self._reader.seek(offset)
            data = self._reader.read(count)
        if len(data) < count:
            raise OSError(_CUT_SHORT)
        data = data.ljust(PAGE, b"\0")
        if zlib.crc32(data) != self._checksums[page]:
            raise ChangedError
        return data

    def read_back(self) -> None:
        """Read all that was committed from the device again.

        Raises:
            OSError: If the disk refuses, or the file is no longer where it was.
            ChangedError: If it holds something other than what was committed.
        """
        if not self.in_place:
            raise OSError("it is no longer where it was written")
        if os.fstat(self._file.fileno()).st_size != self.committed:
            raise ChangedError
        if hasattr(os, "posix_fadvise"):  # from the device, not from memory
            os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        for page in range(len(self._checksums)):
            self.read_page(page)

    def commit(self, pages: Pages, size: int) -> None:
        """Put pages on the device, and let the file end at `size`.

        Raises:
            OSError: If the disk refuses, or the file is gone and cannot be had back: the file then holds all or none of
                them, and the same pages, or later versions of them, must be part of the next commit.
        """
        self._reattach()
        self._make_changes()
        end = min(self.committed, size)
        changes = {page * PAGE: bytes(pages[page][: end - page * PAGE]) for page in sorted(pages) if page * PAGE < end}
        fresh = b"".join(
            (pages[page] if page in pages else self.read_page(page))[start:stop]
            for page, start, stop in pieces(self.committed, size - self.committed)
        )
        checksums = self._sum(pages, size)
        try:
            self._file.seek(self.committed)
            write_all(self._file, fresh + pack_journal(changes) if changes else fresh)
            self._sync()
        except OSError:
            with suppress(OSError):
                self._file.truncate(self.committed)
            raise
        self._unmade = size, changes, checksums
        self._make_changes()

    @property
    def in_place(self) -> bool:
        """Whether the file stands under its name now, no shorter than what was committed."""
        try:
            mine, named = os.fstat(self._file.fileno()), self._path.stat()
        except (OSError, ValueError):  # ValueError: it was closed
            return False
        return os.path.samestat(mine, named) and mine.st_size >= self.committed

    @property
    def closed(self) -> bool:
        """Whether the file was closed."""
        return self._file.closed

    def close(self) -> None:
        """Close the file."""
        for file in (self._file, self._reader):
            with suppress(OSError):  # of a descriptor that is dead
                file.close()

    def _make_changes(self) -> None:
        """Make the changes of which there is a redo record, and cut it off."""
        if self._unmade is None:
            return
        size, changes, checksums = self._unmade
        for offset, data in changes.items():
            self._file.seek(offset)
            write_all(self._file, data)
        if changes:
            self._sync()
        self._file.truncate(size)
        count = -(-size // PAGE)
        del self._checksums[count:]
        self._checksums.extend([_EMPTY] * (count - len(self._checksums)))
        for page, checksum in checksums.items():
            self._checksums[page] = checksum
        self.committed, self._unmade = size, None

    def _sync(self) -> None:
        if self._durable:
            os.fsync(self._file.fileno())

    def _sum(self, pages: Pages, size: int) -> dict[int, int]:
        """Return the checksums that pages have once the file ends at `size`: what lies behind reads as zeros."""
        changing = dict(pages)
        if size < self.committed and size % PAGE and (last := size // PAGE) not in changing:
            changing[last] = self.read_page(last)
        return {
            page: zlib.crc32(bytes(data[: size - page * PAGE]).ljust(PAGE, b"\0"))
            for page, data in changing.items()
            if page * PAGE < size
        }

    def _reattach(self) -> None:
        """Make sure that commits go to the file of this name; OSError if there is no way to it for now."""
        try:
            mine = os.fstat(self._file.fileno())
        except OSError:
            file = open_single(self._path, make=False)
            if os.fstat(file.fileno()).st_size < self.committed:
                file.close()
                raise OSError("it has lost part of what was written to it") from None
            self._replace(file)
            return
        if mine.st_size < self.committed:
            raise OSError(_CUT_SHORT)
        try:
            named = self._path.stat()
        except FileNotFoundError:
            self._write_anew()
            return
        if not os.path.samestat(mine, named):
            raise OSError("another file has taken its name")

    def _write_anew(self) -> None:
        make_folder(self._path.parent)
        file = FileIO(self._path, "x+", opener=as_owner)
        try:
            self._file.seek(0)
            while data := self._file.read(_COPY_BYTES):
                write_all(file, data)
            os.fsync(file.fileno())
            sync_folder(self._path.parent)
        except OSError:
            file.close()
            self._path.unlink(missing_ok=True)
            raise
        self._replace(file)

    def _replace(self, file: FileIO) -> None:
        reader = open_plain(self._path)
        hold(file.fileno(), shared=True)
        with self._reading:
            self.close()
            self._file, self._reader = file, reader


def pieces(offset: int, count: int) -> Iterator[tuple[int, int, int]]:
    """Yield (page, start, stop) for each page that `count` bytes from `offset` on lie in."""
    end = offset + count
    while offset < end:
        page, start = divmod(offset, PAGE)
        stop = min(PAGE, end - page * PAGE)
        yield page, start, stop
        offset = page * PAGE + stop
