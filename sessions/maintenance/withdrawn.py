"""Who has withdrawn from a data folder, kept so that names and sessions never come back.

Each withdrawal leaves a line in `withdrawals.jsonl`: the date, the number of sessions, and salted hashes of the
person's name and session ids. That keeps the list from being read, not from being searched: whoever has the file checks
a guess in a few milliseconds. Names such as p01 fall in 0.2 s; all session ids, of which there are 2^24, in
about 18 core hours. Only a name that nobody can guess stays hidden.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from disk.reading import read_plain
from disk.writing import write_whole
from sessions.errors import RecordingError

LOG_NAME = "withdrawals.jsonl"
_MOST_BYTES = 2**24
_ROUNDS = 10_000
"""Of PBKDF2: a few milliseconds for each name that is looked up."""
_MOST_SALTS = 256
"""In one log: each makes every look-up a few milliseconds longer."""
_HASH = re.compile(r"[0-9a-f]{32}", re.ASCII)
_MOST_IDS = 10_000


@dataclass(frozen=True)
class LogLine:
    """One withdrawal. Malformed fields raise ValueError."""

    date_utc: str
    """Such as `2026-01-31`."""
    sessions: int
    """How many were removed."""
    salt: str
    """Of the hashes, 32 hexadecimal digits."""
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
    """Return who has withdrawn from a data folder. Damaged lines, and those of version 0.1.0, say nothing.

    Raises:
        RecordingError: If that cannot be read: a name might be given twice. Or if it has more than 256 salts.
    """
    lines = tuple(_parsed(_read(folder)))
    if len({line.salt for line in lines}) > _MOST_SALTS:
        raise RecordingError(
            f"{folder / LOG_NAME}, which says who has withdrawn, has more than {_MOST_SALTS} salts: Racer wrote no "
            "such file; nothing was changed: put the right one in its place"
        )
    return Withdrawn(lines)


def note_withdrawals(folder: Path, lines: Iterable[LogLine]) -> None:
    """Put lines on the device that the log does not hold yet; all of it or nothing. Keep the folder `alone` meanwhile.

    Raises:
        OSError: If the disk refuses.
        RecordingError: If the log cannot be read, or would have more than 256 salts or 16 MiB.
    """
    data = _read(folder)
    known = dict.fromkeys(_parsed(data))
    fresh = [line for line in dict.fromkeys(lines) if line not in known]
    if fresh:
        data += b"\n" if data and not data.endswith(b"\n") else b""
        data += "".join(f"{line.dumps()}\n" for line in fresh).encode()
        if len({line.salt for line in (*known, *fresh)}) > _MOST_SALTS or len(data) > _MOST_BYTES:
            raise RecordingError(
                f"{folder / LOG_NAME} would have more than {_MOST_SALTS} salts or {_MOST_BYTES} bytes; nothing was "
                "changed: look which folder's log of withdrawals is so long, and leave that folder out"
            )
        write_whole(folder / LOG_NAME, data)


def newest_salt(folder: Path) -> str:
    """Return the salt that the folder's hashes share, so that each name is hashed once; empty where there is none."""
    lines = read_withdrawn(folder).lines
    return lines[-1].salt if lines else ""


def _read(folder: Path) -> bytes:
    try:
        return read_plain(folder / LOG_NAME, _MOST_BYTES)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise RecordingError(
            f"cannot read {folder / LOG_NAME}, which says who has withdrawn: {error.strerror}; nothing was changed"
        ) from error


def _parsed(data: bytes) -> Iterator[LogLine]:
    for line in data.splitlines():
        try:
            yield LogLine.from_json(json.loads(line))
        except (ValueError, TypeError, KeyError, RecursionError):
            continue


@lru_cache(maxsize=4096)
def _hash(salt: str, kind: str, text: str) -> str:
    return hashlib.pbkdf2_hmac("sha256", f"{kind}:{text}".encode(), bytes.fromhex(salt), _ROUNDS)[:16].hex()
