"""Recordings: what a session's HDF5 file holds, writing it and reading it.

    import sessions

    with sessions.open(path) as session:
        print(session.info.participant, session.status)
        for episode in session.episodes:
            print(episode.info.condition, episode.metrics)

    episodes = sessions.to_frame("study/recordings")  # pandas

Files are written by a `Recorder` and opened by `open`; both raise a `RecordingError` that a person can act on. All HDF5
is in here. It imports neither `racer` nor `compression`, and needs no torch and no pygame; anybody may import it.
"""

from __future__ import annotations

import sessions.storage.plugins  # noqa: F401  # before anything loads HDF5
from sessions.errors import (
    ParticipantNameError,
    RecordingError,
    RecordingExistsError,
    StorageError,
    StorageWaitError,
    UnreadableRecordingError,
)
from sessions.export.frame import to_frame
from sessions.names import check_name, find_recordings, new_session_id, recording_name
from sessions.reader import Episode, Session, open
from sessions.recorder import Recorder
from sessions.schema import SCHEMA_VERSION, Answer, EpisodeInfo, Event, SessionInfo, Step
from sessions.sittings import Sitting, find_sittings
from sessions.task_record import Metric, TaskRecord

__all__ = [
    "SCHEMA_VERSION",
    "Answer",
    "Episode",
    "EpisodeInfo",
    "Event",
    "Metric",
    "ParticipantNameError",
    "Recorder",
    "RecordingError",
    "RecordingExistsError",
    "Session",
    "SessionInfo",
    "Sitting",
    "Step",
    "StorageError",
    "StorageWaitError",
    "TaskRecord",
    "UnreadableRecordingError",
    "check_name",
    "find_recordings",
    "find_sittings",
    "new_session_id",
    "open",
    "recording_name",
    "to_frame",
]
