"""A recording that others write to, cut, replace or lead elsewhere while it is written."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable
from io import FileIO
from pathlib import Path

import pytest
from session_builders import EPISODE, SESSION, Clock, assert_holds, random_steps

import sessions
from sessions import Recorder, StorageError, StorageWaitError
from sessions.schema import MENDED
from sessions.storage.committed_file import CommittedFile
from sessions.storage.journal import PAGE
from sessions.storage.staging import StagedFile
from sessions.verify import verify

STEPS = random_steps(120)


class Drive:
    """A recording to which steps go, ten in a second of its clock.

    Args:
        folder: Where it lies.
        in_background: Whether a thread commits.
    """

    def __init__(self, folder: Path, in_background: bool = False) -> None:
        self._clock = Clock()
        self.recorder = Recorder(folder, SESSION, clock=self._clock, in_background=in_background)
        self.recorder.begin_episode(EPISODE)
        self._taken = 0
        self.path = self.recorder.path

    def go(self, steps: int = 20) -> None:
        """Record steps; the one that meets a refusal is kept as well."""
        for _ in range(steps):
            self._clock.now_ns += 100_000_000
            self._taken += 1
            self.recorder.append(STEPS[self._taken - 1])
            self.recorder._staged.wait()

    def end(self) -> list[str]:
        """Close the recording, fail unless it is whole, and return what it says of the file."""
        self.recorder.end_episode("complete")
        return self.check(self.recorder.close("complete"))

    def check(self, path: Path) -> list[str]:
        """See `end`."""
        assert {finding.outcome for finding in verify(path) if finding.check == "seal"} == {"ok"}
        with sessions.open(path) as session:
            assert_holds(session.episodes[0], STEPS[: self._taken])
            return [event.detail for event in session.events() if event.kind == MENDED]


def later(path: Path) -> None:
    """Let a tick of the file system's clock have passed since it was written to."""
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000_000))


def invert(path: Path, at: int | None = None) -> None:
    """Invert 64 bytes in the middle, or elsewhere."""
    with path.open("r+b") as file:
        start = file.seek(path.stat().st_size // 2 if at is None else at)
        data = file.read(64)
        file.seek(start)
        file.write(bytes(255 - byte for byte in data))


def halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def halve_and_fill_up(path: Path) -> None:
    size = path.stat().st_size
    halve(path)
    os.truncate(path, size)


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"foreign" * 100_000)


@pytest.mark.parametrize("in_background", [False, True])
@pytest.mark.parametrize("damage", [invert, halve, empty, halve_and_fill_up, append])
def test_what_others_do_to_a_recording_is_undone_with_the_next_commit_and_told_in_it(
    tmp_path: Path, damage: Callable[[Path], None], in_background: bool
) -> None:
    drive = Drive(tmp_path, in_background)
    drive.go()
    before = drive.path.read_bytes()
    damage(drive.path)
    later(drive.path)
    drive.go(6)
    assert drive.path.stat().st_size < len(before) + 100_000
    with sessions.open(drive.path) as session:
        assert session.episodes[0].n_steps > 20
    drive.go()
    (told,) = drive.end()
    assert ("700000 bytes" if damage is append else "something else had changed or cut off") in told


def test_recording_that_was_only_touched_goes_on_without_a_word(tmp_path: Path) -> None:
    drive = Drive(tmp_path)
    for _ in range(5):
        drive.go(10)
        later(drive.path)
        drive.path.chmod(0o640)
    assert drive.end() == []


def test_changes_after_the_last_step_are_undone_and_told(tmp_path: Path) -> None:
    drive = Drive(tmp_path)
    drive.go()
    drive.recorder.end_episode("complete")
    invert(drive.path)
    later(drive.path)
    (told,) = drive.check(drive.recorder.close("complete"))
    assert "pages that something else had changed" in told


def test_change_in_the_tick_of_a_commit_is_found_and_undone_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = CommittedFile._look
    monkeypatch.setattr(CommittedFile, "_look", lambda file: (look(file) or ())[:3])  # of a coarse clock
    drive = Drive(tmp_path)
    drive.go()
    invert(drive.path)
    drive.go()
    drive.recorder.end_episode("complete")
    with pytest.raises(StorageWaitError, match=r"something else had changed .* all is in it"):
        drive.recorder.close("complete")
    assert not drive.recorder.final_path.exists()
    drive.check(drive.path)
    drive.check(drive.recorder.close("complete"))


@pytest.mark.parametrize("in_background", [False, True])
@pytest.mark.parametrize("damage", [lambda path: invert(path, 5 * PAGE), empty])
def test_what_is_no_longer_in_memory_is_waited_for_and_never_called_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None], in_background: bool
) -> None:
    monkeypatch.setattr("sessions.storage.committed_file._MOST_HELD", 30)  # an episode's
    drive = Drive(tmp_path, in_background)
    drive.go()
    drive.recorder.end_episode("complete")
    drive.recorder.begin_episode(EPISODE)
    drive.go()
    whole = drive.path.read_bytes()
    damage(drive.path)
    later(drive.path)
    spoilt = drive.path.read_bytes()
    for call in (drive.go, drive.recorder.retry):
        with pytest.raises(StorageWaitError, match=r"no longer in memory; .* not safe: put the file back") as told:
            call()
        assert len(str(told.value).splitlines()) == 1
        assert drive.path.read_bytes() == spoilt
    drive.path.write_bytes(whole)
    drive.recorder.retry()
    drive.recorder.end_episode("complete")
    with sessions.open(drive.recorder.close("complete")) as session:
        assert_holds(session.episodes[0], STEPS[:20])
        assert_holds(session.episodes[1], STEPS[20 : drive._taken])


@pytest.mark.parametrize("in_background", [False, True])
def test_recording_whose_name_something_else_has_waits_until_it_is_back(tmp_path: Path, in_background: bool) -> None:
    drive = Drive(tmp_path, in_background)
    drive.go()
    mine = drive.path.rename(tmp_path / "mine")
    drive.path.write_text("precious")
    for call in (drive.go, drive.recorder.retry):
        with pytest.raises(
            StorageWaitError, match=r"another file has taken its name; .* not safe: put the file"
        ) as told:
            call()
        assert len(str(told.value).splitlines()) == 1
    assert drive._taken <= 26
    assert drive.path.read_text() == "precious"
    mine.replace(drive.path)
    drive.recorder.retry()
    assert drive.end() == []


@pytest.mark.parametrize("in_background", [False, True])
@pytest.mark.parametrize("what", ["folder", "folder above", "file"])
def test_recorder_does_not_write_through_a_link_that_took_its_place(
    tmp_path: Path, what: str, in_background: bool
) -> None:
    drive = Drive(tmp_path / "data" / "recordings", in_background)
    drive.go()
    place = {"folder": drive.path.parent, "folder above": drive.path.parent.parent, "file": drive.path}[what]
    moved = place.rename(tmp_path / "moved")
    place.symlink_to(moved)
    before = drive.path.read_bytes()
    for call in (drive.go, drive.recorder.retry):
        with pytest.raises(StorageWaitError, match=r"a link has taken its place or its folder's.* not safe"):
            call()
    assert drive.path.read_bytes() == before
    place.unlink()
    drive.recorder.retry()  # anew
    other = moved if what == "file" else moved / drive.path.relative_to(place)
    assert other.read_bytes() == before
    assert drive.end() == ["the file was gone from its place, and was written there anew"]


def test_folder_that_is_a_link_when_the_session_begins_is_meant(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    drive = Drive(tmp_path / "link")
    drive.go()
    assert drive.end() == []
    assert drive.recorder.final_path.name in os.listdir(tmp_path / "real")


def test_recording_given_up_while_something_of_it_is_lost_is_not_called_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sessions.storage.committed_file._MOST_HELD", 4)
    drive = Drive(tmp_path)
    drive.go()
    with pytest.raises(StorageError, match=r"something else has changed .* not safe") as told, drive.recorder:
        empty(drive.path)
        drive.go()
    assert len(str(told.value).splitlines()) == 1
    assert not drive.recorder.final_path.exists()


def test_change_during_a_commit_is_noticed_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staged = StagedFile(FileIO(tmp_path / "file", "x+"))
    staged.write(b"a" * 9_000)
    staged.commit()
    fsync = os.fsync

    def damage(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", fsync)
        invert(tmp_path / "file", 0)
        later(tmp_path / "file")

    staged.seek(8_000)
    staged.write(b"b")
    monkeypatch.setattr(os, "fsync", damage)
    staged.commit()
    assert staged.take_mends() == []
    staged.commit()
    assert staged.take_mends() == ["1 pages that something else had changed or cut off were written again"]
    assert (tmp_path / "file").read_bytes() == b"a" * 8_000 + b"b" + b"a" * 999


def filled(*letters: bytes) -> dict[int, bytes]:
    """Return pages of one letter each."""
    return {page: letter * PAGE for page, letter in enumerate(letters)}


def test_page_that_is_lost_and_written_by_this_very_commit_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sessions.storage.committed_file._MOST_HELD", 1)
    path = tmp_path / "file"
    file = CommittedFile(FileIO(path, "x+"))
    file.commit(filled(b"a", b"b"), 2 * PAGE)
    invert(path, 0)
    later(path)
    with pytest.raises(OSError, match="no longer in memory"):
        file.commit({1: b"c" * PAGE}, 2 * PAGE)
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="no room"):
            file.commit(filled(b"d", b"c"), 2 * PAGE)
    assert not file.in_place
    file.commit(filled(b"d", b"c"), 2 * PAGE)
    assert file.in_place
    assert path.read_bytes() == b"d" * PAGE + b"c" * PAGE
    assert file.take_mends() == ["1 pages that something else had changed or cut off were written again"]
    assert file.take_mends() == []


def test_what_is_written_again_is_told_once_it_is_on_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    file = CommittedFile(FileIO(path, "x+"))
    file.commit(filled(b"a", b"b"), 2 * PAGE)
    invert(path, 0)
    later(path)
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="no room"):
            file.commit(filled(b"a", b"c"), 2 * PAGE)
    assert file.take_mends() == []
    file.commit(filled(b"a", b"c"), 2 * PAGE)
    assert file.take_mends() == ["1 pages that something else had changed or cut off were written again"]
    assert path.read_bytes() == b"a" * PAGE + b"c" * PAGE


def refuse(descriptor: int) -> None:
    raise OSError("no room")


def test_file_whose_times_change_by_themselves_is_read_back_ever_more_rarely_but_always_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, ticks = CommittedFile._look, itertools.count()
    monkeypatch.setattr(CommittedFile, "_look", lambda file: (*(look(file) or ())[:3], next(ticks)))
    readings = 0
    read = CommittedFile._wrong_pages

    def counted(file: CommittedFile, source: FileIO) -> list[int]:
        nonlocal readings
        readings += 1
        return read(file, source)

    monkeypatch.setattr(CommittedFile, "_wrong_pages", counted)
    staged = StagedFile(FileIO(tmp_path / "file", "x+"), durable=False)
    staged.write(b"a" * 9_000)
    for _ in range(300):
        staged.commit()
    assert readings <= 12
    invert(tmp_path / "file")
    for _ in range(64):
        staged.commit()
    assert len(staged.take_mends()) == 1
    assert (tmp_path / "file").read_bytes() == b"a" * 9_000


def test_deleted_file_is_not_written_anew_through_a_link(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    staged = StagedFile(FileIO(folder / "file", "x+"))
    staged.write(b"a" * 9_000)
    staged.commit()
    shutil.rmtree(folder)
    folder.symlink_to(elsewhere)
    with pytest.raises(OSError, match="a link has taken"):
        staged.commit()
    assert os.listdir(elsewhere) == []
    folder.unlink()
    staged.commit()
    assert (folder / "file").read_bytes() == b"a" * 9_000
