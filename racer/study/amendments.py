"""Amendments: changes of a study that is under way, each with its date, its reason, and what it changed.

They stand in `amendments.jsonl` in the study's folder, the first one first. The versions of a study are what it was
before the first amendment, and what it was after each. The file may come from somebody else: it is read as data.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import sessions
from disk.reading import read_plain
from disk.writing import write_whole
from racer.errors import ConfigError
from racer.study.deciding import deciding, paths, settings_sha256, value_at
from racer.study.file import Study, StudyFileError

AMENDMENTS_FILE = "amendments.jsonl"
MOST_REASON = 1000
"""Longest reason, characters."""
_MOST_BYTES = 2**24


@dataclass(frozen=True)
class Difference:
    """One setting that an amendment changed."""

    key: str
    """Such as `episodes.steps`."""
    before: str
    after: str
    """Values as JSON; `-` where there was none."""

    def __str__(self) -> str:
        return f"{self.key} {self.before} -> {self.after}"


@dataclass(frozen=True)
class Amendment:
    """A change of what decides what people do, made while a study was under way."""

    at_utc: str
    """ISO 8601 ending in `Z`."""
    reason: str
    before: str
    after: str
    """Hashes of the deciding settings, 64 hexadecimal digits."""
    difference: tuple[Difference, ...]

    @property
    def day(self) -> str:
        """When it was made, such as `2026-03-01`."""
        return self.at_utc[:10]


def read_amendments(folder: Path) -> tuple[Amendment, ...]:
    """Return the amendments of the study in a folder, the first one first; none where there is no file of them.

    Raises:
        ConfigError: If the file is damaged.
    """
    return tuple(amendment for amendment, _ in _read(folder))


def versions(amendments: Sequence[Amendment]) -> tuple[str, ...]:
    """Return the hash of every version of a study, the first one first; nothing where it was never amended."""
    return (amendments[0].before, *(amendment.after for amendment in amendments)) if amendments else ()


def amend(study: Study, reason: str, now: datetime) -> Amendment:
    """Keep the changes of a study file that recordings do not know yet as an amendment, and return it.

    Args:
        study: The study, its file changed already.
        reason: Why, in 1 to 1000 characters.
        now: The time, in UTC.

    Raises:
        ConfigError: If there is no reason, or the file of amendments is damaged.
        StudyFileError: If there is nothing to amend, or the disk refuses.
        RecordingError: If the recordings cannot be listed.
    """
    reason = " ".join(reason.split())
    if not 1 <= len(reason) <= MOST_REASON:
        raise ConfigError(f"an amendment needs a reason of 1 to {MOST_REASON} characters; nothing was changed")
    earlier = _read(study.folder)
    before = (earlier[-1][0].after, earlier[-1][1]) if earlier else _recorded(study)
    present = deciding(study.settings)
    known = versions([amendment for amendment, _ in earlier])
    if before is None:
        raise StudyFileError(
            study.path, "nobody has been recorded with other settings; nothing was changed: edit the file freely"
        )
    sha256, settings = before
    if sha256 == study.settings_sha256:
        raise StudyFileError(
            study.path, "nothing that decides what people do was changed: edit the file first, then amend"
        )
    if study.settings_sha256 in known:
        raise StudyFileError(
            study.path,
            "is the same as in an earlier version; nothing was changed: an amendment cannot lead back to one",
        )
    difference = tuple(
        Difference(key, value_at(settings, key), value_at(present, key)) for key in sorted(paths(settings, present))
    )
    amendment = Amendment(
        now.isoformat(timespec="seconds").replace("+00:00", "Z"),
        reason,
        sha256,
        study.settings_sha256,
        difference,
    )
    lines = [*earlier, (amendment, present)]
    text = "".join(json.dumps(asdict(each) | {"settings": after}) + "\n" for each, after in lines)
    try:
        write_whole(study.folder / AMENDMENTS_FILE, text.encode())
    except OSError as error:
        raise StudyFileError(study.folder / AMENDMENTS_FILE, f"cannot be written: {error.strerror}") from error
    return amendment


def advice(study: Study) -> str:
    """Return what to do about a study file that was changed while the study was under way."""
    return (
        f"keep the change as an amendment with `racer study amend {shlex.quote(str(study.folder))}`, change the file "
        "back, or make a study of its own with `racer study init`"
    )


def _recorded(study: Study) -> tuple[str, dict[str, Any]] | None:
    """Return the deciding settings of the latest sitting that counts, their hash first; None where all are those of the
    file."""
    found, _ = sessions.find_sittings(sessions.find_recordings(study.recordings))
    for sitting in sorted(found, key=lambda each: each.info.created_utc, reverse=True):
        settings = sitting.info.config.get("study")
        if sitting.info.trial_run or not isinstance(settings, dict):
            continue
        if (sha256 := settings_sha256(settings)) != study.settings_sha256:
            return sha256, deciding(settings)
    return None


def _read(folder: Path) -> list[tuple[Amendment, dict[str, Any]]]:
    path = folder / AMENDMENTS_FILE
    try:
        lines = read_plain(path, _MOST_BYTES).decode().splitlines()
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is not text'}") from None
    try:
        found = [_parse(json.loads(line)) for line in lines]
    except (KeyError, TypeError, ValueError, RecursionError):
        raise ConfigError(f"{path} is damaged; nothing was changed: put back a copy of it") from None
    if any(one.after != other.before for (one, _), (other, _) in pairwise(found)):
        raise ConfigError(f"{path} is damaged: a line is missing; nothing was changed: put back a copy of it")
    return found


def _parse(raw: Mapping[str, Any]) -> tuple[Amendment, dict[str, Any]]:
    settings = raw["settings"]
    difference = tuple(Difference(each["key"], each["before"], each["after"]) for each in raw["difference"])
    amendment = Amendment(raw["at_utc"], raw["reason"], raw["before"], raw["after"], difference)
    texts = [amendment.at_utc, amendment.reason, amendment.before, amendment.after]
    texts += [text for each in difference for text in (each.key, each.before, each.after)]
    if not all(isinstance(text, str) and len(text) <= _MOST_BYTES for text in texts) or not isinstance(settings, dict):
        raise TypeError("an amendment is made of texts")
    return amendment, settings
