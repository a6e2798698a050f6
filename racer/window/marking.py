"""Pictures that are shown together, of which some are marked: what a person's keys and clicks do to them, and when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import pygame
from numpy.typing import NDArray
from pygame import Rect
from pygame.event import Event

from racer.loop.display import Hud, PictureMark
from racer.window.screens import Painter
from racer.window.stage import TIMED_NS, Screen, accepts, clicks

_WAYS: Final = {
    pygame.K_LEFT: (-1, 0),
    pygame.K_RIGHT: (1, 0),
    pygame.K_UP: (0, -1),
    pygame.K_DOWN: (0, 1),
}
_KEYS: Final = {name: number for number in range(9) for name in (str(number + 1), f"[{number + 1}]")}


class Marking(Screen):
    """A page of pictures, none marked at first; SPACE, Enter or the button leaves it.

    The arrow keys, or a gamepad's directions, move a ring over the pictures and the button: then SPACE marks the
    picture that has it, and Enter alone leaves the page. A click or a number takes the ring away.

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
        """Areas of the pictures, then of the button."""
        self._ringed: int | None = None
        """The area that has the ring."""

    def draw(self, painter: Painter) -> None:
        """Draw the page as it is marked."""
        areas = painter.catalogue(self._frames, self._hud, self._marked, self._ringed)
        self._areas = [*areas.pictures, areas.button]

    def handle(self, event: Event) -> None:
        """Take in a key or a click."""
        onward = len(self._frames)
        if event.type == pygame.KEYDOWN and event.key in _WAYS and self._areas:
            self._ringed = _next(self._areas, self._ringed, _WAYS[event.key])
        elif accepts(event):
            self._choose(onward if self._ringed is None or event.key != pygame.K_SPACE else self._ringed)
        elif event.type == pygame.KEYDOWN and pygame.key.name(event.key) in _KEYS:
            self._ringed = None
            self._choose(_KEYS[pygame.key.name(event.key)])
        elif clicks(event) and (under := Rect(event.pos, (1, 1)).collidelist(self._areas)) >= 0:
            if under < onward or self.settled:  # not a double click on the page before
                self._tell("click", "continue" if under == onward else f"picture {under + 1}")
            self._ringed = None
            self._choose(under)

    def _choose(self, place: int) -> None:
        """Mark a picture or take its mark away, or leave the page; a place that is not there changes nothing."""
        if place == len(self._frames):
            self.done = self.settled
        elif 0 <= place < len(self._frames):
            self._marked ^= {place}
            self._changed[place] = self._clock() - self.paused_ns

    def marks(self, shown_ns: int) -> tuple[PictureMark, ...]:
        """Return what was made of the pictures, which is left now; `shown_ns` is when they were first shown."""
        left = self._clock() - self.paused_ns
        return tuple(
            PictureMark(
                place in self._marked, shown_ns + self.paused_ns, self._changed.get(place, left) + self.paused_ns
            )
            for place in range(len(self._frames))
        )


def _next(areas: Sequence[Rect], current: int | None, way: tuple[int, int]) -> int:
    """Return the area that comes next in a direction: the first one at first, the same one where none does."""
    if current is None:
        return 0

    reached: dict[int, tuple[bool, int, int]] = {}
    for place, area in enumerate(areas):
        across, down = (there - here for there, here in zip(area.center, areas[current].center, strict=True))
        ahead, aside = (way[0] * across, abs(down)) if way[0] else (way[1] * down, abs(across))
        if ahead > 0:
            reached[place] = aside > ahead, ahead, aside
    return min(reached, key=lambda place: reached[place], default=current)
