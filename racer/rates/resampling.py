"""Estimates over people: means, ratios of means, and percentile bootstraps that draw the same people for all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from racer.report.statistics import BOOTSTRAP_SEED, CONFIDENCE, Interval

TAIL = (1 - CONFIDENCE) / 2

Table = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean over people."""

    value: float
    interval: Interval | None
    """None for a single person."""


def drawings(people: int, resamples: int) -> Table:
    """Return how much each person weighs in each resample, float64[resamples, people], rows summing to 1."""
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    return rng.multinomial(people, np.full(people, 1 / people), resamples) / people


def mean_of(values: Table, drawn: Table) -> Estimate:
    """Return the mean of values, float64[participants]."""
    return Estimate(float(values.mean()), interval_of(drawn @ values) if len(values) > 1 else None)


def ratio_of(values: Table, reference: Table, drawn: Table) -> Estimate | None:
    """Return the ratio of two means; None where the one to divide by is zero.

    Without an interval where people can be drawn with whom it is not above zero.
    """
    if reference.mean() == 0:
        return None
    below = drawn @ reference
    interval = interval_of(drawn @ values / below) if len(values) > 1 and (below > 0).all() else None
    return Estimate(float(values.mean() / reference.mean()), interval)


def interval_of(found: Table) -> Interval:
    """Return the middle 95 % of what the resamples came to, float64[resamples]."""
    low, high = np.percentile(found, [100 * TAIL, 100 * (1 - TAIL)])
    return Interval(float(low), float(high))
