"""Files of what was fitted to behaviour: a mask policy, a coder's tables. Tensors with the record of their origin.

There is one format, whatever was fitted. Those of version 0.1.0, `racer-mask-1` and `racer-coder-1`, are still read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from compression.errors import MaskError
from compression.masks import MaskInterval
from compression.tensor_files import (
    TensorFileError,
    Tensors,
    dump_tensors,
    one_line,
    parse_tensors,
    read_metadata,
)
from disk.reading import NotPlainError, read_plain

if TYPE_CHECKING:  # imports torch, and what coders are is asked for by programs that do not
    from compression.model.latent_model import LatentModel

FORMAT = "racer-fitted-2"
_OLD_FORMATS = ("racer-mask-1", "racer-coder-1")
_OLD_NAMES = {"codec_sha256": "model_sha256", "track_seeds": "seeds"}
LARGEST_FILE = 16_000_000
"""Bytes; the largest that Racer brings takes about 500,000."""
_OBJECTIVE = re.compile("[a-z0-9][a-z0-9-]{0,39}")
_TASK = re.compile("[a-z0-9-]{0,40}")
_WEIGHTS = Path(__file__).parents[1] / "weights"
Item = TypeVar("Item")
Shapes = Mapping[str, tuple[int, ...]]
"""The tensors of a kind of file and their shapes."""


@dataclass(frozen=True)
class FittedRecord:
    """Provenance of a fitted file: what it was fitted to."""

    objective: str
    """What it was fitted for: `pico`, `perceptual`, or the name of a coder."""
    model_sha256: str
    """Hash of the latent model through which the task was seen."""
    participants: tuple[str, ...]
    """Who was recorded; they must not evaluate it."""
    sessions: tuple[str, ...]
    """Session ids; empty where the task was done for the fit alone."""
    seeds: tuple[int, ...]
    """Seeds of the trials that they did."""
    config: dict[str, Any]
    """Settings of the fit, seed included."""
    interval: str = ""
    """How often a mask was chosen in the recordings, `episode` or `step`; empty where that does not matter."""
    fill: str = ""
    """Fill of the recordings, which made up the features that were not sent; empty where that does not matter."""
    task: str = ""
    """Name of the task; empty in files of version 0.1.0, which knew only car-racing."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The task's settings, such as what was asked; empty where the file does not say."""
    drivers: tuple[str, ...] = ()
    """Who drove: families of simulated people, `keyboard` for people; empty where the file does not say."""


@dataclass(frozen=True, eq=False)
class FittedModel:
    """What was fitted, as read from a file. Equal where the files are."""

    tensors: Mapping[str, NDArray[np.float32]]
    record: FittedRecord
    sha256: str
    """Hash of the file."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FittedModel) and other.sha256 == self.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)


def dump_fitted(tensors: Tensors, record: FittedRecord) -> bytes:
    """Return the bytes of a file: the same tensors and record give the same bytes. Numbers are kept as they are."""
    return dump_tensors(tensors, {"format": FORMAT, "record": dump_record(record)})


def dump_record(record: FittedRecord) -> str:
    """Return the JSON of a record."""
    return json.dumps(asdict(record), sort_keys=True)


def parse_record(text: str) -> FittedRecord:
    """Return the record that JSON holds. Raises KeyError, TypeError or ValueError if there is none."""
    return _checked(json.loads(text))


def load_fitted(
    path: Path, model: LatentModel | None, objective: str | None = None, made_by: str = "racer train"
) -> FittedModel:
    """Load a file.

    Args:
        path: The file.
        model: The latent model that it must have been fitted for; None for any.
        objective: What it must have been fitted for; None for anything.
        made_by: The command that makes such files.

    Raises:
        MaskError: If the file cannot be read, is none of these, or was fitted for something else.
    """
    again = remedy(path, made_by)
    try:
        data = read_plain(path, LARGEST_FILE)
    except NotPlainError as error:
        raise MaskError(f"{path} is not a fitted file ({error.strerror}); check the path") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MaskError(f"cannot read {path}: {reason}; check the path") from error
    try:
        tensors, metadata = parse_tensors(data)
        record = _record(metadata)
    except (TensorFileError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise MaskError(f"{path} is not a fitted file ({one_line(error)}); {again}") from error
    if objective is not None and record.objective != objective:
        raise MaskError(f"{path} was fitted for {record.objective}, not for {objective}; {again}")
    if model is not None and record.model_sha256 not in (model.sha256, model.latents_sha256):
        raise MaskError(
            f"{path} was fitted for other weights (latent model {record.model_sha256[:12]}, this one is "
            f"{model.sha256[:12]}); {again}"
        )
    return FittedModel(tensors, record, hashlib.sha256(data).hexdigest())


def objective_of(path: Path) -> str | None:
    """Return what a file says it was fitted for; None if it is no such file that can be read."""
    try:
        return _record(read_metadata(path, LARGEST_FILE)).objective
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def task_of(path: Path) -> str | None:
    """Return the task that a file says it was fitted in; None if it is no such file that can be read."""
    try:
        return _record(read_metadata(path, LARGEST_FILE)).task
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def trained_on(path: Path) -> tuple[str, ...]:
    """Return the people whom a file says it was fitted to; none if it is no such file that can be read."""
    try:
        return _record(read_metadata(path, LARGEST_FILE)).participants
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()


def drivers_of(path: Path) -> tuple[str, ...]:
    """Return who drove, as a file says; none if it is no such file that can be read."""
    try:
        return _record(read_metadata(path, LARGEST_FILE)).drivers
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()


def remedy(path: Path, made_by: str = "racer train") -> str:
    """Return what to do where a file, made by a command, is of no use."""
    if _WEIGHTS in path.parents:
        return "reinstall racer"
    return f"leave it out, or make it again with `{made_by}`"


def require_shapes(fitted: FittedModel, shapes: Shapes) -> None:
    """Raise ValueError unless a file holds just the tensors of these shapes."""
    if {name: array.shape for name, array in fitted.tensors.items()} != dict(shapes):
        raise ValueError(f"it does not hold what {fitted.record.objective} needs")


def _record(metadata: Mapping[str, str]) -> FittedRecord:
    """Return the record that a file's metadata hold. Raises KeyError, TypeError or ValueError if there is none."""
    if metadata.get("format") not in (FORMAT, *_OLD_FORMATS):
        raise ValueError("another format")
    fields = json.loads(metadata["record"])
    if metadata["format"] in _OLD_FORMATS and isinstance(fields, dict):
        fields = {_OLD_NAMES.get(name, name): value for name, value in fields.items()}
    return _checked(fields)


def _checked(fields: Any) -> FittedRecord:
    from compression.fill import FILLS  # imports torch

    if not isinstance(fields, dict) or not isinstance(fields["config"], dict):
        raise TypeError("its record is not an object")
    return FittedRecord(
        objective=_text(fields["objective"], _OBJECTIVE),
        model_sha256=_text(fields["model_sha256"], re.compile("[0-9a-f]{64}")),
        participants=_list_of(str, fields["participants"]),
        sessions=_list_of(str, fields["sessions"]),
        seeds=_list_of(int, fields["seeds"]),
        config=fields["config"],
        interval=_text(fields.get("interval", ""), re.compile("|".join((*get_args(MaskInterval), "")))),
        fill=_text(fields.get("fill", ""), re.compile("|".join((*FILLS, "")))),
        task=_text(fields.get("task", ""), _TASK),
        settings=_object(fields.get("settings", {})),
        drivers=_list_of(str, fields.get("drivers", [])),
    )


def _text(value: Any, pattern: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError("its record names an unknown objective, model, interval, fill or task")
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("its record's settings are not an object")
    return value


def _list_of(kind: type[Item], items: Any) -> tuple[Item, ...]:
    if not isinstance(items, list) or any(type(item) is not kind for item in items):
        raise TypeError(f"its record holds no list of {kind.__name__}")
    return tuple(items)
