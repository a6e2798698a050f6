"""Which keys a keyboard delivers at once: many hide some combinations of three, some of two."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import combinations as in_twos
from itertools import pairwise

import pygame
from pygame.event import Event

from racer.drivers.keyboard import Bindings, HeldKeys
from racer.loop.display import Page
from racer.tasks.task import TaskSpec
from racer.window.screens import Painter
from racer.window.stage import Interruption, Screen, Stage
from racer.window.texts import english

Combination = tuple[str, ...]
"""pygame's names of keys to hold at once."""
_MOST_HELD = 4
"""Actions whose keys are tried all together."""


def combinations(bindings: Bindings) -> list[Combination]:
    """Return what to try: the first keys of the actions in twos and all together, then the second ones.

    Also all of them with the space bar; of more keys than a hand can hold only those next to each other in twos.
    """
    tried: list[Combination] = []
    for row in zip(*bindings.values(), strict=False):
        tried += in_twos(row, 2) if len(row) <= _MOST_HELD else pairwise(row)
        tried += [row, (*row, "space")] if len(row) <= _MOST_HELD else []
    return [keys for keys in dict.fromkeys(tried) if 1 < len(set(keys)) == len(keys)]


class KeyTrial(Screen):
    """Asks for one combination after the other; Esc goes on without it, the close button without any more.

    Args:
        wanted: What to ask for.
    """

    def __init__(self, wanted: Sequence[Combination]) -> None:
        super().__init__()
        self.delivered: list[Combination] = []
        self._wanted = list(wanted)
        self._index = 0
        self._held: set[str] = set()
        self.done = not self._wanted

    def draw(self, painter: Painter) -> None:
        """Draw what to hold, and what arrives of it."""
        keys = self._wanted[min(self._index, len(self._wanted) - 1)]
        arrived = [key for key in keys if key in self._held]
        painter.page(
            Page(
                " + ".join(key.upper() for key in keys),
                ("Hold these keys down together.", f"Arriving now: {', '.join(arrived) or 'none'}"),
                f"{self._index + 1} of {len(self._wanted)}. If they do not all arrive, press Esc",
            )
        )

    def handle(self, event: Event) -> None:
        """Take in a key."""
        if event.type == pygame.KEYDOWN:
            self._held.add(pygame.key.name(event.key))
            if not self.done and self._held.issuperset(self._wanted[self._index]):
                self.delivered.append(self._wanted[self._index])
                self._go_on()
        elif event.type == pygame.KEYUP:
            self._held.discard(pygame.key.name(event.key))

    def handles_interruption(self, interruption: Interruption) -> bool:
        """Leave a combination out, or all that are left."""
        if interruption == "escape":
            self._go_on()
        elif interruption == "close":
            self.done = True
        elif interruption == "focus":
            self._held.clear()  # the window does not hear of releases
        return True

    def _go_on(self) -> None:
        self._index += 1
        self.done = self._index == len(self._wanted)


def try_keys(
    wanted: Sequence[Combination], spec: TaskSpec, clock: Callable[[], int] = time.monotonic_ns
) -> list[Combination]:
    """Ask for combinations in a window and return those that the keyboard delivered; `spec` is the task's.

    Raises:
        NoDisplayError: If no window can be opened.
    """
    trial = KeyTrial(wanted)
    stage = Stage("Racer: keys", (960, 720), False, HeldKeys(spec), clock, english().texts, spec.text("en"))
    try:
        stage.run(trial, lambda interruption: None)
    finally:
        stage.close()
    return trial.delivered
