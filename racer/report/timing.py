"""Timing: how steadily frames were shown, what was late, and where the time went."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from racer.report.recordings import Person, section

OVERRUN_MS = 2.0
"""A step that lasts longer than its period by more than this overran, as in `racer.loop.pacing`."""
STAGES = ("environment", "sender", "receiver", "display")


@dataclass(frozen=True)
class Timing:
    """One participant's evaluation."""

    participant: str
    paced: bool
    """Whether it ran to a beat in real time. Otherwise no durations are given: nobody waited for a frame."""
    pace: float | None
    """Steps per second asked for."""
    steps: int
    """Steps recorded in accepted evaluation episodes."""
    planned_steps: int | None
    """Steps that as many episodes have when none ends early; None where the recording does not say."""
    median_ms: float | None
    """From one frame to the next, pauses left out."""
    p99_ms: float | None
    longest_ms: float | None
    overruns: int | None
    """Steps that lasted over 2 ms longer than their period."""
    dropped: int | None
    """Whole periods that passed without a new frame: steps that a steady beat would have had in the same time."""
    stage_us: tuple[float, ...] | None
    """Median time a step spent in environment, sender, receiver and display, microseconds."""


def measure_timing(people: tuple[Person, ...]) -> list[Timing]:
    """Return every participant's timing."""
    return [_of(person) for person in people]


def _of(person: Person) -> Timing:
    config = person.sitting.info.config
    pace = _positive(config.get("pace"))
    # What does not say that it kept time is not measured against one.
    paced = config.get("headless") is False and pace is not None and person.sitting.info.task.paced
    durations = np.concatenate([episode.durations_ms for episode in person.episodes])
    per_episode = section(config, "protocol").get("steps")
    planned = per_episode * len(person.episodes) if type(per_episode) is int and 0 < per_episode < 10**6 else None
    median = p99 = longest = None
    overruns = dropped = None
    stage_us: tuple[float, ...] | None = None
    if paced:
        stages = np.median(np.concatenate([episode.stage_us for episode in person.episodes]), axis=0)
        stage_us = tuple(float(value) for value in stages)
    if paced and pace is not None and len(durations):
        period = 1000 / pace
        median, p99, longest = (float(value) for value in np.percentile(durations, [50, 99, 100]))
        overruns = int((durations > period + OVERRUN_MS).sum())
        dropped = int(np.maximum(np.floor(durations / period + 0.5) - 1, 0).sum())
    return Timing(
        participant=person.name,
        paced=paced,
        pace=pace,
        steps=sum(len(episode.actions) for episode in person.episodes),
        planned_steps=planned,
        median_ms=median,
        p99_ms=p99,
        longest_ms=longest,
        overruns=overruns,
        dropped=dropped,
        stage_us=stage_us,
    )


def _positive(value: Any) -> float | None:
    """Return a positive number from a recorded configuration; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        return None
    return float(value)
