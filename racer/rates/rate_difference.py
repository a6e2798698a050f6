"""How many bits more or less a coder needs for the same merit than another (Bjontegaard, VCEG-M33, 2001).

Merit (see `racer.rates.curves`) measured on few people is noisy, and the difference is defined for curves that rise. So
a rising curve is fitted to each first (least squares under that order), and of a plateau only its cheapest point
stands: the rate at which a merit is reached is the least one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from racer.analysis import analysis

Values = NDArray[np.float64]
Curve = tuple[Values, Values]
"""(Bits per step, merit), float64[K] each, both rising strictly; K of 1 or more."""
METHOD = "pchip"
"""Interpolation of log rate over merit: it keeps to the order of the points, where a cubic swings."""
LEAST_OVERLAP = 0.5
"""Share of the merit reached by either curve that both must reach."""
_LEAST_RISE = 1e-9
"""Merit that rises by less than this has not risen."""


@dataclass(frozen=True)
class RateDifference:
    """Bits of one coder against those of another, for the same merit."""

    percent: float | None
    """More bits needed, in percent of the other's; negative means fewer."""
    overlap: float
    """Share of the merit reached by either that is reached by both, in [0, 1]."""
    reason: str = ""
    """Why there is no percentage."""


def monotone(values: Values) -> Values:
    """Return the rising sequences nearest to `values`, float64[..., K], in least squares.

    By the max-min formula of isotonic regression (Barlow et al., 1972, chapter 1), all sequences at once: each number
    becomes the largest, over beginnings at or before it, of the smallest mean up to an end at or after it.
    """
    count = values.shape[-1]
    sums = np.concatenate([np.zeros_like(values[..., :1]), np.cumsum(values, axis=-1)], axis=-1)
    fitted = np.full_like(values, -np.inf)
    for begin in range(count):
        means = (sums[..., begin + 1 :] - sums[..., begin : begin + 1]) / np.arange(1, count - begin + 1)
        smallest = np.minimum.accumulate(means[..., ::-1], axis=-1)[..., ::-1]
        np.maximum(fitted[..., begin:], smallest, out=fitted[..., begin:])
    return fitted


def rising_curve(rates: Values, fitted: Values) -> Curve:
    """Return a curve of the points that are the cheapest of their merit.

    Args:
        rates: float64[N], bits per step, ascending.
        fitted: float64[N], merit, `monotone`.
    """
    kept = [0]
    for i in range(1, len(fitted)):
        if fitted[i] - fitted[kept[-1]] > _LEAST_RISE:
            kept.append(i)
    return rates[kept], fitted[kept]


def rate_difference(anchor: Curve, test: Curve) -> RateDifference:
    """Return how many percent more bits the tested coder needs than the one it is compared with.

    There is none where the curves share less than half of what they reach, or all that they share lies between two
    neighbouring points of either: it would tell of the shape that is put between them.
    """
    (low, high), (test_low, test_high) = anchor[1][[0, -1]], test[1][[0, -1]]
    shared = min(high, test_high) - max(low, test_low)
    everything = max(high, test_high) - min(low, test_low)
    overlap = float(max(shared, 0.0) / everything) if everything > 0 else 0.0
    if len(anchor[0]) < 2:
        return RateDifference(None, overlap, "more bits bring the coder compared with no further")
    if len(test[0]) < 2:
        return RateDifference(None, overlap, "more bits bring the coder no further, so it has no curve")
    if shared <= _LEAST_RISE:
        better = "the fewest bits already bring it further than the other ever comes"
        worse = "even the most bits bring it less far than the other's fewest"
        return RateDifference(None, overlap, better if test_low > low else worse)
    if min(anchor[0][0], test[0][0]) <= 0:
        return RateDifference(None, overlap, "a rate of 0 bits has no logarithm")
    if overlap < LEAST_OVERLAP:
        return RateDifference(None, overlap, "the curves share less than half of what they reach")
    if any(_segments(merits, max(low, test_low), min(high, test_high)) < 2 for _, merits in (anchor, test)):
        return RateDifference(None, overlap, "all that the curves share lies between two points of one of them")
    bd_rate = analysis("bjontegaard").bd_rate

    percent = float(bd_rate(*anchor, *test, method=METHOD, require_matching_points=False, min_overlap=0))
    if not math.isfinite(percent):
        return RateDifference(None, overlap, "the curves share too little")
    return RateDifference(percent, overlap)


def _segments(merits: Values, low: float, high: float) -> int:
    """Return how many pieces between neighbouring points of a curve some merit from `low` to `high` lies in."""
    return int(((merits[:-1] < high - _LEAST_RISE) & (merits[1:] > low + _LEAST_RISE)).sum())
