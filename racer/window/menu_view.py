"""Draws a menu over what is on the screen: a question, a field to type into where one is wanted, answers as buttons."""

from __future__ import annotations

from dataclasses import dataclass

from pygame import Rect, Surface

from racer.window.canvas import LEADING, Canvas, FieldArea, Typed
from racer.window.page_view import button_colors
from racer.window.palette import BLUE, GROUND, INK, PANEL, QUIET
from racer.window.texts import Texts

_SHADE_ALPHA = 215
"""Opacity, of 255, of what dims the screen behind a menu."""
_MARGIN, _WIDTH, _PAD, _GAP, _BUTTON = 16, 660, 40, 14, 66
"""Like every length below in pixels of a 960 x 720 window."""
_TITLE, _BODY, _HINT = 40, 26, 22


@dataclass(frozen=True)
class Menu:
    """A question in the middle of the window with a few answers below each other."""

    title: str
    text: str
    choices: tuple[str, ...]
    field_lines: int = 0
    """Height of a field to type into; 0 for none."""


@dataclass(frozen=True)
class MenuAreas:
    """Where a menu can be clicked."""

    choices: list[Rect]
    field: FieldArea | None


class MenuView:
    """Draws menus on a canvas.

    Args:
        canvas: To draw on.
        texts: The words to use.
    """

    def __init__(self, canvas: Canvas, texts: Texts) -> None:
        self._canvas = canvas
        self._texts = texts
        self._shade = Surface(canvas.screen.get_size(), 0, canvas.screen)
        self._shade.fill(GROUND)
        self._shade.set_alpha(_SHADE_ALPHA)

    def menu(self, menu: Menu, selected: int | None, typed: Typed | None) -> MenuAreas:
        """Draw a menu; return where it can be clicked.

        Args:
            menu: What to draw.
            selected: The choice to light up, if any.
            typed: What stands in the field, if the menu has one.
        """
        canvas, px = self._canvas, self._canvas.px
        pad, gap, size = px(_PAD), px(_GAP), canvas.text_px(_BODY)
        hinted = len(menu.choices) > 1 and not menu.field_lines
        panel = Rect(0, 0, min(px(_WIDTH), canvas.width - 2 * px(_MARGIN)), 0)
        inner = panel.width - 2 * pad
        title_height, hint_height = round(1.5 * canvas.text_px(_TITLE)), canvas.text_px(_HINT)
        field_height = menu.field_lines * round(LEADING * size) + 2 * px(16) + gap if menu.field_lines else 0
        buttons_height = len(menu.choices) * (px(_BUTTON) + gap) - gap
        fixed = 2 * pad + title_height + gap + field_height + buttons_height + (gap + hint_height) * hinted
        size, lines = canvas.paragraph(menu.text, size, inner, canvas.height - fixed)
        panel.height = fixed + len(lines) * round(LEADING * size)
        panel.center = (canvas.width // 2, canvas.height // 2)

        canvas.screen.blit(self._shade, (0, 0))
        canvas.rounded(panel, px(20), PANEL)
        left, y = panel.left + pad, panel.top + pad
        canvas.place(canvas.fitted(menu.title, canvas.text_px(_TITLE), INK, inner, bold=True), topleft=(left, y))
        y += title_height
        for line in lines:
            y = canvas.line(line, size, QUIET, left, y, LEADING)
        y += gap
        field = None
        if typed is not None and field_height:
            place = Rect(left, y, inner, field_height - gap)
            field = canvas.field(place, typed, canvas.text_px(_BODY), INK, GROUND, BLUE)
            y += field_height
        buttons = [
            Rect(left, y + index * (px(_BUTTON) + gap), inner, px(_BUTTON)) for index in range(len(menu.choices))
        ]
        for index, (place, choice) in enumerate(zip(buttons, menu.choices, strict=True)):
            canvas.button(place, choice, canvas.text_px(_BODY), *button_colors(index == selected))
        if hinted:
            hint = canvas.fitted(self._texts.menu_hint, canvas.text_px(_HINT), QUIET, inner)
            canvas.place(hint, midtop=(panel.centerx, buttons[-1].bottom + gap))
        return MenuAreas(buttons, field)
