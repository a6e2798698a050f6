"""How likely a person of the family `pursuit` is, given what somebody was shown and pressed.

A decision is an ordered probit: what the person wants to turn, noise of the eye included, lies below, within or above
the dead zone (R. D. McKelvey and W. Zavoina, Journal of Mathematical Sociology 4, 1975), but for lapses, in which any
key is as likely. Given what was shown and pressed before, all that a step depends on is known, so that the likelihood
of a drive is a product over its steps; that the noise of one look enters two steps is left out. The reaction time and
the row looked at are gone through; the rest is found by L-BFGS-B.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from racer.drivers.families.pursuit import WHEEL_LIMIT, WHEEL_SPEED, YAW_PER_WHEEL, Pursuit, PursuitTraits, eyes_for
from racer.drivers.person import Traits
from racer.tasks.car_racing.task import STRAIGHT
from racer.tasks.task import Task

DEAD_ZONE = 0.1
"""Dead zone of fitted people, by convention: only ratios to it can be identified."""
ROWS = range(8, 23)
"""Rows before the nose that may be looked at."""
BOUNDS = ((0.05, 10.0), (0.0, 10.0), (0.0, 5.0), (0.002, 1.0), (1e-4, 0.5))
"""Bounds of gain, damping, anticipation, noise, and lapses per step."""
_START = (1.0, 0.5, 0.8, 0.05, 0.02)

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Drive:
    """One recorded episode."""

    condition: str
    seed: int
    frames: NDArray[np.uint8]
    """uint8[T, 64, 64, 3]: what was shown."""
    actions: NDArray[np.uint8]
    """uint8[T]: what was pressed."""
    failed: NDArray[np.bool_]
    """bool[T]: whether the car was off the road, after each step; see `TaskSpec.failure`."""
    session_id: str = ""
    """Session id of its recording; empty where it was not recorded."""


@dataclass(frozen=True, eq=False)
class Seen:
    """One episode as the likelihood needs it."""

    bearings: dict[int, Floats]
    """Bearing of the road, float64[T], by the row that is looked at."""
    actions: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Fit:
    """A person, and how likely one is."""

    delay: int
    """Reaction time, steps."""
    row: int
    """Row that is looked at, counted from the nose."""
    values: Floats
    """float64[5], as `BOUNDS`."""
    likelihood: float
    covariance: Floats


def look(drive: Drive, task: Task) -> Seen:
    """Return the bearing of the road at every row that may be looked at."""
    bearings = {}
    for row in ROWS:
        eye = Pursuit(replace(PursuitTraits.of(0), look_ahead=float(row)), 0, eyes_for(task))
        bearings[row] = np.array([eye.bearing_of_road(frame) for frame in drive.frames])
    return Seen(bearings, drive.actions.astype(np.int64))


def most_likely(
    seen: Sequence[Seen],
    longest: int,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> tuple[Fit, dict[int, float]]:
    """Return the most likely person, and the highest log likelihood of every reaction time in steps."""
    best: Fit | None = None
    profile: dict[int, float] = {}
    for delay in range(longest + 1):
        progress("fitting", delay, longest + 1)
        tried: dict[int, Fit] = {}
        for row in (*ROWS[::3], *ROWS):
            # Every third row first, and then those beside the best of them.
            if row not in tried and (row in ROWS[::3] or abs(row - max(tried.values(), key=_likely).row) < 3):
                tried[row] = _fitted(seen, delay, row, longest)
        own = max(tried.values(), key=_likely)
        profile[delay] = own.likelihood
        if best is None or own.likelihood > best.likelihood:
            best = own
    assert best is not None
    decide = decisions(seen, best.delay, best.row, longest)
    return replace(best, covariance=_covariance(lambda values: log_likelihood(values, *decide), best.values)), profile


def _likely(fit: Fit) -> float:
    return fit.likelihood


def _fitted(seen: Sequence[Seen], delay: int, row: int, longest: int) -> Fit:
    from scipy import optimize

    decide = decisions(seen, delay, row, longest)
    found = optimize.minimize(
        lambda values: -log_likelihood(values, *decide), np.array(_START), method="L-BFGS-B", bounds=BOUNDS
    )
    return Fit(delay, row, np.asarray(found.x), -float(found.fun), np.zeros((5, 5)))


def decisions(seen: Sequence[Seen], delay: int, row: int, longest: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Return of every decision, float64[N] each: bearing, its change, turning to come, what was decided (-1, 0, 1).

    Those are left out whose key would be pressed before the longest reaction time is over, so that all reaction times
    are judged by the same keys.
    """
    parts = []
    for each in seen:
        decided = each.actions[delay:] - STRAIGHT
        bearing = each.bearings[row][: len(decided)]
        wheel = np.zeros(len(decided) + 1)
        for step, key in enumerate(decided):
            wheel[step + 1] = wheel[step] + np.clip(WHEEL_LIMIT * key - wheel[step], -WHEEL_SPEED, WHEEL_SPEED)
        sums = np.concatenate([np.zeros(delay + 1), np.cumsum(wheel[1:])])
        pending = sums[delay : delay + len(decided)] - sums[: len(decided)]
        coming = YAW_PER_WHEEL * pending + wheel[:-1]
        change = np.diff(bearing, prepend=bearing[:1])
        parts.append(np.stack([bearing, change, coming, decided])[:, longest - delay :])
    bearing, change, coming, decided = np.concatenate(parts, axis=1)
    return bearing, change, coming, decided


def log_likelihood(values: Floats, bearing: Floats, change: Floats, coming: Floats, decided: Floats) -> float:
    """Return the log likelihood of decisions, as `decisions` returns them, under float64[5] of `BOUNDS`."""
    return float(np.log(_chances(values, bearing, change, coming, decided)).sum())


def _chances(values: Floats, bearing: Floats, change: Floats, coming: Floats, decided: Floats) -> Floats:
    """Return the probability of each decision, float64[N]."""
    from scipy.special import ndtr

    gain, damping, anticipation, noise, lapses = values
    wanted = gain * bearing + damping * change - anticipation * coming
    spread = max(noise * math.hypot(gain + damping, damping), 1e-6)
    right, left = ndtr((wanted - DEAD_ZONE) / spread), ndtr((-wanted - DEAD_ZONE) / spread)
    chance = np.where(decided > 0, right, np.where(decided < 0, left, np.maximum(1 - right - left, 0)))
    found: Floats = np.maximum((1 - lapses) * chance + lapses / 3, 1e-12)
    return found


def _covariance(log_likelihood: Callable[[Floats], float], values: Floats) -> Floats:
    """Return the covariance of the normal approximation to the posterior, float64[5, 5], by second differences."""
    size = len(values)
    steps = 1e-3 * np.maximum(np.abs(values), 0.05)
    lows, highs = np.array(BOUNDS).T
    centre = np.clip(values, lows + 2 * steps, highs - 2 * steps)
    hessian = np.zeros((size, size))
    for i in range(size):
        for j in range(i, size):
            total = 0.0
            for one, other in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
                moved = centre.copy()
                moved[i] += one * steps[i]
                moved[j] += other * steps[j]
                total += one * other * log_likelihood(moved)
            hessian[i, j] = hessian[j, i] = total / (4 * steps[i] * steps[j])
    # A prior as wide as the bounds holds what the drives say nothing of.
    precision = -hessian + np.diag(12 / np.square(highs - lows))
    eigenvalues, vectors = np.linalg.eigh(precision)
    least = (12 / np.square(highs - lows)).min()
    found: Floats = (vectors / np.maximum(eigenvalues, least)) @ vectors.T
    return found


def traits_of(fit: Fit, values: Floats, pace: float) -> Traits:
    gain, damping, anticipation, noise, lapses = (float(value) for value in values)
    return Traits(
        reaction_ms=1000 * fit.delay / pace,
        look_ahead=float(fit.row),
        gain=gain,
        damping=damping,
        anticipation=anticipation,
        dead_zone=DEAD_ZONE,
        noise=noise,
        lapses=lapses * pace,
    )
