"""Draws the window's screens: the drive, the countdown, pages, questions and menus. Knows no events and no time."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray
from pygame import Surface

from racer.drivers.keyboard import HeldKeys
from racer.loop.display import Hud, Page
from racer.tasks.task import TaskText
from racer.window.canvas import Canvas, Color, Typed
from racer.window.catalogue_view import CatalogueAreas, CatalogueView
from racer.window.drive_view import DriveView
from racer.window.fonts import Fonts
from racer.window.form_view import FormAreas, FormView
from racer.window.item_view import Filled
from racer.window.menu_view import Menu, MenuAreas, MenuView
from racer.window.page_view import PageAreas, PageView
from racer.window.palette import BLUE, GROUND
from racer.window.texts import Texts


class Painter:
    """Draws on a surface; whoever owns the window brings it to the screen.

    Args:
        screen: The surface; call `resized` when its size has changed.
        texts: The words to use.
        keys: The keys of actions to draw.
        text: What people are told of the task.
        fonts: To write with; DejaVu Sans and this machine's if None.
    """

    def __init__(
        self, screen: Surface, texts: Texts, keys: HeldKeys, text: TaskText, fonts: Fonts | None = None
    ) -> None:
        self._fonts = fonts or Fonts()
        self._texts = texts
        self._keys = keys
        self._text = text
        self.resized(screen)

    @property
    def _answers(self) -> tuple[tuple[str, str], ...]:
        """The words on the buttons below a frame that waits for an answer, and the keys that mean the same."""
        spec, words, bound = self._keys.spec, self._text.actions, self._keys.bindings
        if spec.paced:
            return ()
        pairs = [(words.get(action.name, action.name), bound.get(action.name, ())) for action in spec.actions]
        # A button that is called as its key needs no second word for it.
        return tuple((word, "" if not keys or word in keys else self._texts.key_names(keys)) for word, keys in pairs)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the window, pixels."""
        return self._canvas.width, self._canvas.height

    def resized(self, screen: Surface) -> None:
        """Lay everything out anew for the surface as it is now."""
        self._canvas = Canvas(screen, self._fonts)
        self._drives = DriveView(self._canvas, self._texts, self._keys.spec.frame, self._answers)
        self._catalogues = CatalogueView(self._canvas, self._texts, self._text.hint, self._keys.spec.page)
        self._pages = PageView(self._canvas, self._texts, self._keys, self._text)
        self._forms = FormView(self._canvas, self._texts)
        self._menus = MenuView(self._canvas, self._texts)

    def blank(self) -> None:
        """Clear the screen."""
        self._drives.covered()
        self._canvas.screen.fill(GROUND)

    def drive(self, frame: NDArray[np.uint8], hud: Hud, original: NDArray[np.uint8] | None = None) -> None:
        """Draw the frame, uint8[H, W, C], what surrounds it and, beside it, the original if given."""
        self._drives.drive(frame, hud, original)

    def answer_at(self, spot: tuple[int, int]) -> int | None:
        """Return the action whose button is at (x, y) of the drive that was drawn; None where there is none."""
        return self._drives.answer_at(spot)

    def number(self, number: int, with_original: bool) -> None:
        """Draw the countdown's number over the frame of a drive just drawn."""
        self._drives.number(number, with_original)

    def catalogue(
        self, frames: Sequence[NDArray[np.uint8]], hud: Hud, marked: Collection[int] = (), ringed: int | None = None
    ) -> CatalogueAreas:
        """Draw pictures that are shown together; see `CatalogueView.page`."""
        self._drives.covered()
        return self._catalogues.page(frames, hud, marked, ringed)

    def page(
        self,
        page: Page,
        index: int = 0,
        action: int | None = None,
        prompt: tuple[str, Color] | None = None,
        choices: Sequence[str] = (),
        selected: int | None = None,
        tried: Collection[int] = (),
    ) -> PageAreas:
        """Draw one screen of a page; see `PageView.page`. Without a `prompt` the page's own is shown."""
        self._drives.covered()
        return self._pages.page(page, index, action, prompt or (page.prompt, BLUE), choices, selected, tried)

    def form(
        self, questions: Sequence[Filled], heading: str, back: bool, focus: int = 0, scrolled: int | None = None
    ) -> FormAreas:
        """Draw a page of questions; see `FormView.form`."""
        self._drives.covered()
        return self._forms.form(questions, heading, back, focus, scrolled)

    def menu(self, menu: Menu, selected: int | None, typed: Typed | None = None) -> MenuAreas:
        """Draw a menu over what is on the screen; return where it can be clicked."""
        self._drives.covered()
        return self._menus.menu(menu, selected, typed)
