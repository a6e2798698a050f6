"""The reader: a recording's attributes at once, its columns when asked for, nothing that the file does not hold.

Recordings come from anyone. Whatever is wrong with a file, opening or reading it raises an UnreadableRecordingError.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, overload

import h5py
import numpy as np
from numpy.typing import NDArray

from sessions.attributes import read_attribute, read_info
from sessions.errors import UnreadableRecordingError
from sessions.schema import (
    ANSWER_CHUNK,
    ANSWER_DTYPE,
    EVENT_CHUNK,
    EVENT_DTYPE,
    MOST_EPISODES,
    MOST_STEPS,
    MOST_TABLE_ROWS,
    SCHEMA_VERSION,
    Answer,
    EpisodeInfo,
    Event,
    SessionInfo,
    Status,
    episode_columns,
    episode_name,
)
from sessions.storage.readonly import ReadOnlyFile
from sessions.storage.untrusted import Table, open_group, refusing

ScalarT = TypeVar("ScalarT", bound=np.generic)


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
            if self.schema_version != SCHEMA_VERSION:
                raise UnreadableRecordingError(
                    f"{path} has recording schema {self.schema_version} and this Racer reads {SCHEMA_VERSION}; "
                    "it was not changed: open it with the Racer that made it or a newer one"
                )
            self.info = read_info(SessionInfo, self._file)
            self.status = _read_status(self._file)
            self.episodes = _Episodes(path, open_group(self._file, "episodes"))
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
            table = Table(self._file, name, dtype, (), chunk, MOST_TABLE_ROWS)
            return [
                [value.decode() if isinstance(value, bytes) else value for value in row]
                for row in table.load(table.rows).tolist()
            ]


class Column(Generic[ScalarT]):
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
        path: Of the recording.
        episodes: The group that holds all episodes.
        index: 0 or more.

    Raises:
        UnreadableRecordingError: If a column is missing or not as the schema wants it; here and on access.
    """

    index: int
    info: EpisodeInfo
    status: Status
    rejected: bool
    """Whether the experimenter had it driven again: kept, but out of training and analysis."""
    n_steps: int
    """Rows of every column; in an episode cut short by a kill, those that all columns have."""
    columns: tuple[str, ...]
    """Names of the columns; `frame` only where frames were kept."""

    time_ns = Column[np.int64]()
    action = Column[np.int8]()
    control = Column[np.float32]()
    progress = Column[np.float32]()
    off_road = Column[np.bool_]()
    speed = Column[np.float32]()
    reward = Column[np.float32]()
    latent = Column[np.float32]()
    received = Column[np.float32]()
    mask = Column[np.bool_]()
    packet = Column[np.uint8]()
    bits = Column[np.uint16]()
    stage_us = Column[np.uint32]()
    frame = Column[np.uint8]()

    def __init__(self, path: Path, episodes: h5py.Group, index: int) -> None:
        self._path = path
        self.index = index
        with refusing(path):
            group = open_group(episodes, episode_name(index))
            self.info = read_info(EpisodeInfo, group)
            self.status = _read_status(group)
            self.rejected = "rejected" in group.attrs and read_attribute(group, "rejected", bool)
            columns = episode_columns(self.info.packet_bytes, frames=group.id.links.exists(b"frame"))
            self._tables = {
                column.name: Table(group, column.name, column.dtype, column.shape, column.chunk, MOST_STEPS)
                for column in columns
            }
            self.columns = tuple(self._tables)
            rows = {read_attribute(group, "n_steps", int), *(table.rows for table in self._tables.values())}
            if len(rows) > 1 and self.status != "running":
                raise ValueError(f"the columns of episode {index} differ in length")
            self.n_steps = max(0, min(rows))

    @property
    def accepted(self) -> bool:
        """Whether it was driven to its end and not rejected: what training and analysis use."""
        return self.status == "complete" and not self.rejected

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a column, shape [n_steps, ...]; see `schema.COLUMNS`."""
        if name not in self._tables:
            raise UnreadableRecordingError(
                f"episode {self.index} of {self._path} has no column {name}; it has {', '.join(self.columns)}"
            )
        with refusing(self._path):
            return self._tables[name].load(self.n_steps)


class _Episodes(Sequence[Episode]):
    def __init__(self, path: Path, group: h5py.Group) -> None:
        self._path = path
        self._group = group
        self._count = len(group)
        if self._count > MOST_EPISODES:
            raise ValueError(f"more than {MOST_EPISODES} episodes")

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Episode: ...
    @overload
    def __getitem__(self, index: slice) -> list[Episode]: ...
    def __getitem__(self, index: int | slice) -> Episode | list[Episode]:
        if isinstance(index, slice):
            return [self[i] for i in range(self._count)[index]]
        return Episode(self._path, self._group, range(self._count)[index])


def _read_status(group: h5py.Group) -> Status:
    status = read_attribute(group, "status", str)
    if status not in ("running", "complete", "aborted"):
        raise ValueError(f"status {status[:80]!r} is unknown")
    return status  # type: ignore[no-any-return]
