"""Near-field path tracking: drivers of CarRacing who mind how they lie on the road just ahead, and no further.

Road is what has the colour of the patch just before the car, by Otsu's threshold on the distance of colours. A line
through the middle of the next few rows of road says how far beside it the car is and how askew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from racer.drivers.driver import DriverFamily
from racer.drivers.wheel import CAR_COLUMN, NOSE_ROW, WHEEL_LIMIT, Hand, across, ahead
from racer.tasks.task import Task

_PATCH = (slice(44, 48), slice(29, 35))
"""Rows and columns of the ground just before the car."""
_FARTHEST = 60.0
"""Distance in RGB beyond which no colour is the patch's."""
_LEAST_ROWS = 3
"""Rows of road that a line needs."""
_WIDEST = 40
"""Columns: what is wider is no stretch of road that one drives along."""


@dataclass(frozen=True)
class PathTrackingTraits:
    """What makes one such driver differ from another."""

    field: float
    """Rows of road before the nose that are looked at, 14 to 22 (9 to 15 track units)."""
    pull: float
    """How strongly being beside the middle turns the wheel: k of the law, per step."""
    speed: float
    """Track units per step that the driver believes to go."""
    yaw_share: float
    """How much of the turning still to come is taken off what is seen, 0 to 1."""
    aside: float
    """Track units to the right of the middle that the driver likes to keep."""
    noise: float
    """Standard deviation of the perceived direction of the road, radians."""
    reaction_ms: float
    lapses: float
    """Lapses per second; see `racer.drivers.wheel.Hand`."""
    lapse_ms: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> PathTrackingTraits:
        """Draw the traits of one driver."""
        return cls(
            field=float(rng.uniform(14, 22)),
            pull=float(rng.uniform(0.10, 0.2)),
            speed=float(rng.uniform(0.9, 1.3)),
            yaw_share=float(rng.uniform(0.8, 1.0)),
            aside=float(rng.uniform(-1.0, 1.0)),
            noise=float(rng.uniform(0.0, 0.05)),
            reaction_ms=float(rng.uniform(50, 300)),
            lapses=float(rng.uniform(0.0, 0.1)),
            lapse_ms=float(rng.uniform(100, 200)),
        )


class PathTracking:
    """Steers by Stanley's law on the road just ahead.

    Args:
        traits: How it looks and steers.
        rng: Of the noise of its eyes and of its lapses.
        pace: Steps per second.
    """

    def __init__(self, traits: PathTrackingTraits, rng: np.random.Generator, pace: float) -> None:
        self.traits = traits
        self._rng = rng
        self._hand = Hand(traits.reaction_ms, traits.lapses, traits.lapse_ms, pace, rng)
        self.reset()

    def reset(self) -> None:
        """Forget the last trial; the random stream goes on."""
        self._hand.reset()
        self._seen = 0.0, 0.0

    def act(self, frame: NDArray[np.uint8]) -> int:
        """Return what to do on seeing `frame`, uint8[64, 64, 3]: 0 (left), 1 (straight) or 2 (right)."""
        traits, hand = self.traits, self._hand
        self._seen = self._line(frame) or self._seen
        beside, askew = self._seen
        askew += traits.noise * self._rng.standard_normal() - traits.yaw_share * hand.coming
        wanted = askew + math.atan(traits.pull * (beside + traits.aside) / traits.speed)
        return hand.press(hand.toward(min(max(wanted, -WHEEL_LIMIT), WHEEL_LIMIT)))

    def _line(self, frame: NDArray[np.uint8]) -> tuple[float, float] | None:
        """Return how far to the right of the nose the middle of the road is, track units, and its direction, radians.

        None where no road is in sight.
        """
        road = _road_like_patch(frame)
        forward, right = [], []
        middle = CAR_COLUMN
        for row in range(NOSE_ROW - 1, NOSE_ROW - 1 - round(self.traits.field), -1):
            found = _run_around(road[row], middle)
            if found is None:
                continue
            first, last = found
            if last - first > _WIDEST:
                break
            middle = (first + last) / 2
            forward.append(ahead(row))
            right.append(across(middle))
        if len(forward) < _LEAST_ROWS:
            rows, columns = np.nonzero(road[:NOSE_ROW])
            if len(columns) < _WIDEST:
                return None
            return 0.0, math.atan2(across(float(columns.mean())), max(ahead(float(rows.mean())), 1.0))
        xs, ys = np.array(forward) - ahead(NOSE_ROW), np.array(right)
        spread = xs - xs.mean()
        slope = float(spread @ ys / (spread @ spread))
        return float(ys.mean() - slope * xs.mean()), math.atan(slope)


def _road_like_patch(frame: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which pixels, bool[64, 64], have the colour of the ground before the car rather than any other."""
    colour = np.median(frame[_PATCH].reshape(-1, 3), axis=0)
    distance = np.sqrt(np.square(frame - colour.astype(np.float32)).sum(axis=2))
    return np.asarray(distance < min(_otsu(distance), _FARTHEST))


def _otsu(values: NDArray[np.float32]) -> float:
    """Return the threshold that parts values best (Otsu, A threshold selection method from gray-level histograms,
    1979)."""
    counts, edges = np.histogram(values, 32)
    middles = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)[:-1]
    above = values.size - below
    sums = np.cumsum(counts * middles)
    mean_below = sums[:-1] / np.maximum(below, 1)
    mean_above = (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    return float(edges[1 + int(np.argmax(below * above * np.square(mean_above - mean_below)))])


def _run_around(row: NDArray[np.bool_], middle: float) -> tuple[int, int] | None:
    """Return the first and the last column of the run of road nearest to a column; None where there is none."""
    columns = np.flatnonzero(row)
    if len(columns) < 2:
        return None
    start = int(columns[np.abs(columns - middle).argmin()])
    beside = np.flatnonzero(~row)
    at = int(np.searchsorted(beside, start))
    first = int(beside[at - 1]) + 1 if at else 0
    last = int(beside[at]) - 1 if at < len(beside) else len(row) - 1
    return first, last


def _make(task: Task, person: int, dice: int) -> PathTracking:
    traits = PathTrackingTraits.draw(np.random.default_rng(np.random.SeedSequence(person).spawn(2)[0]))
    return PathTracking(traits, np.random.default_rng(np.random.SeedSequence(dice).spawn(2)[1]), task.spec.pace)


PATH_TRACKING = DriverFamily(
    name="path-tracking",
    tasks=("car-racing", "car-racing-clutter"),
    summary="lines up with the few metres of road just ahead",
    source=(
        "the steering law of Stanley (Hoffmann, Tomlin, Montemerlo and Thrun, Autonomous automobile trajectory "
        "tracking for off-road driving, American Control Conference 2007) with keys for a wheel; eyes and hand are new"
    ),
    make=_make,
)
"""Drivers who track the path near by."""
