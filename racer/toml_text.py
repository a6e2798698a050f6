"""TOML from other people: read within bounds of size, depth and time, and what is wrong with it in plain words."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from racer.errors import ConfigError

MOST_BYTES = 1_000_000
"""Largest file that is read, bytes; a study with long texts takes about 50,000."""

_MOST_DOTS = 16
"""In one line outside of text and comments; a key needs two. tomllib's time and memory grow with their square."""

_TEXT_OR_COMMENT = re.compile(
    r'"""(?:[^\\]|\\.)*?(?:"{3,5}|\\?\Z)'
    r"|'''.*?(?:'{3,5}|\Z)"
    r'|"(?:[^"\\\n]|\\[^\n])*+"?'
    r"|'[^'\n]*'?"
    r"|#[^\n]*",
    re.DOTALL,
)
"""What is left open ends with the line or the file, so that no file can make the search start over and over."""

_SYNTAX = (
    (r"Cannot overwrite a value", "the same key is here twice; delete one"),
    (r"Cannot declare \((.*?),?\) twice", "the section {0} is here twice; put its keys together"),
    (r"Invalid value", "what follows is not a value; text needs quotation marks, true and false are in small letters"),
    (r"Expected '=' after a key.*", "a key needs a = and a value: key = value"),
    (r"Expected newline or end of document.*", "a value ends and something else follows; one key to a line"),
    (r"Unterminated string|Illegal character '\\n'|Expected (?:\"'+\"|'\"+')", "a quotation mark is missing"),
    (r"Unclosed array|Unclosed inline table|Expected ']+' at the end.*", "a closing bracket is missing"),
    (
        r"Invalid statement|Invalid initial character for a key part",
        "no key begins like this; keys are letters, digits, - and _",
    ),
    (r"Unescaped '\\' in a string", "a backslash within quotation marks is written twice"),
)
"""By tomllib's words."""


def parse_toml(data: bytes) -> dict[str, Any]:
    """Return what a TOML file says.

    Args:
        data: Its bytes. A mark in front, as some editors on Windows put there, is left out.

    Raises:
        ConfigError: If it is too large, no UTF-8 or no TOML; the message names the line where one is known.
    """
    if len(data) > MOST_BYTES:
        raise ConfigError(f"is larger than {MOST_BYTES // 1_000_000} MB; it should be text, and far smaller")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"line {line}: is not UTF-8 text; save the file as UTF-8") from None
    for number, line_ in enumerate(_without_text(text).split("\n"), start=1):
        if line_.count(".") > _MOST_DOTS:
            raise ConfigError(f"line {number}: more than {_MOST_DOTS} dots outside of text; keys are not that long")
    try:
        # With a last line that ends, tomllib names it.
        return tomllib.loads(text + "\n")
    except RecursionError:
        raise ConfigError("brackets are nested too deep; close those that are open") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_plain(str(error))) from None
    except ValueError:
        raise ConfigError("holds a number with too many digits, or an impossible date") from None


def _without_text(text: str) -> str:
    """Return the document without strings and comments; its lines keep their numbers."""
    return _TEXT_OR_COMMENT.sub(lambda match: "\n" * match[0].count("\n"), text)


def _plain(complaint: str) -> str:
    words, _, place = complaint.partition(" (at ")
    for pattern, plain in _SYNTAX:
        if match := re.fullmatch(pattern, words):
            words = plain.format(*(group.replace("', '", ".") for group in match.groups()))
            break
    line = re.match(r"line (\d+)", place)
    return f"{f'line {line[1]}' if line else 'at the end'}: {words}"
