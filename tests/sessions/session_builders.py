"""Builders of recordings, for the tests and for the processes that they kill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import sessions
from sessions import Episode, EpisodeInfo, Metric, Recorder, SessionInfo, Step, TaskRecord

TASK = TaskRecord(
    name="crossing",
    settings={"speed": 1.5, "weather": "fog"},
    frame=(64, 64, 3),
    actions=("left", "straight", "right"),
    neutral=1,
    metrics=(
        Metric("progress", "way across", "fraction", "higher", 0.0, 1.0, label="way across"),
        Metric("wet", "whether feet are wet", "fraction", "lower", 0.0, 1.0, "mean", True, "time in the water"),
        Metric("speed", "speed of the boat", "m/s", low=0.0),
        Metric("reward", "points for the step", "points", trial="mean"),
    ),
    latents=32,
    blocks=8,
    paced=True,
    step_seconds=0.02,
)
SMALL_TASK = TaskRecord(
    name="digits",
    settings={},
    frame=(8, 10, 1),
    actions=tuple(f"{digit}" for digit in range(10)),
    neutral=None,
    metrics=(Metric("correct", "whether the answer is right", "fraction", "higher", 0, 1, "mean", True),),
    latents=6,
    blocks=2,
    paced=False,
    step_seconds=1,
)
"""Sizes that differ from those of `TASK` throughout."""
SESSION = SessionInfo(
    session_id="0a1b2c",
    participant="p01",
    protocol="pilot",
    study="steering",
    trial_run=True,
    config={"bits": 85, "speeds": [40.0, 60.0], "fill": None},
    created_utc="2026-01-31T14:05:09Z",
    software={"racer": "0.1.0", "python": "3.11"},
    model_sha256="ab" * 32,
    fitted_sha256="",
    driver="keyboard",
    task=TASK,
)
EPISODE = EpisodeInfo(
    phase="calibration",
    condition="full",
    seed=7,
    bits_per_step=85,
    mask_interval="episode",
    fill="hold",
    packet_bytes=11,
    started_ns=5,
)


def random_metrics(rng: np.random.Generator, task: TaskRecord) -> dict[str, float]:
    """Return values within each metric's limits that come back from float32 columns as they are."""
    values = {}
    for metric in task.metrics:
        if metric.boolean:
            values[metric.name] = float(rng.integers(2))
        else:
            low = -100.0 if metric.low is None else metric.low
            high = low + 200 if metric.high is None else metric.high
            values[metric.name] = float(np.float32(rng.uniform(low, high)))
    return values


def random_step(
    rng: np.random.Generator, info: EpisodeInfo = EPISODE, frame: bool = False, task: TaskRecord = TASK
) -> Step:
    """Return a step of an episode whose values come back from their columns as they are."""
    return Step(
        time_ns=int(rng.integers(2**62)),
        action=int(rng.integers(len(task.actions))),
        metrics=random_metrics(rng, task),
        latent=rng.standard_normal(task.latents, dtype=np.float32),
        received=rng.standard_normal(task.latents, dtype=np.float32),
        mask=rng.integers(2, size=task.blocks).astype(np.bool_),
        packet=rng.bytes(info.packet_bytes),
        bits=int(rng.integers(2**16)),
        uplink_bits=int(rng.integers(2**16)),
        arrived=bool(rng.integers(2)),
        stage_us=(1, 2, 3, int(rng.integers(2**32))),
        response_ns=int(rng.integers(2**62)),
        stimulus=int(rng.integers(2**62)),
        applied=int(rng.integers(len(task.actions))) if info.linked else None,
        frame=rng.integers(256, size=task.frame, dtype=np.uint8) if frame else None,
    )


class Clock:
    """Monotonic nanoseconds that pass only when told to."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


@cache
def random_steps(count: int, seed: int = 0, frame: bool = False, info: EpisodeInfo = EPISODE) -> tuple[Step, ...]:
    """Return `count` steps of `TASK` that follow from the seed."""
    rng = np.random.default_rng(seed)
    return tuple(random_step(rng, info, frame) for _ in range(count))


def write_recording(folder: Path, lengths: Sequence[int] = (5, 3), frames: bool = False, **changes: Any) -> Path:
    """Write a complete recording; episode i has `random_steps(lengths[i], seed=i)`, an event and an answer."""
    with Recorder(folder, replace(SESSION, **changes), keep_frames=frames) as recorder:
        for index, length in enumerate(lengths):
            recorder.begin_episode(EPISODE)
            for step in random_steps(length, seed=index, frame=frames):
                recorder.append(step)
            recorder.event("key_down", "left", 17, index, 1)
            recorder.end_episode("complete")
            recorder.answer("control", "fünf", 99)
        return recorder.close("complete")


def assert_holds(episode: Episode, steps: Sequence[Step]) -> None:
    """Fail unless every column of the episode holds the steps, bit for bit and in order."""
    assert episode.n_steps == len(steps)
    for name in episode.columns:
        values = episode[name]
        assert len(values) == len(steps)
        for row, step in zip(values, steps, strict=True):
            expected = step.metrics[name] if name in step.metrics else getattr(step, name)
            if name == "packet":
                assert row.tobytes() == expected
            else:
                assert np.array_equal(row, np.asarray(expected, values.dtype))


def read_everything(path: Path) -> int:
    """Read all that a recording holds and return its number of steps."""
    with sessions.open(path) as session:
        session.events()
        session.answers()
        for episode in session.episodes:
            for name in episode.columns:
                assert len(episode[name]) == episode.n_steps
        return sum(episode.n_steps for episode in session.episodes)
