"""Recordings from several machines come together by session; nothing is overwritten, removed or copied twice."""

from __future__ import annotations

import errno
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from session_builders import EPISODE, SESSION, Clock, random_steps, write_recording

import sessions
from sessions import Recorder, RecordingError, StorageError
from sessions.ledger import LEDGER_NAME, read_ledger, sha256_of
from sessions.maintenance.merge import Merged, merge
from sessions.maintenance.repair import repair
from sessions.maintenance.withdraw import plan_withdrawal, withdraw
from sessions.maintenance.withdrawn import LOCK_NAME, LOG_NAME, LogLine, highest_given, note_given, read_withdrawn


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fates(recordings: tuple[Merged, ...]) -> list[str]:
    return [recording.fate for recording in recordings]


def recorded(folder: Path, session_id: str, **changes: Any) -> Path:
    return write_recording(folder, (2,), session_id=session_id, **changes)


def killed(folder: Path) -> Path:
    """Write what a killed session leaves."""
    recorder = Recorder(folder / "running", SESSION, clock=Clock())
    recorder.begin_episode(EPISODE)
    for step in random_steps(128):
        recorder.append(step)
    path = Path(shutil.copy(recorder.path, folder))
    recorder.close("aborted")
    shutil.rmtree(folder / "running")
    return path


def test_recordings_of_two_machines_come_together(tmp_path: Path) -> None:
    one, other = recorded(tmp_path / "a", "00000a"), recorded(tmp_path / "b", "00000b", participant="p02")
    (tmp_path / "b" / "notes.txt").write_text("not a recording")
    before = contents(tmp_path)
    result = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "all")
    assert fates(result.recordings) == ["copied", "copied"]
    assert result.shared_names == ()
    ledger = contents(tmp_path / "all")[LEDGER_NAME]
    assert contents(tmp_path / "all") == {path.name: path.read_bytes() for path in (one, other)} | {LEDGER_NAME: ledger}
    held = read_ledger(tmp_path / "all")
    assert held is not None and list(held.held) == [sha256_of(one), sha256_of(other)]
    assert {name: data for name, data in contents(tmp_path).items() if not name.startswith("all")} == before


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=6))
def test_merging_again_in_any_order_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, placed: list[tuple[int, int]]
) -> None:
    """Put four sessions on three machines, some on several, and merge back and forth."""
    root = tmp_path_factory.mktemp("machines")
    for machine, number in set(placed):
        recorded(root / str(machine), f"00000{number}", participant=f"p{number}")
    sources = [root / str(machine) for machine in range(3)]
    first = merge(sources, root / "all")
    together = contents(root / "all")
    assert len(together) == len({number for _, number in placed}) + bool(placed)
    assert set(fates(first.recordings)) <= {"copied", "identical"}
    again = merge([*reversed(sources), root / "all"], root / "all")
    assert set(fates(again.recordings)) <= {"identical"}
    assert contents(root / "all") == together


def test_dry_run_tells_the_same_and_writes_nothing(tmp_path: Path) -> None:
    recorded(tmp_path / "b", "00000b", participant="p02")
    for machine in "ab":
        recorded(tmp_path / machine, "00000a")

    before = contents(tmp_path)
    sources = [tmp_path / "a", tmp_path / "b"]
    told = merge(sources, tmp_path / "all", dry_run=True)
    assert contents(tmp_path) == before
    assert not (tmp_path / "all").exists()
    assert told == merge(sources, tmp_path / "all")


def test_other_contents_under_the_same_session_id_are_a_conflict(tmp_path: Path) -> None:
    kept = recorded(tmp_path / "all", "00000a")
    other = recorded(tmp_path / "b", "00000a")
    with h5py.File(other, "r+") as file:
        file["episodes/000/action"][0] = (file["episodes/000/action"][0] + 1) % len(SESSION.task.actions)
    before = contents(tmp_path)
    (result,) = merge([tmp_path / "b"], tmp_path / "all").recordings
    assert (result.fate, result.target, result.left_behind) == ("conflict", kept, True)
    assert "other contents: column action of episode 0" in result.detail
    assert contents(tmp_path) == before


def test_other_session_under_the_same_name_is_a_conflict(tmp_path: Path) -> None:
    kept = recorded(tmp_path / "all", "00000a")
    other = recorded(tmp_path / "b", "00000b").rename(tmp_path / "b" / kept.name)
    before = contents(tmp_path)
    (result,) = merge([other], tmp_path / "all").recordings
    assert (result.fate, result.target) == ("conflict", kept)
    assert contents(tmp_path) == before


def test_unreadable_file_under_the_name_is_not_overwritten(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a", "00000a")
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / path.name).write_bytes(b"torn")
    for dry_run in (True, False):
        assert fates(merge([path], tmp_path / "all", dry_run=dry_run).recordings) == ["conflict"]
    assert contents(tmp_path / "all") == {path.name: b"torn"}


def test_unreadable_recording_is_left_behind_and_the_others_are_not(tmp_path: Path) -> None:
    recorded(tmp_path / "a", "00000a")
    (tmp_path / "a" / "torn.h5").write_bytes(b"torn")
    result = merge([tmp_path / "a"], tmp_path / "all")
    assert fates(result.recordings) == ["copied", "unreadable"]
    assert "torn.h5" in result.recordings[1].detail
    assert len(sessions.find_recordings(tmp_path / "all")) == 1


def test_killed_session_is_brought_along_and_its_repaired_recording_after_it(tmp_path: Path) -> None:
    path = killed(tmp_path / "a")
    assert fates(merge([tmp_path / "a"], tmp_path / "all").recordings) == ["copied"]
    repaired = repair(path)
    assert set(fates(merge([path, repaired], tmp_path / "all").recordings)) == {"identical", "copied"}
    assert set(contents(tmp_path / "all")) == {path.name, repaired.name, LEDGER_NAME}


def test_killed_session_of_which_all_is_in_a_finished_recording_is_not_copied(tmp_path: Path) -> None:
    path = killed(tmp_path / "a")
    repaired = repair(path, tmp_path / "all")
    (result,) = merge([path], tmp_path / "all").recordings
    assert (result.fate, result.target) == ("contained", repaired)
    assert set(contents(tmp_path / "all")) == {repaired.name, LEDGER_NAME}


def test_killed_session_that_holds_more_than_the_finished_recording_is_a_conflict(tmp_path: Path) -> None:
    path = killed(tmp_path / "a")
    finished = write_recording(tmp_path / "all", (2,))
    (result,) = merge([path], tmp_path / "all").recordings
    assert (result.fate, result.target) == ("conflict", finished)


def test_running_session_is_left_where_it_is(tmp_path: Path) -> None:
    path = killed(tmp_path / "a")
    asked: list[tuple[Path, str]] = []

    def running(folder: Path, session_id: str) -> bool:
        asked.append((folder, session_id))
        return True

    (result,) = merge([tmp_path / "a"], tmp_path / "all", running=running).recordings
    assert (result.fate, result.left_behind) == ("running", False)
    assert asked == [(path.parent, SESSION.session_id)]
    assert not (tmp_path / "all").exists()


@pytest.mark.parametrize(
    ("here", "there", "told"),
    [
        ([("00000a", "p01", "")], [("00000b", "p01", "")], ["p01"]),
        ([("00000a", "p01", "")], [("00000b", "p02", "")], []),
        ([("00000a", "p01", "")], [("00000a", "p01", ""), ("00000b", "p01", "")], []),
        ([("00000a", "p01", "")], [("00000b", "p01", "00000a")], []),
        ([("00000a", "p01", ""), ("00000c", "p01", "")], [("00000a", "p01", ""), ("00000b", "p01", "")], ["p01"]),
    ],
)
def test_participant_with_different_sittings_on_two_machines_is_named(
    tmp_path: Path, here: list[tuple[str, str, str]], there: list[tuple[str, str, str]], told: list[str]
) -> None:
    for folder, sittings in (("a", here), ("b", there)):
        for session_id, participant, resumes in sittings:
            recorded(tmp_path / folder, session_id, participant=participant, resumes=resumes)
    sources = [tmp_path / "a", tmp_path / "b"]
    assert merge(sources, tmp_path / "all").shared_names == tuple(told)
    assert merge(sources, tmp_path / "all").shared_names == ()


def test_disk_that_refuses_leaves_no_part_of_a_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(tmp_path / "a", "00000a")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sessions.maintenance.merge.os.fsync", full)
    with pytest.raises(StorageError, match=r"No space left on device; .* nothing was lost"):
        merge([tmp_path / "a"], tmp_path / "all")
    monkeypatch.undo()
    assert list((tmp_path / "all").iterdir()) == []


def test_what_was_withdrawn_is_not_brought_back_and_the_folder_remembers_it(tmp_path: Path) -> None:
    desk, copy, together = tmp_path / "desk", tmp_path / "copy", tmp_path / "all"
    recorded(desk, "00000a", participant="p01")
    recorded(desk, "00000b", participant="p02")
    shutil.copytree(desk, copy)
    recorded(copy, "00000c", participant="p01")
    withdraw(plan_withdrawal("p01", desk), datetime(2026, 1, 1, tzinfo=UTC))
    back = merge([copy], desk)
    assert fates(back.recordings) == ["withdrawn", "withdrawn", "identical"]
    assert "copy it by hand" in back.recordings[1].detail
    assert not any(recording.left_behind for recording in back.recordings)
    # From any of the sources, and for later merges.
    first = merge([copy], together)
    assert fates(first.recordings) == ["copied"] * 3
    second = merge([desk, copy], together)
    assert fates(second.recordings) == ["identical", "withdrawn", "withdrawn", "identical"]
    assert second.still_here == ("p01",)
    assert read_withdrawn(together) == read_withdrawn(desk)


def log_of(numbers: range) -> str:
    """Return a log of withdrawals with a salt for each number; nobody has these names."""
    lines = (LogLine("2026-01-01", 0, f"{number:032x}", "0" * 32, ()) for number in numbers)
    return "".join(f"{line.dumps()}\n" for line in lines)


def test_foreign_log_with_more_salts_than_can_be_looked_up_is_refused(tmp_path: Path) -> None:
    recorded(tmp_path / "desk", "00000a")
    log = tmp_path / "desk" / LOG_NAME
    log.write_text(log_of(range(100_000)))
    with pytest.raises(RecordingError, match=r"more than 256 salts.*nothing was changed"):
        merge([tmp_path / "desk"], tmp_path / "all")
    assert not (tmp_path / "all").exists()
    log.write_text(log_of(range(256)))
    assert fates(merge([tmp_path / "desk"], tmp_path / "all").recordings) == ["copied"]


def test_logs_that_together_have_too_many_salts_are_refused_before_anything_is_copied(tmp_path: Path) -> None:
    for folder, numbers in (("all", range(200)), ("desk", range(100, 300))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / LOG_NAME).write_text(log_of(numbers))
    recorded(tmp_path / "desk", "00000a")
    with pytest.raises(RecordingError, match="would have more than 256 salts"):
        merge([tmp_path / "desk"], tmp_path / "all")
    assert {path.name for path in (tmp_path / "all").iterdir()} == {LOCK_NAME, LOG_NAME}
    assert (tmp_path / "all" / LOG_NAME).read_text() == log_of(range(200))


def test_log_does_not_grow_past_what_is_read(tmp_path: Path) -> None:
    former = f'{{"date_utc": "2025-01-01", "sessions": 1{" " * (2**24 - 300)}}}\n'
    for folder, number in (("all", 1), ("desk", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / LOG_NAME).write_text(former + log_of(range(number, number + 1)))
    with pytest.raises(RecordingError, match="16777216 bytes"):
        merge([tmp_path / "desk"], tmp_path / "all")
    assert len(read_withdrawn(tmp_path / "all").lines) == 1


def test_dry_run_remembers_nothing(tmp_path: Path) -> None:
    recorded(tmp_path / "desk", "00000a", participant="p01")
    withdraw(plan_withdrawal("p01", tmp_path / "desk"), datetime(2026, 1, 1, tzinfo=UTC))
    merge([tmp_path / "desk"], tmp_path / "all", dry_run=True)
    assert not (tmp_path / "all").exists()


def test_copies_of_a_merge_that_was_killed_before_they_were_noted_are_noted_by_the_next(tmp_path: Path) -> None:
    recorded(tmp_path / "a", "00000a")
    merge([tmp_path / "a"], tmp_path / "all")
    ledger = (tmp_path / "all" / LEDGER_NAME).read_bytes()
    (tmp_path / "all" / LEDGER_NAME).unlink()
    assert fates(merge([tmp_path / "a"], tmp_path / "all").recordings) == ["identical"]
    assert (tmp_path / "all" / LEDGER_NAME).read_bytes() == ledger


def test_merging_remembers_the_names_that_desks_have_given(tmp_path: Path) -> None:
    for desk, people in (("one", ["p07"]), ("two", ["p03", "pilot02"])):
        (tmp_path / desk).mkdir()
        note_given(tmp_path / desk, people)
    merge([tmp_path / "one", tmp_path / "two"], tmp_path / "all", dry_run=True)
    assert not (tmp_path / "all").exists()
    merge([tmp_path / "one", tmp_path / "two"], tmp_path / "all")
    assert highest_given(tmp_path / "all") == {"p": 7, "pilot": 2}
