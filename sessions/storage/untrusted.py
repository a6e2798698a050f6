"""Looking at HDF5 that anyone may have written: what a recording never holds is refused before it is touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5l, h5z
from numpy.typing import NDArray

from sessions.errors import UnreadableRecordingError
from sessions.storage.interrupts import interrupts_held

_FILTERS = {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32}
"""Those built into HDF5; any other would be looked for among plugins and run."""


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Turn whatever a damaged or foreign file makes h5py raise into an UnreadableRecordingError of one line."""
    try:
        with interrupts_held():
            yield
    except UnreadableRecordingError:
        raise
    except (ArithmeticError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()).strip("\"'")[:200] or type(error).__name__
        raise UnreadableRecordingError(
            f"{path} is damaged or no Racer recording: {reason}; it was not changed, other recordings are not affected"
        ) from error


def open_group(parent: h5py.Group, name: str) -> h5py.Group:
    """Return a group that lies in this file.

    Raises:
        ValueError: If there is none, or only a link to elsewhere.
    """
    _check_link(parent, name)
    group = parent[name]
    if not isinstance(group, h5py.Group):
        raise ValueError(f"{name} is no group")
    return group


class Table:
    """A dataset of which only the shape has been looked at, and found as expected.

    Args:
        parent: Group the dataset lies in.
        name: Of the dataset.
        dtype: Expected.
        shape: Expected of a row.
        chunk: Expected shape of a chunk; others could make reading endless.
        most_rows: Rows believed.

    Raises:
        ValueError: If there is none, its rows are of another type or shape or too many, or its data lie outside of
            the file or behind a filter that is not built in.
    """

    def __init__(
        self,
        parent: h5py.Group,
        name: str,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        chunk: tuple[int, ...],
        most_rows: int,
    ) -> None:
        _check_link(parent, name)
        self._name = name
        # The low-level call: h5py's own would first ask a virtual dataset for its shape, and open other files for it.
        self._id = h5d.open(parent.id, name.encode())
        plist = self._id.get_create_plist()
        # External and virtual datasets, whose data lie in other files, cannot be chunked.
        if plist.get_layout() != h5d.CHUNKED:
            raise ValueError(f"{name} is not stored in chunks of this file")
        if any(plist.get_filter(i)[0] not in _FILTERS for i in range(plist.get_nfilters())):
            raise ValueError(f"{name} is stored through a foreign filter")
        if self._id.dtype != dtype:
            raise ValueError(f"{name} is not of type {dtype}")
        if self._id.rank != 1 + len(shape) or self._id.shape[1:] != shape:
            raise ValueError(f"{name} has rows of the wrong shape")
        if self._id.shape[0] > most_rows:
            raise ValueError(f"{name} has more than {most_rows} rows")
        if plist.get_chunk() != chunk:
            raise ValueError(f"{name} has chunks of the wrong shape")
        self._dtype = dtype
        self.rows: int = self._id.shape[0]
        """Number of rows."""

    def load(self, rows: int) -> NDArray[Any]:
        """Return the first `rows` rows.

        Raises:
            ValueError: If some of them were never written.
        """
        dataset = h5py.Dataset(self._id)
        # Rows of a chunk that was never written read as zeros: a small file could claim to hold gigabytes of them.
        if dataset.size and self._id.get_num_chunks() < -(-self.rows // dataset.chunks[0]):
            raise ValueError(f"rows of {self._name} are missing")
        values: NDArray[Any] = dataset[:rows]
        if self._dtype == np.bool_ and values.view(np.uint8).max(initial=0) > 1:
            raise ValueError(f"{self._name} holds something other than true and false")
        return values


def _check_link(parent: h5py.Group, name: str) -> None:
    links, key = parent.id.links, name.encode()
    if not links.exists(key) or links.get_info(key).type != h5l.TYPE_HARD:
        raise ValueError(f"{name} is missing or only a link")
