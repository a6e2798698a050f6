"""Edge following: drivers of CarRacing who keep one edge of the road at the distance that they like.

An edge is where the brightness changes, whatever it changes to. The one on the driver's side is followed from beside
the nose into the distance; the other one counts only while the own one is out of sight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from racer.drivers.driver import DriverFamily
from racer.drivers.wheel import CAR_COLUMN, NOSE_ROW, WHEEL_LIMIT, Hand, across, ahead
from racer.tasks.task import Task

_BRIGHTNESS = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in brightness (ITU-R BT.601)."""
_FAINTEST = 9.0
"""Change of brightness over two columns below which there is no edge."""
_REACH = 3
"""Columns by which an edge may lie elsewhere in the next row."""
_LEAST_ROWS = 5
"""Rows in which an edge must be seen."""
_ROAD = 13.3
"""Width of the road, track units."""


@dataclass(frozen=True)
class EdgeFollowingTraits:
    """What makes one such driver differ from another."""

    side: int
    """Edge that is followed: -1 left, 1 right."""
    distance: float
    """Track units that the driver likes to keep from it; the road is 13.3 wide."""
    preview: float
    """Rows before the nose over which an edge is followed."""
    gain_distance: float
    """Radians of wheel per track unit too near or too far."""
    gain_direction: float
    """Radians of wheel per radian that the edge runs askew."""
    yaw_share: float
    """How much of the turning still to come is taken off what is seen, 0 to 1."""
    dead_zone: float
    """Radians of wheel below which nothing is done."""
    noise: float
    """Standard deviation of the perceived direction of the edge, radians."""
    reaction_ms: float
    lapses: float
    """Lapses per second; see `racer.drivers.wheel.Hand`."""
    lapse_ms: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> EdgeFollowingTraits:
        """Draw the traits of one driver."""
        return cls(
            side=int(rng.choice((-1, 1))),
            distance=float(rng.uniform(5.0, 8.0)),
            preview=float(rng.uniform(14, 22)),
            gain_distance=float(rng.uniform(0.06, 0.12)),
            gain_direction=float(rng.uniform(0.8, 1.2)),
            yaw_share=float(rng.uniform(0.8, 1.0)),
            dead_zone=float(rng.uniform(0.0, 0.05)),
            noise=float(rng.uniform(0.0, 0.05)),
            reaction_ms=float(rng.uniform(50, 300)),
            lapses=float(rng.uniform(0.0, 0.1)),
            lapse_ms=float(rng.uniform(100, 200)),
        )


class EdgeFollowing:
    """Steers by one edge of the road.

    Args:
        traits: How it looks and steers.
        rng: Of the noise of its eyes and of its lapses.
        pace: Steps per second.
    """

    def __init__(self, traits: EdgeFollowingTraits, rng: np.random.Generator, pace: float) -> None:
        self.traits = traits
        self._rng = rng
        self._hand = Hand(traits.reaction_ms, traits.lapses, traits.lapse_ms, pace, rng)
        self.reset()

    def reset(self) -> None:
        """Forget the last trial; the random stream goes on."""
        self._hand.reset()
        half = _ROAD / 2
        self._edges = {-1: -half, 1: half}
        self._seen = 0.0, 0.0

    def act(self, frame: NDArray[np.uint8]) -> int:
        """Return what to do on seeing `frame`, uint8[64, 64, 3]: 0 (left), 1 (straight) or 2 (right)."""
        traits, hand = self.traits, self._hand
        self._seen = self._edge(frame) or self._seen
        too_far, askew = self._seen
        askew += traits.noise * self._rng.standard_normal() - traits.yaw_share * hand.coming
        wanted = traits.gain_direction * askew + traits.gain_distance * too_far
        if abs(wanted - hand.wheel) < traits.dead_zone:
            wanted = hand.wheel
        return hand.press(hand.toward(min(max(wanted, -WHEEL_LIMIT), WHEEL_LIMIT)))

    def _edge(self, frame: NDArray[np.uint8]) -> tuple[float, float] | None:
        """Return how far to the right of its place the edge is, track units, and its direction, radians.

        None where no edge is in sight.
        """
        brightness = frame @ _BRIGHTNESS
        change = np.zeros_like(brightness)
        change[:, 1:-1] = np.abs(brightness[:, 2:] - brightness[:, :-2])
        for side in (self.traits.side, -self.traits.side):
            points = self._followed(change, side)
            if len(points) < _LEAST_ROWS:
                continue
            right, forward = np.array(points).T
            slope, start = _line(forward, right)
            beside = start + slope * ahead(NOSE_ROW)
            self._edges[side] = beside
            self._edges[-side] = beside - side * _ROAD
            kept = self.traits.distance if side == self.traits.side else _ROAD - self.traits.distance
            return beside - side * kept, math.atan(slope)
        return None

    def _followed(self, change: NDArray[np.float32], side: int) -> list[tuple[float, float]]:
        """Return the points of an edge, track units to the right and ahead, from beside the nose on."""
        columns = change.shape[1]
        expected = CAR_COLUMN + self._edges[side] / across(CAR_COLUMN + 1)
        points: list[tuple[float, float]] = []
        drift = 0.0
        last = NOSE_ROW - 1 - round(self.traits.preview)
        for row in range(NOSE_ROW - 1, last, -1):
            reach = _REACH if points else 2 * _REACH
            low = max(round(expected + drift) - reach, 1)
            high = min(round(expected + drift) + reach + 1, columns - 1)
            if high - low < 2:
                break
            window = change[row, low:high]
            strongest = int(np.argmax(window))
            if window[strongest] < _FAINTEST:
                if points:
                    break
                continue
            found = low + strongest
            if points:
                drift += 0.5 * (found - expected - drift)
                drift = min(max(drift, -3.0), 3.0)
            expected = float(found)
            points.append((across(found), ahead(row)))
        return points


def _line(xs: NDArray[np.float64], ys: NDArray[np.float64]) -> tuple[float, float]:
    """Return the slope of the line of least squares through points and its value at 0."""
    centred = xs - xs.mean()
    slope = float(centred @ ys / (centred @ centred))
    return slope, float(ys.mean() - slope * xs.mean())


def _make(task: Task, person: int, dice: int) -> EdgeFollowing:
    traits = EdgeFollowingTraits.draw(np.random.default_rng(np.random.SeedSequence(person).spawn(2)[0]))
    return EdgeFollowing(traits, np.random.default_rng(np.random.SeedSequence(dice).spawn(2)[1]), task.spec.pace)


EDGE_FOLLOWING = DriverFamily(
    name="edge-following",
    tasks=("car-racing",),
    summary="keeps one edge of the road at a distance",
    source=(
        "steering by the direction and distance of the road's edge (Beall and Loomis, Visual control of steering "
        "without course information, Perception 25, 1996), as a wall follower's proportional and derivative control, "
        "with keys for a wheel; eyes and hand are new"
    ),
    make=_make,
)
"""Drivers who follow an edge."""
