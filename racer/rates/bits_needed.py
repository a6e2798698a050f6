"""How many bits a coder needs: the fewest that keep a share of the merit, and how many more or fewer than the
anchor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from racer.rates.means import Means
from racer.rates.rate_difference import monotone, rate_difference, rising_curve
from racer.rates.resampling import TAIL, Table, interval_of
from racer.report.statistics import Interval

SHARES = (0.95, 0.99)
"""Shares of the merit on raw frames that a coder is asked to keep."""
_LEAST_DEFINED = 0.95
"""Share of the resamples in which two curves must overlap for their rate difference to have an interval."""


@dataclass(frozen=True)
class LeastBits:
    """The fewest bits that keep a share of the merit on raw frames, by the rising curve fitted to it."""

    share: float
    bits: float | None
    """Bits charged per step; None if no slot of the sweep suffices."""
    low: float | None
    """Lower end of the interval; None likewise, or for a single person."""
    high: float | None
    """Upper end of the interval; None if it lies beyond the sweep, or for a single person."""


@dataclass(frozen=True)
class Difference:
    """Bjontegaard's rate difference to the anchor."""

    percent: float | None
    """More bits needed for the same merit; negative means fewer."""
    interval: Interval | None
    overlap: float
    """Share of the merit reached by either that is reached by both."""
    reason: str
    """Why there is no percentage or no interval."""


def least_bits(own: Sequence[Means], bottom: Table | None, top: Table | None, drawn: Table) -> tuple[LeastBits, ...]:
    """Return the least bits that lead so far on the way from one merit to another, float64[participants] each."""
    if bottom is None or top is None:
        return tuple(LeastBits(share, None, None, None) for share in SHARES)
    rates, mean, resampled = _fitted(own, drawn)
    found = []
    for share in SHARES:
        needed = bottom + share * (top - bottom)
        found.append(_least_bits_of(share, rates, mean >= needed.mean(), resampled >= (drawn @ needed)[:, None]))
    return tuple(found)


def _least_bits_of(
    share: float, rates: Table, sufficient: NDArray[np.bool_], resampled: NDArray[np.bool_]
) -> LeastBits:
    """Return the least bits from which slots suffice: bool[slots] of the people, bool[resamples, slots] of resamples.

    Ends of the interval are slots that were driven, or none: nothing is interpolated.
    """
    found = np.sort(np.where(resampled.any(axis=1), rates[resampled.argmax(axis=1)], np.inf))
    bits = _finite(rates[sufficient.argmax()]) if sufficient.any() else None
    if len(found) == 0:
        return LeastBits(share, bits, None, None)
    return LeastBits(share, bits, _finite(found[int(TAIL * len(found))]), _finite(found[-1 - int(TAIL * len(found))]))


def _fitted(own: Sequence[Means], drawn: Table) -> tuple[Table, Table, Table]:
    """Return the rates, float64[slots], and rising merits, float64[slots] and float64[resamples, slots]."""
    rates = np.array([means.bits_mean for means in own])
    merit = np.stack([means.merit for means in own], axis=1)
    return rates, monotone(merit.mean(axis=0)), monotone(drawn @ merit)


def _finite(bits: float) -> float | None:
    return float(bits) if np.isfinite(bits) else None


def difference(anchor: Sequence[Means], own: Sequence[Means], drawn: Table) -> Difference:
    anchor_rates, anchor_mean, anchor_resampled = _fitted(anchor, drawn)
    rates, mean, resampled = _fitted(own, drawn)
    found = rate_difference(rising_curve(anchor_rates, anchor_mean), rising_curve(rates, mean))
    if found.percent is None or len(drawn) == 0:
        return Difference(found.percent, None, found.overlap, found.reason)
    every = [
        rate_difference(rising_curve(anchor_rates, its_anchor), rising_curve(rates, its_own)).percent
        for its_anchor, its_own in zip(anchor_resampled, resampled, strict=True)
    ]
    defined = np.array([percent for percent in every if percent is not None])
    if len(defined) < _LEAST_DEFINED * len(every):
        reason = f"no interval: the curves overlap in {100 * len(defined) / len(every):.0f} % of the resamples only"
        return Difference(found.percent, None, found.overlap, reason)
    return Difference(found.percent, interval_of(defined), found.overlap, "")
