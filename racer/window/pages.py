"""Pages to read and to choose on: what a person's keys and clicks do to them."""

from __future__ import annotations

from collections.abc import Callable

import pygame
from pygame import Rect
from pygame.event import Event

from racer.drivers.keyboard import HeldKeys
from racer.loop.display import Page
from racer.window.canvas import Color
from racer.window.palette import BLUE, QUIET, YELLOW
from racer.window.screens import Painter
from racer.window.stage import SECOND, Screen, accepts, clicks
from racer.window.texts import Texts


class Loading(Screen):
    """Says that it is about to begin, until something is over; what is pressed meanwhile does not count.

    Args:
        over: Whether it is.
        texts: The words to use.
    """

    def __init__(self, over: Callable[[], bool], texts: Texts) -> None:
        super().__init__()
        self._over = over
        self._page = Page(texts.get_ready, (), "")

    def draw(self, painter: Painter) -> None:
        """Draw the words."""
        painter.page(self._page)

    def handle(self, event: Event) -> None:
        """Leave a key or a click alone."""

    def tick(self, now_ns: int) -> bool:
        """Look whether it is over."""
        self.done = self._over()
        return super().tick(now_ns)


class Reading(Screen):
    """A page that is read on and left with SPACE, Enter or a click.

    Args:
        page: What to show.
        keys: The keys of actions, for pages that show or test them.
        texts: The words to use.
    """

    def __init__(self, page: Page, keys: HeldKeys, texts: Texts) -> None:
        super().__init__()
        self._page = page
        self._keys = keys
        self._texts = texts
        self._index, self._screens = 0, 1
        self._lit: int | None = None
        self._seconds = 0
        self._tried: set[int] = set()

    def draw(self, painter: Painter) -> None:
        """Draw the screen of the page that is being read."""
        self._screens = painter.page(
            self._page, self._index, self._lit, self._prompt(), tried=self._tried if self._page.test_keys else ()
        ).screens

    def handle(self, event: Event) -> None:
        """Take in a key or a click."""
        missing = self._missing
        if event.type == pygame.KEYDOWN and self._on_last:
            action = self._keys.action_of(pygame.key.name(event.key))
            self._tried |= set() if action is None else {action}
        if self._index and turns_back(event):
            self._index = min(self._index, self._screens - 1) - 1
            return
        if not (accepts(event) or clicks(event)):
            return
        if not self._on_last:
            self._index += 1
        elif not (missing or self._seconds):  # the press that tries the last key is not the one that goes on
            self.done = True

    def tick(self, now_ns: int) -> bool:
        """Light up the keys and count the seconds that are left."""
        super().tick(now_ns)
        before = self._lit, self._seconds
        self._lit = self._keys.action if self._page.show_keys else None
        self._seconds = max(-((self._shown_ns - self._page.least_seconds * SECOND) // SECOND), 0)
        return (self._lit, self._seconds) != before

    @property
    def _on_last(self) -> bool:
        return self._index >= self._screens - 1

    @property
    def _missing(self) -> list[str]:
        """The actions that still have to be tried, by name."""
        if not self._page.test_keys:
            return []
        names = list(self._keys.bindings)
        return [name for name, index in zip(names, self._keys.bound, strict=True) if index not in self._tried]

    def _prompt(self) -> tuple[str, Color]:
        if missing := self._missing:
            keys = self._texts.key_names(self._keys.bindings[missing[0]])
            return self._texts.press_keys.format(keys=keys), YELLOW
        if self._seconds:
            return self._texts.seconds_left.format(seconds=self._seconds), QUIET
        return self._page.prompt, BLUE


class Choosing(Screen):
    """A page that ends in buttons, for answers that matter.

    No button is lit when it appears, so that SPACE and Enter do nothing before an arrow key, a number or the mouse
    has picked one; and it takes no answer until it has been in view for a moment.

    Args:
        page: What to show; its prompt is not used.
        choices: The words on the buttons.
        texts: The words to use.
    """

    def __init__(self, page: Page, choices: tuple[str, ...], texts: Texts) -> None:
        super().__init__()
        self.chosen: int | None = None
        """The index of the button that is lit, and at the end chosen."""
        self._page = page
        self._choices = choices
        self._texts = texts
        self._index, self._screens = 0, 1
        self._buttons: list[Rect] = []

    def draw(self, painter: Painter) -> None:
        """Draw the screen of the page that is being read."""
        hint = self._texts.choice_hint, QUIET
        areas = painter.page(self._page, self._index, None, hint, self._choices, self.chosen)
        self._screens, self._buttons = areas.screens, areas.buttons

    def handle(self, event: Event) -> None:
        """Take in a key or a click."""
        if self._index and turns_back(event):
            self._index, self.chosen = min(self._index, self._screens - 1) - 1, None
            self._begin_anew()
        elif self._index < self._screens - 1:
            if accepts(event) or clicks(event):
                self._index += 1
                self._begin_anew()
        elif not self.settled:
            return
        elif clicks(event):
            under = Rect(event.pos, (1, 1)).collidelist(self._buttons)
            if under >= 0:
                self.chosen, self.done = under, True
        elif accepts(event):
            self.done = self.chosen is not None
        elif event.type == pygame.KEYDOWN:
            self._pick(event.key)

    def _pick(self, key: int) -> None:
        last = len(self._choices) - 1
        if key == pygame.K_DOWN:
            self.chosen = 0 if self.chosen is None else min(self.chosen + 1, last)
        elif key == pygame.K_UP:
            self.chosen = last if self.chosen is None else max(self.chosen - 1, 0)
        elif 0 <= key - pygame.K_1 <= last:
            self.chosen = key - pygame.K_1


def turns_back(event: Event) -> bool:
    """Return whether a key was pressed that leads to the screen before."""
    return event.type == pygame.KEYDOWN and event.key in (pygame.K_BACKSPACE, pygame.K_PAGEUP)
