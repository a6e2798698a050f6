"""Export: recordings as tables (CSV, Parquet) or as arrays (npz), whole or not at all.

    from sessions.export import export_tables

    export_tables([Path("recordings")], Path("tables"), "csv")

Recordings are read one episode at a time: memory does not grow with their number.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from io import BufferedWriter
from pathlib import Path
from typing import Any

import numpy as np

from disk.writing import make_folder, open_new, write_whole
from sessions.export.dictionary import DESCRIPTION_NAME, README, README_NAME, describe_tables, table_path
from sessions.export.folder import ExportError, choose_recordings, new_folder
from sessions.export.formats import FORMATS, TableWriter
from sessions.export.rows import table_rows
from sessions.export.tables import tables_of
from sessions.names import SUFFIX, recording_name
from sessions.reader import Episode, Session
from sessions.schema import ROW_MEANING, episode_name

Progress = Callable[[int, int], None]
"""Callback (recordings done, recordings in all)."""


@dataclass(frozen=True)
class ExportSummary:
    """What was exported."""

    out: Path
    recordings: int
    episodes: int
    left_out: dict[Path, str]
    """Recordings in the folders given that cannot be read, with the reason."""


def export_tables(
    paths: Iterable[Path], out: Path, form: str, progress: Progress = lambda done, total: None
) -> ExportSummary:
    """Write all recordings to a new folder as five tables with their data dictionary.

    Args:
        paths: Recordings, and folders of recordings.
        out: Folder to make; must not exist.
        form: `csv` or `parquet`.
        progress: Told after each recording.

    Raises:
        ExportError: If there is nothing to export, `out` exists, or the disk refuses.
        MissingPackageError: If pyarrow is needed and missing.
        UnreadableRecordingError: If a recording that was named, or part of any, cannot be read.
    """
    writer = FORMATS[form]
    recordings, left_out = choose_recordings(paths)
    tables = tables_of(info.task for info in recordings.values())
    episodes = 0
    with new_folder(out) as folder:
        make_folder(folder / "data")
        with ExitStack() as opened:
            writers: dict[str, TableWriter] = {}
            for table in tables:
                writers[table.name] = writer(folder / table_path(table, writer.suffix), table)
                opened.callback(writers[table.name].close)
            for done, path in enumerate(recordings):
                progress(done, len(recordings))
                with Session(path) as session:
                    for name, values in table_rows(session):
                        writers[name].write(values)
                    episodes += len(session.episodes)
        write_whole(folder / README_NAME, README.encode())
        description = describe_tables(tables, list(recordings.values()))
        text = json.dumps(description, indent=2, ensure_ascii=False)
        write_whole(folder / DESCRIPTION_NAME, f"{text}\n".encode())
        progress(len(recordings), len(recordings))
    return ExportSummary(out, len(recordings), episodes, left_out)


def export_arrays(
    paths: Iterable[Path],
    out: Path,
    index: int | None = None,
    progress: Progress = lambda done, total: None,
) -> ExportSummary:
    """Write each episode to a file `<participant>_<protocol>_<UTC time>_<session>_<episode>.npz` in a new folder.

    A file holds every column of the recording under its own name, frames included where they were kept, and under
    `attributes` what is known of session, episode and columns, as JSON. `numpy.load(file)` opens it.

    Args:
        paths: Recordings, and folders of recordings.
        out: Folder to make; must not exist.
        index: Export this episode of each recording alone.
        progress: Told after each recording.

    Raises:
        ExportError: If there is nothing to export, a recording has no such episode, `out` exists, or the disk refuses.
        UnreadableRecordingError: If a recording that was named, or part of any, cannot be read.
    """
    recordings, left_out = choose_recordings(paths)
    episodes = 0
    with new_folder(out) as folder:
        for done, path in enumerate(recordings):
            progress(done, len(recordings))
            with Session(path) as session:
                info = session.info
                # Names made of what the reader has checked: what a file says cannot lead out of the folder.
                stem = recording_name(info.participant, info.protocol, info.created, info.session_id)
                stem = stem.removesuffix(SUFFIX)
                chosen = session.episodes if index is None else [_episode(session, index)]
                for episode in chosen:
                    _write_arrays(folder / f"{stem}_{episode_name(episode.index)}.npz", session, episode)
                    episodes += 1
        progress(len(recordings), len(recordings))
    return ExportSummary(out, len(recordings), episodes, left_out)


def _episode(session: Session, index: int) -> Episode:
    if not 0 <= index < len(session.episodes):
        raise ExportError(
            f"{session.path} has no episode {index}; nothing was written: it has {len(session.episodes)}, from 0"
        )
    return session.episodes[index]


def _write_arrays(path: Path, session: Session, episode: Episode) -> None:
    # numpy.savez would want all columns in memory at once.
    with (
        BufferedWriter(open_new(path)) as out,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        attributes = np.array(json.dumps(_attributes(session, episode)))
        for name in ("attributes", *episode.columns):
            values = attributes if name == "attributes" else episode[name]
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, values, allow_pickle=False)


def _attributes(session: Session, episode: Episode) -> dict[str, Any]:
    return {
        "row_meaning": ROW_MEANING,
        "session": {**asdict(session.info), "status": session.status, "schema_version": session.schema_version},
        "episode": {
            **asdict(episode.info),
            "index": episode.index,
            "status": episode.status,
            "rejected": episode.rejected,
            "accepted": episode.accepted,
            "n_steps": episode.n_steps,
        },
        "columns": {name: {"meaning": column.meaning, "unit": column.unit} for name, column in episode.columns.items()},
    }
