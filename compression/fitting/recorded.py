"""What training needs of a recorded episode."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compression.errors import TrainingError
from compression.masks import BLOCKS, LATENTS


@dataclass(frozen=True)
class RecordedEpisode:
    """What training needs of one recorded episode of T steps."""

    latents: NDArray[np.float32]
    """float32[T, 32] of the original frames."""
    received: NDArray[np.float32]
    """float32[T, 32] that was shown."""
    actions: NDArray[np.int8]
    """int8[T] in {-1, 0, 1}."""
    masks: NDArray[np.bool_]
    """bool[T, 8] that was sent."""
    original: bool
    """Whether all features were shown (calibration, T = 1) or those of a random mask (exploration, T = 0)."""

    def __post_init__(self) -> None:
        steps = len(self.actions)
        shapes = self.latents.shape, self.received.shape, self.masks.shape
        if shapes != ((steps, LATENTS), (steps, LATENTS), (steps, BLOCKS)):
            raise TrainingError("an episode's latents, received latents, masks and actions do not belong together")
        if not (np.isfinite(self.latents).all() and np.isfinite(self.received).all()):
            raise TrainingError("an episode holds latents that are not finite")
        if not np.isin(self.actions, (-1, 0, 1)).all():
            raise TrainingError("an episode holds actions other than -1, 0 and 1")
