"""Two tasks that Racer has never heard of, for tests: one that moves on by itself, and one that waits for answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from racer.tasks import registry
from racer.tasks.task import Action, Metric, Outcome, TaskSpec, TaskText

SIDE, GOAL = 40, (4, 35)
MOVES = ((0, 0), (0, -1), (0, 1), (-1, 0))
TEXTS = {"en": TaskText("Go", ("Do it {trials} times.",))}


@dataclass(frozen=True)
class Crossing:
    """Cross a field to its corner, against the wind."""

    wind: float = 0.0
    """Chance of being blown back by a pixel."""

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec(
            name="crossing",
            summary="cross a field",
            frame=(SIDE, SIDE, 1),
            actions=tuple(Action(name) for name in ("stay", "left", "right", "up")),
            metrics=(
                Metric("distance", "way left to the corner", "m", "lower", low=0.0, high=80.0, label="way left"),
                Metric("home", "whether the corner is reached", "fraction", "higher", 0, 1, boolean=True),
                Metric("effort", "moves made in a step", "", "lower", trial="mean"),
                Metric("gust", "whether there was wind", "fraction"),
            ),
            texts=TEXTS,
            neutral=0,
            steps=8,
            operating_points=({"wind": 0.0}, {"wind": 0.5}),
        )

    def start(self, seed: int) -> Field:
        return Field(self.wind, seed)


class Field:
    def __init__(self, wind: float, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._wind = wind
        self._at = self._rng.integers(5, 35, 2)

    def frame(self) -> NDArray[np.uint8]:
        frame = np.full((SIDE, SIDE, 1), 40, np.uint8)
        row, column = self._at
        frame[row - 2 : row + 3, column - 2 : column + 3] = 250
        return frame

    def step(self, action: int) -> Outcome:
        gust = bool(self._rng.random() < self._wind)
        self._at = np.clip(self._at + MOVES[action] - (0, int(gust)), 3, SIDE - 4)
        distance = float(np.abs(self._at - GOAL).sum())
        values = {
            "distance": distance,
            "home": float(distance < 3),
            "effort": float(action > 0),
            "gust": float(gust),
        }
        return Outcome(values, distance < 3)

    def close(self) -> None: ...


@dataclass(frozen=True)
class Guess:
    """Say which of ten bars is the bright one."""

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec(
            name="guess",
            summary="say which bar is bright",
            frame=(28, 28, 1),
            actions=tuple(Action(f"bar-{number}") for number in range(10)),
            metrics=(Metric("correct", "whether the answer was right", "fraction", "higher", 0, 1, boolean=True),),
            texts=TEXTS,
            paced=False,
            steps=6,
        )

    def start(self, seed: int) -> Bars:
        return Bars(seed)


class Bars:
    def __init__(self, seed: int) -> None:
        self._bright = seed % 10

    def frame(self) -> NDArray[np.uint8]:
        frame = np.zeros((28, 28, 1), np.uint8)
        frame[:, 2 * self._bright : 2 * self._bright + 2] = 255
        return frame

    def step(self, action: int) -> Outcome:
        return Outcome({"correct": float(action == self._bright)}, True)

    def close(self) -> None: ...


class Wanderer:
    """Goes to the left of what is bright, or to its right."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def reset(self) -> None: ...

    def act(self, frame: NDArray[np.uint8]) -> int:
        return int((int(frame.astype(int).sum()) + self._rng.integers(2)) % 4)


def make(seed: int) -> Wanderer:
    """Return somebody who does either task."""
    return Wanderer(seed)


@contextmanager
def installed() -> Iterator[None]:
    """Let Racer find both tasks, as if their package were installed."""
    points = {name: EntryPoint(name, f"crossing:{name.title()}", registry.GROUP) for name in ("crossing", "guess")}
    with patch.object(registry, "_installed", lambda: points):
        yield
