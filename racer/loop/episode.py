"""One episode: the step loop that people and simulated participants all pass through."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from compression.channel import Bypass, Channel
from compression.coders.coder import Fitted
from compression.model.latent_model import Codec
from racer.drivers.registry import Driver
from racer.loop.conditions import ChannelConfig, build_channel
from racer.loop.display import Display, Hud
from racer.loop.pacing import Pacer
from racer.loop.patience import PatientRecorder
from racer.sitting.protocol import EpisodePlan
from racer.tasks.car_racing.track import STRAIGHT, Track, TrackConfig
from sessions import EpisodeInfo, Step


@dataclass(frozen=True)
class Setup:
    """What all episodes of a sitting have in common."""

    track: TrackConfig
    channel: ChannelConfig
    codec: Codec
    masks: dict[str, Fitted]
    """What was fitted, by condition: masks, and what other coders need."""
    seed: int
    """Source of the random masks and of the noise."""
    mark: str = ""
    """Shown all the time, such as `PILOT RUN`."""
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


class Unrecorded:
    """Stands in for a recorder where nothing is to be kept."""

    def begin_episode(self, info: EpisodeInfo) -> None:
        """Keep nothing."""

    def append(self, step: Step) -> bool:
        """Keep nothing, in no time."""
        return False

    def end_episode(self, status: Literal["complete", "aborted"]) -> None:
        """Keep nothing."""

    def reject_episode(self) -> None:
        """Keep nothing."""

    def event(self, kind: str, detail: str, time_ns: int, episode: int, step: int) -> None:
        """Keep nothing."""

    def answer(self, item: str, answer: str, time_ns: int) -> None:
        """Keep nothing."""

    def close(self, status: Literal["complete", "aborted"]) -> None:
        """Keep nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass


class EpisodeRun:
    """Drives episodes, one after the other.

    Args:
        setup: What they have in common.
        driver: Steers.
        display: Shows frames and passes time.
        recorder: Gets every step.
        pacer: Keeps real time; None runs as fast as the machine allows.
        clock: Monotonic nanoseconds.
    """

    begun: int
    """Episodes recorded so far, the one that runs included."""
    step: int
    """Steps of the present episode that are done."""

    def __init__(
        self,
        setup: Setup,
        driver: Driver,
        display: Display,
        recorder: PatientRecorder | Unrecorded,
        pacer: Pacer | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._setup = setup
        self._driver = driver
        self._display = display
        self._recorder = recorder
        self._pacer = pacer
        self._clock = clock
        self.begun = self.step = 0

    def run(self, plan: EpisodePlan, heading: str) -> EpisodeResult:
        """Drive one episode to its end.

        Raises:
            EndSession, RedoEpisode: If it was cut short; it is then recorded as aborted.
        """
        setup, self.step = self._setup, 0
        channel = build_channel(
            plan.condition,
            setup.channel,
            setup.codec,
            np.random.default_rng([setup.seed, plan.number]),
            setup.masks.get(plan.condition),
            self._clock,
        )
        channel.reset()
        self._driver.reset()
        with closing(Track(setup.track, plan.track_seed)) as track:
            return self._drive(plan, heading, track, channel)

    def _drive(self, plan: EpisodePlan, heading: str, track: Track, channel: Channel | Bypass) -> EpisodeResult:
        setup, clock = self._setup, self._clock

        def hud() -> Hud:
            return Hud(heading, self.step / plan.steps, track.progress, setup.mark)

        drawn = clock()
        frame = track.frame()
        environment_ns = clock() - drawn
        sent = channel.transmit(frame, STRAIGHT)
        self._display.countdown(hud(), sent.shown, frame if setup.beside else None)
        self._recorder.begin_episode(
            EpisodeInfo(
                phase=plan.phase,
                condition=plan.condition,
                track_seed=plan.track_seed,
                bits_per_step=channel.bits,
                mask_interval=setup.channel.mask_interval,
                fill=setup.channel.fill,
                road_patches=track.road_patches,
                packet_bytes=channel.packet_bytes,
                started_ns=clock(),
            )
        )
        self.begun += 1
        if self._pacer:
            self._pacer.begin()
        off_road_steps = 0
        status: Literal["complete", "aborted"] = "aborted"
        try:
            while True:
                show_begun = clock()
                shown_ns = self._display.show(sent.shown, hud(), frame if setup.beside else None)
                display_ns = clock() - show_begun
                if self._pacer:
                    self._pacer.shown(shown_ns)
                    self._pacer.paused(self._display.wait(self._pacer.decide_at()))
                action = self._driver.act(sent.shown)
                step_begun = clock()
                outcome = track.step(action)
                environment_ns += clock() - step_begun
                appending = clock()
                waited = self._recorder.append(
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
                if waited:
                    self._display.countdown(hud(), sent.shown, frame if setup.beside else None)
                    if self._pacer:
                        self._pacer.paused(clock() - appending)
                self.step += 1
                off_road_steps += outcome.off_road
                if outcome.over or self.step == plan.steps:
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
        return EpisodeResult(plan, self.step, track.progress, off_road_steps / self.step)


def _microseconds(*durations_ns: int) -> tuple[int, int, int, int]:
    environment, sender, receiver, display = (round(duration / 1000) for duration in durations_ns)
    return environment, sender, receiver, display
