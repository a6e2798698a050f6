"""Draws what a question is answered on: numbered points or a ruler, options, or a field to type into."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import pygame
from numpy.typing import NDArray
from pygame import Rect, Surface

from racer.sitting.questionnaires import TYPED, Item
from racer.window.canvas import LEADING, Canvas, Color, FieldArea, Typed, round_rect, smooth
from racer.window.palette import BLUE, EDGE, GROUND, INK, PANEL, QUIET, YELLOW
from racer.window.texts import Texts

MOST_BUTTONS: Final = 9
"""Points of a scale that is drawn as numbered buttons; one of more is drawn as a ruler."""
BODY: Final = 26
"""Like every length below in pixels of a 960 x 720 window."""
_CELL, _POINT, _RULER, _LEAST_SCALE = 112, 84, 92, 560
_ROW, _ROW_GAP, _MARK, _LINE = 48, 6, 26, 62
_TILE, _TILE_EDGE = 200, 8
_PAD, _GAP = 16, 28
_AMONG_OTHERS: Final = 0.7
"""How large scales are that share their page."""


@dataclass(frozen=True)
class Filled:
    """A question with what has been answered so far."""

    item: Item
    answer: str = ""
    """A point, the names of options, or what was typed; empty: nothing yet."""
    typed: Typed | None = None
    """What stands in the field of an item that is typed."""
    cursor: int | None = None
    """The option that keys are at."""

    @cached_property
    def recorded(self) -> str | None:
        """What is recorded of the answer; None while it is none that the item takes."""
        return self.item.canonical(self.answer)

    @property
    def accepted(self) -> bool:
        """Whether one can go on."""
        return self.recorded is not None


@dataclass(frozen=True)
class ItemAreas:
    """Where a question can be clicked."""

    rect: Rect
    """The whole area."""
    points: tuple[Rect, ...] = ()
    """Areas of a scale's points or of the options, in order."""
    field: FieldArea | None = None
    """Text field of an answer that is typed; None for other kinds."""

    def around(self, rect: Rect) -> ItemAreas:
        """Return the areas of a question that takes this place with its words."""
        return replace(self, rect=rect)


class ItemView:
    """Draws answers on a canvas.

    Args:
        canvas: To draw on.
        texts: The words to use.
    """

    def __init__(self, canvas: Canvas, texts: Texts) -> None:
        self._canvas = canvas
        self._texts = texts
        self._paragraphs: dict[tuple[str, int, int, int], tuple[int, list[str]]] = {}

    def height(self, item: Item, width: int, alone: bool) -> int:
        """Return what an answer takes at least, pixels; `alone` on its page."""
        px = self._canvas.px
        if item.kind == "scale":
            return self._scale_height(item, alone) + px(_PAD) + self._ends_height(item, width, alone)
        if item.kind in TYPED:
            return 3 * self._leading + 2 * px(_PAD) if item.kind == "text" else px(_LINE)
        if item.kind == "picture":
            rows = -(-len(item.options) // self._columns(item, width))
            return rows * self._tile.height + (rows - 1) * px(_PAD)
        heights = [self._row_height(words, width) for words in item.options.values()]
        return sum(heights) + (len(heights) - 1) * px(_ROW_GAP)

    def draw(self, filled: Filled, place: Rect, alone: bool, focused: bool) -> ItemAreas:
        """Draw an answer into its place, as high as `height` says or higher; `focused`: keys go to it."""
        if filled.item.kind == "scale":
            return self._draw_scale(filled, place, alone)
        if filled.typed is not None:
            return self._draw_field(filled, filled.typed, place, BLUE if focused else EDGE)
        if filled.item.kind == "picture":
            return self._draw_pictures(filled, place)
        return self._draw_options(filled, place)

    def paragraph(self, text: str, size: int, width: int, height: int) -> tuple[int, list[str]]:
        """Return `Canvas.paragraph`, kept."""
        key = (text, self._canvas.text_px(size), width, height)
        if key not in self._paragraphs:
            self._paragraphs[key] = self._canvas.paragraph(*key)
        return self._paragraphs[key]

    @property
    def _leading(self) -> int:
        return round(LEADING * self._canvas.text_px(BODY))

    # Scales ---------------------------------------------------------------------------------------------------------

    def _scale_height(self, item: Item, alone: bool) -> int:
        ruler = item.points > MOST_BUTTONS
        return self._canvas.px(_RULER * (1 if alone or ruler else _AMONG_OTHERS))

    def _ends_height(self, item: Item, width: int, alone: bool) -> int:
        if alone:
            return 3 * self._leading
        room = (width - self._canvas.px(_GAP)) // 2
        lines = [len(self.paragraph(words, BODY, room, 2 * self._leading)[1]) for words in (item.low, item.high)]
        return max(lines) * self._leading if item.low or item.high else 0

    def _draw_scale(self, filled: Filled, place: Rect, alone: bool) -> ItemAreas:
        px, item = self._canvas.px, filled.item
        smaller = 1 if alone else _AMONG_OTHERS
        buttons = item.points <= MOST_BUTTONS
        least = min(place.width, px(_LEAST_SCALE * smaller))
        width = max(min(place.width, item.points * px(_CELL * smaller)), least) if buttons else place.width
        scale = Rect(0, place.top, width, self._scale_height(item, alone))
        scale.centerx = place.centerx
        # The words stand below the first point's left edge and the last one's right edge, where these are wide apart.
        cell = scale.width // item.points
        inset = cell - self._point_side(cell, scale.height) if buttons else cell
        ends = Rect(0, scale.bottom + px(_PAD), max(scale.width - inset, least), 3 * self._leading)
        ends.height = min(ends.height, max(place.bottom - ends.top, 0))
        ends.centerx = place.centerx
        cells = tuple(
            Rect(scale.left + scale.width * point // item.points, scale.top, cell, scale.height)
            for point in range(item.points)
        )
        value = int(filled.answer) if filled.answer else None
        if buttons:
            self._draw_points(cells, value)
        else:
            self._draw_ruler(cells, value)
        if cells[0].width > px(_CELL):
            self._draw_ends_below(item, ends, place, cells)
        else:
            self._draw_ends(item, ends)
        return ItemAreas(place, cells)

    def _draw_points(self, cells: tuple[Rect, ...], value: int | None) -> None:
        canvas, side = self._canvas, self._point_side(cells[0].width, cells[0].height)
        for point, cell in enumerate(cells, 1):
            square = Rect(0, 0, side, side)
            square.center = cell.center
            chosen = point == value
            canvas.button(square, str(point), side // 2, BLUE if chosen else EDGE, GROUND if chosen else INK)

    def _point_side(self, cell: int, height: int) -> int:
        """Return the side of a point's button, pixels, for the room that each point has."""
        return min(self._canvas.px(_POINT), round(0.84 * cell), height)

    def _draw_ruler(self, cells: tuple[Rect, ...], value: int | None) -> None:
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

    def _draw_ends_below(self, item: Item, area: Rect, room: Rect, cells: tuple[Rect, ...]) -> None:
        """Draw what the ends mean in the middle below the first and the last point, which lie apart."""
        canvas, middle = self._canvas, cells[0].centerx
        width = 2 * min(middle - room.left, room.centerx - middle) - canvas.px(_PAD)
        for words, cell in ((item.low, cells[0]), (item.high, cells[-1])):
            size, lines = self.paragraph(words, BODY, width, area.height)
            for index, line in enumerate(lines):
                y = area.top + index * round(LEADING * size)
                canvas.place(canvas.text(line, size, INK), midtop=(cell.centerx, y))

    def _draw_ends(self, item: Item, area: Rect) -> None:
        canvas, width = self._canvas, (area.width - self._canvas.px(_GAP)) // 2
        for words, right in ((item.low, False), (item.high, True)):
            size, lines = self.paragraph(words, BODY, width, area.height)
            for index, line in enumerate(lines):
                y = area.top + index * round(LEADING * size)
                anchor = {"topright": (area.right, y)} if right else {"topleft": (area.left, y)}
                canvas.place(canvas.text(line, size, INK), **anchor)

    # Options --------------------------------------------------------------------------------------------------------

    def _option_width(self, width: int) -> int:
        """Return the width of an option's words in a row, pixels."""
        return width - self._canvas.px(_MARK) - 3 * self._canvas.px(_PAD)

    def _option(self, words: str, width: int) -> tuple[int, list[str]]:
        return self.paragraph(words, BODY, self._option_width(width), 3 * self._leading)

    def _row_height(self, words: str, width: int) -> int:
        size, lines = self._option(words, width)
        return max(self._canvas.px(_ROW), len(lines) * round(LEADING * size) + self._canvas.px(_PAD))

    def _draw_options(self, filled: Filled, place: Rect) -> ItemAreas:
        canvas, px = self._canvas, self._canvas.px
        rows: list[Rect] = []
        chosen, top = filled.answer.split(), place.top
        for index, (name, words) in enumerate(filled.item.options.items()):
            size, lines = self._option(words, place.width)
            row = Rect(place.left, top, place.width, self._row_height(words, place.width))
            lit = name in chosen
            if index == filled.cursor and not lit:
                canvas.rounded(row, px(14), BLUE)
                inner = row.inflate(-2 * px(3), -2 * px(3))
                canvas.rounded(inner, px(11), EDGE)
            else:
                canvas.rounded(row, px(14), BLUE if lit else EDGE)
            mark = self._mark(px(_MARK), filled.item.kind == "choices", lit)
            canvas.place(mark, midleft=(row.left + px(_PAD), row.centery))
            y = row.centery - len(lines) * round(LEADING * size) // 2 + (round(LEADING * size) - size) // 2
            for line in lines:
                y = canvas.line(line, size, GROUND if lit else INK, row.left + px(_MARK) + 2 * px(_PAD), y, LEADING)
            rows.append(row)
            top = row.bottom + px(_ROW_GAP)
        return ItemAreas(place, tuple(rows))

    def _mark(self, side: int, several: bool, lit: bool) -> Surface:
        """Return a ring, or a box where several can be chosen, filled where it is chosen."""

        def draw(surface: Surface, finer: int) -> None:
            edge, line = side * finer, max(side * finer // 9, 1)
            radius = edge // 6 if several else edge // 2
            color = GROUND if lit else QUIET
            round_rect(surface, surface.get_rect(), radius, color)
            inside = surface.get_rect().inflate(-2 * line, -2 * line)
            pygame.draw.rect(surface, BLUE if lit else EDGE, inside, border_radius=radius)
            if lit:
                dot = inside.inflate(-3 * line, -3 * line)
                pygame.draw.rect(surface, GROUND, dot, border_radius=radius)

        return self._canvas.shape(("mark", side, several, lit), lambda: smooth((side, side), draw))

    # Pictures -------------------------------------------------------------------------------------------------------

    @property
    def _tile(self) -> Rect:
        """Return the place that a picture takes with its number below."""
        side = self._canvas.px(_TILE)
        return Rect(0, 0, side, side + self._leading)

    def _columns(self, item: Item, width: int) -> int:
        gap = self._canvas.px(_PAD)
        return max(min((width + gap) // (self._tile.width + gap), len(item.options)), 1)

    def _draw_pictures(self, filled: Filled, place: Rect) -> ItemAreas:
        canvas, gap, edge = self._canvas, self._canvas.px(_PAD), self._canvas.px(_TILE_EDGE)
        columns, tile = self._columns(filled.item, place.width), self._tile
        left = place.left + (place.width - columns * (tile.width + gap) + gap) // 2
        tiles: list[Rect] = []
        for index, name in enumerate(filled.item.options):
            row, column = divmod(index, columns)
            rect = tile.move(left + column * (tile.width + gap), place.top + row * (tile.height + gap))
            lit, side = name == filled.answer, tile.width - 2 * edge
            canvas.rounded(rect, canvas.px(14), BLUE if lit else EDGE)
            if (picture := filled.item.pictures.get(name)) is not None:
                canvas.place(self._picture(picture, side), topleft=(rect.left + edge, rect.top + edge))
            number = canvas.text(str(index + 1), canvas.text_px(BODY), GROUND if lit else INK)
            canvas.place(number, center=(rect.centerx, (rect.top + edge + side + rect.bottom) // 2))
            tiles.append(rect)
        return ItemAreas(place, tuple(tiles))

    def _picture(self, picture: NDArray[np.uint8], side: int) -> Surface:
        def draw() -> Surface:
            surface = pygame.surfarray.make_surface(picture.transpose(1, 0, 2))
            return pygame.transform.smoothscale(surface, (side, side))

        return self._canvas.shape(("picture", id(picture), side), draw)

    # Fields ---------------------------------------------------------------------------------------------------------

    def _draw_field(self, filled: Filled, typed: Typed, place: Rect, edge: Color) -> ItemAreas:
        canvas, px, item = self._canvas, self._canvas.px, filled.item
        box = place.copy()
        if item.kind == "number":
            box.width = place.width * 2 // 5
            pattern = self._texts.decimal_number if item.decimals else self._texts.whole_number
            told = pattern.format(least=f"{item.least:.10g}", most=f"{item.most:.10g}")
            wrong = bool(filled.answer.strip()) and not filled.accepted
            room = place.right - box.right - px(_PAD)
            words = canvas.fitted(told, canvas.text_px(BODY), YELLOW if wrong else QUIET, room)
            canvas.place(words, midleft=(box.right + px(_PAD), box.centery))
        field = canvas.field(box, typed, canvas.text_px(BODY), INK, PANEL, edge)
        return ItemAreas(place, field=field)


def _marker(x: int, top: int, half: int, tip: int) -> list[tuple[int, int]]:
    """Return the corners of a marker that points down at the tip."""
    return [(x - half, top), (x + half, top), (x + half, tip - half), (x, tip), (x - half, tip - half)]
