"""What every simulated driver of CarRacing has in common: where the car is in the frame, and a hand on the wheel.

The hand does what was decided a reaction time ago, now and then forgets to, and knows what is still to come of what it
does: where the front wheels will be and how far the car will have turned when a decision of now is carried out. Eyes
and decisions are each family's own.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from racer.tasks.car_racing.task import LEFT, RIGHT, STRAIGHT

CAR_COLUMN = 31.5
CAR_ROW, NOSE_ROW = 54, 49
"""Frame rows of the car's middle, about which it turns, and of its nose."""
UNITS_PER_COLUMN = 1000 / 64 / 16.2
"""Track units across one frame column (1000 screen pixels at 16.2 pixels a unit)."""
UNITS_PER_ROW = 700 / 64 / 16.2
WHEEL_LIMIT = 0.4
"""Radians that the front wheels turn to under a key."""
WHEEL_SPEED = 0.06
"""Radians per step at which they follow the keys (CarRacing: 3 rad/s)."""
YAW = 0.3
"""Radians of heading per step for each radian of the front wheels, at about 50 units/s."""


def across(column: float) -> float:
    """Return how far to the right of the car a frame column lies, track units."""
    return (column - CAR_COLUMN) * UNITS_PER_COLUMN


def ahead(row: float) -> float:
    """Return how far ahead of the car's middle a frame row lies, track units."""
    return (CAR_ROW - row) * UNITS_PER_ROW


def turned(wheel: float, action: int) -> float:
    """Return the angle of the front wheels, radians, a step after `wheel` under a key."""
    wanted = WHEEL_LIMIT * (action - STRAIGHT)
    return wheel + min(max(wanted - wheel, -WHEEL_SPEED), WHEEL_SPEED)


class Hand:
    """Presses keys, late and not always.

    Args:
        reaction_ms: From seeing to pressing, milliseconds; whole steps at the task's pace.
        lapses: How often in a second, on average, the hand stays where it is whatever is decided.
        lapse_ms: For how long it does so.
        pace: Steps per second.
        rng: Of the lapses; one number is drawn in every step.
    """

    def __init__(
        self, reaction_ms: float, lapses: float, lapse_ms: float, pace: float, rng: np.random.Generator
    ) -> None:
        self.delay = round(reaction_ms * pace / 1000)
        """Steps from seeing to pressing."""
        self._lapses = lapses / pace
        self._lapse = max(round(lapse_ms * pace / 1000), 1)
        self._rng = rng
        self.reset()

    def reset(self) -> None:
        """Take the hand off the keys; the random stream goes on."""
        self.waiting: deque[int] = deque([STRAIGHT] * self.delay)
        """Keys decided on and not pressed yet."""
        self.now = 0.0
        """Angle of the front wheels now, as far as the hand knows."""
        self._away = 0
        self._pressed = STRAIGHT

    @property
    def wheel(self) -> float:
        """Angle of the front wheels, radians (right positive), when what is decided now is carried out."""
        return self._predicted()[0]

    @property
    def coming(self) -> float:
        """Radians (right positive) that the car will have turned by then."""
        return self._predicted()[1]

    def press(self, decided: int) -> int:
        """Return the key that is pressed in this step, given the one that is decided on."""
        self.waiting.append(decided)
        due = self.waiting.popleft()
        if self._rng.random() < self._lapses:
            self._away = self._lapse
        if self._away:
            self._away -= 1
        else:
            self._pressed = due
        self.now = turned(self.now, self._pressed)
        return self._pressed

    def toward(self, angle: float) -> int:
        """Return the key that brings the front wheels nearest to an angle, radians; none rather than a needless one."""
        wheel = self.wheel
        return min((STRAIGHT, LEFT, RIGHT), key=lambda action: abs(turned(wheel, action) - angle))

    def _predicted(self) -> tuple[float, float]:
        wheel, heading = self.now, 0.0
        for action in self.waiting:
            wheel = turned(wheel, action)
            heading += YAW * wheel
        return wheel, heading


def bearing(right: float, forward: float) -> float:
    """Return the direction of a point, radians (right positive), so far to the right and so far ahead."""
    return math.atan2(right, max(forward, 0.1))
