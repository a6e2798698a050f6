"""The family of drivers that a coder serves worst."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from racer.rates.curves import Curve, Point
from racer.rates.grid import RAW, Noise, TaskSettings
from racer.rates.resampling import Estimate
from racer.report.equivalence import EquivalenceTest


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
    """Normalised score with that driver; its interval ignores that the driver was chosen as the lowest."""
    kept: EquivalenceTest | None
    """Whether that lies within the margin of 1; None for a single person."""


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
