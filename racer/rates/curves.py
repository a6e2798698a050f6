"""The statistics of a sweep: each metric and its cost in bits, with intervals over the people.

An interval is a 95 % percentile bootstrap: people are drawn again with replacement, the same ones for all coders, so
that a ratio or a difference of two coders is one between the same people and the same trials.

Rates are of the task's primary metric, as its *merit*: how far it is above the least that it can be or, where less is
better, below the most. Where there is no such bound there are no shares of the merit on raw frames.

A share of raw flatters: who sees nothing gets somewhere too. So beside it stands the *normalised score*, (p - blind) /
(raw - blind): 0 for the same people with their eyes shut, 1 for the original frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from compression.coders.coder import is_fixed
from racer.drivers.registry import was_fitted_on
from racer.rates.bits_needed import Difference, LeastBits, difference, least_bits
from racer.rates.driving import CellScore
from racer.rates.fixed_masks import choose_fixed
from racer.rates.grid import (
    BEST_FIXED,
    BLIND,
    COMPARED_NULLS,
    NO_NOISE,
    RAW,
    WORST_FIXED,
    Grid,
    Noise,
    OperatingPoint,
    TaskSettings,
)
from racer.rates.means import Means, means_by_point, worst_of
from racer.rates.resampling import Estimate, Table, drawings, interval_of, mean_of, ratio_of
from racer.report.equivalence import MARGIN, EquivalenceTest, kept
from racer.report.statistics import RESAMPLES
from racer.tasks.task import TaskSpec

ANCHOR = "coarse"
"""The coder that the others' rates are compared with: it learns nothing of anybody, and its curve has every slot."""
DIFFERENCE_RESAMPLES = 1000
"""Fewer than for means, since curves are fitted to each."""


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
    """Each metric that is compared, by name."""
    of_raw: Estimate | None
    """Merit as a share of that on raw frames at this place; None where it has none, or where nobody makes any progress
    there."""
    normalised: Estimate | None
    """(p - blind) / (raw - blind); None where raw frames bring nobody further than none, or `blind` was not driven."""
    over: dict[str, Estimate]
    """Normalised score less that of a null row in the same slot, by null row; empty likewise, and without a slot."""
    over_families: Estimate | None
    """Normalised score less its mean with the other drivers of the sweep, the same coder in the same slot: raw frames
    and none count the same for all of them, so that this is what coder and family do together. None likewise, and where
    nobody else drove."""
    kept: EquivalenceTest | None
    """Whether the normalised score lies within the margin of 1; None likewise, and for a single person."""
    of_clean: Estimate | None
    """Merit as a share of the same coder's without noise; None likewise, and without noise."""
    agreement: Estimate | None
    """Share of the steps in which the original frame would have led to the same action; None where it was not asked."""
    behaviour: dict[str, Estimate]
    """How it was driven, by name: see `racer.loop.behaviour`; what the task does not have is left out."""
    finished: Estimate | None
    """Share of the trials driven to their end, such as whole laps; None where the task's trials have no end."""


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
    """Least bits for each of SHARES of the merit on raw frames; empty for `raw`, `full` and where nothing is sent."""
    least_bits_normalised: tuple[LeastBits, ...]
    """Least bits for each of SHARES of the normalised score; empty likewise."""
    difference: Difference | None
    """Rate difference to the anchor; None likewise, for the anchor itself, and where the anchor was not driven."""
    fitted_on: tuple[str, ...] | None = ()
    """Families, or drivers of one's own, whose driving the coder was fitted to; None where its file does not say."""
    chosen: tuple[str, ...] = ()
    """Fixed mask chosen for each point of the rows `best-fixed` and `worst-fixed`; empty for all other rows."""

    @property
    def flat(self) -> bool:
        """Whether the slot changes nothing, and nothing exceeds it: a line to compare with."""
        return not self.least_bits

    @property
    def held_out(self) -> bool | None:
        """Whether whoever drives here is none whom the coder was fitted on; None where nobody knows."""
        return None if self.fitted_on is None else not was_fitted_on(self.driver, self.fitted_on)


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
    means, chosen = choose_fixed(means_by_point(scores, spec))
    bounded = math.isfinite(worst_of(spec.primary))
    people = max((cell.participant for cell in grid.cells), default=-1) + 1
    drawn = drawings(people, RESAMPLES)
    # A single person cannot be drawn again.
    few = drawings(people, DIFFERENCE_RESAMPLES if people > 1 else 0)
    groups: dict[tuple[TaskSettings, str, Noise, str], list[OperatingPoint]] = {}
    for point in sorted(means, key=lambda point: means[point].bits_mean):
        groups.setdefault(_curve_of(point), []).append(point)
    curves = []
    # In the order of the grid: without noise first, `raw` and `full` before the coders.
    driven = (_curve_of(row) for cell in grid.cells for row in _rows(cell.point))
    ordered = dict.fromkeys(key for key in driven if key in groups)
    scales: dict[tuple[TaskSettings, Noise], dict[str, _Scale]] = {}
    for settings, driver, noise, _ in ordered:
        scales.setdefault((settings, noise), {})[driver] = _Scale.of(settings, driver, means, bounded, margin)
    for key in ordered:
        settings, driver, noise, coder = key
        own = groups[key]
        scale = scales[settings, noise][driver]
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
                tuple(_point(point, means, scale, drawn, coder in grid.soft, scales[settings, noise]) for point in own),
                () if flat else least_bits([means[point] for point in own], scale.bottom, scale.raw, few),
                () if flat else least_bits([means[point] for point in own], scale.blind, scale.top, few),
                difference([means[point] for point in anchor or ()], [means[point] for point in own], few)
                if compared
                else None,
                fitted.get(coder, ()),
                tuple(chosen[point] for point in own if point in chosen),
            )
        )
    return tuple(curves)


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
        means: Mapping[OperatingPoint, Means],
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

    def normalised(self, merit: Table, drawn: Table) -> tuple[Estimate | None, EquivalenceTest | None]:
        """Return (merit - blind) / (raw - blind), and whether it lies within the margin of 1."""
        found = self.gained(merit)
        if found is None:
            return None, None
        gained, gap = found
        return ratio_of(gained, gap, drawn), kept(gained, gap, self.margin) if len(merit) > 1 else None

    def gained(self, merit: Table) -> tuple[Table, Table] | None:
        """Return how far above the blind people come, and how far they come on raw frames; None where no further."""
        return None if self.blind is None or self.top is None else (merit - self.blind, self.top - self.blind)

    def over_nulls(
        self, point: OperatingPoint, means: Mapping[OperatingPoint, Means], drawn: Table
    ) -> dict[str, Estimate]:
        """Return by how much of the way from blind to raw a point lies above each null row in its slot."""
        found = {}
        for name in COMPARED_NULLS:
            null = means.get(replace(point, coder=name))
            if point.bits and null is not None and name != point.coder and self.blind is not None:
                assert self.top is not None
                above = ratio_of(means[point].merit - null.merit, self.top - self.blind, drawn)
                if above is not None:
                    found[name] = above
        return found


def _rows(point: OperatingPoint) -> tuple[OperatingPoint, ...]:
    """Return the points that stand for a driven one: the two rows that fixed masks are chosen for, or itself."""
    if is_fixed(point.coder):
        return tuple(replace(point, coder=row) for row in (BEST_FIXED, WORST_FIXED))
    return (point,)


def _curve_of(point: OperatingPoint) -> tuple[TaskSettings, str, Noise, str]:
    return point.settings, point.driver, point.noise, point.coder


def _over_families(
    point: OperatingPoint, means: Mapping[OperatingPoint, Means], scales: Mapping[str, _Scale], drawn: Table
) -> Estimate | None:
    """Return a point's normalised score less its mean with the other drivers, given the scale of each.

    People of the same number, who meet the same trials, are drawn together.
    """
    places = {driver: replace(point, driver=driver) for driver in scales}
    each = {driver: scales[driver].gained(means[place].merit) for driver, place in places.items() if place in means}
    found = {driver: own for driver, own in each.items() if own is not None}
    if point.driver not in found or len(found) < 2:
        return None
    people = drawn.shape[1]

    def apart(weights: Table) -> Table:
        shares = {driver: (weights @ gained) / (weights @ gap) for driver, (gained, gap) in found.items()}
        own = shares.pop(point.driver)
        return np.asarray(own - np.mean(list(shares.values()), axis=0))

    above = people > 1 and all((drawn @ gap > 0).all() for _, gap in found.values())
    return Estimate(float(apart(np.full((1, people), 1 / people))[0]), interval_of(apart(drawn)) if above else None)


def _point(
    point: OperatingPoint,
    means: dict[OperatingPoint, Means],
    scale: _Scale,
    drawn: Table,
    soft: bool,
    scales: Mapping[str, _Scale],
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
        metrics={name: mean_of(values, drawn) for name, values in own.metrics.items()},
        of_raw=None if scale.raw is None else ratio_of(own.merit, scale.raw, drawn),
        normalised=normalised,
        over=scale.over_nulls(point, means, drawn),
        over_families=_over_families(point, means, scales, drawn),
        kept=within,
        of_clean=None if clean is None else ratio_of(own.merit, clean.merit, drawn),
        agreement=None if own.agreement is None else mean_of(own.agreement, drawn),
        behaviour={name: mean_of(values, drawn) for name, values in own.behaviour.items()},
        finished=None if own.finished is None else mean_of(own.finished, drawn),
    )
