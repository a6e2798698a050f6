from __future__ import annotations

from pathlib import Path

import numpy as np
import pygame
import pytest
from racing_builders import SESSION, write_session
from report_builders import driven

import sessions
from racer.recordings.episode_list import EpisodeList
from racer.recordings.timeline import Lane, Timeline, lanes_of
from racer.window.canvas import Canvas

MS = 1_000_000


def canvas(width: int = 960, height: int = 720) -> Canvas:
    pygame.font.init()
    return Canvas(pygame.Surface((width, height)))


def lanes(path: Path) -> dict[str, tuple[tuple[float, float], ...]]:
    with sessions.open(path) as session:
        return {lane.name: lane.spans for lane in lanes_of(session, session.episodes[0])}


def test_lanes_say_what_was_done_and_which_blocks_were_sent(tmp_path: Path) -> None:
    path = write_session(tmp_path, [driven("pico", [1, 1, 2, 1, 0], mask=[2])])
    found = lanes(path)
    assert found["straight"] == ((0, 2), (3, 4))
    assert found["block 2"] == ((0, 5),)
    assert found["block 0"] == ()
    assert not any(name.startswith("key") for name in found)


def test_keys_are_held_between_press_and_release(tmp_path: Path) -> None:
    drive = driven("pico", [1] * 4, times_ms=[0, 100, 200, 300])
    with sessions.Recorder(tmp_path, SESSION) as recorder:
        recorder.begin_episode(drive.info)
        for step in drive.steps:
            recorder.append(step)
        for kind, key, ms in (
            ("key_up", "a", 50),
            ("key_down", "left", 100),
            ("key_down", "left", 120),
            ("key_down", "d", 150),
            ("focus_lost", "", 200),
            ("key_up", "left", 250),
            ("key_down", "right", 300),
        ):
            recorder.event(kind, key, ms * MS, 0, 0)
        recorder.end_episode("complete")
    (path,) = sessions.find_recordings(tmp_path)
    found = lanes(path)
    assert found["key a"] == ((0.0, 0.5),)
    assert found["key left"] == ((1.0, 2.0),)
    assert found["key d"] == ((1.5, 2.0),)
    assert found["key right"] == ((3.0, 4.0),)


@pytest.mark.parametrize("steps", [1, 7, 100, 5000])
@pytest.mark.parametrize("left", [0, 230])
def test_every_step_is_found_where_it_is_drawn(steps: int, left: int) -> None:
    timeline = Timeline(canvas(), [Lane("left", (1, 2, 3), ((0.0, 1.0),))], steps, left)
    assert timeline.step_at(-50) == 0
    assert timeline.step_at(5000) == steps - 1
    for step in np.unique(np.linspace(0, steps - 1, 20).astype(int)).tolist():
        assert abs(timeline.step_at(timeline.x_of(step + 0.5)) - step) <= steps // 600
    timeline.draw(steps - 1)


def test_a_timeline_of_many_lanes_leaves_room_for_the_picture() -> None:
    many = [Lane(f"block {number}", (1, 2, 3), ((0.0, 3.0),)) for number in range(200)]
    assert Timeline(canvas(), many, 3).area.height < 720 / 2


def test_a_list_longer_than_the_window_scrolls_to_what_is_played() -> None:
    listed = EpisodeList([str(number) for number in range(100)])
    listed.lay_out(canvas(960, 720))
    fitting = 720 // 26
    assert (listed.at(0), listed.at(26 * 3 + 1)) == (0, 3)
    listed.reveal(60)
    assert (listed.at(26 * fitting - 1), listed.at(719)) == (60, None)
    listed.reveal(5)
    assert listed.at(0) == 5
    listed.scroll(1000)
    assert listed.first == 100 - fitting
    listed.draw(99)
    few = EpisodeList(["0", "1"])
    few.lay_out(canvas())
    few.scroll(1)
    assert (few.first, few.at(500)) == (0, None)
