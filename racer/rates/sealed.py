"""A sealed set: tracks, people and one family of theirs that are used once, for the final table.

What is looked at often is fitted to, by whoever looks. So a sealed set is named in a file before its sweep is driven:
its seeds lie where no other sweep, sitting or training goes, and its people are no other sweep's. Opening it writes
down when, and for which coders; it opens again for exactly those, and for no others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from disk.reading import read_plain
from disk.writing import write_whole
from racer.drivers.registry import family_of, was_fitted_on
from racer.errors import RacerError
from racer.rates.sweep import Sweep
from racer.tasks.registry import make_task

_MOST_BYTES = 10_000

Text = Annotated[str, Field(min_length=1, max_length=200)]


class SealError(RacerError):
    """A sealed set cannot be made or opened. The message is one line."""


class SealedSet(BaseModel):
    """What the file says."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    racer_sealed: Literal[1] = 1
    task: Text
    family: Text
    """Family that drives: nothing is fitted on it."""
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)]
    sealed_utc: Text
    opened_utc: Text | None = None
    """When it was opened; None while it is sealed."""
    opened_for: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """Hash of what it was opened for: settings, coders, fitted files, code."""


@dataclass(frozen=True)
class Opened:
    """A sealed set that a sweep used."""

    family: str
    sealed_utc: str
    opened_utc: str


def seal(path: Path, task: str, family: str, seed: int, now: datetime) -> SealedSet:
    """Write the file of a sealed set.

    Args:
        path: Must not be there.
        task: Its name.
        family: Name of a family of simulated people.
        seed: From which people and tracks follow, 0 or more.
        now: With a time zone.

    Raises:
        SealError: If the file is there, or cannot be written.
        DriverError, TaskError: If there is no such family or task.
    """
    made = SealedSet(task=task, family=family_of(family, make_task(task)).name, seed=seed, sealed_utc=_told(now))
    _write(path, made, overwrite=False)
    return made


def read_sealed(path: Path) -> SealedSet:
    """Read the file of a sealed set.

    Raises:
        SealError: If it is none.
    """
    try:
        return SealedSet.model_validate_json(read_plain(path, _MOST_BYTES))
    except FileNotFoundError as error:
        raise SealError(f"there is no sealed set {path}; make one with --seal") from error
    except (OSError, ValueError, ValidationError) as error:
        raise SealError(f"{path} is not a sealed set, or is damaged; it was left as it is: restore it") from error


def open_sealed(path: Path, sweep: Sweep, now: datetime) -> Opened:
    """Open a sealed set for a sweep, and write down when.

    Args:
        path: Of its file.
        sweep: To be driven on it: its family alone, by its seed, of its task.
        now: With a time zone.

    Raises:
        SealError: If a coder was fitted on its family, or may have been, or if it was opened for anything else.
    """
    sealed = read_sealed(path)
    for coder, families in sweep.fitted_on:
        if not families or was_fitted_on(sealed.family, families):
            how = "was fitted on" if families else "does not say whether it was fitted on"
            raise SealError(
                f"{coder} {how} {sealed.family}, the family of {path}; a sealed set is only for coders that "
                "never met its family, and it stays sealed: leave the coder out, or fit it on others"
            )
    digest = _what(sweep)
    if sealed.opened_utc is not None:
        if sealed.opened_for != digest:
            raise SealError(
                f"{path} was opened on {sealed.opened_utc} for other coders, settings or code, and opens once: "
                "tuning on it would make it worthless; make another with --seal"
            )
        return Opened(sealed.family, sealed.sealed_utc, sealed.opened_utc)
    opened = sealed.model_copy(update={"opened_utc": _told(now), "opened_for": digest})
    _write(path, opened, overwrite=True)
    return Opened(sealed.family, sealed.sealed_utc, _told(now))


def _what(sweep: Sweep) -> str:
    """Return the hash of all that decides the numbers of a sweep."""
    config = sweep.plan.config
    parts: Mapping[str, object] = {
        "settings": dict(sweep.plan.settings),
        "hashes": dict(sweep.plan.hashes),
        "coders": sweep.plan.coders,
        "points": [settings.text for settings in config.settings],
        "bits": config.bits,
        "noise": [str(noise) for noise in config.noise],
        "participants": config.participants,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _told(now: datetime) -> str:
    return now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _write(path: Path, sealed: SealedSet, overwrite: bool) -> None:
    try:
        write_whole(path, (sealed.model_dump_json(indent=1) + "\n").encode(), overwrite=overwrite)
    except FileExistsError as error:
        raise SealError(f"{path} exists and was left as it is; give another name with --seal") from error
    except OSError as error:
        raise SealError(f"cannot write {path}: {error.strerror or error}; nothing was driven") from error
