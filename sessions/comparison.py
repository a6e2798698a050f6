"""Comparing recordings: what one holds and another does not."""

from __future__ import annotations

from collections.abc import Sequence

from sessions.reader import Episode, Session

_ROWS = 1024
"""Compared at once: frames of a long episode would not fit into memory."""


def first_difference(one: Session, other: Session, *, grown: bool = False) -> str:
    """Return where two recordings first differ, such as `column action of episode 3`; nothing where they do not.

    What was cut short by a kill (`running`) counts as ended early (`aborted`).

    Args:
        one: A recording.
        other: Another one.
        grown: Whether `other` may hold more than `one` where that was cut short: later steps, episodes, events and
            answers.

    Raises:
        UnreadableRecordingError: If one of them cannot be read.
    """
    if one.info != other.info:
        return "the attributes of the session"
    grown = grown and one.status == "running"
    if not grown and _ended(one.status) != _ended(other.status):
        return "the status of the session"
    if not _begins(one.events(), other.events(), grown):
        return "the events"
    if not _begins(one.answers(), other.answers(), grown):
        return "the answers"
    if len(one.episodes) > len(other.episodes) or (len(one.episodes) < len(other.episodes) and not grown):
        return "the number of episodes"
    for index in range(len(one.episodes)):
        if difference := _episode_difference(one.episodes[index], other.episodes[index], grown):
            return f"{difference} of episode {index}"
    return ""


def _episode_difference(one: Episode, other: Episode, grown: bool) -> str:
    if one.info != other.info or one.columns != other.columns:
        return "the attributes"
    growing = grown and one.status == "running"
    if not growing and _ended(one.status) != _ended(other.status):
        return "the status"
    if one.rejected != other.rejected and not (grown and other.rejected):
        return "the rejection"
    if one.n_steps > other.n_steps or (one.n_steps < other.n_steps and not growing):
        return "the number of steps"
    for name in one.columns:
        for start in range(0, one.n_steps, _ROWS):
            stop = min(start + _ROWS, one.n_steps)
            # Bytes, so that NaN equals itself.
            if one.rows(name, start, stop).tobytes() != other.rows(name, start, stop).tobytes():
                return f"column {name}"
    return ""


def _begins(rows: Sequence[object], others: Sequence[object], grown: bool) -> bool:
    return rows == (others[: len(rows)] if grown else others)


def _ended(status: str) -> str:
    return "aborted" if status == "running" else status
