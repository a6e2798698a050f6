"""Merge: recordings from several machines brought together in one folder, by session, nothing overwritten."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from disk.writing import make_folder
from sessions.comparison import first_difference
from sessions.errors import RecordingError, StorageError
from sessions.ledger import note_recorded, read_ledger, sha256_of
from sessions.maintenance.copying import copy_recording
from sessions.maintenance.withdrawn import Withdrawn, highest_given, note_given, note_withdrawals, read_withdrawn
from sessions.names import PARTIAL_SUFFIX, find_recordings
from sessions.reader import Session
from sessions.schema import SessionInfo

Fate = Literal["copied", "identical", "contained", "running", "withdrawn", "conflict", "unreadable"]
"""What becomes of a recording in a source: copied; there already, byte for byte; there already in a recording of other
bytes, such as a repaired one; left because its session still runs, because whoever it is of has withdrawn, because the
folder holds another recording of that session or name, or because it cannot be read."""


@dataclass(frozen=True)
class Merged:
    """What became of one recording."""

    source: Path
    fate: Fate
    target: Path | None = None
    """The copy, or the recording that was there already."""
    detail: str = ""
    """Why it was left."""

    @property
    def left_behind(self) -> bool:
        """Whether the folder lacks something that this recording holds."""
        return self.fate in ("conflict", "unreadable")


@dataclass(frozen=True)
class MergeResult:
    """What became of all recordings."""

    recordings: tuple[Merged, ...]
    shared_names: tuple[str, ...]
    """Participants who had different sittings in two folders: one person, or two with the same name."""
    still_here: tuple[str, ...] = ()
    """Participants who have withdrawn from a source and whose recordings the folder still holds."""


@dataclass(frozen=True)
class _Known:
    """A recording in the folder merged into."""

    path: Path
    info: SessionInfo
    original: Path
    """Where its bytes are: in a dry run, still in the source."""


def merge(
    sources: Iterable[Path],
    into: Path,
    *,
    dry_run: bool = False,
    running: Callable[[Path, str], bool] = lambda folder, session_id: False,
    on_recording: Callable[[Merged], None] = lambda merged: None,
) -> MergeResult:
    """Copy the recordings of all sources that a folder lacks into it. Sources are read only.

    Recordings of people who have withdrawn, from the folder or from any source, are not brought back; the folder then
    remembers all of these withdrawals, and which names were given in any. Each copy is put on the device, compared with
    the original and opened before it gets its name.

    Args:
        sources: Folders of recordings, or recordings.
        into: Made if missing.
        dry_run: Whether to say what would be done, and do nothing.
        running: Whether a session is being recorded by a process now, given its folder and id.
        on_recording: Told of each recording.

    Raises:
        RecordingError: If a folder cannot be listed, a log of withdrawals is too long, or the ledger is damaged.
        StorageError: If the folder cannot be written. What was copied before stays.
    """
    sources = list(sources)
    read_ledger(into)  # says now what is wrong with it
    folders = _folders([into, *sources])
    gone = Withdrawn(tuple(line for folder in folders for line in read_withdrawn(folder).lines))
    given = [f"{prefix}{number}" for folder in folders for prefix, number in highest_given(folder).items()]
    if (gone.lines or given) and not dry_run:
        try:
            make_folder(into)
            note_withdrawals(into, gone.lines)
            note_given(into, given)
        except OSError as error:
            raise StorageError(f"cannot write to {into}: {error.strerror}; nothing was copied: merge again") from error
    known: dict[str, list[_Known]] = {}
    for path in find_recordings(into):
        info = _info(path)
        if isinstance(info, SessionInfo):
            known.setdefault(info.session_id, []).append(_Known(path, info, path))
    still_here = sorted({entry.info.participant for each in known.values() for entry in each if _has(gone, entry.info)})
    results: list[Merged] = []
    shared: set[str] = set()
    for source in sources:
        here = {source} if source.is_file() else set(find_recordings(source))
        there = [entry.info for entries in known.values() for entry in entries]
        brought: list[SessionInfo] = []
        for path in sorted(here):
            info = _info(path)
            if isinstance(info, SessionInfo):
                brought.append(info)
                if gone.has_session(info.session_id):
                    result = Merged(path, "withdrawn", detail=f"{info.participant} has withdrawn it")
                elif gone.has_name(info.participant):
                    detail = (
                        f"somebody called {info.participant} has withdrawn; if this is another person, copy it by hand"
                    )
                    result = Merged(path, "withdrawn", detail=detail)
                else:
                    result = _merge_one(path, info, into, known, dry_run, running)
            else:
                result = Merged(path, "unreadable", detail=info)
            results.append(result)
            on_recording(result)
        shared |= _shared_names(there, brought)
    # Those of a merge that was killed before it came to this are identical now.
    held = [result.target for result in results if result.fate in ("copied", "identical") and result.target is not None]
    finished = [path for path in held if not path.name.endswith(PARTIAL_SUFFIX) and path.is_file()]
    if finished and not dry_run:
        note_recorded(into, finished)
    return MergeResult(tuple(results), tuple(sorted(shared)), tuple(still_here))


def _folders(places: Iterable[Path]) -> list[Path]:
    """Return several folders, and those that several recordings lie in."""
    return sorted({place if place.is_dir() else place.parent for place in places})


def _has(gone: Withdrawn, info: SessionInfo) -> bool:
    return gone.has_session(info.session_id) or gone.has_name(info.participant)


def _info(path: Path) -> SessionInfo | str:
    """Return a recording's attributes, or why it has none."""
    try:
        with Session(path) as session:
            return session.info
    except RecordingError as error:
        return str(error)


def _merge_one(
    path: Path,
    info: SessionInfo,
    into: Path,
    known: dict[str, list[_Known]],
    dry_run: bool,
    running: Callable[[Path, str], bool],
) -> Merged:
    target = into / path.name
    if path.name.endswith(PARTIAL_SUFFIX) and running(path.parent, info.session_id):
        return Merged(path, "running", detail="it is still being recorded: merge again when it has ended")
    for entry in known.get(info.session_id, []):
        try:
            if _same_bytes(path, entry.original):
                return Merged(path, "identical", entry.path)
            difference = _missing(path, entry.original)
            finishes = entry.path.name.endswith(PARTIAL_SUFFIX) and not path.name.endswith(PARTIAL_SUFFIX)
            if not difference and not finishes:
                return Merged(path, "contained", entry.path)
            # A finished recording joins the unfinished one that it grew from, and counts in its place.
            if not finishes or _missing(entry.original, path):
                detail = f"{entry.path} holds session {info.session_id} with other contents: {difference}"
                return Merged(path, "conflict", entry.path, detail)
        except (OSError, RecordingError) as error:
            return Merged(path, "conflict", entry.path, f"it cannot be compared with {entry.path}: {error}")
    if os.path.lexists(target) or any(entry.path == target for entries in known.values() for entry in entries):
        return Merged(path, "conflict", target, f"{target} exists and is another recording")
    if not dry_run:
        copy_recording(path, target)
    known.setdefault(info.session_id, []).append(_Known(target, info, path if dry_run else target))
    return Merged(path, "copied", target)


def _missing(one: Path, other: Path) -> str:
    """Return what the first recording holds that the second does not; nothing where the second holds all of it."""
    with Session(one) as first, Session(other) as second:
        return first_difference(first, second, grown=True)


def _same_bytes(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and sha256_of(one) == sha256_of(other)


def _shared_names(there: list[SessionInfo], brought: list[SessionInfo]) -> set[str]:
    """Return the participants of whom both sides have a sitting that the other one lacks."""
    resumes = {info.session_id: info.resumes for info in [*there, *brought]}

    def sitting(session_id: str) -> str:
        seen = {session_id}
        while (before := resumes.get(session_id)) and before not in seen:
            session_id = before
            seen.add(session_id)
        return session_id

    def sittings(infos: list[SessionInfo]) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for info in infos:
            found.setdefault(info.participant, set()).add(sitting(info.session_id))
        return found

    here, others = sittings(brought), sittings(there)
    return {name for name in here.keys() & others.keys() if here[name] - others[name] and others[name] - here[name]}
