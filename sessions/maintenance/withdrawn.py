"""Who has withdrawn from a data folder and which names were given in it, kept so that none of them comes back.

Each withdrawal leaves a line in `withdrawals.jsonl`: the date, the number of sessions, and salted hashes of the
person's name and session ids. `names.json` holds every line once more, so that either file may be lost or damaged, and
the highest number given of names such as p07, which outlives recordings that are deleted by hand. Whoever writes them
has `.names.lock` locked for these milliseconds, and asks for no other lock meanwhile.

The hashes keep the list from being read, not from being searched: whoever has the file checks a guess in a few
milliseconds. Names such as p01 fall in 0.2 s; all session ids, of which there are 2^24, in about 18 core hours. Only a
name that nobody can guess stays hidden.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from disk.locking import FileLock, HeldError
from disk.reading import NotPlainError, read_plain
from disk.writing import write_whole
from sessions.errors import RecordingError, StorageError
from sessions.ledger import Ledger, LedgerError, read_ledger
from sessions.names import PREFIXES, SUFFIX, find_recordings

LOG_NAME = "withdrawals.jsonl"
NAMES_NAME = "names.json"
LOCK_NAME = ".names.lock"
_PATIENCE_S = 30.0
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
_MOST_BYTES = 2**24
_ROUNDS = 10_000
"""Iterations of PBKDF2: a few milliseconds for each name that is looked up."""
_MOST_SALTS = 256
"""Most salts in one log: each makes every look-up a few milliseconds longer."""
_HASH = re.compile(r"[0-9a-f]{32}", re.ASCII)
_NUMBERED = re.compile(rf"({'|'.join(PREFIXES.values())})(\d{{1,6}})", re.ASCII)
_MOST_IDS = 10_000
_MOST_NUMBER = 10**6
_FORMER_KEYS = {"date_utc", "sessions"}
"""Keys of a line of version 0.1.0, which noted no hashes."""


@dataclass(frozen=True)
class LogLine:
    """One withdrawal. Malformed fields raise ValueError."""

    date_utc: str
    """UTC date, such as `2026-01-31`."""
    sessions: int
    """How many recordings were removed."""
    salt: str
    """Salt of the hashes, 32 hexadecimal digits."""
    name: str
    """Hash of the person's name, 32 hexadecimal digits."""
    session_ids: tuple[str, ...]
    """Hashes of the session ids, 32 hexadecimal digits each."""

    def __post_init__(self) -> None:
        date.fromisoformat(self.date_utc)
        if type(self.sessions) is not int or not 0 <= self.sessions <= _MOST_IDS >= len(self.session_ids):
            raise ValueError("sessions must be a number")
        for each in (self.salt, self.name, *self.session_ids):
            if not isinstance(each, str) or not _HASH.fullmatch(each):
                raise ValueError("salt and hashes must be 32 hexadecimal digits")

    @classmethod
    def of(cls, participant: str, session_ids: Iterable[str], now: datetime, salt: str = "") -> LogLine:
        """Return the line for a person; `now` must know its time zone."""
        salt, ids = salt or secrets.token_hex(16), tuple(session_ids)
        hashes = tuple(_hash(salt, "session", session_id) for session_id in ids)
        day = now.astimezone(UTC).date().isoformat()
        return cls(day, len(ids), salt, _hash(salt, "name", participant), hashes)

    @classmethod
    def from_json(cls, value: Any) -> LogLine:
        """Return what `dumps` wrote. Raises ValueError, TypeError or KeyError for anything else."""
        return cls(**{**value, "session_ids": tuple(value["session_ids"])})

    def dumps(self) -> str:
        """Return the line without its end."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Withdrawn:
    """Those who have withdrawn from a folder."""

    lines: tuple[LogLine, ...] = ()

    def has_name(self, participant: str) -> bool:
        """Return whether somebody of this name has withdrawn."""
        return any(_hash(line.salt, "name", participant) == line.name for line in self.lines)

    def has_session(self, session_id: str) -> bool:
        """Return whether a session of this id was removed."""
        return any(_hash(line.salt, "session", session_id) in line.session_ids for line in self.lines)

    def of(self, participant: str) -> Withdrawn:
        """Return what is known of those of one name."""
        return Withdrawn(tuple(line for line in self.lines if _hash(line.salt, "name", participant) == line.name))


def read_withdrawn(folder: Path) -> Withdrawn:
    """Return who has withdrawn from a data folder. Lines of version 0.1.0 say nothing.

    Raises:
        RecordingError: If that cannot be read, or is damaged or lost and not kept a second time: a name might be given
            twice. Or if it has more than 256 salts.
    """
    data = _read_log(folder)
    lines = tuple(_noted(folder, data, _read_memory(folder, data)))
    if len({line.salt for line in lines}) > _MOST_SALTS:
        raise RecordingError(
            f"{folder / LOG_NAME}, which says who has withdrawn, has more than {_MOST_SALTS} salts: Racer wrote no "
            "such file; nothing was changed: put the right one in its place"
        )
    return Withdrawn(lines)


def note_withdrawals(folder: Path, lines: Iterable[LogLine]) -> None:
    """Put lines on the device that are not noted yet, in both files.

    Raises:
        OSError: If the disk refuses.
        StorageError: If another process keeps writing them.
        RecordingError: If what is noted cannot be read, or would have more than 256 salts or 16 MiB.
    """
    with _locked(folder):
        _note_withdrawals(folder, lines)


def _note_withdrawals(folder: Path, lines: Iterable[LogLine]) -> None:
    data = _read_log(folder)
    memory = _read_memory(folder, data)
    known = _noted(folder, data, memory)
    logged, damaged = _parsed(data)
    noted = tuple(dict.fromkeys((*known, *lines)))
    fresh = [line for line in noted if line not in logged]
    # What damaged lines said is remembered, as `_noted` has found; kept, they would stand for something else next time.
    whole = [line for number, line in enumerate(data.splitlines(), 1) if number not in damaged]
    log = b"".join(line + b"\n" for line in (*whole, *(line.dumps().encode() for line in fresh)))
    if len({line.salt for line in noted}) > _MOST_SALTS or len(log) > _MOST_BYTES:
        raise RecordingError(
            f"{folder / LOG_NAME} would have more than {_MOST_SALTS} salts or {_MOST_BYTES} bytes; nothing was "
            "changed: look which folder's log of withdrawals is so long, and leave that folder out"
        )
    if (highest := memory.highest if memory else _highest(folder)) is not None:
        _write_memory(folder, memory, _Memory(highest, noted))
    if fresh or damaged:
        write_whole(folder / LOG_NAME, log)


def highest_given(folder: Path) -> Mapping[str, int]:
    """Return the highest number that was given under each prefix of names in a data folder, as far as is remembered.

    Where the folder has no `names.json`, and its ledger holds recordings that are gone, as many numbers may have been
    given as it ever held recordings.

    Raises:
        RecordingError: If it cannot be read.
    """
    memory = _read_memory(folder, _read_log(folder))
    return memory.highest if memory else _highest(folder) or {}


def note_given(folder: Path, names: Iterable[str]) -> None:
    """Remember names that are about to stand for somebody, or do; of those that Racer would not give, nothing is kept.

    Raises:
        StorageError: If the disk refuses, or another process keeps writing what is remembered.
        RecordingError: If what is remembered cannot be read.
    """
    names = list(names)
    try:
        if not _grown(folder, names):
            return
        with _locked(folder):
            if grown := _grown(folder, names):
                _write_memory(folder, None, grown)
    except OSError as error:
        raise StorageError(
            f"cannot remember names in {folder / NAMES_NAME}: {error.strerror}; recordings are as they were, and "
            "nothing new was begun: make room, or choose a data folder that you may write to"
        ) from error


def _grown(folder: Path, names: Iterable[str]) -> _Memory | None:
    """Return what is to be remembered; None if it is already, or the ledger is damaged and cannot tell what was."""
    data = _read_log(folder)
    memory = _read_memory(folder, data)
    noted = tuple(_noted(folder, data, memory))
    known = memory.highest if memory else _highest(folder)
    if known is None:
        return None
    highest = dict(known)
    for name in names:
        if (match := _NUMBERED.fullmatch(name)) and int(match[2]) > highest.get(match[1], 0):
            highest[match[1]] = int(match[2])
    grown = _Memory(highest, noted)
    return grown if grown != (memory or _Memory()) else None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep others from writing either file meanwhile, on whatever machine, where the file system has locks."""
    path = folder / LOCK_NAME
    lock = FileLock(path, folder.stat().st_mode & 0o666 | 0o600)
    try:
        lock.acquire(_PATIENCE_S)
    except HeldError as error:
        raise StorageError(
            f"another Racer command has kept {path} locked for {_PATIENCE_S:g} seconds; recordings are as they were: "
            "wait for it or end it, then try again"
        ) from error
    except NotPlainError as error:
        raise StorageError(f"cannot lock {path}: {error.strerror}; recordings are as they were: remove it") from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    try:
        yield
    finally:
        lock.release()


def newest_salt(folder: Path) -> str:
    """Return the salt that the folder's hashes share, so that each name is hashed once; empty where there is none."""
    lines = read_withdrawn(folder).lines
    return lines[-1].salt if lines else ""


@dataclass(frozen=True)
class _Memory:
    """What `names.json` holds. Malformed fields raise ValueError."""

    highest: Mapping[str, int] = field(default_factory=dict)
    """Highest number given, by prefix."""
    withdrawn: tuple[LogLine, ...] = ()

    def __post_init__(self) -> None:
        for prefix, number in self.highest.items():
            if prefix not in PREFIXES.values() or type(number) is not int or not 0 < number <= _MOST_NUMBER:
                raise ValueError("numbers must be those of names that Racer gives")


def _read_memory(folder: Path, log: bytes) -> _Memory | None:
    """Return what is remembered; None if it is lost, or damaged while the log is whole and says who has withdrawn."""
    path = folder / NAMES_NAME
    try:
        value = json.loads(read_plain(path, 2 * _MOST_BYTES))
        return _Memory(value["highest"], tuple(map(LogLine.from_json, value["withdrawn"])))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if not isinstance(error, OSError) and log.strip() and not _parsed(log)[1]:
            return None
        reason = (isinstance(error, OSError) and error.strerror) or "it is damaged"
        raise RecordingError(
            f"cannot read {path}, which remembers the names that were given: {reason}; nothing was changed: put back a "
            "copy of it, or remove it if nobody has withdrawn and no recording was deleted by hand"
        ) from error


def _write_memory(folder: Path, former: _Memory | None, memory: _Memory) -> None:
    if memory != former:
        write_whole(folder / NAMES_NAME, f"{json.dumps(asdict(memory))}\n".encode())


def _highest(folder: Path) -> dict[str, int] | None:
    """Return what may have been given as far as the ledger tells; None if that is damaged."""
    try:
        ledger = read_ledger(folder) or Ledger()
    except LedgerError:  # says so where it is needed itself
        return None
    finished = sum(path.name.endswith(SUFFIX) for path in find_recordings(folder))
    return dict.fromkeys(PREFIXES.values(), len(ledger.hashes("recorded"))) if len(ledger.held) > finished else {}


def _read_log(folder: Path) -> bytes:
    try:
        return read_plain(folder / LOG_NAME, _MOST_BYTES)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise RecordingError(
            f"cannot read {folder / LOG_NAME}, which says who has withdrawn: {error.strerror}; nothing was changed"
        ) from error


def _noted(folder: Path, data: bytes, memory: _Memory | None) -> dict[LogLine, None]:
    """Return the lines of the log and those that are remembered; refuse if one may be in neither."""
    lines, damaged = _parsed(data)
    kept = [line for line in memory.withdrawn if line not in lines] if memory else []
    what = "recordings are as they were; nothing was changed: put back a copy of it"
    if len(damaged) > len(kept):
        raise RecordingError(
            f"line {damaged[0]} of {folder / LOG_NAME}, which says who has withdrawn, is damaged; {what}, or, if there "
            "is none, delete that line and make sure yourself that the person's name is not given again"
        )
    if not data and memory is None and _has_withdrawn(folder):
        raise RecordingError(
            f"{folder / LOG_NAME}, which says who has withdrawn, is gone, and somebody has; {what}, or, if there is "
            "none, record to another folder with --data"
        )
    return dict.fromkeys((*lines, *kept))


def _has_withdrawn(folder: Path) -> bool:
    """Return whether the ledger says that somebody has; a damaged one says nothing."""
    try:
        ledger = read_ledger(folder)
    except LedgerError:
        return False
    return ledger is not None and bool(ledger.hashes("withdrawn"))


def _parsed(data: bytes) -> tuple[dict[LogLine, None], list[int]]:
    """Return the lines of a log, and the numbers, from 1, of those that are damaged."""
    lines: dict[LogLine, None] = {}
    damaged: list[int] = []
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            if not isinstance(value, dict) or value.keys() != _FORMER_KEYS:
                lines[LogLine.from_json(value)] = None
        except (ValueError, TypeError, KeyError, RecursionError):
            damaged.append(number)
    return lines, damaged


@lru_cache(maxsize=4096)
def _hash(salt: str, kind: str, text: str) -> str:
    return hashlib.pbkdf2_hmac("sha256", f"{kind}:{text}".encode(), bytes.fromhex(salt), _ROUNDS)[:16].hex()
