"""What training needs of a recorded episode."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from compression.errors import TrainingError
from compression.model.sizes import Sizes

if TYPE_CHECKING:
    from compression.model.latent_model import LatentModel

_TOGETHER = 256
"""Episodes whose histories are computed at a time."""


@dataclass(frozen=True)
class RecordedEpisode:
    """What training needs of one recorded episode of T steps."""

    latents: NDArray[np.float32]
    """float32[T, latents] of the original frames."""
    received: NDArray[np.float32]
    """float32[T, latents] that was shown."""
    actions: NDArray[np.integer]
    """int[T], indices of actions, as applied."""
    masks: NDArray[np.bool_]
    """bool[T, blocks] that was sent."""
    original: bool
    """Whether all features were shown (calibration, T = 1) or those of a random mask (exploration, T = 0)."""

    def __post_init__(self) -> None:
        steps = len(self.actions)
        if self.latents.shape != self.received.shape or {len(self.latents), len(self.masks)} != {steps}:
            raise TrainingError("an episode's latents, received latents, masks and actions do not belong together")
        if not (np.isfinite(self.latents).all() and np.isfinite(self.received).all()):
            raise TrainingError("an episode holds latents that are not finite")

    def split(self, starts: NDArray[np.integer]) -> list[RecordedEpisode]:
        """Return the pieces that begin at these steps, int[E], ascending from 0, such as trials that stand alone."""
        return [
            RecordedEpisode(
                self.latents[begin:end],
                self.received[begin:end],
                self.actions[begin:end],
                self.masks[begin:end],
                self.original,
            )
            for begin, end in pairwise([*starts.tolist(), len(self.actions)])
        ]


def with_steps(episodes: Iterable[RecordedEpisode], sizes: Sizes) -> list[RecordedEpisode]:
    """Return the episodes that have steps.

    Raises:
        TrainingError: If one was not recorded through a latent model of these sizes.
    """
    kept = [episode for episode in episodes if len(episode.actions)]
    for episode in kept:
        if episode.latents.shape[1:] != (sizes.latents,) or episode.masks.shape[1:] != (sizes.blocks,):
            raise TrainingError("an episode was recorded through a latent model of other sizes")
        if not 0 <= int(episode.actions.min()) <= int(episode.actions.max()) < sizes.actions:
            raise TrainingError(f"an episode holds actions other than 0 to {sizes.actions - 1}")
    return kept


def with_histories(
    latents: Sequence[NDArray[np.float32]], actions: Sequence[NDArray[np.integer]], model: LatentModel
) -> NDArray[np.float32]:
    """Return x = (h, z) of all steps of episodes, one after the other: float32[steps, hidden + latents].

    Args:
        latents: float32[T, latents] of each.
        actions: int[T] of each, taken on seeing them.
        model: Its world model's state h has seen all before the step.
    """
    found = []
    for start in range(0, len(latents), _TOGETHER):
        part = list(zip(latents[start : start + _TOGETHER], actions[start : start + _TOGETHER], strict=True))
        longest = max(len(did) for _, did in part)
        seen = np.zeros((len(part), longest, model.sizes.latents), np.float32)
        done = np.zeros((len(part), longest), np.int64)
        for row, (own, did) in enumerate(part):
            seen[row, : len(did)], done[row, : len(did)] = own, did
        states = model.histories(seen, done)  # what follows the end of an episode changes nothing before it
        found += [np.concatenate([state[: len(did)], own], 1) for state, (own, did) in zip(states, part, strict=True)]
    return np.concatenate(found)
