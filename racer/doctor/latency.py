"""How long a key takes until the frame that shows its effect is handed to the window system.

Keys are put into SDL's queue by this process, at random moments of a drive, and go through everything that a person's
keys go through from there on: the window, the step loop, the channel, the next frame. A keyboard's own keys could not
be timed like that: SDL 2 stamps an event when it is fetched, not when the key went down. So keyboard, system and
monitor are left out; a photodiode on the square of `[markers]` measures those.
"""

from __future__ import annotations

import statistics
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pygame
from numpy.typing import NDArray
from pygame.event import Event

from racer.doctor.machine import CheckResult
from racer.drivers.keyboard import HeldKeys
from racer.loop.attended import Unrecorded
from racer.loop.display import Hud
from racer.loop.pacing import LONGEST_LEAD_NS
from racer.window.window import Window
from sessions import Step

STEPS_PER_KEY = 4
"""Pressed within the first, released within the third: the step before each press has no key down."""
_FLIPS = 20
_SLACK_MS = 25.0
"""What computing and drawing may add, at most, to what the pace alone makes a key wait."""


@dataclass(frozen=True)
class Press:
    """A key that was pressed for an action."""

    action: int
    time_ns: int
    """When, monotonic nanoseconds."""


class PressingWindow(Window):
    """A window in which keys are pressed while an episode runs, each in the step that is next in turn.

    Args:
        keys: Where the keys of the task's actions go; the actions take turns.
        period_ns: Of a step.
        dice: Draw the moment within the step.
        clock: Monotonic nanoseconds.
    """

    def __init__(
        self,
        keys: HeldKeys,
        period_ns: int,
        dice: np.random.Generator,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        super().__init__(keys, keys.spec.text("en"), title="Racer doctor", countdown_from=0, clock=clock)
        self.presses: list[Press] = []
        self._period_ns = period_ns
        self._dice = dice
        self._turns = _pressable(keys)
        self._step = -1
        self._due_ns: int | None = None
        self._down: int | None = None

    def show(self, frame: NDArray[np.uint8], hud: Hud, original: NDArray[np.uint8] | None = None) -> int:
        """Draw a frame, and choose when a key goes down or comes up before the next one."""
        shown_ns = super().show(frame, hud, original)
        self._step += 1
        if self._turns and self._step % STEPS_PER_KEY in (1, 3):
            self._due_ns = shown_ns + int(self._dice.integers(self._period_ns))
        return shown_ns

    def wait(self, until_ns: int) -> int:
        """Handle events until `until_ns`, and press what is due before that."""
        paused = 0
        if self._due_ns is not None and self._due_ns <= until_ns:
            paused = super().wait(self._due_ns)
            self._due_ns = None
            self._press_or_release()
        return paused + super().wait(until_ns + paused)

    def flip_ms(self) -> float:
        """Return how long a flip takes, the median in milliseconds."""
        took = []
        for _ in range(_FLIPS):
            began = self._clock()
            self._stage.flip()
            took.append((self._clock() - began) / 1e6)
        return statistics.median(took)

    def _press_or_release(self) -> None:
        if self._down is not None:
            pygame.event.post(Event(pygame.KEYUP, key=self._down, mod=0))
            self._down = None
            return
        action, self._down = self._turns[len(self.presses) % len(self._turns)]
        self.presses.append(Press(action, self._clock()))
        pygame.event.post(Event(pygame.KEYDOWN, key=self._down, mod=0))


class ShownRows(Unrecorded):
    """Keeps of each step when its frame was shown, monotonic nanoseconds, and the action taken on seeing it."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int]] = []

    def append(self, step: Step) -> bool:
        """Keep a step."""
        self.rows.append((step.time_ns, step.action))
        return False


def drive_of(keys: int) -> int:
    """Return how many steps a drive has in which so many keys are pressed and have an effect."""
    return STEPS_PER_KEY * keys + 1


def latencies_ms(presses: Sequence[Press], rows: Sequence[tuple[int, int]]) -> list[float]:
    """Return how long each key took until the frame after its action was shown; keys that led to none are left out.

    Args:
        presses: In the order of time; none is pressed before the one before was let go for a whole step.
        rows: When each step's frame was shown, and the action taken on seeing it.
    """
    times, actions = [shown for shown, _ in rows], [action for _, action in rows]
    found = []
    for press in presses:
        # Pressed before this frame was shown: taken with the frame before it, or with one of the next.
        first = max(bisect_right(times, press.time_ns), 1)
        for row in range(first, min(first + STEPS_PER_KEY, len(rows))):
            if actions[row - 1] == press.action:
                found.append((times[row] - press.time_ns) / 1e6)
                break
    return found


def check_latency(found_ms: Sequence[float], pressed: int, rate: float) -> CheckResult:
    """Judge how long keys took.

    Args:
        found_ms: Of those that had an effect, milliseconds.
        pressed: How many were pressed.
        rate: Steps per second.
    """
    if len(found_ms) < 2:
        return CheckResult(
            "key to frame", "warn", "too few keys had an effect to say anything", "run this again and let it drive"
        )
    middle, most = statistics.median(found_ms), float(np.percentile(found_ms, 95))
    value = (
        f"{middle:.0f} ms in the median, 95 % within {most:.0f} ms ({len(found_ms)} of {pressed} keys; "
        f"a step has {1000 / rate:.0f} ms); keyboard and monitor not included"
    )
    if len(found_ms) < pressed or most > 1000 / rate + LONGEST_LEAD_NS / 1e6 + _SLACK_MS:
        advice = "close other programs, plug in the power supply, or choose a lower pace"
        return CheckResult("key to frame", "warn", value, advice)
    return CheckResult("key to frame", "ok", value)


def check_vsync(flip_ms: float, refresh_hz: float) -> CheckResult:
    """Say whether pictures wait for the screen's refresh.

    Args:
        flip_ms: What a flip takes, milliseconds.
        refresh_hz: The screen's rate; 0 where the system does not say.
    """
    taken = f"a flip takes {flip_ms:.1f} ms"
    if refresh_hz <= 0:
        return CheckResult("vsync", "ok", f"{taken}; the system does not say how often the screen is refreshed")
    if flip_ms >= 500 / refresh_hz:
        return CheckResult("vsync", "ok", f"on: {taken}, since it waits for the screen, at {refresh_hz:g} Hz")
    later = f"the screen shows it up to {1000 / refresh_hz:.0f} ms later"
    return CheckResult("vsync", "ok", f"off: {taken} and waits for nothing; {later}")


def _pressable(keys: HeldKeys) -> list[tuple[int, int]]:
    """Return the actions that a keyboard's keys stand for, but for the neutral one, each with SDL's number of a key."""
    found = []
    for index, action in enumerate(keys.spec.actions):
        for name in keys.bindings.get(action.name, ()) if index != keys.spec.neutral else ():
            try:
                found.append((index, pygame.key.key_code(name)))
                break
            except (ValueError, pygame.error):
                continue  # a gamepad's
    return found
