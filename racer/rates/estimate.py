"""How long a sweep will take, from driving a little of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from racer.loop.lockstep import LANES
from racer.rates.driving import drive_all
from racer.rates.grid import Cell, Grid
from racer.rates.sweep import Sweep

_FEW, _MORE = 5, 25
"""Steps of the two measurements, whose difference is what steps cost without the beginning of an episode."""


@dataclass(frozen=True)
class Estimate:
    """Estimated cost of a sweep."""

    cells: int
    episodes: int
    steps: int
    """Steps of all episodes, if none ends early."""
    seconds: float
    """Duration with all workers of this machine busy, seconds."""


def spread(grid: Grid) -> list[Cell]:
    """Return as many cells of one person as are driven at a time, spread over the operating points."""
    own = [cell for cell in grid.cells if cell.participant == grid.cells[0].participant]
    places = np.linspace(0, len(own) - 1, min(LANES, len(own)))
    return [own[round(place)] for place in places]


def estimate(sweep: Sweep, workers: int, clock: Callable[[], float] = time.perf_counter) -> Estimate:
    """Return what a whole sweep comes to, by driving a few steps of it in this process.

    Args:
        sweep: What would be driven.
        workers: Processes that would drive at a time.
        clock: Seconds.
    """
    cells, config = sweep.grid.cells, sweep.plan.config
    sample = spread(sweep.grid)

    def seconds(steps: int) -> float:
        short = replace(config, steps=steps, episodes=1)
        plan = replace(sweep.plan, config=short, settings=())
        begun = clock()
        drive_all(plan, sample)
        return clock() - begun

    seconds(1)  # the weights are loaded, and what is done but once is done
    few, more = seconds(_FEW), seconds(_MORE)
    step = max(more - few, 0.0) / (_MORE - _FEW) / len(sample)
    start = max(few / len(sample) - _FEW * step, 0.0)
    episodes = len(cells) * config.episodes
    return Estimate(len(cells), episodes, episodes * config.steps, episodes * (start + config.steps * step) / workers)
