"""Screens to look at and not to answer: one after the other in a window, or all of them on one sheet."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pygame
from pygame import Rect, Surface
from pygame.event import Event

from racer.window.canvas import Canvas
from racer.window.opening import open_window
from racer.window.palette import INK, PANEL
from racer.window.screens import Painter

KEYS = "SPACE or right shows the next screen, left the one before; Esc closes"
"""What the keys do, for people."""
_COLUMNS, _GAP, _CAPTION = 4, 16, 26
_THUMB_WIDTH = 480
"""Pixels, as the lengths above."""
_WAIT_S = 0.01


@dataclass(frozen=True)
class Shot:
    """A screen."""

    caption: str
    draw: Callable[[Painter], object]


def contact_sheet(shots: Sequence[Shot], painter: Callable[[Surface], Painter], size: tuple[int, int]) -> bytes:
    """Return all screens side by side, as PNG.

    Args:
        shots: At least one.
        painter: Makes what draws on a surface.
        size: Width and height at which each screen is drawn, pixels, before it is made smaller.
    """
    screen = Surface(size)
    drawing = painter(screen)
    thumb = _THUMB_WIDTH, round(_THUMB_WIDTH * size[1] / size[0])
    columns = min(_COLUMNS, len(shots))
    rows = -(-len(shots) // columns)
    pitch = thumb[0] + _GAP, thumb[1] + _CAPTION + _GAP
    sheet = Surface((columns * pitch[0] + _GAP, rows * pitch[1] + _GAP))
    sheet.fill(PANEL)
    canvas = Canvas(sheet)
    for index, shot in enumerate(shots):
        shot.draw(drawing)
        place = Rect(_GAP + index % columns * pitch[0], _GAP + index // columns * pitch[1], *thumb)
        canvas.place(canvas.fitted(f"{index + 1}  {shot.caption}", 16, INK, thumb[0]), topleft=place.topleft)
        place.top += _CAPTION
        sheet.blit(pygame.transform.smoothscale(screen, thumb), place)
    file = io.BytesIO()
    pygame.image.save(sheet, file, "sheet.png")
    return file.getvalue()


class Gallery:
    """A window that shows screens; nothing that is done in it is recorded.

    Args:
        shots: At least one.
        painter: Makes what draws on a surface.
        title: Caption of the window.
        size: Width and height, pixels.
        fullscreen: Begin in full screen.

    Raises:
        NoDisplayError: If no window can be opened.
    """

    def __init__(
        self,
        shots: Sequence[Shot],
        painter: Callable[[Surface], Painter],
        title: str,
        size: tuple[int, int] = (960, 720),
        fullscreen: bool = False,
    ) -> None:
        self.index = 0
        """Index of the screen in view."""
        self.closed = False
        self._shots = shots
        self._title = title
        self._window = open_window(title, size, fullscreen)
        pygame.key.stop_text_input()
        self._painter = painter(self._window.get_surface())

    def run(self) -> None:
        """Show screens until the window is closed."""
        while not self.closed:
            self.look()
            while not self.closed and not (events := pygame.event.get()):
                time.sleep(_WAIT_S)
            for event in events:
                self.handle(event)

    def look(self) -> None:
        """Draw the screen in view."""
        self._painter.blank()
        self._shots[self.index].draw(self._painter)
        self._window.title = f"{self._title}: {self.index + 1} of {len(self._shots)}"
        self._window.flip()

    def handle(self, event: Event) -> None:
        """Take in a key or what the window system says."""
        if event.type == pygame.KEYDOWN:
            step = {pygame.K_RIGHT: 1, pygame.K_SPACE: 1, pygame.K_RETURN: 1, pygame.K_LEFT: -1, pygame.K_BACKSPACE: -1}
            self.index = min(max(self.index + step.get(event.key, 0), 0), len(self._shots) - 1)
            self.closed |= event.key in (pygame.K_ESCAPE, pygame.K_q)
        elif event.type in (pygame.QUIT, pygame.WINDOWCLOSE):
            self.closed = True
        elif event.type in (pygame.VIDEORESIZE, pygame.WINDOWSIZECHANGED):
            self._painter.resized(self._window.get_surface())

    def close(self) -> None:
        """Close the window."""
        self._window.destroy()
        pygame.display.quit()
