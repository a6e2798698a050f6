"""What is left of a recording when the process or the disk gives up."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import recording_child
from fake_disk import FakeDisk, apply
from session_builders import EPISODE, SESSION, Clock, assert_holds, random_steps

import sessions
from sessions import Recorder, StorageError, StorageWaitError, UnreadableRecordingError, find_recordings
from sessions.recorder import FLUSH_NS
from sessions.storage.committed_file import CommittedFile
from sessions.storage.journal import PAGE

CHILD = Path(recording_child.__file__)
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(sessions.__file__).parents[1])}


def check_recording(path: Path, status: str) -> int:
    """Fail unless the recording holds the steps and events of `recording_child`, in order; return how many steps."""
    total = 0
    with sessions.open(path) as session:
        assert session.status == status
        for episode in session.episodes:
            assert total == episode.index * recording_child.STEPS
            assert_holds(episode, random_steps(recording_child.STEPS, seed=episode.index)[: episode.n_steps])
            total += episode.n_steps
        events = [event.detail for event in session.events()]
    assert events == [str(step) for step in range(len(events))]
    assert total - len(events) in (0, 1)
    return total


def start_child(folder: Path, *limit: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(folder), *limit],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        # Whoever runs the tests in the background has Ctrl-C ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.parametrize(("end", "flushes"), [(end, n) for end in ("kill", "ctrl-c") for n in (1, 4, 17)])
def test_killed_or_interrupted_process_leaves_every_flushed_step(tmp_path: Path, end: str, flushes: int) -> None:
    with start_child(tmp_path) as child:
        assert child.stdout
        for _ in range(flushes):
            flushed = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL if end == "kill" else signal.SIGINT)
        child.stdout.read()
    (path,) = find_recordings(tmp_path)
    if end == "kill":
        assert path.name.endswith(".h5.partial")
        assert check_recording(path, "running") >= flushed
    else:
        assert path.suffix == ".h5"
        assert check_recording(path, "aborted") >= flushed


def test_kill_between_any_two_writes_leaves_what_was_flushed(tmp_path: Path) -> None:
    """Rebuild the file as it was after every write, and within it, and read it."""
    disk, clock = FakeDisk(), Clock()
    recorder = Recorder(tmp_path, SESSION, clock=clock, make_file=disk.make)
    readable = [(len(disk.log), 0)]
    for index in range(2):
        recorder.begin_episode(EPISODE)
        for number, step in enumerate(random_steps(recording_child.STEPS, seed=index)):
            clock.now_ns += 60_000_000
            recorder.append(step)
            recorder.event("step", str(40 * index + number), 0, 0, 0)
            readable.append((len(disk.log), check_recording(recorder.path, "running")))
        recorder.end_episode("complete")
        readable.append((len(disk.log), 40 * (index + 1)))

    image = bytearray()
    cut = tmp_path / "cut.h5"
    random_number = random.Random(0)
    for count, change in enumerate(disk.log):
        assert change is not None
        before, (offset, data) = bytes(image), change
        apply(image, change)
        half = random_number.randrange(len(data)) if data else 0
        for written, content in (
            (count + 1, bytes(image)),
            (count, before[:offset] + (data or b"")[:half] + before[offset + half :]),
        ):
            least = max((steps for done, steps in readable if done <= written), default=0)
            most = min((steps for done, steps in readable if done > written), default=80)
            cut.write_bytes(content)
            if written < readable[0][0]:
                with suppress(UnreadableRecordingError):
                    assert check_recording(cut, "running") == 0
            else:
                assert check_recording(cut, "running") in (least, most)


@pytest.mark.parametrize("room", [1_000, 40_000, *range(90_000, 700_000, 41_003)])
def test_full_disk_leaves_every_flushed_step(tmp_path: Path, room: int) -> None:
    with pytest.raises(StorageError, match="No space left on device") as refusal:
        recording_child.record(tmp_path, make_file=FakeDisk(room=room).make)
    assert len(str(refusal.value).splitlines()) == 1
    recordings = find_recordings(tmp_path)
    if not recordings:
        assert room < 50_000
        assert "nothing was recorded" in str(refusal.value)
    else:
        flushed = check_recording(recordings[0], "running")
        assert f"the {flushed} steps flushed before stay readable" in str(refusal.value)
        assert str(recordings[0]) in str(refusal.value)


def test_after_a_full_disk_every_call_says_so_again(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, SESSION, clock=(clock := Clock()), make_file=FakeDisk(room=50_000).make)
    recorder.begin_episode(EPISODE)
    steps = random_steps(128)
    for step in steps[:-1]:
        recorder.append(step)
    clock.now_ns += FLUSH_NS
    calls: list[Callable[[], object]] = [
        lambda: recorder.append(steps[-1]),
        recorder.retry,
        lambda: recorder.answer("", "", 0),
        lambda: recorder.end_episode("complete"),
        recorder.reject_episode,
        lambda: recorder.close("complete"),
        recorder.retry,
        lambda: recorder.close("complete"),
    ]
    for call in calls:
        with pytest.raises(StorageWaitError, match="stay readable"):
            call()
    assert find_recordings(tmp_path) == [recorder.path]
    recorder.abandon()
    assert check_recording(recorder.path, "running") == 0


@pytest.mark.parametrize("room", range(60_000, 560_000, 37_003))
def test_once_a_full_disk_has_room_again_nothing_is_missing(tmp_path: Path, room: int) -> None:
    disk = FakeDisk(room=room)
    refused = 0

    def patiently(call: Callable[[], object], retry: Callable[[], object]) -> None:
        nonlocal refused
        try:
            call()
        except StorageWaitError:
            refused += 1
            with pytest.raises(StorageWaitError):
                retry()
            disk.room = 10**9
            retry()

    recorder = Recorder(tmp_path, SESSION, clock=(clock := Clock()), make_file=disk.make)
    for index in range(3):
        recorder.begin_episode(EPISODE)
        for step in random_steps(150, seed=index):
            clock.now_ns += 60_000_000
            recorder.event("key_down", "left", 0, index, 0)
            patiently(partial(recorder.append, step), recorder.retry)
        patiently(lambda: recorder.end_episode("complete"), recorder.retry)
    close = partial(recorder.close, "complete")
    patiently(close, close)
    assert refused == 1
    with sessions.open(recorder.close("complete")) as session:
        assert session.status == "complete"
        assert len(session.events()) == 450
        for index, episode in enumerate(session.episodes):
            assert episode.accepted
            assert_holds(episode, random_steps(150, seed=index))


@pytest.mark.parametrize("limit", [2_000, 150_000, 400_000])
def test_file_size_limit_ends_the_process_cleanly_and_leaves_every_flushed_step(tmp_path: Path, limit: int) -> None:
    with start_child(tmp_path, str(limit)) as child:
        output, errors = child.communicate()
    assert child.returncode == 2
    assert len(errors.splitlines()) == 1
    assert "File too large" in errors
    recordings = find_recordings(tmp_path)
    if recordings:
        assert check_recording(recordings[0], "running") >= int([0, *output.split()][-1])
    else:
        assert (limit, output) == (2_000, "")


def test_full_file_system_ends_the_process_cleanly_and_leaves_every_flushed_step(tmp_path: Path) -> None:
    """Mount 512 kB of memory where only the child sees it, fill it, and copy out what the child left there."""
    if not shutil.which("unshare"):
        pytest.skip("needs unshare (util-linux)")
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    disk.mkdir()
    copy.mkdir()
    script = 'mount -t tmpfs -o size=512k tmpfs "$1" || exit 99; "$2" "$3" "$1"; code=$?; cp "$1"/* "$4"; exit $code'
    result = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", disk, sys.executable, CHILD, copy],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    if result.returncode in (1, 99):
        pytest.skip(f"no private mounts here: {result.stderr.strip()}")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert "No space left on device" in result.stderr
    (path,) = find_recordings(copy)
    assert check_recording(path, "running") >= int(result.stdout.split()[-1])


def test_step_loop_does_not_wait_for_a_disk_that_has_stopped(tmp_path: Path) -> None:
    disk = FakeDisk()
    recorder = Recorder(tmp_path, SESSION, clock=(clock := Clock()), in_background=True, make_file=disk.make)
    recorder.begin_episode(EPISODE)
    disk.working.clear()
    for step in random_steps(300):
        clock.now_ns += 100_000_000
        recorder.append(step)
        recorder.event("step", "", 0, 0, 0)
    disk.working.set()
    recorder.end_episode("complete")
    with sessions.open(recorder.close("complete")) as session:
        assert_holds(session.episodes[0], random_steps(300))
        assert len(session.events()) == 300


@pytest.mark.parametrize("in_background", [False, True])
def test_recording_goes_on_in_its_file_once_a_drive_that_went_away_is_back(tmp_path: Path, in_background: bool) -> None:
    disk, clock = FakeDisk(), Clock()
    recorder = Recorder(tmp_path / "drive", SESSION, clock=clock, in_background=in_background, make_file=disk.make)
    recorder.begin_episode(EPISODE)
    steps = random_steps(150)
    for step in steps[:100]:
        clock.now_ns += 100_000_000
        recorder.append(step)
    recorder._staged.wait()
    taken = 100
    disk.gone = True
    (tmp_path / "drive").rename(tmp_path / "elsewhere")
    with pytest.raises(StorageWaitError, match=r"Stale file handle|No such file"):
        for step in steps[100:]:
            clock.now_ns += 100_000_000
            taken += 1  # the step that meets the refusal is kept as well
            recorder.append(step)
            recorder._staged.wait()
    with pytest.raises(StorageWaitError, match="No such file"):
        recorder.retry()
    (tmp_path / "elsewhere").rename(tmp_path / "drive")
    recorder.retry()
    for step in steps[taken:]:
        recorder.append(step)
    recorder.end_episode("complete")
    with sessions.open(recorder.close("complete")) as session:
        assert_holds(session.episodes[0], steps)


@pytest.mark.parametrize("in_background", [False, True])
@pytest.mark.parametrize("what", ["recording", "folder", "moved"])
def test_recording_that_is_deleted_or_moved_away_is_whole_again_after_the_next_flush(
    tmp_path: Path, what: str, in_background: bool
) -> None:
    folder = tmp_path / "data" / "recordings"
    recorder = Recorder(folder, SESSION, clock=(clock := Clock()), in_background=in_background)
    recorder.begin_episode(EPISODE)
    steps = random_steps(300)
    for number, step in enumerate(steps):
        clock.now_ns += 100_000_000
        recorder.append(step)
        recorder._staged.wait()
        if number % 100 == 50:
            if what == "recording":
                recorder.path.unlink()
            elif what == "folder":
                shutil.rmtree(tmp_path / "data")
            else:
                recorder.path.rename(tmp_path / f"moved{number}")
        elif number % 100 == 70:
            with sessions.open(recorder.path) as session:
                assert session.episodes[0].n_steps > number - 10
    recorder.end_episode("complete")
    shutil.rmtree(tmp_path / "data")
    with sessions.open(recorder.close("complete")) as session:
        assert_holds(session.episodes[0], steps)


def test_recording_that_vanishes_while_its_final_name_is_refused_is_written_anew(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "data", SESSION)
    recorder.begin_episode(EPISODE)
    for step in random_steps(5):
        recorder.append(step)
    recorder.end_episode("complete")
    with pytest.MonkeyPatch.context() as context:
        context.setattr("sessions.recorder.rename_without_overwriting", _refuse)
        with pytest.raises(StorageWaitError, match="the 5 steps flushed before stay readable"):
            recorder.close("complete")
    shutil.rmtree(tmp_path / "data")
    with pytest.raises(StorageWaitError, match="written there anew; all is in it"):
        recorder.close("complete")
    with sessions.open(recorder.close("complete")) as session:
        assert session.status == "complete"
        assert_holds(session.episodes[0], random_steps(5))


def test_recorder_takes_no_file_for_its_own_that_has_lost_something(tmp_path: Path) -> None:
    disk = FakeDisk()
    recorder = Recorder(tmp_path, SESSION, make_file=disk.make)
    recorder.begin_episode(EPISODE)
    mine = recorder.path.rename(tmp_path / "mine")
    recorder.path.write_text("precious")
    disk.gone = True
    with pytest.raises(StorageWaitError, match="it has lost part of what was written"):
        recorder.retry()
    assert recorder.path.read_text() == "precious"
    mine.replace(recorder.path)
    recorder.retry()
    recorder.abandon()
    assert check_recording(recorder.path, "running") == 0


def test_what_a_drive_that_went_away_has_lost_is_written_again_from_memory(tmp_path: Path) -> None:
    path, disk = tmp_path / "file", FakeDisk()
    file = CommittedFile(disk.make(path))
    pages = {page: bytes([page]) * PAGE for page in range(5)}
    file.commit({page: pages[page] for page in range(4)}, 4 * PAGE)
    os.truncate(path, 3 * PAGE)
    disk.gone = True
    file.commit({4: pages[4]}, 5 * PAGE)
    assert path.read_bytes() == b"".join(pages.values())
    assert file.take_mends() == ["1 pages that something else had changed or cut off were written again"]


def test_recorder_goes_on_through_no_link_that_took_the_place_of_its_file(tmp_path: Path) -> None:
    disk = FakeDisk()
    recorder = Recorder(tmp_path / "data", SESSION, make_file=disk.make)
    recorder.begin_episode(EPISODE)
    mine = recorder.path.rename(tmp_path / "mine")
    outside = tmp_path / "outside"
    outside.write_bytes(before := b"precious" * 10_000)
    disk.gone = True
    for put in (recorder.path.symlink_to, recorder.path.hardlink_to):
        put(outside)
        with pytest.raises(StorageWaitError, match=r"a link has taken its place|another name"):
            recorder.retry()
        recorder.path.unlink()
    assert outside.read_bytes() == before
    mine.replace(recorder.path)
    recorder.retry()
    recorder.abandon()
    assert check_recording(recorder.path, "running") == 0


def test_events_that_come_while_a_name_is_refused_do_not_stop_the_recording_from_getting_it(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, SESSION, clock=(clock := Clock()))
    recorder.begin_episode(EPISODE)
    monkeypatch = pytest.MonkeyPatch()
    with monkeypatch.context() as context:
        context.setattr("sessions.recorder.rename_without_overwriting", _refuse)
        with pytest.raises(StorageWaitError, match="Permission denied"):
            recorder.close("complete")
        clock.now_ns += 10 * FLUSH_NS
        recorder.event("pause", "storage", clock.now_ns, 0, 0)
        with pytest.raises(StorageWaitError, match="Permission denied"):
            recorder.close("complete")
    with sessions.open(recorder.close("complete")) as session:
        assert session.status == "complete"


def _refuse(source: Path, target: Path) -> None:
    raise PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize("place", ["CommittedFile.commit", "CommittedFile.read_page", "StagedFile._stage"])
@pytest.mark.parametrize("in_background", [False, True])
def test_process_without_memory_ends_cleanly_and_leaves_every_flushed_step(
    tmp_path: Path, place: str, in_background: bool
) -> None:
    """Run short of memory on the way to HDF5 and on the way to the disk."""
    script = (
        "import sys; from pathlib import Path; from session_builders import *\n"
        "from sessions.storage.committed_file import CommittedFile; from sessions.storage.staging import StagedFile\n"
        "from sessions import RecordingError\n"
        "def fail(*arguments): raise MemoryError\n"
        "clock = Clock()\n"
        f"recorder = Recorder(Path(sys.argv[1]), SESSION, clock=clock, in_background={in_background})\n"
        "recorder.begin_episode(EPISODE)\n"
        "steps = random_steps(130)\n"
        "for step in steps[:60]: recorder.append(step)\n"
        "recorder.retry()\n"
        f"{place} = fail\n"
        "try:\n"
        "    for step in steps[60:]:\n"
        "        clock.now_ns += 100_000_000\n"
        "        recorder.append(step)\n"
        "    recorder.end_episode('complete')\n"
        "except RecordingError as error:\n"
        "    print(error, file=sys.stderr)\n"
        "    sys.exit(2)\n"
    )
    environment = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join([ENVIRONMENT["PYTHONPATH"], str(CHILD.parent)])}
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, env=environment
    )
    assert result.returncode == 2, result.stderr
    (line,) = result.stderr.splitlines()
    assert "out of memory; the 60 steps flushed before stay readable" in line
    with sessions.open(find_recordings(tmp_path)[0]) as session:
        assert_holds(session.episodes[0], random_steps(130)[:60])


def test_process_that_forgets_to_close_exits_cleanly_and_leaves_what_was_flushed(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from session_builders import *\n"
        "recorder = Recorder(Path(sys.argv[1]), SESSION, clock=Clock())\n"
        "recorder.begin_episode(EPISODE)\n"
        "for step in random_steps(130): recorder.append(step)\n"
    )
    environment = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join([ENVIRONMENT["PYTHONPATH"], str(CHILD.parent)])}
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, env=environment
    )
    assert (result.returncode, result.stderr) == (0, "")
    with sessions.open(find_recordings(tmp_path)[0]) as session:
        assert_holds(session.episodes[0], random_steps(130)[:128])


@pytest.mark.skipif(os.name != "posix", reason="needs locks of the system")
def test_recording_is_locked_against_other_writers(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, SESSION)
    code = "import h5py, sys; h5py.File(sys.argv[1], 'r+')"
    child = subprocess.run([sys.executable, "-c", code, str(recorder.path)], capture_output=True, text=True)
    assert "lock" in child.stderr
    path = recorder.close("complete")
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == 0
