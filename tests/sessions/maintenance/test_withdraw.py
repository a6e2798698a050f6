"""A person's recordings go, everybody else's stay, and only the date and a number are kept."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from session_builders import write_recording

from sessions import ParticipantNameError, RecordingError, StorageError
from sessions.maintenance.withdraw import LOG_NAME, plan_withdrawal, withdraw

NOW = datetime(2026, 3, 4, 23, 30, tzinfo=timezone(timedelta(hours=-5)))


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def recorded(folder: Path, participant: str, session_id: str, protocol: str = "pilot", resumes: str = "") -> Path:
    return write_recording(
        folder, (1,), participant=participant, session_id=session_id, protocol=protocol, resumes=resumes
    )


def test_all_of_a_person_goes_and_nothing_of_anybody_else(tmp_path: Path) -> None:
    first = recorded(tmp_path, "p01", "00000a")
    rest = recorded(tmp_path, "p01", "00000b", "evaluation", resumes="00000a")
    killed = Path(shutil.copy(first, str(first) + ".partial"))
    renamed = recorded(tmp_path, "p01", "00000c").rename(tmp_path / "interesting.h5")
    stem = first.name.removesuffix(".h5")
    exports = tmp_path / "exports" / f"{stem}.minari"
    exports.mkdir(parents=True)
    for path in (tmp_path / f"{stem}.mp4", tmp_path / f"{stem}-steps.csv", exports / "data.bin"):
        path.write_bytes(b"derived")
    kept = {
        recorded(tmp_path, "p01_pilot", "00000d").name,
        recorded(tmp_path, "p011", "00000e").name,
        recorded(tmp_path, "p02", "00000f").name,
        "notes.txt",
        "exports",
    }
    (tmp_path / "notes.txt").touch()
    plan = plan_withdrawal("p01", tmp_path)
    assert plan.session_ids == ("00000a", "00000b", "00000c")
    assert {first, rest, killed, renamed, exports, exports / "data.bin"} <= set(plan.files)
    assert plan.unreadable == ()
    withdraw(plan, NOW)
    assert names(tmp_path) == kept | {LOG_NAME}


def test_only_the_date_and_the_number_of_sessions_are_noted(tmp_path: Path) -> None:
    for participant, session_id in (("alice", "00000a"), ("alice", "00000b"), ("bob", "00000c")):
        recorded(tmp_path, participant, session_id)
    for participant in ("alice", "bob"):
        withdraw(plan_withdrawal(participant, tmp_path), NOW)
    log = (tmp_path / LOG_NAME).read_text()
    assert [json.loads(line) for line in log.splitlines()] == [
        {"date_utc": "2026-03-05", "sessions": 2},
        {"date_utc": "2026-03-05", "sessions": 1},
    ]
    assert names(tmp_path) == {LOG_NAME}


def test_planning_removes_nothing(tmp_path: Path) -> None:
    recorded(tmp_path, "p01", "00000a")
    before = names(tmp_path)
    plan_withdrawal("p01", tmp_path)
    assert names(tmp_path) == before


def test_damaged_recording_goes_by_its_name_and_one_without_a_telling_name_is_pointed_out(tmp_path: Path) -> None:
    damaged = recorded(tmp_path, "p01", "00000a")
    damaged.write_bytes(b"torn")
    nameless = tmp_path / "torn.h5"
    nameless.write_bytes(b"torn")
    others = recorded(tmp_path, "p02", "00000b")
    others.write_bytes(b"torn")
    plan = plan_withdrawal("p01", tmp_path)
    assert (plan.files, plan.unreadable, plan.session_ids) == ((damaged,), (nameless,), ("00000a",))


def test_recording_of_another_person_under_the_persons_name_stays(tmp_path: Path) -> None:
    taken = tmp_path / "p01_pilot_20260131T140509Z_00000a.h5"
    recorded(tmp_path, "p02", "00000a").rename(taken)
    plan = plan_withdrawal("p01", tmp_path)
    assert plan.files == ()


def test_what_was_made_from_a_recording_goes_even_if_that_went_before(tmp_path: Path) -> None:
    film = tmp_path / "p01_evaluation_20260131T140509Z_00000a.mp4"
    film.touch()
    assert plan_withdrawal("p01", tmp_path).files == (film,)


@pytest.mark.skipif(os.name != "posix", reason="needs symbolic links")
def test_links_go_and_what_they_lead_to_stays(tmp_path: Path) -> None:
    outside = recorded(tmp_path / "outside", "p01", "00000a")
    data = tmp_path / "data"
    data.mkdir()
    (data / "folder").symlink_to(tmp_path / "outside")
    link = data / outside.name
    link.symlink_to(outside)
    alias = data / "alias.h5"
    alias.symlink_to(outside)
    plan = plan_withdrawal("p01", data)
    assert plan.files == (alias, link)
    withdraw(plan, NOW)
    assert outside.exists()
    assert names(data) == {"folder", LOG_NAME}


def test_file_that_cannot_be_removed_is_named_and_withdrawing_again_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = recorded(tmp_path, "p01", "00000a"), recorded(tmp_path, "p01", "00000b")
    plan = plan_withdrawal("p01", tmp_path)
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path == second:
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StorageError, match=rf"cannot remove {second}: Permission denied"):
        withdraw(plan, NOW)
    monkeypatch.undo()
    assert names(tmp_path) == {second.name}
    assert not first.exists()
    withdraw(plan_withdrawal("p01", tmp_path), NOW)
    assert names(tmp_path) == {LOG_NAME}


@pytest.mark.parametrize("name", ["../x", "", "p 1"])
def test_malformed_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ParticipantNameError):
        plan_withdrawal(name, tmp_path)


def test_missing_folder_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="nothing was removed"):
        plan_withdrawal("p01", tmp_path / "absent")


NAMES = st.text("ap01_-", min_size=1, max_size=4).filter(lambda name: not name.startswith("-"))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(NAMES, st.sampled_from(["pilot", "evaluation"])), min_size=1, max_size=5))
def test_exactly_the_named_persons_recordings_go_whatever_people_are_called(
    tmp_path_factory: pytest.TempPathFactory, people: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("recordings")
    paths = {recorded(folder, name, f"{number:06x}", protocol): name for number, (name, protocol) in enumerate(people)}
    leaver = people[0][0]
    withdraw(plan_withdrawal(leaver, folder), NOW.astimezone(UTC))
    assert {path for path in paths if path.exists()} == {path for path, name in paths.items() if name != leaver}
