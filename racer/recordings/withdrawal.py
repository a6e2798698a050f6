"""What a withdrawal concerns besides recordings: sessions that run, what was remembered, and what was made of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from compression.fitting.fitted import LARGEST_FILE
from compression.model.header import FILE_NAME, TUNING
from compression.tensor_files import read_metadata
from disk.reading import read_plain
from disk.writing import sweep
from racer.drivers.driver import DriverError
from racer.drivers.person import read_fitted
from racer.errors import RacerError
from racer.sitting.leases import FOLDER, Leases
from racer.study.file import RECORDINGS, STUDY_FILE
from sessions.maintenance.withdraw import INTENT_NAME, Withdrawal, interrupted, plan_withdrawal, withdraw
from sessions.maintenance.withdrawn import Withdrawn, read_withdrawn
from sessions.names import PARTIAL_SUFFIX, SUFFIX

_MEMORY = "recordings.json"
"""File in the folder of leases that caches what recordings said of who took part; made again when it is missing."""
_FORMER_FOLDER = ".claims"
"""What version 0.1.0 called the folder of leases: what it remembered may still lie there."""
_TEXTS = frozenset({".csv", ".html", ".json", ".jsonl", ".md", ".svg", ".toml", ".tsv", ".txt"})
"""Endings of files that are searched for the person."""
_MOST_TEXT_BYTES = 2**28
_MOST_DESCRIPTION_BYTES = 2**24

Kind = Literal["mask", "driver", "report", "export", "mention", "unknown"]


class StillDrivingError(RacerError):
    """The person who is to be withdrawn is driving."""


@dataclass(frozen=True)
class Trace:
    """Something besides recordings that holds a person's data."""

    path: Path
    kind: Kind
    """A file fitted to what they did; a driver fitted to them; a report's page; an export's folder or file; a file that
    names them; an export that does not say whom it holds."""
    files: tuple[Path, ...]
    """What goes if it is removed, folders after what lies in them; nothing of what only names them, or lies outside of
    the study's folder."""


def refuse_running(withdrawal: Withdrawal) -> None:
    """Refuse a withdrawal while one of the person's sessions runs.

    Raises:
        StillDrivingError: If one does.
        LeaseError: If that cannot be told.
    """
    for folder in sorted({withdrawal.folder, *(path.parent for path in withdrawal.files)}):
        for lease in Leases(folder).live():
            if lease.participant == withdrawal.participant or lease.session_id in withdrawal.session_ids:
                raise StillDrivingError(
                    f"{withdrawal.participant} is being recorded right now (session {lease.session_id}); nothing was "
                    "removed: withdraw when that session has ended"
                )


def remove_person(withdrawal: Withdrawal, traces: Iterable[Trace], now: datetime) -> None:
    """Remove a person's recordings, what was remembered of them, and the traces given.

    Raises:
        RecordingError: If the disk refuses, or another withdrawal waits to be finished.
    """
    root = study_folder(withdrawal.folder)
    going = [file for trace in traces for file in trace.files]
    withdraw(withdrawal, now, _memories(withdrawal.folder), traces=going, root=root)
    sweep(root)


def finish_withdrawal(folder: Path, now: datetime) -> Withdrawal | None:
    """Finish the withdrawal that was cut short in a data folder; return it, or None where there was none.

    Of what was made of several people's recordings, what was agreed to then goes, and nothing that was made since.

    Raises:
        RecordingError, RacerError: If that is not possible.
    """
    begun = interrupted(folder)
    if begun is None:
        return None
    left = plan_withdrawal(begun.participant, folder, begun.session_ids)
    refuse_running(left)
    remove_person(left, (), now)
    return left


def study_folder(data: Path) -> Path:
    """Return the folder of the study that a data folder belongs to, or the data folder itself."""
    data = data.absolute()
    return data.parent if data.name == RECORDINGS and (data.parent / STUDY_FILE).is_file() else data


def find_traces(withdrawal: Withdrawal) -> list[Trace]:
    """Return what besides recordings holds the person's data: in the study's folder all, around it what was fitted."""
    root = study_folder(withdrawal.folder)
    own = {path.absolute() for path in withdrawal.files}
    pattern = _pattern(withdrawal)
    before = read_withdrawn(withdrawal.folder).of(withdrawal.participant)
    found: dict[Path, Trace] = {}
    unknown: list[Path] = []
    for path in _everything(root):
        recorded = path.name.endswith((SUFFIX, PARTIAL_SUFFIX))
        if path in own or path.name == INTENT_NAME or path.parent.name in (FOLDER, _FORMER_FOLDER):
            continue
        if not found.keys().isdisjoint(path.parents):
            continue
        if withdrawal.names(path):
            # A copy of a recording is theirs to look at: a rehearsal may have had another person of that name.
            found[path] = Trace(path, "mention", ()) if recorded else Trace(path, "export", _all_of(path))
        elif recorded or path.is_symlink():
            continue
        elif path.is_dir():
            if (description := _description(path)) is not None and _tells_nobody(path, description):
                unknown.append(path)
        elif not path.is_file():
            continue
        elif path.suffix == ".safetensors":
            if _fitted_to(path, withdrawal):
                found[path] = Trace(path, "mask", (path, *_beside(path)))
        elif path.suffix == ".json" and _drives_like(path, withdrawal, before):
            found[path] = Trace(path, "driver", (path,))
        elif path.suffix.lower() in _TEXTS and _mentions(path, pattern):
            trace = _whole(path, root)
            found[trace.path] = trace
    for around in ("*.safetensors", "*/*.safetensors", "*.json", "*/*.json"):
        for path in _listed(root.parent.glob(around)):
            if path.is_relative_to(root) or path.parent.is_symlink():
                continue
            if path.suffix == ".json" and _drives_like(path, withdrawal, before):
                found[path] = Trace(path, "driver", ())
            elif path.suffix != ".json" and _fitted_to(path, withdrawal):
                found[path] = Trace(path, "mask", ())
    for path in unknown:
        found.setdefault(path, Trace(path, "unknown", ()))
    return [found[path] for path in sorted(found)]


def _whole(path: Path, root: Path) -> Trace:
    """Return what a file that names the person belongs to: a report, an export, or nothing else."""
    from racer.report.write import report_of  # draws, and most withdrawals come without

    for folder in path.parents:
        if not folder.is_relative_to(root) or folder == root:
            break
        if _description(folder) is not None:
            return Trace(folder, "export", _all_of(folder))
    if page_and_files := report_of(path):
        return Trace(page_and_files[0], "report", page_and_files)
    return Trace(path, "mention", ())


def _all_of(path: Path) -> tuple[Path, ...]:
    """Return a file, or a folder after all that lies in it, recordings aside."""
    if path.is_symlink() or not path.is_dir():
        return (path,)
    inside = (each for each in _everything(path) if not each.name.endswith((SUFFIX, PARTIAL_SUFFIX)))
    return (*sorted(inside, key=lambda each: (-len(each.parts), each)), path)


def _tells_nobody(folder: Path, description: dict[str, Any]) -> bool:
    """Return whether an export says nowhere whom it holds: one of an earlier version whose tables are no text."""
    return not isinstance(description.get("sessions"), list) and any(
        path.suffix in (".parquet", ".hdf5", ".arrow") for path in _files(folder)
    )


def _description(folder: Path) -> dict[str, Any] | None:
    """Return what a folder says of itself if Racer exported it, as tables or as a Minari dataset."""
    from racer.recordings.minari_export import ALGORITHM_NAME
    from sessions.export.dictionary import DATASET_NAME, DESCRIPTION_NAME

    marks = (DESCRIPTION_NAME, "name", DATASET_NAME), ("data/metadata.json", "algorithm_name", ALGORITHM_NAME)
    for name, key, value in marks:
        with suppress(OSError, ValueError, RecursionError, AttributeError):
            description: dict[str, Any] = json.loads(read_plain(folder / name, _MOST_DESCRIPTION_BYTES))
            if description.get(key) == value:
                return description
    return None


def _pattern(withdrawal: Withdrawal) -> re.Pattern[bytes]:
    words = "|".join(map(re.escape, (withdrawal.participant, *withdrawal.session_ids)))
    # Nor part of a number, as the id 123456 in 0.123456 or in 123456.5.
    return re.compile(rf"(?<![0-9A-Za-z.-])({words})(?![0-9A-Za-z-]|\.[0-9])".encode())


def _mentions(path: Path, pattern: re.Pattern[bytes]) -> bool:
    try:
        return pattern.search(read_plain(path, _MOST_TEXT_BYTES)) is not None
    except OSError:
        return False


def _fitted_to(path: Path, withdrawal: Withdrawal) -> bool:
    """Return whether a file was fitted to the person: a mask and the like, or a latent model with a tuned decoder."""
    try:
        metadata = read_metadata(path, LARGEST_FILE)
        record = json.loads(metadata["record"] if "record" in metadata else metadata[TUNING])
        people, ids = record["participants"], record["sessions"]
        return withdrawal.participant in people or not set(ids).isdisjoint(withdrawal.session_ids)
    except (KeyError, TypeError, ValueError, RecursionError):
        return False


def _beside(path: Path) -> tuple[Path, ...]:
    """Return what lies beside a fitted file: pictures of a tuned latent model, which show what the person saw, or the
    curves of a training.
    """
    from racer.training.curves import places_of_curves  # draws, and most withdrawals come without

    if path.name == FILE_NAME:
        return tuple(sorted(path.parent.glob("*.png")))
    return tuple(place for place in places_of_curves(path) if place.is_file())


def _drives_like(path: Path, withdrawal: Withdrawal, before: Withdrawn) -> bool:
    """Return whether a file is a driver fitted to sessions of the person, those that were removed `before` included."""
    try:
        sessions = read_fitted(path).sessions
    except DriverError:
        return False
    return any(each in withdrawal.session_ids or before.has_session(each) for each in sessions)


def _memories(folder: Path) -> list[Path]:
    """Return the files that remember what recordings said, in a data folder and below."""
    return [path for path in _files(folder) if path.name == _MEMORY and path.parent.name in (FOLDER, _FORMER_FOLDER)]


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in _everything(folder) if path.is_file() and not path.is_symlink())


def _everything(folder: Path) -> Iterator[Path]:
    """Yield all that lies in a folder and below, without following links."""
    for path in _listed(folder.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _everything(path)


def _listed(paths: Iterable[Path]) -> Iterator[Path]:
    with suppress(OSError):
        yield from sorted(paths)
