"""A recording's rows in the five tables of an export."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sessions.export.cells import Json
from sessions.export.tables import parts
from sessions.reader import Episode, Session
from sessions.schema import FRAME, Answer, Event

Values = Mapping[str, NDArray[Any] | list[str]]
"""Some rows of a table: for each of its columns that there is anything for, an array or a list of texts of one length;
`session_id` is always there. What a table has no column for is left out."""


def table_rows(session: Session) -> Iterator[tuple[str, Values]]:
    """Yield a recording's rows, by the name of their table: of steps one episode at a time, its own row before them.

    Raises:
        UnreadableRecordingError: If the recording is damaged.
    """
    info = session.info
    yield (
        "sessions",
        _row(
            {
                **vars(info),
                "task": info.task.name,
                "task_settings": Json(json.dumps(info.task.settings)),
                "session_status": session.status,
                "episodes": len(session.episodes),
                "schema_version": session.schema_version,
                "config": Json(json.dumps(info.config)),
                "software": Json(json.dumps(info.software)),
                # A name in no encoding at all is still a name.
                "recording": session.path.name.encode(errors="replace").decode(),
            }
        ),
    )
    for episode in session.episodes:
        known = {
            **vars(info),
            **vars(episode.info),
            "episode": episode.index,
            "episode_status": episode.status,
            "rejected": episode.rejected,
            "accepted": episode.accepted,
        }
        trial = {f"trial_{name}": value for name, value in episode.metrics.items()} if episode.n_steps else {}
        yield "episodes", _row({**known, **trial, "n_steps": episode.n_steps})
        yield "steps", {**_row(known, episode.n_steps), **_step_rows(episode)}
    yield "events", _records(session, session.events(), Event)
    yield "answers", _records(session, session.answers(), Answer)


def _step_rows(episode: Episode) -> Values:
    rows: dict[str, NDArray[Any] | list[str]] = {"step": np.arange(episode.n_steps)}
    for name, column in episode.columns.items():
        if name == "packet":
            rows[name] = [packet.tobytes().hex() for packet in episode[name]]
        elif name != FRAME:
            values = episode[name]
            rows.update(zip(parts(column), values.T if column.shape else [values], strict=True))
    return rows


def _records(session: Session, records: Sequence[Event | Answer], kind: type[Event | Answer]) -> Values:
    return {
        **_row(vars(session.info), len(records)),
        **{field: _column([getattr(record, field) for record in records]) for field in kind.__dataclass_fields__},
    }


def _row(values: Mapping[str, Any], rows: int = 1) -> Values:
    """Return rows that are all the same."""
    return {name: _column([value] * rows) for name, value in values.items() if isinstance(value, str | int | float)}


def _column(values: list[Any]) -> NDArray[Any] | list[str]:
    return values if values and isinstance(values[0], str) else np.array(values)
