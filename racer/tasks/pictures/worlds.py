"""What a world of pictures is: traits drawn by chance, a picture of them, and questions that some of them answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from racer.tasks.task import Action

Traits = Mapping[str, float]
"""What a picture shows, by name."""


@dataclass(frozen=True)
class Picture:
    """One picture and what is known of it."""

    frame: NDArray[np.uint8]
    """uint8[H, W, C]"""
    traits: Traits


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

    def picture(self, seed: int) -> Picture:
        """Return the picture of a seed."""


class DrawnWorld:
    """Pictures drawn from traits, which are drawn from a seed.

    Args:
        side: Of the frames, pixels.
        draw: Draws the traits by chance.
        paint: Draws the picture that has them, uint8[side, side, 3].
        questions: What can be asked.
    """

    def __init__(
        self,
        side: int,
        draw: Callable[[np.random.Generator], dict[str, float]],
        paint: Callable[[Traits], NDArray[np.uint8]],
        questions: tuple[Question, ...],
    ) -> None:
        self.frame, self.questions = (side, side, 3), questions
        self.draw, self.paint = draw, paint
        self.traits = tuple(draw(np.random.default_rng(0)))

    def picture(self, seed: int) -> Picture:
        """Return the picture of a seed."""
        traits = self.draw(np.random.default_rng(seed))
        return Picture(self.paint(traits), traits)
