"""Draws one step of a recorded episode: the original, what was shown, the action taken, and how far it had come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pygame
from numpy.typing import NDArray
from pygame import Rect, Surface

from racer.window.canvas import Canvas, Color
from racer.window.drive_view import blit_frame, magnified
from racer.window.palette import BLUE, EDGE, GROUND, INK, ORANGE, PANEL, QUIET, YELLOW

_PAD, _HEADER, _CAPTION, _FOOTER = 24, 66, 40, 132
"""Lengths, as all below, in pixels of a 960 x 720 window."""
_BAR, _KEY, _KEY_WIDTH, _TEXT, _SMALL_TEXT = 12, 44, 96, 24, 20
_LEAST_SIZE = (160, 120)
"""Pixels of the smallest scene that can be made out."""


@dataclass(frozen=True)
class View:
    """What is drawn of a step."""

    heading: str
    remark: str
    """Text at the right of the heading; empty for none."""
    facts: str
    """Text beside the actions."""
    shown: NDArray[np.uint8]
    """uint8[H, W, C]."""
    original: NDArray[np.uint8] | None
    """uint8[H, W, C]; None where there is none."""
    actions: tuple[str, ...]
    """Names of the task's actions."""
    action: int
    """Index of the action taken."""
    steps_done: float | None
    """Fraction of the episode's steps, in [0, 1]; None where something else tells."""
    score: float | None
    """How far the primary metric lies between its least and its most, in [0, 1]; None where these are unknown."""


def scene_size(frame: tuple[int, int, int], scale: int, beside: bool) -> tuple[int, int]:
    """Return width and height, both even, of a surface that holds frames, H x W x C, of `scale` pixels a pixel."""
    wide, high = frame[1] * scale, frame[0] * scale
    size = (2.18 if beside else 1.5) * wide, 1.6 * high
    width, height = (max(round(side / 2) * 2, least) for side, least in zip(size, _LEAST_SIZE, strict=True))
    return width, height


class Scene:
    """Draws on a surface; make a new one when its size has changed.

    Args:
        screen: The surface.
        frame: Height, width and channels of frames.
        beside: Whether there is room to be kept for the original, left of what was shown.
        scale: Pixels of the screen per pixel of a frame; as many as fit if left out.
    """

    shown: Rect
    """Where the frame is drawn."""
    original: Rect | None
    """Where the original is drawn, if at all."""

    def __init__(self, screen: Surface, frame: tuple[int, int, int], beside: bool, scale: int | None = None) -> None:
        pygame.font.init()
        self._canvas = Canvas(screen)
        px, (width, height) = self._canvas.px, screen.get_size()
        pad, columns = px(_PAD), 2 if beside else 1
        above, below = px(_HEADER) + px(_CAPTION), px(_FOOTER)
        if scale is None:
            room = (width - (columns + 1) * pad) // columns, height - above - below
            wide, high = magnified(frame[:2], *room)
        else:
            wide, high = frame[1] * scale, frame[0] * scale
        left = (width - columns * wide - (columns - 1) * pad) // 2
        top = above + (height - above - below - high) // 2
        self.original = Rect(left, top, wide, high) if beside else None
        self.shown = Rect(left + (columns - 1) * (wide + pad), top, wide, high)
        frames = self.shown.union(self.original or self.shown)
        across = frames.width if beside else max(frames.width, width - 2 * pad)
        across = max(across, min(width - 2 * pad, px(620)))
        self._footer = Rect((width - across) // 2, frames.bottom, across, below)
        self._pixels = Surface((frame[1], frame[0]), 0, screen)

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
                blit_frame(self._pixels, frame)
                canvas.screen.blit(pygame.transform.scale(self._pixels, place.size), place)
        self._draw_footer(view)

    def _draw_footer(self, view: View) -> None:
        canvas, px, area = self._canvas, self._canvas.px, self._footer
        gap, count = px(6), len(view.actions)
        # Beside the facts as long as there is room; of very many actions little more than the lit one is seen.
        pitch = min(px(_KEY_WIDTH) + gap, max(3 * area.width // 5 // count, 2))
        middle = area.top + px(48)
        for index, name in enumerate(view.actions):
            key = Rect(area.left + index * pitch, 0, max(pitch - gap, 1), px(_KEY))
            key.centery = middle
            lit = index == view.action
            canvas.rounded(key, min(px(8), key.width // 2), BLUE if lit else EDGE)
            room = key.width - px(10)
            if room > canvas.text_px(_SMALL_TEXT):
                text = canvas.fitted(name, canvas.text_px(_SMALL_TEXT), GROUND if lit else QUIET, room)
                canvas.place(text, center=key.center)
        left = area.left + count * pitch + gap
        facts = canvas.fitted(view.facts, canvas.text_px(_SMALL_TEXT), INK, area.right - left)
        canvas.place(facts, midleft=(left, middle))
        half = (area.width - px(_PAD)) // 2
        bar = Rect(area.left, area.top + px(92), half, px(_BAR))
        if view.steps_done is not None:
            self._draw_bar(bar, view.steps_done, BLUE)
        if view.score is not None:
            self._draw_bar(bar.move(area.right - bar.right, 0), view.score, ORANGE)

    def _draw_bar(self, bar: Rect, fraction: float, color: Color) -> None:
        canvas = self._canvas
        canvas.rounded(bar, bar.height // 2, EDGE)
        done = round(bar.width * min(max(fraction, 0.0), 1.0))
        canvas.rounded(bar, bar.height // 2, color, Rect(0, 0, done, bar.height))
