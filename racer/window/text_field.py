"""A text that somebody types: letters at a caret that keys and the mouse move, and a part that is selected."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import pygame
from pygame.event import Event

from racer.window.canvas import FieldArea, Typed

_REPEAT_AFTER_NS: Final = 400_000_000
_REPEAT_EVERY_NS: Final = 40_000_000
_DELETING: Final = {pygame.K_BACKSPACE: -1, pygame.K_DELETE: 1}
_WALKING: Final = {pygame.K_LEFT: -1, pygame.K_RIGHT: 1}
_CLIMBING: Final = {pygame.K_UP: -1, pygame.K_DOWN: 1}
_REPEATING: Final = (*_DELETING, *_WALKING, *_CLIMBING)
_WORD = re.compile(r"\w+|[^\w\s]+")


def _is_down(key: int) -> bool:
    return pygame.display.get_init() and bool(pygame.key.get_pressed()[key])


class TextField:
    """What was typed so far.

    pygame's own key repeat stays off: a key that is still held when the next screen appears must not act on it.

    Args:
        text: To begin with; the caret stands behind it.
        most: Characters, at most.
        held: Whether a key is down at this moment: held for a while it goes on.
    """

    def __init__(self, text: str, most: int, held: Callable[[int], bool] = _is_down) -> None:
        self.text = text[:most]
        self.caret = len(self.text)
        """Before which character it stands, 0 to the text's length."""
        self.area: FieldArea | None = None
        """Where the text was drawn last, for lines and clicks."""
        self._anchor = self.caret
        self._most = most
        self._held = held
        self._pressed: tuple[Event, int | None] | None = None
        self._dragging = False

    @property
    def typed(self) -> Typed:
        """The text as it is drawn."""
        return Typed(self.text, self.caret, *self._selected)

    @property
    def on_first_line(self) -> bool:
        """Whether there is no line above the caret's."""
        area = self._area
        return area is None or area.line_of(self.caret) == 0

    def type(self, text: str) -> None:
        """Put text in the place of what is selected, without control characters and up to the most characters."""
        self._replace("".join(letter for letter in text if letter.isprintable()))

    def break_line(self) -> None:
        """Begin a new line."""
        self._replace("\n")

    def handle(self, event: Event) -> None:
        """Take in typed text, keys that move and delete, and the mouse; other events change nothing."""
        if event.type == pygame.TEXTINPUT:
            self.type(event.text)
        elif event.type == pygame.KEYDOWN:
            self._pressed = (event, None) if event.key in _REPEATING else None
            self._key(event.key, event.dict.get("mod", 0))
        elif event.type == pygame.MOUSEBUTTONDOWN and event.button == pygame.BUTTON_LEFT:
            self._dragging = self.area is not None and self.area.rect.collidepoint(event.pos)
            self._point(event.pos, selecting=False)
        elif event.type == pygame.MOUSEMOTION:
            self._point(event.pos, selecting=True)
        elif event.type == pygame.MOUSEBUTTONUP:
            self._dragging = False

    def tick(self, now_ns: int) -> bool:
        """Take note of the time; return whether the text or the caret changed with it."""
        if self._pressed is None:
            return False
        event, due = self._pressed
        if not self._held(event.key):
            self._pressed = None
        elif due is None:
            self._pressed = event, now_ns + _REPEAT_AFTER_NS
        elif now_ns >= due:
            self._pressed = event, now_ns + _REPEAT_EVERY_NS
            before = self.typed
            self._key(event.key, event.dict.get("mod", 0))
            return self.typed != before
        return False

    @property
    def _area(self) -> FieldArea | None:
        return None if self.area is None else self.area.holding(self.text)

    @property
    def _selected(self) -> tuple[int, int]:
        return min(self.caret, self._anchor), max(self.caret, self._anchor)

    def _replace(self, text: str) -> None:
        first, last = self._selected
        text = text[: self._most - len(self.text) + last - first]
        self.text = self.text[:first] + text + self.text[last:]
        self.caret = self._anchor = first + len(text)

    def _key(self, key: int, mod: int) -> None:
        by_word, selecting = bool(mod & pygame.KMOD_CTRL), bool(mod & pygame.KMOD_SHIFT)
        first, last = self._selected
        if key in _DELETING:
            if first == last:
                self._anchor = self._step(_DELETING[key], by_word)
            self._replace("")
        elif key in _WALKING:
            way = _WALKING[key]
            plain = first != last and not (selecting or by_word)
            self._move((first if way < 0 else last) if plain else self._step(way, by_word), selecting)
        elif key in _CLIMBING and (area := self._area) is not None:
            self._move(area.beyond(self.caret, _CLIMBING[key]), selecting)
        elif key in (pygame.K_HOME, pygame.K_END):
            whole = 0, len(self.text)
            ends = whole if by_word or (area := self._area) is None else area.ends(self.caret)
            self._move(ends[key == pygame.K_END], selecting)
        elif key == pygame.K_a and by_word:
            self._anchor, self.caret = 0, len(self.text)

    def _step(self, way: int, by_word: bool) -> int:
        """Return the place one character, or one word, to the left or right of the caret."""
        if not by_word:
            return min(max(self.caret + way, 0), len(self.text))
        if way < 0:
            return max((word.start() for word in _WORD.finditer(self.text) if word.start() < self.caret), default=0)
        ends = (word.end() for word in _WORD.finditer(self.text) if word.end() > self.caret)
        return min(ends, default=len(self.text))

    def _move(self, place: int, selecting: bool) -> None:
        self.caret = place
        if not selecting:
            self._anchor = place

    def _point(self, pos: tuple[int, int], selecting: bool) -> None:
        if self._dragging and (area := self._area) is not None:
            self._move(area.at(*pos), selecting)
