"""Draws one step of a recorded episode: the original, what was shown, the keys, and how far it had come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pygame
from numpy.typing import NDArray
from pygame import Rect, Surface

from racer.tasks.car_racing.frames import FRAME_SIZE
from racer.window.canvas import Canvas, Color, round_rect, smooth
from racer.window.palette import BLUE, EDGE, GROUND, INK, ORANGE, PANEL, QUIET, YELLOW

_PAD, _HEADER, _CAPTION, _FOOTER = 24, 66, 40, 132
"""Lengths, as all below, in pixels of a 960 x 720 window."""
_BAR, _KEY, _TEXT, _SMALL_TEXT = 12, 52, 24, 20


@dataclass(frozen=True)
class View:
    """What is drawn of a step."""

    heading: str
    remark: str
    """At the right of the heading; empty for none."""
    facts: str
    """Beside the keys."""
    shown: NDArray[np.uint8]
    """uint8[64, 64, 3]."""
    original: NDArray[np.uint8] | None
    """uint8[64, 64, 3]; None where there is none."""
    action: int
    """-1, 0 or 1: the key that was held."""
    steps_done: float
    """Fraction of the episode's steps, in [0, 1]."""
    progress: float
    """Fraction of the road visited, in [0, 1]."""


def scene_size(scale: int, beside: bool) -> tuple[int, int]:
    """Return width and height, both even, of a surface that holds frames of 64 times `scale` pixels."""
    side = FRAME_SIZE * scale
    return (round((2.18 if beside else 1.5) * side / 2) * 2, round(1.6 * side / 2) * 2)


class Scene:
    """Draws on a surface; make a new one when its size has changed.

    Args:
        screen: The surface.
        beside: Whether there is room to be kept for the original, left of what was shown.
        scale: Pixels of the screen per pixel of a frame; as many as fit if left out.
    """

    shown: Rect
    """Where the frame is drawn."""
    original: Rect | None
    """Where the original is drawn, if at all."""

    def __init__(self, screen: Surface, beside: bool, scale: int | None = None) -> None:
        pygame.font.init()
        self._canvas = Canvas(screen)
        px, (width, height) = self._canvas.px, screen.get_size()
        pad, columns = px(_PAD), 2 if beside else 1
        above, below = px(_HEADER) + px(_CAPTION), px(_FOOTER)
        room = min((width - (columns + 1) * pad) // columns, height - above - below)
        # Whole multiples only, so that all pixels of a frame are of one size.
        side = FRAME_SIZE * (scale or max(room // FRAME_SIZE, 1))
        left = (width - columns * side - (columns - 1) * pad) // 2
        top = above + (height - above - below - side) // 2
        self.original = Rect(left, top, side, side) if beside else None
        self.shown = Rect(left + (columns - 1) * (side + pad), top, side, side)
        frames = self.shown.union(self.original or self.shown)
        across = frames.width if beside else max(frames.width, width - 2 * pad)
        self._footer = Rect((width - across) // 2, frames.bottom, across, below)
        self._pixels = Surface((FRAME_SIZE, FRAME_SIZE), 0, screen)

    def draw(self, view: View) -> None:
        """Draw a step."""
        canvas, px = self._canvas, self._canvas.px
        canvas.screen.fill(GROUND)
        line, middle = self._footer, px(_HEADER) // 2
        room = line.width
        if view.remark:
            remark = canvas.fitted(view.remark, canvas.text_px(_TEXT), YELLOW, room // 3)
            canvas.place(remark, midright=(line.right, middle))
            room -= remark.get_width() + px(_PAD)
        canvas.place(canvas.fitted(view.heading, canvas.text_px(_TEXT), INK, room), midleft=(line.left, middle))
        frames = ((self.original, view.original, "original"), (self.shown, view.shown, "shown"))
        for place, frame, caption in frames:
            if place is None:
                continue
            text = canvas.fitted(caption, canvas.text_px(_SMALL_TEXT), QUIET, place.width)
            canvas.place(text, midbottom=(place.centerx, place.top - px(6)))
            if frame is None:
                canvas.rounded(place, px(10), PANEL)
            else:
                pygame.surfarray.blit_array(self._pixels, frame.transpose(1, 0, 2))
                canvas.screen.blit(pygame.transform.scale(self._pixels, place.size), place)
        self._draw_footer(view)

    def _draw_footer(self, view: View) -> None:
        canvas, px, area = self._canvas, self._canvas.px, self._footer
        key, gap, middle = px(_KEY), px(8), area.top + px(48)
        for index, way in enumerate((-1, 1)):
            canvas.place(
                _arrow(canvas, key, way, lit=way == view.action), midleft=(area.left + index * (key + gap), middle)
            )
        left = area.left + 2 * (key + gap) + gap
        facts = canvas.fitted(view.facts, canvas.text_px(_SMALL_TEXT), INK, area.right - left)
        canvas.place(facts, midleft=(left, middle))
        half = (area.width - px(_PAD)) // 2
        bar = Rect(area.left, area.top + px(92), half, px(_BAR))
        self._draw_bar(bar, view.steps_done, BLUE)
        self._draw_bar(bar.move(area.right - bar.right, 0), view.progress, ORANGE)

    def _draw_bar(self, bar: Rect, fraction: float, color: Color) -> None:
        canvas = self._canvas
        canvas.rounded(bar, bar.height // 2, EDGE)
        done = round(bar.width * min(max(fraction, 0.0), 1.0))
        canvas.rounded(bar, bar.height // 2, color, Rect(0, 0, done, bar.height))


def _arrow(canvas: Canvas, side: int, way: int, lit: bool) -> Surface:
    """Return a key with an arrow to the left (-1) or right (1), lit while it was held."""

    def draw(surface: Surface, finer: int) -> None:
        edge = side * finer
        round_rect(surface, surface.get_rect(), edge // 6, BLUE if lit else EDGE)
        middle, reach = edge // 2, edge // 4
        points = [
            (middle + way * reach, middle),
            (middle - way * reach, middle - reach),
            (middle - way * reach, middle + reach),
        ]
        pygame.draw.polygon(surface, GROUND if lit else QUIET, points)

    return canvas.shape(("arrow", side, way, lit), lambda: smooth((side, side), draw))
