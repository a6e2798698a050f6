"""Withdrawal: a person's recordings removed, and nothing kept but that it happened."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from disk.writing import sync_folder
from sessions.errors import RecordingError, StorageError
from sessions.names import PARTIAL_SUFFIX, SUFFIX, check_name, recording_name
from sessions.reader import Session
from sessions.schema import SessionInfo

LOG_NAME = "withdrawals.jsonl"
"""Written to the data folder: per withdrawal a line with the date (UTC) and the number of sessions, without a name."""

_STEM = re.compile(r"\.?(.+_\d{8}T\d{6}Z_[0-9a-f]{6})(?![0-9A-Za-z]).*", re.ASCII)
"""What the name of a recording, and of what was made from it, begins with."""


@dataclass(frozen=True)
class Withdrawal:
    """What a person's withdrawal would remove, found and not yet removed."""

    participant: str
    folder: Path
    session_ids: tuple[str, ...]
    files: tuple[Path, ...]
    """Recordings and what was made from them, in the folder and below; folders come after what lies in them."""
    unreadable: tuple[Path, ...]
    """Recordings that cannot be read and whose name says nothing: they may be the person's, and stay."""


def plan_withdrawal(participant: str, folder: Path) -> Withdrawal:
    """Find all that belongs to a person in a data folder and below; changes nothing.

    A recording is the person's if it says so inside. So is every file and folder whose name begins with that of such a
    recording, or as one of theirs would: exports, videos, damaged recordings, what a repair left. Of a link to such a
    file, the link goes and what it leads to stays.

    Raises:
        ParticipantNameError: If the name is none.
        RecordingError: If the folder cannot be listed.
    """
    check_name("participant", participant)
    try:
        entries = sorted(_walk(folder))
    except OSError as error:
        raise RecordingError(f"cannot list {error.filename}: {error.strerror}; nothing was removed") from error
    recordings: dict[Path, SessionInfo | None] = {path: _info(path) for path in entries if _is_recording(path)}
    own, foreign = _stems(recordings, participant)
    theirs = {path for path, info in recordings.items() if info is not None and info.participant == participant}
    by_name = re.compile(rf"{re.escape(participant)}_(pilot|evaluation)_\d{{8}}T\d{{6}}Z_[0-9a-f]{{6}}", re.ASCII)
    for path in entries:
        stem = _stem(path)
        if stem in own or (by_name.fullmatch(stem) and stem not in foreign):
            theirs.add(path)
            own.add(stem)
    unreadable = [path for path, info in recordings.items() if info is None and not _stem(path)]
    inside = {path for path in entries if theirs & set(path.parents)}
    # The deepest first, so that folders are empty when their turn comes.
    files = sorted(theirs | inside, key=lambda path: (-len(path.parts), path))
    return Withdrawal(participant, folder, tuple(sorted({stem[-6:] for stem in own})), tuple(files), tuple(unreadable))


def withdraw(withdrawal: Withdrawal, now: datetime) -> None:
    """Remove what was found, then note the date and the number of sessions in `LOG_NAME`.

    Args:
        withdrawal: Just planned and agreed to.
        now: Must know its time zone.

    Raises:
        StorageError: If a file cannot be removed; the message says which, and withdrawing again goes on from there.
    """
    line = json.dumps({"date_utc": now.astimezone(UTC).date().isoformat(), "sessions": len(withdrawal.session_ids)})
    folders = {withdrawal.folder}
    for path in withdrawal.files:
        folders.add(path.parent)
        try:
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"cannot remove {path}: {error.strerror}; the rest from there on is not removed yet: withdraw again"
            ) from error
    try:
        with (withdrawal.folder / LOG_NAME).open("a", encoding="utf-8") as log:
            log.write(line + "\n")
            log.flush()
            os.fsync(log.fileno())
        for folder in folders:
            if folder.is_dir():
                sync_folder(folder)
    except OSError as error:
        raise StorageError(
            f"everything was removed, and that cannot be noted in {withdrawal.folder / LOG_NAME}: {error.strerror}; "
            f"add this line to it by hand: {line}"
        ) from error


def _is_recording(path: Path) -> bool:
    return path.name.endswith((SUFFIX, PARTIAL_SUFFIX)) and path.is_file()


def _info(path: Path) -> SessionInfo | None:
    try:
        with Session(path) as session:
            return session.info
    except RecordingError:
        return None


def _stem(path: Path) -> str:
    """Return what a file's name has in common with that of the recording it was made from; nothing if it has not."""
    match = _STEM.fullmatch(path.name)
    return match[1] if match else ""


def _stems(recordings: dict[Path, SessionInfo | None], participant: str) -> tuple[set[str], set[str]]:
    """Return the names, as of their contents, of the participant's recordings and those of all others'."""
    own: set[str] = set()
    foreign: set[str] = set()
    for path, info in recordings.items():
        if info is not None:
            name = recording_name(info.participant, info.protocol, info.created, info.session_id)
            if info.participant == participant:
                own.add(name.removesuffix(SUFFIX))
            else:
                foreign |= {name.removesuffix(SUFFIX), _stem(path)}
    return own, foreign


def _walk(folder: Path) -> Iterator[Path]:
    """Yield all that lies in a folder and below, without following links."""
    for entry in os.scandir(folder):
        path = Path(entry.path)
        yield path
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(path)
