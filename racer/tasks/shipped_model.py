"""Where the latent models that come with tasks are stored."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def shipped_model(task: str) -> Path | None:
    """Return the folder of a task's latent model, None if none comes with it; nothing needed to use it is imported."""
    package = find_spec("compression")
    assert package is not None and package.origin is not None
    folder = Path(package.origin).parent / "weights" / task
    return folder if folder.is_dir() else None
