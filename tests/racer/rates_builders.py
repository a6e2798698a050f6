"""Builders for the tests of sweeps."""

from __future__ import annotations

from collections.abc import Callable

from compression.coders.coder import Coder
from racer.rates.grid import Cell, Grid, RatesConfig, Way, make_grid
from racer.rates.people import draw_person
from racer.rates.scores import CellScore, EpisodeScore

TINY = RatesConfig(bits=(5,), speeds=(100.0,), participants=2, tracks=1, steps=80)
"""Just long and fast enough for cars to go different ways."""
CODERS = ("random", "pico")


def coder(name: str, least_bits: int = 1, padded: int | None = None) -> Coder:
    """Return a coder that nothing can be sent with."""

    def none(*_: object) -> None:
        raise AssertionError("it is not driven")

    return Coder(name, "", "", none, none, least_bits=least_bits, packet_bytes=padded)  # type: ignore[arg-type]


def score(cell: Cell, progress: float, off_road: float = 0.0, bits: float | None = None, tracks: int = 1) -> CellScore:
    """Return the score of a cell whose episodes all went alike."""
    used = {"raw": 0.0, "full": 170.0}.get(cell.way.coder, float(cell.way.bits)) if bits is None else bits
    seeds = draw_person(0, cell.participant, tracks).tracks
    return CellScore(cell, tuple(EpisodeScore(seed, 150, progress, off_road, used, round(used)) for seed in seeds))


def scored(
    config: RatesConfig, coders: list[Coder], progress: Callable[[Way, int], float]
) -> tuple[list[CellScore], Grid]:
    """Return the scores of a whole grid, given the progress of a person in one way."""
    grid = make_grid(config, coders)
    return [score(cell, progress(cell.way, cell.participant)) for cell in grid.cells], grid
