"""Where the road is in a frame, by colour: what matters of a frame to whoever drives."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GREEN_EXCESS = 50
"""A pixel is grass where green exceeds red and blue by more than this (CarRacing: grass: 102 or more)."""


def road_of(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which pixels are road, bool[..., R, C], of frames or parts of them, uint8[..., R, C, 3]."""
    pixels = frames.astype(np.int16)
    road: NDArray[np.bool_] = pixels[..., 1] - np.maximum(pixels[..., 0], pixels[..., 2]) < GREEN_EXCESS
    return road


def road_overlap(original: NDArray[np.uint8], shown: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the intersection over union of the road, float64[N], of frames, uint8[N, 64, 64, 3]; 1 without a road."""
    first, second = road_of(original), road_of(shown)
    both, either = (first & second).sum(axis=(1, 2)), (first | second).sum(axis=(1, 2))
    overlap: NDArray[np.float64] = np.where(either > 0, both / np.maximum(either, 1), 1.0)
    return overlap
