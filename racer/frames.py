"""The frame a participant sees: CarRacing's observation without its indicator bar, 64x64.

The 84 rows above the indicator bar are reduced to 64 rows and the 96 columns to 64 by exact area averaging in
integers, rounding half up once at the end: the same bytes on every machine.
"""

from __future__ import annotations

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
    columns = _reduce_columns(observation[:SCENE_ROWS])
    total = _reduce_rows(columns).reshape(FRAME_SIZE, FRAME_SIZE, 3)
    # Rounded half up: total / 63, as the halves of 2 * total + 63.
    return ((2 * total + _WEIGHT) // (2 * _WEIGHT)).astype(np.uint8)


_ROW_SPAN, _ROW_UNIT = 21, 16
"""84/64: each row of the frame covers 21 sixteenths of a row."""
_WEIGHT = 3 * _ROW_SPAN
_ENDS, _PARTS = np.divmod(np.arange(_ROW_UNIT + 1) * _ROW_SPAN, _ROW_UNIT)
"""Where the stretches of 21 rows that make 16 end: whole rows, and sixteenths of the next."""


def _reduce_columns(scene: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return thrice the area averages of the columns, int32[84, 64 * 3]: of three columns two, 3/2 wide each."""
    triples = scene.reshape(SCENE_ROWS, OBSERVATION_SIZE // 3, 3, 3).astype(np.int32)
    pairs = np.empty((SCENE_ROWS, OBSERVATION_SIZE // 3, 2, 3), np.int32)
    np.multiply(triples[:, :, ::2], 2, out=pairs)
    pairs += triples[:, :, 1:2]
    return pairs.reshape(SCENE_ROWS, FRAME_SIZE * 3)


def _reduce_rows(rows: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return 21 times the area averages of the rows, int32[64, N]: differences of a running sum read at their ends."""
    groups = rows.reshape(SCENE_ROWS // _ROW_SPAN, _ROW_SPAN, -1)
    running = np.zeros((len(groups), _ROW_SPAN + 1, groups.shape[2]), np.int32)
    np.cumsum(groups, axis=1, out=running[:, 1:])
    ends = running[:, _ENDS] * _ROW_UNIT
    ends[:, :-1] += groups[:, _ENDS[:-1]] * _PARTS[:-1, None].astype(np.int32)
    return np.diff(ends, axis=1).reshape(FRAME_SIZE, -1)
