"""CarRacing-v3 as a steering task: the driver chooses left, straight or right and the throttle works by itself.

The step loop needs nothing else of the game::

    track = Track(TrackConfig(), seed=7)
    frame = track.frame()            # uint8[64, 64, 3]
    outcome = track.step(LEFT)       # physics only; nothing is drawn until the next frame() call
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from gymnasium.envs.box2d import car_racing as stock
from numpy.typing import NDArray

from racer.errors import ConfigError
from racer.tasks.car_racing.frames import frame_from_observation
from racer.tasks.car_racing.rendering import FastCarRacing

LEFT, STRAIGHT, RIGHT = -1, 0, 1
ACTIONS = (LEFT, STRAIGHT, RIGHT)

Handling = Literal["stock", "forgiving"]

ZOOM_STEPS = 50
"""Steps of CarRacing's opening zoom (one second at 50 steps per simulated second)."""
STEERING = 0.5
"""Magnitude of the steering command (released experiment, pico/user_models.py)."""
_GAS_PER_SPEED = 0.05
"""Gas per unit of speed missing; a car this far (20 units/s) below its target gets full gas."""
_BRAKE_PER_SPEED = 0.01
"""Brake per unit of speed too much."""
_FORGIVING_FRICTION = 10.0
_PULSE_STEPS = 100


@dataclass(frozen=True)
class TrackConfig:
    """How the car is driven."""

    handling: Handling = "stock"
    """`stock`: CarRacing's tyres and a throttle holding `target_speed`. `forgiving`: the released experiment's
    tyre friction x10, no grass penalty, and full gas in pulses of 100 steps, whatever `target_speed` says."""
    target_speed: float = 50.0
    """Speed held by the automatic throttle, track units per simulated second (50 steps)."""
    skip_zoom: bool = True
    """Let the opening zoom pass, the car at rest, before the first step."""

    def __post_init__(self) -> None:
        if self.handling not in get_args(Handling):
            raise ConfigError(f"handling must be one of {', '.join(get_args(Handling))}; got {self.handling!r}")
        if not (math.isfinite(self.target_speed) and 0 < self.target_speed <= 200):
            raise ConfigError(f"target speed must lie in (0, 200] units/s; got {self.target_speed}")


@dataclass(frozen=True)
class Outcome:
    """What one step did."""

    control: tuple[float, float, float]
    """Steer in [-1, 1] (negative is left), gas and brake in [0, 1] as sent to CarRacing."""
    progress: float
    """Road progress after the step: fraction of the track's road patches visited, in [0, 1]."""
    off_road: bool
    """Whether no wheel touches the road after the step."""
    speed: float
    """Speed after the step, track units per simulated second."""
    reward: float
    """CarRacing's own reward for the step."""
    over: bool
    """Whether the whole road has been visited or the car has left the field."""


class _GrippingGround:
    """Stands in a wheel's set of touched tiles as ground that grips everywhere (read by Gymnasium's Car.step)."""

    road_friction = _FORGIVING_FRICTION


class Track:
    """One run on one track. A fresh physics world each time: same seed and actions, same frames and progress.

    Args:
        config: Handling, speed and the treatment of the opening zoom.
        seed: Track seed, as of `gymnasium.make("CarRacing-v3").reset(seed=...)`; 0 or more.
    """

    def __init__(self, config: TrackConfig, seed: int) -> None:
        self.config = config
        self.seed = seed
        self._steps = 0
        # At 1.0 Gymnasium never ends an episode early by its lap rule, which misses laps (Gymnasium issue 1269).
        self._env = FastCarRacing(draw_each_step=False, lap_complete_percent=1.0)
        self._env.reset(seed=seed)
        if config.handling == "forgiving":
            for wheel in self._env.car.wheels:
                wheel.tiles.add(_GrippingGround)
        if config.skip_zoom:
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
        return frame_from_observation(self._env.scene())

    def close(self) -> None:
        """Give the physics world back; without this each track keeps about 2 MB."""
        self._env.close()

    def step(self, action: int) -> Outcome:
        """Advance one control tick (1/50 simulated second) with `action` in {-1, 0, 1}.

        Raises:
            ValueError: If the action is another one.
        """
        if action not in ACTIONS:
            raise ValueError(f"action must be -1 (left), 0 (straight) or 1 (right); got {action!r}")
        gas, brake = self._throttle()
        control = np.array([STEERING * action, gas, brake], np.float32)
        _, reward, _, _, _ = self._env.step(control)
        self._steps += 1
        x, y = self._env.car.hull.position
        left_field = max(abs(x), abs(y)) > stock.PLAYFIELD
        steer, gas, brake = control.tolist()
        return Outcome(
            control=(steer, gas, brake),
            progress=self.progress,
            off_road=self.off_road,
            speed=self.speed,
            reward=float(reward),
            over=left_field or self._env.tile_visited_count == len(self._env.track),
        )

    def _throttle(self) -> tuple[float, float]:
        if self.config.handling == "forgiving":
            return float(self._steps % (2 * _PULSE_STEPS) < _PULSE_STEPS), 0.0
        missing = self.config.target_speed - self.speed
        gas = min(max(_GAS_PER_SPEED * missing, 0.0), 1.0)
        brake = min(max(-_BRAKE_PER_SPEED * missing, 0.0), 0.5)
        return gas, brake
