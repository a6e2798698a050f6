"""Splits of a limited number of pictures: which of them a seed may show, so that none is shown that was trained on.

Seeds are kept apart by what they are for (`racer.training.collect`, `racer.training.labelled`,
`racer.sitting.protocol`, `racer.rates.people`); pictures follow the seeds: latent models, coders and simulated people
learn from one part, pilots meet another, and a third is left to whoever is evaluated, to sweeps and to data cards.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Part = Literal["learnt", "piloted", "held-out"]
_LEARNT = range(1_000_000, 2_000_000), range(3_000_000, 4_000_000)
"""Latent models, simulated people and coders; what judges coders as they are trained, and agents."""
_PILOTED = range(500_000)
_SHARES = 0.45, 0.25
"""Shares of the first two parts, `learnt` and `piloted`."""


def part_of(seed: int) -> Part:
    """Return the part that the picture of a seed is taken from."""
    return "learnt" if any(seed in each for each in _LEARNT) else "piloted" if seed in _PILOTED else "held-out"


def part_of_share(share: float) -> Part:
    """Return the part of a picture that is drawn by lot: a share of all, in [0, 1)."""
    return "learnt" if share < _SHARES[0] else "piloted" if share < sum(_SHARES) else "held-out"


def split(count: int) -> dict[Part, NDArray[np.intp]]:
    """Return which of so many pictures belong to each part."""
    order = np.random.default_rng(count).permutation(count)
    first, second = (round(share * count) for share in (_SHARES[0], sum(_SHARES)))
    return {
        "learnt": np.sort(order[:first]),
        "piloted": np.sort(order[first:second]),
        "held-out": np.sort(order[second:]),
    }
