"""Draws the drive: the frame, what surrounds it, and the countdown. Redraws only what changes from step to step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pygame
from numpy.typing import NDArray
from pygame import Rect, Surface

from racer.loop.display import Hud
from racer.window.canvas import Canvas, Color, smooth
from racer.window.palette import BLUE, EDGE, GROUND, INK, ORANGE, PANEL, QUIET, YELLOW
from racer.window.texts import Texts

_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
_DISC_ALPHA = 200
"""Opacity, of 255, of the disc behind the countdown's number."""
_MOST_BUTTONS = 10
"""Answers beside each other."""
_HEADER, _FOOTER, _PAD, _CAPTION = 66, 68, 24, 40
_BUTTON, _GAP, _WIDEST = 56, 12, 260
"""Like every length below in pixels of a 960 x 720 window."""


@dataclass(frozen=True)
class _DriveLayout:
    frame: Rect
    original: Rect | None
    footer: Rect
    bars: tuple[Rect, Rect]
    buttons: tuple[Rect, ...]


class DriveView:
    """Draws drives on a canvas.

    Args:
        canvas: To draw on.
        texts: The words to use.
        frame: Height, width and channels of frames.
        answers: Words on the buttons below them, each with the keys that mean the same, which may be empty; none where
            nothing is clicked.
    """

    def __init__(
        self, canvas: Canvas, texts: Texts, frame: tuple[int, int, int], answers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        self._canvas = canvas
        self._texts = texts
        self._answers = answers
        self._rows, self._columns, _ = frame
        self._shown_pixels = Surface((self._columns, self._rows), 0, canvas.screen)
        self._original_pixels = Surface((self._columns, self._rows), 0, canvas.screen)
        self._layouts: dict[bool, _DriveLayout] = {}
        self._surroundings: tuple[str, str, bool, int] | None = None

    def covered(self) -> None:
        """Take note that something else was drawn: the next drive is drawn from scratch."""
        self._surroundings = None

    def drive(self, frame: NDArray[np.uint8], hud: Hud, original: NDArray[np.uint8] | None = None) -> None:
        """Draw the frame, uint8[H, W, C], what surrounds it and, beside it, the original if given."""
        layout = self._layout(original is not None)
        side = hud.photodiode[0] if hud.photodiode else 0
        surroundings = (hud.heading, hud.mark, original is not None, side)
        if self._surroundings != surroundings:
            self._draw_surroundings(hud, layout)
            self._surroundings = surroundings
        magnify(self._canvas, frame, self._shown_pixels, layout.frame)
        if original is not None and layout.original is not None:
            magnify(self._canvas, original, self._original_pixels, layout.original)
        draw_photodiode(self._canvas, hud)
        self._canvas.screen.fill(GROUND, layout.footer)
        if hud.count is not None:
            number, count = hud.count
            counted = self._texts.pictures.format
            label = counted(number=number, count=count)
            widest = counted(number=count, count=count)
            draw_bar(self._canvas, layout.footer, label, widest, hud.steps_done, BLUE)
            return
        time = self._texts.time
        draw_bar(self._canvas, layout.bars[0], time, time, hud.steps_done, BLUE)
        if hud.score_label:
            # Room for the longest score of a percentage, so that the bar keeps its place while it grows.
            label, widest = f"{hud.score_label} {hud.score}", f"{hud.score_label} {hud.score:>5}"
            if hud.score.endswith("%"):
                widest = f"{hud.score_label} 100 %"
            draw_bar(self._canvas, layout.bars[1], label, widest, hud.score_share, ORANGE)

    def answer_at(self, spot: tuple[int, int]) -> int | None:
        """Return the number of the answer whose button is at (x, y) of the drive last drawn; None for none."""
        if self._surroundings is None:
            return None
        under = Rect(spot, (1, 1)).collidelist(self._layout(self._surroundings[2]).buttons)
        return under if under >= 0 else None

    def number(self, number: int, with_original: bool) -> None:
        """Draw the countdown's number over the frame of a drive just drawn."""
        canvas, frame = self._canvas, self._layout(with_original).frame
        # Above the middle: the road right ahead of the car stays in sight.
        side, (x, y) = frame.width, (frame.centerx, frame.top + round(0.27 * frame.width))
        canvas.place(canvas.shape(("disc", side), lambda: _disc(round(0.44 * side))), center=(x, y))
        canvas.place(canvas.text(str(number), round(0.2 * side), INK, bold=True), center=(x, y - round(0.03 * side)))
        ready = canvas.fitted(self._texts.get_ready, round(0.046 * side), INK, round(0.34 * side))
        canvas.place(ready, center=(x, y + round(0.12 * side)))
        self.covered()

    def _layout(self, with_original: bool) -> _DriveLayout:
        if with_original not in self._layouts:
            self._layouts[with_original] = self._lay_out(with_original)
        return self._layouts[with_original]

    def _lay_out(self, with_original: bool) -> _DriveLayout:
        canvas, px = self._canvas, self._canvas.px
        width, height = canvas.width, canvas.height
        pad, columns = px(_PAD), 2 if with_original else 1
        above = px(_HEADER) + (px(_CAPTION) if with_original else 0)
        rows = -(-len(self._answers) // _MOST_BUTTONS)
        below = px(_FOOTER) + rows * px(_BUTTON + _GAP)
        wide, high = magnified(
            (self._rows, self._columns), (width - (columns + 1) * pad) // columns, height - above - below
        )
        left = (width - columns * wide - (columns - 1) * pad) // 2
        top = above + (height - above - below - high) // 2
        original = Rect(left, top, wide, high) if with_original else None
        frame = Rect(left + (columns - 1) * (wide + pad), top, wide, high)

        across = min(width - 2 * pad, max(columns * wide + (columns - 1) * pad, px(620)))
        footer = Rect((width - across) // 2, height - px(_FOOTER), across, px(_FOOTER))
        bar = Rect(footer.left, footer.top, (across - px(32)) // 2, footer.height)
        buttons = self._lay_out_buttons(footer.left, height - below + px(_GAP), footer.width, rows)
        return _DriveLayout(frame, original, footer, (bar, bar.move(footer.right - bar.right, 0)), buttons)

    def _lay_out_buttons(self, left: int, top: int, room: int, rows: int) -> tuple[Rect, ...]:
        px, count = self._canvas.px, len(self._answers)
        across = -(-count // max(rows, 1))
        wide = min((room + px(_GAP)) // max(across, 1) - px(_GAP), px(_WIDEST))
        left += (room - across * (wide + px(_GAP)) + px(_GAP)) // 2
        return tuple(
            Rect(
                left + number % across * (wide + px(_GAP)),
                top + number // across * px(_BUTTON + _GAP),
                wide,
                px(_BUTTON),
            )
            for number in range(count)
        )

    def _draw_surroundings(self, hud: Hud, layout: _DriveLayout) -> None:
        canvas, px = self._canvas, self._canvas.px
        canvas.screen.fill(GROUND)
        draw_heading(canvas, hud)
        for rect, caption in ((layout.original, self._texts.original), (layout.frame, self._texts.shown)):
            if rect is not None:
                pygame.draw.rect(canvas.screen, EDGE, rect.inflate(2 * px(2), 2 * px(2)), px(2))
            if rect is not None and layout.original is not None:
                text = canvas.fitted(caption, canvas.text_px(21), QUIET, rect.width)
                canvas.place(text, midbottom=(rect.centerx, rect.top - px(8)))

        for rect, (words, keys) in zip(layout.buttons, self._answers, strict=True):
            if not keys:
                canvas.button(rect, words, canvas.text_px(24), PANEL, INK)
                continue
            canvas.rounded(rect, px(14), PANEL)
            room = rect.width - 2 * px(10)
            for said, share, size, ink in ((words, 0.34, 22, INK), (keys, 0.76, 16, QUIET)):
                line = canvas.fitted(said, min(canvas.text_px(size), rect.height // 2), ink, room)
                canvas.place(line, center=(rect.centerx, rect.top + round(share * rect.height)))


def draw_heading(canvas: Canvas, hud: Hud) -> None:
    """Draw what stands above frames, and the mark beside it."""
    px, pad, middle = canvas.px, canvas.px(_PAD), canvas.px(_HEADER) // 2
    right = canvas.width - pad - (hud.photodiode[0] if hud.photodiode else 0)
    room = right - pad
    if hud.mark:
        mark = canvas.fitted(hud.mark, canvas.text_px(20), GROUND, room // 2)
        pill = mark.get_rect(midright=(right - px(14), middle)).inflate(px(28), px(12))
        canvas.rounded(pill, pill.height // 2, YELLOW)
        canvas.place(mark, center=pill.center)
        room -= pill.width + pad
    canvas.place(canvas.fitted(hud.heading, canvas.text_px(26), INK, room), midleft=(pad, middle))


def draw_photodiode(canvas: Canvas, hud: Hud) -> None:
    """Draw the square that a photodiode looks at, if there is one."""
    if hud.photodiode is not None:
        side, white = hud.photodiode
        canvas.screen.fill(_WHITE if white else _BLACK, Rect(canvas.width - side, 0, side, side))


def draw_bar(canvas: Canvas, area: Rect, label: str, widest: str, fraction: float | None, color: Color) -> None:
    """Draw a label, with room for its widest, and a bar beside it, filled by a fraction; without one no bar."""
    px = canvas.px
    # Room for the widest label, so that the bar keeps its place while the percentage grows.
    reserved = min(canvas.text_width(widest, canvas.text_px(20)), 2 * area.width // 3)
    canvas.place(canvas.fitted(label, canvas.text_px(20), QUIET, reserved), midleft=area.midleft)
    if fraction is None:
        return
    bar = Rect(0, 0, max(area.width - reserved - px(14), 1), px(14))
    bar.midright = area.midright
    canvas.rounded(bar, bar.height // 2, EDGE)
    done = round(bar.width * min(max(fraction, 0.0), 1.0))
    canvas.rounded(bar, bar.height // 2, color, Rect(0, 0, done, bar.height))


def magnify(canvas: Canvas, frame: NDArray[np.uint8], pixels: Surface, target: Rect) -> None:
    """Draw a frame, uint8[H, W, C], over a part of the canvas, by way of a surface of its own size."""
    blit_frame(pixels, frame)
    pygame.transform.scale(pixels, target.size, canvas.screen.subsurface(target))


def magnified(frame: tuple[int, int], width: int, height: int) -> tuple[int, int]:
    """Return the width and height, pixels, of a frame of so many rows and columns in a room of `width` x `height`.

    A whole multiple wherever one fits: with any other factor some pixels come out wider than others and shimmer in
    motion.
    """
    rows, columns = frame
    factor = min(width / columns, height / rows)
    factor = float(int(factor)) if factor >= 1 else factor
    return max(round(columns * factor), 1), max(round(rows * factor), 1)


def blit_frame(surface: Surface, frame: NDArray[np.uint8]) -> None:
    """Draw a frame, uint8[H, W, C], on a surface of its size; grey ones in grey."""
    pixels = frame if frame.shape[2] == 3 else np.repeat(frame, 3, axis=2)
    pygame.surfarray.blit_array(surface, pixels.transpose(1, 0, 2))


def _disc(side: int) -> Surface:
    def draw(surface: Surface, finer: int) -> None:
        surface.fill((*GROUND, 0))
        radius = side * finer // 2
        pygame.draw.circle(surface, (*GROUND, _DISC_ALPHA), (radius, radius), radius)

    return smooth((side, side), draw)
