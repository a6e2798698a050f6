"""Gamepads as more keys: sticks beyond their dead zone, directional pads and buttons go down and come up like keys."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import pygame
from pygame.event import Event

PRESSED_FROM: Final = 0.5
"""Deflection from which a stick counts as pressed, as a fraction of its travel; anything less is its dead zone."""
RELEASED_BELOW: Final = 0.35
"""Nearer to the middle than where it is pressed, so that a hand that trembles there does not press again and again."""
_AXES: Final = {0: ("pad left", "pad right"), 1: ("pad up", "pad down")}
"""Names of what the ends of the left stick's axes press, by SDL's axis number."""
_HATS: Final = {0: ("pad left", "pad right"), 1: ("pad down", "pad up")}
"""Names of what the directional pad presses where its first or second number is -1 or 1."""
PAGE_KEYS: Final = {
    "pad left": pygame.K_LEFT,
    "pad right": pygame.K_RIGHT,
    "pad up": pygame.K_UP,
    "pad down": pygame.K_DOWN,
    "pad 1": pygame.K_SPACE,
    "pad 2": pygame.K_BACKSPACE,
    "pad 3": pygame.K_RETURN,
}
"""Keys that pages, questions and menus take a gamepad's buttons for."""


class Gamepads:
    """The gamepads that are plugged in, and what is pressed on them."""

    def __init__(self) -> None:
        self._open: dict[int, Any] = {}
        """By SDL's number of the instance; a gamepad tells nothing while nobody holds its object."""
        self._down: dict[tuple[int, str], set[str]] = {}
        """By gamepad and part, such as `axis 0`: the names pressed there."""
        with suppress(pygame.error):  # a machine without any way to ask for them
            pygame.joystick.init()

    def close(self) -> None:
        """Give them back."""
        self._open.clear()
        pygame.joystick.quit()

    def take(self, event: Event) -> list[tuple[str, bool]]:
        """Return what an event lets come up and go down, by name and whether it went down; releases come first."""
        before = self._pressed
        if event.type == pygame.JOYDEVICEADDED:
            with suppress(pygame.error):  # unplugged again
                pad = pygame.joystick.Joystick(event.device_index)
                self._open[pad.get_instance_id()] = pad
        elif event.type == pygame.JOYDEVICEREMOVED:
            self._open.pop(event.instance_id, None)
            self._down = {part: names for part, names in self._down.items() if part[0] != event.instance_id}
        elif event.type == pygame.JOYAXISMOTION and event.axis in _AXES:
            part = (event.instance_id, f"axis {event.axis}")
            self._down[part] = _beyond(event.value, _AXES[event.axis], self._down.get(part, set()))
        elif event.type == pygame.JOYHATMOTION and event.hat == 0:
            names = {_HATS[number][value > 0] for number, value in enumerate(event.value) if value}
            self._down[event.instance_id, "hat"] = names
        elif event.type == pygame.JOYBUTTONDOWN:
            self._down[event.instance_id, f"button {event.button}"] = {f"pad {event.button + 1}"}
        elif event.type == pygame.JOYBUTTONUP:
            self._down.pop((event.instance_id, f"button {event.button}"), None)
        after = self._pressed
        return [(name, False) for name in sorted(before - after)] + [(name, True) for name in sorted(after - before)]

    @property
    def _pressed(self) -> set[str]:
        return set().union(*self._down.values())


def _beyond(value: float, ends: tuple[str, str], down: set[str]) -> set[str]:
    """Return which end of an axis is pressed at a value, -1 to 1, given what was pressed before."""
    name = ends[value > 0]
    return {name} if abs(value) >= (RELEASED_BELOW if name in down else PRESSED_FROM) else set()
