"""Means over the episodes of each person at an operating point of a sweep."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from racer.loop.behaviour import BEHAVIOURS
from racer.rates.driving import CellScore
from racer.rates.grid import OperatingPoint
from racer.rates.resampling import Table
from racer.tasks.task import Metric, TaskSpec


@dataclass(frozen=True)
class Means:
    """The means of one operating point for each person, float64[participants]."""

    merit: Table
    metrics: dict[str, Table]
    agreement: Table | None
    behaviour: dict[str, Table]
    bits_mean: float
    bits_most: int
    lost: float
    episodes: int
    finished: Table | None
    """Share of the trials that came to the best that the primary metric can be; None where trials have no such end."""


def means_by_point(scores: Iterable[CellScore], spec: TaskSpec) -> dict[OperatingPoint, Means]:
    """Return the means of every operating point."""
    grouped: dict[OperatingPoint, list[CellScore]] = {}
    for score in sorted(scores, key=lambda score: score.cell.order):
        grouped.setdefault(score.cell.point, []).append(score)
    return {point: _of(group, spec) for point, group in grouped.items()}


def _of(group: Sequence[CellScore], spec: TaskSpec) -> Means:
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
    return Means(
        agreement=np.array([np.mean(np.array(own, float)) for own in agreed]) if asked else None,
        merit=_merit(spec.primary, metrics[spec.primary.name]),
        metrics=metrics,
        behaviour={
            name: np.array([np.mean([episode.behaviour[name] for episode in score.episodes]) for score in group])
            for name in BEHAVIOURS
            if all(name in episode.behaviour for episode in every)
        },
        bits_mean=per_step([episode.bits_mean for episode in every]),
        bits_most=max(episode.bits_most for episode in every),
        lost=per_step([episode.lost for episode in every]),
        episodes=len(every),
        finished=_finished(group, spec),
    )


def _finished(group: Sequence[CellScore], spec: TaskSpec) -> Table | None:
    best = spec.primary.bounds[spec.primary.better == "higher"]
    if not spec.whole_steps or not math.isfinite(best):
        return None
    values = [[episode.metrics[spec.primary.name] for episode in score.episodes] for score in group]
    return np.array([np.mean(np.isclose(own, best, rtol=0, atol=1e-9)) for own in values])


def worst_of(metric: Metric) -> float:
    """Return the worst that a metric can be; infinite where it has no bound."""
    return metric.bounds[metric.better == "lower"]


def _merit(metric: Metric, values: Table) -> Table:
    """Return how good values of a metric are: the more the better."""
    worst = worst_of(metric)
    worst = worst if math.isfinite(worst) else 0.0
    return values - worst if metric.better == "higher" else worst - values
