"""Files of fitted coders: tensors with the record of what they were fitted to. Safetensors, so they can run no code."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from compression.coders.coder import CoderSettings
from compression.errors import CoderError, MaskError
from compression.fitting.header import one_line, sorted_header

FORMAT = "racer-coder-1"
WEIGHTS = Path(__file__).parent.parent / "weights"
_LARGEST_FILE = 4_000_000
"""Bytes; the largest of the shipped files takes about 500,000."""
_LARGEST_NUMBER = 1e4
"""Sums of as many as a file holds stay finite."""
_DTYPES = (np.dtype(np.float16), np.dtype(np.float32))
Shapes = Mapping[str, tuple[int, ...]]
"""The tensors of a kind of file and their shapes."""


@dataclass(frozen=True)
class CoderRecord:
    """What a coder was fitted to."""

    objective: str
    """Name of the coder."""
    codec_sha256: str
    """Hash of the weights whose latents it codes."""
    participants: tuple[str, ...]
    """Who was recorded; they must not evaluate it."""
    sessions: tuple[str, ...]
    """Session ids; empty where the drives were made for the fit alone."""
    track_seeds: tuple[int, ...]
    """Tracks they drove on."""
    config: dict[str, Any]
    """Settings of the fit, seed included."""


@dataclass(frozen=True, eq=False)
class FittedCoder:
    """A fitted coder, as read from a file."""

    tensors: Mapping[str, NDArray[np.float32]]
    record: CoderRecord
    sha256: str
    """Hash of the file."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FittedCoder) and other.sha256 == self.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)


def dump_coder(tensors: Mapping[str, NDArray[np.floating[Any]]], record: CoderRecord) -> bytes:
    """Return the bytes of a file: the same tensors and record give the same bytes. Numbers are kept as they are."""
    arrays = {name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}
    return sorted_header(save_arrays(arrays, {"format": FORMAT, "record": json.dumps(asdict(record), sort_keys=True)}))


def fitted_coder(settings: CoderSettings, name: str) -> FittedCoder:
    """Return the fitted file that an end was given.

    Raises:
        CoderError: If it was given none.
    """
    if not isinstance(settings.model, FittedCoder):
        raise CoderError(f"coder {name} needs its fitted file; reinstall racer")
    return settings.model


def objective_of(path: Path) -> str | None:
    """Return the coder that a file says it was fitted for; None if it is no file of this format that can be read."""
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST_FILE:
            return None
        with path.open("rb") as file:
            length = min(int.from_bytes(file.read(8), "little"), _LARGEST_FILE)
            metadata = json.loads(file.read(length))["__metadata__"]
        objective = json.loads(metadata["record"])["objective"] if metadata["format"] == FORMAT else None
    except (OSError, KeyError, TypeError, ValueError, RecursionError):
        return None
    return one_line(objective) if isinstance(objective, str) else None


def load_coder(path: Path, codec_sha256: str, objective: str, shapes: Shapes) -> FittedCoder:
    """Load a file fitted for a coder and a codec.

    Args:
        path: The file.
        codec_sha256: Hash of the codec's weights.
        objective: Name of the coder.
        shapes: What the file must hold.

    Raises:
        MaskError: If the file cannot be read, is none of these, or was fitted for something else.
    """
    shipped = path.parent == WEIGHTS
    again = "reinstall racer" if shipped else f"leave --mask out, and the {objective} that ships with Racer serves"
    try:
        size = path.stat().st_size
        if not path.is_file() or size > _LARGEST_FILE:
            raise MaskError(f"{path} is no file of a fitted coder; check the path given to --mask")
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise MaskError(f"cannot read {path}: {reason}; check the path given to --mask") from error
    try:
        arrays = load_arrays(data)
        end = 8 + int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8:end]).get("__metadata__", {})
        if metadata.get("format") != FORMAT:
            raise ValueError("another format")
        record = _record(json.loads(metadata["record"]))
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise MaskError(f"{path} is no file of a fitted coder ({one_line(error)}); {again}") from error
    if record.objective != objective:
        raise MaskError(f"{path} was fitted for coder {one_line(record.objective)}, not for {objective}; {again}")
    if {name: array.shape for name, array in arrays.items()} != dict(shapes):
        raise MaskError(f"{path} is damaged: it does not hold what {objective} needs; {again}")
    if not all(array.dtype in _DTYPES and (np.abs(array) <= _LARGEST_NUMBER).all() for array in arrays.values()):
        raise MaskError(f"{path} is damaged: it holds numbers that are not finite, or that no fit comes to; {again}")
    tensors = {name: array.astype(np.float32) for name, array in arrays.items()}
    if record.codec_sha256 != codec_sha256:
        raise MaskError(
            f"{path} was fitted for other weights (codec {record.codec_sha256[:12]}, installed {codec_sha256[:12]}); "
            f"{again}"
        )
    return FittedCoder(tensors, record, hashlib.sha256(data).hexdigest())


def _record(fields: Any) -> CoderRecord:
    """Return the record that JSON holds. Raises KeyError, TypeError or ValueError if it is another one."""
    if not isinstance(fields, dict) or not isinstance(fields["config"], dict):
        raise TypeError("its record is no object")
    if not isinstance(fields["objective"], str):
        raise TypeError("its record names no coder")
    if not isinstance(fields["codec_sha256"], str) or not re.fullmatch("[0-9a-f]{64}", fields["codec_sha256"]):
        raise ValueError("its record names no codec")
    for name, kind in (("participants", str), ("sessions", str), ("track_seeds", int)):
        if not isinstance(fields[name], list) or any(type(item) is not kind for item in fields[name]):
            raise TypeError(f"its record holds no list of {name}")
    return CoderRecord(
        objective=fields["objective"],
        codec_sha256=fields["codec_sha256"],
        participants=tuple(fields["participants"]),
        sessions=tuple(fields["sessions"]),
        track_seeds=tuple(fields["track_seeds"]),
        config=fields["config"],
    )
