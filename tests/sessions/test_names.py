from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from sessions import ParticipantNameError, RecordingError, check_name, find_recordings, new_session_id, recording_name

CREATED = datetime(2026, 1, 31, 14, 5, 9, tzinfo=UTC)


@pytest.mark.parametrize("name", ["p01", "A", "_x", "a-b_c", "0", "x" * 64])
def test_letters_digits_hyphen_and_underscore_make_a_name(name: str) -> None:
    check_name("participant", name)


@pytest.mark.parametrize(
    "name", ["", "../x", "..", ".", "a/b", "a\\b", "-x", "a b", "a.b", "x" * 65, "é", "p\n", "p\0", "٣"]
)
def test_any_other_name_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(ParticipantNameError, match="participant name") as refusal:
        check_name("participant", name)
    assert isinstance(refusal.value, RecordingError)
    assert len(str(refusal.value).splitlines()) == 1


def test_recording_is_named_after_who_what_when_and_id() -> None:
    assert recording_name("p_1", "pilot", CREATED, "0a1b2c") == "p_1_pilot_20260131T140509Z_0a1b2c.h5"


def test_time_in_the_name_is_utc_whatever_the_zone() -> None:
    local = CREATED.astimezone(timezone(timedelta(hours=-8)))
    assert recording_name("p", "pilot", local, "0a1b2c") == recording_name("p", "pilot", CREATED, "0a1b2c")


@pytest.mark.parametrize("session_id", ["", "0a1b2", "0A1B2C", "0a1b2c3", "../../"])
def test_malformed_session_id_makes_no_file_name(session_id: str) -> None:
    with pytest.raises(ValueError, match="session id"):
        recording_name("p", "pilot", CREATED, session_id)


def test_time_without_zone_makes_no_file_name() -> None:
    with pytest.raises(ValueError, match="time zone"):
        recording_name("p", "pilot", CREATED.replace(tzinfo=None), "0a1b2c")


def test_session_ids_make_names_and_differ() -> None:
    ids = {new_session_id() for _ in range(20)}
    assert len(ids) > 1
    for session_id in ids:
        recording_name("p", "pilot", CREATED, session_id)


def test_recordings_are_found_oldest_first_whoever_took_part(tmp_path: Path) -> None:
    names = [
        "z_z_pilot_20250101T000000Z_000000.h5",
        "b_evaluation_20260101T000000Z_111111.h5.partial",
        "a_pilot_20260102T000000Z_222222.h5",
        "renamed.h5",
    ]
    for name in [*reversed(names), "notes.txt", "a_pilot_20260102T000000Z_222222.h5.bak"]:
        (tmp_path / name).touch()
    (tmp_path / "folder.h5").mkdir()
    assert [path.name for path in find_recordings(tmp_path)] == names


def test_missing_folder_holds_no_recordings(tmp_path: Path) -> None:
    assert find_recordings(tmp_path / "recordings") == []


def test_file_in_place_of_the_folder_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "recordings").touch()
    with pytest.raises(RecordingError, match="cannot list"):
        find_recordings(tmp_path / "recordings")


def test_kill_halfway_through_the_final_rename_does_not_list_a_session_twice(tmp_path: Path) -> None:
    final = tmp_path / "p_pilot_20260101T000000Z_000000.h5"
    final.write_bytes(b"x")
    os.link(final, tmp_path / (final.name + ".partial"))
    assert find_recordings(tmp_path) == [final]
