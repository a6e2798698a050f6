"""Rows on their way to disk: appending costs microseconds, writing a block of them a millisecond."""

from __future__ import annotations

import hashlib
import math
from operator import index
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5s
from numpy.typing import NDArray

from sessions.attributes import encode_info
from sessions.schema import (
    BLOCK_ROWS,
    MOST_STEPS,
    MOST_TABLE_ROWS,
    Column,
    EpisodeInfo,
    Status,
    Step,
    episode_columns,
)
from sessions.task_record import TaskRecord

_NUMBERS: dict[str, type[float]] = {"i": int, "u": int, "f": float, "b": bool}
"""By the kind of a column's type, the type of most numbers that it gets."""


class EpisodeRows:
    """The rows of one episode, and its group in the file.

    Args:
        parent: Gets the group, with its attributes and one empty dataset per column.
        name: Of the group.
        info: Attributes.
        task: Decides the columns.
        keep_frames: Whether to have the column `frame`.

    Raises:
        ValueError: If `info` cannot be stored; the file is then as it was.
    """

    def __init__(self, parent: h5py.Group, name: str, info: EpisodeInfo, task: TaskRecord, keep_frames: bool) -> None:
        attributes = encode_info(info)
        self._group = parent.create_group(name)
        self._held = 0
        self._written = 0
        self._group.attrs.update(attributes)
        self._group.attrs["n_steps"] = np.int64(0)
        self._n_steps = h5a.open(self._group.id, b"n_steps")
        self._group.attrs["rejected"] = False
        self.set_status("running")
        self._metrics = {metric.name for metric in task.metrics}
        self.info = info
        self.status: Status = "running"
        columns = episode_columns(task, info.packet_bytes, info.linked, keep_frames)
        self._hashes = {name: hashlib.sha256() for name in columns}
        self._columns = [
            (
                column,
                None if column.shape else _NUMBERS[column.dtype.kind],
                *column.limits,
                np.zeros((BLOCK_ROWS, *column.shape), column.dtype),
                _create(self._group, column),
            )
            for column in columns.values()
        ]

    @property
    def steps(self) -> int:
        """Rows written."""
        return self._written

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of the bytes written of each column, by name."""
        return {name: digest.hexdigest() for name, digest in self._hashes.items()}

    @property
    def full(self) -> bool:
        """Whether the rows held must be written before the next append."""
        return self._held == BLOCK_ROWS

    def append(self, step: Step) -> None:
        """Copy a row into the block in memory.

        Raises:
            ValueError: If a value does not fit its column; the row is not appended.
        """
        if self._written + self._held >= MOST_STEPS:
            raise ValueError(f"an episode has at most {MOST_STEPS} steps")
        if step.metrics.keys() != self._metrics:
            raise ValueError(f"metrics must be {', '.join(sorted(self._metrics))}; got {', '.join(step.metrics)}")
        held, metrics = self._held, step.metrics
        for column, number, low, high, block, _ in self._columns:
            value: Any = getattr(step, column.name) if column.better is None else metrics[column.name]
            # What is asked first is what nearly every value is.
            fits = type(value) is number and low <= value <= high
            block[held] = value if fits else _fitting(column, low, high, value)
        self._held += 1

    def write(self) -> int:
        """Hand the rows held to HDF5, in all columns, and return how many they were."""
        count = self._held
        if not count:
            return 0
        start, stop = self._written, self._written + count
        for column, *_, block, dataset in self._columns:
            _append_rows(dataset, start, block[:count])
            self._hashes[column.name].update(block[:count].tobytes())
        self._n_steps.write(np.array(stop, np.int64))
        self._written, self._held = stop, 0
        return count

    def set_status(self, status: Status) -> None:
        """Write the attribute `status`."""
        self.status = status
        self._group.attrs["status"] = status

    def reject(self) -> None:
        """Write the attribute `rejected`."""
        self._group.attrs["rejected"] = True


class TableRows:
    """Rows of a compound dataset: /events or /answers.

    Args:
        parent: Group that gets the dataset.
        name: Of the dataset.
        dtype: Of a row.
        chunk: Shape of an HDF5 chunk.
    """

    def __init__(self, parent: h5py.Group, name: str, dtype: np.dtype[Any], chunk: tuple[int]) -> None:
        self._dtype = dtype
        self._limits = {field: h5py.check_string_dtype(dtype[field]) for field in dtype.names or ()}
        self._held: list[tuple[int | bytes, ...]] = []
        self._written = 0
        self._hash = hashlib.sha256()
        self._dataset = parent.create_dataset(name, (0,), maxshape=(None,), chunks=chunk, dtype=dtype)

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes written."""
        return self._hash.hexdigest()

    @property
    def full(self) -> bool:
        """Whether the rows held should be written soon."""
        return len(self._held) >= BLOCK_ROWS

    def append(self, *values: int | str) -> None:
        """Hold a row, one value per field in order.

        Raises:
            ValueError: If a text is too long or holds a NUL, an integer does not fit, or the table is full.
        """
        if self._written + len(self._held) >= MOST_TABLE_ROWS:
            raise ValueError(f"a recording has at most {MOST_TABLE_ROWS} rows of a table")
        row: list[int | bytes] = []
        for (name, text), value in zip(self._limits.items(), values, strict=True):
            if isinstance(value, str):
                encoded = value.encode()
                if len(encoded) > text.length or b"\0" in encoded:
                    raise ValueError(f"{name} must be at most {text.length} bytes of UTF-8 without NUL")
                row.append(encoded)
            else:
                limits = np.iinfo(self._dtype[name])
                if not limits.min <= value <= limits.max:
                    raise ValueError(f"{name} must fit {self._dtype[name]}; got {value}")
                row.append(value)
        self._held.append(tuple(row))

    def write(self) -> None:
        """Hand the rows held to HDF5."""
        if not self._held:
            return
        stop = self._written + len(self._held)
        self._dataset.resize(stop, axis=0)
        rows = np.array(self._held, self._dtype)
        self._dataset[self._written : stop] = rows
        self._hash.update(rows.tobytes())
        self._written, self._held = stop, []


def _create(group: h5py.Group, column: Column) -> h5d.DatasetID:
    dataset = group.create_dataset(
        column.name,
        (0, *column.shape),
        # A width of 0 must be unlimited, or HDF5 finds the chunk too wide.
        maxshape=(None, *(size or None for size in column.shape)),
        chunks=column.chunk,
        dtype=column.dtype,
        compression=1 if column.deflated else None,
    )
    dataset.attrs["meaning"], dataset.attrs["unit"] = column.meaning, column.unit
    if column.better is not None:
        dataset.attrs["better"] = column.better
    return dataset.id


def _append_rows(dataset: h5d.DatasetID, start: int, rows: NDArray[np.generic]) -> None:
    """Write rows behind the first `start` ones. Through the low-level calls, which take a third of the time."""
    dataset.set_extent((start + len(rows), *rows.shape[1:]))
    if rows.size:
        space = dataset.get_space()
        space.select_hyperslab((start,) + (0,) * (rows.ndim - 1), rows.shape)
        dataset.write(h5s.create_simple(rows.shape), space, rows)


def _fitting(column: Column, low: float, high: float, value: Any) -> Any:
    """Return a row's value if its column can hold it: arrays must have the type and shape, numbers the limits.

    Raises:
        ValueError: If it cannot.
    """
    if isinstance(value, bytes):
        value = np.frombuffer(value, np.uint8)
    if isinstance(value, np.ndarray):
        if value.shape == column.shape and value.dtype == column.dtype:
            return value
    elif column.shape:
        if isinstance(value, tuple) and (len(value),) == column.shape and low <= min(value) and max(value) <= high:
            return value
    else:
        try:
            number = index(value) if column.dtype.kind in "iu" else float(value)
        except (TypeError, OverflowError):
            number = math.nan
        if low <= number <= high and (number in (0, 1) or column.dtype.kind != "b"):
            return number
    raise ValueError(
        f"{column.name} must be {column.dtype}{list(column.shape) or ''} between {low:g} and {high:g}; "
        f"got {str(value)[:60]}"
    )
