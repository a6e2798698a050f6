r"""Cells of CSV: every table that leaves is made of these.

A number stands in its shortest exact form, without quotation marks. So does a text that is one word of ASCII letters,
digits and `_`, beginning with a letter. Any other text stands in quotation marks, on one line:

- Control, format and line-separator characters, and single surrogates (Unicode categories Cc, Cf, Zl, Zp, Cs), which
  steer terminals, turn the direction of text or break rows, are written as Python writes them, such as `\n` and
  `\u202e`; a backslash as two.
- An apostrophe goes before what spreadsheets take for the beginning of a formula, and before an apostrophe in its
  place: at the beginning of a text, and after a semicolon, at which they split cells in some languages of the system
  whatever is quoted (RFC 4180 knows commas alone). Blanks and quotation marks before it are passed over.

Both are undone by `text_of`.

JSON stays JSON: where its texts hold a sign after a semicolon, that sign is written as JSON escapes it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

Cell = str | int | float | None

_SIGNS = "=+\\-@\u2212\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20\u207a\u207b\u207c\u208a\u208b\u208c"
"""Characters that formulas begin with, with their small, full-width, raised and lowered forms, for a class of a
regex."""
_BEGINNING = re.compile(rf"(^|;)([\s\"]*)(?=['{_SIGNS}])")
_GUARD = re.compile(r"(^|;)([\s\"]*)'")
_WORD = re.compile(r"([A-Za-z]\w*)?", re.ASCII)
_ESCAPED = re.compile(r"\\(?:\\|n|r|t|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")
_STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


_STEERING_JSON = re.compile('(;[\\s"]*)([=+\\-@])|(\x7f)')


class Json(str):
    """An object as `json.dumps` writes it: in ASCII, on one line."""


def text_cell(text: str) -> str:
    """Return a text as a cell, in quotation marks unless it is a word or empty."""
    if isinstance(text, Json):
        escaped = _STEERING_JSON.sub(lambda found: f"{found[1] or ''}\\u{ord(found[2] or found[3]):04x}", text)
        return '"{}"'.format(escaped.replace('"', '""'))
    if _WORD.fullmatch(text):
        return text
    visible = "".join(map(_visible, text))
    return '"{}"'.format(_BEGINNING.sub(r"\1\2'", visible).replace('"', '""'))


def text_of(cell: str) -> str:
    """Return the text of a cell that any reader of CSV has freed of its quotation marks; the inverse of `text_cell`."""
    return _ESCAPED.sub(lambda match: match[0].encode().decode("unicode_escape"), _GUARD.sub(r"\1\2", cell))


def csv_row(cells: Iterable[Cell]) -> str:
    """Return a row without its line ending."""
    row = ",".join(text_cell(cell) if isinstance(cell, str) else "" if cell is None else str(cell) for cell in cells)
    return row or '""'  # or readers would take it for no row


def csv_bytes(header: Sequence[str], rows: Iterable[Iterable[Cell]]) -> bytes:
    """Return a table as CSV in UTF-8; numbers in full, and no text that a spreadsheet would run as a formula."""
    return "".join(f"{csv_row(row)}\n" for row in (header, *rows)).encode()


def _visible(character: str) -> str:
    if character == "\\" or unicodedata.category(character) in _STEERING:
        return character.encode("unicode_escape").decode()
    return character
