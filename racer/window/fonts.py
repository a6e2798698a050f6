"""Fonts: DejaVu Sans in two weights, and the fonts of this machine for the characters that it lacks.

DejaVu comes with Racer, so that people see the same letters on every machine wherever it has them. Text that runs from
right to left is not set: `unshown` names its characters as it names those that no font has.
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Final

import pygame
import pygame.freetype
from pygame import Surface

from disk.reading import open_plain
from racer.errors import ConfigError

_DEJAVU: Final = tuple(
    str(Path(__file__).parent / "dejavu" / name) for name in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")
)
"""The files of the regular and the bold weight."""
_MOST_NAMED = 8
"""Characters that a message spells out."""
_JOINERS = "\u200c\u200d"
_VARIANTS = "\ufe0e\ufe0f"
"""Ask for a character in text or as a picture; nothing of their own is seen."""
_INVISIBLE: Final = ("Cc", "Cf", "Zs", "Zl", "Zp")
_RIGHT_TO_LEFT: Final = ("R", "AL", "AN", "RLE", "RLO", "RLI")
"""Unicode's bidirectional classes."""
_SCRIPTS: Final = {
    "DEVANAGARI": "Deva",
    "BENGALI": "Beng",
    "GURMUKHI": "Guru",
    "GUJARATI": "Gujr",
    "ORIYA": "Orya",
    "TAMIL": "Taml",
    "TELUGU": "Telu",
    "KANNADA": "Knda",
    "MALAYALAM": "Mlym",
    "SINHALA": "Sinh",
    "THAI": "Thai",
    "LAO": "Laoo",
    "TIBETAN": "Tibt",
    "MYANMAR": "Mymr",
    "KHMER": "Khmr",
}
"""Scripts whose letters change with their neighbours, by the first word of their characters' names: ISO 15924."""


class Fonts:
    """The fonts that a window writes with.

    Args:
        first: Name of an installed font to write with wherever it has the characters; empty for DejaVu Sans.

    Raises:
        ConfigError: If no font of that name is installed.
    """

    def __init__(self, first: str = "") -> None:
        pygame.font.init()
        own = _regular_and_bold(first) if first else None
        self._first = [paths for paths in (own, _DEJAVU) if paths is not None]
        self._opened: dict[tuple[str, int, str], pygame.Font] = {}

    def render(self, text: str, size: int, color: tuple[int, int, int], bold: bool) -> Surface:
        """Return a line of text, smooth on a transparent ground; `size` in pixels."""
        runs = [(font, run) for font, run in self._runs(text, size, bold) if run]
        if len(runs) == 1:
            return runs[0][0].render(runs[0][1], True, color)
        drawn = [(font, font.render(run, True, color)) for font, run in runs]
        above = max((font.get_ascent() for font, _ in drawn), default=0)
        bottom = max((above - font.get_ascent() + part.get_height() for font, part in drawn), default=0)
        line = Surface((sum(part.get_width() for _, part in drawn), bottom), pygame.SRCALPHA)
        line.fill((*color, 0))
        x = 0
        for font, part in drawn:
            line.blit(part, (x, above - font.get_ascent()))
            x += part.get_width()
        return line

    def width(self, text: str, size: int, bold: bool) -> int:
        """Return the width of a line of text, pixels."""
        return sum(font.size(run)[0] for font, run in self._runs(text, size, bold) if run)

    def unshown(self, texts: Iterable[str]) -> list[str]:
        """Return the characters of texts that cannot be shown, each once, in the order met."""
        found = dict.fromkeys(letter for text in texts for letter in text if not letter.isascii())
        return [letter for letter in found if runs_left(letter) or not self._has(letter)]

    def _has(self, letter: str) -> bool:
        return (
            letter in _VARIANTS
            or unicodedata.category(letter) in _INVISIBLE
            or self._covering(letter, False) is not None
        )

    def _runs(self, text: str, size: int, bold: bool) -> Iterator[tuple[pygame.Font, str]]:
        """Yield the parts of a text that one font writes."""
        weight = 1 if bold else 0
        if text.isascii():
            yield self._open(self._first[0][weight], size, ""), text
            return
        keys: list[tuple[str, str]] = []
        for letter in text:
            # Marks and joiners belong to the letter before, and spaces to whatever it is in.
            attached = unicodedata.category(letter)[0] in "MZ" or letter in _JOINERS
            if keys and attached and _knows(keys[-1][0], letter):
                keys.append(keys[-1])
            else:
                keys.append((self._covering(letter, bold) or self._first[0][weight], _script(letter)))
        letters = iter(text)
        for (path, script), group in groupby(keys):
            yield self._open(path, size, script), "".join(next(letters) for _ in group)

    def _covering(self, letter: str, bold: bool) -> str | None:
        own = (paths[bold] for paths in self._first)
        return next((path for path in own if _knows(path, letter)), None) or _system_font(letter)

    def _open(self, path: str, size: int, script: str) -> pygame.Font:
        key = (path, size, script)
        if key not in self._opened:
            font = pygame.font.Font(path, size)
            if script:
                font.set_script(script)
            self._opened[key] = font
        return self._opened[key]


def runs_left(letter: str) -> bool:
    """Return whether a character belongs to text that runs from right to left."""
    return unicodedata.bidirectional(letter) in _RIGHT_TO_LEFT


def named(letters: list[str]) -> str:
    """Return characters for a message, such as `U+0939 (DEVANAGARI LETTER HA)`."""
    told = [f"U+{ord(letter):04X} ({unicodedata.name(letter, 'unnamed')})" for letter in letters[:_MOST_NAMED]]
    more = len(letters) - _MOST_NAMED
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")


def clusters(text: str) -> list[str]:
    """Return the characters of a text, each with the marks that belong to it."""
    found: list[str] = []
    for letter in text:
        joined = found and (letter in _JOINERS or found[-1][-1] in _JOINERS)
        if joined or (found and unicodedata.category(letter)[0] == "M"):
            found[-1] += letter
        else:
            found.append(letter)
    return found


def printable(text: str) -> str:
    """Leave out what fonts refuse: control characters and the stray halves of file names in odd encodings."""
    return "".join(letter for letter in text if letter.isprintable() or letter in _JOINERS)


def _regular_and_bold(name: str) -> tuple[str, ...]:
    regular = pygame.font.match_font(name)
    if regular is None:
        raise ConfigError(f"no font {name[:80]!r} is installed here; install it, or name another")
    return regular, pygame.font.match_font(name, bold=True) or regular


@cache
def _script(letter: str) -> str:
    return _SCRIPTS.get(unicodedata.name(letter, "").partition(" ")[0], "")


@cache
def _system_font(letter: str) -> str | None:
    """Return an installed font that has a character, sans-serif ones first."""
    names = sorted(set(pygame.font.get_fonts()), key=lambda name: ("sans" not in name, "mono" in name, name))
    paths = (pygame.font.match_font(name) for name in names)
    return next((path for path in paths if path is not None and _knows(path, letter)), None)


@cache
def _knows(path: str, letter: str) -> bool:
    font = _coverage(path)
    if font is None or font.get_metrics(letter)[0] is None:
        return False
    return not _script(letter) or _shapes(path)


@cache
def _shapes(path: str) -> bool:
    """Return whether letters are set as their neighbours ask for: by a font that says how, and a renderer that can."""
    try:
        pygame.font.Font(path, 16).set_script("Deva")
        with open_plain(Path(path).resolve()) as file:  # a font of the system, wherever it lies
            start = file.read(4096)
    except (OSError, pygame.error):  # SDL_ttf without HarfBuzz refuses any script
        return False
    # Of a collection the first font: its offset stands behind the collection's header.
    at = struct.unpack(">I", start[12:16])[0] if start[:4] == b"ttcf" and len(start) >= 16 else 0
    tables = struct.unpack(">H", start[at + 4 : at + 6])[0] if len(start) >= at + 6 else 0
    tags = [start[at + 12 + 16 * place :][:4] for place in range(tables)]
    return b"GSUB" in tags


@cache
def _coverage(path: str) -> pygame.freetype.Font | None:
    pygame.freetype.init()
    try:
        return pygame.freetype.Font(path, 16)
    except (OSError, RuntimeError, pygame.error):
        return None  # listed and not readable
