"""Simulated drivers of CarRacing: they look at the shown frame alone and press left, right or nothing.

Each one is drawn from a seed: how far ahead it looks, how strongly it reacts, the error it tolerates, how noisy
its eye is, how many steps its hand lags behind, and how often it presses a key by mistake. Where the grass is green,
the road is what is not green; where it may have any colour, the road is what looks like the ground before the car.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from racer.drivers.driver import DriverFamily
from racer.tasks.car_racing.frames import FRAME_SIZE
from racer.tasks.car_racing.task import LEFT, RIGHT, STRAIGHT, ZOOM_STEPS, CarRacingClutter
from racer.tasks.task import Task

CAR_ROW = 52
"""Frame row of the car's nose."""
CAR_COLUMN = (FRAME_SIZE - 1) / 2
UNITS_PER_COLUMN = 1000 / FRAME_SIZE / 16.2
"""Track units across one frame column (1000 screen pixels at 16.2 pixels a unit)."""
UNITS_PER_ROW = 700 / FRAME_SIZE / 16.2
_GREEN_EXCESS = 50
"""A pixel is grass where green exceeds red and blue by this or more (CarRacing: grass: 102 or more)."""
_BEFORE = (slice(44, 50), slice(28, 36))
"""Rows and columns of the ground before the car."""
_LIKE, _FAINTEST = 45.0, 20.0
"""Distances in RGB within which a colour is the road's: in a sharp picture, and in the faintest."""
_LEARNING = 0.2
"""Part of the way that the colour in mind goes to the one just seen."""
_MOST_ROAD, _LEAST_ROAD = 0.4, 0.02
"""Parts of a frame: a road covers less than the first; what covers less than the second is no road."""
_BAND = 2
"""Rows above and below the look-ahead row that the eye averages over."""
WHEEL_SPEED = 0.06
"""Radians per step at which the front wheels follow the keys (CarRacing: 3 rad/s)."""
WHEEL_LIMIT = 0.4
YAW_PER_WHEEL = 0.3
"""Radians of heading per step for each radian of front wheel angle, at about 50 units/s."""
_NARROWEST_ROAD = 3
"""Columns below which a run of road pixels is taken for noise."""


@dataclass(frozen=True)
class PursuitTraits:
    """What makes one simulated driver differ from another."""

    look_ahead: float
    """Frame rows from the car's nose to the point it steers at (1 row is 0.675 track units)."""
    gain: float
    """Wanted turn per radian of bearing to that point."""
    damping: float
    """Wanted turn added per radian by which the bearing changed since the last step."""
    anticipation: float
    """How much of the turning that its pressed keys will still cause it takes into account, 0 to 1."""
    dead_zone: float
    """Wanted turn, radians, below which no key is pressed."""
    noise: float
    """Standard deviation of the perceived bearing, radians."""
    delay: int
    """Steps from seeing to pressing, 0 to 3."""
    lapses: float
    """Probability per step of pressing a random key."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> PursuitTraits:
        """Draw the traits of one driver."""
        return cls(
            look_ahead=float(rng.uniform(11.0, 18.0)),
            gain=float(rng.uniform(0.8, 1.5)),
            damping=float(rng.uniform(0.0, 2.0)),
            anticipation=float(rng.uniform(0.7, 1.0)),
            dead_zone=float(rng.uniform(0.05, 0.15)),
            noise=float(rng.uniform(0.0, 0.06)),
            delay=int(rng.integers(0, 4)),
            lapses=float(rng.uniform(0.0, 0.03)),
        )

    @classmethod
    def of(cls, person: int) -> PursuitTraits:
        """Return the traits of one person, a number of 0 or more."""
        return cls.draw(np.random.default_rng(np.random.SeedSequence(person).spawn(2)[0]))


class Pursuit:
    """Steers by pure pursuit of the road's middle, seen in the shown frame, through noisy eyes and a slow hand.

    Args:
        traits: How it looks and steers.
        dice: Seed of every random choice it makes, 0 or more.
        eyes: How it tells the road from what lies beside it; green eyes if left out.
    """

    def __init__(self, traits: PursuitTraits, dice: int, eyes: Eyes | None = None) -> None:
        self.traits = traits
        self._eyes = eyes or GreenEyes()
        # Of two streams the second: where one number is both, a person's traits and chances must not be the same draws.
        self._rng = np.random.default_rng(np.random.SeedSequence(dice).spawn(2)[1])
        self.reset()

    def reset(self) -> None:
        """Forget the last trial; the random stream goes on, so that no two trials are alike."""
        self._eyes.reset()
        self._target = CAR_COLUMN
        self._bearing: float | None = None
        self._hand: deque[int] = deque([STRAIGHT] * self.traits.delay)
        self._wheel = 0.0
        self._coming: deque[float] = deque([0.0] * self.traits.delay)

    def act(self, frame: NDArray[np.uint8]) -> int:
        """Return what to do on seeing `frame`, uint8[64, 64, 3]: 0 (left), 1 (straight) or 2 (right)."""
        traits = self.traits
        bearing = self.bearing_of_road(frame) + traits.noise * self._rng.standard_normal()
        change = 0.0 if self._bearing is None else bearing - self._bearing
        self._bearing = bearing
        coming = YAW_PER_WHEEL * sum(self._coming) + self._wheel
        turn = traits.gain * bearing + traits.damping * change - traits.anticipation * coming
        action = STRAIGHT if abs(turn) < traits.dead_zone else (RIGHT if turn > 0 else LEFT)
        if self._rng.random() < traits.lapses:
            action = int(self._rng.choice((LEFT, STRAIGHT, RIGHT)))
        self._hand.append(action)
        step = np.clip(WHEEL_LIMIT * (action - STRAIGHT) - self._wheel, -WHEEL_SPEED, WHEEL_SPEED)
        self._wheel += float(step)
        self._coming.append(self._wheel)
        self._coming.popleft()
        return self._hand.popleft()

    def bearing_of_road(self, frame: NDArray[np.uint8]) -> float:
        """Return the bearing, radians (right positive), of the road's middle at the look-ahead distance."""
        row = max(round(CAR_ROW - self.traits.look_ahead), _BAND)
        road = self._eyes.road(frame)
        runs = runs_of(road[row - _BAND : row + _BAND + 1].mean(axis=0) >= 0.5)
        if runs:
            middles = [(first + last) / 2 for first, last in runs]
            self._target = min(middles, key=lambda middle: abs(middle - self._target))
        else:
            # The road leaves the frame before that row, or the car is off it: go for whatever road is in sight.
            rows, columns = np.nonzero(road[:CAR_ROW])
            if len(columns) >= FRAME_SIZE // 2:
                self._target = float(columns.mean())
                row = int(rows.mean())
        ahead = max(CAR_ROW - row, 4) * UNITS_PER_ROW
        return math.atan2((self._target - CAR_COLUMN) * UNITS_PER_COLUMN, ahead)


class Eyes(Protocol):
    """Tells the road from what lies beside it."""

    def reset(self) -> None:
        """Forget the last trial."""

    def road(self, frame: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return which pixels of a frame, uint8[64, 64, 3], are road, bool[64, 64]."""


class GreenEyes:
    """Knows that grass is green: road is what is not."""

    def reset(self) -> None:
        """There is nothing to forget."""

    def road(self, frame: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """See `Eyes`."""
        red, green, blue = frame.astype(np.int16).transpose(2, 0, 1)
        road: NDArray[np.bool_] = green - np.maximum(red, blue) < _GREEN_EXCESS
        return road


class LearningEyes:
    """Knows that a trial starts on the road: road is what has the colour of the ground before the car.

    The colour is kept in mind and follows slow changes. Where the ground before the car has another one, the car has
    left the road; unless hardly anything in sight has the colour in mind, for then the picture itself has changed.

    Args:
        unsettled: Frames at the beginning of a trial in which the picture is still zooming.
    """

    def __init__(self, unsettled: int = 0) -> None:
        self._unsettled = unsettled
        self.reset()

    def reset(self) -> None:
        """Forget the colour."""
        self._color: NDArray[np.float32] | None = None
        self._frames = 0

    def road(self, frame: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """See `Eyes`."""
        before = np.median(frame[_BEFORE].reshape(-1, 3), axis=0).astype(np.float32)
        self._frames += 1
        if self._color is None or self._frames <= self._unsettled:
            self._color = before
        elif math.dist(before, self._color) < _LIKE:
            self._color = self._color + _LEARNING * (before - self._color)
        road = self._alike(frame, self._color)
        if road.mean() < _LEAST_ROAD:
            self._color = before
            road = self._alike(frame, before)
        return road

    def _alike(self, frame: NDArray[np.uint8], color: NDArray[np.float32]) -> NDArray[np.bool_]:
        distance = np.square(frame - color) @ np.ones(3, np.float32)
        # Half way to what lies beside the road: a blurred picture has less contrast than a sharp one.
        rank = int(_MOST_ROAD * distance.size)
        beside = np.partition(distance, rank, axis=None)[rank]
        limit = min(max(math.sqrt(beside) / 2, _FAINTEST), _LIKE)
        road: NDArray[np.bool_] = distance < limit * limit
        return road


def runs_of(row: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return (first, last) of each run of at least `_NARROWEST_ROAD` true cells."""
    edges = np.diff(np.concatenate(([0], row.astype(np.int8), [0])))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return [(int(a), int(b) - 1) for a, b in zip(starts, ends, strict=True) if b - a >= _NARROWEST_ROAD]


def eyes_for(task: Task) -> Eyes:
    """Return the eyes that tell the road in a task's frames."""
    return LearningEyes(0 if task.skip_zoom else ZOOM_STEPS) if isinstance(task, CarRacingClutter) else GreenEyes()


def _make(task: Task, person: int, dice: int) -> Pursuit:
    return Pursuit(PursuitTraits.of(person), dice, eyes_for(task))


PURSUIT = DriverFamily(
    name="pursuit",
    tasks=("car-racing", "car-racing-clutter"),
    summary="steers at the middle of the road some way ahead, through noisy eyes and a slow hand",
    source=(
        "pure pursuit (Coulter, Implementation of the Pure Pursuit Path Tracking Algorithm, CMU-RI-TR-92-01, 1992) "
        "with keys for a wheel; the noise of the eye and the delay, anticipation and lapses of the hand are new"
    ),
    make=_make,
)
