"""Packages that only some commands need, and the one line that says how to get them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sessions.errors import RecordingError


class MissingPackageError(RecordingError):
    """A package that a command needs is not installed."""


def import_extra(module: str, requirement: str, purpose: str) -> Any:
    """Return an imported module.

    Args:
        module: Name to import.
        requirement: What pip is to install, such as `minari>=0.5.4`.
        purpose: What needs it, for the message: `export to Parquet`.

    Raises:
        MissingPackageError: If it is not installed, or cannot be imported.
    """
    try:
        return import_module(module)
    except (ImportError, RuntimeError, OSError) as error:  # some lack a library of the system
        reason = " ".join(str(error).split())[:200]
        raise MissingPackageError(
            f'{purpose} needs a package that is not here ({reason}); nothing was written: pip install "{requirement}"'
        ) from error
