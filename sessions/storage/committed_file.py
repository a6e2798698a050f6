"""A file on disk that goes from one commit to the next: neither a kill nor a power failure leaves half of one."""

from __future__ import annotations

import os
import threading
import zlib
from array import array
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path

from disk.reading import open_plain
from disk.writing import hold, make_folder, open_new, open_single, sync_folder, write_all
from sessions.storage.journal import PAGE, pack_journal

Pages = Mapping[int, bytes | bytearray]
"""Number of a page to its bytes, PAGE each."""
_BLOCK = 64
"""Pages read or copied at once; other threads have their turn after each."""
_MOST_HELD = 2**14
"""Pages kept in memory: 64 MiB, about an hour at 50 steps a second."""
_LONGEST_REST = 63
"""Commits between two readings of a whole file whose times change and nothing else."""
_EMPTY = zlib.crc32(bytes(PAGE))
_CHANGED = "something else has changed what was written to it"


class CommittedFile:
    """Puts pages on disk, all or none of them. Reading and committing may happen in two threads.

    New bytes go after the end of the last commit, where nothing refers to them yet, and behind them a redo record of
    the changes to earlier bytes. Once these have reached the device the changes are made, and once those have, the
    record is cut off. A device that is cut off from power keeps its latest writes in any order, or not at all; with
    the two waits there is a whole record wherever changes are made in part.

    Before each commit it looks whether the file still stands under its name, with no link on the way. One that was
    deleted or moved away, with its folder or without, is written anew; a descriptor that no longer works (a network
    drive that was away, a stick that was pulled out) is replaced if the file of that name holds what was committed.

    It looks at the file's size and times, too: if they are not those that its own last write left, everything committed
    is read back and compared with the CRC-32 of each page. What something else has changed or cut off is written again
    from the latest pages, which stay in memory; what was appended is cut off. Where a change has hit a page that is
    neither in memory nor part of the commit, nothing is written, and that is refused until the file is as it was. On a
    file system that changes the times later by itself, readings that find nothing become rarer. A change while a commit
    writes, or in the tick of the clock after, may be noticed with the next one only, or when the file is read back at
    the end.

    Its file is locked against other writers that ask for a lock, as HDF5 does.

    Args:
        file: Empty, unbuffered, open for reading and writing.
        durable: Whether a commit waits for the device. Without, no power failure is survived.
    """

    def __init__(self, file: FileIO, durable: bool = True) -> None:
        self._file, self._durable = file, durable
        # A link that is on the way now is meant; one that comes later is not followed.
        self._path = Path(os.path.realpath(os.fsdecode(file.name)))
        # Of its own position, so that reading need not wait while a commit writes.
        self._reader = open_plain(self._path)
        self._reading = threading.Lock()
        hold(file.fileno(), shared=True)
        self._checksums = array("I")
        """CRC-32 of each committed page, padded with zeros."""
        self._held: dict[int, bytes] = {}
        """The pages committed last, padded with zeros, the latest at the end."""
        self._unmade: tuple[int, dict[int, bytes], dict[int, bytes]] | None = None
        """Size, changes and whole pages of a commit whose redo record is on disk while its changes are not."""
        self._seen = self._look()
        """How its own last write left the file."""
        self._doubtful = self._damaged = False
        """Whether something may have changed it, and whether something has that could not be made good."""
        self._rest, self._next_rest = 0, 0
        self._mending: set[int] = set()
        """Pages written again that have not reached the device."""
        self._mends: deque[str] = deque()
        self.committed = 0
        """Bytes of the file on disk that belong to the last commit."""

    def read_page(self, page: int) -> bytes:
        """Return the bytes of a page as last committed, zeros after the end; no commit may be changing it.

        Raises:
            OSError: If they are no longer in memory and the disk refuses, or has others.
        """
        count = min(PAGE, self.committed - page * PAGE)
        if count <= 0:
            return bytes(PAGE)
        held = self._held.get(page)
        if held is not None:
            return held
        with self._reading:
            data = _read(self._reader, page * PAGE, count).ljust(PAGE, b"\0")
        if zlib.crc32(data) != self._checksums[page]:
            self._damaged = True
            raise OSError(_CHANGED)
        return data

    def read_back(self) -> None:
        """Read all that was committed from the device again, and make it good as before a commit.

        Raises:
            OSError: If the disk refuses, the file is no longer where it was, or what it has lost is not in memory.
        """
        if not self.in_place:
            raise OSError("it is no longer where it was written")
        if hasattr(os, "posix_fadvise"):  # from the device, not from memory
            os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self._notice()
        self._doubtful, self._rest = True, 0
        self._examine()
        self._seen = self._look()

    def commit(self, pages: Pages, size: int) -> None:
        """Put pages on the device, and let the file end at `size`.

        Raises:
            OSError: If the disk refuses, the file is gone and cannot be had back, or what it has lost is not in memory:
                the file then holds all or none of them, and the same pages, or later versions of them, must be part of
                the next commit.
        """
        self._reattach(pages)
        self._notice()
        try:
            self._make_changes()
            awaited = self._examine(pages)
            end = min(self.committed, size)
            whole = self._whole(pages, size)
            changes = {page * PAGE: whole[page][: end - page * PAGE] for page in sorted(pages) if page * PAGE < end}
            fresh = b"".join(
                (whole[page] if page in whole else self.read_page(page))[start:stop]
                for page, start, stop in pieces(self.committed, size - self.committed)
            )
            try:
                self._file.seek(self.committed)
                write_all(self._file, fresh + pack_journal(changes) if changes else fresh)
                self._sync()
            except OSError:
                with suppress(OSError):
                    self._file.truncate(self.committed)
                raise
            self._unmade = size, changes, whole
            self._make_changes()
            if awaited:
                self._damaged = False
                self._tell_written_again(awaited)
        finally:
            self._seen = self._look()

    def take_mends(self) -> list[str]:
        """Return what was made good since the last call, a line of at most 128 bytes each."""
        return [self._mends.popleft() for _ in range(len(self._mends))]  # while a commit may add to them

    @property
    def in_place(self) -> bool:
        """Whether the file stands under its name now, with all that was committed as far as one knows."""
        try:
            mine, named = os.fstat(self._file.fileno()), os.stat(self._path, follow_symlinks=False)
        except (OSError, ValueError):  # ValueError: it was closed
            return False
        reached = os.path.samestat(mine, named) and not self._behind_a_link
        return reached and mine.st_size >= self.committed and not self._damaged

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
        size, changes, whole = self._unmade
        for offset, data in changes.items():
            self._file.seek(offset)
            write_all(self._file, data)
        if changes:
            self._sync()
        self._file.truncate(size)
        count = -(-size // PAGE)
        for page in range(count, len(self._checksums)):
            self._held.pop(page, None)
        del self._checksums[count:]
        self._checksums.extend([_EMPTY] * (count - len(self._checksums)))
        for page, data in whole.items():
            self._checksums[page] = zlib.crc32(data)
            self._held.pop(page, None)
            self._held[page] = data
        while len(self._held) > _MOST_HELD:
            del self._held[next(iter(self._held))]
        self.committed, self._unmade = size, None

    def _sync(self) -> None:
        """Wait for the device, and take note of what somebody else writes meanwhile."""
        self._seen = self._look()
        if self._durable:
            os.fsync(self._file.fileno())
        self._notice()

    def _whole(self, pages: Pages, size: int) -> dict[int, bytes]:
        """Return pages as they read once the file ends at `size`: what lies behind is zeros."""
        changing = dict(pages)
        if size < self.committed and size % PAGE and (last := size // PAGE) not in changing:
            changing[last] = self.read_page(last)
        return {
            page: bytes(memoryview(data)[: size - page * PAGE]).ljust(PAGE, b"\0")
            for page, data in changing.items()
            if page * PAGE < size
        }

    def _look(self) -> tuple[int, ...] | None:
        """Return what tells whether somebody else has written to the file, its size first; None if it is gone."""
        try:
            found = os.fstat(self._file.fileno())
        except OSError:
            return None
        return found.st_size, found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns

    def _notice(self) -> None:
        """Take note if the file is not as its own last write left it."""
        now, seen = self._look(), self._seen
        if now is not None and now == seen:
            return
        self._doubtful = True
        if now is None or seen is None or now[:3] != seen[:3]:
            self._rest = 0
        if now is not None and seen is not None and now[0] > seen[0]:
            self._mends.append(f"{now[0] - seen[0]} bytes that something else had appended were cut off")

    def _examine(self, coming: Collection[int] = ()) -> int:
        """Read a doubtful file back, and make good what is not as it was committed.

        Args:
            coming: Pages that are about to be written whole.

        Returns:
            How many of those it is left to.

        Raises:
            OSError: If what is wrong is neither in memory nor coming; nothing was written then.
        """
        awaited = 0
        size = os.fstat(self._file.fileno()).st_size
        if self._doubtful and not self._rest:
            count = len(self._checksums)
            wrong = {*self._wrong_pages(self._file), *(page for page in self._mending if page < count)}
            pages = {page: data for page in sorted(wrong) if (data := self._kept(page)) is not None}
            lost = len(wrong - pages.keys() - set(coming))
            if lost:
                self._damaged = True
                raise OSError(f"{_CHANGED}: {lost} pages of {PAGE} bytes, which are no longer in memory")
            self._mending.update(pages)
            for page, data in pages.items():
                self._file.seek(page * PAGE)
                write_all(self._file, data[: self.committed - page * PAGE])
            awaited = len(wrong) - len(pages)
            self._doubtful = False  # here, since the next wait for the device may bring new doubt
            if pages or size < self.committed:
                try:
                    self._file.truncate(self.committed)
                    self._sync()
                except OSError:
                    self._doubtful = True
                    raise
                self._mending.clear()
                self._tell_written_again(len(pages))
                self._next_rest = 0
            self._damaged = awaited > 0
            if awaited:  # until they are written
                self._doubtful = True
                self._next_rest = 0
            self._rest, self._next_rest = self._next_rest, min(2 * self._next_rest + 1, _LONGEST_REST)
        elif self._doubtful:
            self._rest -= 1
        else:
            self._next_rest = 0
        if size > self.committed:
            self._file.truncate(self.committed)
        return awaited

    def _kept(self, page: int) -> bytes | None:
        """Return a committed page as far as it is known without the file."""
        return bytes(PAGE) if self._checksums[page] == _EMPTY else self._held.get(page)

    def _tell_written_again(self, count: int) -> None:
        self._mends.append(f"{count} pages that something else had changed or cut off were written again")

    def _wrong_pages(self, file: FileIO) -> list[int]:
        """Return the pages of a file that hold something other than what was committed."""
        wrong = []
        for first in range(0, len(self._checksums), _BLOCK):
            block = _read(file, first * PAGE, min(_BLOCK * PAGE, self.committed - first * PAGE))
            for page, checksum in enumerate(self._checksums[first : first + _BLOCK]):
                if zlib.crc32(block[page * PAGE : (page + 1) * PAGE].ljust(PAGE, b"\0")) != checksum:
                    wrong.append(first + page)
        return wrong

    @property
    def _behind_a_link(self) -> bool:
        return Path(os.path.realpath(self._path)) != self._path

    def _reattach(self, coming: Collection[int]) -> None:
        """Make sure that commits go to the file of this name; OSError if there is no way to it for now."""
        if self._behind_a_link:
            raise OSError("a link has taken its place or its folder's, and is not followed")
        try:
            mine = os.fstat(self._file.fileno())
        except OSError:
            self._open_again(coming)
            return
        try:
            named = os.stat(self._path, follow_symlinks=False)
        except FileNotFoundError:
            self._write_anew()
            return
        if not os.path.samestat(mine, named):
            raise OSError("another file has taken its name")

    def _open_again(self, coming: Collection[int]) -> None:
        file = open_single(self._path, make=False)
        wrong = set(self._wrong_pages(file))
        if self._unmade:
            lost = wrong - {offset // PAGE for offset in self._unmade[1]}
            refused = bool(lost) or os.fstat(file.fileno()).st_size < self.committed
        else:
            # Some of it must be this file: one that only has its name is not to be overwritten.
            lost = {page for page in wrong if page not in coming and self._kept(page) is None}
            refused = bool(lost) or 2 * len(wrong) > len(self._checksums)
        if refused:
            file.close()
            raise OSError("it has lost part of what was written to it")
        self._replace(file)
        self._doubtful, self._rest = True, 0

    def _write_anew(self) -> None:
        make_folder(self._path.parent)
        file = open_new(self._path)
        try:
            if self._behind_a_link:
                raise OSError("a link has taken the place of its folder")
            self._file.seek(0)
            while data := self._file.read(_BLOCK * PAGE):
                write_all(file, data)
            os.fsync(file.fileno())
            sync_folder(self._path.parent)
        except OSError:
            file.close()
            self._path.unlink(missing_ok=True)
            raise
        self._replace(file)
        self._mends.append("the file was gone from its place, and was written there anew")

    def _replace(self, file: FileIO) -> None:
        reader = open_plain(self._path)
        hold(file.fileno(), shared=True)
        with self._reading:
            self.close()
            self._file, self._reader = file, reader


def _read(file: FileIO, offset: int, count: int) -> bytes:
    """Return `count` bytes from `offset` on, fewer if the file ends before."""
    file.seek(offset)
    parts = []
    while count and (part := file.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def pieces(offset: int, count: int) -> Iterator[tuple[int, int, int]]:
    """Yield (page, start, stop) for each page that `count` bytes from `offset` on lie in."""
    end = offset + count
    while offset < end:
        page, start = divmod(offset, PAGE)
        stop = min(PAGE, end - page * PAGE)
        yield page, start, stop
        offset = page * PAGE + stop
