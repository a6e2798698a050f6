"""The redo record: changes to bytes that are already on disk, written after the end of a file before they are made.

A process killed while it makes them leaves the record behind, and a reader makes them again, in memory. Layout: every
change as (offset uint64, length uint32, bytes), then (length of all that uint64, CRC-32 of it uint32, magic), all
little-endian. A record cut short has no valid end and is ignored: its changes had not begun.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import BinaryIO

PAGE = 4096
"""Bytes of a page: changes start at a multiple of it and are no longer."""

_CHANGE = struct.Struct("<QI")
_END = struct.Struct("<QI16s")
_MAGIC = b"\x89RacerRedo\r\n\x1a\n\x00\x01"
_MOST_BYTES = 2**26
"""Longest record believed: one second of recording changes about 0.1 MB in place."""


def pack_journal(changes: Mapping[int, bytes]) -> bytes:
    """Return the record of changes: offset of a page to the bytes at its start."""
    body = b"".join(part for offset, data in changes.items() for part in (_CHANGE.pack(offset, len(data)), data))
    return body + _END.pack(len(body), zlib.crc32(body), _MAGIC)


def read_journal(file: BinaryIO) -> tuple[int, dict[int, bytes]]:
    """Return (where the file's own bytes end, changes still to be made to them); mostly (its size, none).

    Raises:
        ValueError: If a record ends well but holds what no recorder writes.
    """
    size = file.seek(0, 2)
    file.seek(max(0, size - _END.size))
    tail = file.read(_END.size)
    if not tail.endswith(_MAGIC) or len(tail) < _END.size:
        return size, {}
    length, checksum, _ = _END.unpack(tail)
    end = size - _END.size - length
    if length > _MOST_BYTES or end < 0:
        return size, {}
    file.seek(end)
    body = file.read(length)
    if len(body) < length or zlib.crc32(body) != checksum:
        return size, {}
    changes: dict[int, bytes] = {}
    at = 0
    while at < length:
        offset, count = _CHANGE.unpack(body[at : at + _CHANGE.size].ljust(_CHANGE.size, b"\0"))
        at += _CHANGE.size
        if offset % PAGE or not 0 < count <= PAGE or offset + count > end or at + count > length:
            raise ValueError("its redo record was not written by a recorder")
        changes[offset] = body[at : at + count]
        at += count
    return end, changes
