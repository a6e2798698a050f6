"""The channel as a Gymnasium wrapper, so that agents can be trained and tested through it."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from compression.coders.coder import Fitted
from compression.model.latent_model import Codec, load_codec
from racer.errors import ConfigError
from racer.loop.conditions import ChannelConfig, build_channel, load_masks
from racer.tasks.car_racing.frames import FRAME_SIZE, OBSERVATION_SIZE, frame_from_observation
from racer.tasks.car_racing.track import LEFT, RIGHT, STRAIGHT

_DEAD_ZONE = 0.1
"""Steering commands below this, of 1, count as straight for the receiver."""
_DISCRETE_ACTIONS = {1: RIGHT, 2: LEFT}
"""CarRacing's discrete actions that steer; all others are straight."""


class ChannelObservation(
    gymnasium.ObservationWrapper[NDArray[np.uint8], Any, NDArray[np.uint8]],  # type: ignore[misc]  # untyped bases
    gymnasium.utils.RecordConstructorArgs,  # type: ignore[misc]
):
    """Replaces CarRacing's observation by what arrives through the channel: uint8[64, 64, 3].

    `info` carries `bits` (charged for the step), `packet` (the bytes that crossed; see
    `compression.channel.Channel.recorded` where there is noise), `lost` (whether none arrived) and `mask` (bool[8]).

    Args:
        env: A CarRacing environment; its observations are uint8[96, 96, 3].
        condition: What is shown: one of `racer.loop.conditions.condition_names()`.
        config: Slot, mask interval, fill and noise.
        mask: What was fitted for the conditions that need it; the shipped file if left out.
        codec: The weights; the shipped ones if left out.

    Raises:
        ConfigError: If the environment is another one, or the condition has no mask.

    Example:
        >>> env = ChannelObservation(gymnasium.make("CarRacing-v3"), "pico")
        >>> observation, info = env.reset(seed=7)
        >>> observation.shape
        (64, 64, 3)
    """

    def __init__(
        self,
        env: gymnasium.Env[NDArray[np.uint8], Any],
        condition: str = "pico",
        config: ChannelConfig | None = None,
        mask: Fitted | None = None,
        codec: Codec | None = None,
    ) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(
            self, _disable_deepcopy=True, condition=condition, config=config, mask=mask, codec=codec
        )
        super().__init__(env)
        space = env.observation_space
        if getattr(space, "shape", None) != (OBSERVATION_SIZE, OBSERVATION_SIZE, 3) or space.dtype != np.uint8:
            raise ConfigError(f"ChannelObservation wraps CarRacing, which shows uint8[96, 96, 3]; got {space}")
        self.observation_space = Box(0, 255, (FRAME_SIZE, FRAME_SIZE, 3), np.uint8)
        self._codec = codec or load_codec()
        self._condition = condition
        self._config = config or ChannelConfig()
        self._mask = mask or load_masks([condition], (), self._codec).get(condition)
        self._channel = self._build(np.random.default_rng())
        self._action = STRAIGHT

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin an episode; a seed fixes the random masks and the noise as well as the track."""
        observation, info = self.env.reset(seed=seed, options=options)
        if seed is not None:
            self._channel = self._build(np.random.default_rng(seed))
        self._channel.reset()
        self._action = STRAIGHT
        shown = self.observation(observation)
        return shown, {**info, **self._crossed}

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Step the environment; the receiver learns which way the action steered."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._action = self._steering(action)
        shown = self.observation(observation)
        return shown, float(reward), terminated, truncated, {**info, **self._crossed}

    def observation(self, observation: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Send an observation, uint8[96, 96, 3], through the channel."""
        sent = self._channel.transmit(frame_from_observation(observation), self._action)
        self._crossed = {"bits": sent.bits, "packet": sent.packet, "lost": sent.lost, "mask": sent.mask.copy()}
        shown: NDArray[np.uint8] = sent.shown
        return shown

    def _build(self, rng: np.random.Generator) -> Any:
        return build_channel(self._condition, self._config, self._codec, rng, self._mask)

    def _steering(self, action: Any) -> int:
        if isinstance(self.env.action_space, Discrete):
            return _DISCRETE_ACTIONS.get(int(action), STRAIGHT)
        steer = float(np.asarray(action)[0])
        return STRAIGHT if abs(steer) < _DEAD_ZONE else (RIGHT if steer > 0 else LEFT)
