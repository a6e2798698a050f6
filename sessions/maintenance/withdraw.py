"""Withdrawal: a person's recordings removed, and nothing kept but that it happened.

What is to be removed is on the device before the first file goes. A process that is killed at any point leaves that
behind, and `interrupted` tells the next one, which withdraws again.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from disk.locking import alone
from disk.reading import read_plain
from disk.writing import left_over, sync_folder, write_whole
from sessions.errors import RecordingError, StorageError
from sessions.ledger import add_entries, read_ledger, sha256_of
from sessions.maintenance.withdrawn import LogLine, newest_salt, note_withdrawals
from sessions.names import PARTIAL_SUFFIX, SUFFIX, check_name, check_session_id, recording_name
from sessions.reader import Session
from sessions.schema import SessionInfo

INTENT_NAME = ".withdrawing.json"
"""Name of the file that lies in the data folder while a withdrawal is under way."""
_MOST_INTENT_BYTES = 2**24

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
    own_stems: frozenset[str]
    """What the names of their recordings, and of what was made of these, begin with."""
    foreign_stems: frozenset[str]
    """The same of everybody else's."""

    def names(self, path: Path) -> bool:
        """Return whether the name of a file or folder begins with that of a recording of theirs, or as one would."""
        stem = _stem(path)
        return stem in self.own_stems or (_is_theirs(self.participant, stem) and stem not in self.foreign_stems)


@dataclass(frozen=True)
class Intent:
    """A withdrawal that has begun. Malformed fields raise ValueError."""

    participant: str
    session_ids: tuple[str, ...]
    traces: tuple[str, ...]
    """What was made of several people's recordings and was to go as well, relative to the study's folder, with `/`."""
    line: LogLine
    """For the log."""

    def __post_init__(self) -> None:
        check_name("participant", self.participant)
        for session_id in self.session_ids:
            check_session_id(session_id)
        for each in self.traces:
            path = Path(each)
            if path.anchor or not path.parts or ".." in path.parts or "\0" in each:
                raise ValueError("traces must lie in the study's folder")
            if each.endswith((SUFFIX, PARTIAL_SUFFIX)):
                raise ValueError("a recording is no trace")

    def agreed(self, root: Path) -> list[Path]:
        """Return the traces in the study's folder `root`, without those that a link on the way leads to."""
        paths = [root / each for each in self.traces]
        return [
            path
            for path in paths
            if not any(map(Path.is_symlink, path.parents[: len(path.relative_to(root).parts) - 1]))
        ]


def interrupted(folder: Path) -> Intent | None:
    """Return the withdrawal that was begun in a data folder and not finished; None where there is none.

    Raises:
        RecordingError: If what says so cannot be read.
    """
    path = folder / INTENT_NAME
    try:
        value = json.loads(read_plain(path, _MOST_INTENT_BYTES))
        ids, traces, line = tuple(value["session_ids"]), tuple(value["traces"]), LogLine.from_json(value["line"])
        return Intent(**{**value, "session_ids": ids, "traces": traces, "line": line})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "it is damaged"
        raise RecordingError(
            f"a withdrawal was begun in {folder} and cannot be finished, because {path} cannot be read: {reason}; "
            "remove that file, and withdraw the person again"
        ) from error


def plan_withdrawal(participant: str, folder: Path, session_ids: Iterable[str] = ()) -> Withdrawal:
    """Find all that belongs to a person in a data folder and below; changes nothing.

    A recording is the person's if it says so inside. So is every file and folder whose name begins with that of such a
    recording, or as one of theirs would: exports, videos, damaged recordings, what a repair left. Of a link to such a
    file, the link goes and what it leads to stays. What killed processes were making goes whosever it is.

    Args:
        participant: Who withdraws.
        folder: The data folder.
        session_ids: Of theirs, known from an earlier attempt.

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
    theirs |= {path for path in entries if left_over(path)}
    for path in entries:
        stem = _stem(path)
        if stem in own or (_is_theirs(participant, stem) and stem not in foreign):
            theirs.add(path)
            own.add(stem)
    unreadable = [path for path, info in recordings.items() if info is None and not _stem(path)]
    inside = {path for path in entries if theirs & set(path.parents)}
    # The deepest first, so that folders are empty when their turn comes.
    files = sorted(theirs | inside, key=lambda path: (-len(path.parts), path))
    ids = {*session_ids, *(stem[-6:] for stem in own)}
    stems = frozenset(own), frozenset(foreign)
    return Withdrawal(participant, folder, tuple(sorted(ids)), tuple(files), tuple(unreadable), *stems)


def withdraw(
    withdrawal: Withdrawal,
    now: datetime,
    more: Iterable[Path] = (),
    *,
    traces: Iterable[Path] = (),
    root: Path | None = None,
) -> None:
    """Note what is about to go, remove it, and note that it has gone; the log says so in `withdrawals.jsonl`.

    Where one was begun before, this finishes it: withdraw the person that `interrupted` names. The traces agreed to
    then go, and none that were made since. Others that withdraw from the folder wait meanwhile.

    Args:
        withdrawal: Just planned and agreed to.
        now: Must know its time zone.
        more: Files and empty folders that go as well.
        traces: Files and folders that go as well, agreed to, for whoever finishes it; folders after what lies in them.
            A folder that holds anything else stays.
        root: Folder that all traces lie in; the data folder if None.

    Raises:
        RecordingError: If another person's withdrawal waits to be finished.
        LedgerError: If a ledger is damaged; nothing was removed.
        StorageError: If the disk refuses; the message says what, and withdrawing again goes on from there.
    """
    folder, root = withdrawal.folder, (root or withdrawal.folder).absolute()
    relative = tuple(each.absolute().relative_to(root).as_posix() for each in traces)
    try:
        with alone(folder):
            _withdraw(withdrawal, now, more, relative, root)
    except OSError as error:
        raise StorageError(
            f"cannot open {folder}: {error.strerror}; nothing was removed: withdraw again when that can be read"
        ) from error


def _withdraw(withdrawal: Withdrawal, now: datetime, more: Iterable[Path], traces: tuple[str, ...], root: Path) -> None:
    folder, path = withdrawal.folder, withdrawal.folder / INTENT_NAME
    begun = interrupted(folder)
    if begun is not None and begun.participant != withdrawal.participant:
        raise RecordingError(f"another withdrawal was begun in {folder}; nothing was removed: finish it first")
    for place in {each.parent for each in withdrawal.files if begun is None and _is_recording(each)}:
        read_ledger(place)  # says what is wrong with it before anything is noted
    try:
        if begun is None:
            line = LogLine.of(withdrawal.participant, withdrawal.session_ids, now, newest_salt(folder))
            begun = Intent(withdrawal.participant, withdrawal.session_ids, traces, line)
            write_whole(path, json.dumps(asdict(begun)).encode(), overwrite=False)
        elif set(traces) - set(begun.traces):
            begun = replace(begun, traces=tuple(dict.fromkeys((*begun.traces, *traces))))
            write_whole(path, json.dumps(asdict(begun)).encode())
        note_withdrawals(folder, [begun.line])
        _note_in_ledgers(withdrawal.files)
    except FileExistsError as error:
        raise RecordingError(
            f"another withdrawal was begun in {folder}; nothing was removed: finish it first"
        ) from error
    except OSError as error:
        raise StorageError(
            f"the withdrawal cannot be noted in {folder}: {error.strerror}; nothing was removed: withdraw again when "
            "that can be written"
        ) from error
    folders = {folder}
    agreed = begun.agreed(root)
    for each in (*withdrawal.files, *more, *agreed):
        folders.add(each.parent)
        try:
            if each.is_dir() and not each.is_symlink():
                each.rmdir()
            else:
                each.unlink(missing_ok=True)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and each in agreed:
                continue  # something came into it since
            raise StorageError(
                f"cannot remove {each}: {error.strerror}; what comes after it is not removed yet: withdraw again"
            ) from error
    try:
        for place in folders:
            if place.is_dir():
                sync_folder(place)
        path.unlink()
        sync_folder(folder)
    except OSError as error:
        raise StorageError(f"everything but {path} was removed: {error.strerror}; withdraw again") from error


def _note_in_ledgers(files: Iterable[Path]) -> None:
    """Note recordings that are about to go as withdrawn, where a ledger holds them."""
    going: dict[Path, list[Path]] = {}
    for path in files:
        if _is_recording(path) and not path.is_symlink():
            going.setdefault(path.parent, []).append(path)
    for folder, paths in going.items():
        ledger = read_ledger(folder)
        if ledger is not None:
            hashes = set()
            for path in paths:
                with suppress(OSError):  # what cannot be read goes all the same
                    hashes.add(sha256_of(path))
            add_entries(folder, "withdrawn", sorted(hashes & ledger.held.keys()))


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


def _is_theirs(participant: str, stem: str) -> bool:
    """Return whether a recording of the participant would be called so."""
    by_name = rf"{re.escape(participant)}_(pilot|evaluation)_\d{{8}}T\d{{6}}Z_[0-9a-f]{{6}}"
    return re.fullmatch(by_name, stem, re.ASCII) is not None


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
            with suppress(FileNotFoundError):  # what was being made there has been made
                yield from _walk(path)
