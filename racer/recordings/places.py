"""Which recordings the files, folders and studies on a command line stand for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import sessions
from racer.errors import ConfigError
from racer.study.file import RECORDINGS, STUDY_FILE
from sessions.names import PARTIAL_SUFFIX, SUFFIX


def data_folder(place: Path) -> Path:
    """Return the folder of recordings that a folder stands for: of a study's, the one within."""
    return place / RECORDINGS if (place / STUDY_FILE).is_file() else place


def existing_folder(place: Path) -> Path:
    """Return the same where there is one.

    Raises:
        ConfigError: If there is no such folder.
    """
    folder = data_folder(place)
    if not place.is_dir():
        what = "is not a folder" if place.exists() else "does not exist"
        raise ConfigError(f"{place} {what}: give a study's folder, or a folder of recordings")
    return folder


def find_files(places: Iterable[Path]) -> list[Path]:
    """Return the recordings that files, folders and studies name, each once.

    An unfinished recording whose finished one is there too is left out: the check of that one looks at it.

    Raises:
        ConfigError: If there is none in one of the places.
        RecordingError: If a folder cannot be listed.
    """
    found: dict[Path, None] = {}
    for place in places:
        files = [place] if place.is_file() else sessions.find_recordings(data_folder(place))
        if not files:
            what = f"no recording in {place}" if place.is_dir() else f"no recording or folder {place}"
            raise ConfigError(f"there is {what}: check the name")
        found |= dict.fromkeys(files)
    return [path for path in found if _finished_name(path) == path or _finished_name(path) not in found]


def find_pilots(places: Iterable[Path]) -> list[Path]:
    """Return the recordings that files name, and of folders those that masks are trained on: pilots', no trial runs.

    Raises:
        ConfigError: If a folder holds none.
        RecordingError: If a folder or a recording in it cannot be read.
    """
    found: dict[Path, None] = {}
    for place in places:
        if not place.is_dir():
            found[place] = None
            continue
        pilots = [path for path in find_files([place]) if _is_a_pilots(path)]
        if not pilots:
            raise ConfigError(f"no pilot has been recorded in {place}; nothing was trained: name another folder")
        found |= dict.fromkeys(pilots)
    return list(found)


def _is_a_pilots(path: Path) -> bool:
    with sessions.open(path) as session:
        return session.info.protocol == "pilot" and not session.info.trial_run


def _finished_name(path: Path) -> Path:
    name = path.name
    return path.with_name(name.removesuffix(PARTIAL_SUFFIX) + SUFFIX) if name.endswith(PARTIAL_SUFFIX) else path
