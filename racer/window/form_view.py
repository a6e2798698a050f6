"""Draws the questions of questionnaires: numbered points, a ruler where there are many, or a field to write in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import pygame
from pygame import Rect

from racer.sitting.questionnaires import MOST_ANSWER_CHARACTERS, Item
from racer.window.canvas import LEADING, Canvas, FieldArea, Typed
from racer.window.palette import BLUE, EDGE, GROUND, INK, PANEL, QUIET, YELLOW
from racer.window.texts import Texts

MOST_BUTTONS: Final = 9
"""Points of a scale that is drawn as numbered buttons; one of more is drawn as a ruler."""
_MARGIN, _BUTTON, _BUTTON_WIDTH, _HINT_ROOM = 32, 66, 250, 64
"""Like every length below in pixels of a 960 x 720 window."""
_QUESTION, _BODY, _HINT = 36, 26, 22
_CELL, _POINT, _RULER, _LEAST_SCALE = 112, 84, 92, 560
_PAD, _GAP = 16, 28


@dataclass(frozen=True)
class FormAreas:
    """Where a question can be clicked."""

    points: list[Rect]
    """Of a scale, from the first on; none of an answer in words."""
    onward: Rect
    back: Rect | None
    field: FieldArea | None = None
    """Of an answer in words."""


class FormView:
    """Draws questions on a canvas.

    Args:
        canvas: To draw on.
        texts: The words to use.
    """

    def __init__(self, canvas: Canvas, texts: Texts) -> None:
        self._canvas = canvas
        self._texts = texts
        self._paragraphs: dict[tuple[str, int, int, int], tuple[int, list[str]]] = {}

    def rating(self, item: Item, heading: str, value: int | None, back: bool) -> FormAreas:
        """Draw a question with its scale; `value` is the point chosen, from 1 on, or None."""
        canvas, px, texts = self._canvas, self._canvas.px, self._texts
        buttons = item.points <= MOST_BUTTONS
        room = self._surround(heading, texts.rating_hint if buttons else texts.ruler_hint)
        least = min(room.width, px(_LEAST_SCALE))
        width = max(min(room.width, item.points * px(_CELL)), least) if buttons else room.width
        scale = Rect(0, 0, width, px(_RULER))
        scale.centerx = room.centerx
        # The words stand below the first point's left edge and the last one's right edge, where these are wide apart.
        cell = scale.width // item.points
        inset = cell - self._point_side(cell) if buttons else cell
        ends = Rect(0, 0, max(scale.width - inset, least), 3 * round(LEADING * canvas.text_px(_BODY)))
        ends.centerx = room.centerx
        below = scale.height + px(_PAD) + ends.height
        size, question = self._paragraph(item.text, _QUESTION, room.width, room.height - below - px(_GAP))
        height = len(question) * round(LEADING * size)
        top = room.top + max((room.height - height - px(_GAP) - below) // 2, 0)
        self._lines(question, size, room.left, top)
        scale.top = top + height + px(_GAP)
        ends.top = scale.bottom + px(_PAD)
        cells = [
            Rect(scale.left + scale.width * point // item.points, scale.top, scale.width // item.points, scale.height)
            for point in range(item.points)
        ]
        if buttons:
            self._draw_points(cells, value)
        else:
            self._draw_ruler(cells, value)
        if cells[0].width > px(_CELL):
            self._draw_ends_below(item, ends, room, cells)
        else:
            self._draw_ends(item, ends)
        return self._draw_buttons(room, cells, ready=value is not None, back=back)

    def writing(self, item: Item, heading: str, typed: Typed, back: bool) -> FormAreas:
        """Draw a question with a field and what was typed into it so far."""
        canvas, px = self._canvas, self._canvas.px
        room = self._surround(heading, self._texts.writing_hint)
        least = 3 * round(LEADING * canvas.text_px(_BODY)) + 2 * px(_PAD)
        size, question = self._paragraph(item.text, _QUESTION, room.width, room.height - least - px(_GAP))
        self._lines(question, size, room.left, room.top)
        top = room.top + len(question) * round(LEADING * size) + px(_PAD)
        place = Rect(room.left, top, room.width, room.bottom - top)
        field = canvas.field(place, typed, canvas.text_px(_BODY), INK, PANEL, BLUE)
        areas = replace(self._draw_buttons(room, [], ready=True, back=back), field=field)
        if len(typed.text) > 0.8 * MOST_ANSWER_CHARACTERS:
            count = canvas.text(f"{len(typed.text)} / {MOST_ANSWER_CHARACTERS}", canvas.text_px(_HINT), YELLOW)
            canvas.place(count, center=(room.centerx, areas.onward.centery))
        return areas

    def _surround(self, heading: str, hint: str) -> Rect:
        """Draw what every question has; return the room between."""
        canvas, px = self._canvas, self._canvas.px
        width = min(px(860), canvas.width - 2 * px(_MARGIN))
        left, top = (canvas.width - width) // 2, px(_MARGIN)
        canvas.screen.fill(GROUND)
        size = canvas.text_px(_BODY)
        canvas.place(canvas.fitted(heading, size, QUIET, width), topleft=(left, top))
        words = canvas.fitted(hint, canvas.text_px(_HINT), QUIET, width)
        canvas.place(words, center=(canvas.width // 2, canvas.height - px(_HINT_ROOM) // 2))
        top += round(LEADING * size) + px(_PAD)
        bottom = canvas.height - px(_HINT_ROOM) - px(_BUTTON) - px(_PAD)
        return Rect(left, top, width, max(bottom - top, 1))

    def _draw_buttons(self, room: Rect, points: list[Rect], ready: bool, back: bool) -> FormAreas:
        canvas, px, texts = self._canvas, self._canvas.px, self._texts
        size, width = canvas.text_px(_BODY), min(px(_BUTTON_WIDTH), (room.width - px(_PAD)) // 2)
        onward = Rect(room.right - width, room.bottom + px(_PAD), width, px(_BUTTON))
        canvas.button(onward, texts.onward, size, *((BLUE, GROUND) if ready else (PANEL, QUIET)))
        if not back:
            return FormAreas(points, onward, None)
        place = Rect(room.left, onward.top, width, onward.height)
        canvas.button(place, texts.back, size, EDGE, INK)
        return FormAreas(points, onward, place)

    def _draw_points(self, cells: list[Rect], value: int | None) -> None:
        canvas, side = self._canvas, self._point_side(cells[0].width)
        for point, cell in enumerate(cells, 1):
            square = Rect(0, 0, side, side)
            square.center = cell.center
            chosen = point == value
            canvas.button(square, str(point), side // 2, BLUE if chosen else EDGE, GROUND if chosen else INK)

    def _point_side(self, cell: int) -> int:
        """Return the side of a point's button, pixels, for the room that each point has."""
        return min(self._canvas.px(_POINT), round(0.84 * cell))

    def _draw_ruler(self, cells: list[Rect], value: int | None) -> None:
        screen, px = self._canvas.screen, self._canvas.px
        middle, line = (len(cells) + 1) / 2, max(px(3), 2)
        base = cells[0].bottom - px(6)
        pygame.draw.line(screen, QUIET, (cells[0].centerx, base), (cells[-1].centerx, base), line)
        for point, cell in enumerate(cells, 1):
            tall = point in (1, middle, len(cells))
            height = px(46 if tall else 26)
            pygame.draw.line(screen, QUIET, (cell.centerx, base), (cell.centerx, base - height), line)
        if value is not None:
            x, half = cells[value - 1].centerx, px(14)
            tip, top = base - px(8), cells[0].top + px(4)
            pygame.draw.polygon(screen, GROUND, _marker(x, top - px(3), half + px(4), tip + px(6)))
            pygame.draw.polygon(screen, BLUE, _marker(x, top, half, tip))

    def _draw_ends_below(self, item: Item, area: Rect, room: Rect, cells: list[Rect]) -> None:
        """Draw what the ends mean in the middle below the first and the last point, which lie apart."""
        canvas, middle = self._canvas, cells[0].centerx
        width = 2 * min(middle - room.left, room.centerx - middle) - canvas.px(_PAD)
        for words, cell in ((item.low, cells[0]), (item.high, cells[-1])):
            size, lines = self._paragraph(words, _BODY, width, area.height)
            for index, line in enumerate(lines):
                y = area.top + index * round(LEADING * size)
                canvas.place(canvas.text(line, size, INK), midtop=(cell.centerx, y))

    def _draw_ends(self, item: Item, area: Rect) -> None:
        canvas, width = self._canvas, (area.width - self._canvas.px(_GAP)) // 2
        for words, right in ((item.low, False), (item.high, True)):
            size, lines = self._paragraph(words, _BODY, width, area.height)
            for index, line in enumerate(lines):
                y = area.top + index * round(LEADING * size)
                anchor = {"topright": (area.right, y)} if right else {"topleft": (area.left, y)}
                canvas.place(canvas.text(line, size, INK), **anchor)

    def _paragraph(self, text: str, size: int, width: int, height: int) -> tuple[int, list[str]]:
        key = (text, self._canvas.text_px(size), width, height)
        if key not in self._paragraphs:
            self._paragraphs[key] = self._canvas.paragraph(*key)
        return self._paragraphs[key]

    def _lines(self, lines: list[str], size: int, x: int, y: int) -> None:
        for line in lines:
            y = self._canvas.line(line, size, INK, x, y, LEADING)


def _marker(x: int, top: int, half: int, tip: int) -> list[tuple[int, int]]:
    """Return the corners of a marker that points down at the tip."""
    return [(x - half, top), (x + half, top), (x + half, tip - half), (x, tip), (x - half, tip - half)]
