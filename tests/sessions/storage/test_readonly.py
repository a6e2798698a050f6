from __future__ import annotations

import struct
from io import SEEK_END
from pathlib import Path

import pytest
from session_builders import write_recording

from sessions.storage.journal import pack_journal
from sessions.storage.readonly import ReadOnlyFile


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return write_recording(tmp_path)


def test_reads_the_bytes_of_a_finished_recording(recording: Path) -> None:
    file = ReadOnlyFile(recording)
    data = recording.read_bytes()
    assert file.seek(0, SEEK_END) == len(data)
    file.seek(5_000)
    assert file.read(10_000) == data[5_000:15_000]
    assert file.tell() == 15_000
    file.seek(len(data) - 3)
    assert file.read(10) == data[-3:]
    assert file.read(10) == b""


def test_completes_a_commit_that_was_cut_short(recording: Path) -> None:
    data = bytearray(recording.read_bytes())
    recording.write_bytes(data + pack_journal({8192: b"new", 4096: bytes(4096)}))
    data[4096:8195] = bytes(4096) + b"new"
    file = ReadOnlyFile(recording)
    assert file.size == len(data)
    for start, count in [(0, 20_000), (4_000, 100), (8_193, 1), (8_194, 100), (5_000, 3_192)]:
        file.seek(start)
        assert file.read(count) == data[start : start + count]


def test_changes_nothing(recording: Path) -> None:
    file = ReadOnlyFile(recording)
    with pytest.raises(OSError, match="reading only"):
        file.write(b"x")
    with pytest.raises(OSError, match="reading only"):
        file.truncate(0)


def test_file_that_starts_otherwise_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.h5").write_text("not a recording" * 100)
    with pytest.raises(ValueError, match="does not start as one"):
        ReadOnlyFile(tmp_path / "notes.h5")


def test_endless_read_is_refused(recording: Path) -> None:
    with pytest.raises(OSError, match="at once"):
        ReadOnlyFile(recording).read(2**30)


@pytest.mark.parametrize("change", [(0, 0, 0), (0, 1, 2**64 - 16), (0, 1, 2**64 - 1), (1, 0, 0)])
def test_heap_that_would_stall_hdf5_is_refused(recording: Path, change: tuple[int, int, int]) -> None:
    number, index, size = change
    data = bytearray(recording.read_bytes())
    start = data.index(b"GCOL\x01")
    at = start + 16
    for _ in range(number):
        at += 16 + (struct.unpack_from("<Q", data, at + 8)[0] + 7) // 8 * 8
    struct.pack_into("<H6xQ", data, at, index, size)
    recording.write_bytes(data)
    file = ReadOnlyFile(recording)
    file.seek(start)
    with pytest.raises(OSError, match="heap"):
        file.read(4096)
