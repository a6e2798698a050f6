"""Recordings as a data frame, for whoever analyses them in Python."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sessions.export.folder import choose_recordings
from sessions.export.formats import typed
from sessions.export.rows import table_rows
from sessions.export.tables import tables_of
from sessions.extras import import_extra
from sessions.reader import Session

if TYPE_CHECKING:
    import pandas

TableName = Literal["sessions", "episodes", "steps", "events", "answers"]
_ABSENT = {"int64": "Int64", "bool": "boolean", "text": "str"}
"""Types of columns that a recording's task does not have; such numbers are missing, and such texts empty."""


def to_frame(recordings: Path | str | Iterable[Path | str], table: TableName = "episodes") -> pandas.DataFrame:
    """Return one of the tables of `racer session export` as a pandas data frame, with the same columns and rows.

    Every episode is there; analyses keep those of `frame.query("accepted and not trial_run")`. `frame.attrs["units"]`
    gives the units by column.

    Args:
        recordings: A folder of recordings, a recording, or several of these.
        table: Which of the five: `sessions`, `episodes`, `steps`, `events` or `answers`.

    Raises:
        ExportError: If there is no recording, or one session lies in two files.
        MissingPackageError: If pandas is not installed (extra `analysis`).
        UnreadableRecordingError: If a recording that was named cannot be read. Those in folders are left out, each with
            a warning.
    """
    pd = import_extra("pandas", "racer[analysis]", "a data frame")
    given = [recordings] if isinstance(recordings, Path | str) else list(recordings)
    chosen, left_out = choose_recordings(map(Path, given))
    for path, reason in left_out.items():
        warnings.warn(f"{path} was left out: {reason}", stacklevel=2)
    found = {each.name: each for each in tables_of(info.task for info in chosen.values())}
    if table not in found:
        raise ValueError(f"there is no table {table!r}; there are {', '.join(found)}")
    columns = found[table].columns
    parts: list[Any] = []
    for path in chosen:
        with Session(path) as session:
            for name, values in table_rows(session):
                if name == table:
                    rows = len(values["session_id"])
                    absent = {column.name: _absent(pd, column.kind, rows) for column in columns}
                    present = {
                        column.name: typed(values[column.name], column) for column in columns if column.name in values
                    }
                    parts.append(pd.DataFrame(absent | present))
    frame: pandas.DataFrame = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    texts = [column.name for column in columns if column.kind == "text"]
    frame = frame.astype(dict.fromkeys(texts, "str"))  # of no rows nothing says so
    frame.attrs["units"] = {column.name: column.unit for column in columns if column.unit}
    return frame


def _absent(pd: Any, kind: str, rows: int) -> Any:
    empty = "" if kind == "text" else None
    return pd.array([empty] * rows, dtype=_ABSENT.get(kind, kind))
