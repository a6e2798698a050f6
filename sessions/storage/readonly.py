"""The file the reader gives to h5py: a recording as of its last commit, and nothing that would stall HDF5."""

from __future__ import annotations

import struct
from io import SEEK_END, SEEK_SET
from pathlib import Path
from typing import Any

from disk.reading import open_plain
from sessions.storage.journal import PAGE, read_journal

_START = b"\x89HDF\r\n\x1a\n" + b"\x02\x08\x08\x00" + bytes(8) + b"\xff" * 8
"""How every recording starts: HDF5 superblock version 2, numbers of 8 bytes, base address 0 and no extension (some
extensions make HDF5 restore its cache from the file, a part with a record of memory errors)."""
_HEAP_START = b"GCOL\x01\x00\x00\x00"
_LINK_HEAP_START = b"FRHP\x00"
_LINK_HEAP_FILTERS = slice(7, 9)
"""Where the head of a heap of links or attributes says how long the description of its filters is."""
_HEAP_OBJECT = struct.Struct("<H6xQ")
_MOST_READ = 2**18
"""Bytes of the longest read HDF5 needs in a recording. A damaged or hostile file may ask for gigabytes."""


class ReadOnlyFile:
    """A recording's bytes as of its last commit, which is completed in memory where a kill cut it short.

    Has the methods that h5py's `fileobj` driver calls: seek, tell, read, write, truncate, flush.

    Args:
        path: An existing regular file.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it does not start as a recording does.
    """

    def __init__(self, path: Path) -> None:
        self._file = open_plain(path)
        try:
            self.size, self._changes = read_journal(self._file)
            self._position = 0
            if self.size and not self._bytes(0, len(_START)) == _START:
                raise ValueError("it does not start as one")
        except BaseException:
            self._file.close()
            raise

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Move to `offset`, from the start or (SEEK_END) the end; return the position."""
        self._position = offset + (self.size if whence == SEEK_END else 0)
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def read(self, count: int) -> bytes:
        """Return the next `count` bytes, fewer at the end.

        Raises:
            OSError: If they are more than any part of a recording takes, or HDF5 must not see them.
        """
        if count > _MOST_READ:
            raise OSError(f"a read of {count} bytes at once")
        data = self._bytes(self._position, count)
        if data.startswith(_HEAP_START):
            self._check_heap(self._position, data)
        # HDF5 would look for a foreign filter among plugins, and run it.
        if data.startswith(_LINK_HEAP_START) and any(data[_LINK_HEAP_FILTERS]):
            raise OSError("a heap behind a filter")
        self._position += len(data)
        return data

    def write(self, data: Any) -> int:
        """Refuse."""
        raise OSError("the recording is open for reading only")

    def truncate(self, size: int) -> int:
        """Refuse."""
        raise OSError("the recording is open for reading only")

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _bytes(self, start: int, count: int) -> bytes:
        stop = min(start + count, self.size)
        if stop <= start:
            return b""
        self._file.seek(start)
        data = bytearray(self._file.read(stop - start))
        for offset in range(start - start % PAGE, stop, PAGE) if self._changes else ():
            change = self._changes.get(offset, b"")
            first, last = max(start, offset), min(stop, offset + len(change))
            if first < last:
                data[first - start : last - start] = change[first - offset : last - offset]
        return bytes(data)

    def _check_heap(self, start: int, data: bytes) -> None:
        """Raise OSError where the texts of attributes are stored so that HDF5 (2.0) would look at one of them forever.

        A heap collection is 8 bytes of signature, its size, and objects: index, size, and their bytes rounded up to
        8. Index 0 is free space, whose size counts its own head.
        """
        (size,) = struct.unpack_from("<Q", data.ljust(16, b"\0"), len(_HEAP_START))
        if size > _MOST_READ:
            raise OSError(f"a heap of {size} bytes")
        heap = self._bytes(start, size)
        at = 16
        while at + _HEAP_OBJECT.size <= len(heap):
            index, size = _HEAP_OBJECT.unpack_from(heap, at)
            step = _HEAP_OBJECT.size + (size + 7) // 8 * 8 if index else size
            if step < _HEAP_OBJECT.size or at + step > len(heap):
                raise OSError("a heap whose objects do not follow one another")
            at += step
