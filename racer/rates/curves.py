"""The statistics of a sweep: what the metrics come to and what that costs in bits, with intervals over the people.

An interval is a 95 % percentile bootstrap: people are drawn again with replacement, the same ones for all coders, so
that a ratio or a difference of two coders is one between the same people and the same trials.

Rates are of the task's primary metric, as its *merit*: how far it is above the least that it can be or, where less is
better, below the most. Where there is no such bound there are no shares of the merit on raw frames.

A share of raw flatters: who sees nothing gets somewhere too. So beside it stands the *normalised score*, (p - blind) /
(raw - blind): 0 for the same people with their eyes shut, 1 for the original frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from racer.drivers.registry import was_fitted_on
from racer.rates.driving import CellScore
from racer.rates.grid import BLIND, NO_NOISE, RAW, SLOTTED_NULLS, Grid, Noise, OperatingPoint, TaskSettings
from racer.rates.rate_difference import monotone, rate_difference, rising_curve
from racer.report.equivalence import MARGIN, Kept, kept
from racer.report.statistics import BOOTSTRAP_SEED, CONFIDENCE, RESAMPLES, Interval
from racer.tasks.task import Metric, TaskSpec

ANCHOR = "coarse"
"""The coder that the others' rates are compared with: it learns nothing of anybody, and its curve has every slot."""
SHARES = (0.95, 0.99)
"""Of the merit on raw frames that a coder is asked to keep."""
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
    """One operating point."""

    bits: int
    """The slot; 0 where it changes nothing."""
    soft: bool
    """Whether packets may exceed the slot."""
    participants: int
    episodes: int
    bits_mean: float
    """Bits charged per step."""
    bits_most: int
    """Bits charged in the most expensive step of all."""
    lost: float
    """Fraction of the steps whose packet was lost."""
    metrics: dict[str, Estimate]
    """Of each metric that is compared, by name."""
    of_raw: Estimate | None
    """Merit as a share of that on raw frames at this place; None where it has none, or nobody gets anywhere there."""
    normalised: Estimate | None
    """(p - blind) / (raw - blind); None where raw frames bring nobody further than none, or `blind` was not driven."""
    over: dict[str, Estimate]
    """Normalised score less that of a null row in the same slot, by null row; empty likewise, and without a slot."""
    kept: Kept | None
    """Whether the normalised score lies within the margin of 1; None likewise, and for a single person."""
    of_clean: Estimate | None
    """Merit as a share of the same coder's without noise; None likewise, and without noise."""
    agreement: Estimate | None
    """Share of the steps in which the original frame would have led to the same action; None where it was not asked."""


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


@dataclass(frozen=True)
class Curve:
    """All slots of one coder at one place under one noise."""

    place: str
    """Settings of the task that were named, and the driver."""
    settings: TaskSettings
    driver: str
    noise: Noise
    coder: str
    points: tuple[Point, ...]
    """By bits, ascending."""
    least_bits: tuple[LeastBits, ...]
    """For each of SHARES of the merit on raw frames; empty for `raw`, `full` and where nothing is sent."""
    least_bits_normalised: tuple[LeastBits, ...]
    """For each of SHARES of the normalised score; empty likewise."""
    difference: Difference | None
    """None for the same, for the anchor itself, and where the anchor was not driven."""
    fitted_on: tuple[str, ...] | None = ()
    """Families, or drivers of one's own, whose driving the coder was fitted to; None where its file does not say."""

    @property
    def flat(self) -> bool:
        """Whether the slot changes nothing, and nothing exceeds it: a line to compare with."""
        return not self.least_bits

    @property
    def held_out(self) -> bool | None:
        """Whether whoever drives here is none whom the coder was fitted on; None where nobody knows."""
        return None if self.fitted_on is None else not was_fitted_on(self.driver, self.fitted_on)


@dataclass(frozen=True)
class WorstFamily:
    """A coder at one slot with the drivers that it serves least."""

    settings: TaskSettings
    noise: Noise
    coder: str
    bits: int
    families: int
    """Drivers that were compared: those whose family the coder was not fitted on, or all where there are no others."""
    driver: str
    """The one with the lowest normalised score."""
    held_out: bool | None
    """Whether the coder was fitted on none of those compared; None where nobody knows."""
    normalised: Estimate
    """Of that driver; its interval knows nothing of having been chosen as the lowest."""
    kept: Kept | None
    """Whether that lies within the margin of 1; None for a single person."""


@dataclass(frozen=True)
class _Means:
    """The means of one operating point for each person, float64[participants]."""

    merit: Table
    metrics: dict[str, Table]
    agreement: Table | None
    bits_mean: float
    bits_most: int
    lost: float
    episodes: int


def fit_curves(
    scores: Iterable[CellScore],
    grid: Grid,
    spec: TaskSpec,
    fitted_on: Mapping[str, tuple[str, ...]] | None = None,
    margin: float = MARGIN,
) -> tuple[Curve, ...]:
    """Return the curves of a finished sweep, by settings of the task, driver, noise and coder.

    Args:
        scores: Of every cell of the grid, in any order.
        grid: What was driven.
        spec: Of the task.
        fitted_on: Families, or drivers of one's own, whose driving a coder was fitted to, by coder that was fitted;
            none where its file does not say.
        margin: Share of the normalised score on raw frames that may be lost where a coder is said to keep it.
    """
    fitted = {coder: families or None for coder, families in (fitted_on or {}).items()}
    means = _by_point(scores, spec)
    bounded = math.isfinite(_worst(spec.primary))
    people = max((cell.participant for cell in grid.cells), default=-1) + 1
    drawn = _drawn(people, RESAMPLES)
    # A single person cannot be drawn again.
    few = _drawn(people, DIFFERENCE_RESAMPLES if people > 1 else 0)
    groups: dict[tuple[TaskSettings, str, Noise, str], list[OperatingPoint]] = {}
    for point in sorted(means, key=lambda point: means[point].bits_mean):
        groups.setdefault(_curve_of(point), []).append(point)
    curves = []
    # In the order of the grid: without noise first, `raw` and `full` before the coders.
    for key in dict.fromkeys(_curve_of(cell.point) for cell in grid.cells):
        settings, driver, noise, coder = key
        own = groups[key]
        scale = _Scale.of(settings, driver, means, bounded, margin)
        flat = own[0].bits == 0 and coder not in grid.soft
        anchor = groups.get((settings, driver, noise, ANCHOR))
        compared = not flat and coder != ANCHOR and anchor is not None
        curves.append(
            Curve(
                own[0].place,
                settings,
                driver,
                noise,
                coder,
                tuple(_point(point, means, scale, drawn, coder in grid.soft) for point in own),
                () if flat else _least_bits([means[point] for point in own], scale.bottom, scale.raw, few),
                () if flat else _least_bits([means[point] for point in own], scale.blind, scale.top, few),
                _difference([means[point] for point in anchor or ()], [means[point] for point in own], few)
                if compared
                else None,
                fitted.get(coder, ()),
            )
        )
    return tuple(curves)


def worst_families(curves: Iterable[Curve]) -> tuple[WorstFamily, ...]:
    """Return each coder at each slot with the driver of the lowest normalised score, where several drove.

    Drivers whom the coder was fitted on, or may have been, count only where there are no others.
    """
    found: dict[tuple[TaskSettings, Noise, str, int], list[tuple[Curve, Point, Estimate]]] = {}
    for curve in curves:
        for point in curve.points:
            if point.normalised is not None and curve.coder != RAW:
                place = curve.settings, curve.noise, curve.coder, point.bits
                found.setdefault(place, []).append((curve, point, point.normalised))
    worst = []
    for (settings, noise, coder, bits), every in found.items():
        if len(every) < 2:
            continue
        fair = [each for each in every if each[0].held_out] or every
        curve, point, score = min(fair, key=lambda each: each[2].value)
        worst.append(
            WorstFamily(settings, noise, coder, bits, len(fair), curve.driver, curve.held_out, score, point.kept)
        )
    return tuple(worst)


@dataclass(frozen=True)
class _Scale:
    """What scores of one driver in one place are counted from and up to, float64[participants] each."""

    bottom: Table | None
    """The least merit that there can be: zeros; None where it has no bound."""
    raw: Table | None
    """Merit on raw frames; None likewise."""
    blind: Table | None
    """Merit of the blind; None where raw frames bring nobody further, or it was not driven."""
    top: Table | None
    """Merit on raw frames; None likewise."""
    margin: float

    @classmethod
    def of(
        cls,
        settings: TaskSettings,
        driver: str,
        means: Mapping[OperatingPoint, _Means],
        bounded: bool,
        margin: float,
    ) -> _Scale:
        raw = means[OperatingPoint(settings, driver, NO_NOISE, RAW, 0)].merit
        found = means.get(OperatingPoint(settings, driver, NO_NOISE, BLIND, 0))
        blind = found.merit if found is not None and raw.mean() > found.merit.mean() else None
        return cls(
            np.zeros_like(raw) if bounded else None,
            raw if bounded else None,
            blind,
            None if blind is None else raw,
            margin,
        )

    def normalised(self, merit: Table, drawn: Table) -> tuple[Estimate | None, Kept | None]:
        """Return (merit - blind) / (raw - blind), and whether it lies within the margin of 1."""
        if self.blind is None or self.top is None:
            return None, None
        gained, gap = merit - self.blind, self.top - self.blind
        return _ratio(gained, gap, drawn), kept(gained, gap, self.margin) if len(merit) > 1 else None

    def over_nulls(
        self, point: OperatingPoint, means: Mapping[OperatingPoint, _Means], drawn: Table
    ) -> dict[str, Estimate]:
        """Return by how much of the way from blind to raw a point lies above each null row in its slot."""
        found = {}
        for name in SLOTTED_NULLS:
            null = means.get(replace(point, coder=name))
            if point.bits and null is not None and name != point.coder and self.blind is not None:
                assert self.top is not None
                above = _ratio(means[point].merit - null.merit, self.top - self.blind, drawn)
                if above is not None:
                    found[name] = above
        return found


def _curve_of(point: OperatingPoint) -> tuple[TaskSettings, str, Noise, str]:
    return point.settings, point.driver, point.noise, point.coder


def _worst(metric: Metric) -> float:
    """Return the worst that a metric can be; infinite where it has no bound."""
    return metric.bounds[metric.better == "lower"]


def _merit(metric: Metric, values: Table) -> Table:
    """Return how good values of a metric are: the more the better."""
    worst = _worst(metric)
    worst = worst if math.isfinite(worst) else 0.0
    return values - worst if metric.better == "higher" else worst - values


def _by_point(scores: Iterable[CellScore], spec: TaskSpec) -> dict[OperatingPoint, _Means]:
    grouped: dict[OperatingPoint, list[CellScore]] = {}
    for score in sorted(scores, key=lambda score: score.cell.order):
        grouped.setdefault(score.cell.point, []).append(score)
    return {point: _means(group, spec) for point, group in grouped.items()}


def _means(group: Sequence[CellScore], spec: TaskSpec) -> _Means:
    every = [episode for score in group for episode in score.episodes]
    steps = np.array([episode.steps for episode in every])

    def per_step(values: list[float]) -> float:
        return float(steps @ np.array(values) / steps.sum())

    metrics = {
        metric.name: np.array(
            [np.mean([episode.metrics[metric.name] for episode in score.episodes]) for score in group]
        )
        for metric in spec.compared
    }
    agreed = [[episode.agreement for episode in score.episodes] for score in group]
    asked = all(agreement is not None for own in agreed for agreement in own)
    return _Means(
        agreement=np.array([np.mean(np.array(own, float)) for own in agreed]) if asked else None,
        merit=_merit(spec.primary, metrics[spec.primary.name]),
        metrics=metrics,
        bits_mean=per_step([episode.bits_mean for episode in every]),
        bits_most=max(episode.bits_most for episode in every),
        lost=per_step([episode.lost for episode in every]),
        episodes=len(every),
    )


def _drawn(people: int, resamples: int) -> Table:
    """Return how much each person weighs in each resample, float64[resamples, people], rows summing to 1."""
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    return rng.multinomial(people, np.full(people, 1 / people), resamples) / people


def _point(
    point: OperatingPoint, means: dict[OperatingPoint, _Means], scale: _Scale, drawn: Table, soft: bool
) -> Point:
    own, clean = means[point], None
    normalised, within = scale.normalised(own.merit, drawn)
    if scale.raw is not None and point.noise != NO_NOISE:
        clean = means.get(OperatingPoint(point.settings, point.driver, NO_NOISE, point.coder, point.bits))
    return Point(
        bits=point.bits,
        soft=soft,
        participants=len(own.merit),
        episodes=own.episodes,
        bits_mean=own.bits_mean,
        bits_most=own.bits_most,
        lost=own.lost,
        metrics={name: _mean(values, drawn) for name, values in own.metrics.items()},
        of_raw=None if scale.raw is None else _ratio(own.merit, scale.raw, drawn),
        normalised=normalised,
        over=scale.over_nulls(point, means, drawn),
        kept=within,
        of_clean=None if clean is None else _ratio(own.merit, clean.merit, drawn),
        agreement=None if own.agreement is None else _mean(own.agreement, drawn),
    )


def _mean(values: Table, drawn: Table) -> Estimate:
    return Estimate(float(values.mean()), _interval(drawn @ values) if len(values) > 1 else None)


def _ratio(values: Table, reference: Table, drawn: Table) -> Estimate | None:
    """Return the ratio of two means; None where the one to divide by is zero.

    Without an interval where people can be drawn with whom it is not above zero.
    """
    if reference.mean() == 0:
        return None
    below = drawn @ reference
    interval = _interval(drawn @ values / below) if len(values) > 1 and (below > 0).all() else None
    return Estimate(float(values.mean() / reference.mean()), interval)


def _interval(found: Table) -> Interval:
    low, high = np.percentile(found, [100 * _TAIL, 100 * (1 - _TAIL)])
    return Interval(float(low), float(high))


def _least_bits(own: Sequence[_Means], bottom: Table | None, top: Table | None, drawn: Table) -> tuple[LeastBits, ...]:
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
    return LeastBits(share, bits, _finite(found[int(_TAIL * len(found))]), _finite(found[-1 - int(_TAIL * len(found))]))


def _fitted(own: Sequence[_Means], drawn: Table) -> tuple[Table, Table, Table]:
    """Return the rates, float64[slots], and rising merits, float64[slots] and float64[resamples, slots]."""
    rates = np.array([means.bits_mean for means in own])
    merit = np.stack([means.merit for means in own], axis=1)
    return rates, monotone(merit.mean(axis=0)), monotone(drawn @ merit)


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
