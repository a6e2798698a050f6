"""Draws pages of text, with the keys of actions or with buttons to choose from below."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pygame
from pygame import Rect, Surface

from racer.drivers.keyboard import HeldKeys, key_label
from racer.loop.display import Page
from racer.tasks.task import TaskText
from racer.window.canvas import Canvas, Color, round_rect, smooth
from racer.window.palette import BLUE, EDGE, GROUND, INK, PANEL, QUIET
from racer.window.texts import Texts

_MARGIN, _PROMPT_ROOM = 32, 100
"""Like every length below in pixels of a 960 x 720 window."""
_BUTTON, _BUTTON_GAP, _BUTTONS_WIDTH, _HINT_ROOM = 66, 16, 600, 72
_SCALES = (1.0, 0.94, 0.88, 0.82)
"""A page that is too long is set smaller by these factors before it is split over several screens."""
_ARROWS = {
    "right": ((1, 0), (0, 1)),
    "left": ((-1, 0), (0, 1)),
    "up": ((0, 1), (-1, 0)),
    "down": ((0, 1), (1, 0)),
}
"""How an arrow to the right is turned for the keys that have one."""
_TITLE, _BODY, _PLACE, _BAR = 44, 26, 20, 14
_TICK = "\u2713"
_TITLE_LEADING, _BODY_LEADING, _GAP_LEADING = 1.2, 1.5, 0.7


@dataclass(frozen=True)
class PageAreas:
    """What a page takes at the window's size."""

    screens: int
    buttons: list[Rect]
    """Where each choice can be clicked; none before the last screen."""


@dataclass(frozen=True)
class PageLayout:
    """A page's text as it is broken up at the window's size."""

    scale: float
    title: list[str]
    screens: list[list[str]]
    """The lines of each screen; an empty line is the gap between paragraphs."""


class PageView:
    """Draws pages on a canvas.

    Args:
        canvas: To draw on.
        texts: The words to use.
        keys: The keys of actions to draw.
        text: What people are told of the task.
    """

    def __init__(self, canvas: Canvas, texts: Texts, keys: HeldKeys, text: TaskText) -> None:
        self._canvas = canvas
        self._texts = texts
        self._keys = keys
        self._text = text
        self._layouts: dict[tuple[Page, int], PageLayout] = {}

    def page(
        self,
        page: Page,
        index: int,
        action: int | None,
        prompt: tuple[str, Color],
        choices: Sequence[str],
        selected: int | None,
        tried: Collection[int] = (),
    ) -> PageAreas:
        """Draw one screen of a page.

        Args:
            page: What to draw.
            index: Which screen, from 0; beyond the last means the last.
            action: The action whose key lights up where the page shows keys, if any.
            prompt: Shown below the last screen; below those before, what leads to the next.
            choices: Buttons above the prompt of the last screen.
            selected: The button to light up, if any.
            tried: The actions whose keys get a tick.
        """
        canvas, px = self._canvas, self._canvas.px
        layout = self.layout(page, len(choices))
        title_size, body_size = self._sizes(layout.scale)
        index = min(index, len(layout.screens) - 1)
        last = index == len(layout.screens) - 1
        lines = layout.screens[index]
        footer = self._footer(len(choices)) if last else px(_PROMPT_ROOM)
        keys_height = self._extra_height(page, layout.scale) if last else 0
        height = self._lines_height(layout.title, lines, layout.scale) + keys_height
        left, right = self._column()
        y = max(px(_MARGIN), (canvas.height - footer - height) // 2)

        canvas.screen.fill(GROUND)
        if len(layout.screens) > 1:
            y = px(_MARGIN)
            self._draw_place(index, len(layout.screens))
        for line in layout.title:
            y = canvas.line(line, title_size, INK, left, y, _TITLE_LEADING, bold=True)
        y += round(_GAP_LEADING * title_size)
        for line in lines:
            y = canvas.line(line, body_size, INK, left, y, _BODY_LEADING if line else _GAP_LEADING)
        if page.show_keys and last:
            self._draw_keys(y + body_size, layout.scale, action, tried)
        elif page.share_done is not None and last:
            self._draw_bar(Rect(left, y + body_size, right - left, px(_BAR)), page.share_done)
        words, color = prompt if last else (self._texts.more, BLUE)
        below = canvas.fitted(words, canvas.text_px(_BODY), color, right - left)
        room = px(_HINT_ROOM if choices and last else _PROMPT_ROOM)
        canvas.place(below, center=(canvas.width // 2, canvas.height - room // 2))
        buttons = self._draw_buttons(choices, selected, canvas.height - footer) if last else []
        return PageAreas(len(layout.screens), buttons)

    def layout(self, page: Page, choices: int) -> PageLayout:
        """Return how the text of a page with that many choices is broken up."""
        if (page, choices) not in self._layouts:
            self._layouts[page, choices] = self._lay_out(page, choices)
        return self._layouts[page, choices]

    def _lay_out(self, page: Page, choices: int) -> PageLayout:
        canvas, (left, right) = self._canvas, self._column()
        room = canvas.height - canvas.px(_MARGIN) - self._footer(choices)
        for scale in _SCALES:
            title_size, body_size = self._sizes(scale)
            title = canvas.wrap(page.title, title_size, right - left, bold=True)
            lines: list[str] = []
            for paragraph in page.lines:
                lines += [""] * bool(lines) + canvas.wrap(paragraph, body_size, right - left)
            keys_height = self._extra_height(page, scale)
            if self._lines_height(title, lines, scale) + keys_height <= room:
                return PageLayout(scale, title, [lines])
        last, room = room - keys_height, canvas.height - canvas.px(_MARGIN) - self._footer(0)
        screens = self._split(title, lines, scale, room, last)
        # As much on every screen: a last one with a line or none above its buttons would not be read.
        while len(evened := self._split(title, lines, scale, room := room - body_size, last)) == len(screens):
            screens = evened
        return PageLayout(scale, title, screens)

    def _split(self, title: list[str], lines: list[str], scale: float, room: int, last: int) -> list[list[str]]:
        """Return the lines of each screen: `room` pixels are there for title and text, and `last` on the last one."""
        screens: list[list[str]] = [[]]
        for line in lines:
            if screens[-1] and self._lines_height(title, [*screens[-1], line], scale) > room:
                screens.append([])
            if line or screens[-1]:
                screens[-1].append(line)
        if room > last and self._lines_height(title, screens[-1], scale) > last:
            screens[-1:] = self._split(title, screens[-1], scale, last, last)
        return screens

    def _draw_place(self, index: int, count: int) -> None:
        """Say which screen of a page this is, and how to go back, in the margin above."""
        canvas, (left, right) = self._canvas, self._column()
        size = min(canvas.text_px(_PLACE), canvas.px(_MARGIN))
        middle = canvas.px(_MARGIN) // 2
        place = self._texts.page_place.format(number=index + 1, count=count)
        canvas.place(canvas.fitted(place, size, QUIET, (right - left) // 2), midleft=(left, middle))
        if index:
            words = canvas.fitted(self._texts.page_back, size, QUIET, (right - left) // 2)
            canvas.place(words, midright=(right, middle))

    def _footer(self, choices: int) -> int:
        px = self._canvas.px
        return px(_HINT_ROOM) + choices * (px(_BUTTON) + px(_BUTTON_GAP)) if choices else px(_PROMPT_ROOM)

    def _sizes(self, scale: float) -> tuple[int, int]:
        return self._canvas.text_px(_TITLE * scale), self._canvas.text_px(_BODY * scale)

    def _lines_height(self, title: Sequence[str], lines: Sequence[str], scale: float) -> int:
        title_size, body_size = self._sizes(scale)
        height = len(title) * round(_TITLE_LEADING * title_size) + round(_GAP_LEADING * title_size)
        return height + sum(round((_BODY_LEADING if line else _GAP_LEADING) * body_size) for line in lines)

    def _column(self) -> tuple[int, int]:
        """Return the left and right edge of a page's text."""
        canvas = self._canvas
        width = min(canvas.px(800), canvas.width - 2 * canvas.px(_MARGIN))
        return (canvas.width - width) // 2, (canvas.width + width) // 2

    def _draw_buttons(self, choices: Sequence[str], selected: int | None, top: int) -> list[Rect]:
        canvas, px, (left, right) = self._canvas, self._canvas.px, self._column()
        button = Rect(0, 0, min(px(_BUTTONS_WIDTH), right - left), px(_BUTTON))
        button.midtop = (canvas.width // 2, top)
        buttons = [button.move(0, index * (button.height + px(_BUTTON_GAP))) for index in range(len(choices))]
        for index, (place, choice) in enumerate(zip(buttons, choices, strict=True)):
            canvas.button(place, choice, canvas.text_px(_BODY), *button_colors(index == selected))
        return buttons

    def _extra_height(self, page: Page, scale: float) -> int:
        """Return the height, pixels, of what stands below the text."""
        if page.show_keys:
            return self._keys_height(scale)
        return 0 if page.share_done is None else self._sizes(scale)[1] + self._canvas.px(_BAR)

    def _draw_bar(self, bar: Rect, share: float) -> None:
        canvas = self._canvas
        canvas.rounded(bar, bar.height // 2, EDGE)
        canvas.rounded(bar, bar.height // 2, BLUE, Rect(0, 0, round(bar.width * share), bar.height))

    def _keys_height(self, scale: float) -> int:
        return self._canvas.px(170 * scale) + self._sizes(scale)[1]

    def _draw_keys(self, top: int, scale: float, action: int | None, tried: Collection[int]) -> None:
        canvas, px = self._canvas, self._canvas.px
        side, text_size = px(96 * scale), canvas.text_px(_BODY * scale)
        left, right = self._column()
        bound = self._keys.bound
        if not bound:
            return
        pitch = min(side + px(140 * scale), (right - left) // len(bound))
        side = min(side, pitch - px(12))
        for place, index in enumerate(bound):
            name = self._keys.spec.actions[index].name
            keys = self._keys.bindings[name]
            x = canvas.width // 2 + round((place - (len(bound) - 1) / 2) * pitch)
            y = top + side + px(8 * scale)
            others = " ".join(self._texts.or_key.format(key=key_label(key)) for key in keys[1:])
            canvas.place(self._key_cap(side, keys[0], lit=index == action), midtop=(x, top))
            if index in tried:
                tick = canvas.text(_TICK, side // 2, BLUE, bold=True)
                canvas.place(tick, center=(x + side // 2, top))
            for caption, color in ((self._text.actions.get(name, name), INK), (others, QUIET)):
                canvas.place(canvas.fitted(caption, text_size, color, pitch - px(8)), midtop=(x, y))
                y += round(1.3 * text_size)

    def _key_cap(self, side: int, name: str, lit: bool) -> Surface:
        """Return the cap of a key, `side` pixels wide, with an arrow or a name on it, lit up while it is pressed."""
        canvas, lip = self._canvas, side // 14
        turn = _ARROWS.get(name)

        def draw(surface: Surface, finer: int) -> None:
            edge, radius = side * finer, side * finer // 6
            lip = edge // 14
            round_rect(surface, surface.get_rect(), radius, EDGE)
            face = surface.get_rect().inflate(-2 * lip, -3 * lip).move(0, lip // 2 if lit else -lip // 2)
            pygame.draw.rect(surface, BLUE if lit else PANEL, face, border_radius=radius - lip)
            reach = edge // 4
            if turn is not None:
                (xx, xy), (yx, yy) = turn
                arrow = ((1.0, 0.0), (0.0, -0.85), (0.0, -0.3), (-1.0, -0.3), (-1.0, 0.3), (0.0, 0.3), (0.0, 0.85))
                points = [
                    (face.centerx + reach * (xx * x + xy * y), face.centery + reach * (yx * x + yy * y))
                    for x, y in arrow
                ]
                pygame.draw.polygon(surface, GROUND if lit else INK, points)

        cap = canvas.shape(("key", side, turn, lit), lambda: smooth((side, side), draw))
        if turn is not None:
            return cap
        named, color = cap.copy(), GROUND if lit else INK
        label = canvas.fitted(key_label(name), side // 2, color, side - 4 * lip)
        named.blit(label, label.get_rect(center=(side // 2, side // 2 + (lip // 2 if lit else -lip // 2))))
        return named


def button_colors(lit: bool) -> tuple[Color, Color]:
    """Return the colours of a button's ground and of its words."""
    return (BLUE, GROUND) if lit else (EDGE, INK)
