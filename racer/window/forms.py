"""A page of questions: which of them keys and clicks go to, and when it is done."""

from __future__ import annotations

from collections.abc import Sequence

import pygame
from pygame.event import Event

from racer.sitting.questionnaires import TYPED, Item
from racer.window.controls import Move, control_of
from racer.window.form_view import FormAreas
from racer.window.screens import Painter
from racer.window.stage import Screen, clicks

_WHEEL = 0.15
"""Scrolling per notch of the mouse wheel, as a fraction of the window's height."""


class Form(Screen):
    """Questions on one page; once `done`, all are answered, or the person `went_back` to the page before.

    Enter goes on from question to question and at the last one to the next page; Tab, Shift+Tab and clicks go to any.
    Ctrl+Enter and the button go on at once, or to the first question that lacks an answer. Going back loses nothing.

    Args:
        items: The questions, at least one.
        heading: Above them.
        answers: What was answered before, an answer per item; empty: nothing yet.
        back: Whether there is a way back.
    """

    def __init__(self, items: Sequence[Item], heading: str, answers: Sequence[str], back: bool) -> None:
        super().__init__()
        self.typing = any(item.kind in TYPED for item in items)
        self.went_back = False
        self._heading = heading
        self._back = back
        given = answers or [""] * len(items)
        self._controls = [control_of(item, answer) for item, answer in zip(items, given, strict=True)]
        self._focus = 0
        self._scrolled: int | None = None
        """By the wheel, pixels; None: to where the focus is."""
        self._areas: FormAreas | None = None

    @property
    def answers(self) -> tuple[str, ...]:
        """The answers, as they are recorded; as they stand where the person went back."""
        given = (control.filled for control in self._controls)
        return tuple(each.answer if (taken := each.recorded) is None else taken for each in given)

    def draw(self, painter: Painter) -> None:
        """Draw the questions."""
        filled = [control.filled for control in self._controls]
        self._areas = painter.form(filled, self._heading, self._back, self._focus, self._scrolled)
        for control, area in zip(self._controls, self._areas.items, strict=True):
            control.drawn(area.field)

    def tick(self, now_ns: int) -> bool:
        """Go on with a key that is held."""
        return super().tick(now_ns) | self._controls[self._focus].tick(now_ns)

    def handle(self, event: Event) -> None:
        """Take in a key, a text, the mouse or its wheel."""
        if event.type == pygame.KEYDOWN:
            self._scrolled = None
            self._key(event)
        elif event.type == pygame.MOUSEWHEEL and self._areas is not None:
            self._scrolled = self._areas.scrolled - round(event.y * _WHEEL * self._areas.room.height)
        else:
            if clicks(event):
                self._click(event)
            self._controls[self._focus].other(event)

    def _key(self, event: Event) -> None:
        mod = event.dict.get("mod", 0)
        if event.key == pygame.K_TAB:
            self._go("before" if mod & pygame.KMOD_SHIFT else "after", leaving=False)
        elif event.key in (pygame.K_RETURN, pygame.K_KP_ENTER) and mod & pygame.KMOD_CTRL:
            self._confirm()
        elif (move := self._controls[self._focus].key(event)) is not None:
            self._go(move)

    def _go(self, move: Move, leaving: bool = True) -> None:
        """Go to the question before or after, or with `leaving` from the page."""
        to = self._focus + (-1 if move == "before" else 1)
        if 0 <= to < len(self._controls):
            self._focus = to
        elif leaving and move == "before":
            self._go_back()
        elif leaving and move == "on":
            self._confirm()

    def _confirm(self) -> None:
        lacking = [index for index, control in enumerate(self._controls) if not control.filled.accepted]
        if lacking:
            self._focus, self._scrolled = lacking[0], None
        else:
            self.done = self.settled

    def _go_back(self) -> None:
        self.done = self.went_back = self._back and self.settled

    def _click(self, event: Event) -> None:
        areas = self._areas
        if areas is None:
            return
        if areas.onward.collidepoint(event.pos):
            self._confirm()
        elif areas.back is not None and areas.back.collidepoint(event.pos):
            self._go_back()
        elif areas.room.collidepoint(event.pos):
            for index, area in enumerate(areas.items):
                if area.rect.collidepoint(event.pos):
                    self._focus, self._scrolled = index, areas.scrolled
                    under = next((place for place, rect in enumerate(area.points) if rect.collidepoint(event.pos)), -1)
                    if under >= 0:
                        self._controls[index].point(under)
