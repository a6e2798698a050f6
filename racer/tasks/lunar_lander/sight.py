"""What a frame says to whoever looks at it: where the pad is, how fast the craft flies and how it is tilted.

The inverse of `view`, by sums of colours, so that what is blurred, faint or noisy still counts for what it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from racer.tasks.lunar_lander.scenery import (
    BEAM,
    CRAFT_COLUMN,
    CRAFT_ROW,
    FRAME_SIZE,
    NEEDLE_SECONDS,
    PAD_DEPTH,
    PAD_WIDTH,
    STANDING_HEIGHT,
)

_ROWS = (np.arange(FRAME_SIZE, dtype=np.float32) + 0.5 - CRAFT_ROW)[:, None]
_COLUMNS = np.arange(FRAME_SIZE, dtype=np.float32) + 0.5 - CRAFT_COLUMN
"""Columns of the pixels' centres, relative to the craft, pixels."""
_FROM_CRAFT = np.hypot(_ROWS, _COLUMNS)
_NEAR_NEEDLE = (_FROM_CRAFT < 35).astype(np.float32)
_NEAR_LEGS = (_FROM_CRAFT < 10).astype(np.float32)
_SKY_ROWS = CRAFT_ROW - 8
"""Rows of the frame above the craft, where no mountain stands."""
_FAINT = 20.0
"""Excess of a colour, of 255, that is taken for noise."""
_STRONG = 90.0
"""Yellow that is the pad's, not the beam's."""
_FAINT_SHARE = 0.25
_LEAST_NEEDLE, _LEAST_LEGS = 120.0, 300.0
"""Sums of excess below which there is no needle and are no legs: about one and two bright pixels."""
_LEAST_BEAM = 1.5
"""Columns."""
_LEAST_ARROW, _LEAST_PAD = 400.0, 700.0
"""Sums of strong yellow in all, and in a row: more than the flags have."""
FAR = 8.0
"""Units aside of a pad that only the arrow points to."""


@dataclass(frozen=True)
class Sight:
    """What a frame says, in units of the field; None where it does not say."""

    aside: float | None
    """How far to the right of the craft the pad's middle is."""
    height: float | None
    """How far the craft is above standing on the pad."""
    across: float
    """Velocity to the right, units/s; the needle is only so long."""
    up: float
    """Velocity upwards, units/s."""
    axis: float | None
    """Angle of the line through the legs, radians, in [-pi/2, pi/2); counter-clockwise is positive."""


class Eye:
    """Measures frames.

    Args:
        width: Units across the frame.
    """

    def __init__(self, width: float) -> None:
        self._scale = FRAME_SIZE / width

    def see(self, frame: NDArray[np.uint8]) -> Sight:
        """Measure a frame, uint8[64, 64, 3]."""
        red, green, blue = (frame[:, :, channel].astype(np.float32) for channel in range(3))
        yellow = np.minimum(red, green) - blue
        across, up = self._needle(np.maximum(green - np.maximum(red, blue), 0.0))
        aside = self._beam(red - blue, yellow)
        return Sight(
            aside,
            None if aside is None or abs(aside) >= FAR else self._pad(yellow),
            across,
            up,
            _axis(np.maximum(np.minimum(red, blue) - green - _FAINT, 0.0)),
        )

    def _needle(self, green: NDArray[np.float32]) -> tuple[float, float]:
        """Return the velocity: the needle goes from the craft's middle as far again as its own middle."""
        weights = green * _NEAR_NEEDLE
        total = float(weights.sum())
        if total < _LEAST_NEEDLE:
            return 0.0, 0.0
        column, row = float((weights * _COLUMNS).sum()) / total, float((weights * _ROWS).sum()) / total
        per_pixel = 2 / self._scale / NEEDLE_SECONDS
        return column * per_pixel, -row * per_pixel

    def _beam(self, warm: NDArray[np.float32], yellow: NDArray[np.float32]) -> float | None:
        """Return how far to the right the pad's middle is, by the beam above it, or by the arrow."""
        profile = warm[:_SKY_ROWS].mean(axis=0)
        share = np.clip((profile - np.percentile(profile, 10)) / (BEAM[0] - BEAM[2]), 0.0, 1.0)
        share[share < _FAINT_SHARE] = 0.0
        seen = float(share.sum())
        if seen >= _LEAST_BEAM:
            whole = PAD_WIDTH * self._scale
            middle = float((share * (np.arange(FRAME_SIZE) + 0.5)).sum()) / seen
            if seen < whole - 1:  # the rest of it is beyond the nearer edge
                middle = seen - whole / 2 if middle < FRAME_SIZE / 2 else FRAME_SIZE - seen + whole / 2
            return (middle - CRAFT_COLUMN) / self._scale
        arrow = np.maximum(yellow[CRAFT_ROW - 6 : CRAFT_ROW + 6] - _STRONG, 0.0)
        left_edge, right_edge = float(arrow[:, :6].sum()), float(arrow[:, -6:].sum())
        if max(left_edge, right_edge) < _LEAST_ARROW:
            return None
        return FAR if right_edge > left_edge else -FAR

    def _pad(self, yellow: NDArray[np.float32]) -> float | None:
        """Return the craft's height by the rows in which most of the pad lies; its flags are few pixels a row."""
        strong = np.maximum(yellow[CRAFT_ROW + 2 :] - _STRONG, 0.0).sum(axis=1)
        if strong.max() < _LEAST_PAD:
            return None
        weights = strong**2
        row = float((weights * (np.arange(len(strong)) + 2.5)).sum() / weights.sum())
        return row / self._scale - PAD_DEPTH / 2 - STANDING_HEIGHT


def _axis(magenta: NDArray[np.float32]) -> float | None:
    """Return the angle of the line through the legs; a leg hidden by the needle moves the middle, not the line."""
    weights = magenta * _NEAR_LEGS
    total = float(weights.sum())
    if total < _LEAST_LEGS:
        return None
    column, row = float((weights * _COLUMNS).sum()) / total, float((weights * _ROWS).sum()) / total
    x, y = _COLUMNS - column, row - _ROWS
    return 0.5 * math.atan2(2 * float((weights * x * y).sum()), float((weights * (x * x - y * y)).sum()))
