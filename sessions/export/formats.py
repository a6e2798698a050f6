"""Tables on disk: CSV that any program reads, or Parquet that keeps types. Both hold every number to the last bit."""

from __future__ import annotations

from io import BufferedWriter, TextIOWrapper
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from disk.writing import open_new
from sessions.export.cells import csv_row, text_cell
from sessions.export.rows import Values
from sessions.export.tables import TableColumn, TableSchema
from sessions.extras import import_extra

_GROUP_ROWS = 2**14
"""Rows of a Parquet row group, and held in memory at most, save for a longer episode."""
_BLOCK_ROWS = 2**12
"""Rows that are text in memory at most."""


class TableWriter(Protocol):
    """Writes one table to one file."""

    def write(self, values: Values) -> None:
        """Append rows."""

    def close(self) -> None:
        """Write what is held and close the file."""


class CsvWriter:
    """RFC 4180 in UTF-8, with a header, of `sessions.export.cells`; True and False; floats as short as is exact.

    Args:
        path: File to make.
        table: What it will hold.
    """

    suffix = ".csv"

    def __init__(self, path: Path, table: TableSchema) -> None:
        self._table = table
        self._file = TextIOWrapper(BufferedWriter(open_new(path)), encoding="utf-8", newline="")
        self._file.write(f"{csv_row(column.name for column in table.columns)}\r\n")

    def write(self, values: Values) -> None:
        """Append rows."""
        rows = len(values["session_id"])
        columns = [typed(values.get(column.name, [""] * rows), column) for column in self._table.columns]
        for start in range(0, rows, _BLOCK_ROWS):
            cells = [_cells(column[start : start + _BLOCK_ROWS]) for column in columns]
            self._file.writelines(f"{','.join(row)}\r\n" for row in zip(*cells, strict=True))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class ParquetWriter:
    """Columns of the table's types; texts as they are.

    Args:
        path: File to make.
        table: What it will hold.

    Raises:
        MissingPackageError: If pyarrow is not installed.
    """

    suffix = ".parquet"

    def __init__(self, path: Path, table: TableSchema) -> None:
        self._arrow = import_extra("pyarrow", "pyarrow", "export to Parquet")
        parquet = import_extra("pyarrow.parquet", "pyarrow", "export to Parquet")
        types = {"bool": self._arrow.bool_(), "text": self._arrow.string()}
        self._table = table
        self._schema = self._arrow.schema(
            [
                self._arrow.field(
                    column.name,
                    types.get(column.kind) or getattr(self._arrow, column.kind)(),
                    metadata={"description": column.meaning, "unit": column.unit},
                )
                for column in table.columns
            ]
        )
        self._file = BufferedWriter(open_new(path))
        self._writer = parquet.ParquetWriter(self._file, self._schema)
        self._held: list[Any] = []
        self._held_rows = 0

    def write(self, values: Values) -> None:
        """Append rows."""
        absent = [None] * len(values["session_id"])
        arrays = [
            self._arrow.array(typed(values.get(column.name, absent), column), self._schema.field(column.name).type)
            for column in self._table.columns
        ]
        self._held.append(self._arrow.Table.from_arrays(arrays, schema=self._schema))
        self._held_rows += self._held[-1].num_rows
        if self._held_rows >= _GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        """Write what is held and close the file."""
        self._flush()
        self._writer.close()
        self._file.close()

    def _flush(self) -> None:
        if self._held_rows:
            self._writer.write_table(self._arrow.concat_tables(self._held), row_group_size=_GROUP_ROWS)
        self._held, self._held_rows = [], 0


FORMATS: dict[str, type[CsvWriter] | type[ParquetWriter]] = {"csv": CsvWriter, "parquet": ParquetWriter}
"""The writers of tables by the name of their format."""


def typed(values: NDArray[Any] | list[Any], column: TableColumn) -> NDArray[Any] | list[Any]:
    """Return values in the type of their column, which may be wider than that of the recording."""
    if column.kind == "text":
        return list(values)
    return values if isinstance(values, list) else values.astype(column.kind, copy=False)


def _cells(values: NDArray[Any] | list[str]) -> list[str]:
    """Return a column's values as they stand in CSV."""
    # As text, numpy writes each float with just the digits that tell it from its neighbours in its own precision.
    return list(map(text_cell, values)) if isinstance(values, list) else values.astype(str).tolist()
