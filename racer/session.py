"""One sitting: the step loop, its record and its pace. People, simulated participants and agents all pass through."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np

from compression.codec import Codec
from compression.mask_file import LearnedMask
from racer.conditions import ChannelConfig, build_channel
from racer.display import Display, EndSession, Hud, Page
from racer.drivers import Driver
from racer.pacing import Pacer, PaceSummary
from racer.protocol import EpisodePlan
from racer.track import STRAIGHT, Track, TrackConfig
from sessions import EpisodeInfo, Recorder, Step


@dataclass(frozen=True)
class Sitting:
    """Everything that decides how the episodes of a sitting run."""

    episodes: list[EpisodePlan]
    track: TrackConfig
    channel: ChannelConfig
    codec: Codec
    masks: dict[str, LearnedMask]
    """The fitted masks, by condition."""
    seed: int
    """Source of the random masks."""
    mark: str = ""
    """Shown all the time, such as `PILOT RUN`."""
    instructions: Page | None = None
    """Read before the first episode."""
    thanks: Page | None = None
    """Read after the last one."""
    beside: bool = False
    """Whether to show the original beside what was received."""


@dataclass(frozen=True)
class EpisodeResult:
    """How one episode went."""

    plan: EpisodePlan
    steps: int
    progress: float
    """Road progress at its end, in [0, 1]."""
    off_road: float
    """Fraction of its steps off the road."""


@dataclass(frozen=True)
class SittingResult:
    """How a sitting went."""

    path: Path | None
    """The recording; None where nothing was recorded."""
    complete: bool
    episodes: list[EpisodeResult]
    pace: PaceSummary | None


class Unrecorded:
    """Stands in for a recorder where nothing is to be kept."""

    def begin_episode(self, info: EpisodeInfo) -> None:
        """Keep nothing."""

    def append(self, step: Step) -> None:
        """Keep nothing."""

    def end_episode(self, status: Literal["complete", "aborted"]) -> None:
        """Keep nothing."""

    def event(self, kind: str, detail: str, time_ns: int, episode: int, step: int) -> None:
        """Keep nothing."""

    def close(self, status: Literal["complete", "aborted"]) -> None:
        """Keep nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def run_sitting(
    sitting: Sitting,
    driver: Driver,
    display: Display,
    recorder: Recorder | Unrecorded,
    pacer: Pacer | None,
    on_episode: Callable[[EpisodeResult], None] = lambda result: None,
    clock: Callable[[], int] = time.monotonic_ns,
) -> SittingResult:
    """Run all episodes, record every step and close the file, whatever happens.

    Args:
        sitting: What to run.
        driver: Steers.
        display: Shows frames and passes time.
        recorder: Freshly opened; closed on return.
        pacer: Keeps real time; None runs as fast as the machine allows.
        on_episode: Told of each finished episode.
        clock: Monotonic nanoseconds.

    Raises:
        Whatever the driver, the display or the recorder raises, after the file has been closed as aborted.
    """
    results: list[EpisodeResult] = []
    position = [0, 0]
    display.listener = lambda kind, detail, time_ns: recorder.event(kind, detail, time_ns, *position)
    complete = True
    with recorder:
        try:
            if sitting.instructions:
                display.page(sitting.instructions)
            for index, plan in enumerate(sitting.episodes):
                position[:] = [index, 0]
                heading = _heading(sitting.episodes, index)
                result = _run_episode(sitting, index, plan, heading, driver, display, recorder, pacer, position, clock)
                results.append(result)
                on_episode(result)
            if sitting.thanks:
                display.page(sitting.thanks)
        except EndSession:
            complete = len(results) == len(sitting.episodes)  # closing the window over the thanks loses nothing
        finally:
            display.listener = None
        path = recorder.close("complete" if complete else "aborted")
    return SittingResult(path, complete, results, pacer.summary() if pacer else None)


def _run_episode(
    sitting: Sitting,
    index: int,
    plan: EpisodePlan,
    heading: str,
    driver: Driver,
    display: Display,
    recorder: Recorder | Unrecorded,
    pacer: Pacer | None,
    position: list[int],
    clock: Callable[[], int],
) -> EpisodeResult:
    track = Track(sitting.track, plan.track_seed)
    channel = build_channel(
        plan.condition,
        sitting.channel,
        sitting.codec,
        np.random.default_rng([sitting.seed, index]),
        sitting.masks.get(plan.condition),
    )
    channel.reset()
    driver.reset()
    action = STRAIGHT

    def hud(step: int) -> Hud:
        return Hud(heading, step / plan.steps, track.progress, sitting.mark)

    drawn = clock()
    frame = track.frame()
    environment_ns = clock() - drawn
    sent = channel.transmit(frame, action)
    display.countdown(hud(0), sent.shown, frame if sitting.beside else None)
    recorder.begin_episode(
        EpisodeInfo(
            phase=plan.phase,
            condition=plan.condition,
            track_seed=plan.track_seed,
            bits_per_step=channel.bits,
            mask_interval=sitting.channel.mask_interval,
            fill=sitting.channel.fill,
            road_patches=track.road_patches,
            packet_bytes=channel.packet_bytes,
            started_ns=clock(),
        )
    )
    off_road_steps = step = 0
    status: Literal["complete", "aborted"] = "aborted"
    if pacer:
        pacer.begin()
    try:
        for step in range(1, plan.steps + 1):
            position[1] = step - 1
            shown_from = clock()
            shown_ns = display.show(sent.shown, hud(step - 1), frame if sitting.beside else None)
            display_ns = clock() - shown_from
            if pacer:
                pacer.shown(shown_ns)
                pacer.paused(display.wait(pacer.deadline()))
            action = driver.act(sent.shown)
            stepped = clock()
            outcome = track.step(action)
            over = outcome.over or step == plan.steps
            environment_ns += clock() - stepped
            recorder.append(
                Step(
                    time_ns=shown_ns,
                    action=action,
                    control=outcome.control,
                    progress=outcome.progress,
                    off_road=outcome.off_road,
                    speed=outcome.speed,
                    reward=outcome.reward,
                    latent=sent.latent,
                    received=sent.received,
                    mask=sent.mask,
                    packet=sent.packet,
                    bits=sent.bits,
                    stage_us=_microseconds(environment_ns, sent.sender_ns, sent.receiver_ns, display_ns),
                )
            )
            off_road_steps += outcome.off_road
            if over:
                break
            drawn = clock()
            frame = track.frame()
            environment_ns = clock() - drawn
            sent = channel.transmit(frame, action)
        status = "complete"
    finally:
        recorder.end_episode(status)
    return EpisodeResult(plan, step, track.progress, off_road_steps / max(step, 1))


def _microseconds(*durations_ns: int) -> tuple[int, int, int, int]:
    environment, sender, receiver, display = (round(duration / 1000) for duration in durations_ns)
    return environment, sender, receiver, display


def _heading(episodes: list[EpisodePlan], index: int) -> str:
    """Return, for example, `Practice 2 of 5`, counting the episodes of a phase without naming conditions."""
    phase = episodes[index].phase
    same = [i for i, plan in enumerate(episodes) if plan.phase == phase]
    return f"{phase.capitalize()} {same.index(index) + 1} of {len(same)}"
