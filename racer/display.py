"""What a sitting needs of a display, whether a window (`racer.window`) or nothing at all (`NoDisplay`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

EventListener = Callable[[str, str, int], None]
"""Called with (kind, detail, monotonic nanoseconds). Kinds: `key_down`, `key_up`, `focus_lost`, `focus_gained`,
`pause`, `resume`, `end`, `resize`. The detail of a key event is pygame's name of the key; of a pause, a resume and an
end what began it (`escape`, `close`, `focus`, `fullscreen`); of a resize the new size, as `960x720`. A resume after a
pause of an episode comes when its time runs on, after the countdown. Losing the focus releases all keys."""


class EndSession(Exception):
    """The person at the window chose to end the session, or closed the window."""


@dataclass(frozen=True)
class Page:
    """A page of text shown until the participant goes on."""

    title: str
    lines: tuple[str, ...]
    """Paragraphs; wrapped to the window."""
    prompt: str = "Press SPACE to continue"
    show_keys: bool = False
    """Whether to draw the steering keys, which light up while they are pressed."""


@dataclass(frozen=True)
class Hud:
    """What is drawn around the frame."""

    heading: str
    """For example `Practice 2 of 5`. Never names the condition."""
    steps_done: float
    """Fraction of the episode's steps done, in [0, 1]: the progress bar."""
    road_progress: float
    """Fraction of the road visited so far, in [0, 1]."""
    mark: str = ""
    """A visible mark such as `PILOT`; empty for none."""


class Display(Protocol):
    """Shows frames and pages, and passes time."""

    listener: EventListener | None
    """Told about every key and window event; set by the session."""

    def page(self, page: Page) -> None:
        """Show a page until the participant goes on. Raises EndSession."""

    def countdown(self, hud: Hud, frame: NDArray[np.uint8], original: NDArray[np.uint8] | None = None) -> None:
        """Count down over the first frame of an episode. Raises EndSession."""

    def show(self, frame: NDArray[np.uint8], hud: Hud, original: NDArray[np.uint8] | None = None) -> int:
        """Draw a frame, uint8[64, 64, 3], the original beside it if given; return when, monotonic nanoseconds."""

    def wait(self, until_ns: int) -> int:
        """Handle events until a monotonic time, moved by the length of any pause meanwhile.

        Return the nanoseconds spent paused, by which later deadlines move too. Raises EndSession.
        """

    def close(self) -> None:
        """Give the screen back."""


class NoDisplay:
    """Shows nothing and never waits: simulated participants run as fast as the machine allows."""

    def __init__(self) -> None:
        self.listener: EventListener | None = None

    def page(self, page: Page) -> None:
        """Go on at once."""

    def countdown(self, hud: Hud, frame: NDArray[np.uint8], original: NDArray[np.uint8] | None = None) -> None:
        """Go on at once."""

    def show(self, frame: NDArray[np.uint8], hud: Hud, original: NDArray[np.uint8] | None = None) -> int:
        """Return the time."""
        return time.monotonic_ns()

    def wait(self, until_ns: int) -> int:
        """Return at once."""
        return 0

    def close(self) -> None:
        """Do nothing."""
