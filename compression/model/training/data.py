"""What a latent model is trained on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from compression.errors import TrainingError
from compression.model.sizes import MOST_ACTIONS

_HASHED = 1000
"""Frames that tell one set of data from another."""


def _none() -> NDArray[np.integer]:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class Split:
    """Frames, and what was done on seeing them."""

    frames: NDArray[np.uint8]
    """uint8[N, H, W, C]; may be mapped from a file."""
    actions: NDArray[np.integer] = field(default_factory=_none)
    """int[N], indices of actions, taken on seeing the frames; empty for pictures that do not follow one another."""
    starts: NDArray[np.integer] = field(default_factory=_none)
    """int[E + 1], ascending from 0 to N: trial i is frames starts[i] to starts[i + 1] - 1; empty for such pictures."""

    @property
    def lengths(self) -> NDArray[np.integer]:
        """Frames of each trial, int[E]."""
        return np.diff(self.starts)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a latent model is trained on, and what it is measured on. Malformed data raise TrainingError."""

    train: Split
    held_out: Split
    """Frames of other trials than those in `train`."""
    task: str
    """Name of the task, for the record; empty for pictures of no task."""
    actions: int = 2
    """Actions of the task."""
    sequential: bool = True
    """Whether frames follow one another: False for pictures, of which no world model is made."""
    participants: tuple[str, ...] = ()
    """Who did the task; they must not evaluate what is fitted to it."""
    seeds: tuple[int, ...] = ()
    """Seeds of the trials that were trained on."""
    drivers: tuple[str, ...] = ()
    """Families of simulated people whose driving it is; empty where nobody knows."""
    source: str = ""
    """Where the frames come from, in a few words, for the card."""

    def __post_init__(self) -> None:
        if not 2 <= self.actions <= MOST_ACTIONS:
            raise TrainingError(f"a task must have 2 to {MOST_ACTIONS} actions; got {self.actions}")
        for name, split in (("training", self.train), ("held-out", self.held_out)):
            frames = split.frames
            if frames.ndim != 4 or frames.dtype != np.uint8 or frames.shape[1:] != self.train.frames.shape[1:]:
                raise TrainingError(f"{name} frames must be uint8[N, H, W, C], all of one size")
            if len(frames) < 2:
                raise TrainingError(f"there must be 2 {name} frames or more; got {len(frames)}")
            if self.sequential:
                self._check_trials(name, split)

    def _check_trials(self, name: str, split: Split) -> None:
        count, starts = len(split.frames), split.starts
        if len(split.actions) != count or not 0 <= split.actions.min() <= split.actions.max() < self.actions:
            raise TrainingError(f"every {name} frame must have an action, 0 to {self.actions - 1}")
        if len(starts) < 2 or starts[0] != 0 or starts[-1] != count or (split.lengths < 1).any():
            raise TrainingError(f"starts of {name} trials must ascend from 0 to the number of frames")
        if split.lengths.max() < 2:
            raise TrainingError(f"no {name} trial has 2 frames or more, so nothing can be learnt from what follows")

    @property
    def frame(self) -> tuple[int, int, int]:
        """Height, width and channels of the frames."""
        height, width, channels = self.train.frames.shape[1:]
        return height, width, channels

    def fingerprint(self) -> str:
        """Return a hash by which other data are told from these; of the frames, some are looked at."""
        digest = hashlib.sha256(repr((self.task, self.actions, self.sequential)).encode())
        for split in (self.train, self.held_out):
            frames = split.frames[:: max(1, len(split.frames) // _HASHED)]
            digest.update(repr((split.frames.shape, split.actions.shape, split.starts.shape)).encode())
            for array in (frames, split.actions.astype(np.int64), split.starts.astype(np.int64)):
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()
