"""Where exports go: a new folder or file that appears whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from disk.writing import make_folder, whole_file, whole_folder
from sessions.errors import RecordingError
from sessions.names import find_recordings
from sessions.reader import Session
from sessions.schema import SessionInfo


class ExportError(RecordingError):
    """Recordings cannot be exported as asked. They are not changed, and nothing half-made is left behind."""


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Give an empty folder to fill, which takes the name `out` when the block has ended well and goes otherwise.

    Raises:
        ExportError: If the name is taken, or the disk refuses.
    """
    with _complaining(out), whole_folder(out) as unfinished:
        yield unfinished


@contextmanager
def new_file(out: Path) -> Iterator[Path]:
    """Give the name of a file to write, which takes the name `out` when the block has ended well and goes otherwise.

    Raises:
        ExportError: If the name is taken, or the disk refuses.
    """
    with _complaining(out), whole_file(out) as unfinished:
        yield unfinished


def choose_recordings(paths: Iterable[Path]) -> tuple[dict[Path, SessionInfo], dict[Path, str]]:
    """Return the recordings that files and folders stand for, and those in folders that cannot be read, with reasons.

    Raises:
        UnreadableRecordingError: If a file that was named cannot be read.
        ExportError: If there is none, or one session lies in two files.
    """
    chosen: dict[str, tuple[Path, SessionInfo]] = {}
    unreadable: dict[Path, str] = {}
    paths = list(paths)
    for path in paths:
        named = not path.is_dir()
        for recording in [path] if named else find_recordings(path):
            try:
                with Session(recording) as session:
                    info = session.info
            except RecordingError as error:
                if named:
                    raise
                unreadable[recording] = str(error)
                continue
            other, _ = chosen.setdefault(info.session_id, (recording, info))
            if other != recording and not other.samefile(recording):
                raise ExportError(
                    f"{recording} and {other} both hold session {info.session_id}; nothing was written: leave one out"
                )
    if not chosen:
        places = ", ".join(map(str, paths))
        raise ExportError(f"there is no recording to export in {places}; nothing was written: check the name")
    return dict(chosen.values()), unreadable


@contextmanager
def _complaining(out: Path) -> Iterator[None]:
    taken = ExportError(f"{out} exists already and was not touched; nothing was written: choose another --out")
    if os.path.lexists(out):
        raise taken
    try:
        make_folder(out.parent)
        yield
    except FileExistsError as error:
        raise taken from error
    except OSError as error:
        raise ExportError(f"cannot write {out}: {error.strerror or error}; nothing was kept of it") from error
