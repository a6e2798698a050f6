"""The redo record: changes to bytes that are already on disk, written after the end of a file before they are made.

A process killed while it makes them leaves the record behind, and a reader makes them again, in memory. Layout: every
change as (offset uint64, length uint32, bytes), then (length of all that uint64, CRC-32 of it uint32, magic), all
little-endian. A record cut short has no valid end and is ignored: its changes had not begun.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import BinaryIO

Change = tuple[int, bytes]
"""Offset in the file and the bytes that belong there."""

_CHANGE = struct.Struct("<QI")
_END = struct.Struct("<QI16s")
_MAGIC = b"\x89RacerRedo\r\n\x1a\n\x00\x01"
_MOST_BYTES = 2**26
"""Longest record believed: one second of recording changes about 0.1 MB in place."""


def pack_journal(changes: Iterable[Change]) -> bytes:
    """Return the record of changes."""
    body = b"".join(part for offset, data in changes for part in (_CHANGE.pack(offset, len(data)), data))
    return body + _END.pack(len(body), zlib.crc32(body), _MAGIC)


def read_journal(file: BinaryIO) -> tuple[int, list[Change]]:
    """Return (where the file's own bytes end, changes still to be made to them); mostly (its size, none)."""
    size = file.seek(0, 2)
    if size < _END.size:
        return size, []
    file.seek(size - _END.size)
    length, checksum, magic = _END.unpack(file.read(_END.size))
    end = size - _END.size - length
    if magic != _MAGIC or length > _MOST_BYTES or end < 0:
        return size, []
    file.seek(end)
    body = file.read(length)
    if zlib.crc32(body) != checksum:
        return size, []
    changes: list[Change] = []
    at = 0
    while at < length:
        offset, count = _CHANGE.unpack_from(body, at)
        at += _CHANGE.size
        changes.append((offset, body[at : at + count]))
        at += count
    return end, changes
