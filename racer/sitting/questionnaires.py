"""Questionnaires: items that are rated on a scale or answered in words, shown one at a time."""

from __future__ import annotations

import re
from dataclasses import dataclass

from racer.errors import ConfigError

FEWEST_POINTS, MOST_POINTS = 2, 21
"""Of a scale; 21 is NASA-TLX's, which is drawn as a ruler instead of numbered buttons."""
MOST_ANSWER_CHARACTERS = 1000
"""Of an answer in words: fits a recording's answer whatever letters it is in."""
_ID = re.compile(r"[a-z0-9_-]{1,40}", re.ASCII)


@dataclass(frozen=True)
class Item:
    """One question."""

    id: str
    """Names the answer in the recording: 1 to 40 of a-z, 0-9, `_`, `-`."""
    text: str
    low: str = ""
    """What the scale's first point means."""
    high: str = ""
    """What its last point means."""
    points: int = 7
    """Of the scale, 2 to 21; answers count from 1."""
    free: bool = False
    """Answered in words instead of on a scale."""

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ConfigError(f"item id {self.id[:80]!r} must be 1 to 40 of a-z, 0-9, '_' and '-'")
        if not self.text.strip():
            raise ConfigError(f"item {self.id!r} has no text")
        if not FEWEST_POINTS <= self.points <= MOST_POINTS:
            raise ConfigError(f"item {self.id!r}: points must lie between 2 and 21; got {self.points}")


@dataclass(frozen=True)
class Questionnaire:
    """Items that are asked together."""

    name: str
    """1 to 40 of a-z, 0-9, `_`, `-`."""
    items: tuple[Item, ...]

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.name):
            raise ConfigError(f"questionnaire name {self.name[:80]!r} must be 1 to 40 of a-z, 0-9, '_' and '-'")
        if not self.items:
            raise ConfigError(f"questionnaire {self.name!r} has no items")
        if len({item.id for item in self.items}) != len(self.items):
            raise ConfigError(f"questionnaire {self.name!r} names an item twice")
