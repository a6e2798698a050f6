"""Builders for the tests of sweeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from racing_builders import CAR_RACING, car_racing_model

from compression.coders.coder import Coder
from racer.loop.batched import Score
from racer.rates.driving import CellScore
from racer.rates.grid import Cell, Grid, OperatingPoint, RatesConfig, make_grid, sweep_settings
from racer.rates.people import draw_person

SPEC = CAR_RACING.spec
SIZES = car_racing_model().sizes
FAST = sweep_settings("car-racing", ["speed=100"])
CONFIG = RatesConfig("car-racing", sweep_settings("car-racing"), 150, ("pursuit",))
"""What is driven where nobody says otherwise."""
TINY = replace(CONFIG, settings=FAST, steps=80, bits=(5,), participants=2, episodes=1)
"""Just long and fast enough for cars to go different ways."""
CODERS = ("random", "pico")


def coder(name: str, least_bits: int = 1, padded: int | None = None) -> Coder:
    """Return a coder that nothing can be sent with."""

    def none(*_: object) -> Any:
        raise AssertionError("it is not driven")

    width = None if padded is None else lambda sizes: padded
    return Coder(name, "", "", none, none, least_bits=lambda sizes: least_bits, packet_bytes=width)


def metrics(progress: float, off_road: float = 0.0) -> dict[str, float]:
    """Return what an episode comes to in every metric of car-racing."""
    return dict.fromkeys((metric.name for metric in SPEC.metrics), 0.0) | {"progress": progress, "off_road": off_road}


def score(
    cell: Cell, progress: float, off_road: float = 0.0, bits: float | None = None, episodes: int = 1
) -> CellScore:
    """Return the score of a cell whose episodes all went alike."""
    used = {"raw": 0.0, "full": 170.0}.get(cell.point.coder, float(cell.point.bits)) if bits is None else bits
    seeds = draw_person(0, cell.participant, episodes).seeds
    return CellScore(cell, seeds, (Score(150, metrics(progress, off_road), used, round(used), 0.0),) * episodes)


def scored(
    config: RatesConfig, coders: list[Coder], progress: Callable[[OperatingPoint, int], float]
) -> tuple[list[CellScore], Grid]:
    """Return the scores of a whole grid, given the progress of a person at one operating point."""
    grid = make_grid(config, coders, SIZES)
    return [score(cell, progress(cell.point, cell.participant)) for cell in grid.cells], grid
