"""`racer play`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from racer.commands.options import (
    BitsOption,
    ConditionOption,
    DriverOption,
    FillChoice,
    FillOption,
    FullscreenOption,
    HandlingChoice,
    HandlingOption,
    HeadlessOption,
    Interval,
    IntervalOption,
    JsonOption,
    NoiseChoice,
    NoiseOption,
    NoiseRateOption,
    PaceOption,
    SeedOption,
    SpeedOption,
)
from racer.commands.output import episode_json, print_episode, print_json, quiet


def play(
    condition: ConditionOption = "pico",
    bits: BitsOption = 85,
    driver: DriverOption = "keyboard",
    seed: SeedOption = 0,
    mask: Annotated[Path | None, typer.Option(help="Mask file from `racer train`; else the shipped one.")] = None,
    mask_interval: IntervalOption = Interval.episode,
    fill: FillOption = FillChoice.hold,
    noise: NoiseOption = NoiseChoice.none,
    noise_rate: NoiseRateOption = 0.0,
    handling: HandlingOption = HandlingChoice.stock,
    speed: SpeedOption = 50.0,
    pace: PaceOption = 10.0,
    episodes: Annotated[int, typer.Option(min=1, help="Drives, each on the next track.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Steps per drive.")] = 300,
    beside: Annotated[bool, typer.Option("--beside", help="Show the original beside what was received.")] = False,
    fullscreen: FullscreenOption = False,
    headless: HeadlessOption = False,
    as_json: JsonOption = False,
) -> None:
    """Drive now; nothing is recorded."""
    from racer.loop.conditions import ChannelConfig
    from racer.sitting.play import PlayConfig, play_episodes
    from racer.tasks.car_racing.track import TrackConfig

    result = play_episodes(
        PlayConfig(
            condition=condition,
            track=TrackConfig(handling=handling.value, target_speed=speed),
            channel=ChannelConfig(bits, mask_interval.value, fill.value, noise.value, noise_rate),
            driver=driver,
            mask=mask,
            seed=seed,
            pace=pace,
            episodes=episodes,
            steps=steps,
            beside=beside,
            fullscreen=fullscreen,
            headless=headless,
        ),
        on_episode=quiet if as_json else print_episode,
    )
    if as_json:
        print_json({"episodes": [episode_json(episode) for episode in result.episodes]})
        return
    if result.pace:
        print(f"pace: {result.pace}")
    print("Nothing was recorded. Next: racer session start NAME")
