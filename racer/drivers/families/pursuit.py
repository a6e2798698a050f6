"""Simulated participants: they look at the displayed frame alone and press left, right or nothing.

Each one is drawn from a seed: how far ahead it looks, how strongly it reacts, the error it tolerates, how noisy
its eye is, how many steps its hand lags behind, and how often it presses a key by mistake.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compression.coders.road import road_of
from racer.tasks.car_racing.frames import FRAME_SIZE
from racer.tasks.car_racing.track import ACTIONS, LEFT, RIGHT, STRAIGHT

CAR_ROW = 52
"""Frame row of the car's nose."""
CAR_COLUMN = (FRAME_SIZE - 1) / 2
UNITS_PER_COLUMN = 1000 / FRAME_SIZE / 16.2
"""Track units across one frame column (1000 screen pixels at 16.2 pixels a unit)."""
UNITS_PER_ROW = 700 / FRAME_SIZE / 16.2
_BAND = 2
"""Rows above and below the look-ahead row that the eye averages over."""
_WHEEL_SPEED = 0.06
"""Radians per step at which the front wheels follow the keys (CarRacing: 3 rad/s)."""
_WHEEL_LIMIT = 0.4
_YAW_PER_WHEEL = 0.3
"""Radians of heading per step for each radian of front wheel angle, at about 50 units/s."""
_NARROWEST_ROAD = 3
"""Columns below which a run of road pixels is taken for noise."""


@dataclass(frozen=True)
class Traits:
    """What makes one simulated participant differ from another."""

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
    def draw(cls, rng: np.random.Generator) -> Traits:
        """Draw the traits of one participant."""
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


class SimulatedParticipant:
    """Steers by pure pursuit of the road's middle, seen in the displayed frame, through noisy eyes and a slow hand.

    Args:
        seed: Identity of the participant: fixes its traits and every random choice it makes.
        traits: Use these instead of drawing them.
    """

    def __init__(self, seed: int, traits: Traits | None = None) -> None:
        # Two streams, so that giving the traits does not change the noise.
        traits_seed, behaviour_seed = np.random.SeedSequence(seed).spawn(2)
        self.traits = traits if traits is not None else Traits.draw(np.random.default_rng(traits_seed))
        self._rng = np.random.default_rng(behaviour_seed)
        self.reset()

    def reset(self) -> None:
        """Forget the last episode; the random stream goes on, so that no two episodes are alike."""
        self._target = CAR_COLUMN
        self._bearing: float | None = None
        self._hand: deque[int] = deque([STRAIGHT] * self.traits.delay)
        self._wheel = 0.0
        self._coming: deque[float] = deque([0.0] * self.traits.delay)

    def act(self, frame: NDArray[np.uint8]) -> int:
        """Return the key held, -1 (left), 0 or 1 (right), on seeing `frame`, uint8[64, 64, 3]."""
        traits = self.traits
        bearing = self._bearing_of_road(frame) + traits.noise * self._rng.standard_normal()
        change = 0.0 if self._bearing is None else bearing - self._bearing
        self._bearing = bearing
        coming = _YAW_PER_WHEEL * sum(self._coming) + self._wheel
        turn = traits.gain * bearing + traits.damping * change - traits.anticipation * coming
        action = STRAIGHT if abs(turn) < traits.dead_zone else (RIGHT if turn > 0 else LEFT)
        if self._rng.random() < traits.lapses:
            action = int(self._rng.choice(ACTIONS))
        self._hand.append(action)
        step = np.clip(_WHEEL_LIMIT * action - self._wheel, -_WHEEL_SPEED, _WHEEL_SPEED)
        self._wheel += float(step)
        self._coming.append(self._wheel)
        self._coming.popleft()
        return self._hand.popleft()

    def _bearing_of_road(self, frame: NDArray[np.uint8]) -> float:
        """Return the bearing, radians (right positive), of the road's middle at the look-ahead distance."""
        row = max(round(CAR_ROW - self.traits.look_ahead), _BAND)
        runs = _runs(road_of(frame[row - _BAND : row + _BAND + 1]).mean(axis=0) >= 0.5)
        if runs:
            middles = [(first + last) / 2 for first, last in runs]
            self._target = min(middles, key=lambda middle: abs(middle - self._target))
        else:
            # The road leaves the frame before that row, or the car is off it: go for whatever road is in sight.
            rows, columns = np.nonzero(road_of(frame[:CAR_ROW]))
            if len(columns) >= FRAME_SIZE // 2:
                self._target = float(columns.mean())
                row = int(rows.mean())
        ahead = max(CAR_ROW - row, 4) * UNITS_PER_ROW
        return math.atan2((self._target - CAR_COLUMN) * UNITS_PER_COLUMN, ahead)


def _runs(row: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return (first, last) of each run of at least `_NARROWEST_ROAD` true cells."""
    edges = np.diff(np.concatenate(([0], row.astype(np.int8), [0])))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return [(int(a), int(b) - 1) for a, b in zip(starts, ends, strict=True) if b - a >= _NARROWEST_ROAD]
