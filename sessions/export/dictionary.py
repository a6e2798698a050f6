"""The files beside exported tables: their data dictionary, in the form that Psych-DS asks for, and how to read them.

Psych-DS (psych-ds.github.io, schema 1.5) wants `dataset_description.json` with one entry per column in
`variableMeasured`, and data files named by keywords: `data/description-steps_data.csv`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sessions.export.tables import TableColumn, TableSchema
from sessions.schema import ROW_MEANING, SCHEMA_VERSION, SessionInfo

DESCRIPTION_NAME = "dataset_description.json"

DATASET_NAME = "Racer recordings"
README_NAME = "README.md"
README = """# Recordings, exported by Racer

`data/` holds one table each of sessions, episodes, steps, events and answers; `dataset_description.json` says what
every column means, its unit and its range.

- A session is known by `session_id`, an episode by `session_id` and `episode`, a step by those and `step`.
- Every episode is here. For analyses keep the rows with `accepted` true and `trial_run` false.
- Metrics that a session's task does not have are empty, and so are those of an episode without a step.
- A session that continues another one names it in `resumes`.
- Read texts as texts: a `session_id` may look like a number. In pandas:
  `pandas.read_csv(file, dtype={"session_id": str}, keep_default_na=False)`, before pandas 3 with
  `float_precision="round_trip"` as well.
- In CSV files texts are quoted and numbers are not. An apostrophe stands before what a spreadsheet would take for the
  beginning of a formula, at the beginning of a text and after a semicolon. What cannot be seen is written as Python
  does, a line break as `\\n`, a backslash as two. Where Racer is installed, `sessions.export.text_of` gives a text back
  as it was. JSON (`config`, `software`, `task_settings`) stays JSON: read it with any JSON library.
- Floating-point numbers are written so that reading them in their own precision gives the recorded bits.
"""


def table_path(table: TableSchema, suffix: str) -> str:
    """Return where a table lies in the export's folder."""
    return f"data/description-{table.name}_data{suffix}"


def whose(sessions: Iterable[SessionInfo]) -> dict[str, list[str]]:
    """Return the part of a description that says whose data an export holds, so that a withdrawal finds it."""
    sessions = list(sessions)
    return {
        "participants": sorted({info.participant for info in sessions}),
        "sessions": sorted({info.session_id for info in sessions}),
    }


def describe_tables(tables: Sequence[TableSchema], sessions: Sequence[SessionInfo]) -> dict[str, Any]:
    """Return the content of `dataset_description.json`.

    Args:
        tables: That were exported.
        sessions: That were exported.
    """
    columns = dict.fromkeys(column for table in tables for column in table.columns)
    tasks, count = sorted({info.task.name for info in sessions}), len(sessions)
    return {
        "@context": "https://schema.org/",
        "@type": "Dataset",
        "name": DATASET_NAME,
        "description": (
            f"{count} recorded session{'s' * (count != 1)} of people or simulated participants who did "
            f"{', '.join(tasks)} by what a latent channel transmitted: one table each of sessions, episodes, steps, "
            f"events and answers. {ROW_MEANING}"
        ),
        "schemaVersion": "Psych-DS 1.5.1",
        "version": f"recording schema {SCHEMA_VERSION}",
        "keywords": ["pragmatic compression", "behaviour", *tasks],
        **whose(sessions),
        "variableMeasured": [
            _describe(column, [table.name for table in tables if column in table.columns]) for column in columns
        ],
    }


def _describe(column: TableColumn, tables: Sequence[str]) -> dict[str, Any]:
    meaning = column.meaning[:1].upper() + column.meaning[1:]
    described: dict[str, Any] = {
        "@type": "PropertyValue",
        "name": column.name,
        "description": f"{meaning}. Type: {column.kind}. In: {', '.join(tables)}.",
    }
    if column.unit:
        described["unitText"] = column.unit
    if column.least is not None:
        described["minValue"] = column.least
    if column.most is not None:
        described["maxValue"] = column.most
    return described
