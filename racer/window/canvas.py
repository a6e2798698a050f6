"""The surface that screens are drawn on: lengths in one unit, wrapped and fitted text, shapes with smooth edges.

Whatever is costly to make (fonts, words, shapes) is made once and kept until the size changes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

import pygame
from pygame import Rect, Surface

from racer.window.fonts import Fonts, clusters, printable

Color = tuple[int, int, int]

LEADING = 1.35
"""Distance of lines within a paragraph, in sizes of the text."""

_REFERENCE = (960, 720)
_SMALLEST_TEXT = 11
_FINER = 4
"""How many times too large text and shapes are drawn before they are averaged down."""
_CACHED_TEXTS = 512


@dataclass(frozen=True)
class Typed:
    """Content of a text field: its text, its caret, and what of it is selected."""

    text: str
    caret: int
    """Before which character it stands, 0 to the text's length."""
    first: int
    last: int
    """What is selected, from `first` up to and not with `last`; nothing where they are the same."""


@dataclass(frozen=True)
class FieldArea:
    """Where the lines of a field were drawn."""

    rect: Rect
    text: str
    """What was drawn."""
    lines: list[tuple[int, str]]
    """All lines, each with the place in the text where it begins."""
    first: int
    """The uppermost line in view."""
    origin: tuple[int, int]
    """Left and top of that line, pixels."""
    leading: int
    """Distance of lines, pixels."""
    width: Callable[[str], int]
    """Returns the width of a text, pixels."""
    wrap: Callable[[str], list[tuple[int, str]]]

    def holding(self, text: str) -> FieldArea:
        """Return the area as it will be once this text is drawn."""
        return self if text == self.text else replace(self, text=text, lines=self.wrap(text))

    def line_of(self, place: int) -> int:
        """Return the line on which a place in the text lies."""
        return _line_of(self.lines, place)

    def ends(self, place: int) -> tuple[int, int]:
        """Return the places where the line of a place begins and ends."""
        index = self.line_of(place)
        start, line = self.lines[index]
        wrapped = index + 1 < len(self.lines) and self.lines[index + 1][0] == start + len(line)
        return start, start + max(len(line) - wrapped, 0)

    def beyond(self, place: int, lines: int) -> int:
        """Return the place so many lines below another, or above it; an end of the text beyond the last and first."""
        index = self.line_of(place)
        if not 0 <= index + lines < len(self.lines):
            return self.lines[-1][0] + len(self.lines[-1][1]) if lines > 0 else 0
        start, line = self.lines[index]
        return self._nearest(index + lines, self.width(line[: place - start]))

    def at(self, x: int, y: int) -> int:
        """Return the place in the text that is nearest to a point on the screen."""
        left, top = self.origin
        index = min(max(self.first + (y - top) // self.leading, 0), len(self.lines) - 1)
        return self._nearest(index, x - left)

    def _nearest(self, index: int, x: int) -> int:
        start, line = self.lines[index]
        last = self.ends(start)[1] - start
        return start + min(range(last + 1), key=lambda place: abs(self.width(line[:place]) - x))


class Canvas:
    """A surface to draw on, at its present size; make a new canvas when the size has changed.

    Args:
        screen: The surface.
        fonts: To write with; DejaVu Sans and this machine's if None.
    """

    def __init__(self, screen: Surface, fonts: Fonts | None = None) -> None:
        self.screen = screen
        self._fonts = fonts or Fonts()
        self.width, self.height = self.screen.get_size()
        self._unit = min(self.width / _REFERENCE[0], self.height / _REFERENCE[1])
        self._texts: dict[tuple[str, int, Color, bool], Surface] = {}
        self._shapes: dict[Hashable, Surface] = {}

    def px(self, length: float) -> int:
        """Return pixels, at least 1, for a length given for a window of 960 x 720."""
        return max(round(length * self._unit), 1)

    def text_px(self, length: float) -> int:
        """Return a text size in pixels, readable however small the window is, for a window of 960 x 720."""
        return max(self.px(length), _SMALLEST_TEXT)

    def text(self, text: str, size: int, color: Color, bold: bool = False) -> Surface:
        """Return a line of text; `size` is the height of its letters with all that hangs below, in pixels."""
        key = (text, size, color, bold)
        if key not in self._texts:
            if len(self._texts) >= _CACHED_TEXTS:
                self._texts.clear()
            # Small letters set on whole pixels stand at uneven distances; averaged down from large ones they do not.
            large = self._fonts.render(printable(text), _FINER * size, color, bold)
            self._texts[key] = _averaged(large)
        return self._texts[key]

    def text_width(self, text: str, size: int, bold: bool = False) -> int:
        """Return the width of a line of text, pixels."""
        return self._fonts.width(printable(text), _FINER * size, bold) // _FINER

    def fitted(self, text: str, size: int, color: Color, width: int, bold: bool = False) -> Surface:
        """Return a line of text in `size`: smaller, and as a last resort cut, to be no wider than `width` pixels."""
        while size > _SMALLEST_TEXT and self.text_width(text, size, bold) > width:
            size -= 1
        return self.text(self._cut(text, size, width, bold), size, color, bold)

    def paragraph(self, text: str, size: int, width: int, height: int) -> tuple[int, list[str]]:
        """Return a text size and lines within `width` x `height` pixels: smaller, and as a last resort cut, to fit."""
        while True:
            lines = self.wrap(text, size, width)
            room = max(height // round(LEADING * size), 1)
            if len(lines) <= room:
                return size, lines
            if size <= _SMALLEST_TEXT:
                return size, [*lines[: room - 1], self._cut(f"{lines[room - 1]} {lines[room]}", size, width)]
            size = max(size - max(size // 16, 1), _SMALLEST_TEXT)

    def wrap(self, text: str, size: int, width: int, bold: bool = False) -> list[str]:
        """Return the text as lines no wider than `width` pixels; a word that is wider is broken."""
        return [line for part in text.split("\n") for line in self._wrap(part, size, width, bold)]

    def _wrap(self, text: str, size: int, width: int, bold: bool) -> list[str]:
        lines = [""]
        for word in text.split():
            if self.text_width(f"{lines[-1]} {word}".strip(), size, bold) <= width:
                lines[-1] = f"{lines[-1]} {word}".strip()
                continue
            lines += [""] * bool(lines[-1])
            for letter in clusters(word):
                if lines[-1] and self.text_width(lines[-1] + letter, size, bold) > width:
                    lines.append("")
                lines[-1] += letter
        return lines

    def wrap_typed(self, text: str, size: int, width: int) -> list[tuple[int, str]]:
        """Return what somebody typed as lines no wider than `width` pixels, each with the place where it begins.

        Every space and new line counts.
        """
        lines: list[tuple[int, str]] = []
        start = 0
        for paragraph in text.split("\n"):
            line = ""
            for word in re.split(r"(?<= )", paragraph):
                if line and self.text_width((line + word).rstrip(), size) > width:
                    lines.append((start, line))
                    start, line = start + len(line), ""
                for letter in clusters(word):
                    if line and letter != " " and self.text_width(line + letter, size) > width:
                        lines.append((start, line))
                        start, line = start + len(line), ""
                    line += letter
            lines.append((start, line))
            start += len(line) + 1
        return lines

    def line(self, text: str, size: int, color: Color, x: int, y: int, leading: float, bold: bool = False) -> int:
        """Draw a line of text and return where the next one begins, `leading` sizes further down."""
        self.screen.blit(self.text(text, size, color, bold), (x, y))
        return y + round(leading * size)

    def place(self, surface: Surface, **anchor: tuple[int, int]) -> None:
        """Draw a surface where one named point of it (`center`, `midtop` and so on) lies at the point given."""
        self.screen.blit(surface, surface.get_rect(**anchor))

    def rounded(self, rect: Rect, radius: int, color: Color, area: Rect | None = None) -> None:
        """Draw a rectangle with round corners, or only the `area` of it."""

        def draw(surface: Surface, finer: int) -> None:
            round_rect(surface, surface.get_rect(), radius * finer, color)

        key = ("rounded", rect.size, radius, color)
        self.screen.blit(self.shape(key, lambda: smooth(rect.size, draw)), rect, area)

    def button(self, rect: Rect, text: str, size: int, ground: Color, ink: Color) -> None:
        """Draw a button with its words in the middle, in `size` or smaller."""
        self.rounded(rect, self.px(14), ground)
        self.place(self.fitted(text, min(size, rect.height), ink, rect.width - 2 * self.px(10)), center=rect.center)

    def field(self, rect: Rect, typed: Typed, size: int, ink: Color, ground: Color, edge: Color) -> FieldArea:
        """Draw a field with what was typed into it, scrolled to where the caret stands; return where its lines lie."""
        border, pad, leading = max(self.px(2), 1), self.px(16), round(LEADING * size)
        self.rounded(rect, self.px(14), edge)
        self.rounded(rect.inflate(-2 * border, -2 * border), self.px(14) - border, ground)
        lines = self.wrap_typed(typed.text, size, rect.width - 2 * pad - 2 * border)
        rows = max((rect.height - 2 * pad) // leading, 1)
        current = _line_of(lines, typed.caret)
        first = min(max(current - rows + 1, 0), max(len(lines) - rows, 0))
        left, top = rect.left + pad, rect.top + pad
        area = FieldArea(
            rect,
            typed.text,
            lines,
            first,
            (left, top),
            leading,
            lambda text: self.text_width(text, size),
            lambda text: self.wrap_typed(text, size, rect.width - 2 * pad - 2 * border),
        )
        for index, (start, line) in enumerate(lines[first : first + rows], first):
            y = top + (index - first) * leading
            begin, end = (min(max(place - start, 0), len(line)) for place in (typed.first, typed.last))
            if begin < end:
                x = left + self.text_width(line[:begin], size)
                mark = Rect(x, y, self.text_width(line[begin:end], size), size + leading // 8)
                self.screen.fill(_blended(edge, ground), mark.clip(rect))
            self.screen.blit(self.text(line, size, ink), (left, y))
        x = left + self.text_width(lines[current][1][: typed.caret - lines[current][0]], size) + border
        caret = Rect(x, top + (current - first) * leading, border, size)
        self.screen.fill(edge, caret.clip(rect))
        return area

    def shape(self, key: Hashable, draw: Callable[[], Surface]) -> Surface:
        """Return the shape of a key, drawn the first time that it is asked for."""
        if key not in self._shapes:
            self._shapes[key] = draw()
        return self._shapes[key]

    def _cut(self, text: str, size: int, width: int, bold: bool = False) -> str:
        if self.text_width(text, size, bold) <= width:
            return text
        while text and self.text_width(f"{text}…", size, bold) > width:
            text = text[:-1]
        return f"{text.rstrip()}…"


def smooth(size: tuple[int, int], draw: Callable[[Surface, int], None]) -> Surface:
    """Return a transparent surface drawn too large and then averaged: edges without stairs.

    Args:
        size: Width and height, pixels.
        draw: Called with the large surface and how many times larger it is.
    """
    large = Surface((size[0] * _FINER, size[1] * _FINER), pygame.SRCALPHA)
    draw(large, _FINER)
    return _averaged(large)


def round_rect(surface: Surface, rect: Rect, radius: int, color: Color) -> None:
    """Make a transparent surface that shows a rectangle with round corners."""
    # Transparent pixels take the colour too: averaging them with the edge must not darken it.
    surface.fill((*color, 0))
    pygame.draw.rect(surface, color, rect, border_radius=radius)


def _line_of(lines: list[tuple[int, str]], place: int) -> int:
    return max(index for index, (start, _) in enumerate(lines) if start <= place)


def _blended(one: Color, other: Color) -> Color:
    red, green, blue = ((2 * a + 3 * b) // 5 for a, b in zip(one, other, strict=True))
    return red, green, blue


def _averaged(large: Surface) -> Surface:
    width, height = large.get_size()
    if width == 0 or height == 0:
        # smoothscale crashes the whole process on an empty surface (pygame-ce 2.5.8), and empty text makes one.
        return Surface((1, 1), pygame.SRCALPHA)
    return pygame.transform.smoothscale(large, (max(width // _FINER, 1), max(height // _FINER, 1)))
