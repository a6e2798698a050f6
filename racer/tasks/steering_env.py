"""The steering task as a Gymnasium environment: what datasets of recordings name as the environment they come from."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from racer.tasks.car_racing.frames import FRAME_SIZE
from racer.tasks.car_racing.track import Handling, Outcome, Track, TrackConfig

OBSERVATION_SPACE = Box(0, 255, (FRAME_SIZE, FRAME_SIZE, 3), np.uint8)
ACTION_SPACE = Discrete(3)
"""0 left, 1 straight, 2 right."""
_SEEDS = 2**31


class SteeringEnv(gymnasium.Env[NDArray[np.uint8], np.int64]):  # type: ignore[misc]  # gymnasium is untyped
    """CarRacing steered by three actions, seen as original frames; a seed is a track, as in recordings.

    Args:
        handling, target_speed, skip_zoom: See `TrackConfig`.
    """

    def __init__(self, handling: Handling = "stock", target_speed: float = 50.0, skip_zoom: bool = True) -> None:
        self.observation_space, self.action_space = OBSERVATION_SPACE, ACTION_SPACE
        self._config = TrackConfig(handling, target_speed, skip_zoom)
        self._track: Track | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin on the track of the seed; on a random one if left out."""
        super().reset(seed=seed)
        self.close()
        self._track = Track(self._config, int(self.np_random.integers(_SEEDS)) if seed is None else seed)
        return self._track.frame(), _info(Outcome((0.0, 0.0, 0.0), 0.0, False, 0.0, 0.0, False))

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Advance one control tick with an action of 0 (left), 1 (straight) or 2 (right)."""
        if self._track is None:
            raise gymnasium.error.ResetNeeded("call reset before step")
        outcome = self._track.step(int(action) - 1)
        return self._track.frame(), outcome.reward, outcome.over, False, _info(outcome)

    def close(self) -> None:
        """Give the track back."""
        if self._track is not None:
            self._track.close()
            self._track = None


def steering_spec(config: TrackConfig) -> EnvSpec:
    """Return what `gymnasium.make` needs for a `SteeringEnv` of this handling, wherever racer is installed."""
    return EnvSpec("racer/Steering-v0", entry_point="racer.tasks.steering_env:SteeringEnv", kwargs=asdict(config))


def _info(outcome: Outcome) -> dict[str, Any]:
    return {
        "control": np.array(outcome.control, np.float32),
        "progress": np.float32(outcome.progress),
        "off_road": outcome.off_road,
        "speed": np.float32(outcome.speed),
    }
