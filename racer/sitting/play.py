"""Drive now: the same step loop as a session, with nothing recorded."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from compression.model.latent_model import load_codec, use_one_thread
from racer.drivers.keyboard import HeldKeys
from racer.drivers.registry import KEYBOARD
from racer.errors import ConfigError
from racer.loop.conditions import ChannelConfig, check_conditions, load_masks
from racer.loop.episode import EpisodeResult, Setup, Unrecorded
from racer.loop.pacing import Pacer, check_pace
from racer.sitting.agenda import Screens, make_agenda
from racer.sitting.protocol import SESSION_TRACKS, EpisodePlan
from racer.sitting.run import Sitting, SittingResult, SittingRun
from racer.sitting.seat import open_display, open_driver
from racer.tasks.car_racing.track import TrackConfig
from racer.window.texts import english


@dataclass(frozen=True)
class PlayConfig:
    """What `racer play` can be told."""

    condition: str = "pico"
    track: TrackConfig = field(default_factory=TrackConfig)
    channel: ChannelConfig = field(default_factory=ChannelConfig)
    driver: str = KEYBOARD
    mask: Path | None = None
    """Mask file; the shipped mask where none is given."""
    seed: int = 0
    pace: float = 10.0
    """Steps per second, 1 to 50."""
    episodes: int = 3
    steps: int = 300
    """Steps per episode."""
    beside: bool = False
    """Whether to show the original beside what was received."""
    fullscreen: bool = False
    headless: bool = False

    def __post_init__(self) -> None:
        check_pace(self.pace)
        check_conditions([self.condition], self.channel)
        if self.headless and self.driver == KEYBOARD:
            raise ConfigError("the keyboard driver needs a window: leave out --headless, or add --driver simulated")


def play_episodes(
    config: PlayConfig, on_episode: Callable[[EpisodeResult], None] = lambda result: None
) -> SittingResult:
    """Drive the episodes and return how they went.

    Raises:
        RacerError, CompressionError: If they cannot be driven.
    """
    use_one_thread()
    codec = load_codec()
    masks = load_masks([config.condition], () if config.mask is None else (config.mask,), codec)
    keys, texts = HeldKeys(), english().texts
    texts = replace(texts, end_answer=texts.end_answer_unrecorded)
    display = open_display(keys, texts, headless=config.headless, fullscreen=config.fullscreen)
    try:
        driver = open_driver(config.driver, config.seed, keys)
        tracks = np.random.default_rng(config.seed).integers(SESSION_TRACKS, size=config.episodes)
        plans = [
            EpisodePlan(number, "drive", config.condition, int(track), config.steps)
            for number, track in enumerate(tracks)
        ]
        agenda = make_agenda(plans, Screens(), texts, attended=config.driver == KEYBOARD)
        setup = Setup(
            track=config.track,
            channel=config.channel,
            codec=codec,
            masks=masks,
            seed=config.seed,
            beside=config.beside,
        )
        # Nothing was done that anybody could be thanked for: the thanks are left out.
        sitting = Sitting(agenda[:-1] if config.driver == KEYBOARD else agenda, setup, texts)
        pacer = None if config.headless else Pacer(config.pace, time.monotonic_ns)
        return SittingRun(sitting, driver, display, Unrecorded(), pacer, on_episode).run()
    finally:
        display.close()
