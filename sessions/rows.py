"""Rows on their way to disk: appending costs microseconds, writing a block of them a millisecond."""

from __future__ import annotations

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


class EpisodeRows:
    """The rows of one episode, and its group in the file.

    Args:
        parent: Gets the group, with its attributes and one empty dataset per column.
        name: Of the group.
        info: Attributes.
        keep_frames: Whether to have the column `frame`.

    Raises:
        ValueError: If `info` cannot be stored; the file is then as it was.
    """

    def __init__(self, parent: h5py.Group, name: str, info: EpisodeInfo, keep_frames: bool) -> None:
        attributes = encode_info(info)
        self._group = parent.create_group(name)
        self._packet_bytes = info.packet_bytes
        self._columns = episode_columns(info.packet_bytes, keep_frames)
        self._blocks: dict[str, NDArray[Any]] = {}
        self._datasets: dict[str, h5py.Dataset] = {}
        self._held = 0
        self._written = 0
        self._group.attrs.update(attributes)
        self._group.attrs["n_steps"] = np.int64(0)
        self._n_steps = h5a.open(self._group.id, b"n_steps")
        self._group.attrs["rejected"] = False
        self.set_status("running")
        for column in self._columns:
            self._blocks[column.name] = np.zeros((BLOCK_ROWS, *column.shape), column.dtype)
            self._datasets[column.name] = _create_dataset(self._group, column)

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
        if step.action not in (-1, 0, 1):
            raise ValueError(f"action must be -1, 0 or 1; got {step.action}")
        if len(step.packet) != self._packet_bytes:
            raise ValueError(f"packet must have {self._packet_bytes} bytes; got {len(step.packet)}")
        if not 0 <= step.bits < 2**16:
            raise ValueError(f"bits must fit uint16; got {step.bits}")
        if not 0 <= min(step.stage_us) <= max(step.stage_us) < 2**32:
            raise ValueError(f"stage_us must fit uint32; got {step.stage_us}")
        if not -(2**63) <= step.time_ns < 2**63:
            raise ValueError(f"time_ns must fit int64; got {step.time_ns}")
        for column in self._columns:
            value = getattr(step, column.name)
            if column.name == "packet":
                value = np.frombuffer(step.packet, np.uint8)
            elif column.shape:
                _check_row(column, value)
            self._blocks[column.name][self._held] = value
        self._held += 1

    def write(self) -> int:
        """Hand the rows held to HDF5, in all columns, and return how many they were."""
        count = self._held
        if not count:
            return 0
        start, stop = self._written, self._written + count
        for name, dataset in self._datasets.items():
            _append_rows(dataset.id, start, self._blocks[name][:count])
        self._n_steps.write(np.array(stop, np.int64))
        self._written, self._held = stop, 0
        return count

    def set_status(self, status: Status) -> None:
        """Write the attribute `status`."""
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
        self._dataset = parent.create_dataset(name, (0,), maxshape=(None,), chunks=chunk, dtype=dtype)

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
        self._dataset[self._written : stop] = np.array(self._held, self._dtype)
        self._written, self._held = stop, []


def _create_dataset(group: h5py.Group, column: Column) -> h5py.Dataset:
    return group.create_dataset(
        column.name,
        (0, *column.shape),
        # A width of 0 must be unlimited, or HDF5 finds the chunk too wide.
        maxshape=(None, *(size or None for size in column.shape)),
        chunks=column.chunk,
        dtype=column.dtype,
        compression=1 if column.name == "frame" else None,
    )


def _append_rows(dataset: h5d.DatasetID, start: int, rows: NDArray[np.generic]) -> None:
    """Write rows behind the first `start` ones. Through the low-level calls, which take a third of the time."""
    dataset.set_extent((start + len(rows), *rows.shape[1:]))
    if rows.size:
        space = dataset.get_space()
        space.select_hyperslab((start,) + (0,) * (rows.ndim - 1), rows.shape)
        dataset.write(h5s.create_simple(rows.shape), space, rows)


def _check_row(column: Column, value: Any) -> None:
    """Raise ValueError unless the value has the shape of a row; arrays must have its dtype as well."""
    if isinstance(value, np.ndarray):
        fits = value.shape == column.shape and value.dtype == column.dtype
    else:
        fits = isinstance(value, tuple) and (len(value),) == column.shape
    if not fits:
        raise ValueError(f"{column.name} must be {column.dtype}{list(column.shape)}")
