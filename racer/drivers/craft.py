"""What every simulated pilot of LunarLander has in common: how the craft answers to the keys, as who practised knows.

Eyes, decisions and hands are each family's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from racer.tasks.lunar_lander.task import LEFT, MAIN, RIGHT

STEP = 0.02
"""Simulated seconds."""
WAY = {LEFT: 1, RIGHT: -1}
"""Which way a key turns the craft, counter-clockwise is positive."""


@dataclass(frozen=True)
class Feel:
    """How a craft answers to its engines; all per step."""

    turn: float
    """Radians/s by a side engine."""
    lift: float
    """Units/s by the main engine."""
    fall: float
    """Units/s by gravity."""


FEEL = {"stock": Feel(0.099, 0.34, 0.2), "eased": Feel(0.038, 0.13, 0.077)}
"""By the task's handling."""


@dataclass(frozen=True)
class Motion:
    """How a craft moves."""

    across: float
    """Velocity to the right, units/s."""
    up: float
    """Velocity upwards, units/s."""
    tilt: float
    """Radians, counter-clockwise is positive."""
    turning: float
    """Radians/s."""

    def after(self, keys: Iterable[int], feel: Feel, share: float) -> Motion:
        """Return how it will move after a step of each key, as far as a share, 0 to 1, of that is thought of."""
        across, up, tilt, turning = self.across, self.up, self.tilt, self.turning
        for key in keys:
            turning += share * feel.turn * WAY.get(key, 0)
            tilt += share * turning * STEP
            up -= share * feel.fall
            if key == MAIN:
                up += share * feel.lift * math.cos(tilt)
                across -= share * feel.lift * math.sin(tilt)
        return Motion(across, up, tilt, turning)
