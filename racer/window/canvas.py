"""The surface that screens are drawn on: lengths in one unit, wrapped and fitted text, shapes with smooth edges.

Whatever is costly to make (fonts, words, shapes) is made once and kept until the size changes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable

import pygame
from pygame import Rect, Surface

Color = tuple[int, int, int]

LEADING = 1.35
"""Distance of lines within a paragraph, in sizes of the text."""

_REFERENCE = (960, 720)
_SMALLEST_TEXT = 11
_FINER = 4
"""How many times too large text and shapes are drawn before they are averaged down."""
_CACHED_TEXTS = 512


class Canvas:
    """A surface to draw on, at its present size; make a new canvas when the size has changed."""

    def __init__(self, screen: Surface) -> None:
        self.screen = screen
        self.width, self.height = self.screen.get_size()
        self._unit = min(self.width / _REFERENCE[0], self.height / _REFERENCE[1])
        self._fonts: dict[int, pygame.Font] = {}
        self._texts: dict[tuple[str, int, Color], Surface] = {}
        self._shapes: dict[Hashable, Surface] = {}

    def px(self, length: float) -> int:
        """Return pixels, at least 1, for a length given for a window of 960 x 720."""
        return max(round(length * self._unit), 1)

    def text_px(self, length: float) -> int:
        """Return a text size in pixels, readable however small the window is, for a window of 960 x 720."""
        return max(self.px(length), _SMALLEST_TEXT)

    def text(self, text: str, size: int, color: Color) -> Surface:
        """Return a line of text; `size` is the height of its letters with all that hangs below, in pixels."""
        key = (text, size, color)
        if key not in self._texts:
            if len(self._texts) >= _CACHED_TEXTS:
                self._texts.clear()
            # Small letters set on whole pixels stand at uneven distances; averaged down from large ones they do not.
            large = self._font(size).render(_printable(text), True, color)
            self._texts[key] = _averaged(large)
        return self._texts[key]

    def text_width(self, text: str, size: int) -> int:
        """Return the width of a line of text, pixels."""
        return self._font(size).size(_printable(text))[0] // _FINER

    def fitted(self, text: str, size: int, color: Color, width: int) -> Surface:
        """Return a line of text in `size`: smaller, and as a last resort cut, to be no wider than `width` pixels."""
        while size > _SMALLEST_TEXT and self.text_width(text, size) > width:
            size -= 1
        return self.text(self._cut(text, size, width), size, color)

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

    def wrap(self, text: str, size: int, width: int) -> list[str]:
        """Return the text as lines no wider than `width` pixels; a word that is wider is broken."""
        lines = [""]
        for word in text.split():
            if self.text_width(f"{lines[-1]} {word}".strip(), size) <= width:
                lines[-1] = f"{lines[-1]} {word}".strip()
                continue
            lines += [""] * bool(lines[-1])
            for letter in word:
                if lines[-1] and self.text_width(lines[-1] + letter, size) > width:
                    lines.append("")
                lines[-1] += letter
        return lines

    def wrap_typed(self, text: str, size: int, width: int) -> list[str]:
        """Return what somebody typed as lines no wider than `width` pixels; every space and new line counts."""
        lines: list[str] = []
        for paragraph in text.split("\n"):
            lines.append("")
            for word in re.split(r"(?<= )", paragraph):
                if lines[-1] and self.text_width((lines[-1] + word).rstrip(), size) > width:
                    lines.append("")
                for letter in word:
                    if lines[-1] and letter != " " and self.text_width(lines[-1] + letter, size) > width:
                        lines.append("")
                    lines[-1] += letter
        return lines

    def line(self, text: str, size: int, color: Color, x: int, y: int, leading: float) -> int:
        """Draw a line of text and return where the next one begins, `leading` sizes further down."""
        self.screen.blit(self.text(text, size, color), (x, y))
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

    def field(self, rect: Rect, text: str, size: int, ink: Color, ground: Color, edge: Color) -> None:
        """Draw a field with the end of what was typed into it, and a caret behind that."""
        border, pad, leading = max(self.px(2), 1), self.px(16), round(LEADING * size)
        self.rounded(rect, self.px(14), edge)
        self.rounded(rect.inflate(-2 * border, -2 * border), self.px(14) - border, ground)
        lines = self.wrap_typed(text, size, rect.width - 2 * pad - 2 * border)
        lines = lines[-max((rect.height - 2 * pad) // leading, 1) :]
        for index, line in enumerate(lines):
            self.screen.blit(self.text(line, size, ink), (rect.left + pad, rect.top + pad + index * leading))
        caret = Rect(rect.left + pad + self.text_width(lines[-1], size) + border, 0, border, size)
        caret.top = rect.top + pad + (len(lines) - 1) * leading
        self.screen.fill(edge, caret.clip(rect))

    def shape(self, key: Hashable, draw: Callable[[], Surface]) -> Surface:
        """Return the shape of a key, drawn the first time that it is asked for."""
        if key not in self._shapes:
            self._shapes[key] = draw()
        return self._shapes[key]

    def _cut(self, text: str, size: int, width: int) -> str:
        if self.text_width(text, size) <= width:
            return text
        while text and self.text_width(f"{text}…", size) > width:
            text = text[:-1]
        return f"{text.rstrip()}…"

    def _font(self, size: int) -> pygame.Font:
        # The font that comes with pygame: every participant sees the same letters on every machine.
        if size not in self._fonts:
            self._fonts[size] = pygame.font.Font(pygame.font.get_default_font(), _FINER * size)
        return self._fonts[size]


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


def _averaged(large: Surface) -> Surface:
    width, height = large.get_size()
    if width == 0 or height == 0:
        # smoothscale crashes the whole process on an empty surface (pygame-ce 2.5.8), and empty text makes one.
        return Surface((1, 1), pygame.SRCALPHA)
    return pygame.transform.smoothscale(large, (max(width // _FINER, 1), max(height // _FINER, 1)))


def _printable(text: str) -> str:
    """Leave out what fonts refuse: control characters and the stray halves of file names in odd encodings."""
    return "".join(letter for letter in text if letter.isprintable())
