"""The episodes of a recording as a list beside the one that is played."""

from __future__ import annotations

from pygame import Rect

from racer.recordings.listing import in_words
from racer.window.canvas import Canvas
from racer.window.palette import BLUE, GROUND, PANEL, QUIET
from sessions import Session

WIDTH = 230
_ROW, _PAD, _TEXT = 26, 10, 16
"""Lengths in pixels of a 960 x 720 window."""
_LONGEST = 40


def rows_of(session: Session, episodes: list[int]) -> list[str]:
    """Return a line for each of these episodes: number, condition and what it came to.

    Raises:
        RecordingError: If they cannot be read.
    """
    primary = session.info.task.primary
    lines = []
    for episode in (session.episodes[index] for index in episodes):
        came_to = in_words(primary, episode.trial_value(primary.name))
        cut_short = "" if episode.accepted else " *"
        lines.append(f"{episode.index}   {episode.info.condition[:_LONGEST]}   {came_to}{cut_short}")
    return lines


class EpisodeList:
    """Draws lines at the left of a window and tells which one is where.

    Args:
        lines: What to draw.
    """

    area: Rect
    """What it takes of the window."""
    first = 0
    """The uppermost line in view."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def lay_out(self, canvas: Canvas) -> None:
        """Take the window to draw on, whole, also when its size has changed."""
        self._canvas = canvas
        self.area = Rect(0, 0, canvas.px(WIDTH), canvas.height)
        self._row = canvas.px(_ROW)
        self._fitting = max(canvas.height // self._row, 1)
        self.scroll(0)

    def scroll(self, lines: int) -> None:
        """Move on by so many lines, as far as there are any."""
        self.first = min(max(self.first + lines, 0), max(len(self._lines) - self._fitting, 0))

    def reveal(self, place: int) -> None:
        """Scroll as little as needed for a line to be in view."""
        self.scroll(min(place - self.first, 0) + max(place - self.first - self._fitting + 1, 0))

    def at(self, y: int) -> int | None:
        """Return the line at a pixel from the window's upper edge, if there is one."""
        row = y // self._row
        return self.first + row if row < min(self._fitting, len(self._lines)) else None

    def draw(self, current: int) -> None:
        """Draw it with a line lit up."""
        canvas, pad = self._canvas, self._canvas.px(_PAD)
        canvas.screen.fill(PANEL, self.area)
        for place, line in enumerate(self._lines[self.first : self.first + self._fitting], self.first):
            row = Rect(0, (place - self.first) * self._row, self.area.width, self._row)
            lit = place == current
            if lit:
                canvas.screen.fill(BLUE, row)
            text = canvas.fitted(line, canvas.text_px(_TEXT), GROUND if lit else QUIET, row.width - 2 * pad)
            canvas.place(text, midleft=(pad, row.centery))
