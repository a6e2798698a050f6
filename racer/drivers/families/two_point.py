"""Two-point steering: drivers of CarRacing who watch a near and a far point of the road, and correct now and then.

Road is what has little colour of its own (saturation); among clutter, where the road has any colour, what grows from
the ground before the car without crossing an edge. It is followed row by row from the car into the distance, as far as
it hangs together: the near point lies a few car lengths ahead, the far one where the road leads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_propagation

from racer.drivers.driver import DriverFamily
from racer.drivers.wheel import CAR_COLUMN, NOSE_ROW, WHEEL_LIMIT, Hand, across, ahead, bearing
from racer.tasks.car_racing.task import CarRacingClutter
from racer.tasks.task import Task

_MOST_SATURATED = 0.35
"""Above it nothing is road, however much more colour the rest has."""
_BEFORE = (slice(44, 48), slice(29, 35))
"""Rows and columns of the ground just before the car."""
_LIKE = 60.0
"""Distance in RGB within which a colour may be the road's; among clutter nothing beside it is nearer than 80."""
_LEAST_ROAD = 0.01
"""Share of the picture that has the road's colour at least, or the picture itself has changed."""
_STEP = 16.0
"""Distance in RGB between neighbouring pixels from which on there is an edge between them."""
_LEARNING = 0.1
"""How much of a new colour of the road is taken for granted each step."""


@dataclass(frozen=True)
class TwoPointTraits:
    """What makes one such driver differ from another."""

    near: float
    """Frame rows from the nose to the near point."""
    far: float
    """Frame rows from the nose to the far point, where the road is in sight that far."""
    gain_far: float
    """Radians of wheel per radian by which the far point moves."""
    gain_near: float
    """Radians of wheel per radian by which the near point moves."""
    gain_drift: float
    """Radians of wheel per step and radian that the near point is off."""
    cycle_ms: float
    """Time between two corrections, milliseconds."""
    tolerance: float
    """Radians of wheel that a correction must come to, or it is left."""
    noise: float
    """Standard deviation of the perceived direction of a point, radians."""
    reaction_ms: float
    lapses: float
    """Lapses per second; see `racer.drivers.wheel.Hand`."""
    lapse_ms: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> TwoPointTraits:
        """Draw the traits of one driver."""
        return cls(
            near=float(rng.uniform(7, 10)),
            far=float(rng.uniform(17, 24)),
            gain_far=float(rng.uniform(0.6, 0.9)),
            gain_near=float(rng.uniform(0.5, 0.8)),
            gain_drift=float(rng.uniform(0.05, 0.12)),
            cycle_ms=float(rng.uniform(50, 200)),
            tolerance=float(rng.uniform(0.0, 0.04)),
            noise=float(rng.uniform(0.0, 0.03)),
            reaction_ms=float(rng.uniform(50, 300)),
            lapses=float(rng.uniform(0.0, 0.1)),
            lapse_ms=float(rng.uniform(100, 200)),
        )


class TwoPoint:
    """Steers by how two points of the road move in sight.

    Args:
        traits: How it looks and steers.
        rng: Of the noise of its eyes and of its lapses.
        pace: Steps per second.
        eyes: How it tells the road from what lies beside it.
    """

    def __init__(self, traits: TwoPointTraits, rng: np.random.Generator, pace: float, eyes: Eyes) -> None:
        self.traits = traits
        self._rng = rng
        self._eyes = eyes
        self._hand = Hand(traits.reaction_ms, traits.lapses, traits.lapse_ms, pace, rng)
        self._cycle = max(round(traits.cycle_ms * pace / 1000), 1)
        self.reset()

    def reset(self) -> None:
        """Forget the last trial; the random stream goes on."""
        self._hand.reset()
        self._eyes.reset()
        self._steps = 0
        self._angle = 0.0
        self._last: tuple[float, float] | None = None
        self._side = 0.0

    def act(self, frame: NDArray[np.uint8]) -> int:
        """Return what to do on seeing `frame`, uint8[64, 64, 3]: 0 (left), 1 (straight) or 2 (right)."""
        traits, hand = self.traits, self._hand
        noise = traits.noise * self._rng.standard_normal(2)
        if self._steps % self._cycle == 0:
            near, far = self._points(frame)
            coming = hand.coming
            # What the points will be when this correction is carried out.
            near, far = near + float(noise[0]) - coming, far + float(noise[1]) - coming
            change = traits.gain_drift * near * self._cycle
            if self._last is not None:
                change += traits.gain_far * (far - self._last[1]) + traits.gain_near * (near - self._last[0])
            if abs(change) >= traits.tolerance:
                self._angle = min(max(self._angle + change, -WHEEL_LIMIT), WHEEL_LIMIT)
                self._last = near, far
        self._steps += 1
        return hand.press(hand.toward(self._angle))

    def _points(self, frame: NDArray[np.uint8]) -> tuple[float, float]:
        """Return the bearings of the near and the far point, radians (right positive)."""
        road = self._eyes.road(frame)
        near = far = None
        middle = CAR_COLUMN
        for row in range(NOSE_ROW - 2, NOSE_ROW - 1 - round(self.traits.far), -1):
            part = _hanging_together(road[row], middle)
            if part is None:
                break
            middle = part
            far = bearing(across(middle), ahead(row))
            if near is None and row <= NOSE_ROW - self.traits.near:
                near = far
        if far is None:
            # Off the road: back to where most of it is, or was last.
            columns = np.flatnonzero(road[:NOSE_ROW].sum(axis=0) > 3)
            if len(columns):
                self._side = bearing(across(float(columns.mean())), ahead(NOSE_ROW - 12))
            return self._side, self._side
        return (far if near is None else near), far


class Eyes(Protocol):
    """Tells the road from what lies beside it."""

    def reset(self) -> None:
        """Forget the last trial."""

    def road(self, frame: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return which pixels of a frame, uint8[64, 64, 3], are road, bool[64, 64]."""


class ColourlessEyes:
    """Knows that a road is grey: road is what is nearer to the least saturated in sight than to the most."""

    def reset(self) -> None:
        """There is nothing to forget."""

    def road(self, frame: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """See `Eyes`."""
        most = frame.max(axis=2).astype(np.float32)
        saturation = (most - frame.min(axis=2)) / np.maximum(most, 1)
        low, high = np.percentile(saturation, [5, 90])
        return np.asarray(saturation < min((low + high) / 2, _MOST_SATURATED))


class GrowingEyes:
    """Knows that a trial starts on the road: road is what grows from the ground before the car and crosses no edge.

    Where that ground is of another colour than the road was, the car has left the road: then whatever is of that colour
    is road.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the colour."""
        self._colour: NDArray[np.float32] | None = None

    def road(self, frame: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """See `Eyes`."""
        seen = frame.astype(np.float32)
        before = seen[_BEFORE].reshape(-1, 3).mean(axis=0)
        if self._colour is None or _like(seen, self._colour).mean() < _LEAST_ROAD:
            self._colour = before
        like = _like(seen, self._colour)
        if math.dist(before, self._colour) >= _LIKE:
            return like
        self._colour = self._colour + _LEARNING * (before - self._colour)
        seeds = np.zeros(like.shape, np.bool_)
        seeds[_BEFORE] = True
        grown: NDArray[np.bool_] = binary_propagation(seeds, mask=like & _even(seen))
        return grown


def _like(seen: NDArray[np.float32], colour: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray(np.square(seen - colour).sum(axis=2) < _LIKE**2)


def _even(seen: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which pixels, bool[64, 64], no edge separates from any of the four next to them."""
    even = np.ones(seen.shape[:2], np.bool_)
    for pixels, colours in ((even, seen), (even.T, seen.swapaxes(0, 1))):
        along = np.square(np.diff(colours, axis=0)).sum(axis=2) < _STEP**2
        pixels[:-1] &= along
        pixels[1:] &= along
    return even


def _hanging_together(row: NDArray[np.bool_], middle: float) -> float | None:
    """Return the middle of the road in a row where it goes on from a column of the row below; None where it ends."""
    start = int(min(max(round(middle), 2), len(row) - 3))
    around = np.flatnonzero(row[start - 2 : start + 3])
    if not len(around):
        return None
    first = last = start - 2 + int(around[len(around) // 2])
    while first > 0 and row[first - 1]:
        first -= 1
    while last < len(row) - 1 and row[last + 1]:
        last += 1
    return (first + last) / 2


def eyes_for(task: Task) -> Eyes:
    """Return the eyes that tell the road in a task's frames."""
    return GrowingEyes() if isinstance(task, CarRacingClutter) else ColourlessEyes()


def _make(task: Task, person: int, dice: int) -> TwoPoint:
    traits = TwoPointTraits.draw(np.random.default_rng(np.random.SeedSequence(person).spawn(2)[0]))
    return TwoPoint(
        traits, np.random.default_rng(np.random.SeedSequence(dice).spawn(2)[1]), task.spec.pace, eyes_for(task)
    )


TWO_POINT = DriverFamily(
    name="two-point",
    tasks=("car-racing", "car-racing-clutter"),
    summary="watches a near and a far point of the road and corrects now and then",
    source=(
        "two-point visual control (Salvucci and Gray, A two-point visual control model of steering, Perception 33, "
        "2004), its three terms carried out once per cycle and above a tolerance, with keys for a wheel; eyes and hand "
        "are new"
    ),
    make=_make,
)
"""Drivers who watch two points."""
