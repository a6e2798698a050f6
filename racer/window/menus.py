"""Menus and short entries over the present screen: what a person's keys and clicks do to them."""

from __future__ import annotations

from dataclasses import replace

import pygame
from pygame import Rect
from pygame.event import Event

from racer.window.menu_view import Menu
from racer.window.screens import Painter
from racer.window.stage import Interruption, Screen, accepts, clicks
from racer.window.text_field import TextField


class ChoiceMenu(Screen):
    """A menu whose first answer is highlighted, so that a slip of the hand chooses that one.

    Args:
        menu: The question and its answers.
        closing: What the close button chooses; nothing if None.
    """

    over = True

    def __init__(self, menu: Menu, closing: int | None = None) -> None:
        super().__init__()
        self.chosen = 0
        self._menu = menu
        self._closing = closing
        self._buttons: list[Rect] = []

    def draw(self, painter: Painter) -> None:
        """Draw the menu over what is there."""
        self._buttons = painter.menu(self._menu, self.chosen).choices

    def handle(self, event: Event) -> None:
        """Take in a key or the mouse."""
        if event.type == pygame.KEYDOWN and event.key in (pygame.K_UP, pygame.K_DOWN):
            step = 1 if event.key == pygame.K_DOWN else -1
            self.chosen = min(max(self.chosen + step, 0), len(self._menu.choices) - 1)
        elif accepts(event):
            self.done = True
        elif event.type == pygame.MOUSEMOTION or clicks(event):
            under = Rect(event.pos, (1, 1)).collidelist(self._buttons)
            if under >= 0:
                self.chosen, self.done = under, clicks(event)

    def handles_interruption(self, interruption: Interruption) -> bool:
        """Esc chooses the first answer, and the close button what was said."""
        if interruption == "escape":
            self.chosen, self.done = 0, True
        elif interruption == "close" and self._closing is not None:
            self.chosen, self.done = self._closing, True
        return interruption in ("escape", "close", "focus", "gamepad")


class TextEntry(Screen):
    """A text to type over the present screen; Enter confirms, Esc gives up.

    Args:
        menu: The question, with a field and two answers: to confirm, to give up.
        most: Characters, at most.
        hidden: Whether to show dots in the place of letters.
    """

    over = True
    typing = True

    def __init__(self, menu: Menu, most: int, hidden: bool = False) -> None:
        super().__init__()
        self.given_up = False
        self._menu = menu
        self._field = TextField("", most)
        self._hidden = hidden
        self._buttons: list[Rect] = []

    @property
    def text(self) -> str:
        """What was typed, nothing where the person gave up."""
        return "" if self.given_up else self._field.text

    def draw(self, painter: Painter) -> None:
        """Draw the entry over what is there."""
        typed = self._field.typed
        if self._hidden:
            typed = replace(typed, text="•" * len(typed.text))
        areas = painter.menu(self._menu, 0, typed)
        self._buttons, self._field.area = areas.choices, areas.field

    def tick(self, now_ns: int) -> bool:
        """Go on with a key that is held."""
        return super().tick(now_ns) | self._field.tick(now_ns)

    def handle(self, event: Event) -> None:
        """Take in a key, a text or a click."""
        self._field.handle(event)
        if event.type == pygame.KEYDOWN and event.key in (pygame.K_RETURN, pygame.K_KP_ENTER):
            self.done = True
        elif clicks(event):
            under = Rect(event.pos, (1, 1)).collidelist(self._buttons)
            self.done, self.given_up = under >= 0, under == 1

    def handles_interruption(self, interruption: Interruption) -> bool:
        """Give up on Esc; nothing else interrupts an entry."""
        if interruption == "escape":
            self.done = self.given_up = True
        return True
