"""The world `digits`: the 1,797 handwritten digits that come with scikit-learn, 8x8 pixels enlarged to 32x32.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998;
scikit-learn's `load_digits` holds its test set.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from racer.errors import ConfigError
from racer.tasks.pictures.parts import part_of, split
from racer.tasks.pictures.worlds import Picture, Question
from racer.tasks.task import Action

SIDE = 32
_ENLARGED = 4
_FULL = 16
"""Value of a white pixel in scikit-learn's digits."""
NAMES = tuple(f"is_{digit}" for digit in range(10))


def enlarged(small: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return a picture, uint8[32, 32, 1], of scikit-learn's, 0 to 16, int[8, 8]: linearly, in whole numbers."""
    places = np.arange(SIDE) * 2 + 1 - _ENLARGED  # in eighths of a small pixel, from the middle of the first one
    whole, part = np.clip(places // (2 * _ENLARGED), -1, 7), places % (2 * _ENLARGED)
    weights = np.zeros((SIDE, 8), np.int64)
    np.add.at(weights, (np.arange(SIDE), np.maximum(whole, 0)), 2 * _ENLARGED - part)
    np.add.at(weights, (np.arange(SIDE), np.minimum(whole + 1, 7)), part)
    total = weights @ small.astype(np.int64) @ weights.T * 255
    most = (2 * _ENLARGED) ** 2 * _FULL
    frame: NDArray[np.uint8] = ((total + most // 2) // most).astype(np.uint8)[:, :, None]
    return frame


@lru_cache(maxsize=1)
def _loaded() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return the pictures, int64[N, 8, 8], their digits, int64[N], and which are thick for their digit, bool[N]."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ConfigError(
            "task digits needs scikit-learn, which brings its pictures and is not installed; nothing was changed: "
            "pip install 'racer[pictures]'"
        ) from error
    bundle = load_digits()
    pictures, digits = np.asarray(bundle.images).astype(np.int64), np.asarray(bundle.target).astype(np.int64)
    ink = pictures.sum(axis=(1, 2))
    middle = np.array([np.median(ink[digits == digit]) for digit in range(10)])
    return pictures, digits, ink > middle[digits]


class _Digits:
    """The world: as many pictures as there are, in parts."""

    frame = (SIDE, SIDE, 1)
    traits = (*NAMES, "thick")
    parts = ()

    def __init__(self, questions: tuple[Question, ...]) -> None:
        self.questions = questions

    def picture(self, seed: int) -> Picture:
        """Return the picture of a seed. Raises ConfigError without scikit-learn."""
        pictures, digits, thick = _loaded()
        part = split(len(pictures))[part_of(seed)]
        index = part[np.random.default_rng(seed).integers(len(part))]
        traits = {name: float(digits[index] == digit) for digit, name in enumerate(NAMES)}
        return Picture(enlarged(pictures[index]), traits | {"thick": float(thick[index])})


DIGIT = Question(
    name="digit",
    asked={"en": "Which digit is this?", "de": "Welche Ziffer ist das?"},
    answers=tuple(Action(f"digit-{digit}", (str(digit), f"[{digit}]")) for digit in range(10)),
    words={language: {f"digit-{digit}": str(digit) for digit in range(10)} for language in ("en", "de")},
    answer=lambda traits: next(digit for digit, name in enumerate(NAMES) if traits[name]),
    about=NAMES,
)
THICKNESS = Question(
    name="thickness",
    asked={
        "en": "Is this digit thick or thin, compared with others of its kind?",
        "de": "Ist diese Ziffer dick oder dünn, verglichen mit anderen ihrer Art?",
    },
    answers=(Action("thick", ("left", "f")), Action("thin", ("right", "j"))),
    words={"de": {"thick": "dick", "thin": "dünn"}},
    answer=lambda traits: int(not traits["thick"]),
    about=("thick",),
)
DIGITS = _Digits((DIGIT, THICKNESS))
"""The world."""
