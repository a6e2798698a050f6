"""The frame a participant sees: CarRacing's observation without its indicator bar, 64x64.

The 84 rows above the indicator bar are reduced to 64 rows and the 96 columns to 64 by exact area averaging: sums of
whole numbers, rounded half up once at the end, are the same bytes on every machine.
"""

from __future__ import annotations

import math

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
    scene = np.ascontiguousarray(observation[:SCENE_ROWS]).astype(np.float32)
    rows = np.matmul(_ROWS, scene.reshape(-1, _ROWS.shape[1], OBSERVATION_SIZE * 3))
    total = np.matmul(rows.reshape(-1, len(_COLUMNS)), _COLUMNS)
    # Rounded half up: total / 63, as the halves of 2 * total + 63. All of these are whole numbers below 2**24.
    frame: NDArray[np.uint8] = ((2 * total + _WEIGHT) / (2 * _WEIGHT)).astype(np.uint8)
    return frame.reshape(FRAME_SIZE, FRAME_SIZE, 3)


def most_covering(labels: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """Return the label that takes most of each pixel of the frame, uint8[64, 64]; of several, the first.

    Args:
        labels: uint8[R, C], what lies where on a finer canvas that shows what the frame shows, below `count`.
        count: Of labels.
    """
    height, width = labels.shape
    down, across = math.gcd(FRAME_SIZE, height), math.gcd(FRAME_SIZE, width)
    rows, columns = _overlaps(FRAME_SIZE // down, height // down), _overlaps(FRAME_SIZE // across, width // across)
    shares = np.zeros((count, FRAME_SIZE, FRAME_SIZE), np.float32)
    for label in np.flatnonzero(np.bincount(labels.ravel(), minlength=count)):
        # Whole numbers below 2**24, so that sums are exact.
        part = (labels == label).astype(np.float32).reshape(down, -1, width)
        narrow = np.matmul(rows, part).reshape(FRAME_SIZE, across, -1)
        shares[label] = np.matmul(narrow, columns.T).reshape(FRAME_SIZE, FRAME_SIZE)
    covering: NDArray[np.uint8] = shares.argmax(axis=0).astype(np.uint8)
    return covering


def _overlaps(cells: int, pixels: int) -> NDArray[np.float32]:
    """Return how much of each of some pixels lies in each of fewer cells of as much room in all, in whole parts."""
    cell, pixel = np.arange(cells)[:, None], np.arange(pixels)
    low, high = np.maximum(cell * pixels, pixel * cells), np.minimum((cell + 1) * pixels, (pixel + 1) * cells)
    overlaps: NDArray[np.float32] = np.maximum(high - low, 0).astype(np.float32)
    return overlaps


_ROWS = _overlaps(16, 21)
"""float32[16, 21]: 84 rows become 64, 21 after 21 the same way."""
_COLUMNS = np.kron(_overlaps(2, 3).T, np.eye(3, dtype=np.float32))
"""float32[9, 6]: 96 columns of 3 colours become 64, three after three the same way."""
_WEIGHT = 3 * 21
"""Parts that make a pixel."""
