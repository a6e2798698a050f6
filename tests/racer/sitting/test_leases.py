"""Orders of conditions are shared out fairly between all desks, whoever drops out and however processes end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from leasing_child import ORDERS
from racing_builders import EPISODE, SESSION, STEP, Drive, write_session

import racer
import sessions
from disk.locking import FileLock
from racer.errors import ConfigError
from racer.sitting.allocation import Lease, least_given
from racer.sitting.inventory import take_inventory
from racer.sitting.leases import LeaseError, Leases
from sessions.ledger import note_recorded
from sessions.maintenance.withdraw import plan_withdrawal, withdraw
from sessions.maintenance.withdrawn import LOG_NAME, NAMES_NAME

CHILD = Path(__file__).parents[1] / "leasing_child.py"
DAMAGED = ["", "{", "[]", "null", "{}", '"text"', "[" * 100_000, "9" * 5000, '{"session_id": 3}', "\x00", " " * 5000]


@contextmanager
def leasing(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run the child; kill it in the end."""
    command = [sys.executable, str(CHILD), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(Path(racer.__file__).parent.parent)}
    with subprocess.Popen(command, env=environment, stdin=-1, stdout=-1, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def leased(process: subprocess.Popen[str]) -> Lease:
    assert process.stdout is not None
    return Lease(**json.loads(process.stdout.readline()))


def recorded(folder: Path, number: int, order: int, **changes: Any) -> Path:
    """Write a complete evaluation of participant `number`."""
    fields = {
        "session_id": f"{number:06x}",
        "participant": f"p{number:02d}",
        "protocol": "evaluation",
        "config": {"order": order},
    }
    return write_session(folder, [], **(fields | changes))


def next_lease(folder: Path, participant: str | None = None, **options: Any) -> Lease:
    """Return the lease that a session would get now; the session ends at once."""
    with Leases(folder).lease("ffffff", participant, "evaluation", ORDERS, **options) as lease:
        return lease


# Processes ----------------------------------------------------------------------------------------------------------


def test_forty_processes_at_once_share_the_orders_evenly_and_no_two_get_one_name(tmp_path: Path) -> None:
    with leasing("many", tmp_path, 40) as process:
        leases = [leased(process) for _ in range(40)]
        assert len(Leases(tmp_path).live()) == 40
        process.communicate()
    assert process.returncode == 0
    given = Counter(lease.order for lease in leases)
    assert sorted(given) == list(range(ORDERS))
    assert max(given.values()) - min(given.values()) <= 1
    assert sorted(lease.participant for lease in leases) == [f"p{number:02d}" for number in range(1, 41)]
    assert Leases(tmp_path).live() == []


def test_the_lease_of_a_killed_process_is_given_again(tmp_path: Path) -> None:
    with leasing("one", tmp_path) as process:
        first = leased(process)
        assert Leases(tmp_path).is_live(first.session_id)
        assert next_lease(tmp_path).order == 1
        process.kill()
        process.wait()
        assert not Leases(tmp_path).is_live(first.session_id)
        again = next_lease(tmp_path)
        assert (again.order, again.participant) == (first.order, first.participant)


def test_a_process_killed_while_it_holds_the_main_lock_stops_nobody(tmp_path: Path) -> None:
    with leasing("looking", tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "looking\n"
        with pytest.raises(LeaseError, match="locked for 0 seconds"):
            Leases(tmp_path, patience_s=0).is_live("0a1b2c")
        process.kill()
        process.wait()
        assert next_lease(tmp_path).order == 0


@pytest.mark.parametrize("left", [(".lock",), (".json",), (".lock", ".json.new"), (".lock", ".json")])
def test_what_a_process_killed_at_any_point_leaves_behind_is_removed(tmp_path: Path, left: tuple[str, ...]) -> None:
    next_lease(tmp_path)
    for suffix in left:
        (tmp_path / ".leases" / f"0a1b2c{suffix}").write_text("{")
    assert Leases(tmp_path).live() == []
    assert sorted(path.name for path in (tmp_path / ".leases").iterdir()) == ["lock"]


# What counts --------------------------------------------------------------------------------------------------------


def test_a_lease_without_a_recorded_step_leaves_nothing_that_counts(tmp_path: Path) -> None:
    for _ in range(2):
        lease = next_lease(tmp_path)
        assert (lease.order, lease.participant) == (0, "p01")
    assert sessions.find_recordings(tmp_path) == []
    assert Leases(tmp_path).live() == []


def test_completed_orders_are_taken_and_those_of_dropouts_are_given_again(tmp_path: Path) -> None:
    recorded(tmp_path, 1, order=0)
    recorded(tmp_path, 2, order=1, status="aborted")
    killed = replace(SESSION, session_id="000003", participant="p03", protocol="evaluation", config={"order": 1})
    with sessions.Recorder(tmp_path, killed):
        lease = next_lease(tmp_path)
    assert (lease.order, lease.participant) == (1, "p04")


@pytest.mark.parametrize(
    "changes",
    [
        {"trial_run": True},
        {"protocol": "pilot"},
        {"config": {}},
        {"config": {"order": "0"}},
        {"config": {"order": True}},
        {"config": {"order": -1}},
        {"participant": "leaseholder"},
    ],
)
def test_recordings_of_trial_runs_of_other_protocols_without_order_or_of_oneself_take_no_order(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    recorded(tmp_path, 1, **({"order": 0} | changes))
    assert next_lease(tmp_path, "leaseholder").order == 0


def test_a_participant_recorded_twice_counts_once(tmp_path: Path) -> None:
    for number in range(ORDERS):
        recorded(tmp_path, number + 1, order=number)
    recorded(tmp_path, 99, order=0, participant="p01", created_utc="2026-02-01T00:00:00Z")
    assert next_lease(tmp_path).order == 0


def test_a_session_that_is_both_recorded_and_running_counts_once(tmp_path: Path) -> None:
    for number in range(1, ORDERS):
        recorded(tmp_path, number, order=number)
    with Leases(tmp_path).lease("0a1b2c", "p00", "evaluation", ORDERS) as lease:
        recorded(tmp_path, 0, lease.order, session_id="0a1b2c")
        assert lease.order == 0
        with Leases(tmp_path).lease("0a1b2d", None, "evaluation", ORDERS) as second:
            assert second.order == 0


def test_a_running_trial_run_takes_no_order(tmp_path: Path) -> None:
    with Leases(tmp_path).lease("0a1b2c", "trial", "evaluation", ORDERS, trial_run=True):
        assert next_lease(tmp_path).order == 0


def test_removing_a_recording_gives_its_order_back(tmp_path: Path) -> None:
    path = recorded(tmp_path, 1, order=0)
    assert next_lease(tmp_path).order == 1
    path.unlink()
    assert next_lease(tmp_path).order == 0


def test_a_fixed_order_is_kept_and_counts_around_the_square(tmp_path: Path) -> None:
    with Leases(tmp_path).lease("0a1b2c", None, "evaluation", ORDERS, order=ORDERS) as lease:
        assert lease.order == ORDERS
        assert next_lease(tmp_path).order == 1
    with pytest.raises(ConfigError, match="order must lie"):
        next_lease(tmp_path, order=-1)


@given(st.lists(st.integers(0, 50)), st.integers(1, 12))
def test_the_order_chosen_is_one_that_was_given_least_often_and_the_lowest_of_those(
    given_orders: list[int], orders: int
) -> None:
    counts = [sum(order % orders == candidate for order in given_orders) for candidate in range(orders)]
    assert least_given(given_orders, orders) == counts.index(min(counts))


class Desks(RuleBasedStateMachine):
    """People start, complete and drop out on desks that share a folder; recordings are withdrawn."""

    def __init__(self) -> None:
        super().__init__()
        self.everything = ExitStack()
        self.folder = Path(self.everything.enter_context(TemporaryDirectory()))
        self.running: dict[str, tuple[Lease, ExitStack]] = {}
        self.completed: dict[Path, int] = {}
        self.count = 0

    @rule()
    def start(self) -> None:
        self.count += 1
        stack = self.everything.enter_context(ExitStack())
        leases = Leases(self.folder)
        lease = stack.enter_context(leases.lease(f"{self.count:06x}", None, "evaluation", 4))
        taken = Counter([*self.completed.values(), *(running.order for running, _ in self.running.values())])
        assert taken[lease.order] == min(taken[order] for order in range(4))
        assert lease.participant not in self.running
        assert not any(path.name.startswith(f"{lease.participant}_") for path in self.completed)
        self.running[lease.participant] = lease, stack

    @rule(data=st.data(), outcome=st.sampled_from(["complete", "aborted", "nothing"]))
    def end(self, data: st.DataObject, outcome: str) -> None:
        if not self.running:
            return
        lease, stack = self.running.pop(data.draw(st.sampled_from(sorted(self.running))))
        if outcome != "nothing":
            number = int(lease.session_id, 16)
            path = recorded(self.folder, number, lease.order, participant=lease.participant, status=outcome)
            if outcome == "complete":
                self.completed[path] = lease.order
        stack.close()
        assert sorted(live.participant for live in Leases(self.folder).live()) == sorted(self.running)

    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        if self.completed:
            path = data.draw(st.sampled_from(sorted(self.completed)))
            path.unlink()
            del self.completed[path]

    def teardown(self) -> None:
        self.everything.close()


TestDesks = Desks.TestCase
TestDesks.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)


# Names --------------------------------------------------------------------------------------------------------------


def test_the_next_name_follows_the_highest_number_used_under_its_prefix(tmp_path: Path) -> None:
    recorded(tmp_path, 2, order=0)
    recorded(tmp_path, 7, order=0, protocol="pilot", status="aborted")
    recorded(tmp_path, 8, order=0, participant="pilot09")
    with Leases(tmp_path).lease("0a1b2c", "p11", "pilot", 1):
        assert next_lease(tmp_path).participant == "p12"
        assert next_lease(tmp_path, prefix="pilot").participant == "pilot10"
        assert next_lease(tmp_path, prefix="q").participant == "q01"


def test_the_name_in_a_recording_that_cannot_be_read_is_not_given_again(tmp_path: Path) -> None:
    (tmp_path / "p03_evaluation_20260131T140509Z_0a1b2c.h5.partial").write_bytes(b"nothing that opens")
    (tmp_path / "p 09_evaluation_20260131T140509Z_0a1b2c.h5").write_bytes(b"nothing that opens")
    (tmp_path / "notes.h5").write_bytes(b"nothing that opens")
    assert next_lease(tmp_path).participant == "p04"


def test_a_participant_who_is_driving_is_refused_in_one_line_that_says_where(tmp_path: Path) -> None:
    with Leases(tmp_path, host="desk-2").lease("0a1b2c", "p03", "evaluation", ORDERS) as lease:
        with pytest.raises(LeaseError) as refused:
            next_lease(tmp_path, "p03")
        assert next_lease(tmp_path).participant == "p04"
    assert f"as p03 right now, on desk-2 since {lease.started_utc}; nothing was changed" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert next_lease(tmp_path, "p03").participant == "p03"


def test_a_name_that_must_not_become_a_file_name_is_refused_and_leaves_no_claim(tmp_path: Path) -> None:
    with pytest.raises(sessions.ParticipantNameError):
        next_lease(tmp_path, "../x")
    assert Leases(tmp_path).live() == []


def test_name_and_session_of_somebody_who_has_withdrawn_are_never_given_again(tmp_path: Path) -> None:
    for number in range(1, 4):
        recorded = replace(SESSION, session_id=f"00000{number}", participant=f"p0{number}", protocol="evaluation")
        with sessions.Recorder(tmp_path, recorded):
            pass
    for name in ("p02", "p03"):
        withdraw(plan_withdrawal(name, tmp_path), datetime(2026, 1, 1, tzinfo=UTC))
    assert next_lease(tmp_path).participant == "p04"
    with pytest.raises(LeaseError, match="p03 has withdrawn"):
        next_lease(tmp_path, "p03")
    with (
        pytest.raises(LeaseError, match="session 000003 was withdrawn"),
        Leases(tmp_path).lease("000003", "p05", "evaluation", ORDERS),
    ):
        pass


@pytest.mark.parametrize("memory", ["kept", "lost"])
def test_the_name_of_a_recording_that_was_deleted_is_never_given_again(tmp_path: Path, memory: str) -> None:
    paths = [recorded(tmp_path, number, order=0) for number in (1, 2)]
    note_recorded(tmp_path)
    assert next_lease(tmp_path).participant == "p03"
    paths[1].unlink()
    if memory == "lost":
        (tmp_path / NAMES_NAME).unlink()
    assert next_lease(tmp_path).participant == "p03"
    paths[0].unlink()
    assert next_lease(tmp_path).participant == "p03"
    assert next_lease(tmp_path, "p02").participant == "p02"


@pytest.mark.parametrize("lost", [LOG_NAME, NAMES_NAME])
def test_whoever_has_withdrawn_is_known_though_a_file_is_lost(tmp_path: Path, lost: str) -> None:
    for number in (1, 2):
        recorded(tmp_path, number, order=0)
    withdraw(plan_withdrawal("p02", tmp_path), datetime(2026, 1, 1, tzinfo=UTC))
    (tmp_path / lost).unlink()
    assert next_lease(tmp_path).participant == "p03"
    with pytest.raises(LeaseError, match="p02 has withdrawn"):
        next_lease(tmp_path, "p02")


def test_a_damaged_log_that_is_not_kept_twice_stops_every_start(tmp_path: Path) -> None:
    recorded(tmp_path, 1, order=0)
    (tmp_path / LOG_NAME).write_text("[[[[\n")
    for name in (None, "p02"):
        with pytest.raises(sessions.RecordingError, match=r"line 1 of .* is damaged"):
            next_lease(tmp_path, name)


def test_numbers_of_more_digits_than_names_are_looked_at_for_are_not_given_twice(tmp_path: Path) -> None:
    recorded(tmp_path, 999_999, order=0)
    recorded(tmp_path, 1, order=0, participant="p1000000")
    assert next_lease(tmp_path).participant == "p1000001"


# Questions ----------------------------------------------------------------------------------------------------------


def test_asking_whether_a_session_runs_makes_no_folder(tmp_path: Path) -> None:
    leases = Leases(tmp_path / "recordings")
    assert not leases.is_live("0a1b2c")
    assert leases.live() == []
    assert not (tmp_path / "recordings").exists()


@pytest.mark.parametrize("session_id", ["", "../../x", "0A1B2C", "lock"])
def test_no_file_is_looked_for_by_what_is_no_session_id(tmp_path: Path, session_id: str) -> None:
    next_lease(tmp_path)
    assert not Leases(tmp_path).is_live(session_id)


def test_a_session_id_that_runs_already_is_refused_and_its_lease_stays(tmp_path: Path) -> None:
    with Leases(tmp_path).lease("ffffff", "p01", "evaluation", ORDERS) as lease:
        with pytest.raises(LeaseError, match="ffffff is already running"):
            next_lease(tmp_path, "p02")
        assert Leases(tmp_path).live() == [lease]


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_a_snapshot_of_hard_links_stops_no_desk_and_ends_no_session(tmp_path: Path) -> None:
    folder, snapshot = tmp_path / "recordings", tmp_path / "snapshot"
    with Leases(folder).lease("0a1b2c", "p01", "evaluation", ORDERS) as lease:
        shutil.copytree(folder, snapshot, copy_function=os.link)
        assert next_lease(folder).participant == "p02"
        assert Leases(folder).live() == [lease]
        assert Leases(folder).is_live("0a1b2c")
    assert not Leases(folder).is_live("0a1b2c")
    assert sorted(path.name for path in (folder / ".leases").iterdir()) == ["lock"]


# Damage and malice --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damaged", DAMAGED)
def test_where_a_running_sessions_note_is_damaged_its_recording_speaks(tmp_path: Path, damaged: str) -> None:
    info = replace(SESSION, session_id="0a1b2c", participant="p01", protocol="evaluation", config={"order": 0})
    with Leases(tmp_path).lease("0a1b2c", "p01", "evaluation", ORDERS):
        (tmp_path / ".leases" / "0a1b2c.json").write_text(damaged)
        assert next_lease(tmp_path).order == 0
        with sessions.Recorder(tmp_path, info):
            lease = next_lease(tmp_path)
            assert (lease.order, lease.participant) == (1, "p02")
            with pytest.raises(LeaseError, match="as p01 right now"):
                next_lease(tmp_path, "p01")


@pytest.mark.parametrize(
    "change",
    [
        {"order": -1},
        {"order": True},
        {"order": 2**31},
        {"order": 1.5},
        {"participant": "../x"},
        {"participant": 3},
        {"session_id": "0a1b2d"},
        {"trial_run": 1},
        {"host": "x" * 256},
        {"extra": 1},
    ],
)
def test_a_note_with_an_impossible_field_does_not_count(tmp_path: Path, change: dict[str, Any]) -> None:
    with Leases(tmp_path).lease("0a1b2c", "p01", "evaluation", ORDERS):
        note = tmp_path / ".leases" / "0a1b2c.json"
        note.write_text(json.dumps(json.loads(note.read_text()) | change))
        assert Leases(tmp_path).live() == []
        assert Leases(tmp_path).is_live("0a1b2c")


@pytest.mark.parametrize("name", [".leases", ".leases/lock", ".leases/0a1b2c.lock"])
def test_links_are_refused_and_what_they_point_at_stays_as_it_is(tmp_path: Path, name: str) -> None:
    target = tmp_path / "precious"
    target.write_text("precious")
    folder = tmp_path / "recordings"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).symlink_to(target)
    with pytest.raises(LeaseError, match="is a link"):
        next_lease(folder)
    assert target.read_text() == "precious"


def test_a_folder_that_cannot_be_made_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LeaseError, match=r"cannot lock .*; nothing was recorded: choose a data folder"):
        next_lease(tmp_path / "file" / "recordings")


def test_a_lock_held_for_too_long_is_named(tmp_path: Path) -> None:
    next_lease(tmp_path)
    with (
        FileLock(tmp_path / ".leases" / "lock"),
        pytest.raises(LeaseError, match=r"\.leases/lock locked for 0 seconds; nothing was recorded"),
    ):
        Leases(tmp_path, patience_s=0).live()


def test_a_lease_that_cannot_be_given_back_in_order_ends_all_the_same(tmp_path: Path) -> None:
    with ExitStack() as held:
        with Leases(tmp_path, patience_s=0).lease("0a1b2c", "p01", "evaluation", ORDERS):
            held.enter_context(FileLock(tmp_path / ".leases" / "lock"))
        held.close()
        assert Leases(tmp_path).live() == []


# The memory of recordings -------------------------------------------------------------------------------------------


def test_a_recording_is_opened_again_only_when_it_has_changed(tmp_path: Path) -> None:
    memory = tmp_path / "memory.json"
    path = recorded(tmp_path, 1, order=2)
    entries = take_inventory(tmp_path, memory)
    assert [(entry.participant, entry.order, entry.complete) for entry in entries] == [("p01", 2, True)]

    found = path.stat()
    path.write_bytes(bytes(found.st_size))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert take_inventory(tmp_path, memory) == entries
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1))
    assert [entry.complete for entry in take_inventory(tmp_path, memory)] == [False]


@pytest.mark.parametrize("damaged", DAMAGED)
def test_a_damaged_memory_changes_no_answer(tmp_path: Path, damaged: str) -> None:
    memory = tmp_path / "memory.json"
    path = recorded(tmp_path, 1, order=2)
    entries = take_inventory(tmp_path, memory)
    memory.write_text(damaged)
    assert take_inventory(tmp_path, memory) == entries
    memory.write_text(json.dumps({path.name: damaged}))
    assert take_inventory(tmp_path, memory) == entries


@pytest.mark.parametrize(
    "change", [{"order": "2"}, {"order": -1}, {"order": True}, {"complete": 1}, {"participant": 1}]
)
def test_an_impossible_memory_of_a_recording_is_not_believed(tmp_path: Path, change: dict[str, Any]) -> None:
    memory = tmp_path / "memory.json"
    path = recorded(tmp_path, 1, order=2)
    entries = take_inventory(tmp_path, memory)
    kept = json.loads(memory.read_text())
    memory.write_text(json.dumps({path.name: kept[path.name] | change}))
    assert take_inventory(tmp_path, memory) == entries


def test_a_memory_that_cannot_be_written_changes_no_answer(tmp_path: Path) -> None:
    recorded(tmp_path, 1, order=2)
    assert len(take_inventory(tmp_path, tmp_path / "missing" / "memory.json")) == 1


def test_a_recording_that_grows_is_read_as_it_is_now(tmp_path: Path) -> None:
    memory = tmp_path / "memory.json"
    info = replace(SESSION, protocol="evaluation", config={"order": 3})
    with sessions.Recorder(tmp_path, info) as recorder:
        assert [entry.complete for entry in take_inventory(tmp_path, memory)] == [False]
        drive = Drive(EPISODE, [STEP])
        recorder.begin_episode(drive.info)
        recorder.append(drive.steps[0])
        recorder.end_episode("complete")
    assert [(entry.complete, entry.order) for entry in take_inventory(tmp_path, memory)] == [(True, 3)]
