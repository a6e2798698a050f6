"""The statistics of a sweep: progress, off-road time and what they cost in bits, with intervals over the people.

An interval is a 95 % percentile bootstrap: people are drawn again with replacement, the same ones for all coders, so
that a ratio or a difference of two coders is one between the same people on the same tracks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from racer.rates.grid import FULL, NO_NOISE, RAW, Grid, Noise, Way
from racer.rates.rate_difference import monotone, rate_difference, rising_curve
from racer.rates.scores import CellScore
from racer.report.statistics import BOOTSTRAP_SEED, CONFIDENCE, RESAMPLES, Interval

ANCHOR = "random"
"""The coder that the others' rates are compared with."""
SHARES = (0.95, 0.99)
"""Of the progress on raw frames that a coder is asked to keep."""
DIFFERENCE_RESAMPLES = 1000
"""Fewer than for means, since curves are fitted to each."""
_LEAST_DEFINED = 0.95
"""Share of the resamples in which two curves must overlap for their rate difference to have an interval."""
_TAIL = (1 - CONFIDENCE) / 2

Table = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean over people."""

    value: float
    interval: Interval | None
    """None for a single person."""


@dataclass(frozen=True)
class Point:
    """One way to drive."""

    way: Way
    soft: bool
    """Whether packets may exceed the slot."""
    participants: int
    episodes: int
    bits_mean: float
    """Bits charged per step."""
    bits_most: int
    """Bits charged in the most expensive step of all."""
    progress: Estimate
    off_road: Estimate
    of_raw: Estimate | None
    """Progress as a share of that on raw frames at this speed; None where nobody gets anywhere on raw frames."""
    of_clean: Estimate | None
    """Progress as a share of the same coder's without noise; None without noise."""


@dataclass(frozen=True)
class LeastBits:
    """The fewest bits that keep a share of the progress on raw frames, by the rising curve fitted to it."""

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
    """More bits needed for the same progress; negative means fewer."""
    interval: Interval | None
    overlap: float
    """Share of the progress reached by either that is reached by both."""
    reason: str
    """Why there is no percentage or no interval."""


@dataclass(frozen=True)
class Curve:
    """All slots of one coder at one speed under one noise."""

    speed: float
    noise: Noise
    coder: str
    points: tuple[Point, ...]
    """By bits, ascending."""
    least_bits: tuple[LeastBits, ...]
    """For each of SHARES; empty for `raw` and `full`."""
    difference: Difference | None
    """None for `raw`, `full` and the anchor itself, and where the anchor was not driven."""


@dataclass(frozen=True)
class _Means:
    """The means of one way for each person, float64[participants]."""

    progress: Table
    off_road: Table
    bits_mean: float
    bits_most: int
    episodes: int


def fit_curves(scores: Iterable[CellScore], grid: Grid) -> tuple[Curve, ...]:
    """Return the curves of a finished sweep, by speed, noise and coder.

    Args:
        scores: Of every cell of the grid, in any order.
        grid: What was driven.
    """
    means = _by_way(scores)
    people = max((cell.participant for cell in grid.cells), default=-1) + 1
    drawn = _drawn(people, RESAMPLES)
    # A single person cannot be drawn again.
    few = _drawn(people, DIFFERENCE_RESAMPLES if people > 1 else 0)
    groups: dict[tuple[float, Noise, str], list[Way]] = {}
    for way in sorted(means, key=lambda way: means[way].bits_mean):
        groups.setdefault((way.speed, way.noise, way.coder), []).append(way)
    curves = []
    # In the order of the grid: without noise first, `raw` and `full` before the coders.
    for key in dict.fromkeys((cell.way.speed, cell.way.noise, cell.way.coder) for cell in grid.cells):
        (speed, noise, coder), ways = key, groups[key]
        raw = means[Way(speed, NO_NOISE, RAW, 0)].progress
        own = [means[way] for way in ways]
        points = tuple(_point(way, means, raw, drawn, coder in grid.soft) for way in ways)
        anchor = groups.get((speed, noise, ANCHOR))
        compared = coder not in (RAW, FULL, ANCHOR) and anchor is not None
        curves.append(
            Curve(
                speed,
                noise,
                coder,
                points,
                () if coder in (RAW, FULL) else _least_bits(own, raw, few),
                _difference([means[way] for way in anchor or ()], own, few) if compared else None,
            )
        )
    return tuple(curves)


def _by_way(scores: Iterable[CellScore]) -> dict[Way, _Means]:
    grouped: dict[Way, list[CellScore]] = {}
    for score in sorted(scores, key=lambda score: score.cell.order):
        grouped.setdefault(score.cell.way, []).append(score)
    return {way: _means(group) for way, group in grouped.items()}


def _means(group: Sequence[CellScore]) -> _Means:
    steps = np.array([episode.steps for score in group for episode in score.episodes])
    bits = np.array([episode.bits_mean for score in group for episode in score.episodes])
    return _Means(
        progress=np.array([np.mean([episode.progress for episode in score.episodes]) for score in group]),
        off_road=np.array([np.mean([episode.off_road for episode in score.episodes]) for score in group]),
        bits_mean=float(steps @ bits / steps.sum()),
        bits_most=max(episode.bits_most for score in group for episode in score.episodes),
        episodes=len(steps),
    )


def _drawn(people: int, resamples: int) -> Table:
    """Return how much each person weighs in each resample, float64[resamples, people], rows summing to 1."""
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    return rng.multinomial(people, np.full(people, 1 / people), resamples) / people


def _point(way: Way, means: dict[Way, _Means], raw: Table, drawn: Table, soft: bool) -> Point:
    own = means[way]
    clean = means.get(Way(way.speed, NO_NOISE, way.coder, way.bits)) if way.noise != NO_NOISE else None
    return Point(
        way=way,
        soft=soft,
        participants=len(own.progress),
        episodes=own.episodes,
        bits_mean=own.bits_mean,
        bits_most=own.bits_most,
        progress=_mean(own.progress, drawn),
        off_road=_mean(own.off_road, drawn),
        of_raw=_ratio(own.progress, raw, drawn),
        of_clean=None if clean is None else _ratio(own.progress, clean.progress, drawn),
    )


def _mean(values: Table, drawn: Table) -> Estimate:
    return Estimate(float(values.mean()), _interval(drawn @ values) if len(values) > 1 else None)


def _ratio(values: Table, reference: Table, drawn: Table) -> Estimate | None:
    """Return the ratio of two means; None where the one to divide by is zero."""
    if reference.mean() == 0:
        return None
    below = drawn @ reference
    interval = _interval(drawn @ values / below) if len(values) > 1 and below.all() else None
    return Estimate(float(values.mean() / reference.mean()), interval)


def _interval(found: Table) -> Interval:
    low, high = np.percentile(found, [100 * _TAIL, 100 * (1 - _TAIL)])
    return Interval(float(low), float(high))


def _least_bits(own: Sequence[_Means], raw: Table, drawn: Table) -> tuple[LeastBits, ...]:
    rates, mean, resampled = _fitted(own, drawn)
    return tuple(
        _least_bits_of(share, rates, mean >= share * raw.mean(), resampled >= share * (drawn @ raw)[:, None])
        for share in SHARES
    )


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
    return LeastBits(share, bits, _finite(found[int(_TAIL * len(found))]), _finite(found[-1 - int(_TAIL * len(found))]))


def _fitted(own: Sequence[_Means], drawn: Table) -> tuple[Table, Table, Table]:
    """Return the rates, float64[slots], and rising progress, float64[slots] and float64[resamples, slots]."""
    rates = np.array([means.bits_mean for means in own])
    progress = np.stack([means.progress for means in own], axis=1)
    return rates, monotone(progress.mean(axis=0)), monotone(drawn @ progress)


def _finite(bits: float) -> float | None:
    return float(bits) if np.isfinite(bits) else None


def _difference(anchor: Sequence[_Means], own: Sequence[_Means], drawn: Table) -> Difference:
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
    return Difference(found.percent, _interval(defined), found.overlap, "")
