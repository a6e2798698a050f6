"""Rows `best-fixed` and `worst-fixed`: the best and the worst of all masks that send the same half of the blocks.

They are chosen family by family on the other drivers of a sweep, by the normalised score, and scored on the family that
had no part in the choice: what a coder that looks at the frame adds to them is what looking is worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from compression.coders.coder import is_fixed
from racer.drivers.registry import counts_as, was_fitted_on
from racer.rates.grid import BEST_FIXED, BLIND, NO_NOISE, RAW, WORST_FIXED, OperatingPoint
from racer.rates.means import Means


def choose_fixed(
    means: Mapping[OperatingPoint, Means],
) -> tuple[dict[OperatingPoint, Means], dict[OperatingPoint, str]]:
    """Return what was driven with the two rows in place of the coders that they are chosen from, and what was chosen.

    Where nobody else drove, or others get no further with open eyes than with shut ones, there are no such rows.
    """
    kept = {point: own for point, own in means.items() if not is_fixed(point.coder)}
    found: dict[OperatingPoint, dict[str, float]] = {}
    for point, own in means.items():
        if is_fixed(point.coder):
            scored = _normalised(point, own, means)
            found.setdefault(replace(point, coder=""), {})[point.coder] = scored
    chosen = {}
    for place in found:
        others = [own for other, own in found.items() if _elsewhere(place, other)]
        others = [own for own in others if not np.isnan(list(own.values())).any()]
        if not others:
            continue
        score = {name: float(np.mean([own[name] for own in others])) for name in found[place]}
        best, worst = max(score, key=score.__getitem__), min(score, key=score.__getitem__)
        for row, name in ((BEST_FIXED, best), (WORST_FIXED, worst)):
            kept[replace(place, coder=row)] = means[replace(place, coder=name)]
            chosen[replace(place, coder=row)] = name
    return kept, chosen


def _elsewhere(place: OperatingPoint, other: OperatingPoint) -> bool:
    """Return whether another family drove under the same circumstances."""
    return replace(other, driver=place.driver) == place and not was_fitted_on(place.driver, counts_as(other.driver))


def _normalised(point: OperatingPoint, own: Means, means: Mapping[OperatingPoint, Means]) -> float:
    raw, blind = (
        means[OperatingPoint(point.settings, point.driver, NO_NOISE, name, 0)].merit.mean() for name in (RAW, BLIND)
    )
    return float((own.merit.mean() - blind) / (raw - blind)) if raw > blind else float("nan")
