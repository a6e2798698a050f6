"""Names in folders: given without overwriting, and put on the device."""

from __future__ import annotations

import os
from pathlib import Path


def rename_without_overwriting(source: Path, target: Path) -> None:
    """Give a file another name in the same folder.

    Raises:
        FileExistsError: If the name is taken.
        OSError: If the file system refuses.
    """
    try:
        os.link(source, target)
    except FileExistsError:
        if not os.path.samefile(source, target):
            raise
        os.unlink(source)  # what an earlier attempt did not come to
    except OSError:
        # No hard links here (FAT, some network drives): claim the name first, then replace our own empty file.
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        try:
            os.replace(source, target)
        except OSError:
            os.unlink(target)
            raise
    else:
        os.unlink(source)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder have reached the device, where the system can do that."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
