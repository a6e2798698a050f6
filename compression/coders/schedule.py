"""What the predictive coder reads in which step: a Kalman filter's covariance decides, so that nothing need be said.

The receiver predicts a latent and is told about it in a few readings, each a projection c . z at a few bits. How unsure
the prediction is follows from how many readings there were, not from what they said: both ends know it beforehand, and
agree without a word on the direction c that is worth the next bit, on the step of its quantiser, and on how much the
reading tells about everything else (the Kalman gain).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
Matrix = NDArray[np.float64]

UNIFORM_STEPS = (1.596, 0.9957, 0.5860, 0.3352, 0.1881, 0.1041)
"""Best step of a uniform quantiser of 1 to 6 bits for a normal variable, in standard deviations (Max, 1960)."""
LEFT_OVER = (0.3634, 0.1188, 0.03744, 0.01154, 0.003495, 0.001041)
"""Mean squared error that it leaves, of a variance of 1 (Max, 1960)."""
MOST_DEPTH = len(UNIFORM_STEPS)
_BURN_IN, _CYCLE = 96, 96
"""Steps until the covariance repeats itself, and after how many it is taken to."""
_SHARED_FROM = 10
"""Bits from which every packet holds absolute readings as well as differences; below, packets take turns."""
_TURN = 4
"""Every so many packets of fewer bits, one is absolute."""
_ROTATION = 12
"""Directions that absolute readings take in turn, if there are as many."""
_BITS_PER_ABSOLUTE = 24
"""A packet holds an absolute reading for every so many bits, at least one."""
_MOST_UNSURE = 2.0
"""Variance of an error, in variances of the latents, that is not exceeded."""
_FINE_READINGS = 16
"""Differences a packet should hold before any of them is worth a further bit."""


@dataclass(frozen=True)
class Reading:
    """One projection of the latent."""

    direction: Vector
    """float32[latents], c."""
    gain: Vector
    """float32[latents], how far the latent moves for each unit that c . z does."""
    depth: int
    """Bits, 1 to 6."""
    step: float
    """Width of a quantiser's cell."""
    centre: float | None
    """Where the middle of the quantiser lies; None: at the prediction, so that the difference is sent."""

    @property
    def levels(self) -> int:
        """Number of cells."""
        return 1 << self.depth


@dataclass(frozen=True)
class Dynamics:
    """How unsure predictions are."""

    transition: Matrix
    """float64[latents, latents]: an error e of a latent becomes transition @ e of the next one's prediction."""
    innovation: Matrix
    """float64[latents, latents], covariance of the error that prediction adds."""


class Schedule:
    """The readings of every step, a cycle after some burn-in; worked out when first asked for.

    Args:
        bits: Slot.
        dynamics: How unsure predictions are at about this rate.
        directions: float64[latents, latents], rows c whose squared errors, added up, are what an error matters; most
            important first.
        mean: float32[latents] of the latents.
        covariance: float32[latents, latents] of the latents: how unsure one is in the first step.
    """

    def __init__(
        self,
        bits: int,
        dynamics: Dynamics,
        directions: Matrix,
        mean: NDArray[np.float32],
        covariance: NDArray[np.float32],
    ) -> None:
        self._bits = bits
        self._dynamics = dynamics
        self._directions = directions
        self._weight = directions.T @ directions
        self._mean = mean.astype(np.float64)
        self._prior = covariance.astype(np.float64)
        self._spread = np.sqrt(np.einsum("ij,jk,ik->i", directions, self._prior, directions))
        self._steps: list[tuple[Reading, ...]] = []
        self._unsure = self._prior
        self._turn = 0

    def __getitem__(self, step: int) -> tuple[Reading, ...]:
        """Return the readings of a step, counted from 0."""
        if step >= _BURN_IN:
            step = _BURN_IN + (step - _BURN_IN) % _CYCLE
        while len(self._steps) <= step:
            self._steps.append(self._next())
        return self._steps[step]

    def _next(self) -> tuple[Reading, ...]:
        """Return the readings of the first step that is not planned yet."""
        step = len(self._steps)
        if step:
            self._unsure = grown(self._unsure, self._dynamics, self._prior)
        latents = len(self._mean)
        absolutes, differences = fields(self._bits, step, latents)
        readings = []
        for depth in absolutes:
            reading, self._unsure = self._absolute(self._unsure, self._turn % min(_ROTATION, latents), depth)
            readings.append(reading)
            self._turn += 1
        for depth in differences:
            reading, self._unsure = self._difference(self._unsure, depth)
            readings.append(reading)
        return tuple(readings)

    def _difference(self, unsure: Matrix, depth: int) -> tuple[Reading, Matrix]:
        """Return a reading of the direction that it tells most about, and the covariance after it."""
        cross = unsure @ self._directions.T
        variances = np.maximum(np.einsum("ij,ji->i", self._directions, cross), 1e-12)
        worth = np.einsum("ij,ij->j", cross, self._weight @ cross) / variances
        chosen = int(np.argmax(worth))
        told, variance = cross[:, chosen], float(variances[chosen])
        after = unsure - (1 - LEFT_OVER[depth - 1]) / variance * np.outer(told, told)
        step = UNIFORM_STEPS[depth - 1] * variance**0.5
        return self._reading(chosen, told / variance, depth, step, None), after

    def _absolute(self, unsure: Matrix, chosen: int, depth: int) -> tuple[Reading, Matrix]:
        direction = self._directions[chosen]
        told = unsure @ direction
        variance = max(float(direction @ told), 1e-12)
        step = UNIFORM_STEPS[depth - 1] * float(self._spread[chosen])
        after = unsure - np.outer(told, told) / (variance + step**2 / 12)
        centre = float(direction @ self._mean)
        return self._reading(chosen, told / variance, depth, step, centre), after

    def _reading(self, chosen: int, gain: Matrix, depth: int, step: float, centre: float | None) -> Reading:
        return Reading(self._directions[chosen].astype(np.float32), gain.astype(np.float32), depth, step, centre)


def grown(unsure: Matrix, dynamics: Dynamics, prior: Matrix) -> Matrix:
    """Return the covariance of the errors one step later, within twice the latents' own: latents are bounded."""
    after = dynamics.transition @ unsure @ dynamics.transition.T + dynamics.innovation
    scale = np.sqrt(np.minimum(1, _MOST_UNSURE * np.diag(prior) / np.diag(after)))
    bounded: Matrix = (after + after.T) / 2 * np.outer(scale, scale)
    return bounded


def fields(bits: int, step: int, latents: int) -> tuple[list[int], list[int]]:
    """Return the depths, in bits, of the absolute readings and of the differences in a step's packet.

    They add up to `bits`, unless every feature is read as finely as there are tables for.
    """
    if bits >= _SHARED_FROM:
        depth = 5 if bits < _BITS_PER_ABSOLUTE else MOST_DEPTH
        absolutes = [depth] * min(max(1, bits // _BITS_PER_ABSOLUTE), _ROTATION, latents)
    elif step % _TURN == _TURN - 1:
        absolutes = [min(bits, 5)]
    else:
        absolutes = []
    left = bits - sum(absolutes)
    depth = min(max(-(-left // _FINE_READINGS), 1), MOST_DEPTH)
    differences = [depth] * (left // depth) + ([left % depth] if left % depth else [])
    return absolutes, differences[:latents]
