"""Quantiser levels for every feature, bought with the bits of a slot."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from compression.model.quantizer import MOST_LEVELS


def allocate(losses: NDArray[np.float64], bits: int) -> tuple[int, ...]:
    """Return the levels of each feature: reverse water-filling in whole levels.

    From one level each, whatever saves most loss for each bit spent is bought, until nothing fits any more. A step may
    be of several levels, as one alone may be worth nothing.

    Args:
        losses: float64[features, 64]: the loss that a feature leaves at 1 to 64 levels.
        bits: Bits in all; the product of the levels is at most 2**bits.
    """
    count = len(losses)
    levels, product, capacity = [1] * count, 1, 1 << bits
    wide = np.log2(np.arange(1, MOST_LEVELS + 1))
    slopes = [_slopes(losses[feature], 1, wide) for feature in range(count)]
    open_ = set(range(count))
    while open_:
        rest = capacity // product
        best, target = 0.0, None
        for feature in sorted(open_):
            # What fits: the product of the others times the new levels may not exceed the capacity.
            most = min(capacity // (product // levels[feature]), MOST_LEVELS)
            reachable = slopes[feature][levels[feature] : most]
            if rest < 1 or len(reachable) == 0 or float(reachable.max()) <= 0:
                open_.discard(feature)
                continue
            step = int(np.argmax(reachable))
            if float(reachable[step]) > best:
                best, target = float(reachable[step]), (feature, levels[feature] + step + 1)
        if target is None:
            break
        feature, new = target
        product = product // levels[feature] * new
        levels[feature] = new
        slopes[feature] = _slopes(losses[feature], new, wide)
    assert prod(levels) <= capacity
    return tuple(levels)


def _slopes(losses: NDArray[np.float64], levels: int, wide: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the loss saved for each bit, float64[64], by going from `levels` to 1 to 64 levels; 0 where not more."""
    slopes = np.zeros(MOST_LEVELS)
    slopes[levels:] = (losses[levels - 1] - losses[levels:]) / (wide[levels:] - wide[levels - 1])
    return slopes


def gaussian_losses(variances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the squared errors, float64[features, 64], that Lloyd-Max tables leave of normal features.

    2.73 / (n + 0.853)**2 of the variance lies within a few hundredths of Max's table (1960) from 2 levels on.
    """
    left = 2.73 / (np.arange(1, MOST_LEVELS + 1) + 0.853) ** 2
    left[0] = 1.0
    losses: NDArray[np.float64] = variances[:, None] * left
    return losses
