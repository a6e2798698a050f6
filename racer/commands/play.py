"""`racer play`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from racer.commands.options import (
    CONDITION_HELP,
    BitsOption,
    DriverOption,
    FillChoice,
    FillOption,
    FullscreenOption,
    HeadlessOption,
    Interval,
    IntervalOption,
    JsonOption,
    ModelOption,
    NoiseChoice,
    NoiseOption,
    NoiseRateOption,
    PaceOption,
    SeedOption,
    SetOption,
    TaskOption,
)
from racer.commands.output import episode_json, print_episode, print_json, quiet


def play(
    task: TaskOption = "car-racing",
    settings: SetOption = None,
    condition: Annotated[
        str | None, typer.Option(help=f"{CONDITION_HELP} Default: `pico` if there is a mask for it, `full` if not.")
    ] = None,
    bits: BitsOption = 85,
    driver: DriverOption = "keyboard",
    seed: SeedOption = 0,
    mask: Annotated[Path | None, typer.Option(help="Mask file from `racer train`. Default: the shipped one.")] = None,
    mask_interval: IntervalOption = Interval.episode,
    fill: FillOption = FillChoice.hold,
    noise: NoiseOption = NoiseChoice.none,
    noise_rate: NoiseRateOption = 0.0,
    model: ModelOption = None,
    pace: PaceOption = None,
    episodes: Annotated[int, typer.Option(min=1, help="Number of rounds, each from a seed of its own.")] = 3,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps per round. Default: three times the task's.")] = None,
    beside: Annotated[bool, typer.Option("--beside", help="Show the original beside what was received.")] = False,
    fullscreen: FullscreenOption = False,
    headless: HeadlessOption = False,
    as_json: JsonOption = False,
) -> None:
    """Play; nothing is recorded. Tab and the number keys switch the condition, which is named above the picture."""
    try:
        from racer.loop.conditions import ChannelConfig
        from racer.sitting.play import PlayConfig, play_episodes
        from racer.tasks.registry import make_task, parse_settings

        made = make_task(task, parse_settings(settings or ()))
        config = PlayConfig(
            condition=condition,
            task=made,
            model=model,
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
        )
        result = play_episodes(config, quiet if as_json else lambda result: print_episode(result, made.spec))
    except KeyboardInterrupt:
        raise typer.Abort("nothing was recorded") from None
    if as_json:
        print_json({"episodes": [episode_json(episode) for episode in result.episodes]})
        return
    if result.pace and result.pace.steps:
        print(f"pace: {result.pace}")
    print("Nothing was recorded. Next: racer session start NAME")
