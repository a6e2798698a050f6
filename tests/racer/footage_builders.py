"""Builders for what looks at recordings again: real ones, driven headless, and copies that say otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import sessions
from racer.sitting.protocol import ProtocolConfig
from racer.sitting.start import StartConfig, start_session
from sessions import Episode, EpisodeInfo, SessionInfo, Step

STEPS = 12
CONDITIONS = ("random", "full", "raw")


def record(folder: Path, participant: str = "p01", steps: int = STEPS, **settings: Any) -> Path:
    """Drive one short episode under each of `CONDITIONS`, simulated, and return the recording."""
    protocol = ProtocolConfig(
        protocol="evaluation", practice=0, evaluation=1, steps=steps, conditions=settings.pop("conditions", CONDITIONS)
    )
    result = start_session(
        StartConfig(participant, protocol, driver="simulated", headless=True, data=folder, order=0, **settings)
    )
    assert result.path is not None
    return result.path


def step_of(episode: Episode, row: int) -> Step:
    """Return a recorded row as the step that was appended."""
    values = {name: episode[name][row] for name in episode.columns}
    return Step(
        time_ns=int(values["time_ns"]),
        action=int(values["action"]),
        control=tuple(values["control"].tolist()),
        progress=float(values["progress"]),
        off_road=bool(values["off_road"]),
        speed=float(values["speed"]),
        reward=float(values["reward"]),
        latent=values["latent"],
        received=values["received"],
        mask=values["mask"],
        packet=values["packet"].tobytes(),
        bits=int(values["bits"]),
        stage_us=tuple(values["stage_us"].tolist()),
    )


def copy_recording(
    path: Path,
    folder: Path,
    session: Callable[[SessionInfo], SessionInfo] = lambda info: info,
    episode: Callable[[EpisodeInfo], EpisodeInfo] = lambda info: info,
    step: Callable[[Step], Step] = lambda step: step,
    end: str = "complete",
) -> Path:
    """Write a recording once more, with what it says of session, episodes and steps changed."""
    with sessions.open(path) as source, sessions.Recorder(folder, session(source.info)) as recorder:
        for recorded in source.episodes:
            recorder.begin_episode(episode(recorded.info))
            for row in range(recorded.n_steps):
                recorder.append(step(step_of(recorded, row)))
            recorder.end_episode(end)  # type: ignore[arg-type]
        return recorder.close("complete")


def other_progress(step: Step) -> Step:
    """Return a step that no game of today would drive."""
    return replace(step, progress=step.progress + 0.5)
