"""A recording's rows in the five tables of an export."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sessions.export.tables import ANSWERS, CONTROLS, EPISODES, EVENTS, SESSIONS, STAGES, STEPS, Table
from sessions.reader import Episode, Session

Values = Mapping[str, NDArray[Any] | list[str]]
"""Some rows of a table: for each of its columns an array or a list of texts, all of one length."""


def table_rows(session: Session) -> Iterator[tuple[Table, Values]]:
    """Yield a recording's rows, table by table: the steps of one episode at a time, with the episode's own row before.

    Raises:
        UnreadableRecordingError: If the recording is damaged.
    """
    yield SESSIONS, _session_row(session)
    for episode in session.episodes:
        yield EPISODES, _episode_row(session, episode)
        yield STEPS, _step_rows(session, episode)
    events, answers = session.events(), session.answers()
    yield (
        EVENTS,
        {
            **_repeated(session, len(events)),
            "episode": _integers([event.episode for event in events]),
            "step": _integers([event.step for event in events]),
            "time_ns": _integers([event.time_ns for event in events]),
            "kind": [event.kind for event in events],
            "detail": [event.detail for event in events],
        },
    )
    yield (
        ANSWERS,
        {
            **_repeated(session, len(answers)),
            "time_ns": _integers([answer.time_ns for answer in answers]),
            "item": [answer.item for answer in answers],
            "answer": [answer.answer for answer in answers],
        },
    )


def _session_row(session: Session) -> Values:
    info = session.info
    return {
        **_repeated(session, 1),
        "protocol": [info.protocol],
        "study": [info.study],
        "pilot": np.array([info.pilot]),
        "driver": [info.driver],
        "created_utc": [info.created_utc],
        "session_status": [session.status],
        "resumes": [info.resumes],
        "episodes": _integers([len(session.episodes)]),
        "schema_version": _integers([session.schema_version]),
        "codec_sha256": [info.codec_sha256],
        "mask_sha256": [info.mask_sha256],
        "config": [json.dumps(info.config)],
        "software": [json.dumps(info.software)],
        # A name in no encoding at all is still a name.
        "recording": [session.path.name.encode(errors="replace").decode()],
    }


def _episode_row(session: Session, episode: Episode) -> Values:
    info, progress, off_road = episode.info, episode.progress, episode.off_road
    numbers = ("track_seed", "bits_per_step", "road_patches", "packet_bytes", "started_ns")
    return {
        **_shared(session, episode, 1),
        "mask_interval": [info.mask_interval],
        "fill": [info.fill],
        **{name: _integers([getattr(info, name)]) for name in numbers},
        "n_steps": _integers([episode.n_steps]),
        "final_progress": progress[-1:] if len(progress) else np.full(1, np.nan, np.float32),
        "off_road_fraction": np.array([off_road.mean() if len(off_road) else np.nan]),
    }


def _step_rows(session: Session, episode: Episode) -> Values:
    rows: dict[str, NDArray[Any] | list[str]] = dict(_shared(session, episode, episode.n_steps))
    rows["step"] = np.arange(episode.n_steps)
    for name in ("time_ns", "action", "progress", "off_road", "speed", "reward", "bits"):
        rows[name] = episode[name]
    rows.update(zip((name for name, _ in CONTROLS), episode.control.T, strict=True))
    rows.update(zip((f"stage_{stage}_us" for stage in STAGES), episode.stage_us.T, strict=True))
    for name in ("latent", "received", "mask"):
        rows.update({f"{name}_{index}": values for index, values in enumerate(episode[name].T)})
    rows["packet"] = [packet.tobytes().hex() for packet in episode.packet]
    return rows


def _shared(session: Session, episode: Episode, rows: int) -> Values:
    """Return what an episode's row and those of its steps have in common."""
    return {
        **_repeated(session, rows),
        "protocol": [session.info.protocol] * rows,
        "pilot": np.full(rows, session.info.pilot),
        "episode": np.full(rows, episode.index),
        "phase": [episode.info.phase] * rows,
        "condition": [episode.info.condition] * rows,
        "episode_status": [episode.status] * rows,
        "rejected": np.full(rows, episode.rejected),
        "accepted": np.full(rows, episode.accepted),
    }


def _repeated(session: Session, rows: int) -> dict[str, NDArray[Any] | list[str]]:
    return {"session_id": [session.info.session_id] * rows, "participant": [session.info.participant] * rows}


def _integers(values: list[int]) -> NDArray[np.int64]:
    return np.array(values, np.int64)
