"""The ledger of a data folder: the SHA-256 of every finished recording, each entry chained to those before it.

`ledger.jsonl` has a line for each recording that was finished and for each that was withdrawn. A line's head is a
hash of the line and of the head before it, so that the last head stands for all of them. Whoever can write to the
folder can write another ledger, too: the head proves something once it lies elsewhere, deposited or signed.

Entries name nobody. A recording's hash follows from its every byte, times among them, and cannot be guessed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal, get_args

from disk.locking import alone
from disk.reading import open_plain, read_plain
from disk.writing import write_whole
from sessions.errors import RecordingError, StorageError
from sessions.names import SUFFIX, find_recordings

LEDGER_NAME = "ledger.jsonl"
BEGINNING = hashlib.sha256(b"racer ledger 1").hexdigest()
"""The head of a ledger without entries."""
_MOST_BYTES = 2**26
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)

Kind = Literal["recorded", "withdrawn"]


class LedgerError(RecordingError):
    """A ledger cannot be read, or is damaged; recordings are as they were."""


@dataclass(frozen=True)
class LedgerEntry:
    """What became of a recording. Malformed fields raise ValueError."""

    kind: Kind
    sha256: str
    """SHA-256 of its file, 64 hexadecimal digits."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind) or not isinstance(self.sha256, str) or not _SHA256.fullmatch(self.sha256):
            raise ValueError("an entry has a kind and a SHA-256")

    def after(self, head: str) -> str:
        """Return the head once this entry follows on another head, 64 hexadecimal digits."""
        return hashlib.sha256(f"{head} {self.kind} {self.sha256}".encode()).hexdigest()


@dataclass(frozen=True)
class Ledger:
    """The entries of a ledger, oldest first."""

    entries: tuple[LedgerEntry, ...] = ()

    @cached_property
    def heads(self) -> tuple[str, ...]:
        """The head after each number of entries, from none to all."""
        heads = [BEGINNING]
        for entry in self.entries:
            heads.append(entry.after(heads[-1]))
        return tuple(heads)

    @property
    def head(self) -> str:
        """The latest head."""
        return self.heads[-1]

    def hashes(self, kind: Kind) -> dict[str, int]:
        """Return the hashes of one kind with the number of the entry, from 1."""
        return {entry.sha256: number for number, entry in enumerate(self.entries, 1) if entry.kind == kind}

    @cached_property
    def held(self) -> dict[str, int]:
        """Hashes of the recordings that should be there, with the number of the entry, from 1."""
        withdrawn = self.hashes("withdrawn")
        return {sha256: number for sha256, number in self.hashes("recorded").items() if sha256 not in withdrawn}


def read_ledger(folder: Path) -> Ledger | None:
    """Return the ledger of a data folder; None where there is none.

    Raises:
        LedgerError: If it cannot be read, or an entry does not follow from those before it.
    """
    path = folder / LEDGER_NAME
    try:
        data = read_plain(path, _MOST_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise LedgerError(f"cannot read {path}: {error.strerror}; recordings are as they were") from error
    entries: list[LedgerEntry] = []
    head = BEGINNING
    for number, line in enumerate(data.splitlines(), 1):
        try:
            value: dict[str, Any] = json.loads(line)
            entry = LedgerEntry(value["kind"], value["sha256"])
            head = entry.after(head)
            if value["head"] != head:
                raise ValueError("another head")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise LedgerError(
                f"line {number} of {path} does not follow from those before it: the file was changed; recordings are "
                "as they were: put back a copy of it, or move it away and deposit a new head"
            ) from error
        entries.append(entry)
    return Ledger(tuple(entries))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits.

    Raises:
        OSError: If it cannot be read.
    """
    with BufferedReader(open_plain(path)) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def note_recorded(folder: Path, paths: Sequence[Path] | None = None) -> list[Path]:
    """Note finished recordings that the ledger of their folder does not have; return those.

    Where there is no ledger yet, all recordings in the folder are noted first, oldest first.

    Args:
        folder: That they lie in.
        paths: `.h5`; all of the folder if None.

    Raises:
        StorageError: If the disk refuses. The recordings are as they were.
        LedgerError: If the ledger is damaged.
        RecordingError: If the folder cannot be listed.
    """
    try:
        with alone(folder):
            ledger = read_ledger(folder)
            if ledger is None or paths is None:
                wanted = dict.fromkeys(
                    path for path in find_recordings(folder) if path.name.endswith(SUFFIX) and not path.is_symlink()
                )
                paths = [*wanted, *(path for path in paths or () if path not in wanted)]
            known = ledger.hashes("recorded") if ledger else {}
            fresh = {path: hashed for path in paths if (hashed := sha256_of(path)) not in known}
            add_entries(folder, "recorded", fresh.values())
            return list(fresh)
    except OSError as error:
        raise StorageError(
            f"cannot note recordings in {folder / LEDGER_NAME}: {error.strerror}; they are saved: make room and run "
            "`racer study seal`"
        ) from error


def add_entries(folder: Path, kind: Kind, hashes: Iterable[str]) -> None:
    """Add entries that the ledger does not have, all or none. Keep the folder `alone` meanwhile.

    Raises:
        OSError: If the disk refuses.
        LedgerError: If the ledger is damaged.
    """
    ledger = read_ledger(folder) or Ledger()
    known = ledger.hashes(kind)
    fresh = tuple(LedgerEntry(kind, sha256) for sha256 in dict.fromkeys(hashes) if sha256 not in known)
    if not fresh:
        return
    grown = Ledger(ledger.entries + fresh)
    lines = (
        json.dumps({"kind": entry.kind, "sha256": entry.sha256, "head": head})
        for entry, head in zip(grown.entries, grown.heads[1:], strict=True)
    )
    write_whole(folder / LEDGER_NAME, "".join(f"{line}\n" for line in lines).encode())
