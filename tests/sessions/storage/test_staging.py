from __future__ import annotations

import shutil
from io import SEEK_END, FileIO
from pathlib import Path

import pytest
from fake_disk import FakeDisk
from hypothesis import given
from hypothesis import strategies as st

from sessions.storage.journal import read_journal
from sessions.storage.staging import StagedFile

OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 20_000), st.binary(min_size=1, max_size=9_000)),
        st.tuples(st.just("truncate"), st.integers(0, 25_000), st.just(b"")),
        st.tuples(st.just("commit"), st.just(0), st.just(b"")),
    ),
    max_size=12,
)


@given(OPERATIONS)
def test_disk_holds_what_was_written_up_to_the_last_commit(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[str, int, bytes]]
) -> None:
    path = tmp_path_factory.mktemp("staged") / "file"
    staged = StagedFile(FileIO(path, "x+"))
    model, committed = bytearray(), b""
    for kind, offset, data in operations:
        if kind == "write":
            staged.seek(offset)
            staged.write(data)
            model.extend(bytes(max(0, offset + len(data) - len(model))))
            model[offset : offset + len(data)] = data
        elif kind == "truncate" and offset >= len(model):
            staged.truncate(offset)
            model.extend(bytes(offset - len(model)))
        elif kind == "commit":
            staged.commit()
            committed = bytes(model)
        staged.seek(0)
        assert staged.read(len(model)) == model
        assert staged.seek(0, SEEK_END) == len(model)
    assert path.read_bytes() == committed
    staged.close()


def test_file_gets_shorter_at_a_commit(tmp_path: Path) -> None:
    staged = StagedFile(FileIO(tmp_path / "file", "x+"))
    staged.write(b"a" * 10_000)
    staged.commit()
    staged.truncate(6_000)
    staged.seek(5_999)
    staged.write(b"b")
    staged.commit()
    assert (tmp_path / "file").read_bytes() == b"a" * 5_999 + b"b"


@pytest.mark.parametrize("writes", range(4))
def test_refused_commit_leaves_all_or_nothing(tmp_path: Path, writes: int) -> None:
    disk = FakeDisk()
    staged = StagedFile(disk.make(tmp_path / "file"))
    old = b"a" * 9_000
    staged.write(old)
    staged.commit()
    for offset in (100, 5_000, 8_999):
        staged.seek(offset)
        staged.write(b"new")
    staged.seek(0)
    new = staged.read(9_002)
    disk.writes_left = writes
    with pytest.raises(OSError, match="No space left"):
        staged.commit()
    end, changes = read_journal(FileIO(tmp_path / "file"))
    data = bytearray((tmp_path / "file").read_bytes()[:end])
    for offset, change in changes.items():
        data[offset : offset + len(change)] = change
    assert bytes(data) == (old if writes == 0 else new)


@pytest.mark.parametrize("writes", range(4))
def test_a_refused_commit_is_made_whole_by_the_next_with_what_was_written_meanwhile(
    tmp_path: Path, writes: int
) -> None:
    disk = FakeDisk()
    staged = StagedFile(disk.make(tmp_path / "file"))
    staged.write(b"a" * 9_000)
    staged.commit()
    for offset in (100, 5_000, 8_999):
        staged.seek(offset)
        staged.write(b"new")
    disk.writes_left = writes
    with pytest.raises(OSError, match="No space left"):
        staged.commit()
    for offset in (50, 4_999, 12_000):
        staged.seek(offset)
        staged.write(b"later")
    staged.seek(0)
    expected = staged.read(12_005)
    disk.writes_left = 10**9
    staged.commit()
    assert (tmp_path / "file").read_bytes() == expected
    assert read_journal(FileIO(tmp_path / "file")) == (12_005, {})


def test_writes_go_on_while_the_disk_takes_its_time_and_all_are_committed_in_the_end(tmp_path: Path) -> None:
    disk = FakeDisk()
    disk.working.clear()
    staged = StagedFile(disk.make(tmp_path / "file"))
    staged.write(b"a" * 9_000)
    staged.commit_in_background(mark=1)
    for place in (100, 8_999):
        staged.seek(place)
        staged.write(b"bb")
        staged.commit_in_background(mark=2)
    staged.seek(0)
    expected = staged.read(9_001)
    assert expected == b"a" * 100 + b"bb" + b"a" * 8_897 + b"bb"
    assert (staged.mark, staged.failure) == (0, None)
    disk.working.set()
    staged.wait()
    assert staged.mark == 1
    assert (tmp_path / "file").read_bytes() == b"a" * 9_000
    staged.commit(mark=3)
    assert staged.mark == 3
    assert (tmp_path / "file").read_bytes() == expected
    staged.close()


def test_refused_commit_in_the_background_is_told_and_made_whole_by_the_next(tmp_path: Path) -> None:
    disk = FakeDisk()
    staged = StagedFile(disk.make(tmp_path / "file"))
    staged.write(b"a" * 9_000)
    disk.writes_left = 0
    staged.commit_in_background(mark=1)
    staged.seek(10)
    staged.write(b"b")
    staged.wait()
    assert isinstance(staged.failure, OSError)
    assert (staged.mark, staged.committed) == (0, 0)
    disk.writes_left = 10**9
    staged.commit_in_background(mark=2)
    staged.wait()
    assert (staged.mark, staged.failure) == (2, None)
    assert (tmp_path / "file").read_bytes() == b"a" * 10 + b"b" + b"a" * 8_989
    staged.close()


@pytest.mark.parametrize("in_background", [False, True])
@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_was_deleted_is_written_anew_under_its_name(tmp_path: Path, what: str, in_background: bool) -> None:
    path = tmp_path / "folder" / "file"
    path.parent.mkdir()
    staged = StagedFile(FileIO(path, "x+"))
    staged.write(b"a" * 9_000)
    staged.commit()
    assert staged.in_place
    if what == "file":
        path.unlink()
    else:
        shutil.rmtree(path.parent)
    assert not staged.in_place
    staged.seek(10)
    staged.write(b"b")
    if in_background:
        staged.commit_in_background()
        staged.wait()
        assert staged.failure is None
    else:
        staged.commit()
    assert staged.in_place
    assert path.read_bytes() == b"a" * 10 + b"b" + b"a" * 8_989
    staged.seek(0)
    assert staged.read(20) == b"a" * 10 + b"b" + b"a" * 9
    staged.close()
    assert not staged.in_place


def test_file_that_was_replaced_is_not_written_on(tmp_path: Path) -> None:
    path = tmp_path / "file"
    staged = StagedFile(FileIO(path, "x+"))
    staged.write(b"a" * 9_000)
    staged.commit()
    path.unlink()
    path.write_text("precious")
    assert not staged.in_place
    staged.commit_in_background()
    staged.wait()
    assert "another file has taken its name" in str(staged.failure)
    assert path.read_text() == "precious"
    path.unlink()
    staged.commit()
    assert path.read_bytes() == b"a" * 9_000
    staged.close()


def test_copy_that_the_disk_refuses_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    staged = StagedFile(FileIO(path, "x+"))
    staged.write(b"a" * 9_000)
    staged.commit()
    path.unlink()
    with monkeypatch.context() as context:
        context.setattr("sessions.storage.committed_file.open_new", FakeDisk(room=1_000).make)
        with pytest.raises(OSError, match="No space left"):
            staged.commit()
    assert not path.exists()
    staged.commit()
    assert path.read_bytes() == b"a" * 9_000
    staged.close()
