from __future__ import annotations

import struct
import zlib
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions.storage.journal import PAGE, pack_journal, read_journal

FILE = bytes(range(256)) * 64
CHANGES = st.dictionaries(
    st.integers(0, len(FILE) // PAGE - 1).map(lambda page: page * PAGE), st.binary(min_size=1, max_size=64), max_size=4
)


@given(CHANGES)
def test_what_was_packed_behind_a_file_is_read_back(changes: dict[int, bytes]) -> None:
    assert read_journal(BytesIO(FILE + pack_journal(changes))) == (len(FILE), changes)


@given(CHANGES, st.data())
def test_record_cut_short_is_no_record(changes: dict[int, bytes], data: st.DataObject) -> None:
    record = pack_journal(changes)
    cut = data.draw(st.integers(0, len(record) - 1))
    assert read_journal(BytesIO(FILE + record[:cut])) == (len(FILE) + cut, {})


@given(CHANGES, st.data())
def test_record_with_a_wrong_byte_is_no_record(changes: dict[int, bytes], data: st.DataObject) -> None:
    record = bytearray(pack_journal(changes))
    record[data.draw(st.integers(0, len(record) - 1))] ^= 1
    assert read_journal(BytesIO(FILE + record))[1] == {}


@pytest.mark.parametrize("size", [0, 1, 27, 28, 29])
def test_short_files_hold_no_record(size: int) -> None:
    assert read_journal(BytesIO(bytes(size))) == (size, {})


@pytest.mark.parametrize(
    "body",
    [
        struct.pack("<QI", 1, 1) + b"x",
        struct.pack("<QI", len(FILE), 1) + b"x",
        struct.pack("<QI", 0, 2) + b"x",
        struct.pack("<QI", 0, 0),
        struct.pack("<QI", 0, 2**32 - 1) + b"x",
        b"x",
    ],
    ids=["not a page", "behind the end", "longer than the record", "empty", "endless", "no change"],
)
def test_forged_record_is_refused(body: bytes) -> None:
    record = pack_journal({0: b"x"})
    forged = body + struct.pack("<QI", len(body), zlib.crc32(body)) + record[-16:]
    with pytest.raises(ValueError, match="redo record"):
        read_journal(BytesIO(FILE + forged))
