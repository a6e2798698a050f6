from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from racing_builders import EPISODE, SESSION, STEP, Drive, write_session

import sessions
from racer.recordings.playhead import SPEEDS, Playhead, recorded_pace, step_times

MS = 1_000_000
TIMES = np.array([0, 100, 200, 500, 600], np.int64) * MS


def test_each_step_appears_at_its_time_and_the_last_one_pauses() -> None:
    playhead = Playhead(TIMES)
    steps = []
    for _ in range(14):
        steps.append(playhead.step)
        playhead.pass_time(50 * MS)
    assert steps == [0, 0, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 4, 4]
    assert playhead.at_end and playhead.paused


@pytest.mark.parametrize(("speed", "elapsed"), [(0.5, 400), (2.0, 100), (8.0, 25)])
def test_time_passes_faster_or_slower(speed: float, elapsed: int) -> None:
    playhead = Playhead(TIMES, speed)
    playhead.pass_time(elapsed * MS - 1)
    before = playhead.step
    playhead.pass_time(MS)
    assert (before, playhead.step) == (1, 2)


def test_no_time_passes_while_paused_and_none_is_made_up_for() -> None:
    playhead = Playhead(TIMES)
    playhead.toggle()
    playhead.pass_time(10_000 * MS)
    assert playhead.step == 0
    playhead.toggle()
    playhead.pass_time(99 * MS)
    assert playhead.step == 0


def test_playing_on_from_the_end_starts_over() -> None:
    playhead = Playhead(TIMES)
    playhead.pass_time(10_000 * MS)
    playhead.toggle()
    assert (playhead.step, playhead.paused) == (0, False)


def test_walking_pauses_and_stops_at_the_ends() -> None:
    playhead = Playhead(TIMES)
    playhead.walk(-1)
    assert (playhead.step, playhead.paused) == (0, True)
    for _ in range(9):
        playhead.walk(1)
    assert playhead.step == 4
    playhead.walk(-1)
    assert playhead.step == 3


def test_the_speed_changes_within_its_limits() -> None:
    playhead = Playhead(TIMES, 1.0)
    for _ in range(9):
        playhead.hurry(1)
    assert playhead.speed == SPEEDS[-1]
    for _ in range(19):
        playhead.hurry(-1)
    assert playhead.speed == SPEEDS[0]


@given(
    st.lists(st.integers(0, 10**9), min_size=1, max_size=20),
    st.lists(st.tuples(st.sampled_from(["time", "seek", "walk", "toggle", "hurry"]), st.integers(-(10**10), 10**10))),
)
def test_the_step_is_always_one_of_the_episode(gaps: list[int], moves: list[tuple[str, int]]) -> None:
    playhead = Playhead(np.cumsum([0, *gaps[1:]], dtype=np.int64))
    for kind, amount in moves:
        if kind == "time":
            playhead.pass_time(abs(amount))
        elif kind == "seek":
            playhead.seek(amount)
        elif kind == "walk":
            playhead.walk(amount)
        elif kind == "toggle":
            playhead.toggle()
        else:
            playhead.hurry(1 if amount > 0 else -1)
        assert 0 <= playhead.step < len(gaps)


def timed(folder: Path, times_ns: list[int], **config: Any) -> Any:
    drive = Drive(EPISODE, [replace(STEP, time_ns=time_ns) for time_ns in times_ns])
    with sessions.open(write_session(folder, [drive], config=config)) as session:
        return step_times(session.info, session.episodes[0]).tolist()


def test_steps_are_due_as_recorded_with_pauses_cut_to_a_second(tmp_path: Path) -> None:
    times = [7 * MS, 107 * MS, 210 * MS, 60_000 * MS, 60_100 * MS]
    assert timed(tmp_path, times) == [0, 100 * MS, 203 * MS, 1203 * MS, 1303 * MS]


def test_times_that_run_backwards_or_leap_stay_in_order(tmp_path: Path) -> None:
    assert timed(tmp_path, [2**62, -(2**62), 2**62]) == [0, 1000 * MS, 2000 * MS]


def test_frames_that_were_shown_together_follow_one_another(tmp_path: Path) -> None:
    assert timed(tmp_path, [5 * MS] * 4 + [905 * MS] * 2) == [0, 225 * MS, 450 * MS, 675 * MS, 900 * MS, 1900 * MS]
    assert timed(tmp_path / "long", [0, 0, 60_000 * MS]) == [0, 1000 * MS, 2000 * MS]


def test_a_session_without_a_window_has_the_pace_it_was_set_to(tmp_path: Path) -> None:
    assert timed(tmp_path, [0, 1, 2], headless=True, pace=20.0) == [0, 50 * MS, 100 * MS]


@pytest.mark.parametrize(("pace", "expected"), [(20, 20.0), (None, 10.0), ("fast", 10.0), (1e9, 10.0)])
def test_a_pace_that_cannot_be_is_ten(pace: Any, expected: float) -> None:
    assert recorded_pace(replace(SESSION, config={"pace": pace})) == expected
