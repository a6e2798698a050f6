"""How the items of a questionnaire are answered: what keys, clicks and typed text do to one answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import pygame
from pygame.event import Event

from racer.sitting.questionnaires import TYPED, Item
from racer.window.canvas import FieldArea
from racer.window.item_view import MOST_BUTTONS, Filled
from racer.window.text_field import TextField

Move = Literal["on", "before", "after"]
"""What a key asks for beyond the answer: to go on, or the item before or after."""
_ENTER = (pygame.K_RETURN, pygame.K_KP_ENTER)


class Control(ABC):
    """The answer to one item, as it is being given."""

    def __init__(self, item: Item) -> None:
        self.item = item

    @property
    @abstractmethod
    def filled(self) -> Filled:
        """The item and its answer, to be drawn."""

    @abstractmethod
    def key(self, event: Event) -> Move | None:
        """Take in a key that was pressed."""

    def point(self, index: int) -> None:  # noqa: B027
        """Take in a click on a point or option, counted from 0."""

    def other(self, event: Event) -> None:  # noqa: B027
        """Take in typed text and the mouse."""

    def tick(self, now_ns: int) -> bool:
        """Go on with a key that is held; return whether the answer changed."""
        return False

    def drawn(self, field: FieldArea | None) -> None:  # noqa: B027
        """Take note of where its text was drawn."""

    @property
    def _on(self) -> Move | None:
        return "on" if self.filled.accepted else None


def control_of(item: Item, answer: str) -> Control:
    """Return what answers an item, with what was answered before."""
    if item.kind in TYPED:
        return _Words(item, answer)
    return _Scale(item, answer) if item.kind == "scale" else _Options(item, answer)


class _Scale(Control):
    """Numbers (up to nine points), the left and right arrows and clicks choose."""

    def __init__(self, item: Item, answer: str) -> None:
        super().__init__(item)
        self._point = int(answer) if item.canonical(answer) else 0

    @property
    def filled(self) -> Filled:
        return Filled(self.item, str(self._point) if self._point else "")

    def key(self, event: Event) -> Move | None:
        points = self.item.points
        if event.key in (*_ENTER, pygame.K_SPACE):
            return self._on
        if event.key in (pygame.K_BACKSPACE, pygame.K_UP):
            return "before"
        if event.key == pygame.K_DOWN:
            return "after"
        if event.key in (pygame.K_LEFT, pygame.K_RIGHT):
            self._move(1 if event.key == pygame.K_RIGHT else -1)
        elif event.key == pygame.K_DELETE and not self.item.needed:
            self._point = 0
        elif points <= MOST_BUTTONS and 1 <= (number := _number(event)) <= points:
            self._point = number
        return None

    def point(self, index: int) -> None:
        self._point = 0 if index + 1 == self._point and not self.item.needed else index + 1

    def _move(self, step: int) -> None:
        points = self.item.points
        if self._point:
            self._point = min(max(self._point + step, 1), points)
        else:
            # Beside the middle: neither an end of the scale nor its middle may be what a first press leads to.
            self._point = points // 2 if step < 0 else points - points // 2 + 1


class _Options(Control):
    """The up and down arrows, numbers and clicks choose one; among several, SPACE takes and gives back.

    Pictures, which stand beside each other, are gone through by left and right too.
    """

    def __init__(self, item: Item, answer: str) -> None:
        super().__init__(item)
        self._names = list(item.options)
        self._chosen = set((item.canonical(answer) or "").split())
        self._cursor: int | None = None

    @property
    def filled(self) -> Filled:
        chosen = " ".join(name for name in self._names if name in self._chosen)
        return Filled(self.item, chosen, cursor=self._cursor)

    def key(self, event: Event) -> Move | None:
        several = self.item.kind == "choices"
        if event.key in _ENTER or (event.key == pygame.K_SPACE and not several):
            return self._on
        if event.key == pygame.K_BACKSPACE:
            return "before"
        if event.key in (pygame.K_UP, pygame.K_DOWN):
            return self._step(1 if event.key == pygame.K_DOWN else -1)
        if event.key in (pygame.K_LEFT, pygame.K_RIGHT) and self.item.kind == "picture":
            self._step(1 if event.key == pygame.K_RIGHT else -1)
        elif event.key == pygame.K_SPACE and self._cursor is not None:
            self.point(self._cursor)
        elif event.key == pygame.K_DELETE and not self.item.needed:
            self._chosen.clear()
        elif 1 <= (number := _number(event)) <= len(self._names):
            self.point(number - 1)
        return None

    def point(self, index: int) -> None:
        self._cursor, name = index, self._names[index]
        if self.item.kind == "choices":
            self._chosen ^= {name}
        else:
            self._chosen = set() if self._chosen == {name} and not self.item.needed else {name}

    def _step(self, step: int) -> Move | None:
        place = self._cursor
        if place is None:
            # From what was chosen before, or from the end that the arrow comes from.
            known = [index for index, name in enumerate(self._names) if name in self._chosen]
            place = known[0] if known else (-1 if step > 0 else len(self._names))
        place += step
        if not 0 <= place < len(self._names):
            return "after" if step > 0 else "before"
        self._cursor = place
        if self.item.kind != "choices":
            self._chosen = {self._names[place]}
        return None


class _Words(Control):
    """A field to type into; Enter goes on, or begins a new line where the answer may have several."""

    def __init__(self, item: Item, answer: str) -> None:
        super().__init__(item)
        self._field = TextField(answer, item.most_characters)

    @property
    def filled(self) -> Filled:
        return Filled(self.item, self._field.text, typed=self._field.typed)

    def key(self, event: Event) -> Move | None:
        above, lines = self._field.on_first_line, self.item.kind == "text"
        self._field.handle(event)
        if event.key == pygame.K_UP and above:
            return "before"
        if event.key == pygame.K_DOWN and not lines:
            return "after"
        if event.key in _ENTER:
            if not lines:
                return self._on
            self._field.break_line()
        return None

    def other(self, event: Event) -> None:
        self._field.handle(event)

    def tick(self, now_ns: int) -> bool:
        return self._field.tick(now_ns)

    def drawn(self, field: FieldArea | None) -> None:
        self._field.area = field


def _number(event: Event) -> int:
    """Return the number on a key, or 0; of the upper row also where the layout has other signs there, as in France."""
    for first in (pygame.K_1, pygame.K_KP1):
        if 0 <= event.key - first < 9:
            return int(event.key - first + 1)
    place = event.dict.get("scancode", 0) - pygame.KSCAN_1
    return int(place + 1) if 0 <= place < 9 else 0
