"""What a withdrawal concerns besides recordings: sessions that run, what was remembered, masks trained on them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError, safe_open

from racer.errors import RacerError
from racer.sitting.leases import FOLDER, Leases
from sessions.maintenance.withdraw import Withdrawal

_MEMORY = "recordings.json"
"""In the folder of leases, what recordings said of who took part; made again when it is missing."""
_FORMER_FOLDER = ".claims"
"""What version 0.1.0 called the folder of leases: what it remembered may still lie there."""


class StillDrivingError(RacerError):
    """The person who is to be withdrawn is driving."""


def refuse_running(withdrawal: Withdrawal) -> None:
    """Refuse a withdrawal while one of the person's sessions runs.

    Raises:
        StillDrivingError: If one does.
        LeaseError: If that cannot be told.
    """
    for folder in _folders(withdrawal):
        for lease in Leases(folder).live():
            if lease.participant == withdrawal.participant or lease.session_id in withdrawal.session_ids:
                raise StillDrivingError(
                    f"{withdrawal.participant} is being recorded right now (session {lease.session_id}); nothing was "
                    "removed: withdraw when that session has ended"
                )


def forget(withdrawal: Withdrawal) -> None:
    """Remove what was remembered of the recordings removed."""
    for folder in _folders(withdrawal):
        for name in (FOLDER, _FORMER_FOLDER):
            with suppress(OSError):
                (folder / name / _MEMORY).unlink(missing_ok=True)


def masks_trained_on(withdrawal: Withdrawal) -> list[Path]:
    """Return the mask files, in the data folder and around it, whose record names the person or their sessions.

    Looked through are the data folder and all below it, the folder it lies in, and the folders beside it.
    """
    data = withdrawal.folder.resolve()
    places = [data.rglob("*.safetensors"), data.parent.glob("*.safetensors"), data.parent.glob("*/*.safetensors")]
    found = {path for place in places for path in _readable(place)}
    return sorted(path for path in found if _names(path, withdrawal))


def _readable(paths: Iterable[Path]) -> Iterator[Path]:
    with suppress(OSError):
        for path in paths:
            if path.is_file():
                yield path


def _names(path: Path, withdrawal: Withdrawal) -> bool:
    try:
        with safe_open(path, framework="np") as file:
            record = json.loads((file.metadata() or {})["record"])
        people, ids = record["participants"], record["sessions"]
        return withdrawal.participant in people or not set(ids).isdisjoint(withdrawal.session_ids)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError):
        return False


def _folders(withdrawal: Withdrawal) -> list[Path]:
    return sorted({withdrawal.folder, *(path.parent for path in withdrawal.files)})
