"""Names: who took part, which session it was, and the file that follows from both."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from sessions.errors import ParticipantNameError, RecordingError

SUFFIX = ".h5"
PARTIAL_SUFFIX = ".h5.partial"
"""Suffix of a recording that is being written, or whose writer was killed."""

PREFIXES = {"evaluation": "p", "pilot": "pilot", "trial run": "trial"}
"""Prefixes of the names that Racer gives, such as `p01`, by protocol; trial runs of either have their own."""

_TIME_FORMAT = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}", re.ASCII)
_SESSION_ID = re.compile(r"[0-9a-f]{6}", re.ASCII)
_RECORDING = re.compile(r".+_(\d{8}T\d{6}Z)_[0-9a-f]{6}\.h5(\.partial)?", re.ASCII)


def check_name(kind: str, name: str) -> None:
    """Refuse a name that must not become part of a file name.

    Args:
        kind: What the name is of, for the message: `participant` or `protocol`.
        name: 1 to 64 ASCII letters, digits, `-` and `_`, not starting with `-`.

    Raises:
        ParticipantNameError: If it is anything else, such as `../x`.
    """
    if not _NAME.fullmatch(name):
        raise ParticipantNameError(
            f"{kind} name {name[:80]!r} cannot be used in a file name; nothing was written: "
            "use 1 to 64 letters, digits, '-' or '_', not starting with '-'"
        )


def check_session_id(session_id: str) -> None:
    """Raise ValueError unless `session_id` is 6 lower-case hexadecimal digits."""
    if not _SESSION_ID.fullmatch(session_id):
        raise ValueError(f"session id must be 6 hexadecimal digits; got {session_id[:80]!r}")


def new_session_id(token_hex: Callable[[int], str] = secrets.token_hex) -> str:
    """Return 6 random hexadecimal digits; `token_hex(n)` gives 2 n of them."""
    return token_hex(3)


def recording_name(participant: str, protocol: str, created: datetime, session_id: str) -> str:
    """Return the file name `<participant>_<protocol>_<UTC time>_<6 hex>.h5`.

    Args:
        participant: See `check_name`.
        protocol: See `check_name`.
        created: When the session started; must know its time zone.
        session_id: 6 hexadecimal digits.

    Raises:
        ParticipantNameError: If a name cannot be part of a file name.
        ValueError: If the time has no zone or the id is malformed.
    """
    check_name("participant", participant)
    check_name("protocol", protocol)
    check_session_id(session_id)
    if created.tzinfo is None:
        raise ValueError("the time of creation must have a time zone")
    return f"{participant}_{protocol}_{created.astimezone(UTC).strftime(_TIME_FORMAT)}_{session_id}{SUFFIX}"


def find_recordings(folder: Path) -> list[Path]:
    """Return the recordings in a folder, oldest first; those without a time in their name come last.

    Includes `.h5.partial` files: sessions that are running or were killed. A folder that does not exist holds none.

    Raises:
        RecordingError: If the folder cannot be listed.
    """
    try:
        files = [path for path in folder.iterdir() if path.name.endswith((SUFFIX, PARTIAL_SUFFIX)) and path.is_file()]
        names = {path.name for path in files}
        # A finished recording stands for the unfinished one beside it: repaired from it, or half of a final rename.
        files = [
            path
            for path in files
            if not path.name.endswith(PARTIAL_SUFFIX) or path.name.removesuffix(".partial") not in names
        ]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RecordingError(f"cannot list {folder}: {error.strerror}; nothing was changed") from error
    return sorted(files, key=_age)


def _age(path: Path) -> tuple[bool, str, str]:
    match = _RECORDING.fullmatch(path.name)
    return match is None, match[1] if match else "", path.name
