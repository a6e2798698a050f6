"""Pictures from somebody's files: within bounds that are checked before anything is decoded."""

from __future__ import annotations

import warnings
from io import BufferedReader
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from disk.reading import open_plain
from racer.errors import ConfigError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})
"""Suffixes of the files that are read."""
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF")
"""Pillow's names: what a file says it is must be one of these, whatever it is called."""
MOST_BYTES = 200_000_000
"""Largest file that is read, bytes."""
MOST_PIXELS = 50_000_000
"""Largest picture that is opened, pixels."""
LABELS = "labels.csv"
"""Name of the file beside pictures that describes each."""
FEWEST_PICTURES = 20
"""Fewest pictures that anything is learnt from."""


def read_picture(path: Path, size: int, grey: bool, whole_shape: bool = False) -> NDArray[np.uint8]:
    """Return a picture reduced to a square, uint8[size, size, C], every pixel the mean of what it covers.

    It is turned as its camera says (EXIF); what is transparent is white.

    Args:
        path: The file.
        size: Side of the square, pixels.
        grey: Whether it loses its colours: C is 1, and else 3.
        whole_shape: Whether it keeps its shape, with white beside it; else it is stretched to the square.

    Raises:
        ConfigError: If it cannot be read, has more than 50,000,000 pixels, or is several pictures.
    """
    from PIL import Image, ImageOps

    try:
        with (
            warnings.catch_warnings(action="ignore"),
            BufferedReader(open_plain(path, MOST_BYTES)) as file,
            Image.open(file, formats=_FORMATS) as picture,
        ):
            if picture.width * picture.height > MOST_PIXELS:
                raise ValueError(f"{picture.width} x {picture.height} pixels, and {MOST_PIXELS:,} are the most")
            if getattr(picture, "n_frames", 1) > 1:
                raise ValueError("it holds several pictures; save one")
            picture.draft("RGB", (2 * size, 2 * size))
            whole: Image.Image = ImageOps.exif_transpose(picture)
            if whole.mode == "F":
                raise ValueError("its pixels are fractions; save it with 8 bits a colour")
            if whole.mode.startswith("I"):  # Pillow would cut it off at 255
                deep = np.asarray(whole).astype(np.int64)
                whole = Image.fromarray((deep >> 8).clip(0, 255).astype(np.uint8))
            if whole.has_transparency_data:
                whole = whole.convert("RGBA")
                whole = Image.alpha_composite(Image.new("RGBA", whole.size, (255, 255, 255, 255)), whole)
            whole = whole.convert("L" if grey else "RGB")
            if whole_shape:
                whole = ImageOps.pad(whole, (size, size), Image.Resampling.BOX, "white")
            else:
                whole = whole.resize((size, size), Image.Resampling.BOX)
            return np.asarray(whole).reshape(size, size, -1).copy()
    except Exception as error:  # whatever Pillow makes of damaged files
        raise ConfigError(
            f"{path} cannot be read as a picture ({_said(error)}); nothing was written: fix it or remove it"
        ) from error


def _said(error: Exception) -> str:
    if type(error).__name__ == "UnidentifiedImageError":
        return f"it is not one of {', '.join(_FORMATS)}"
    if type(error).__name__ == "DecompressionBombError":
        return f"it has more than {MOST_PIXELS:,} pixels"
    reason = getattr(error, "strerror", None) or str(error)
    return " ".join(reason.split())[:120] or type(error).__name__
