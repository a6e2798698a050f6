"""The simulated people of a sweep: who they are and from which seeds their episodes begin, from one seed alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FIRST_SEED, LAST_SEED = 1_000_000_000, 2_000_000_000
FIRST_SEALED, LAST_SEALED = LAST_SEED, 2_147_000_000
"""Seeds of a sweep's episodes lie in here, where neither those of sittings nor those of pretraining do; those of a
sealed set lie above, and nothing is trained on them."""
_FIRST_PERSON, _LAST_PERSON = 2**32, 2**63
"""Seeds of people: beyond all those that names stand for (`racer.drivers.registry.driver_seed`)."""


@dataclass(frozen=True)
class Person:
    """One simulated person."""

    seed: int
    """Seed of the traits."""
    seeds: tuple[int, ...]
    """Seed of the first trial of each episode, all different."""
    dice: tuple[int, ...]
    """A seed for each episode: of the person's chances, of random masks and of what happens to packets."""


def draw_person(seed: int, number: int, episodes: int, sealed: bool = False) -> Person:
    """Return a person of a sweep; the first episodes of a person do not depend on how many there are.

    Args:
        seed: Of the sweep.
        number: Of the person, from 0.
        episodes: Of this person.
        sealed: Whether they belong to a sealed set, and so to no other sweep.
    """
    who, where, dice = np.random.SeedSequence([seed, number, 1] if sealed else [seed, number]).spawn(3)
    first, last = (FIRST_SEALED, LAST_SEALED) if sealed else (FIRST_SEED, LAST_SEED)
    places = np.random.default_rng(where)
    found: dict[int, None] = {}
    while len(found) < episodes:
        found[int(places.integers(first, last))] = None
    return Person(
        seed=int(np.random.default_rng(who).integers(_FIRST_PERSON, _LAST_PERSON)),
        seeds=tuple(found),
        dice=tuple(int(die) for die in np.random.default_rng(dice).integers(_LAST_PERSON, size=episodes)),
    )
