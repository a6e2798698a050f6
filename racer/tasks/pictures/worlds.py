"""What a world of pictures is: traits drawn by chance, a picture of them, and questions that some of them answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from racer.tasks.pictures.canvas import Canvas, PartCanvas
from racer.tasks.task import Action

Traits = Mapping[str, float]
"""What a picture shows, by name."""


@dataclass(frozen=True)
class Picture:
    """One picture and what is known of it."""

    frame: NDArray[np.uint8]
    """uint8[H, W, C]"""
    traits: Traits
    labels: Callable[[], NDArray[np.uint8]] | None = None
    """Returns which part of its world each pixel shows most of, uint8[H, W]; None where nobody knows."""


@dataclass(frozen=True)
class Question:
    """Something to ask about the pictures of a world."""

    name: str
    """Value of the task's setting `question`."""
    asked: Mapping[str, str]
    """What people are asked, by language."""
    answers: tuple[Action, ...]
    words: Mapping[str, Mapping[str, str]]
    """What stands below the keys of an answer, by language and answer; the answer's name where left out."""
    answer: Callable[[Traits], int]
    """Returns the index of the right answer."""
    about: tuple[str, ...]
    """The traits that decide it."""


class World(Protocol):
    """Pictures without end, or as many as there are."""

    frame: tuple[int, int, int]
    """Height, width and channels."""
    traits: tuple[str, ...]
    """What is known of every picture; those that take two values alone are 0 or 1."""
    questions: tuple[Question, ...]
    parts: tuple[str, ...]
    """Names of what its pictures show, in the order of the label maps; empty where nobody knows what a pixel shows."""

    def picture(self, seed: int) -> Picture:
        """Return the picture of a seed."""


class DrawnWorld:
    """Pictures drawn from traits, which are drawn from a seed.

    Args:
        side: Of the frames, pixels.
        draw: Draws the traits by chance.
        paint: Draws the picture that has them.
        questions: What can be asked.
        parts: Of its pictures, by the numbers that `paint` gives them.
    """

    def __init__(
        self,
        side: int,
        draw: Callable[[np.random.Generator], dict[str, float]],
        paint: Callable[[Canvas, Traits], None],
        questions: tuple[Question, ...],
        parts: tuple[str, ...],
    ) -> None:
        self.frame, self.questions, self.parts = (side, side, 3), questions, parts
        self.draw, self._paint = draw, paint
        self.traits = tuple(draw(np.random.default_rng(0)))

    def picture(self, seed: int) -> Picture:
        """Return the picture of a seed."""
        traits = self.draw(np.random.default_rng(seed))
        return Picture(self.paint(traits), traits, partial(self.labels, traits))

    def paint(self, traits: Traits) -> NDArray[np.uint8]:
        """Return the picture that has these traits, uint8[side, side, 3]."""
        canvas = Canvas(self.frame[0])
        self._paint(canvas, traits)
        return canvas.frame()

    def labels(self, traits: Traits) -> NDArray[np.uint8]:
        """Return which part each pixel of that picture shows most of, uint8[side, side]."""
        canvas = PartCanvas(self.frame[0], len(self.parts))
        self._paint(canvas, traits)
        return canvas.frame()
