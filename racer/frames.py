"""The frame a participant sees: CarRacing's observation without its indicator bar, 64x64.

The 84 rows above the indicator bar are reduced to 64 rows and the 96 columns to 64 by exact area averaging in
integers, rounding half up once at the end: the same bytes on every machine.
"""

from __future__ import annotations

from math import gcd

import numpy as np
from numpy.typing import NDArray

FRAME_SIZE = 64
OBSERVATION_SIZE = 96
SCENE_ROWS = 84
"""Rows of the 96-row observation above the indicator bar."""


def frame_from_observation(observation: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the frame, uint8[64, 64, 3], of a CarRacing observation.

    Args:
        observation: uint8[R, 96, 3] with R >= 84; rows from the 84th on (the indicator bar) are ignored.

    Raises:
        ValueError: If the shape or the dtype is another one.
    """
    whole = observation.ndim == 3 and len(observation) >= SCENE_ROWS and observation.shape[1:] == (OBSERVATION_SIZE, 3)
    if observation.dtype != np.uint8 or not whole:
        raise ValueError(
            f"expected a CarRacing observation, uint8[96, 96, 3]; got {observation.dtype}{list(observation.shape)}"
        )
    by_row, row_weight = _area_sums(observation[:SCENE_ROWS].astype(np.int32), FRAME_SIZE)
    by_column, column_weight = _area_sums(by_row.swapaxes(0, 1), FRAME_SIZE)
    weight = row_weight * column_weight
    return np.ascontiguousarray(((2 * by_column.swapaxes(0, 1) + weight) // (2 * weight)).astype(np.uint8))


def _area_sums(cells: NDArray[np.int32], target: int) -> tuple[NDArray[np.int32], int]:
    """Return the area sums of `target` equal stretches of the first axis, and the weight that each sums to.

    A running sum is read off at the stretches' ends, which fall on multiples of 1/unit of a cell.
    """
    source = len(cells)
    span, unit = source // gcd(source, target), target // gcd(source, target)
    whole, part = np.divmod(np.arange(target + 1, dtype=np.int32) * span, unit)
    running = np.zeros((source + 1, *cells.shape[1:]), np.int32)
    np.cumsum(cells, axis=0, out=running[1:])
    following = cells[np.minimum(whole, source - 1)]
    return np.diff(unit * running[whole] + part[:, None, None] * following, axis=0), span
