"""A recurrent clone of one person: what somebody pressed on seeing what they saw, without a theory of why.

An echo state network (H. Jaeger and H. Haas, Science 304, 2004): what the eyes of the family `pixel-policy` make of a
frame, and the key pressed last, drive a reservoir of units whose weights are drawn once and never fitted; only a
multinomial logistic readout is, so that the few thousand steps of a person are enough. `racer.drivers.clone_fitting`
fits it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from racer.drivers.driver import DriverError
from racer.drivers.families.pixel_policy import WEIGHTS_SHA256, network, reduced
from racer.drivers.person import CloneFile
from racer.tasks.car_racing.task import STRAIGHT

STATES = 64
"""Units of the reservoir."""
KEYS = 3
_LEAK = 0.4
"""Share of a unit's state that a step exchanges."""
_RADIUS = 0.9
"""Largest absolute eigenvalue of the reservoir's weights: what was seen long ago fades."""

Floats = NDArray[np.float64]


def features_of(frames: Iterable[NDArray[np.uint8]]) -> Floats:
    """Return what the eyes make of frames, uint8[64, 64, 3] each: float64[T, F]."""
    eyes = network()
    return np.array([eyes.features(reduced(frame)) for frame in frames], np.float64)


class Reservoir:
    """What is left of what was seen and pressed.

    Args:
        seed: Of its weights.
        features: F, how many the eyes have.
    """

    def __init__(self, seed: int, features: int) -> None:
        rng = np.random.default_rng(seed)
        own = rng.standard_normal((STATES, STATES))
        self._own = own * _RADIUS / np.abs(np.linalg.eigvals(own)).max()
        self._seen = rng.standard_normal((STATES, features + KEYS)) / math.sqrt(features + KEYS)
        self.reset()

    def reset(self) -> None:
        """Forget everything; no key is down."""
        self._state = np.zeros(STATES)
        self._last = STRAIGHT

    def see(self, features: Floats) -> Floats:
        """Return what the readout reads, float64[F + STATES + KEYS + 1], on seeing features, float64[F]."""
        last = np.eye(KEYS)[self._last]
        driven = np.tanh(self._own @ self._state + self._seen @ np.concatenate([features, last]))
        self._state = (1 - _LEAK) * self._state + _LEAK * driven
        return np.concatenate([features, self._state, last, [1.0]])

    def press(self, key: int) -> None:
        """Note which key was pressed, 0 to 2."""
        self._last = key


def chances(readout: Floats, read: Floats) -> Floats:
    """Return how probable each key is, float64[..., KEYS], given what is read, float64[..., R], by float64[KEYS, R]."""
    levels = read @ readout.T
    weights = np.exp(levels - levels.max(axis=-1, keepdims=True))
    found: Floats = weights / weights.sum(axis=-1, keepdims=True)
    return found


class Clone:
    """Presses keys as somebody did.

    Args:
        file: Of whom.
        pace: Steps per second.
        dice: Seed of its chances, 0 or more.
        name: Of the file, for messages.

    Raises:
        DriverError: If it sees by other eyes than this version has, or was fitted at another pace.
    """

    def __init__(self, file: CloneFile, pace: float, dice: int, name: str) -> None:
        self._readout = np.array(file.readout)
        features = len(file.middle)
        if file.eyes_sha256 != WEIGHTS_SHA256:
            raise DriverError(f"{name} sees with the eyes of another version of Racer: fit it again")
        if self._readout.shape[1:] != (features + STATES + KEYS + 1,) or len(file.spread) != features:
            raise DriverError(f"{name} was not made by `racer driver fit`, or is damaged: fit it again")
        if pace != file.pace:
            raise DriverError(
                f"{name} acts {file.pace:g} times a second, as the person it was cloned from did, not {pace:g} times: "
                "fit traits, which any pace suits, with `racer driver fit` to a name without .clone"
            )
        self._middle, self._spread = np.array(file.middle), np.array(file.spread)
        self._reservoir = Reservoir(file.reservoir, features)
        self._rng = np.random.default_rng(dice)

    def reset(self) -> None:
        """Forget the last trial; the random stream goes on."""
        self._reservoir.reset()

    def act(self, frame: NDArray[np.uint8]) -> int:
        """Return what to do on seeing `frame`, uint8[64, 64, 3]: 0 (left), 1 (straight) or 2 (right)."""
        (features,) = features_of([frame])
        if len(features) != len(self._middle):
            raise DriverError("this clone sees with other eyes than this version of Racer has: fit it again")
        likely = chances(self._readout, self._reservoir.see((features - self._middle) / self._spread))
        key = int(np.searchsorted(np.cumsum(likely)[:-1], self._rng.random(), side="right"))
        self._reservoir.press(key)
        return key
