"""Builders of recordings, for the tests and for the processes that they kill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import sessions
from sessions import Episode, EpisodeInfo, Recorder, SessionInfo, Step

SESSION = SessionInfo(
    session_id="0a1b2c",
    participant="p01",
    protocol="pilot",
    study="steering",
    pilot=True,
    config={"bits": 85, "speeds": [40.0, 60.0], "fill": None},
    created_utc="2026-01-31T14:05:09Z",
    software={"racer": "0.1.0", "python": "3.11"},
    codec_sha256="ab" * 32,
    mask_sha256="",
    driver="keyboard",
)
EPISODE = EpisodeInfo(
    phase="calibration",
    condition="full",
    track_seed=7,
    bits_per_step=85,
    mask_interval="episode",
    fill="hold",
    road_patches=300,
    packet_bytes=11,
    started_ns=5,
)


def random_step(rng: np.random.Generator, packet_bytes: int = EPISODE.packet_bytes, frame: bool = False) -> Step:
    """Return a step whose values come back from float32 columns as they are."""
    single = [float(np.float32(value)) for value in rng.standard_normal(6)]
    return Step(
        time_ns=int(rng.integers(2**62)),
        action=int(rng.integers(-1, 2)),
        control=(single[0], single[1], single[2]),
        progress=single[3],
        off_road=bool(rng.integers(2)),
        speed=single[4],
        reward=single[5],
        latent=rng.standard_normal(32, dtype=np.float32),
        received=rng.standard_normal(32, dtype=np.float32),
        mask=rng.integers(2, size=8).astype(np.bool_),
        packet=rng.bytes(packet_bytes),
        bits=int(rng.integers(2**16)),
        stage_us=(1, 2, 3, int(rng.integers(2**32))),
        frame=rng.integers(256, size=(64, 64, 3), dtype=np.uint8) if frame else None,
    )


class Clock:
    """Monotonic nanoseconds that pass only when told to."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


@cache
def random_steps(
    count: int, seed: int = 0, packet_bytes: int = EPISODE.packet_bytes, frame: bool = False
) -> tuple[Step, ...]:
    """Return `count` steps that follow from the seed."""
    rng = np.random.default_rng(seed)
    return tuple(random_step(rng, packet_bytes, frame) for _ in range(count))


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
            expected = getattr(step, name)
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
