"""Tasks that are nothing like driving, with frames, actions and metrics of their own, and whoever does them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_models import GREY

from compression.model.sizes import Sizes
from racer.tasks import registry
from racer.tasks.task import Action, Metric, Outcome, TaskSpec, TaskText

LEVELS = Sizes(frame=(8, 8, 1), latents=4, blocks=2, actions=3, hidden=0, dense=8)
"""Of a latent model of `Shades`."""

_SHADES = TaskSpec(
    name="shades",
    summary="say how bright a picture is",
    frame=LEVELS.frame,
    actions=(Action("dark", ("a",)), Action("medium", ("s",)), Action("bright", ("d",))),
    metrics=(
        Metric("correct", "whether the answer is right", "fraction", "higher", low=0.0, high=1.0, boolean=True),
        Metric("error", "levels between the answer and the truth", "levels", "lower", low=0.0, trial="mean"),
    ),
    texts={"en": TaskText("How bright?", ("{dark}, {medium} or {bright}: {trials} blocks.",))},
    paced=False,
    steps=5,
)


@dataclass(frozen=True)
class Shades:
    """A self-paced task: one picture, one of three answers, over."""

    @property
    def spec(self) -> TaskSpec:
        """Everything that Racer needs to know of it."""
        return _SHADES

    def start(self, seed: int) -> Shade:
        """Show a picture."""
        return Shade(seed)


class Shade:
    """One picture."""

    def __init__(self, seed: int) -> None:
        self.truth = shade_of(seed)
        self._frame = np.random.default_rng(seed).integers(80, size=LEVELS.frame, dtype=np.uint8)
        self._frame += np.uint8(80 * self.truth)

    def frame(self) -> NDArray[np.uint8]:
        """Return it."""
        return self._frame.copy()

    def step(self, action: int) -> Outcome:
        """Take the answer."""
        return Outcome({"correct": float(action == self.truth), "error": float(abs(action - self.truth))}, over=True)

    def close(self) -> None:
        """Do nothing."""


def shade_of(seed: int) -> int:
    """Return the right answer to the picture of a seed."""
    return seed % 3


_DRIFT = TaskSpec(
    name="drift",
    summary="keep a dot in the middle",
    frame=GREY.frame,
    actions=(Action("wait"), Action("up", ("up",)), Action("down", ("down",)), Action("jump-home", ("h",))),
    metrics=(
        Metric("distance", "from the middle after the step", "pixels", "lower", low=0.0, high=20.0, trial="mean"),
        Metric("jumps", "home so far", "jumps"),
        Metric("near", "whether it is close to the middle", "fraction", "higher", low=0.0, high=1.0, boolean=True),
    ),
    texts={"en": TaskText("Keep the dot in the middle", ("{up} and {down} push it, {jump_home} takes it home.",))},
    neutral=0,
    steps=6,
    step_seconds=0.1,
    questionnaires=(),
)


@dataclass(frozen=True)
class Drift:
    """A paced task: a dot that drifts, over when it leaves the picture."""

    drift: float = 1.0
    """Pixels per step, downwards."""

    @property
    def spec(self) -> TaskSpec:
        """Everything that Racer needs to know of it."""
        return _DRIFT

    def start(self, seed: int) -> Dot:
        """Let the dot drift."""
        return Dot(self.drift, seed)


class Dot:
    """One run."""

    def __init__(self, drift: float, seed: int) -> None:
        self._drift = drift
        self._place = float(np.random.default_rng(seed).integers(-8, 9))
        self._column = seed % 32
        self._jumps = 0

    def frame(self) -> NDArray[np.uint8]:
        """Draw the dot on grey."""
        frame = np.full(GREY.frame, 60, np.uint8)
        row = round(np.clip(20 + self._place, 0, 38))
        frame[row : row + 2, self._column : self._column + 8] = 230
        return frame

    def step(self, action: int) -> Outcome:
        """Push and drift."""
        if action == 3:
            self._place = 0.0
            self._jumps += 1
        self._place += self._drift + {1: -3.0, 2: 3.0}.get(action, 0.0)
        distance = min(abs(self._place), 20.0)
        return Outcome(
            {"distance": distance, "jumps": float(self._jumps), "near": float(distance < 5)}, over=distance == 20.0
        )

    def close(self) -> None:
        """Do nothing."""


class Onlooker:
    """Acts by what is shown and by chance, so that another picture makes for another action."""

    def __init__(self, actions: int, seed: int) -> None:
        self._actions = actions
        self._seed = seed

    def reset(self) -> None:
        """Draw the same chances in every episode."""
        self._rng = np.random.default_rng(self._seed)

    def act(self, frame: NDArray[np.uint8]) -> int:
        """Return an action."""
        return (int(frame.sum()) + int(self._rng.integers(2))) % self._actions


def onlooker_of_shades(seed: int) -> Onlooker:
    """Return a driver of `Shades`: `tiny_tasks:onlooker_of_shades`."""
    return Onlooker(3, seed)


def onlooker_of_drift(seed: int) -> Onlooker:
    """Return a driver of `Drift`: `tiny_tasks:onlooker_of_drift`."""
    return Onlooker(4, seed)


@contextmanager
def installed() -> Iterator[None]:
    """Make both tasks known by name, as those of an installed package are."""
    points = [EntryPoint(name, f"tiny_tasks:{name.title()}", registry.GROUP) for name in ("shades", "drift")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "entry_points", lambda group: points)
        registry.forget_installed()
        yield
    registry.forget_installed()
