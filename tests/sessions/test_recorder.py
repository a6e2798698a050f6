from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from session_builders import EPISODE, SESSION, TASK, Clock, assert_holds, random_steps

import sessions
from sessions import Answer, Event, Metric, Recorder, RecordingExistsError, Step, StorageError
from sessions.recorder import FLUSH_NS
from sessions.storage.staging import StagedFile
from sessions.verify import verify


def steps_on_disk(recorder: Recorder) -> list[int]:
    """Return the rows of each episode that a kill at this instant would leave."""
    with sessions.open(recorder.path) as session:
        assert session.status == "running"
        return [episode.n_steps for episode in session.episodes]


def test_recording_is_partial_until_it_is_closed(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "new" / "folder", SESSION)
    assert recorder.path.name == "p01_pilot_20260131T140509Z_0a1b2c.h5.partial"
    assert recorder.path.exists()
    assert not recorder.final_path.exists()
    assert recorder.close("complete") == recorder.final_path
    assert recorder.final_path.name == "p01_pilot_20260131T140509Z_0a1b2c.h5"
    assert [path.name for path in recorder.final_path.parent.iterdir()] == [recorder.final_path.name]


def test_file_opens_from_the_first_moment(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, SESSION)
    with sessions.open(recorder.path) as session:
        assert session.info == SESSION
        assert len(session.episodes) == 0


def test_rows_reach_the_disk_after_half_a_second_of_the_clock(tmp_path: Path) -> None:
    clock = Clock()
    recorder = Recorder(tmp_path, SESSION, clock=clock)
    recorder.begin_episode(EPISODE)
    steps = random_steps(4)
    clock.now_ns = FLUSH_NS - 1
    recorder.append(steps[0])
    assert steps_on_disk(recorder) == []
    clock.now_ns = FLUSH_NS
    recorder.append(steps[1])
    assert steps_on_disk(recorder) == [2]
    clock.now_ns = 2 * FLUSH_NS - 1
    recorder.append(steps[2])
    assert steps_on_disk(recorder) == [2]
    clock.now_ns = 2 * FLUSH_NS
    recorder.event("pause", "", 0, 0, 3)
    assert steps_on_disk(recorder) == [3]


def test_rows_reach_the_disk_when_many_are_held_or_the_episode_ends(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, SESSION, clock=Clock())
    recorder.begin_episode(EPISODE)
    for step in random_steps(300):
        recorder.append(step)
    assert steps_on_disk(recorder) == [256]
    recorder.end_episode("complete")
    assert steps_on_disk(recorder) == [300]


def test_flush_leaves_plain_hdf5(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, SESSION, clock=Clock())
    recorder.begin_episode(EPISODE)
    for step in random_steps(130):
        recorder.append(step)
    with h5py.File(recorder.path) as file:
        assert {len(column) for column in file["episodes/000"].values()} == {128}
        assert file["episodes/000"].attrs["n_steps"] == 128


def test_events_and_answers_are_kept_in_order(tmp_path: Path) -> None:
    events = [Event(i, i // 10, i % 10, f"kind {i}", "é" * (i % 60)) for i in range(300)]
    answers = [Answer(i, f"item {i}", "ü" * i) for i in range(20)]
    with Recorder(tmp_path, SESSION, clock=Clock()) as recorder:
        for event in events:
            recorder.event(event.kind, event.detail, event.time_ns, event.episode, event.step)
        for answer in answers:
            recorder.answer(answer.item, answer.answer, answer.time_ns)
    with sessions.open(recorder.final_path) as session:
        assert session.events() == events
        assert session.answers() == answers


@pytest.mark.parametrize(
    "record",
    [
        lambda recorder: recorder.event("k" * 33, "", 0, 0, 0),
        lambda recorder: recorder.event("k", "é" * 65, 0, 0, 0),
        lambda recorder: recorder.event("k", "a\0", 0, 0, 0),
        lambda recorder: recorder.event("k", "", 2**63, 0, 0),
        lambda recorder: recorder.event("k", "", 0, 2**31, 0),
        lambda recorder: recorder.answer("i" * 257, "", 0),
        lambda recorder: recorder.answer("i", "a" * 4097, 0),
        lambda recorder: recorder.answer("i", "\udc80", 0),
    ],
)
def test_event_or_answer_that_does_not_fit_is_refused_and_the_rest_kept(
    tmp_path: Path, record: Callable[[Recorder], None]
) -> None:
    with Recorder(tmp_path, SESSION) as recorder:
        recorder.event("k" * 32, "é" * 64, 2**63 - 1, -1, -1)
        recorder.answer("i", "a" * 4096, 0)
        with pytest.raises(ValueError):
            record(recorder)
    with sessions.open(recorder.final_path) as session:
        assert len(session.events()) == len(session.answers()) == 1


STEP = random_steps(1)[0]
WET = {**STEP.metrics, "wet": 1.0}


@pytest.mark.parametrize(
    "changes",
    [
        {"action": len(TASK.actions)},
        {"action": -1},
        {"action": 0.5},
        {"metrics": {}},
        {"metrics": {**WET, "height": 1.0}},
        {"metrics": {**WET, "progress": 1.001}},
        {"metrics": {**WET, "progress": -0.001}},
        {"metrics": {**WET, "speed": -1.0}},
        {"metrics": {**WET, "speed": float("inf")}},
        {"metrics": {**WET, "reward": float("nan")}},
        {"metrics": {**WET, "reward": -1e39}},
        {"metrics": {**WET, "reward": None}},
        {"metrics": {**WET, "wet": 0.5}},
        {"metrics": {**WET, "wet": 2}},
        {"latent": np.zeros(1, np.float32)},
        {"latent": np.zeros(TASK.latents)},
        {"latent": np.zeros((TASK.latents, 1), np.float32)},
        {"received": [0.0] * TASK.latents},
        {"mask": np.ones(TASK.blocks // 2, np.bool_)},
        {"mask": np.ones(TASK.blocks, np.int8)},
        {"packet": b""},
        {"packet": bytes(EPISODE.packet_bytes + 1)},
        {"bits": 2**16},
        {"bits": -1},
        {"uplink_bits": 2**16},
        {"arrived": 2},
        {"latent": 0.0},
        {"mask": True},
        {"stage_us": 1},
        {"stage_us": (1, 2, 3)},
        {"stage_us": (1, 2, 3, 2**32)},
        {"time_ns": 2**63},
        {"response_ns": 2**63},
        {"stimulus": -(2**63) - 1},
        {"frame": None},
        {"frame": np.zeros((*TASK.frame[:2], 1), np.uint8)},
        {"frame": np.zeros(TASK.frame)},
    ],
)
def test_step_that_does_not_fit_is_refused_and_leaves_no_row(tmp_path: Path, changes: dict[str, Any]) -> None:
    first, second = random_steps(2, frame=True)
    with Recorder(tmp_path, SESSION, keep_frames=True) as recorder:
        recorder.begin_episode(EPISODE)
        recorder.append(first)
        with pytest.raises(ValueError):
            recorder.append(replace(second, **changes))
        recorder.append(second)
    with sessions.open(recorder.final_path) as session:
        assert_holds(session.episodes[0], [first, second])


def test_numbers_at_the_limits_of_a_metric_are_recorded_whatever_their_type_rounds_them_to(tmp_path: Path) -> None:
    narrow = Metric("share", "", "", "higher", 0.1, 0.3)
    values = (0.1, 0.3, np.float32(0.1), np.float32(0.3))
    with Recorder(tmp_path, replace(SESSION, task=replace(TASK, metrics=(narrow,)))) as recorder:
        recorder.begin_episode(EPISODE)
        for value in values:
            recorder.append(replace(STEP, metrics={"share": float(value)}))
    with sessions.open(recorder.final_path) as session:
        assert session.episodes[0]["share"].tolist() == np.array(values, np.float32).tolist()
    assert {finding.outcome for finding in verify(recorder.final_path) if finding.check == "values"} == {"ok"}


@pytest.mark.parametrize("applied", [None, -1, len(TASK.actions)])
def test_linked_episodes_need_the_action_that_was_applied(tmp_path: Path, applied: int | None) -> None:
    with Recorder(tmp_path, SESSION) as recorder:
        recorder.begin_episode(replace(EPISODE, linked=True))
        with pytest.raises(ValueError, match="applied must be"):
            recorder.append(replace(STEP, applied=applied))
        recorder.append(replace(STEP, applied=2))
    with sessions.open(recorder.final_path) as session:
        assert session.episodes[0].applied.tolist() == [2]


def test_rows_are_copied_when_appended(tmp_path: Path) -> None:
    step = random_steps(1)[0]
    reused = step.latent.copy()
    with Recorder(tmp_path, SESSION) as recorder:
        recorder.begin_episode(EPISODE)
        recorder.append(replace(step, latent=reused))
        reused[:] = 0
    with sessions.open(recorder.final_path) as session:
        assert_holds(session.episodes[0], [step])


def test_episode_that_cannot_be_stored_is_refused_before_it_begins(tmp_path: Path) -> None:
    with Recorder(tmp_path, SESSION) as recorder:
        with pytest.raises(ValueError, match="phase"):
            recorder.begin_episode(replace(EPISODE, phase="a\0b"))
        recorder.begin_episode(EPISODE)
    with sessions.open(recorder.final_path) as session:
        assert [episode.info for episode in session.episodes] == [EPISODE]


def test_session_that_cannot_be_stored_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="config"):
        Recorder(tmp_path, replace(SESSION, config={"x": object()}))
    assert list(tmp_path.iterdir()) == []


def test_calls_out_of_order_are_refused(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, SESSION)
    with pytest.raises(RuntimeError, match="begin an episode"):
        recorder.append(STEP)
    with pytest.raises(RuntimeError, match="begin an episode"):
        recorder.end_episode("complete")
    recorder.begin_episode(EPISODE)
    with pytest.raises(RuntimeError, match="end the running"):
        recorder.begin_episode(EPISODE)
    with pytest.raises(ValueError, match="status"):
        recorder.end_episode("running")  # type: ignore[arg-type]
    recorder.close("complete")
    with pytest.raises(RuntimeError, match="closed"):
        recorder.append(STEP)
    with pytest.raises(RuntimeError, match="closed"):
        recorder.event("", "", 0, 0, 0)


def test_closing_ends_a_running_episode_as_aborted(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, SESSION)
    recorder.begin_episode(EPISODE)
    recorder.end_episode("complete")
    recorder.begin_episode(EPISODE)
    recorder.append(STEP)
    assert recorder.close("complete") == recorder.close("aborted")
    with sessions.open(recorder.final_path) as session:
        assert session.status == "complete"
        assert [(episode.status, episode.n_steps) for episode in session.episodes] == [("complete", 0), ("aborted", 1)]


@pytest.mark.parametrize("exception", [KeyboardInterrupt, SystemExit, ZeroDivisionError])
def test_exception_closes_the_recording_as_aborted(tmp_path: Path, exception: type[BaseException]) -> None:
    with pytest.raises(exception), Recorder(tmp_path, SESSION, clock=Clock()) as recorder:
        recorder.begin_episode(EPISODE)
        recorder.append(STEP)
        raise exception
    with sessions.open(recorder.final_path) as session:
        assert session.status == "aborted"
        assert_holds(session.episodes[0], [STEP])


def test_ctrl_c_while_hdf5_writes_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted_write(staged: StagedFile, data: Any) -> int:
        if not presses:
            presses.append(0)
            signal.raise_signal(signal.SIGINT)
        return write(staged, data)

    presses: list[int] = []
    write = StagedFile.write
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), Recorder(tmp_path, SESSION) as recorder:
            recorder.begin_episode(EPISODE)
            recorder.append(STEP)
            monkeypatch.setattr(StagedFile, "write", interrupted_write)
            recorder.end_episode("complete")
    finally:
        signal.signal(signal.SIGINT, before)
    assert presses
    with sessions.open(recorder.final_path) as session:
        assert session.status == "aborted"
        assert_holds(session.episodes[0], [STEP])


def test_recording_is_never_written_over_another(tmp_path: Path) -> None:
    first = Recorder(tmp_path, SESSION)
    before = first.path.read_bytes()
    with pytest.raises(RecordingExistsError, match="left as it is"):
        Recorder(tmp_path, SESSION)
    assert first.path.read_bytes() == before
    final = first.close("complete").read_bytes()
    with pytest.raises(RecordingExistsError, match="left as it is"):
        Recorder(tmp_path, SESSION)
    assert first.final_path.read_bytes() == final
    assert list(tmp_path.iterdir()) == [first.final_path]


def test_file_that_takes_the_final_name_meanwhile_survives_and_so_does_the_recording(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, SESSION)
    recorder.final_path.write_text("precious")
    with pytest.raises(RecordingExistsError, match=r"complete in .*partial: rename it"):
        recorder.close("complete")
    assert recorder.final_path.read_text() == "precious"
    with sessions.open(recorder.path) as session:
        assert session.status == "complete"


def test_folder_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="nothing was recorded: choose another folder") as refusal:
        Recorder(tmp_path / "file" / "recordings", SESSION)
    assert len(str(refusal.value).splitlines()) == 1


def test_steps_need_no_frames_unless_they_are_kept(tmp_path: Path) -> None:
    steps: list[Step] = [*random_steps(2, frame=True), *random_steps(1)]
    with Recorder(tmp_path, SESSION) as recorder:
        recorder.begin_episode(EPISODE)
        for step in steps:
            recorder.append(step)
    with sessions.open(recorder.final_path) as session:
        assert "frame" not in session.episodes[0].columns
        assert_holds(session.episodes[0], steps)


def test_a_file_that_is_to_be_thrown_away_has_the_same_bytes_and_waits_for_no_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr("sessions.storage.committed_file.os.fsync", synced.append)
    found = []
    for durable in (True, False):
        with Recorder(tmp_path / str(durable), SESSION, clock=Clock(), durable=durable) as recorder:
            recorder.begin_episode(EPISODE)
            for step in random_steps(100):
                recorder.append(step)
            recorder.end_episode("complete")
        found.append((recorder.final_path.read_bytes(), len(synced)))
    (bytes_of_one, once), (bytes_of_other, twice) = found
    assert bytes_of_one == bytes_of_other
    assert once > twice - once == 2, "the folder knows of a new name"
