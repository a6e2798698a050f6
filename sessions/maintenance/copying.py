"""Copies of recordings, compared with the original before they get their name."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from disk.reading import open_plain
from disk.writing import make_folder, open_new, rename_without_overwriting, scratch_folder, sync_folder, write_all
from sessions.errors import StorageError
from sessions.ledger import sha256_of
from sessions.reader import Session

_BLOCK = 2**20


def copy_recording(path: Path, target: Path) -> None:
    """Copy a recording byte by byte, whole or not at all, never over another one.

    Raises:
        StorageError: If the disk refuses, or the recording changes meanwhile.
        RecordingError: If the copy cannot be opened.
    """
    try:
        make_folder(target.parent)
        with scratch_folder(target.parent) as workplace:
            copy = workplace / target.name
            with open_plain(path) as source, open_new(copy) as written:
                digest = hashlib.sha256()
                while block := source.read(_BLOCK):
                    digest.update(block)
                    write_all(written, block)
                os.fsync(written.fileno())
            if {sha256_of(copy), sha256_of(path)} != {digest.hexdigest()}:
                raise StorageError(f"{path} changed while it was copied, or its copy did; nothing was kept of it")
            Session(copy).close()
            rename_without_overwriting(copy, target)
            sync_folder(target.parent)
    except OSError as error:
        raise StorageError(
            f"cannot copy {path} to {target}: {error.strerror or error}; what was copied before stays, nothing was lost"
        ) from error
