from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pygame
import pytest
from footage_builders import CONDITIONS, STEPS, Walk, copy_recording, golden, other_progress, record
from pygame.event import Event
from racing_builders import scored, write_session
from window_builders import MS, down, x_server

import sessions
from racer.errors import ConfigError, NoDisplayError
from racer.recordings.footage import FootageError
from racer.recordings.replay import ReplayWindow
from sessions import Step

SPACE, LEFT, RIGHT, UP, DOWN = map(down, (pygame.K_SPACE, pygame.K_LEFT, pygame.K_RIGHT, pygame.K_UP, pygame.K_DOWN))
HOME, END, ESC, Q, F11 = map(down, (pygame.K_HOME, pygame.K_END, pygame.K_ESCAPE, pygame.K_q, pygame.K_F11))
NEXT, PREVIOUS = down(pygame.K_RIGHTBRACKET), down(pygame.K_LEFTBRACKET)


class Viewer:
    """Sits at the window: time passes by waiting; keys are pressed, and the screen noted, when their time comes."""

    def __init__(self) -> None:
        self.now = 0
        self.seen: list[tuple[int, int, bool]] = []
        """Episode, step and whether paused, whenever something was due."""
        self._due: list[tuple[int, list[Event]]] = []
        self.replay: ReplayWindow

    def at(self, milliseconds: int, *events: Event) -> Viewer:
        self._due.append((milliseconds * MS, list(events)))
        return self

    def clock(self) -> int:
        return self.now

    def wait(self, nanoseconds: int) -> None:
        self.now += nanoseconds
        while self._due and self._due[0][0] <= self.now:
            playhead = self.replay.playhead
            self.seen.append((self.replay.footage.index, playhead.step, playhead.paused))
            for event in self._due.pop(0)[1]:
                pygame.event.post(event)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("recordings"))


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Viewer]]:
    """Play a recording to a viewer; return the viewer."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")

    def watch_one(path: Path, viewer: Viewer, **settings: Any) -> Viewer:
        viewer.replay = ReplayWindow(path, size=(640, 480), clock=viewer.clock, wait=viewer.wait, **settings)
        with closing(viewer.replay):
            pygame.event.clear()
            viewer.replay.run()
        return viewer

    yield watch_one
    pygame.display.quit()


Watch = Callable[..., Viewer]


@pytest.mark.parametrize("way_out", [ESC, Q, Event(pygame.QUIT), Event(pygame.WINDOWCLOSE)])
def test_the_window_closes_when_its_viewer_wants_it_to(recording: Path, watch: Watch, way_out: Event) -> None:
    viewer = watch(recording, Viewer().at(250, way_out))
    assert viewer.seen == [(0, 2, False)]
    assert not pygame.display.get_init()


def test_steps_appear_at_the_pace_of_the_session_and_stop_at_the_end(recording: Path, watch: Watch) -> None:
    viewer = Viewer().at(50).at(150).at(850).at(5000, ESC)
    watch(recording, viewer)
    assert viewer.seen == [(0, 0, False), (0, 1, False), (0, 8, False), (0, STEPS - 1, True)]


def test_recorded_times_set_the_pace_of_a_session_that_had_a_window(
    recording: Path, tmp_path: Path, watch: Watch
) -> None:
    times = iter([0, 40, 80, 400, 20_000] + [20_000 + 40 * i for i in range(1, 99)])

    def timed(step: Step) -> Step:
        return replace(step, time_ns=next(times) * MS)

    path = copy_recording(
        recording, tmp_path, lambda info: replace(info, config={**info.config, "headless": False}), step=timed
    )
    viewer = watch(path, Viewer().at(60).at(300).at(1300).at(1410, ESC))
    # 19.6 seconds of pause last one.
    assert [step for _, step, _ in viewer.seen] == [1, 2, 3, 4]


def test_keys_pause_step_and_jump(recording: Path, watch: Watch) -> None:
    viewer = Viewer().at(350, SPACE).at(1000, RIGHT, RIGHT).at(1100, LEFT).at(1200, END).at(1300, HOME).at(1400, SPACE)
    watch(recording, viewer.at(1650, ESC))
    assert viewer.seen == [
        (0, 3, False),
        (0, 3, True),
        (0, 5, True),
        (0, 4, True),
        (0, STEPS - 1, True),
        (0, 0, True),
        (0, 2, False),
    ]


def test_up_and_down_change_the_speed(recording: Path, watch: Watch) -> None:
    viewer = watch(recording, Viewer().at(150, UP, UP).at(220, DOWN, DOWN, DOWN).at(400, ESC))
    assert [step for _, step, _ in viewer.seen] == [1, 4, 5]


def test_speed_can_be_chosen_from_the_start(recording: Path, watch: Watch) -> None:
    assert watch(recording, Viewer().at(120, ESC), speed=4.0).seen == [(0, 4, False)]
    for speed in (0.0, 17.0, float("nan")):
        with pytest.raises(ConfigError):
            watch(recording, Viewer(), speed=speed)


def test_episodes_can_be_chosen_and_changed_and_end_at_the_ends(recording: Path, watch: Watch) -> None:
    last = len(CONDITIONS) - 1
    viewer = (
        Viewer().at(150, NEXT).at(300, NEXT).at(450, PREVIOUS).at(600, down(pygame.K_PAGEUP), PREVIOUS).at(750, ESC)
    )
    watch(recording, viewer, episode=last - 1)
    assert [(episode, step) for episode, step, _ in viewer.seen] == [
        (last - 1, 1),
        (last, 1),
        (last, 2),
        (last - 1, 1),
        (max(last - 3, 0), 1),
    ]


def test_the_screen_shows_the_original_beside_the_frame(recording: Path, watch: Watch) -> None:
    pictures = []

    class Looking(Viewer):
        def wait(self, nanoseconds: int) -> None:
            super().wait(nanoseconds)
            screen = self.replay._window.get_surface()
            pictures.append((pygame.surfarray.array3d(screen).transpose(1, 0, 2), self.replay.playhead.step))

    viewer = Looking().at(350, ESC)
    watch(recording, viewer)
    (picture,) = [picture for picture, step in pictures if step == 3][:1]
    scene = viewer.replay._scene
    footage = viewer.replay.footage
    assert scene.original is not None
    left = viewer.replay._list.area.width
    for place, frame in ((scene.original, footage.original(3)), (scene.shown, footage.shown(3))):
        scale = place.width // 64
        found = picture[place.top + scale // 2 : place.bottom : scale, left + place.left + scale // 2 :: scale][:, :64]
        assert np.array_equal(found, frame)


def test_the_timeline_is_dragged_and_episodes_are_clicked(recording: Path, watch: Watch) -> None:
    class Pointing(Viewer):
        """Knows where things are only once the window is there."""

        def point(self, milliseconds: int, kind: int, where: Callable[[], tuple[int, int]]) -> Pointing:
            self._due.append((milliseconds * MS, []))
            self.later = [*getattr(self, "later", []), (milliseconds * MS, kind, where)]
            return self

        def wait(self, nanoseconds: int) -> None:
            super().wait(nanoseconds)
            while self.later and self.later[0][0] <= self.now:
                _, kind, where = self.later.pop(0)
                button = {"rel": (0, 0), "buttons": (1, 0, 0)} if kind == pygame.MOUSEMOTION else {"button": 1}
                pygame.event.post(Event(kind, pos=where(), **button))

    def at(step: int) -> Callable[[], tuple[int, int]]:
        return lambda: (viewer.replay._timeline.x_of(step + 0.5), viewer.replay._timeline.area.top + 4)

    down_, move, up_ = pygame.MOUSEBUTTONDOWN, pygame.MOUSEMOTION, pygame.MOUSEBUTTONUP
    viewer = Pointing()
    viewer.point(150, down_, at(6)).at(400).point(450, move, at(3)).at(600).point(650, move, at(2)).point(
        700, up_, at(2)
    )
    viewer.at(860).point(900, move, at(7)).at(950)
    viewer.point(1000, down_, lambda: (10, viewer.replay._list.area.top + 26)).at(1100, down(pygame.K_l)).at(1150)
    # Where the list was there is the picture now.
    viewer.point(1200, down_, lambda: (10, 4)).at(1300, ESC)
    watch(recording, viewer)
    seen = [(episode, step) for episode, step, _ in viewer.seen]
    assert seen[1] == (0, 6), "held where it was dragged to, while time passes"
    assert seen[3] == (0, 3)
    assert (0, 2) in seen[5:8]
    assert seen[-1][0] == seen[-2][0] == 1


def test_frames_of_other_sizes_are_magnified_as_a_whole(walk: Walk, watch: Watch) -> None:
    viewer = watch(walk.path, Viewer().at(150, END).at(400, NEXT).at(650, ESC), folder=walk.model)
    assert [(episode, step) for episode, step, _ in viewer.seen] == [(0, 1), (0, STEPS - 1), (1, 2)]
    scene = viewer.replay._scene
    assert scene.original is not None
    assert scene.original.size == scene.shown.size
    assert scene.shown.width % 32 == scene.shown.height % 24 == 0


def test_a_recording_whose_task_or_model_is_not_here_is_refused_before_a_window_opens(walk: Walk, watch: Watch) -> None:
    with pytest.raises(FootageError, match=r"other weights .*--model"):
        watch(walk.path, Viewer())
    walk.uninstall()
    with pytest.raises(FootageError, match="task grey-walk is not installed: install the package") as error:
        watch(walk.path, Viewer())
    assert "\n" not in str(error.value)
    assert not pygame.display.get_init()


@pytest.mark.parametrize("participant", ["pilot01", "eval01", "noisy01"])
def test_recordings_of_version_0_1_0_are_played(participant: str, tmp_path: Path, watch: Watch) -> None:
    notes: list[str] = []
    viewer = Viewer().at(150, NEXT).at(300, ESC)
    watch(golden(participant, tmp_path), viewer, on_note=notes.append)
    assert (viewer.seen, notes) == ([(0, 1, False), (1, 1, False)], [])


def test_full_screen_and_other_sizes_lay_the_scene_out_anew(recording: Path, watch: Watch) -> None:
    viewer = Viewer().at(100, F11).at(200, Event(pygame.WINDOWSIZECHANGED)).at(300, F11).at(400, ESC)
    assert len(watch(recording, viewer).seen) == 4


def test_an_original_that_would_be_wrong_is_left_out_and_said_so_once(
    recording: Path, tmp_path: Path, watch: Watch
) -> None:
    path = copy_recording(recording, tmp_path, step=other_progress)
    with sessions.open(path) as session:
        raw = [episode.index for episode in session.episodes if episode.info.condition == "raw"]
    notes: list[str] = []
    viewer = Viewer().at(100, *[NEXT] * 5).at(200, *[PREVIOUS] * 5).at(300, ESC)
    watch(path, viewer, on_note=notes.append, episode=next(i for i in range(3) if i not in raw))
    left_out = [note for note in notes if note.startswith("the original is left out")]
    assert len(left_out) == 1
    # What was shown in raw episodes cannot be drawn: they are passed over.
    assert all("cannot be drawn" in note for note in notes if note not in left_out)
    assert {episode for episode, _, _ in viewer.seen}.isdisjoint(raw)


def test_an_episode_that_is_not_there_is_refused_before_a_window_opens(recording: Path, watch: Watch) -> None:
    with pytest.raises(FootageError, match="no episode 9"):
        watch(recording, Viewer(), episode=9)
    assert not pygame.display.get_init()


def test_a_recording_without_steps_is_refused(tmp_path: Path, watch: Watch) -> None:
    with pytest.raises(FootageError, match="nothing to see"):
        watch(write_session(tmp_path, [scored("raw", 0.0, ())]), Viewer())


@pytest.mark.skipif(os.name != "posix" or os.uname().sysname != "Linux", reason="other systems always have a display")
def test_without_a_display_a_video_is_suggested(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "SDL_VIDEO_DRIVER"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NoDisplayError, match="racer session video") as error:
        ReplayWindow(recording)
    assert "Nothing was recorded" not in str(error.value)


@pytest.fixture
def xdotool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    with x_server(monkeypatch) as run:
        yield run


@pytest.mark.xvfb
def test_real_keys_and_a_real_mouse_play_a_recording_in_a_real_window(
    recording: Path, xdotool: Callable[..., None]
) -> None:
    def to(step: int) -> tuple[str, str, str]:
        left, top = replay._window.position
        timeline = replay._timeline
        return "mousemove", str(left + timeline.x_of(step + 0.5)), str(top + timeline.area.top + 5)

    def acts() -> Iterator[tuple[str, ...]]:
        for key in ("space", "End", "bracketright", "Right"):
            yield "key", key
        yield *to(6), "mousedown", "1"
        yield to(3)
        yield "mouseup", "1", "key", "q"

    acting = acts()
    states: list[tuple[int, int, bool]] = []
    deadline = time.monotonic() + 20

    def wait(nanoseconds: int) -> None:
        """Do the next thing when the last one has come to something; no time of the episode passes."""
        assert time.monotonic() < deadline, "the X server's events never came"
        state = (replay.footage.index, replay.playhead.step, replay.playhead.paused)
        if replay._window.focused and (not states or state != states[-1]):
            states.append(state)
            xdotool(*next(acting))

    replay = ReplayWindow(recording, clock=lambda: 0, wait=wait)
    with closing(replay):
        replay.run()
    pressed = [(0, 0, False), (0, 0, True), (0, STEPS - 1, True), (1, 0, False), (1, 1, True)]
    assert states == [*pressed, (1, 6, True), (1, 3, True)]
