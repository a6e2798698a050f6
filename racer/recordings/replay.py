"""A window that plays a recording: what the driver saw beside the original, what was done, and time as it passed."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

import pygame
from pygame.event import Event

import sessions
from compression.model.latent_model import use_one_thread
from racer.errors import ConfigError, NoDisplayError
from racer.recordings.episode_list import EpisodeList, rows_of
from racer.recordings.footage import Footage, FootageError, choose_episode, episodes_with_steps
from racer.recordings.models import refuse_other_model
from racer.recordings.playhead import SPEEDS, Playhead
from racer.recordings.scene import Scene
from racer.recordings.timeline import Timeline, lanes_of
from racer.window.canvas import Canvas
from racer.window.opening import fill_screen, leave_screen, open_window
from racer.window.palette import QUIET
from racer.window.stage import clicks

KEYS = (
    "SPACE pauses; left and right step; up and down change the speed; P and N (or page up and down) change the "
    "episode; Home and End; L hides the list; drag the timeline; Esc closes"
)
"""What keys and mouse do, for people."""
_HINT: Final = 14
"""Height of the letters in which that is said, pixels of a 960 x 720 window."""

_WAIT_NS: Final = 4_000_000
"""Pause between two looks at events and clock."""
_REPEAT_MS: Final = (350, 40)
"""A key held down repeats after so many milliseconds, and then after each so many."""
_WALKS: Final = {pygame.K_LEFT: -1, pygame.K_RIGHT: 1}
_HURRIES: Final = {pygame.K_UP: 1, pygame.K_DOWN: -1}
_TURNS: Final = {
    pygame.K_PAGEUP: -1,
    pygame.K_LEFTBRACKET: -1,
    pygame.K_p: -1,
    pygame.K_PAGEDOWN: 1,
    pygame.K_RIGHTBRACKET: 1,
    pygame.K_n: 1,
}


class ReplayWindow:
    """Plays the episodes of a recording that have steps, one after the other as its viewer chooses.

    Args:
        path: The recording.
        episode: Index of the episode to begin with; the first with steps if None.
        speed: Multiple of the recorded pace, 0.125 to 16.
        beside: Whether to show the original.
        folder: Of the latent model; that of the task if None.
        fullscreen: Begin in full screen; F11 toggles.
        size: Width and height of the window, pixels.
        clock: Monotonic nanoseconds.
        wait: Called with nanoseconds to pass.
        on_note: Told in a line why an episode's original is missing.

    Raises:
        NoDisplayError: If no window can be opened.
        ConfigError: If the speed cannot be had, or the folder holds another latent model.
        FootageError: If there is no such episode, nothing to show, or its task or latent model is not here.
        RecordingError: If the recording cannot be read.
    """

    footage: Footage
    """The episode on the screen."""
    playhead: Playhead
    """Position in that episode."""

    def __init__(
        self,
        path: Path,
        episode: int | None = None,
        speed: float = 1.0,
        beside: bool = True,
        folder: Path | None = None,
        fullscreen: bool = False,
        size: tuple[int, int] = (1280, 800),
        clock: Callable[[], int] = time.monotonic_ns,
        wait: Callable[[int], None] = lambda nanoseconds: time.sleep(nanoseconds / 1e9),
        on_note: Callable[[str], None] = lambda note: None,
    ) -> None:
        if not SPEEDS[0] <= speed <= SPEEDS[-1]:
            raise ConfigError(f"speed must lie between {SPEEDS[0]:g} and {SPEEDS[-1]:g}; got {speed:g}")
        use_one_thread()
        refuse_other_model(folder, [path])
        self._folder, self._beside, self._fullscreen = folder, beside, fullscreen
        self._clock, self._wait, self._on_note = clock, wait, on_note
        self._noted: set[str] = set()
        self._now = clock()
        self._opened = ExitStack()
        self._shown = ExitStack()
        try:
            self._session = self._opened.enter_context(sessions.open(path))
            self._episodes = episodes_with_steps(self._session)
            if episode is not None:
                choose_episode(self._session, self._episodes, episode)
            self._opened.callback(self._shown.close)
            self._list = EpisodeList(rows_of(self._session, self._episodes))
            self._listed, self._dragged = len(self._episodes) > 1, False
            self._load(self._episodes[0] if episode is None else episode, speed)
            self._open(path, size)
        except BaseException:
            self.close()
            raise

    def run(self) -> None:
        """Play until the viewer closes the window."""
        self._now = self._clock()
        drawn = None
        while True:
            for event in pygame.event.get():
                if _closes(event):
                    return
                self._obey(event)
                if event.type != pygame.MOUSEMOTION:
                    drawn = None
            before, self._now = self._now, self._clock()
            if not self._dragged:
                self.playhead.pass_time(self._now - before)
            state = (self.playhead.step, self.playhead.paused)
            if state != drawn:
                self._draw()
                drawn = state
            self._wait(_WAIT_NS)

    def close(self) -> None:
        """Close the window and let go of the recording. May be called twice."""
        self._opened.close()

    def _open(self, path: Path, size: tuple[int, int]) -> None:
        try:
            self._window, self._size = open_window(f"Racer: {path.name}", size, self._fullscreen), size
        except NoDisplayError as error:
            raise NoDisplayError(
                f"{str(error).partition('. ')[0]}. The recording is safe. Set DISPLAY to a running display, or make a "
                f"video of it: racer session video {path} --out replay.mp4"
            ) from error
        self._opened.callback(pygame.display.quit)
        self._opened.callback(self._window.destroy)
        self._opened.callback(pygame.key.set_repeat)
        pygame.key.stop_text_input()
        pygame.key.set_repeat(*_REPEAT_MS)
        self._lay_out()

    def _load(self, index: int, speed: float) -> None:
        episode = self._session.episodes[index]
        lanes = lanes_of(self._session, episode)
        footage = Footage(self._session, episode, self._folder, self._beside)
        self._shown.close()
        self._shown.callback(footage.close)
        self.footage, self.playhead, self._lanes = footage, Playhead(footage.times_ns, speed), lanes
        # Loading takes no time of the episode.
        self._now = self._clock()
        reason = footage.without_original
        if reason and reason not in self._noted:
            self._noted.add(reason)
            self._on_note(f"the original is left out: {reason}")

    def _obey(self, event: Event) -> None:
        if event.type in (pygame.WINDOWSIZECHANGED, pygame.VIDEORESIZE):
            self._lay_out()
        if event.type != pygame.KEYDOWN:
            self._obey_mouse(event)
            return
        playhead, key = self.playhead, event.key
        if key == pygame.K_SPACE:
            playhead.toggle()
        elif key in _WALKS:
            playhead.walk(_WALKS[key])
        elif key in _HURRIES:
            playhead.hurry(_HURRIES[key])
        elif key in _TURNS:
            self._turn_to(self._place + _TURNS[key])
        elif key == pygame.K_l:
            self._listed = not self._listed
            self._lay_out()
        elif key == pygame.K_HOME:
            playhead.seek(0)
        elif key == pygame.K_END:
            playhead.seek(self.footage.n_steps)
        elif key == pygame.K_F11:
            self._toggle_fullscreen()

    def _obey_mouse(self, event: Event) -> None:
        if clicks(event):
            over_list = self._listed and self._list.area.collidepoint(event.pos)
            self._dragged = self._timeline.area.collidepoint(event.pos) and not over_list
            if over_list and (place := self._list.at(event.pos[1])) is not None:
                self._turn_to(place)
        elif event.type == pygame.MOUSEBUTTONUP and event.button == pygame.BUTTON_LEFT:
            self._dragged = False
        elif event.type == pygame.MOUSEWHEEL and self._listed:
            self._list.scroll(-event.y)
        if self._dragged and event.type in (pygame.MOUSEBUTTONDOWN, pygame.MOUSEMOTION):
            self.playhead.seek(self._timeline.step_at(event.pos[0]))

    @property
    def _place(self) -> int:
        """Place of the episode on the screen among those that can be looked at."""
        return self._episodes.index(self.footage.index)

    def _turn_to(self, place: int) -> None:
        """Go to the episode at a place, if there is one."""
        if 0 <= place < len(self._episodes) and place != self._place:
            try:
                self._load(self._episodes[place], self.playhead.speed)
            except FootageError as error:
                self._on_note(str(error))
            else:
                self._lay_out()
                self._list.reveal(place)

    def _toggle_fullscreen(self) -> None:
        self._fullscreen = not self._fullscreen
        if self._fullscreen:
            self._size = fill_screen(self._window)
        else:
            leave_screen(self._window, self._size)
        self._lay_out()

    def _lay_out(self) -> None:
        screen = self._window.get_surface()
        self._canvas = Canvas(screen)
        self._list.lay_out(self._canvas)
        left = self._list.area.width if self._listed else 0
        self._timeline = Timeline(self._canvas, self._lanes, self.footage.n_steps, left)
        room = screen.subsurface(left, 0, screen.get_width() - left, self._timeline.area.top)
        self._scene = Scene(room, self._session.info.task.frame, self._beside)

    def _draw(self) -> None:
        playhead = self.playhead
        speed = "" if playhead.speed == 1 else f"{playhead.speed:g} x"
        state = "end" if playhead.paused and playhead.at_end else "paused" if playhead.paused else ""
        view = self.footage.view(playhead.step, "   ".join(filter(None, (speed, state))))
        self._scene.draw(replace(view, steps_done=None))
        self._timeline.draw(playhead.step)
        if self._listed:
            self._list.draw(self._place)
        area, size = self._timeline.area, self._canvas.text_px(_HINT)
        hint = self._canvas.fitted(KEYS, size, QUIET, area.width - size)
        self._canvas.place(hint, midbottom=(area.centerx, area.bottom - size // 4))
        self._window.flip()


def _closes(event: Event) -> bool:
    pressed = event.type == pygame.KEYDOWN and event.key in (pygame.K_ESCAPE, pygame.K_q)
    return pressed or event.type in (pygame.QUIT, pygame.WINDOWCLOSE)
