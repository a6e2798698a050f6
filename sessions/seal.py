"""The seal of a recording: a hash of all that was recorded, closed when the session ends.

Every episode adds a link to a chain that begins with the session's attributes; events, answers, and which episodes were
rejected close it. Anybody can make a seal, so that one proves nothing against whoever means to deceive and knows how:
it tells what was changed by accident, by another program, or by somebody who only edited a value.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from sessions.schema import EpisodeInfo, SessionInfo

ATTRIBUTE = "seal"
"""File attribute that holds the seal, 64 hexadecimal digits; missing in recordings of killed sessions and of earlier
versions."""


class Chain:
    """Hashes what is recorded, in the order in which it ends.

    Args:
        info: About the session.
    """

    def __init__(self, info: SessionInfo) -> None:
        self._head = b""
        self._add("session", asdict(info))

    def add_episode(self, info: EpisodeInfo, status: str, steps: int, columns: Mapping[str, str]) -> None:
        """Add an episode.

        Args:
            info: About it.
            status: How it ended.
            steps: Rows of every column.
            columns: SHA-256 of the bytes of each column, by name.
        """
        self._add("episode", {"info": asdict(info), "status": status, "steps": steps, "columns": dict(columns)})

    def close(self, status: str, events: str, answers: str, rejected: Iterable[int]) -> str:
        """Return the seal.

        Args:
            status: How the session ended.
            events: SHA-256 of the bytes of all rows of /events.
            answers: SHA-256 of the bytes of all rows of /answers.
            rejected: Indices of the episodes that were rejected.
        """
        self._add("end", {"status": status, "events": events, "answers": answers, "rejected": sorted(rejected)})
        return self._head.hex()

    def _add(self, kind: str, content: dict[str, Any]) -> None:
        text = json.dumps([kind, content], sort_keys=True, default=int)  # numpy's
        self._head = hashlib.sha256(self._head + text.encode()).digest()
