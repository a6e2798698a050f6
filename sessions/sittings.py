"""Sittings: the recordings that belong together because a session was resumed after a crash."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sessions.errors import RecordingError
from sessions.reader import Session
from sessions.schema import SessionInfo, Status


@dataclass(frozen=True)
class Sitting:
    """One sitting of one participant: a recording and those that continue it."""

    paths: tuple[Path, ...]
    """Oldest first."""
    infos: tuple[SessionInfo, ...]
    """Session info of each recording."""
    status: Status
    """Status of the last recording; the earlier ones were cut short."""

    @property
    def info(self) -> SessionInfo:
        """Session info of the recording that began the sitting."""
        return self.infos[0]


def find_sittings(paths: Iterable[Path]) -> tuple[list[Sitting], dict[Path, str]]:
    """Return the sittings that recordings make up, in the order of their first path, and what cannot be used.

    A recording that continues one which is not among `paths`, or which another one continues as well, is no sitting.

    Args:
        paths: Recordings, finished or not.

    Returns:
        The sittings, and by path the reason why a recording belongs to none.
    """
    found: dict[str, tuple[Path, SessionInfo, Status]] = {}
    unusable: dict[Path, str] = {}
    for path in paths:
        try:
            with Session(path) as session:
                info, status = session.info, session.status
        except RecordingError as error:
            unusable[path] = str(error)
            continue
        if info.session_id in found:
            unusable[path] = f"it holds session {info.session_id} a second time"
        else:
            found[info.session_id] = path, info, status
    after: dict[str, str] = {}
    for session_id, (path, info, _) in found.items():
        if not info.resumes:
            continue
        if info.resumes not in found:
            unusable[path] = f"it continues session {info.resumes}, which is not here"
        elif found[info.resumes][1].participant != info.participant:
            unusable[path] = f"it continues session {info.resumes}, which is another participant's"
        elif info.resumes in after:
            unusable[path] = f"it continues session {info.resumes}, as another recording does already"
        else:
            after[info.resumes] = session_id
    sittings = []
    for session_id, (_, info, _) in found.items():
        if not info.resumes:
            # A session is continued once at most and begins no more than one chain: this ends.
            chain = [session_id]
            while (following := after.get(chain[-1])) is not None:
                chain.append(following)
            members = [found[link] for link in chain]
            sittings.append(
                Sitting(tuple(path for path, _, _ in members), tuple(info for _, info, _ in members), members[-1][2])
            )
    taken = {path for sitting in sittings for path in sitting.paths}
    for path, _, _ in found.values():
        if path not in taken:
            unusable.setdefault(path, "what it continues cannot be used")
    return sittings, unusable
