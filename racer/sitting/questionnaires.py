"""Questionnaires: items that are rated, chosen, counted or answered in words, one or several on a page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from racer.errors import ConfigError

Kind = Literal["scale", "choice", "choices", "picture", "number", "line", "text"]
"""How an item is answered: with a point of a scale, one of several options, any number of them, one of several
pictures, a number, a line of words, or more words."""
CHOSEN: Final = ("choice", "choices", "picture")
"""Kinds that have options."""
TYPED: Final = ("number", "line", "text")
"""Kinds that are typed."""

FEWEST_POINTS, MOST_POINTS = 2, 21
"""Fewest and most points of a scale; 21 is NASA-TLX's, which is drawn as a ruler instead of numbered buttons."""
FEWEST_OPTIONS, MOST_OPTIONS, MOST_PICTURES = 2, 20, 9
MOST_NUMBER, MOST_DECIMALS = 10**9, 6
MOST_ON_A_PAGE = 10
MOST_ANSWER_CHARACTERS = 1000
"""Longest answer in words: it fits a recording whatever letters it is in."""
MOST_LINE_CHARACTERS = 200
_UNREAD = "-"
"""What simulated people write where they must."""
_ID = re.compile(r"[a-z0-9_-]{1,40}", re.ASCII)
_OPTION = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.ASCII)


@dataclass(frozen=True)
class Item:
    """One question. Raises ConfigError where it cannot be asked."""

    id: str
    """Names the answer in the recording: 1 to 40 of a-z, 0-9, `_`, `-`."""
    text: str
    low: str = ""
    """What the scale's first point means."""
    high: str = ""
    """What its last point means."""
    points: int = 7
    """Points of the scale, 2 to 21; answers count from 1."""
    kind: Kind = "scale"
    options: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Options of a choice, 2 to 20: what is recorded (a letter, then up to 39 of a-z, 0-9, `_`, `-`), and the words
    shown; of a choice of pictures, 2 to 9, the names of their files."""
    pictures: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict, compare=False, repr=False)
    """What is shown for the options of kind `picture`, uint8[H, W, 3] each."""
    least: float | None = None
    """Smallest number accepted, from -10^9; required for the kind `number`."""
    most: float | None = None
    """Largest number accepted, up to 10^9; required for the kind `number`."""
    decimals: int = 0
    """Most decimals of a number, 0 to 6."""
    required: bool | None = None
    """Whether it must be answered; None: all but an answer of kind `text`."""

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ConfigError(f"item id {self.id[:80]!r} must be 1 to 40 of a-z, 0-9, '_' and '-'")
        if not self.text.strip():
            raise self._wrong("has no text")
        if not FEWEST_POINTS <= self.points <= MOST_POINTS:
            raise self._wrong(f"points must lie between 2 and 21; got {self.points}")
        if self.kind in CHOSEN:
            self._check_options()
        elif self.options:
            raise self._wrong(f"options are for the kinds choice, choices and picture; its kind is {self.kind}")
        if self.kind == "number":
            self._check_number()
        elif self.least is not None or self.most is not None or self.decimals:
            raise self._wrong(f"least, most and decimals are for the kind number; its kind is {self.kind}")

    @property
    def needed(self) -> bool:
        """Whether nobody can go on without an answer."""
        return self.kind != "text" if self.required is None else self.required

    @property
    def most_characters(self) -> int:
        """The most that can be typed."""
        return MOST_ANSWER_CHARACTERS if self.kind == "text" else MOST_LINE_CHARACTERS

    def canonical(self, given: str) -> str | None:
        """Return what is recorded of an answer; None where it is none that the item takes.

        Args:
            given: The point of a scale, the names of options with spaces between, or what was typed.
        """
        given = given.strip()
        if not given:
            return None if self.needed else ""
        if self.kind == "scale":
            return given if re.fullmatch("[0-9]{1,2}", given) and 1 <= int(given) <= self.points else None
        if self.kind in CHOSEN:
            chosen = given.split()
            known = all(name in self.options for name in chosen) and (self.kind == "choices" or len(chosen) == 1)
            return " ".join(name for name in self.options if name in chosen) if known else None
        return self._number(given) if self.kind == "number" else given

    def by_chance(self, respondent: np.random.Generator) -> str:
        """Return an answer such as somebody gives who does not read the question; in words only where they must."""
        if self.kind == "scale":
            return str(respondent.integers(1, self.points, endpoint=True))
        if self.kind in ("choice", "picture"):
            return str(respondent.choice(list(self.options)))
        if self.kind == "choices":
            chosen = [name for name in self.options if respondent.random() < 0.5]
            return " ".join(chosen or [str(respondent.choice(list(self.options)))])
        if self.kind == "number":
            assert self.least is not None and self.most is not None
            drawn = Decimal(str(respondent.uniform(self.least, self.most))).quantize(Decimal(1).scaleb(-self.decimals))
            return self._number(f"{drawn:f}") or f"{self.least:g}"
        return _UNREAD if self.needed else ""

    def _number(self, given: str) -> str | None:
        assert self.least is not None and self.most is not None
        if not re.fullmatch(r"-?[0-9]{1,15}([.,][0-9]{1,15})?", given, re.ASCII):
            return None
        number = Decimal(given.replace(",", ".")).normalize()
        fits = Decimal(str(self.least)) <= number <= Decimal(str(self.most))
        exponent = number.as_tuple().exponent
        return f"{number + 0:f}" if fits and -int(exponent) <= self.decimals else None

    def _check_options(self) -> None:
        most = MOST_PICTURES if self.kind == "picture" else MOST_OPTIONS
        if not FEWEST_OPTIONS <= len(self.options) <= most:
            raise self._wrong(f"a {self.kind} needs 2 to {most} options; got {len(self.options)}")
        for name, words in self.options.items():
            if not _OPTION.fullmatch(name):
                raise self._wrong(f"option {name[:80]!r} must be a letter and then up to 39 of a-z, 0-9, '_' and '-'")
            if not words.strip():
                raise self._wrong(f"option {name!r} has no words")

    def _check_number(self) -> None:
        if self.least is None or self.most is None:
            raise self._wrong("a number needs least and most, such as least = 18 and most = 99")
        if not -MOST_NUMBER <= self.least < self.most <= MOST_NUMBER:
            raise self._wrong(f"least must be below most, both within 10^9; got {self.least:g} and {self.most:g}")
        if not 0 <= self.decimals <= MOST_DECIMALS:
            raise self._wrong(f"decimals must lie between 0 and 6; got {self.decimals}")
        if self.canonical(f"{self.least:f}") is None or self.canonical(f"{self.most:f}") is None:
            raise self._wrong(f"least and most must have no more decimals than answers, {self.decimals}")

    def _wrong(self, reason: str) -> ConfigError:
        return ConfigError(f"item {self.id!r}: {reason}")


@dataclass(frozen=True)
class Questionnaire:
    """Items that are asked together."""

    name: str
    """1 to 40 of a-z, 0-9, `_`, `-`."""
    items: tuple[Item, ...]
    per_page: int = 1
    """Items on a page, 1 to 10."""

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.name):
            raise ConfigError(f"questionnaire name {self.name[:80]!r} must be 1 to 40 of a-z, 0-9, '_' and '-'")
        if not self.items:
            raise ConfigError(f"questionnaire {self.name!r} has no items")
        if len({item.id for item in self.items}) != len(self.items):
            raise ConfigError(f"questionnaire {self.name!r} names an item twice")
        if not 1 <= self.per_page <= MOST_ON_A_PAGE:
            raise ConfigError(f"questionnaire {self.name!r}: per_page must lie between 1 and 10; got {self.per_page}")
