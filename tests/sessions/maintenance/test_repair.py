"""What a killed session left becomes a finished recording, and the original stays as it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import pytest
from fake_disk import FakeDisk, apply
from hypothesis import given, settings
from hypothesis import strategies as st
from session_builders import EPISODE, SESSION, Clock, assert_holds, random_steps, write_recording

import sessions
from sessions import Recorder, RecordingExistsError, StorageError, UnreadableRecordingError
from sessions.comparison import first_difference
from sessions.ledger import LEDGER_NAME, note_recorded
from sessions.maintenance.repair import RepairError, repair, repaired_path
from sessions.storage.journal import read_journal


def killed(folder: Path, lengths: tuple[int, ...], unflushed: int = 3, frames: bool = False) -> Path:
    """Write what a session killed in the last of these episodes leaves: all but the last rows, which were in memory."""
    clock = Clock()
    recorder = Recorder(folder / "running", SESSION, clock=clock, keep_frames=frames)
    for index, length in enumerate(lengths):
        recorder.begin_episode(EPISODE)
        for step in random_steps(length, index, frames):
            recorder.append(step)
        recorder.event("key_down", "left", index, index, 0)
        recorder.answer("control", "fünf", index)
        if index < len(lengths) - 1:
            recorder.end_episode("aborted" if index % 2 else "complete")
            if index % 2:
                recorder.reject_episode()
    clock.now_ns += 10**10
    recorder.event("flush", "", 0, 0, 0)
    for step in random_steps(unflushed, 99, frames):
        recorder.append(step)
    path = Path(shutil.copy(recorder.path, folder))
    recorder.close("aborted")
    return path


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 140), min_size=1, max_size=3), st.integers(0, 4))
def test_repaired_recording_holds_exactly_what_was_read_from_the_killed_one(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], unflushed: int
) -> None:
    path = killed(tmp_path_factory.mktemp("killed"), tuple(lengths), unflushed)
    before = path.read_bytes()
    repaired = repair(path)
    assert path.read_bytes() == before
    with sessions.open(path) as original, sessions.open(repaired) as copy:
        assert (original.status, copy.status) == ("running", "aborted")
        assert first_difference(original, copy) == ""
        assert [episode.status for episode in copy.episodes] == [
            "aborted" if episode.status == "running" else episode.status for episode in original.episodes
        ]
        for index, length in enumerate(lengths):
            assert_holds(copy.episodes[index], random_steps(length, index))
        assert len(copy.events()) == len(lengths) + 1
        assert [answer.answer for answer in copy.answers()] == ["fünf"] * len(lengths)


def test_frames_and_rejections_survive_a_repair(tmp_path: Path) -> None:
    repaired = repair(killed(tmp_path, (2, 3, 1), frames=True))
    with sessions.open(repaired) as session:
        assert [episode.rejected for episode in session.episodes] == [False, True, False]
        assert_holds(session.episodes[1], random_steps(3, 1, True))


def test_repaired_recording_takes_the_finished_name_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = killed(tmp_path, (3,))
    shutil.rmtree(tmp_path / "running")
    repaired = repair(path)
    assert repaired == path.with_name(path.name.removesuffix(".partial"))
    assert sorted(tmp_path.iterdir()) == sorted([repaired, path, tmp_path / LEDGER_NAME])
    elsewhere = repair(path, tmp_path / "new" / "folder")
    assert elsewhere == tmp_path / "new" / "folder" / repaired.name
    with sessions.open(repaired) as one, sessions.open(elsewhere) as other:
        assert first_difference(one, other) == ""


def test_changes_that_a_kill_kept_from_being_made_are_in_the_repaired_recording(tmp_path: Path) -> None:
    disk = FakeDisk()
    recorder = Recorder(tmp_path / "running", SESSION, clock=Clock(), make_file=disk.make)
    recorder.begin_episode(EPISODE)
    for step in random_steps(9):
        recorder.append(step)
    recorder.end_episode("complete")
    path = tmp_path / recorder.path.name
    pending, image = [], bytearray()
    for change in disk.log:
        apply(image, change)
        path.write_bytes(image)
        with path.open("rb") as file:
            if read_journal(file)[1]:
                pending.append(bytes(image))
    recorder.close("complete")
    assert pending
    path.write_bytes(pending[-1])
    repaired = repair(path)
    assert path.read_bytes() == pending[-1]
    with sessions.open(repaired) as session, repaired.open("rb") as file:
        assert read_journal(file)[1] == {}
        assert [episode.status for episode in session.episodes] == ["complete"]
        assert_holds(session.episodes[0], random_steps(9))


def test_recording_whose_last_rename_was_cut_short_keeps_its_status(tmp_path: Path) -> None:
    finished = write_recording(tmp_path)
    path = finished.rename(finished.with_name(finished.name + ".partial"))
    with sessions.open(repair(path)) as session:
        assert session.status == "complete"


def test_rows_that_only_some_columns_have_are_left_out(tmp_path: Path) -> None:
    path = killed(tmp_path, (5,))
    with h5py.File(path, "r+") as file:
        file["episodes/000/reward"].resize(2, axis=0)
    with sessions.open(repair(path)) as session:
        assert_holds(session.episodes[0], random_steps(5, 0)[:2])


def test_recording_of_the_finished_name_is_never_overwritten(tmp_path: Path) -> None:
    path = killed(tmp_path, (3,))
    target = repaired_path(path)
    target.write_bytes(b"precious")
    with pytest.raises(RecordingExistsError, match="was left as it is"):
        repair(path)
    assert target.read_bytes() == b"precious"


def test_recording_that_takes_the_finished_name_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = killed(tmp_path, (3,))
    target = repaired_path(path)

    def compared(one: object, other: object) -> str:
        target.write_bytes(b"precious")
        return ""

    monkeypatch.setattr("sessions.maintenance.repair.first_difference", compared)
    with pytest.raises(RecordingExistsError, match="was left as it is"):
        repair(path)
    assert target.read_bytes() == b"precious"


def test_copy_that_differs_from_the_original_gets_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = killed(tmp_path, (3,))
    monkeypatch.setattr("sessions.maintenance.repair.first_difference", lambda one, other: "column action of episode 0")
    with pytest.raises(RepairError, match="column action of episode 0"):
        repair(path)
    assert [entry for entry in tmp_path.iterdir() if entry.name != "running"] == [path]


@pytest.mark.parametrize("name", ["p01.h5", "notes.txt"])
def test_finished_recordings_need_no_repair(tmp_path: Path, name: str) -> None:
    with pytest.raises(RepairError, match=r"not a \.h5\.partial file"):
        repair(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"torn", b"\x89HDF\r\n\x1a\n"])
def test_file_from_which_nothing_can_be_read_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "p01_pilot_20260131T140509Z_0a1b2c.h5.partial"
    path.write_bytes(content)
    with pytest.raises(UnreadableRecordingError):
        repair(path)
    assert list(tmp_path.iterdir()) == [path]


def test_what_no_recorder_writes_is_not_repaired_into_a_recording(tmp_path: Path) -> None:
    path = killed(tmp_path, (5,))
    with h5py.File(path, "r+") as file:
        file["episodes/000/action"][2] = 7
    with pytest.raises(RepairError, match="holds what no recorder writes"):
        repair(path)
    assert not repaired_path(path).exists()


def test_full_disk_leaves_the_original_and_nothing_else(tmp_path: Path) -> None:
    path = killed(tmp_path, (140, 140))
    before = path.read_bytes()
    with pytest.raises(
        StorageError, match=r"No space left on device; .* was not changed: make room and repair it again"
    ):
        repair(path, make_file=FakeDisk(room=40_000).make)
    assert path.read_bytes() == before
    assert [entry for entry in tmp_path.iterdir() if entry.name != "running"] == [path]


def test_folder_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    path = killed(tmp_path, (3,))
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="was not changed") as refusal:
        repair(path, tmp_path / "file")
    assert len(str(refusal.value).splitlines()) == 1


def test_recording_that_lacks_only_its_name_gets_it_byte_for_byte(tmp_path: Path) -> None:
    def killed_before_its_name(path: Path) -> None:
        note_recorded(tmp_path, [path])
        raise KeyboardInterrupt

    recorder = Recorder(tmp_path, SESSION, on_whole=killed_before_its_name)
    recorder.begin_episode(EPISODE)
    recorder.append(random_steps(1)[0])
    recorder.end_episode("complete")
    with pytest.raises(KeyboardInterrupt):
        recorder.close("complete")
    recorder.abandon()
    ledger = (tmp_path / LEDGER_NAME).read_bytes()
    repaired = repair(recorder.path)
    assert repaired.read_bytes() == recorder.path.read_bytes()
    assert (tmp_path / LEDGER_NAME).read_bytes() == ledger, "what was noted is there, under its name"
    with sessions.open(repaired) as session:
        assert session.status == "complete"


def test_repair_that_was_killed_before_it_was_noted_is_noted_when_it_is_given_again(tmp_path: Path) -> None:
    path = killed(tmp_path, (3,))
    shutil.rmtree(tmp_path / "running")
    repaired = repair(path)
    ledger = (tmp_path / LEDGER_NAME).read_bytes()
    (tmp_path / LEDGER_NAME).unlink()
    with pytest.raises(RecordingExistsError):
        repair(path)
    assert (tmp_path / LEDGER_NAME).read_bytes() == ledger
    assert repaired.is_file()
