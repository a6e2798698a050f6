"""The simulated people of a sweep: who they are and which tracks they drive, from the seed alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FIRST_TRACK, LAST_TRACK = 1_000_000_000, 2_000_000_000
"""Track seeds of sweeps lie in here, where neither those of sessions nor those of pretraining do."""
_FIRST_PERSON, _LAST_PERSON = 2**32, 2**63
"""Seeds of people: beyond all those that names stand for (`racer.drivers.registry.driver_seed`)."""


@dataclass(frozen=True)
class Person:
    """One simulated person."""

    seed: int
    """Fixes the traits."""
    tracks: tuple[int, ...]
    """Track seeds, each different."""
    episodes: tuple[int, ...]
    """A seed for each track: of the person's noise, of random masks and of what happens to packets."""


def draw_person(seed: int, number: int, tracks: int) -> Person:
    """Return a person of a sweep; the first tracks of a person do not depend on how many there are.

    Args:
        seed: Of the sweep.
        number: Of the person, from 0.
        tracks: How many to drive.
    """
    who, where, dice = np.random.SeedSequence([seed, number]).spawn(3)
    roads = np.random.default_rng(where)
    driven: dict[int, None] = {}
    while len(driven) < tracks:
        driven[int(roads.integers(FIRST_TRACK, LAST_TRACK))] = None
    return Person(
        seed=int(np.random.default_rng(who).integers(_FIRST_PERSON, _LAST_PERSON)),
        tracks=tuple(driven),
        episodes=tuple(int(die) for die in np.random.default_rng(dice).integers(_LAST_PERSON, size=tracks)),
    )
