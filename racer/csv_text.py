"""CSV from other people: read within bounds, and what is wrong with it in one line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from disk.reading import read_plain
from racer.errors import ConfigError

MOST_BYTES = 20_000_000
"""Largest file that is read, bytes."""
MOST_ROWS, MOST_COLUMNS, MOST_LETTERS = 200_000, 100, 500
"""Most rows and columns of a table, and most letters of a cell."""
_FORMULA = ("=", "@", "+", "-")
"""What a cell starts with that spreadsheets take for a formula, unless it is a number."""


@dataclass(frozen=True)
class CsvTable:
    """What a CSV file holds: text without spaces around it, no formulas, as many cells in each row as columns."""

    path: Path
    columns: tuple[str, ...]
    """Each of its own name, none empty."""
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    """Where each row ends in the file, from 1."""

    def column(self, name: str) -> tuple[str, ...]:
        """Return the cells of a column. Raises ConfigError if there is none of this name."""
        if name not in self.columns:
            known = ", ".join(self.columns)[:200]
            raise ConfigError(f"{self.path} has no column {name!r}; nothing was changed: its columns are {known}")
        place = self.columns.index(name)
        return tuple(row[place] for row in self.rows)


def read_table(path: Path) -> CsvTable:
    """Return the table in a file, its cells separated by commas or, as some spreadsheets have it, by semicolons.

    Raises:
        ConfigError: If it cannot be read, is too large or no UTF-8, has cells that are formulas, too long or hold what
            cannot be shown, rows of unequal length, a column without a name or two of the same name.
    """
    try:
        text = read_plain(path, MOST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text; nothing was changed: save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; nothing was changed") from error
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    for line, row in _rows(path, text):
        if rows and len(row) != len(rows[0]):
            raise _wrong(path, line, f"has {len(row)} cells, and the first line has {len(rows[0])}")
        rows.append(row)
        lines.append(line)
    if not rows:
        raise ConfigError(f"{path} is empty; nothing was changed: its first line names the columns")
    columns = rows[0]
    if "" in columns or len(set(columns)) < len(columns):
        raise _wrong(path, lines[0], "must name every column, each differently")
    return CsvTable(path, columns, tuple(rows[1:]), tuple(lines[1:]))


def _rows(path: Path, text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield the number of each line that holds anything, and its cells."""
    first = text.split("\n", 1)[0]
    separator = ";" if ";" in first and "," not in first else ","
    reader = csv.reader(text.splitlines(keepends=True), delimiter=separator, strict=True)
    try:
        for count, row in enumerate(reader):
            cells = tuple(cell.strip() for cell in row)
            if not any(cells):
                continue
            if count > MOST_ROWS or len(cells) > MOST_COLUMNS:
                most = f"more than {MOST_ROWS:,} lines or {MOST_COLUMNS} columns"
                raise ConfigError(f"{path} has {most}; nothing was changed: split it")
            for cell in cells:
                _check(path, reader.line_num, cell)
            yield reader.line_num, cells
    except csv.Error as error:
        raise _wrong(path, reader.line_num, f"is not valid CSV ({error})") from error


def _check(path: Path, line: int, cell: str) -> None:
    if len(cell) > MOST_LETTERS:
        raise _wrong(path, line, f"has a cell of {len(cell):,} letters; {MOST_LETTERS} are the most")
    if not cell.isprintable():
        raise _wrong(path, line, "has a cell with a line break or a control character")
    if cell.startswith(_FORMULA) and not _is_number(cell):
        raise _wrong(path, line, f"has a cell that spreadsheets would run as a formula: {cell[:40]}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _wrong(path: Path, line: int, what: str) -> ConfigError:
    return ConfigError(f"{path}, line {line}: {what}; nothing was changed: fix the line or remove it")
