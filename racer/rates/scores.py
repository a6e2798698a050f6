"""What a cell of a sweep came to."""

from __future__ import annotations

from dataclasses import dataclass

from racer.rates.grid import Cell


@dataclass(frozen=True)
class EpisodeScore:
    """One simulated person on one track."""

    track_seed: int
    steps: int
    progress: float
    """Road progress at the end, in [0, 1]."""
    off_road: float
    """Fraction of the steps off the road."""
    bits_mean: float
    """Bits charged per step, averaged over the steps."""
    bits_most: int
    """Bits charged in the most expensive step."""


@dataclass(frozen=True)
class CellScore:
    """One simulated person on all their tracks."""

    cell: Cell
    episodes: tuple[EpisodeScore, ...]
    """In the order of the person's tracks."""
