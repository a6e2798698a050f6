"""One run of CarRacing-v3: the driver chooses left, straight or right and the throttle works by itself."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from gymnasium.envs.box2d import car_racing as stock
from numpy.typing import NDArray

from racer.tasks.car_racing.clutter import Clutter
from racer.tasks.car_racing.frames import frame_from_observation
from racer.tasks.car_racing.rendering import FastCarRacing
from racer.tasks.car_racing.task import LEFT, RIGHT, STRAIGHT, ZOOM_STEPS, CarRacing
from racer.tasks.task import Outcome

STEERING = 0.5
"""Magnitude of the steering command (released experiment, pico/user_models.py)."""
_DIRECTIONS = {LEFT: -1, STRAIGHT: 0, RIGHT: 1}
_GAS_PER_SPEED = 0.05
"""Gas per unit of speed missing; a car this far (20 units/s) below its target gets full gas."""
_BRAKE_PER_SPEED = 0.01
"""Brake per unit of speed too much."""
_FORGIVING_FRICTION = 10.0
_PULSE_STEPS = 100
_TOLD_PATCHES = np.array([-3, 0, 3, 6, 9, 12])
"""Patches of road from the one that the car is on."""


class _GrippingGround:
    """Stands in a wheel's set of touched tiles as ground that grips everywhere (read by Gymnasium's Car.step)."""

    road_friction = _FORGIVING_FRICTION


class Track:
    """One run on one track. A fresh physics world each time: same seed and actions, same frames and progress.

    Args:
        task: Handling, speed and the treatment of the opening zoom.
        seed: Track seed, as of `gymnasium.make("CarRacing-v3").reset(seed=...)`; 0 or more.
        clutter: How much there is to see that means nothing, 0 to 1; it changes nothing of the driving.
    """

    def __init__(self, task: CarRacing, seed: int, clutter: float = 0.0) -> None:
        self._task = task
        self._steps = 0
        # At 1.0 Gymnasium never ends an episode early by its lap rule, which misses laps (Gymnasium issue 1269).
        self._env = FastCarRacing(draw_each_step=False, lap_complete_percent=1.0)
        self._env.reset(seed=seed)
        self._clutter = Clutter(self._env, seed, clutter) if clutter else None
        if task.handling == "forgiving":
            for wheel in self._env.car.wheels:
                wheel.tiles.add(_GrippingGround)
        if task.skip_zoom:
            rest = np.zeros(3, np.float32)
            for _ in range(ZOOM_STEPS):
                self._env.step(rest)

    @property
    def road_patches(self) -> int:
        """Number of road patches of this track."""
        return len(self._env.track)

    @property
    def progress(self) -> float:
        """Fraction of the road patches visited so far, in [0, 1]."""
        return float(self._env.tile_visited_count / len(self._env.track))

    @property
    def speed(self) -> float:
        """Track units per simulated second."""
        velocity = self._env.car.hull.linearVelocity
        return math.hypot(velocity[0], velocity[1])

    @property
    def off_road(self) -> bool:
        """Whether no wheel touches the road."""
        return not any(tile is not _GrippingGround for wheel in self._env.car.wheels for tile in wheel.tiles)

    def frame(self) -> NDArray[np.uint8]:
        """Draw the current frame, uint8[64, 64, 3]."""
        return frame_from_observation(self._env.scene() if self._clutter is None else self._clutter.scene())

    def labels(self) -> NDArray[np.uint8]:
        """Return what takes most of each pixel of the frame, uint8[64, 64]; clutter is the grass that it lies in."""
        return self._env.labels()

    def truth(self) -> NDArray[np.float64]:
        """Return where the road lies as seen from the car, float64[18].

        Of each of six patches of road, from 3 behind the car to 12 ahead of it, each 3.5 track units long: how far to
        the right of the car its middle lies, then how far ahead, both in track units, then how much it is turned
        anticlockwise from the car's direction, in radians.
        """
        hull = self._env.car.hull
        direction, x, y = self._patches
        x, y = x - hull.position[0], y - hull.position[1]
        seen = (int(np.argmin(x * x + y * y)) + _TOLD_PATCHES) % len(x)
        cosine, sine = math.cos(hull.angle), math.sin(hull.angle)
        right, ahead = cosine * x[seen] + sine * y[seen], cosine * y[seen] - sine * x[seen]
        turned = (direction[seen] - hull.angle + math.pi) % (2 * math.pi) - math.pi
        return np.concatenate([right, ahead, turned])

    def place(self) -> tuple[float, float]:
        """Return the middle of the car, track units."""
        x, y = self._env.car.hull.position
        return float(x), float(y)

    def outlines(self) -> list[NDArray[np.float64]]:
        """Return the left and the right edge of the road, float64[patches + 1, 2] each, track units."""
        track = np.array(self._env.track + self._env.track[:1])
        aside = stock.TRACK_WIDTH * np.column_stack([np.cos(track[:, 1]), np.sin(track[:, 1])])
        return [track[:, 2:] - aside, track[:, 2:] + aside]

    def deviation(self) -> float:
        """Return the distance of the car from the middle of the patch of road nearest to it, across it, track units."""
        x, y = self._env.car.hull.position
        direction, right, ahead = self._patches
        right, ahead = right - x, ahead - y
        nearest = int(np.argmin(right * right + ahead * ahead))
        across = math.cos(direction[nearest]) * right[nearest] + math.sin(direction[nearest]) * ahead[nearest]
        return abs(float(across))

    @cached_property
    def _patches(self) -> NDArray[np.float64]:
        """Direction, x and y of the middle of each patch of road, float64[3, P]."""
        return np.array(self._env.track)[:, 1:].T.copy()

    def close(self) -> None:
        """Give the physics world back; without this each track keeps about 2 MB."""
        self._env.close()

    def step(self, action: int) -> Outcome:
        """Advance one control tick (1/50 simulated second); nothing is drawn until `frame` is called.

        The run is over when the whole road has been visited or the car has left the field.

        Raises:
            ValueError: If the action is none of 0 (left), 1 (straight) and 2 (right).
        """
        if action not in _DIRECTIONS:
            raise ValueError(f"action must be 0 (left), 1 (straight) or 2 (right); got {action!r}")
        gas, brake = self._throttle()
        control = np.array([STEERING * _DIRECTIONS[action], gas, brake], np.float32)
        _, reward, _, _, _ = self._env.step(control)
        self._steps += 1
        x, y = self._env.car.hull.position
        left_field = max(abs(x), abs(y)) > stock.PLAYFIELD
        steer, gas, brake = control.tolist()
        metrics = {
            "progress": self.progress,
            "off_road": float(self.off_road),
            "speed": self.speed,
            "reward": float(reward),
            "steer": steer,
            "gas": gas,
            "brake": brake,
        }
        return Outcome(metrics, over=left_field or self._env.tile_visited_count == len(self._env.track))

    def _throttle(self) -> tuple[float, float]:
        if self._task.handling == "forgiving":
            return float(self._steps % (2 * _PULSE_STEPS) < _PULSE_STEPS), 0.0
        missing = self._task.speed - self.speed
        gas = min(max(_GAS_PER_SPEED * missing, 0.0), 1.0)
        brake = min(max(-_BRAKE_PER_SPEED * missing, 0.0), 0.5)
        return gas, brake
