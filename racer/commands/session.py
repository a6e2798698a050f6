"""`racer session`: record sittings and look after the recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from racer.commands.output import ask, episode_json, print_json, progress_bar
from racer.options import (
    BitsOption,
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
    MaskOption,
    PaceOption,
    Protocol,
    SeedOption,
    SpeedOption,
)

app = typer.Typer(help="Record sittings and look after the recordings.", no_args_is_help=True)


@app.command("start", epilog="Example: racer session start pilot01 --protocol pilot")
def session_start(
    participant: Annotated[str | None, typer.Argument(help="Letters, digits, - and _; asked for if left out.")] = None,
    protocol: Annotated[
        Protocol, typer.Option(help="`pilot` gathers what training needs; `evaluation` compares conditions.")
    ] = Protocol.pilot,
    mask: MaskOption = None,
    driver: DriverOption = "keyboard",
    headless: HeadlessOption = False,
    data: Annotated[Path, typer.Option(help="Folder that keeps the recordings.")] = Path("recordings"),
    pilot: Annotated[bool, typer.Option("--pilot", help="A trial run: marked, never trained on or analysed.")] = False,
    practice: Annotated[int, typer.Option(min=0, help="Practice episodes.")] = 5,
    calibration: Annotated[int, typer.Option(min=0, help="Episodes under `full` (pilot).")] = 10,
    exploration: Annotated[int, typer.Option(min=0, help="Exploration episodes (pilot).")] = 15,
    explore: Annotated[
        str, typer.Option(help="What exploration shows: `random`; in a second round `pico`, with --mask (pilot).")
    ] = "random",
    evaluation: Annotated[int, typer.Option(min=0, help="Episodes per condition (evaluation).")] = 15,
    conditions: Annotated[
        str, typer.Option(help="Conditions of the evaluation, comma-separated.")
    ] = "random,pico,full",
    steps: Annotated[int, typer.Option(min=1, help="Steps per episode.")] = 100,
    bits: BitsOption = 85,
    mask_interval: IntervalOption = Interval.episode,
    fill: FillOption = FillChoice.hold,
    handling: HandlingOption = HandlingChoice.stock,
    speed: SpeedOption = 50.0,
    pace: PaceOption = 10.0,
    seed: SeedOption = 0,
    fullscreen: FullscreenOption = False,
    as_json: JsonOption = False,
) -> None:
    """Record one sitting of one participant."""
    from racer.conditions import ChannelConfig
    from racer.protocol import ProtocolConfig
    from racer.start import StartConfig, start_session
    from racer.track import TrackConfig

    config = StartConfig(
        participant=participant or ask("Participant", "give the participant's name: racer session start NAME"),
        protocol=ProtocolConfig(
            protocol=protocol.value,
            practice=practice,
            calibration=calibration,
            exploration=exploration,
            explore=explore,
            evaluation=evaluation,
            steps=steps,
            conditions=tuple(name.strip() for name in conditions.split(",")),
        ),
        track=TrackConfig(handling=handling.value, target_speed=speed),
        channel=ChannelConfig(bits=bits, mask_interval=mask_interval.value, fill=fill.value),
        driver=driver,
        masks=tuple(mask or ()),
        data=data,
        seed=seed,
        pace=pace,
        headless=headless,
        fullscreen=fullscreen,
        pilot=pilot,
    )
    with progress_bar("episodes", shown=headless and not as_json) as advance:
        result = start_session(
            config,
            on_ready=lambda path, episodes: advance(0, episodes),
            on_episode=lambda episode: advance(1, None),
        )
    assert result.path is not None
    if as_json:
        print_json(
            {
                "recording": str(result.path),
                "complete": result.complete,
                "episodes": [episode_json(episode) for episode in result.episodes],
                "overruns": result.pace.overruns if result.pace else None,
            }
        )
        return
    print(f"{'Recorded' if result.complete else 'Ended early; saved'} {result.path}")
    print(f"{len(result.episodes)} episodes" + (f"; pace: {result.pace}" if result.pace else ""))
    if pilot:
        print(f"A trial run is never trained on or analysed. Next: racer session show {result.path}")
    elif protocol is Protocol.pilot:
        print(f"Next: racer train {result.path} --out masks/{config.participant}.safetensors")
    else:
        print(f"Next: racer study report {data}")


@app.command("list", epilog="Example: racer session list recordings --json")
def session_list(
    data: Annotated[Path, typer.Argument(help="Folder that keeps the recordings.")] = Path("recordings"),
    as_json: JsonOption = False,
) -> None:
    """List the recordings in a folder."""
    from racer.listing import list_sessions, print_sessions

    rows = list_sessions(data)
    if as_json:
        print_json({"sessions": rows})
    else:
        print_sessions(data, rows)


@app.command("show", epilog="Example: racer session show recordings/p01_pilot_*.h5")
def session_show(
    recording: Annotated[Path, typer.Argument(help="A recording.")],
    as_json: JsonOption = False,
) -> None:
    """Show one recording, episode by episode."""
    from racer.listing import describe_session, print_session

    description = describe_session(recording)
    if as_json:
        print_json(description)
    else:
        print_session(description)
