"""The command line: parses, builds a configuration, calls, and prints what came of it.

Heavy imports happen inside the commands, so that `racer --help` answers at once.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from racer import __version__
from racer.options import (
    BitsOption,
    Condition,
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
    ObjectiveChoice,
    PaceOption,
    Protocol,
    SeedOption,
    SpeedOption,
)

if TYPE_CHECKING:
    from rich.console import Console

    from racer.session import EpisodeResult

app = typer.Typer(
    name="racer",
    help="Drive CarRacing seeing only what 85 bits per step transmit; record it; fit PICO masks; evaluate them.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with `racer demo`; then `racer session start NAME`, `racer train`, `racer study report`.",
)
session_app = typer.Typer(help="Record sittings and look after the recordings.", no_args_is_help=True)
study_app = typer.Typer(help="Analyse a whole study.", no_args_is_help=True)
app.add_typer(session_app, name="session")
app.add_typer(study_app, name="study")


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Handle the options that stand before any command."""
    if version:
        print(f"racer {__version__}")
        raise typer.Exit


@app.command(epilog="Example: racer demo --driver simulated")
def demo(
    driver: Annotated[
        str | None, typer.Option(help="Who drives the pilot; `keyboard` where there is a display, else `simulated`.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder to record to; else a new one in recordings.")] = None,
    pace: PaceOption = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Go through the whole job once, in minutes: pilot, training, evaluation, report."""
    from dataclasses import asdict

    from racer.demo import DemoConfig, default_driver, default_folder, run_demo
    from racer.listing import print_report

    config = DemoConfig(data=data or default_folder(), driver=driver or default_driver(), pace=pace)
    result = run_demo(config, tell=lambda line: None if as_json else print(line, flush=True))
    if as_json:
        _print_json({} if result is None else {"mask": str(result.mask), "report": asdict(result.report)})
        return
    if result is None:
        print(f"Ended early; what was recorded is saved in {config.data}\nNext: racer session list {config.data}")
        return
    print_report(result.report)
    print(
        "Two participants and a few drives prove nothing: docs/results.md has the real numbers.\n"
        f"Saved in {config.data}"
    )
    print("Next: racer play --beside, or racer session start NAME")


@app.command(epilog="Example: racer play --condition random --beside")
def play(
    condition: Annotated[Condition, typer.Option(help="What you see.")] = Condition.pico,
    bits: BitsOption = 85,
    driver: DriverOption = "keyboard",
    seed: SeedOption = 0,
    mask: Annotated[Path | None, typer.Option(help="Mask file from `racer train`; else the shipped one.")] = None,
    mask_interval: IntervalOption = Interval.episode,
    fill: FillOption = FillChoice.hold,
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
    from racer.conditions import ChannelConfig
    from racer.play import PlayConfig, play_episodes
    from racer.track import TrackConfig

    result = play_episodes(
        PlayConfig(
            condition=condition.value,
            track=TrackConfig(handling=handling.value, target_speed=speed),
            channel=ChannelConfig(bits=bits, mask_interval=mask_interval.value, fill=fill.value),
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
        on_episode=_quiet if as_json else _print_episode,
    )
    if as_json:
        _print_json({"episodes": [_episode_json(episode) for episode in result.episodes]})
        return
    if result.pace:
        print(f"pace: {result.pace}")
    print("Nothing was recorded. Next: racer session start NAME")


@session_app.command("start", epilog="Example: racer session start pilot01 --protocol pilot")
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
        participant=participant or _ask("Participant", "give the participant's name: racer session start NAME"),
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
    with _progress("episodes", shown=headless and not as_json) as advance:
        result = start_session(
            config,
            on_ready=lambda path, episodes: advance(0, episodes),
            on_episode=lambda episode: advance(1, None),
        )
    assert result.path is not None
    if as_json:
        _print_json(
            {
                "recording": str(result.path),
                "complete": result.complete,
                "episodes": [_episode_json(episode) for episode in result.episodes],
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


@session_app.command("list", epilog="Example: racer session list recordings --json")
def session_list(
    data: Annotated[Path, typer.Argument(help="Folder that keeps the recordings.")] = Path("recordings"),
    as_json: JsonOption = False,
) -> None:
    """List the recordings in a folder."""
    from racer.listing import list_sessions, print_sessions

    rows = list_sessions(data)
    if as_json:
        _print_json({"sessions": rows})
    else:
        print_sessions(data, rows)


@session_app.command("show", epilog="Example: racer session show recordings/p01_pilot_*.h5")
def session_show(
    recording: Annotated[Path, typer.Argument(help="A recording.")],
    as_json: JsonOption = False,
) -> None:
    """Show one recording, episode by episode."""
    from racer.listing import describe_session, print_session

    description = describe_session(recording)
    if as_json:
        _print_json(description)
    else:
        print_session(description)


@app.command(epilog="Example: racer train recordings/pilot01_pilot_*.h5 --out masks/pilot01.safetensors")
def train(
    session: Annotated[list[Path], typer.Argument(help="Recordings made by `racer session start --protocol pilot`.")],
    out: Annotated[Path, typer.Option(help="Mask file to write; must not exist.")],
    objective: Annotated[
        ObjectiveChoice, typer.Option(help="Keep the driver's actions, or the picture (the paper's baseline).")
    ] = ObjectiveChoice.pico,
    seed: SeedOption = 0,
    iterations: Annotated[int, typer.Option(min=25, help="Gradient steps of each network.")] = 600,
    as_json: JsonOption = False,
) -> None:
    """Fit a mask to recorded sessions."""
    from dataclasses import asdict

    from compression.pico_config import PicoConfig
    from racer.training import train_mask

    config = PicoConfig(objective=objective.value, seed=seed, iterations=iterations)
    with _progress("training", shown=not as_json) as advance:
        advance(0, 100)
        done = [0.0]

        def progress(stage: str, fraction: float) -> None:
            advance(100 * (fraction - done[0]), None)
            done[0] = fraction

        summary = train_mask(session, out, config, progress=progress)
    if as_json:
        _print_json({"mask": str(out), **asdict(summary)})
        return
    frequency = "  ".join(f"{block}:{100 * sent:.0f} %" for block, sent in enumerate(summary.block_frequency))
    print(f"Trained on {summary.positive_steps} steps under full and {summary.negative_steps} under random masks.")
    print(f"On {summary.held_out_episodes} held-out episodes:")
    if objective is ObjectiveChoice.pico:
        print(
            f"  action discriminator: accuracy {summary.action_accuracy:.2f} over the three actions (guessing: 0.33), "
            f"calibration error {summary.calibration_error:.3f}"
        )
        print(
            f"  mean D(a, x): {summary.mean_d_original:.3f} on seeing the original, "
            f"{summary.mean_d_compressed:.3f} under random masks"
        )
    print(
        f"  mean D(p, x): {summary.mean_d_policy:.3f} under the new mask, {summary.mean_d_random:.3f} under random ones"
    )
    print(f"  blocks sent: {frequency}")
    print(f"Wrote {out}")
    conditions = "" if objective is ObjectiveChoice.pico else " --conditions random,perceptual,full"
    print(f"Next: racer session start NAME --protocol evaluation --mask {out}{conditions}")


@study_app.command("report", epilog="Example: racer study report recordings")
def study_report(
    data: Annotated[Path, typer.Argument(help="Folder that keeps the evaluation recordings.")],
    as_json: JsonOption = False,
) -> None:
    """Compare the conditions over all participants in a folder."""
    from dataclasses import asdict

    from racer.listing import print_report
    from racer.study import report_study

    report = report_study(data)
    if as_json:
        _print_json(asdict(report))
    else:
        print_report(report)
        print(f"Next: racer session list {data}")


def main() -> None:
    """Run the command line: one clear line and exit code 2 for bad input, 130 when interrupted."""
    # A polite kill ends a session as Ctrl-C does: the recording is closed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(_run())


def _run() -> int:
    from typer import BadParameter

    # What typer raises for bad usage, wherever this version of it keeps the class.
    usage_error: type[Any] = next(base for base in BadParameter.__mro__ if base.__name__ == "ClickException")
    try:
        code = app(standalone_mode=False, prog_name="racer")
        if code == 130:  # typer turns Ctrl-C into this code by itself, and says nothing
            return _fail("interrupted; what was recorded is saved", 130)
        return code if isinstance(code, int) else 0
    except KeyboardInterrupt:
        return _fail("interrupted; what was recorded is saved", 130)
    except typer.Abort:
        return _fail("interrupted", 130)
    except usage_error as error:
        message = error.format_message().replace("\n", " ")
        command = getattr(getattr(error, "ctx", None), "command_path", "racer")
        # Without a message the help has just been printed.
        return _fail(f"{message} See `{command} --help`.", 2) if message else 2
    except Exception as error:
        if _is_for_the_user(error):
            return _fail(str(error), 2)
        raise


def _is_for_the_user(error: Exception) -> bool:
    """Return whether an error's message is one line meant for a person."""
    from compression.errors import CompressionError
    from racer.errors import RacerError
    from sessions.errors import RecordingError

    return isinstance(error, RacerError | CompressionError | RecordingError)


def _fail(message: str, code: int) -> int:
    # One line, whatever a file or a library put into it, and nothing that steers the terminal.
    line = "".join(character if character.isprintable() else " " for character in message)
    print(f"racer: {line}", file=sys.stderr)
    return code


def _print_json(value: dict[str, Any]) -> None:
    print(json.dumps(value, allow_nan=False))


def _ask(what: str, otherwise: str) -> str:
    from racer.errors import ConfigError

    if not sys.stdin.isatty():
        raise ConfigError(f"{what.lower()} missing: {otherwise}")
    answer: str = typer.prompt(what)
    return answer


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True)


@contextmanager
def _progress(description: str, shown: bool) -> Iterator[Any]:
    """Give a function (advance, total): a progress bar on stderr where that is a terminal."""
    if not shown or not sys.stderr.isatty():
        yield lambda amount, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=_console()) as progress:
        task = progress.add_task(description, total=None)

        def advance(amount: float, total: int | None) -> None:
            if total is not None:
                progress.update(task, total=total)
            progress.advance(task, amount)

        yield advance


def _print_episode(result: EpisodeResult) -> None:
    print(
        f"track {result.plan.track_seed}: {100 * result.progress:.1f} % of the road in {result.steps} steps, "
        f"{100 * result.off_road:.0f} % of the time off it"
    )


def _quiet(result: EpisodeResult) -> None:
    """Print nothing."""


def _episode_json(result: EpisodeResult) -> dict[str, Any]:
    return {
        "phase": result.plan.phase,
        "condition": result.plan.condition,
        "track_seed": result.plan.track_seed,
        "steps": result.steps,
        "progress": result.progress,
        "off_road": result.off_road,
    }


if __name__ == "__main__":
    main()
