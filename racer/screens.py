"""Draws the window's screens: the drive, pages, the countdown and menus. Knows no events and no time.

Driving redraws only what changes from step to step; the rest is drawn when something else was on the screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pygame
from numpy.typing import NDArray
from pygame import Rect, Surface

from racer.canvas import Canvas, Color, round_rect, smooth
from racer.display import Hud, Page
from racer.frames import FRAME_SIZE
from racer.texts import ENGLISH, Texts

# Okabe and Ito's sky blue, orange and yellow on a neutral dark ground: told apart with any colour vision. Every
# pair of text and ground used below has a contrast of at least 6:1.
GROUND: Color = (22, 24, 28)
PANEL: Color = (36, 39, 45)
EDGE: Color = (66, 71, 80)
INK: Color = (240, 242, 245)
QUIET: Color = (172, 179, 190)
BLUE: Color = (86, 180, 233)
ORANGE: Color = (240, 170, 40)
YELLOW: Color = (240, 228, 66)
_SHADE_ALPHA = 215
"""Opacity, of 255, of what dims the screen behind menus."""
_DISC_ALPHA = 200

_HEADER, _FOOTER, _PAD, _CAPTION = 66, 68, 24, 40
"""Of the drive, like every length below in pixels of a 960 x 720 window."""
_PAGE_MARGIN, _PROMPT_ROOM = 32, 100
_PAGE_SCALES = (1.0, 0.94, 0.88, 0.82)
"""A page that is too long is set smaller by these factors before it is split over several screens."""
_TITLE, _BODY = 44, 26
_TITLE_LEADING, _BODY_LEADING, _GAP_LEADING = 1.2, 1.5, 0.7


@dataclass(frozen=True)
class Menu:
    """A question in the middle of the window with a few answers below each other."""

    title: str
    text: str
    choices: tuple[str, ...]


@dataclass(frozen=True)
class _DriveLayout:
    frame: Rect
    original: Rect | None
    footer: Rect
    bars: tuple[Rect, Rect]


@dataclass(frozen=True)
class _PageLayout:
    scale: float
    title: list[str]
    screens: list[list[str]]
    """The lines of each screen; an empty line is the gap between paragraphs."""


class Painter:
    """Draws on a surface; whoever owns the window brings it to the screen.

    Args:
        screen: The surface; call `resized` when its size has changed.
        texts: The words to use.
    """

    def __init__(self, screen: Surface, texts: Texts = ENGLISH) -> None:
        self.texts = texts
        self.resized(screen)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the window, pixels."""
        return self._canvas.width, self._canvas.height

    def resized(self, screen: Surface) -> None:
        """Lay everything out anew for the surface as it is now."""
        self._canvas = Canvas(screen)
        self._shown_pixels = Surface((FRAME_SIZE, FRAME_SIZE), 0, screen)
        self._original_pixels = Surface((FRAME_SIZE, FRAME_SIZE), 0, screen)
        self._shade = Surface(screen.get_size(), 0, screen)
        self._shade.fill(GROUND)
        self._shade.set_alpha(_SHADE_ALPHA)
        self._drive_layouts: dict[bool, _DriveLayout] = {}
        self._page_layouts: dict[Page, _PageLayout] = {}
        self._surroundings: tuple[str, str, bool] | None = None

    def blank(self) -> None:
        """Clear the screen."""
        self._canvas.screen.fill(GROUND)
        self._surroundings = None

    def drive(self, frame: NDArray[np.uint8], hud: Hud, original: NDArray[np.uint8] | None = None) -> None:
        """Draw the frame, uint8[64, 64, 3], what surrounds it and, beside it, the original if given."""
        layout = self._drive_layout(original is not None)
        surroundings = (hud.heading, hud.mark, original is not None)
        if self._surroundings != surroundings:
            self._draw_surroundings(hud, layout)
            self._surroundings = surroundings
        self._magnify(frame, self._shown_pixels, layout.frame)
        if original is not None and layout.original is not None:
            self._magnify(original, self._original_pixels, layout.original)
        self._canvas.screen.fill(GROUND, layout.footer)
        percent = round(100 * min(max(hud.road_progress, 0.0), 1.0))
        time, road = self.texts.time, self.texts.road
        self._draw_bar(layout.bars[0], time, time, hud.steps_done, BLUE)
        self._draw_bar(layout.bars[1], f"{road} {percent} %", f"{road} 100 %", hud.road_progress, ORANGE)

    def number(self, number: int, with_original: bool) -> None:
        """Draw the countdown's number over the frame of a drive just drawn."""
        canvas, frame = self._canvas, self._drive_layout(with_original).frame
        # Above the middle: the road right ahead of the car stays in sight.
        side, (x, y) = frame.width, (frame.centerx, frame.top + round(0.27 * frame.width))
        canvas.place(canvas.shape(("disc", side), lambda: _disc(round(0.44 * side))), center=(x, y))
        canvas.place(canvas.text(str(number), round(0.2 * side), INK), center=(x, y - round(0.03 * side)))
        ready = canvas.fitted(self.texts.get_ready, round(0.046 * side), INK, round(0.34 * side))
        canvas.place(ready, center=(x, y + round(0.12 * side)))
        self._surroundings = None

    def page(self, page: Page, index: int = 0, action: int = 0) -> int:
        """Draw one screen of a page; return how many screens the page takes at this size.

        Args:
            index: Which screen, from 0; beyond the last means the last.
            action: Key cap to light up where the page shows keys: -1 (left), 0 for none, 1 (right).
        """
        canvas, px = self._canvas, self._canvas.px
        layout = self._page_layout(page)
        title_size, body_size = self._page_sizes(layout.scale)
        index = min(index, len(layout.screens) - 1)
        last = index == len(layout.screens) - 1
        lines = layout.screens[index]
        keys_height = self._keys_height(layout.scale) if page.show_keys and last else 0
        height = self._lines_height(layout.title, lines, layout.scale) + keys_height
        left, right = self._column()
        y = max(px(_PAGE_MARGIN), (canvas.height - px(_PROMPT_ROOM) - height) // 2)

        canvas.screen.fill(GROUND)
        for line in layout.title:
            y = canvas.line(line, title_size, INK, left, y, _TITLE_LEADING)
        y += round(_GAP_LEADING * title_size)
        for line in lines:
            y = canvas.line(line, body_size, INK, left, y, _BODY_LEADING if line else _GAP_LEADING)
        if keys_height:
            self._draw_keys(y + body_size, layout.scale, action)
        prompt = canvas.fitted(page.prompt if last else self.texts.more, canvas.text_px(_BODY), BLUE, right - left)
        canvas.place(prompt, center=(canvas.width // 2, canvas.height - px(_PROMPT_ROOM) // 2))
        self._surroundings = None
        return len(layout.screens)

    def menu(self, menu: Menu, selected: int) -> list[Rect]:
        """Draw a menu over what is on the screen; return where each choice can be clicked."""
        canvas, px = self._canvas, self._canvas.px
        pad, gap, text_size = px(40), px(16), canvas.text_px(23)
        width = min(px(620), canvas.width - px(_PAGE_MARGIN))
        lines = canvas.wrap(menu.text, text_size, width - 2 * pad)
        button = Rect(0, 0, width - 2 * pad, px(68))
        above = pad + px(70) + len(lines) * round(1.4 * text_size) + px(24)
        panel = Rect(0, 0, width, above + len(menu.choices) * (button.height + gap) + px(20) + pad)
        panel.center = (canvas.width // 2, canvas.height // 2)
        button.topleft = (panel.left + pad, panel.top + above)

        canvas.screen.blit(self._shade, (0, 0))
        canvas.rounded(panel, px(20), PANEL)
        canvas.line(menu.title, canvas.text_px(38), INK, button.left, panel.top + pad, 0.0)
        y = panel.top + pad + px(70)
        for line in lines:
            y = canvas.line(line, text_size, QUIET, button.left, y, 1.4)
        buttons = [button.move(0, index * (button.height + gap)) for index in range(len(menu.choices))]
        for index, (place, choice) in enumerate(zip(buttons, menu.choices, strict=True)):
            canvas.rounded(place, px(14), BLUE if index == selected else EDGE)
            canvas.place(
                canvas.fitted(choice, canvas.text_px(25), GROUND if index == selected else INK, button.width - gap),
                center=place.center,
            )
        hint = canvas.fitted(self.texts.menu_hint, canvas.text_px(18), QUIET, button.width)
        canvas.place(hint, midtop=(panel.centerx, buttons[-1].bottom + px(24)))
        self._surroundings = None
        return buttons

    # The drive ------------------------------------------------------------------------------------------------------

    def _drive_layout(self, with_original: bool) -> _DriveLayout:
        if with_original not in self._drive_layouts:
            self._drive_layouts[with_original] = self._lay_out_drive(with_original)
        return self._drive_layouts[with_original]

    def _lay_out_drive(self, with_original: bool) -> _DriveLayout:
        px, (width, height) = self._canvas.px, self.size
        pad, columns = px(_PAD), 2 if with_original else 1
        above = px(_HEADER) + (px(_CAPTION) if with_original else 0)
        room = min((width - (columns + 1) * pad) // columns, height - above - px(_FOOTER))
        # Whole multiples only: with any other factor some pixels come out wider than others and shimmer in motion.
        side = room // FRAME_SIZE * FRAME_SIZE if room >= FRAME_SIZE else max(room, 1)
        left = (width - columns * side - (columns - 1) * pad) // 2
        top = above + (height - above - px(_FOOTER) - side) // 2
        original = Rect(left, top, side, side) if with_original else None
        frame = Rect(left + (columns - 1) * (side + pad), top, side, side)

        across = min(width - 2 * pad, max(columns * side + (columns - 1) * pad, px(620)))
        footer = Rect((width - across) // 2, height - px(_FOOTER), across, px(_FOOTER))
        bar = Rect(footer.left, footer.top, (across - px(32)) // 2, footer.height)
        return _DriveLayout(frame, original, footer, (bar, bar.move(footer.right - bar.right, 0)))

    def _draw_surroundings(self, hud: Hud, layout: _DriveLayout) -> None:
        canvas, px = self._canvas, self._canvas.px
        canvas.screen.fill(GROUND)
        pad, middle = px(_PAD), px(_HEADER) // 2
        room = canvas.width - 2 * pad
        if hud.mark:
            mark = canvas.fitted(hud.mark, canvas.text_px(20), GROUND, room // 2)
            pill = mark.get_rect(midright=(canvas.width - pad - px(14), middle)).inflate(px(28), px(12))
            canvas.rounded(pill, pill.height // 2, YELLOW)
            canvas.place(mark, center=pill.center)
            room -= pill.width + pad
        canvas.place(canvas.fitted(hud.heading, canvas.text_px(26), INK, room), midleft=(pad, middle))
        for rect, caption in ((layout.original, self.texts.original), (layout.frame, self.texts.shown)):
            if rect is not None:
                pygame.draw.rect(canvas.screen, EDGE, rect.inflate(2 * px(2), 2 * px(2)), px(2))
            if rect is not None and layout.original is not None:
                text = canvas.fitted(caption, canvas.text_px(21), QUIET, rect.width)
                canvas.place(text, midbottom=(rect.centerx, rect.top - px(8)))

    def _magnify(self, frame: NDArray[np.uint8], pixels: Surface, target: Rect) -> None:
        pygame.surfarray.blit_array(pixels, frame.transpose(1, 0, 2))
        pygame.transform.scale(pixels, target.size, self._canvas.screen.subsurface(target))

    def _draw_bar(self, area: Rect, label: str, widest: str, fraction: float, color: Color) -> None:
        canvas, px = self._canvas, self._canvas.px
        # Room for the widest label, so that the bar keeps its place while the percentage grows.
        reserved = min(canvas.text_width(widest, canvas.text_px(20)), 2 * area.width // 3)
        canvas.place(canvas.fitted(label, canvas.text_px(20), QUIET, reserved), midleft=area.midleft)
        bar = Rect(0, 0, max(area.width - reserved - px(14), 1), px(14))
        bar.midright = area.midright
        canvas.rounded(bar, bar.height // 2, EDGE)
        done = round(bar.width * min(max(fraction, 0.0), 1.0))
        canvas.rounded(bar, bar.height // 2, color, Rect(0, 0, done, bar.height))

    # Pages ----------------------------------------------------------------------------------------------------------

    def _page_layout(self, page: Page) -> _PageLayout:
        if page not in self._page_layouts:
            self._page_layouts[page] = self._lay_out_page(page)
        return self._page_layouts[page]

    def _lay_out_page(self, page: Page) -> _PageLayout:
        canvas, (left, right) = self._canvas, self._column()
        room = canvas.height - canvas.px(_PAGE_MARGIN) - canvas.px(_PROMPT_ROOM)
        for scale in _PAGE_SCALES:
            title_size, body_size = self._page_sizes(scale)
            title = canvas.wrap(page.title, title_size, right - left)
            lines: list[str] = []
            for paragraph in page.lines:
                lines += [""] * bool(lines) + canvas.wrap(paragraph, body_size, right - left)
            keys_height = self._keys_height(scale) if page.show_keys else 0
            if self._lines_height(title, lines, scale) + keys_height <= room:
                return _PageLayout(scale, title, [lines])
        screens: list[list[str]] = [[]]
        for line in lines:
            if screens[-1] and self._lines_height(title, [*screens[-1], line], scale) + keys_height > room:
                screens.append([])
            if line or screens[-1]:
                screens[-1].append(line)
        return _PageLayout(scale, title, screens)

    def _page_sizes(self, scale: float) -> tuple[int, int]:
        return self._canvas.text_px(_TITLE * scale), self._canvas.text_px(_BODY * scale)

    def _lines_height(self, title: Sequence[str], lines: Sequence[str], scale: float) -> int:
        title_size, body_size = self._page_sizes(scale)
        height = len(title) * round(_TITLE_LEADING * title_size) + round(_GAP_LEADING * title_size)
        return height + sum(round((_BODY_LEADING if line else _GAP_LEADING) * body_size) for line in lines)

    def _column(self) -> tuple[int, int]:
        """Return the left and right edge of a page's text."""
        canvas = self._canvas
        width = min(canvas.px(800), canvas.width - 2 * canvas.px(_PAGE_MARGIN))
        return (canvas.width - width) // 2, (canvas.width + width) // 2

    def _keys_height(self, scale: float) -> int:
        return self._canvas.px(170 * scale) + self._page_sizes(scale)[1]

    def _draw_keys(self, top: int, scale: float, action: int) -> None:
        canvas, px, texts = self._canvas, self._canvas.px, self.texts
        side, gap, text_size = px(96 * scale), px(72 * scale), canvas.text_px(21 * scale)
        for way, captions in ((-1, (texts.left, texts.or_left)), (1, (texts.right, texts.or_right))):
            x, y = canvas.width // 2 + way * (side + gap) // 2, top + side + px(10 * scale)
            canvas.place(_key_cap(canvas, side, way, lit=way == action), midtop=(x, top))
            for caption, color in zip(captions, (INK, QUIET), strict=True):
                canvas.place(canvas.fitted(caption, text_size, color, side + gap), midtop=(x, y))
                y += round(1.4 * text_size)


def _disc(side: int) -> Surface:
    def draw(surface: Surface, finer: int) -> None:
        surface.fill((*GROUND, 0))
        radius = side * finer // 2
        pygame.draw.circle(surface, (*GROUND, _DISC_ALPHA), (radius, radius), radius)

    return smooth((side, side), draw)


def _key_cap(canvas: Canvas, side: int, way: int, lit: bool) -> Surface:
    """Return a key cap of `side` pixels with an arrow to the left (-1) or right (1), lit up while it is pressed."""

    def draw(surface: Surface, finer: int) -> None:
        edge, radius = side * finer, side * finer // 6
        lip = edge // 14
        round_rect(surface, surface.get_rect(), radius, EDGE)
        face = surface.get_rect().inflate(-2 * lip, -3 * lip).move(0, lip // 2 if lit else -lip // 2)
        pygame.draw.rect(surface, BLUE if lit else PANEL, face, border_radius=radius - lip)
        reach = edge // 4
        arrow = ((1.0, 0.0), (0.0, -0.85), (0.0, -0.3), (-1.0, -0.3), (-1.0, 0.3), (0.0, 0.3), (0.0, 0.85))
        points = [(face.centerx + way * reach * x, face.centery + reach * y) for x, y in arrow]
        pygame.draw.polygon(surface, GROUND if lit else INK, points)

    return canvas.shape(("key", side, way, lit), lambda: smooth((side, side), draw))
