"""A text that somebody types: letters and backspaces at its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pygame
from pygame.event import Event

_REPEAT_AFTER_NS: Final = 400_000_000
_REPEAT_EVERY_NS: Final = 40_000_000


def _backspace_is_down() -> bool:
    return pygame.display.get_init() and bool(pygame.key.get_pressed()[pygame.K_BACKSPACE])


class TextField:
    """What was typed so far.

    pygame's own key repeat stays off: a key that is still held when the next screen appears must not act on it.

    Args:
        text: To begin with.
        most: Characters, at most.
        deleting: Whether Backspace is down at this moment: held for a while it deletes on.
    """

    def __init__(self, text: str, most: int, deleting: Callable[[], bool] = _backspace_is_down) -> None:
        self.text = text[:most]
        self._most = most
        self._deleting = deleting
        self._next_ns: int | None = None

    def type(self, text: str) -> None:
        """Add to the end, without control characters and up to the most characters."""
        self.text = (self.text + "".join(letter for letter in text if letter.isprintable()))[: self._most]

    def break_line(self) -> None:
        """Begin a new line."""
        self.text = (self.text + "\n")[: self._most]

    def handle(self, event: Event) -> None:
        """Take in typed text and the Backspace key; other events change nothing."""
        if event.type == pygame.TEXTINPUT:
            self.type(event.text)
        elif event.type == pygame.KEYDOWN and event.key == pygame.K_BACKSPACE:
            self.text = self.text[:-1]

    def tick(self, now_ns: int) -> bool:
        """Take note of the time; return whether the text changed with it."""
        if not self._deleting():
            self._next_ns = None
        elif self._next_ns is None:
            self._next_ns = now_ns + _REPEAT_AFTER_NS
        elif now_ns >= self._next_ns and self.text:
            self.text = self.text[:-1]
            self._next_ns = now_ns + _REPEAT_EVERY_NS
            return True
        return False
