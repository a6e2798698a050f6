"""What can be seen of a study while it runs, from its recordings and leases alone: also from another machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

import sessions
from racer.loop.probing import PROBE
from racer.sitting.answers import NOTE, declined
from racer.sitting.protocol import ProtocolName, plan_episodes
from racer.study.file import Study
from racer.study.status import running_now, study_status

State = Literal["running", "unfinished", "declined", "complete"]
_LATE = 1.25
"""Periods after which a step counts as late."""
_MOST_PAUSE_S = 1.0
"""A gap between two steps that is longer is a pause."""


@dataclass(frozen=True)
class Watched:
    """One sitting."""

    participant: str
    protocol: str
    state: State
    trial_run: bool
    condition: str
    """Condition of the running episode, or else of the last one; empty before the first."""
    phase: str
    rounds: int
    """Rounds accepted and complete."""
    rounds_planned: int
    """0 where the study's file does not say."""
    steps: int
    """Steps taken in the running episode, or else in the last one."""
    steps_planned: int
    late: float | None
    """Share of that episode's steps that came too late; None where there are too few."""
    pauses: int
    notes: int
    started_utc: str
    written_s: float
    """Seconds since something was written to its file."""


@dataclass(frozen=True)
class Snapshot:
    """A study at one moment."""

    title: str
    at_utc: str
    pilots: int
    pilots_planned: int
    participants: int
    participants_planned: int
    sittings: tuple[Watched, ...]
    """Those that run first, then the unfinished, then the others, each the latest first."""
    unreadable: tuple[str, ...]
    """Names of files that cannot be read, or belong to no sitting."""
    next: str
    otherwise: str
    """What comes next; see `StudyStatus`."""


def take_snapshot(study: Study, now: datetime) -> Snapshot:
    """Return what can be seen of a study now.

    Args:
        study: The study.
        now: The time, in UTC.

    Raises:
        RecordingError: If its recordings cannot be listed.
        RacerError: If its amendments cannot be read.
    """
    status = study_status(study)
    found, unusable = sessions.find_sittings(sessions.find_recordings(study.recordings))
    running = running_now(study)
    watched = [each for sitting in found if (each := _watch(study, sitting, running, now)) is not None]
    watched.sort(key=lambda each: each.started_utc, reverse=True)
    watched.sort(key=lambda each: get_args(State).index(each.state))
    return Snapshot(
        title=study.file.title,
        at_utc=now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        pilots=len(status.pilots),
        pilots_planned=status.pilots_planned,
        participants=len(status.participants),
        participants_planned=status.participants_planned,
        sittings=tuple(watched),
        unreadable=tuple(Path(path).name for path in unusable),
        next=status.next,
        otherwise=status.otherwise,
    )


def _watch(study: Study, sitting: sessions.Sitting, running: frozenset[str], now: datetime) -> Watched | None:
    info = sitting.info
    rounds = pauses = notes = 0
    gone = False
    last: sessions.Episode | None = None
    late: float | None = None
    try:
        for path in sitting.paths:
            with sessions.open(path) as session:
                answers = session.answers()
                gone = declined(answers)
                notes += sum(answer.item == NOTE for answer in answers)
                pauses += sum(event.kind == "pause" and event.detail != PROBE for event in session.events())
                for episode in session.episodes:
                    rounds += episode.accepted
                    last = episode
                if session.episodes:
                    late = _late(session.episodes[-1].time_ns, info.config)
        written = sitting.paths[-1].stat().st_mtime
    except (OSError, sessions.RecordingError):
        return None  # renamed or replaced since it was listed: the next look sees it
    state: State = "complete" if sitting.status == "complete" else "unfinished"
    if sitting.infos[-1].session_id in running:
        state = "running"
    elif gone:
        state = "declined"
    return Watched(
        participant=info.participant,
        protocol=info.protocol,
        state=state,
        trial_run=info.trial_run,
        condition=last.info.condition if last else "",
        phase=last.info.phase if last else "",
        rounds=rounds,
        rounds_planned=_planned(study, info),
        steps=last.n_steps if last else 0,
        steps_planned=_number(info.config.get("protocol"), "steps"),
        late=late,
        pauses=pauses,
        notes=notes,
        started_utc=info.created_utc,
        written_s=max(now.timestamp() - written, 0.0),
    )


def _planned(study: Study, info: sessions.SessionInfo) -> int:
    if info.protocol not in get_args(ProtocolName):
        return 0
    protocol: ProtocolName = "pilot" if info.protocol == "pilot" else "evaluation"
    return len(plan_episodes(study.file.protocol_config(protocol), info.participant, study.file.seed, 0))


def _late(times_ns: Any, config: Mapping[str, Any]) -> float | None:
    """Return the share of steps that lasted much longer than the pace allows, pauses aside."""
    pace = config.get("pace")
    if len(times_ns) < 2 or not isinstance(pace, int | float) or not 1 <= pace <= 50 or config.get("headless") is True:
        return None
    seconds: NDArray[np.float64] = np.diff(np.asarray(times_ns, np.int64)).astype(np.float64) / 1e9
    seconds = seconds[seconds < _MOST_PAUSE_S + 1 / pace]
    return float(np.mean(seconds > _LATE / pace)) if len(seconds) else None


def _number(table: Any, name: str) -> int:
    value = table.get(name) if isinstance(table, dict) else None
    return value if type(value) is int and value > 0 else 0
