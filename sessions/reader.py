"""The reader: a recording's attributes at once, its columns when asked for, nothing that the file does not hold.

Recordings come from anyone. Whatever is wrong with a file, opening or reading it raises an UnreadableRecordingError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, overload

import h5py
import numpy as np
from numpy.typing import NDArray

from sessions import version1
from sessions.attributes import read_attribute, read_info
from sessions.errors import UnreadableRecordingError
from sessions.schema import (
    ANSWER_CHUNK,
    ANSWER_DTYPE,
    EVENT_CHUNK,
    EVENT_DTYPE,
    FRAME,
    MOST_EPISODES,
    MOST_STEPS,
    MOST_TABLE_ROWS,
    SCHEMA_VERSION,
    Answer,
    Column,
    EpisodeInfo,
    Event,
    SessionInfo,
    Status,
    episode_columns,
    episode_name,
)
from sessions.seal import ATTRIBUTE
from sessions.storage.readonly import ReadOnlyFile
from sessions.storage.untrusted import UntrustedTable, open_group, refusing
from sessions.task_record import TaskRecord

ScalarT = TypeVar("ScalarT", bound=np.generic)
_LEAST_EPISODE_BYTES = 4096
"""Bytes that an episode without a step takes in a file, at least."""


def open(path: Path) -> Session:
    """Open a recording, finished or not; the file is never changed.

    Raises:
        UnreadableRecordingError: If there is none, or it is damaged, foreign or of a newer schema.
    """
    return Session(path)


class Session:
    """One recording, opened. A context manager; close it to let go of the file.

    A recording that is being written opens as of its last flush, and is to be read before the next one.

    Args:
        path: `.h5` or `.h5.partial`.

    Raises:
        UnreadableRecordingError: If the file cannot be used; here and in every method.
    """

    path: Path
    info: SessionInfo
    status: Status
    """`running` where the session still runs or was killed."""
    schema_version: int
    """1 or 2; what version 1 held is read as version 2 holds it."""
    episodes: Sequence[Episode]
    """In the order driven; each is opened when asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with refusing(path), ExitStack() as opened:
            if not path.is_file():
                raise UnreadableRecordingError(f"there is no recording {path}: check the name")
            data = ReadOnlyFile(path)
            opened.callback(data.close)
            if data.size == 0:
                raise UnreadableRecordingError(f"{path} is empty: its session ended before anything was recorded")
            self._file = h5py.File(data, "r")
            opened.callback(self._file.close)
            self.schema_version = read_attribute(self._file, "schema_version", int)
            if self.schema_version not in (1, SCHEMA_VERSION):
                raise UnreadableRecordingError(
                    f"{path} has recording schema {self.schema_version} and this Racer reads 1 and {SCHEMA_VERSION}; "
                    "it was not changed: open it with the Racer that made it or a newer one"
                )
            old = self.schema_version == 1
            self.info = version1.session_info(self._file) if old else read_info(SessionInfo, self._file)
            self.status = _read_status(self._file)
            self._size = data.size
            self.episodes = _Episodes(self, open_group(self._file, "episodes"), data.size)
            self._opened = opened.pop_all()

    def count_steps(self) -> int:
        """Return the steps of all episodes, as their attributes say: quicker than opening the episodes."""
        with refusing(self.path):
            episodes = open_group(self._file, "episodes")
            groups = (open_group(episodes, episode_name(index)) for index in range(len(self.episodes)))
            return sum(max(0, read_attribute(group, "n_steps", int)) for group in groups)

    def events(self) -> list[Event]:
        """Return the key presses, focus changes and pauses in the order recorded."""
        return [Event(*row) for row in self._rows("events", EVENT_DTYPE, EVENT_CHUNK)]

    def answers(self) -> list[Answer]:
        """Return the answered questionnaire items in the order recorded."""
        return [Answer(*row) for row in self._rows("answers", ANSWER_DTYPE, ANSWER_CHUNK)]

    @property
    def seal(self) -> str:
        """What the file says its seal is; empty where it has none. See `sessions.seal`."""
        with refusing(self.path):
            return read_attribute(self._file, ATTRIBUTE, str) if ATTRIBUTE in self._file.attrs else ""

    def table_bytes(self, name: str) -> bytes:
        """Return the bytes of all rows of a table, `events` or `answers`."""
        dtype, chunk = {"events": (EVENT_DTYPE, EVENT_CHUNK), "answers": (ANSWER_DTYPE, ANSWER_CHUNK)}[name]
        with refusing(self.path):
            table = UntrustedTable(self._file, name, dtype, (), chunk, MOST_TABLE_ROWS, self._size)
            return table.load(0, table.rows).tobytes()

    def close(self) -> None:
        """Let go of the file."""
        with refusing(self.path):
            self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _rows(self, name: str, dtype: np.dtype[Any], chunk: tuple[int]) -> list[list[Any]]:
        """Return the rows of a compound dataset, texts decoded."""
        with refusing(self.path):
            table = UntrustedTable(self._file, name, dtype, (), chunk, MOST_TABLE_ROWS, self._size)
            return [
                [value.decode() if isinstance(value, bytes) else value for value in row]
                for row in table.load(0, table.rows).tolist()
            ]


class LoadedColumn(Generic[ScalarT]):
    """An attribute of an episode that loads the column of its own name, shape [n_steps, ...]."""

    def __set_name__(self, owner: type[Episode], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, episode: None, owner: type[Episode]) -> Self: ...
    @overload
    def __get__(self, episode: Episode, owner: type[Episode]) -> NDArray[ScalarT]: ...
    def __get__(self, episode: Episode | None, owner: type[Episode]) -> Self | NDArray[ScalarT]:
        return self if episode is None else episode[self._name]


class Episode:
    """One episode. Its columns are loaded from the file each time they are asked for, as attribute or by name.

    Args:
        session: That it lies in.
        episodes: The group that holds all episodes.
        index: 0 or more.
        most_bytes: Bytes believed to be stored: the size of the file.

    Raises:
        UnreadableRecordingError: If a column is missing or not as the schema wants it; here and on access.
    """

    index: int
    task: TaskRecord
    info: EpisodeInfo
    status: Status
    rejected: bool
    """Whether the experimenter had it driven again: kept, but out of training and analysis."""
    n_steps: int
    """Rows of every column; in an episode cut short by a kill, those that all columns have."""
    columns: Mapping[str, Column]
    """By name, in the order of `schema.episode_columns`; `frame` only where frames were kept."""
    stored_bytes: int
    """Bytes that it takes in the file, at least."""

    time_ns = LoadedColumn[np.int64]()
    response_ns = LoadedColumn[np.int64]()
    action = LoadedColumn[np.uint8]()
    applied = LoadedColumn[np.uint8]()
    stimulus = LoadedColumn[np.int64]()
    latent = LoadedColumn[np.float32]()
    received = LoadedColumn[np.float32]()
    mask = LoadedColumn[np.bool_]()
    packet = LoadedColumn[np.uint8]()
    bits = LoadedColumn[np.uint16]()
    uplink_bits = LoadedColumn[np.uint16]()
    arrived = LoadedColumn[np.bool_]()
    stage_us = LoadedColumn[np.uint32]()
    frame = LoadedColumn[np.uint8]()

    def __init__(self, session: Session, episodes: h5py.Group, index: int, most_bytes: int) -> None:
        self._path = session.path
        self._old = old = session.schema_version == 1
        self.index = index
        self.task = session.info.task
        with refusing(self._path):
            group = open_group(episodes, episode_name(index))
            self.info = version1.episode_info(group, session.info) if old else read_info(EpisodeInfo, group)
            self.status = _read_status(group)
            self.rejected = "rejected" in group.attrs and read_attribute(group, "rejected", bool)
            frames = group.id.links.exists(FRAME.encode())
            self.columns = episode_columns(self.task, self.info.packet_bytes, self.info.linked, frames)
            self._tables = {
                name: UntrustedTable(
                    group, name, column.dtype, column.shape, column.chunk, MOST_STEPS, most_bytes, column.deflated
                )
                for name, column in (version1.stored_columns(self.columns, self.info) if old else self.columns).items()
            }
            rows = {read_attribute(group, "n_steps", int), *(table.rows for table in self._tables.values())}
            if len(rows) > 1 and self.status != "running":
                raise ValueError(f"the columns of episode {index} differ in length")
            self.n_steps = max(0, min(rows))
            self.stored_bytes = sum(table.stored_bytes for table in self._tables.values()) + _LEAST_EPISODE_BYTES

    @property
    def accepted(self) -> bool:
        """Whether it was driven to its end and not rejected: what training and analysis use."""
        return self.status == "complete" and not self.rejected

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a column, shape [n_steps, ...]."""
        return self.rows(name, 0, self.n_steps)

    def rows(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Return rows `start` (0 or more) to `stop` (left out) of a column; fewer where it ends before."""
        if name not in self.columns:
            raise UnreadableRecordingError(
                f"episode {self.index} of {self._path} has no column {name}; it has {', '.join(self.columns)}"
            )

        stop = min(stop, self.n_steps)

        def load(stored: str) -> NDArray[Any]:
            return self._tables[stored].load(min(start, stop), stop)

        with refusing(self._path):
            return version1.column(name, load, self.info) if self._old else load(name)

    def trial_value(self, name: str) -> float:
        """Return what the episode comes to in a metric, of a block of trials their mean; NaN without a step.

        Raises:
            KeyError: If the task has no such metric.
        """
        metric, values = self.task.metric(name), self[name]
        if self.task.paced or not len(values):
            return metric.of_trial(values)
        trials = np.split(values, trial_starts(self["stimulus"])[1:])
        return float(np.mean([metric.of_trial(trial) for trial in trials]))

    @property
    def metrics(self) -> dict[str, float]:
        """What the episode comes to in every metric of the task."""
        return {metric.name: self.trial_value(metric.name) for metric in self.task.metrics}


def trial_starts(stimulus: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Return the steps at which the trials of a block begin, int[E], from their seeds, int[T]: 0 and where one changes.

    Neighbouring trials have different seeds.
    """
    starts: NDArray[np.intp] = np.concatenate([[0], np.flatnonzero(stimulus[1:] != stimulus[:-1]) + 1]).astype(np.intp)
    return starts


class _Episodes(Sequence[Episode]):
    def __init__(self, session: Session, group: h5py.Group, most_bytes: int) -> None:
        self._session = session
        self._group = group
        self._count = len(group)
        if self._count > MOST_EPISODES:
            raise ValueError(f"more than {MOST_EPISODES} episodes")
        self._opened: set[int] = set()
        self._bytes_left = self._most_bytes = most_bytes

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Episode: ...
    @overload
    def __getitem__(self, index: slice) -> list[Episode]: ...
    def __getitem__(self, index: int | slice) -> Episode | list[Episode]:
        if isinstance(index, slice):
            return [self[i] for i in range(self._count)[index]]
        index = range(self._count)[index]
        with refusing(self._session.path):
            if self._bytes_left >= 0:
                episode = Episode(self._session, self._group, index, self._most_bytes)
                self._bytes_left -= 0 if index in self._opened else episode.stored_bytes
                self._opened.add(index)
            # Episodes, columns or chunks that are linked several times would make a small file take hours to read.
            if self._bytes_left < 0:
                raise ValueError("it has more episodes than lie in the file")
        return episode


def _read_status(group: h5py.Group) -> Status:
    status = read_attribute(group, "status", str)
    if status not in ("running", "complete", "aborted"):
        raise ValueError(f"status {status[:80]!r} is unknown")
    return status  # type: ignore[no-any-return]
