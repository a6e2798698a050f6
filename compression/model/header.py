"""The header of a latent model's file: what it says of itself, read without its weights and without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from compression.errors import SizeError, WeightsError
from compression.model.sizes import Sizes
from compression.tensor_files import one_line, read_metadata

FILE_NAME = "model.safetensors"
FORMAT = "racer-model-2"
TUNING = "tuning"
"""What the metadata of a file with a tuned decoder call the record of its tuning."""
_FIRST_FORMAT, _FIRST_SIZES = "racer-codec-1", Sizes((64, 64, 3), 32, 8, 3, 256, 512)
"""The only sizes of the first format, which does not name them."""
LARGEST_FILE = 64_000_000
"""Bytes."""
_SHIPPED = Path(__file__).parents[1] / "weights"


def shipped_model(name: str) -> Path:
    """Return the folder of a latent model that comes with this package, such as `car-racing`."""
    return _SHIPPED / name


def fitted_path(folder: Path, objective: str) -> Path | None:
    """Return the file that comes with the model in a folder and was fitted for an objective; None if there is none."""
    path = folder / f"{objective}.safetensors"
    return path if path.is_file() else None


def read_sizes(folder: Path) -> Sizes:
    """Return the sizes that a latent model's file names. Whether its weights have them is seen when it is loaded.

    Args:
        folder: That of its file, `model.safetensors`.

    Raises:
        WeightsError: If the file is missing, or names none.
    """
    path = folder / FILE_NAME
    try:
        path.stat()
        return sizes_of(read_metadata(path, LARGEST_FILE))
    except OSError as error:
        raise unreadable(path, error) from error
    except (SizeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise no_model(path, error) from error


def sizes_of(metadata: Mapping[str, str]) -> Sizes:
    """Return the sizes that a file names. Raises SizeError or ValueError if they are none."""
    if metadata.get("format") == _FIRST_FORMAT:
        return _FIRST_SIZES
    if metadata.get("format") != FORMAT:
        raise ValueError("another format")
    named = json.loads(metadata["sizes"])
    if not isinstance(named, dict) or set(named) != {field.name for field in fields(Sizes)}:
        raise ValueError("it names no sizes")
    frame = named.pop("frame")
    if not isinstance(frame, list) or len(frame) != 3:
        raise ValueError("it names no size of frames")
    return Sizes(frame=tuple(frame), **named)


def unreadable(path: Path, error: Exception) -> WeightsError:
    """Return the error for a file that cannot be read."""
    reason = getattr(error, "strerror", None) or error
    return WeightsError(f"cannot read latent model {path}: {reason}; {_again(path)}")


def _again(path: Path) -> str:
    if _SHIPPED in path.parents:
        return "reinstall racer"
    return "check the folder, or make the model again with `racer model train`"


def no_model(path: Path, error: Exception) -> WeightsError:
    """Return the error for a file that holds something else."""
    return WeightsError(f"{path} holds no latent model of this version ({one_line(error)}); {_again(path)}")
