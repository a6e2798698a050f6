"""How long a sweep will take, from driving a little of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from racer.rates.driving import drive_all
from racer.rates.sweep import Sweep

_SAMPLED = 8
"""Cells, spread over the grid, of which one track each is driven a little way."""
_FEW, _MORE = 5, 25
"""Steps of the two measurements, whose difference is what steps cost without the beginning of a drive."""


@dataclass(frozen=True)
class Estimate:
    """What a sweep comes to."""

    cells: int
    episodes: int
    steps: int
    """Of all episodes, if none ends early."""
    seconds: float
    """With all workers busy, as on this machine."""


def estimate(sweep: Sweep, workers: int, clock: Callable[[], float] = time.perf_counter) -> Estimate:
    """Return what a whole sweep comes to, by driving a few steps of it in this process.

    Args:
        sweep: What would be driven.
        workers: Processes that would drive at a time.
        clock: Seconds.
    """
    cells, config = sweep.grid.cells, sweep.plan.config
    sample = cells[:: max(len(cells) // _SAMPLED, 1)][:_SAMPLED]

    def seconds(steps: int) -> float:
        short = replace(config, steps=steps, tracks=1)
        plan = replace(sweep.plan, config=short, settings=())
        begun = clock()
        drive_all(plan, sample)
        return clock() - begun

    seconds(1)  # the weights are loaded, and what is done but once is done
    few, more = seconds(_FEW), seconds(_MORE)
    step = max(more - few, 0.0) / (_MORE - _FEW) / len(sample)
    start = max(few / len(sample) - _FEW * step, 0.0)
    episodes = len(cells) * config.tracks
    return Estimate(len(cells), episodes, episodes * config.steps, episodes * (start + config.steps * step) / workers)
