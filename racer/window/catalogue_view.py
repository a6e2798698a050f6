"""Draws pictures that are shown together, with a number below each and a frame around those that are marked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pygame import Rect, Surface, draw

from racer.loop.display import Hud
from racer.window.canvas import Canvas
from racer.window.drive_view import draw_bar, draw_heading, draw_photodiode, magnified, magnify
from racer.window.palette import BLUE, EDGE, GROUND, INK, PANEL, QUIET
from racer.window.texts import Texts

_HEADER, _HINT, _FOOTER, _PAD, _GAP = 66, 64, 68, 24, 20
"""Like every length below in pixels of a 960 x 720 window."""
_LABEL, _EDGE, _MARK_EDGE, _RING = 28, 2, 6, 3
_BUTTON = (190, 48)
_TICK = "\u2713"


@dataclass(frozen=True)
class CatalogueAreas:
    """Where what was drawn can be clicked."""

    pictures: list[Rect]
    button: Rect


class CatalogueView:
    """Draws such pages on a canvas.

    Args:
        canvas: To draw on.
        texts: The words to use.
        hint: What is to be done.
        most: Pictures of a whole page: the last of a block has as much room for each.
    """

    def __init__(self, canvas: Canvas, texts: Texts, hint: str, most: int) -> None:
        self._canvas = canvas
        self._texts = texts
        self._hint = hint
        self._most = most

    def page(
        self, frames: Sequence[NDArray[np.uint8]], hud: Hud, marked: Collection[int], ringed: int | None = None
    ) -> CatalogueAreas:
        """Draw pictures, uint8[H, W, C] each, those marked that are named by their place, one or the button ringed."""
        canvas, px = self._canvas, self._canvas.px
        canvas.screen.fill(GROUND)
        draw_heading(canvas, hud)
        draw_photodiode(canvas, hud)
        places = self._places(frames[0].shape[:2])[: len(frames)]
        for number, (place, frame) in enumerate(zip(places, frames, strict=True)):
            self._draw(place, frame, number, number in marked)

        pad, middle = px(_PAD), canvas.height - px(_FOOTER) // 2
        room = canvas.width - 2 * pad
        size = canvas.text_px(20)
        lines = canvas.wrap(self._hint, size, room)
        for line, words in enumerate(lines[:2]):
            top = canvas.height - px(_FOOTER) - px(_HINT) + line * px(_HINT) // 2
            canvas.place(canvas.fitted(words, size, QUIET, room), midtop=(canvas.width // 2, top))
        button = Rect(0, 0, min(px(_BUTTON[0]), room // 2), px(_BUTTON[1]))
        button.midright = canvas.width - pad, middle
        canvas.button(button, self._texts.onward, canvas.text_px(24), BLUE, GROUND)
        areas = CatalogueAreas([self._around(place) for place in places], button)
        if ringed is not None:
            ring = [*areas.pictures, button][ringed].inflate(px(_GAP), px(_GAP))
            draw.rect(canvas.screen, INK, ring, max(px(_RING), 1))
        if hud.count is not None:
            first, count = hud.count
            last = first + len(frames) - 1
            together = self._texts.pictures_together.format
            alone = first == last
            label = (
                self._texts.pictures.format(number=first, count=count)
                if alone
                else together(first=first, last=last, count=count)
            )
            widest = together(first=count, last=count, count=count)
            bar = Rect(pad, canvas.height - px(_FOOTER), button.left - 2 * pad, px(_FOOTER))
            draw_bar(canvas, bar, label, widest, hud.steps_done, BLUE)
        return areas

    def _draw(self, place: Rect, frame: NDArray[np.uint8], number: int, marked: bool) -> None:
        canvas, px = self._canvas, self._canvas.px
        around = self._around(place)
        edge = px(_MARK_EDGE if marked else _EDGE)
        canvas.screen.fill(BLUE if marked else EDGE, around.inflate(2 * edge, 2 * edge))
        label = Rect(around.left, place.bottom, around.width, around.bottom - place.bottom)
        canvas.screen.fill(BLUE if marked else PANEL, label)
        magnify(canvas, frame, Surface((frame.shape[1], frame.shape[0]), 0, canvas.screen), place)
        words = f"{number + 1} {_TICK}" if marked else str(number + 1)
        size = min(canvas.text_px(20), label.height)
        canvas.place(canvas.fitted(words, size, GROUND if marked else INK, label.width), center=label.center)

    def _around(self, place: Rect) -> Rect:
        return Rect(place.left, place.top, place.width, place.height + self._canvas.px(_LABEL))

    def _places(self, frame: tuple[int, int]) -> list[Rect]:
        """Return where the pictures of a whole page stand: in the rows and columns that make them largest."""
        px, gap, label = self._canvas.px, self._canvas.px(_GAP), self._canvas.px(_LABEL)
        area = Rect(px(_PAD), px(_HEADER), self._canvas.width - 2 * px(_PAD), 0)
        area.height = self._canvas.height - px(_HEADER) - px(_HINT) - px(_FOOTER) - gap

        def size(columns: int) -> tuple[int, int]:
            rows = -(-self._most // columns)
            return magnified(
                frame,
                max((area.width + gap) // columns - gap, 1),
                max((area.height + gap) // rows - gap - label, 1),
            )

        # Of as large ones those in the fewest rows that leave no place empty, or few.
        columns = max(range(1, self._most + 1), key=lambda each: (size(each)[0], -(-self._most % each), each))
        wide, high = size(columns)
        rows = -(-self._most // columns)
        left = area.left + (area.width - columns * (wide + gap) + gap) // 2
        top = area.top + (area.height - rows * (high + label + gap) + gap) // 2
        return [
            Rect(
                left + number % columns * (wide + gap),
                top + number // columns * (high + label + gap),
                wide,
                high,
            )
            for number in range(self._most)
        ]
