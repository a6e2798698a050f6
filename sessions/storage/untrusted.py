"""Reading HDF5 that anyone may have written: what a recording never holds is refused before it is touched."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5l, h5z
from numpy.typing import NDArray

from sessions.errors import UnreadableRecordingError
from sessions.storage.interrupts import interrupts_held

_MOST_DEFLATED = 1032
"""Bytes that deflate makes of one, at most."""


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Turn whatever a damaged or foreign file makes h5py raise into an UnreadableRecordingError of one line."""
    try:
        with interrupts_held():
            yield
    except UnreadableRecordingError:
        raise
    except (
        ArithmeticError,
        LookupError,
        MemoryError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
        zlib.error,
    ) as error:
        reason = " ".join(str(error).split()).strip("\"'")[:200] or type(error).__name__
        raise UnreadableRecordingError(
            f"{path} is damaged or not a Racer recording: {reason}; it was not changed, other recordings are not "
            "affected"
        ) from error


def open_group(parent: h5py.Group, name: str) -> h5py.Group:
    """Return a group that lies in this file.

    Raises:
        ValueError: If there is none, or only a link to elsewhere.
    """
    _check_link(parent, name)
    group = parent[name]
    if not isinstance(group, h5py.Group):
        raise ValueError(f"{name} is not a group")
    return group


class UntrustedTable:
    """A dataset of which only the shape has been looked at, and found as expected.

    HDF5 applies none of its filters: it would inflate a few bytes to gigabytes, and look for foreign filters among
    plugins and run them.

    Args:
        parent: Group the dataset lies in.
        name: Of the dataset.
        dtype: Expected.
        shape: Expected of a row.
        chunk: Expected shape of a chunk; others could make reading endless.
        most_rows: Rows believed.
        most_bytes: Bytes believed to be stored: the size of the file.
        deflated: Whether a chunk is one row, compressed.

    Raises:
        ValueError: If there is none, its rows are of another type or shape or too many, or its data lie outside of
            the file or behind a filter.
    """

    def __init__(
        self,
        parent: h5py.Group,
        name: str,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        chunk: tuple[int, ...],
        most_rows: int,
        most_bytes: int,
        deflated: bool = False,
    ) -> None:
        _check_link(parent, name)
        self._name = name
        # The low-level call: h5py's own would first ask a virtual dataset for its shape, and open other files for it.
        self._id = h5d.open(parent.id, name.encode())
        plist = self._id.get_create_plist()
        # External and virtual datasets, whose data lie in other files, cannot be chunked.
        if plist.get_layout() != h5d.CHUNKED:
            raise ValueError(f"{name} is not stored in chunks of this file")
        filters = [plist.get_filter(index)[0] for index in range(plist.get_nfilters())]
        if filters != [h5z.FILTER_DEFLATE] * deflated:
            raise ValueError(f"{name} is stored through a foreign filter")
        if self._id.dtype != dtype:
            raise ValueError(f"{name} is not of type {dtype}")
        if self._id.rank != 1 + len(shape) or self._id.shape[1:] != shape:
            raise ValueError(f"{name} has rows of the wrong shape")
        if self._id.shape[0] > most_rows:
            raise ValueError(f"{name} has more than {most_rows} rows")
        if plist.get_chunk() != chunk:
            raise ValueError(f"{name} has chunks of the wrong shape")
        self._dtype, self._shape, self._deflated = dtype, shape, deflated
        self.rows: int = self._id.shape[0]
        """Number of rows."""
        self._chunks = -(-self.rows // chunk[0]) if prod(shape) else 0
        size = self._chunks * prod(chunk) * dtype.itemsize
        self.stored_bytes: int = size // _MOST_DEFLATED if deflated else size
        """Bytes that its rows take in the file, at least."""
        if self.stored_bytes > most_bytes:
            raise ValueError(f"{name} has more rows than lie in the file")

    def load(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows `start` to `stop`, the latter left out.

        Raises:
            ValueError: If some rows were never written, or are none.
        """
        # Rows of a chunk that was never written read as zeros: a small file could claim to hold gigabytes of them.
        if self._id.get_num_chunks() < self._chunks:
            raise ValueError(f"rows of {self._name} are missing")
        values: NDArray[Any] = self._inflate(start, stop) if self._deflated else h5py.Dataset(self._id)[start:stop]
        if self._dtype == np.bool_ and values.view(np.uint8).max(initial=0) > 1:
            raise ValueError(f"{self._name} holds something other than true and false")
        return values

    def _inflate(self, start: int, stop: int) -> NDArray[Any]:
        values = np.empty((stop - start, *self._shape), self._dtype)
        for row, value in enumerate(values, start):
            _, stored = self._id.read_direct_chunk((row, *[0] * len(self._shape)))
            inflater = zlib.decompressobj()
            data = inflater.decompress(stored, value.nbytes + 1)
            if len(data) != value.nbytes or not inflater.eof:
                raise ValueError(f"row {row} of {self._name} is not of its size")
            value[...] = np.frombuffer(data, self._dtype).reshape(self._shape)
        return values


def _check_link(parent: h5py.Group, name: str) -> None:
    links, key = parent.id.links, name.encode()
    if not links.exists(key) or links.get_info(key).type != h5l.TYPE_HARD:
        raise ValueError(f"{name} is missing or only a link")
