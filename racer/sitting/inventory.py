"""An inventory of a folder: who took part and in which order of conditions, cached between looks.

Opening a recording takes 1.5 ms; with a thousand of them in the folder, nobody should wait for that before every
session. What each said is therefore kept beside them, and asked again only of a file whose time or size changed.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sessions
from disk.reading import read_plain
from disk.writing import write_whole

MOST_ORDER = 2**31 - 1
_MOST_MEMORY_BYTES = 2**26
_SESSION_ID = re.compile(r"[0-9a-f]{6}", re.ASCII)
_RECORDING = re.compile(r"(.+)_([^_]+)_\d{8}T\d{6}Z_([0-9a-f]{6})\.h5(?:\.partial)?", re.ASCII)


@dataclass(frozen=True)
class InventoryEntry:
    """What one recording says. Malformed fields raise ValueError."""

    session_id: str
    participant: str
    protocol: str
    order: int | None
    """Order of conditions, 0 or more; None where the recording names none."""
    trial_run: bool
    """Whether it is a trial run."""
    complete: bool
    """Whether its session ended complete."""

    def __post_init__(self) -> None:
        texts = (self.session_id, self.participant, self.protocol)
        if not all(isinstance(text, str) for text in texts) or not _SESSION_ID.fullmatch(self.session_id):
            raise ValueError("session id, participant and protocol must be texts, the id 6 hexadecimal digits")
        sessions.check_name("participant", self.participant)
        sessions.check_name("protocol", self.protocol)
        if type(self.trial_run) is not bool or type(self.complete) is not bool:
            raise ValueError("trial_run and complete must be true or false")
        if self.order is not None and type(self.order) is not int:
            raise ValueError("order must be an integer")
        if self.order is not None and not 0 <= self.order <= MOST_ORDER:
            raise ValueError(f"order must lie between 0 and {MOST_ORDER}; got {self.order}")


def take_inventory(folder: Path, memory: Path) -> list[InventoryEntry]:
    """Return what the recordings in a folder say, oldest first.

    Of a recording that cannot be read, its name still says who took part: it counts as incomplete.

    Args:
        folder: Of the recordings; one that does not exist holds none.
        memory: File that keeps what was learned for the next time. It may be lost or damaged at no harm.

    Raises:
        RecordingError: If the folder cannot be listed.
    """
    known = _recall(memory)
    learned: dict[str, dict[str, Any]] = {}
    entries: list[InventoryEntry] = []
    for path in sessions.find_recordings(folder):
        try:
            found = path.stat()
        except OSError:
            continue  # renamed or removed since it was listed
        stamp = [found.st_mtime_ns, found.st_size]
        entry = _remembered(known.get(path.name), stamp)
        if entry is None:
            entry = _read(path)
        if entry is None:
            entries += _named(path)
            continue
        learned[path.name] = {"stamp": stamp, **asdict(entry)}
        entries.append(entry)
    if learned != known:
        with suppress(OSError):
            write_whole(memory, json.dumps(learned).encode())
    return entries


def _read(path: Path) -> InventoryEntry | None:
    try:
        with sessions.open(path) as session:
            info, order = session.info, session.info.config.get("order")
            valid = type(order) is int and 0 <= order <= MOST_ORDER
            return InventoryEntry(
                session_id=info.session_id,
                participant=info.participant,
                protocol=info.protocol,
                order=order if valid else None,
                trial_run=info.trial_run,
                complete=session.status == "complete",
            )
    except sessions.RecordingError:
        return None


def _named(path: Path) -> list[InventoryEntry]:
    """Return what the name alone says of a recording: one entry or none."""
    match = _RECORDING.fullmatch(path.name)
    try:
        return [InventoryEntry(match[3], match[1], match[2], None, trial_run=False, complete=False)] if match else []
    except ValueError:
        return []  # nobody can be called that


def _recall(memory: Path) -> dict[str, Any]:
    try:
        known = json.loads(read_plain(memory, _MOST_MEMORY_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _remembered(kept: Any, stamp: list[int]) -> InventoryEntry | None:
    """Return an entry as it was kept, unless the file has changed or the entry is damaged."""
    if not isinstance(kept, dict) or kept.get("stamp") != stamp:
        return None
    try:
        return InventoryEntry(**{name: value for name, value in kept.items() if name != "stamp"})
    except (TypeError, ValueError):
        return None
