"""A person's recordings go, everybody else's stay, and only the date and a number are kept."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from session_builders import write_recording

from disk.locking import FileLock, alone
from sessions import ParticipantNameError, RecordingError, StorageError
from sessions.ledger import LEDGER_NAME, LedgerError, note_recorded
from sessions.maintenance.withdraw import INTENT_NAME, interrupted, plan_withdrawal, withdraw
from sessions.maintenance.withdrawn import LOCK_NAME, LOG_NAME, NAMES_NAME, highest_given, note_given, read_withdrawn

NOW = datetime(2026, 3, 4, 23, 30, tzinfo=timezone(timedelta(hours=-5)))


def names(folder: Path) -> set[str]:
    """Return the names of all that lies in a folder, but for the lock that is left where names were remembered."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != LOCK_NAME}


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
    assert names(tmp_path) == kept | {LOG_NAME, NAMES_NAME}


def test_only_the_date_and_the_number_of_sessions_are_noted(tmp_path: Path) -> None:
    for participant, session_id in (("alice", "00000a"), ("alice", "00000b"), ("bob", "00000c")):
        recorded(tmp_path, participant, session_id)
    for participant in ("alice", "bob"):
        withdraw(plan_withdrawal(participant, tmp_path), NOW)
    log = (tmp_path / LOG_NAME).read_text()
    assert [(line["date_utc"], line["sessions"]) for line in map(json.loads, log.splitlines())] == [
        ("2026-03-05", 2),
        ("2026-03-05", 1),
    ]
    assert not any(word in log for word in ("alice", "bob", "00000a", "00000b", "00000c"))
    assert names(tmp_path) == {LOG_NAME, NAMES_NAME}


def test_who_has_withdrawn_is_known_by_hashes(tmp_path: Path) -> None:
    recorded(tmp_path, "alice", "00000a")
    withdraw(plan_withdrawal("alice", tmp_path), NOW)
    withdrawn = read_withdrawn(tmp_path)
    assert withdrawn.has_name("alice")
    assert withdrawn.has_session("00000a")
    assert not withdrawn.has_name("bob")
    assert not withdrawn.has_session("00000b")
    # One salt for the folder: a name is hashed once, however many have withdrawn.
    recorded(tmp_path, "bob", "00000b")
    withdraw(plan_withdrawal("bob", tmp_path), NOW)
    assert len({line.salt for line in read_withdrawn(tmp_path).lines}) == 1


def test_lines_of_version_0_1_0_say_nothing_and_stay(tmp_path: Path) -> None:
    former = '{"date_utc": "2025-01-01", "sessions": 1}'
    (tmp_path / LOG_NAME).write_text(former)
    recorded(tmp_path, "alice", "00000a")
    withdraw(plan_withdrawal("alice", tmp_path), NOW)
    assert (tmp_path / LOG_NAME).read_text().startswith(former + "\n")
    assert read_withdrawn(tmp_path).has_name("alice")


def withdrawn_from(folder: Path) -> list[str]:
    """Withdraw alice and bob, and return the lines of the log."""
    for name, session_id in (("alice", "00000a"), ("bob", "00000b")):
        recorded(folder, name, session_id)
    note_recorded(folder)
    for name in ("alice", "bob"):
        withdraw(plan_withdrawal(name, folder), NOW)
    return (folder / LOG_NAME).read_text().splitlines()


@pytest.mark.parametrize("log", ["missing", "empty", "damaged line", "line removed", "torn"])
def test_a_log_that_is_lost_or_damaged_forgets_nobody_and_the_next_withdrawal_writes_it_again(
    tmp_path: Path, log: str
) -> None:
    lines = withdrawn_from(tmp_path)
    left = {"empty": "", "damaged line": f"{lines[0]}\n[[[[\n", "line removed": lines[0], "torn": lines[0][:50]}
    if log == "missing":
        (tmp_path / LOG_NAME).unlink()
    else:
        (tmp_path / LOG_NAME).write_text(left[log])
    withdrawn = read_withdrawn(tmp_path)
    assert all(map(withdrawn.has_name, ("alice", "bob"))) and withdrawn.has_session("00000b")
    for name, session_id in (("carol", "00000c"), ("dave", "00000d")):
        recorded(tmp_path, name, session_id)
        withdraw(plan_withdrawal(name, tmp_path), NOW)
        assert set(lines) < set((tmp_path / LOG_NAME).read_text().splitlines())
    assert len((tmp_path / LOG_NAME).read_text().splitlines()) == 4
    (tmp_path / NAMES_NAME).unlink()
    assert all(map(read_withdrawn(tmp_path).has_name, ("alice", "bob", "carol", "dave")))


def test_blank_lines_of_a_log_say_nothing(tmp_path: Path) -> None:
    lines = withdrawn_from(tmp_path)
    (tmp_path / NAMES_NAME).unlink()
    (tmp_path / LOG_NAME).write_text(f"{lines[0]}\n\n  \n{lines[1]}\n\n")
    assert all(map(read_withdrawn(tmp_path).has_name, ("alice", "bob")))


def test_where_neither_file_can_tell_who_has_withdrawn_nothing_goes_on(tmp_path: Path) -> None:
    lines = withdrawn_from(tmp_path)
    (tmp_path / NAMES_NAME).unlink()
    assert read_withdrawn(tmp_path).has_name("bob")
    (tmp_path / LOG_NAME).write_text(f"{lines[0]}\n{lines[1][:-9]}\n")
    with pytest.raises(RecordingError, match=r"line 2 of .* is damaged; recordings are as they were.*put back a copy"):
        read_withdrawn(tmp_path)
    (tmp_path / LOG_NAME).write_text(f"{lines[0]}\n")
    assert read_withdrawn(tmp_path).has_name("alice")
    (tmp_path / LOG_NAME).unlink()
    with pytest.raises(RecordingError, match=r"is gone, and somebody has; recordings are as they were"):
        read_withdrawn(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[[",
        "null",
        '{"highest": {}}',
        '{"highest": {"p": true}, "withdrawn": []}',
        '{"highest": {"p": 9999999}, "withdrawn": []}',
        '{"highest": {"smith": 85}, "withdrawn": []}',
        '{"highest": [], "withdrawn": []}',
        '{"highest": {}, "withdrawn": [{}]}',
    ],
)
def test_where_names_are_damaged_a_whole_log_speaks_and_they_are_written_anew(tmp_path: Path, text: str) -> None:
    withdrawn_from(tmp_path)
    deleted = recorded(tmp_path, "p02", "00000c")
    note_recorded(tmp_path)
    deleted.unlink()
    (tmp_path / NAMES_NAME).write_text(text)
    assert all(map(read_withdrawn(tmp_path).has_name, ("alice", "bob")))
    # As where the memory is lost: as many numbers may have been given as the ledger ever held recordings.
    assert highest_given(tmp_path)["p"] == 3
    note_given(tmp_path, ["p05"])
    assert json.loads((tmp_path / NAMES_NAME).read_text())["highest"]["p"] == 5
    (tmp_path / LOG_NAME).unlink()
    assert all(map(read_withdrawn(tmp_path).has_name, ("alice", "bob")))


@pytest.mark.parametrize("text", ["", '{"highest": {"p": 0}, "withdrawn": []}'])
def test_damaged_memory_of_names_without_a_whole_log_is_refused_in_one_line_and_stays(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / NAMES_NAME).write_text(text)
    for ask in (read_withdrawn, highest_given, lambda folder: note_given(folder, ["p01"])):
        with pytest.raises(RecordingError, match="put back a copy of it, or remove it") as refused:
            ask(tmp_path)
        assert "\n" not in str(refused.value)
    assert (tmp_path / NAMES_NAME).read_text() == text


def test_of_names_that_racer_does_not_give_nothing_is_remembered(tmp_path: Path) -> None:
    note_given(tmp_path, ["alice", "smith85", "p", "xp07", "p07x"])
    assert names(tmp_path) == set()
    note_given(tmp_path, ["p07", "smith85", "pilot02", "p03"])
    assert json.loads((tmp_path / NAMES_NAME).read_text()) == {"highest": {"p": 7, "pilot": 2}, "withdrawn": []}


def test_while_the_ledger_is_damaged_what_it_may_have_held_is_not_forgotten(tmp_path: Path) -> None:
    paths = [recorded(tmp_path, f"p0{number}", f"00000{number}") for number in (1, 2, 3)]
    note_recorded(tmp_path)
    for path in paths:
        path.unlink()
    ledger = (tmp_path / LEDGER_NAME).read_bytes()
    (tmp_path / LEDGER_NAME).write_text("damaged\n")
    note_given(tmp_path, ["p01"])
    (tmp_path / LEDGER_NAME).write_bytes(ledger)
    assert highest_given(tmp_path)["p"] == 3


@pytest.mark.skipif(os.name != "posix", reason="folders are not locked there")
def test_names_are_remembered_while_somebody_keeps_the_folder_locked(tmp_path: Path) -> None:
    with alone(tmp_path):
        note_given(tmp_path, ["p07"])
    assert highest_given(tmp_path)["p"] == 7


def test_numbers_given_at_the_same_time_are_all_remembered(tmp_path: Path) -> None:
    given = ["p05", "pilot07", "p09", "pilot03"]
    with ThreadPoolExecutor(len(given)) as at_once:
        list(at_once.map(lambda name: note_given(tmp_path, [name]), given))
    assert highest_given(tmp_path) == {"p": 9, "pilot": 7}


def test_whoever_keeps_names_locked_is_named_by_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessions.maintenance.withdrawn._PATIENCE_S", 0.0)
    with FileLock(tmp_path / LOCK_NAME), pytest.raises(StorageError, match=rf"kept .*{LOCK_NAME} locked for 0 seconds"):
        note_given(tmp_path, ["p07"])


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from sessions.maintenance.withdraw import interrupted, plan_withdrawal, withdraw

events, last, folder = 0, int(sys.argv[1]), Path(sys.argv[2])
begun = interrupted(folder)
plan = plan_withdrawal("p01", folder, begun.session_ids if begun else ())

def count(event, arguments):
    global events
    if event in ("open", "os.remove", "os.rename", "os.rmdir", "os.link"):
        events += 1
        if events == last:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
withdraw(plan, datetime.now(UTC), [folder / ".leases" / "recordings.json"])
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_withdrawal_that_is_killed_anywhere_is_finished_by_the_next(tmp_path: Path) -> None:
    killed = 0
    for last in range(1, 100):
        folder = tmp_path / str(last)
        mine = recorded(folder, "p01", "00000a")
        (folder / ".leases").mkdir()
        (folder / ".leases" / "recordings.json").write_text("p01")
        (folder / f"{mine.name.removesuffix('.h5')}.csv").touch()
        other = recorded(folder, "p02", "00000b")
        child = subprocess.run([sys.executable, "-c", KILLED, str(last), str(folder)], capture_output=True, text=True)
        begun = interrupted(folder)
        if child.returncode != -signal.SIGKILL:
            break
        killed += 1
        if begun is None and mine.exists():
            # Nothing had been done: whoever asked for it sees that it was not.
            assert not read_withdrawn(folder).lines
        else:
            # Nothing may go before it is known that the name must never come again.
            assert mine.exists() or read_withdrawn(folder).has_name("p01")
            ids = begun.session_ids if begun else ()
            withdraw(plan_withdrawal("p01", folder, ids), NOW, [folder / ".leases" / "recordings.json"])
            assert names(folder) == {other.name, LOG_NAME, NAMES_NAME, ".leases"}
            assert len(read_withdrawn(folder).lines) == (1 if begun else 2)
            assert read_withdrawn(folder).has_session("00000a")
    assert child.returncode == 0, child.stderr
    assert killed > 8
    assert names(folder) == {other.name, LOG_NAME, NAMES_NAME, ".leases"}


def test_another_persons_withdrawal_waits_until_the_first_is_finished(tmp_path: Path) -> None:
    for participant, session_id in (("p01", "00000a"), ("p02", "00000b")):
        recorded(tmp_path, participant, session_id)
    with pytest.raises(StorageError):
        withdraw(plan_withdrawal("p01", tmp_path), NOW, [tmp_path])
    begun = interrupted(tmp_path)
    assert begun is not None
    assert (begun.participant, begun.session_ids) == ("p01", ("00000a",))
    with pytest.raises(RecordingError, match="another withdrawal was begun"):
        withdraw(plan_withdrawal("p02", tmp_path), NOW)
    withdraw(plan_withdrawal("p01", tmp_path, begun.session_ids), NOW)
    withdraw(plan_withdrawal("p02", tmp_path), NOW)
    assert names(tmp_path) == {LOG_NAME, NAMES_NAME}


def test_withdrawals_at_the_same_time_lose_nothing_of_each_other(tmp_path: Path) -> None:
    people = {f"p{number:02}": f"{number:06x}" for number in range(8)}
    plans = []
    for participant, session_id in people.items():
        recorded(tmp_path, participant, session_id)
    plans = [plan_withdrawal(participant, tmp_path) for participant in people]
    with ThreadPoolExecutor(len(plans)) as at_once:
        list(at_once.map(lambda plan: withdraw(plan, NOW), plans))
    assert names(tmp_path) == {LOG_NAME, NAMES_NAME}
    withdrawn = read_withdrawn(tmp_path)
    assert len(withdrawn.lines) == len(people)
    assert all(withdrawn.has_name(name) and withdrawn.has_session(id_) for name, id_ in people.items())


def cut_short(folder: Path, traces: list[Path], root: Path) -> None:
    """Begin p01's withdrawal from a folder that holds more, so that it stops with the intent written."""
    with pytest.raises(StorageError):
        withdraw(plan_withdrawal("p01", folder), NOW, [folder], traces=traces, root=root)


def test_damaged_ledger_is_told_before_anything_is_noted(tmp_path: Path) -> None:
    path = recorded(tmp_path, "p01", "00000a")
    (tmp_path / LEDGER_NAME).write_text("damaged\n")
    with pytest.raises(LedgerError, match="line 1 of"):
        withdraw(plan_withdrawal("p01", tmp_path), NOW)
    assert path.is_file()
    assert interrupted(tmp_path) is None
    assert not read_withdrawn(tmp_path).has_name("p01")


def test_of_traces_only_those_agreed_to_go_when_a_withdrawal_is_finished(tmp_path: Path) -> None:
    data = tmp_path / "recordings"
    recorded(data, "p01", "00000a")
    recorded(data, "p02", "00000b")
    tables = tmp_path / "tables"
    tables.mkdir()
    (tables / "sessions.csv").write_text("p01")
    cut_short(data, [tables / "sessions.csv", tables], tmp_path)
    (tables / "made-since.csv").write_text("p01")
    withdraw(plan_withdrawal("p01", data), NOW, root=tmp_path)
    assert names(tables) == {"made-since.csv"}
    assert interrupted(data) is None


@pytest.mark.skipif(os.name != "posix", reason="needs symbolic links")
def test_traces_behind_a_link_stay(tmp_path: Path) -> None:
    recorded(tmp_path / "study", "p01", "00000a")
    recorded(tmp_path / "study", "p02", "00000b")
    outside, tables = tmp_path / "outside", tmp_path / "study" / "tables"
    for folder in (outside, tables):
        folder.mkdir()
        (folder / "sessions.csv").write_text("p01")
    cut_short(tmp_path / "study", [tables / "sessions.csv"], tmp_path / "study")
    (tables / "sessions.csv").unlink()
    tables.rmdir()
    tables.symlink_to(outside)
    withdraw(plan_withdrawal("p01", tmp_path / "study"), NOW)
    assert names(outside) == {"sessions.csv"}


@pytest.mark.parametrize("trace", ["../precious", "/precious", "", "a/../../precious", "p02_pilot.h5", "a\0b", 5, None])
def test_traces_that_a_foreign_intent_puts_elsewhere_are_refused(tmp_path: Path, trace: object) -> None:
    data = tmp_path / "data"
    recorded(data, "p01", "00000a")
    recorded(data, "p02", "00000b")
    cut_short(data, [], data)
    intent = json.loads((data / INTENT_NAME).read_text())
    (data / INTENT_NAME).write_text(json.dumps({**intent, "traces": [trace]}))
    with pytest.raises(RecordingError, match="it is damaged"):
        interrupted(data)


@pytest.mark.parametrize("text", ["[", "{}", '{"participant": "../x"}', "pipe"])
def test_damaged_intent_is_told_and_removes_nothing(tmp_path: Path, text: str) -> None:
    mine = recorded(tmp_path, "p01", "00000a")
    if text == "pipe":
        os.mkfifo(tmp_path / INTENT_NAME)
    else:
        (tmp_path / INTENT_NAME).write_text(text)
    with pytest.raises(RecordingError, match="cannot be finished"):
        withdraw(plan_withdrawal("p01", tmp_path), NOW)
    assert mine.exists()


def test_what_killed_exports_left_goes_whosever_it_is(tmp_path: Path) -> None:
    recorded(tmp_path, "p01", "00000a")
    left = tmp_path / "exports" / ".racer-0123456789abcdef.unfinished"
    left.mkdir(parents=True)
    (left / "episodes.csv").write_text("p01,p02")
    withdraw(plan_withdrawal("p01", tmp_path), NOW)
    assert names(tmp_path) == {LOG_NAME, NAMES_NAME, "exports"}


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
    assert (plan.files, plan.unreadable) == ((link,), (alias,))
    withdraw(plan, NOW)
    assert outside.exists()
    assert names(data) == {"folder", "alias.h5", LOG_NAME, NAMES_NAME}


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
    assert names(tmp_path) == {second.name, INTENT_NAME, LOG_NAME, NAMES_NAME}
    assert not first.exists()
    withdraw(plan_withdrawal("p01", tmp_path), NOW)
    assert names(tmp_path) == {LOG_NAME, NAMES_NAME}


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
