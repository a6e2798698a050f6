"""Questions: what a person's keys and clicks do to an answer on a scale and to one in words."""

from __future__ import annotations

from collections.abc import Callable

import pygame
from pygame import Rect
from pygame.event import Event

from racer.sitting.questionnaires import MOST_ANSWER_CHARACTERS, Item
from racer.window.form_view import MOST_BUTTONS, FormAreas
from racer.window.screens import Painter
from racer.window.stage import Screen, accepts, clicks
from racer.window.text_field import TextField


class Form(Screen):
    """A question; once `done`, it was answered, or the person `went_back` to the question before.

    Args:
        item: The question.
        heading: Above it.
        back: Whether there is a way back.
    """

    def __init__(self, item: Item, heading: str, back: bool) -> None:
        super().__init__()
        self.went_back = False
        self._item = item
        self._heading = heading
        self._back = back
        self._areas: FormAreas | None = None

    def _confirm(self) -> None:
        self.done = self.settled

    def _go_back(self) -> None:
        self.done = self.went_back = self._back and self.settled

    def _click(self, event: Event, on_point: Callable[[int], None] = lambda point: None) -> None:
        if self._areas is None:
            return
        spot, areas = Rect(event.pos, (1, 1)), self._areas
        if areas.onward.colliderect(spot):
            self._confirm()
        elif areas.back is not None and areas.back.colliderect(spot):
            self._go_back()
        elif (under := spot.collidelist(areas.points)) >= 0:
            on_point(under + 1)


class Rating(Form):
    """A question answered on a scale.

    Numbers (up to nine points), the left and right arrows and clicks choose; Enter, SPACE and the button go on once a
    point is chosen; Backspace, the up arrow and the other button go back.

    Args:
        item: The question.
        heading: Above it.
        answer: The point chosen before, from 1 on, if any.
        back: Whether there is a way back.
    """

    def __init__(self, item: Item, heading: str, answer: int | None, back: bool) -> None:
        super().__init__(item, heading, back)
        self.answer = answer

    def draw(self, painter: Painter) -> None:
        """Draw the question."""
        self._areas = painter.rating(self._item, self._heading, self.answer, self._back)

    def handle(self, event: Event) -> None:
        """Take in a key or a click."""
        if clicks(event):
            self._click(event, self._choose)
        elif accepts(event):
            self._confirm()
        elif event.type == pygame.KEYDOWN:
            if event.key in (pygame.K_BACKSPACE, pygame.K_UP):
                self._go_back()
            elif event.key in (pygame.K_LEFT, pygame.K_RIGHT):
                self._move(1 if event.key == pygame.K_RIGHT else -1)
            elif self._item.points <= MOST_BUTTONS and 1 <= (number := _number(event)) <= self._item.points:
                self._choose(number)

    def _confirm(self) -> None:
        if self.answer is not None:
            super()._confirm()

    def _choose(self, point: int) -> None:
        self.answer = point

    def _move(self, step: int) -> None:
        points = self._item.points
        if self.answer is None:
            # Beside the middle: neither an end of the scale nor its middle may be what a first press leads to.
            self.answer = points // 2 if step < 0 else points - points // 2 + 1
        else:
            self.answer = min(max(self.answer + step, 1), points)


class Writing(Form):
    """A question answered in words.

    Ctrl+Enter and the button go on, Enter begins a new line. The way back is its button, and the up arrow on the first
    line as long as nothing would be lost.

    Args:
        item: The question.
        heading: Above it.
        answer: What was written before.
        back: Whether there is a way back.
    """

    typing = True

    def __init__(self, item: Item, heading: str, answer: str, back: bool) -> None:
        super().__init__(item, heading, back)
        self._field = TextField(answer, MOST_ANSWER_CHARACTERS)
        self._before = self._field.text

    @property
    def answer(self) -> str:
        """What is written."""
        return self._field.text

    def draw(self, painter: Painter) -> None:
        """Draw the question."""
        self._areas = painter.writing(self._item, self._heading, self._field.typed, self._back)
        self._field.area = self._areas.field

    def tick(self, now_ns: int) -> bool:
        """Go on with a key that is held."""
        return super().tick(now_ns) | self._field.tick(now_ns)

    def handle(self, event: Event) -> None:
        """Take in a key, a text or a click."""
        leaving = event.type == pygame.KEYDOWN and event.key == pygame.K_UP and self._field.on_first_line
        self._field.handle(event)
        if clicks(event):
            self._click(event)
        elif event.type == pygame.KEYDOWN:
            if leaving and self.answer == self._before:
                self._go_back()
            elif event.key in (pygame.K_RETURN, pygame.K_KP_ENTER):
                if event.dict.get("mod", 0) & pygame.KMOD_CTRL:
                    self._confirm()
                else:
                    self._field.break_line()


def _number(event: Event) -> int:
    """Return the number on a key, or 0; of the upper row also where the layout has other signs there, as in France."""
    for first in (pygame.K_1, pygame.K_KP1):
        if 0 <= event.key - first < 9:
            return int(event.key - first + 1)
    place = event.dict.get("scancode", 0) - pygame.KSCAN_1
    return int(place + 1) if 0 <= place < 9 else 0
