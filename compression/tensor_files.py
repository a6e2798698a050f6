"""Files of tensors that need not be trusted: safetensors, so they can run no code, with a header always written
alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from disk.reading import open_plain

LARGEST_NUMBER = 1e4
"""Sums of as many numbers as a file holds stay finite."""
_DTYPES = (np.dtype(np.float16), np.dtype(np.float32))
_MALFORMED = (SafetensorError, KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)

Tensors = Mapping[str, NDArray[np.floating[Any]]]


class TensorFileError(Exception):
    """A file is no file of tensors; the message says in a few words of one line why."""


def dump_tensors(tensors: Tensors, metadata: Mapping[str, str]) -> bytes:
    """Return the bytes of a file: the same tensors and metadata give the same bytes. Numbers are kept as they are."""
    data = save({name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}, dict(metadata))
    # safetensors writes metadata in any order.
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:end]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[end:]


def with_tensors(data: bytes, tensors: Tensors, metadata: Mapping[str, str]) -> bytes:
    """Return the bytes of a file with some of its tensors replaced, each at its old precision, and metadata added.

    All other tensors are kept, bit for bit. Raises KeyError for tensors that the file does not hold.
    """
    arrays = load(data)
    replaced = {name: array.astype(arrays[name].dtype) for name, array in tensors.items()}
    header = _metadata(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return dump_tensors({**arrays, **replaced}, {**header, **metadata})


def parse_tensors(data: bytes) -> tuple[dict[str, NDArray[np.float32]], dict[str, str]]:
    """Return the tensors and the metadata of a file's bytes.

    Raises:
        TensorFileError: If it is none, or holds numbers other than finite ones of 16 or 32 bits.
    """
    try:
        arrays = load(data)
        metadata = _metadata(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except _MALFORMED as error:
        raise TensorFileError("it is damaged, cut short, or of another kind") from error
    for array in arrays.values():
        if array.dtype not in _DTYPES or not (np.abs(array) <= LARGEST_NUMBER).all():
            raise TensorFileError("it holds numbers that are not finite, or that no fit can give")
    return {name: array.astype(np.float32) for name, array in arrays.items()}, metadata


def read_metadata(path: Path, largest: int) -> dict[str, str]:
    """Return a file's metadata without reading its tensors; none if it is no such file that can be read."""
    try:
        with open_plain(path, largest) as file:
            return _metadata(file.read(min(int.from_bytes(file.read(8), "little"), largest)))
    except (OSError, *_MALFORMED):
        return {}


def _metadata(header: bytes) -> dict[str, str]:
    metadata = json.loads(header).get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise TypeError("its metadata is not text")
    return metadata


def one_line(text: object, most: int = 200) -> str:
    """Return the first line of a text, cut short; what a file put into it cannot steer the terminal."""
    line = (str(text).splitlines() or [""])[0][:most]
    return "".join(c if c.isprintable() else "?" for c in line)
