"""Satisficing: drivers of CarRacing who do nothing until the edge of the road comes too near in time.

They imagine where the car goes if no key is pressed. As long as it stays on the road for long enough they let it; where
it does not, they press the key that keeps it there longest, and let go once there is time again. Road is what is about
as bright as the ground beside and before the car.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from racer.drivers.driver import DriverFamily
from racer.drivers.wheel import CAR_COLUMN, CAR_ROW, UNITS_PER_COLUMN, UNITS_PER_ROW, YAW, Hand, turned
from racer.tasks.car_racing.task import LEFT, RIGHT, STRAIGHT
from racer.tasks.task import Task

_HORIZON = 24
"""Steps that are imagined, at most."""
_PRESSED = 7
"""Steps for which an imagined key stays down."""
_FRONT = 2.0
"""Track units from the car's middle to its front axle."""


@dataclass(frozen=True)
class SatisficingTraits:
    """What makes one such driver differ from another."""

    enough: float
    """Steps to the edge of the road, at least, with which nothing is done."""
    relief: float
    """Steps more with which a key is let go of."""
    room: float
    """Track units that must be left on either side of the car."""
    speed: float
    """Track units per step that the driver believes to go."""
    noise: float
    """Standard deviation of the believed heading, radians."""
    reaction_ms: float
    lapses: float
    """Lapses per second; see `racer.drivers.wheel.Hand`."""
    lapse_ms: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> SatisficingTraits:
        """Draw the traits of one driver."""
        return cls(
            enough=float(rng.uniform(13, 18)),
            relief=float(rng.uniform(1, 4)),
            room=float(rng.uniform(1.0, 2.5)),
            speed=float(rng.uniform(1.0, 1.3)),
            noise=float(rng.uniform(0.0, 0.03)),
            reaction_ms=float(rng.uniform(50, 300)),
            lapses=float(rng.uniform(0.0, 0.1)),
            lapse_ms=float(rng.uniform(100, 200)),
        )


class Satisficing:
    """Steers only when it must.

    Args:
        traits: How it looks and steers.
        rng: Of the noise of its eyes and of its lapses.
        pace: Steps per second.
    """

    def __init__(self, traits: SatisficingTraits, rng: np.random.Generator, pace: float) -> None:
        self.traits = traits
        self._rng = rng
        self._hand = Hand(traits.reaction_ms, traits.lapses, traits.lapse_ms, pace, rng)
        self.reset()

    def reset(self) -> None:
        """Forget the last trial; the random stream goes on."""
        self._hand.reset()
        self._key = STRAIGHT
        self._brightness: float | None = None

    def act(self, frame: NDArray[np.uint8]) -> int:
        """Return what to do on seeing `frame`, uint8[64, 64, 3]: 0 (left), 1 (straight) or 2 (right)."""
        road = self._road(frame)
        heading = self.traits.noise * self._rng.standard_normal()
        left = self._time_left(road, heading, STRAIGHT)
        needed = self.traits.enough + (self.traits.relief if self._key != STRAIGHT else 0.0)
        if left >= min(needed, _HORIZON):
            self._key = STRAIGHT
        else:
            keys = {key: self._time_left(road, heading, key) for key in (LEFT, RIGHT)}
            best = LEFT if keys[LEFT] > keys[RIGHT] else RIGHT
            if keys[LEFT] == keys[RIGHT]:
                best = self._side(road)
            self._key = best if max(keys.values()) >= left else STRAIGHT
        return self._hand.press(self._key)

    def _road(self, frame: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return which pixels, bool[64, 64], are about as bright as the ground that the car has been on."""
        grey = frame.mean(axis=2)
        here = float(np.median(grey[42:48, 27:37]))
        if self._brightness is None:
            self._brightness = here
        contrast = max(abs(float(np.median(grey)) - self._brightness), 1.0)
        if abs(here - self._brightness) < contrast / 3:
            self._brightness += 0.2 * (here - self._brightness)
        return np.asarray(np.abs(grey - self._brightness) < contrast / 2)

    def _time_left(self, road: NDArray[np.bool_], heading: float, key: int) -> float:
        """Return the steps until the car leaves the road if a key is pressed now and then none; `_HORIZON` at most."""
        traits, rows = self.traits, len(road)
        x = y = 0.0
        wheel = self._hand.now
        keys = (*self._hand.waiting, *[key] * _PRESSED)
        for step in range(_HORIZON):
            wheel = turned(wheel, keys[step] if step < len(keys) else STRAIGHT)
            heading += YAW * wheel
            sine, cosine = math.sin(heading), math.cos(heading)
            x += traits.speed * sine
            y += traits.speed * cosine
            for beside in (-traits.room - 1.0, traits.room + 1.0):
                right = x + _FRONT * sine + beside * cosine
                forward = y + _FRONT * cosine - beside * sine
                row = round(CAR_ROW - forward / UNITS_PER_ROW)
                column = round(CAR_COLUMN + right / UNITS_PER_COLUMN)
                if row < 0 or not 0 <= column < rows:
                    return float(_HORIZON)  # out of sight, and nothing is known of what is there
                if not road[min(row, rows - 1), column]:
                    return float(step)
        return float(_HORIZON)

    def _side(self, road: NDArray[np.bool_]) -> int:
        """Return the key towards where most of the road in sight is."""
        columns = np.nonzero(road[:CAR_ROW])[1]
        return RIGHT if len(columns) and columns.mean() > CAR_COLUMN else LEFT


def _make(task: Task, person: int, dice: int) -> Satisficing:
    traits = SatisficingTraits.draw(np.random.default_rng(np.random.SeedSequence(person).spawn(2)[0]))
    return Satisficing(traits, np.random.default_rng(np.random.SeedSequence(dice).spawn(2)[1]), task.spec.pace)


SATISFICING = DriverFamily(
    name="satisficing",
    tasks=("car-racing",),
    summary="does nothing until the edge of the road comes too near in time",
    source=(
        "time to line crossing (Godthelp, Milgram and Blaauw, The development of a time-related measure to describe "
        "driving strategy, Human Factors 26, 1984), acted on below a threshold as in satisficing control; the path "
        "imagined, eyes and hand are new"
    ),
    make=_make,
)
"""Drivers who steer only when they must."""
