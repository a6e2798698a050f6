"""One sitting: the step loop, its record and its pace. People and simulated participants all pass through it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np

from compression.channel import Bypass, Channel
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


class SittingRun:
    """Drives the episodes of one sitting.

    Args:
        sitting: What to run.
        driver: Steers.
        display: Shows frames and passes time.
        recorder: Freshly opened; closed by `run`.
        pacer: Keeps real time; None runs as fast as the machine allows.
        on_episode: Told of each finished episode.
        clock: Monotonic nanoseconds.
    """

    def __init__(
        self,
        sitting: Sitting,
        driver: Driver,
        display: Display,
        recorder: Recorder | Unrecorded,
        pacer: Pacer | None = None,
        on_episode: Callable[[EpisodeResult], None] = lambda result: None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._sitting = sitting
        self._driver = driver
        self._display = display
        self._recorder = recorder
        self._pacer = pacer
        self._on_episode = on_episode
        self._clock = clock
        self._episode = self._step = 0

    def run(self) -> SittingResult:
        """Run all episodes, record every step and close the file, whatever happens.

        Raises:
            Whatever the driver, the display or the recorder raises, after the file has been closed as aborted.
        """
        results: list[EpisodeResult] = []
        episodes = self._sitting.episodes
        self._display.listener = self._note
        with self._recorder:
            try:
                if self._sitting.instructions:
                    self._display.page(self._sitting.instructions)
                for self._episode, plan in enumerate(episodes):
                    results.append(self._run_episode(plan))
                    self._on_episode(results[-1])
                if self._sitting.thanks:
                    self._display.page(self._sitting.thanks)
            except EndSession:
                pass  # over the thanks this loses nothing; earlier, `complete` says so
            finally:
                self._display.listener = None
            complete = len(results) == len(episodes)
            path = self._recorder.close("complete" if complete else "aborted")
        return SittingResult(path, complete, results, self._pacer.summary() if self._pacer else None)

    def _note(self, kind: str, detail: str, time_ns: int) -> None:
        self._recorder.event(kind, detail, time_ns, self._episode, self._step)

    def _run_episode(self, plan: EpisodePlan) -> EpisodeResult:
        sitting, self._step = self._sitting, 0
        channel = build_channel(
            plan.condition,
            sitting.channel,
            sitting.codec,
            np.random.default_rng([sitting.seed, self._episode]),
            sitting.masks.get(plan.condition),
        )
        channel.reset()
        self._driver.reset()
        with closing(Track(sitting.track, plan.track_seed)) as track:
            return self._drive(plan, track, channel)

    def _drive(self, plan: EpisodePlan, track: Track, channel: Channel | Bypass) -> EpisodeResult:
        sitting, clock = self._sitting, self._clock
        heading = _heading(sitting.episodes, self._episode)

        def hud() -> Hud:
            return Hud(heading, self._step / plan.steps, track.progress, sitting.mark)

        drawn = clock()
        frame = track.frame()
        environment_ns = clock() - drawn
        sent = channel.transmit(frame, STRAIGHT)
        self._display.countdown(hud(), sent.shown, frame if sitting.beside else None)
        self._recorder.begin_episode(
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
        if self._pacer:
            self._pacer.begin()
        off_road_steps = 0
        status: Literal["complete", "aborted"] = "aborted"
        try:
            while True:
                show_begun = clock()
                shown_ns = self._display.show(sent.shown, hud(), frame if sitting.beside else None)
                display_ns = clock() - show_begun
                if self._pacer:
                    self._pacer.shown(shown_ns)
                    self._pacer.paused(self._display.wait(self._pacer.decide_at()))
                action = self._driver.act(sent.shown)
                step_begun = clock()
                outcome = track.step(action)
                environment_ns += clock() - step_begun
                self._recorder.append(
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
                self._step += 1
                off_road_steps += outcome.off_road
                if outcome.over or self._step == plan.steps:
                    break
                drawn = clock()
                frame = track.frame()
                environment_ns = clock() - drawn
                sent = channel.transmit(frame, action)
                if self._pacer:
                    self._pacer.paused(self._display.wait(self._pacer.show_at()))
            status = "complete"
        finally:
            self._recorder.end_episode(status)
        return EpisodeResult(plan, self._step, track.progress, off_road_steps / self._step)


def _microseconds(*durations_ns: int) -> tuple[int, int, int, int]:
    environment, sender, receiver, display = (round(duration / 1000) for duration in durations_ns)
    return environment, sender, receiver, display


def _heading(episodes: list[EpisodePlan], index: int) -> str:
    """Return, for example, `Practice 2 of 5`, counting the episodes of a phase without naming conditions."""
    phase = episodes[index].phase
    same = [i for i, plan in enumerate(episodes) if plan.phase == phase]
    return f"{phase.capitalize()} {same.index(index) + 1} of {len(same)}"
