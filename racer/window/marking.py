"""Pictures that are shown together, of which some are marked: what a person's keys and clicks do to them, and when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import pygame
from numpy.typing import NDArray
from pygame import Rect
from pygame.event import Event

from racer.loop.display import Hud, Mark
from racer.window.screens import Painter
from racer.window.stage import TIMED_NS, Screen, accepts, clicks

_KEYS: Final = {name: number for number in range(9) for name in (str(number + 1), f"[{number + 1}]")}


class Marking(Screen):
    """A page of pictures, none marked at first; SPACE, Enter or the button leaves it.

    Args:
        frames: uint8[H, W, C] each, at most as many as there are keys.
        hud: What stands around them.
        clock: Monotonic nanoseconds.
        tell: Told of clicks.
    """

    poll_ns = TIMED_NS

    def __init__(
        self,
        frames: Sequence[NDArray[np.uint8]],
        hud: Hud,
        clock: Callable[[], int],
        tell: Callable[[str, str], None],
    ) -> None:
        super().__init__()
        self.paused_ns = 0
        """How long the page was interrupted."""
        self._frames = [frame.copy() for frame in frames]
        self._hud = hud
        self._clock = clock
        self._tell = tell
        self._marked: set[int] = set()
        self._changed: dict[int, int] = {}
        """When a picture was last marked or the mark taken away, less the interruptions before."""
        self._areas: list[Rect] = []
        """Of the pictures, and of the button."""

    def draw(self, painter: Painter) -> None:
        """Draw the page as it is marked."""
        areas = painter.catalogue(self._frames, self._hud, self._marked)
        self._areas = [*areas.pictures, areas.button]

    def handle(self, event: Event) -> None:
        """Take in a key or a click."""
        place = None
        if accepts(event):
            self.done = self.settled
        elif event.type == pygame.KEYDOWN:
            place = _KEYS.get(pygame.key.name(event.key))
        elif clicks(event) and (under := Rect(event.pos, (1, 1)).collidelist(self._areas)) >= 0:
            onward = under == len(self._frames)
            if onward and not self.settled:  # a double click on the page before
                return
            self.done = onward
            self._tell("click", "continue" if onward else f"picture {under + 1}")
            place = under
        if place is not None and place < len(self._frames):
            self._marked ^= {place}
            self._changed[place] = self._clock() - self.paused_ns

    def marks(self, shown_ns: int) -> tuple[Mark, ...]:
        """Return what was made of the pictures, which is left now; `shown_ns` is when they were first shown."""
        left = self._clock() - self.paused_ns
        return tuple(
            Mark(place in self._marked, shown_ns + self.paused_ns, self._changed.get(place, left) + self.paused_ns)
            for place in range(len(self._frames))
        )
