"""Builders of evaluation sittings for the tests of `racer.report`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from racing_builders import SESSION, Drive, scored

import sessions

CONDITIONS = ("random", "pico", "full")
SCORES = {"random": [0.1], "pico": [0.2], "full": [0.3]}
CONFIG: dict[str, Any] = {
    "channel_format": 1,
    "channel": {"bits": 85, "mask_interval": "episode", "fill": "hold"},
    "protocol": {"steps": 100, "evaluation": 15, "conditions": list(CONDITIONS)},
    "headless": False,
    "pace": 10.0,
}


def driven(
    condition: str,
    actions: Sequence[int],
    progress: float = 0.5,
    mask: Sequence[int] = (),
    times_ms: Sequence[float] | None = None,
    **changes: Any,
) -> Drive:
    """Return an evaluation episode with these actions, indices; `mask` names the blocks sent, `times_ms` when frames
    came."""
    base = scored(condition, progress, [False] * len(actions), **changes)
    sent = np.isin(np.arange(len(base.steps[0].mask)), mask)
    times = times_ms if times_ms is not None else [100.0 * i for i in range(len(actions))]
    steps = [
        replace(
            step,
            action=action,
            mask=sent,
            stimulus=base.info.seed,
            time_ns=round(time * 1e6),
            response_ns=round(time * 1e6),
        )
        for step, action, time in zip(base.steps, actions, times, strict=True)
    ]
    return Drive(base.info, steps)


def evaluation(
    folder: Path,
    participant: str,
    drives: Sequence[Drive] | dict[str, list[float]],
    number: int = 0,
    status: Literal["complete", "aborted"] = "complete",
    answers: Sequence[tuple[str, str]] = (),
    rejected: Sequence[int] = (),
    pauses_ms: Sequence[tuple[float, float]] = (),
    **changes: Any,
) -> Path:
    """Write an evaluation session; `number` sets it after those with lower ones."""
    if isinstance(drives, dict):
        drives = [scored(condition, progress) for condition, values in drives.items() for progress in values]
    settings: dict[str, Any] = {
        "protocol": "evaluation",
        "participant": participant,
        "session_id": f"{number:06x}",
        "created_utc": f"2026-01-31T14:{number:02d}:09Z",
        "fitted_sha256": "cd" * 32,
        "config": CONFIG,
    }
    with sessions.Recorder(folder, replace(SESSION, **settings | changes)) as recorder:
        for index, drive in enumerate(drives):
            recorder.begin_episode(drive.info)
            for step in drive.steps:
                recorder.append(step)
            recorder.end_episode(drive.status)
            if index in rejected:
                recorder.reject_episode()
        for began, ended in pauses_ms:
            recorder.event("pause", "escape", round(began * 1e6), 0, 0)
            recorder.event("resume", "escape", round(ended * 1e6), 0, 0)
        for item, answer in answers:
            recorder.answer(item, answer, 0)
        return recorder.close(status)


def write_study(folder: Path, table: NDArray[Any], conditions: Sequence[str] = CONDITIONS, **changes: Any) -> Path:
    """Write one session per row, one episode per condition, and return the folder."""
    for number, row in enumerate(table):
        scores = {condition: [float(value)] for condition, value in zip(conditions, row, strict=True)}
        evaluation(folder, f"p{number:02d}", scores, number, **changes)
    return folder


def recorded(values: Any) -> NDArray[np.float64]:
    """Return numbers as a recording's float32 column gives them back."""
    return np.asarray(values, np.float32).astype(np.float64)
