"""Short tones at the beginning and the end of a round. They are made here, so that no file is played."""

from __future__ import annotations

from typing import Final

import numpy as np
import pygame
from numpy.typing import NDArray

from racer.errors import ConfigError

RATE: Final = 44_100
"""Samples per second."""
PITCHES: Final = {"episode_begin": 880.0, "episode_end": 440.0}
"""Hz, by what they tell of."""
_SECONDS, _FADE_SECONDS, _LOUDNESS = 0.15, 0.02, 0.3


def tone(hertz: float) -> NDArray[np.int16]:
    """Return a pure tone of 150 ms, int16[samples, 2], which swells and fades so that it does not click."""
    at = np.arange(round(RATE * _SECONDS)) / RATE
    swell = np.minimum(1.0, np.minimum(at, at[::-1]) / _FADE_SECONDS)
    wave = _LOUDNESS * swell * np.sin(2 * np.pi * hertz * at)
    return np.repeat(np.round(wave * np.iinfo(np.int16).max).astype(np.int16)[:, None], 2, axis=1)


class Tones:
    """Plays them on this machine's sound device.

    Raises:
        ConfigError: If there is none.
    """

    def __init__(self) -> None:
        try:
            pygame.mixer.init(RATE, -16, 2, buffer=512, allowedchanges=0)
        except pygame.error as error:
            reason = " ".join(str(error).split())[:120]
            raise ConfigError(
                f"no sound can be played here: {reason}; nothing was recorded: plug in a sound device, or leave the "
                "sounds out"
            ) from error
        self._sounds = {kind: pygame.mixer.Sound(buffer=tone(hertz).tobytes()) for kind, hertz in PITCHES.items()}

    def tell(self, kind: str) -> None:
        """Play the tone of an event, if it has one, without waiting for its end."""
        if kind in self._sounds:
            self._sounds[kind].play()

    def close(self) -> None:
        """Give the device back."""
        pygame.mixer.quit()
