"""`racer session`: record sittings and look after the recordings."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from racer.commands import maintenance
from racer.commands.export import export, replay, video
from racer.commands.options import (
    CONDITIONS_HELP,
    BitsOption,
    DriverOption,
    FillChoice,
    FillOption,
    HeadlessOption,
    Interval,
    IntervalOption,
    JsonOption,
    MaskOption,
    ModelOption,
    NoiseChoice,
    NoiseOption,
    NoiseRateOption,
    PaceOption,
    Protocol,
    SeedOption,
    SetOption,
    TaskOption,
)
from racer.commands.output import ask, episode_json, print_json, progress_bar, quiet

if TYPE_CHECKING:
    from racer.sitting.run import SittingResult
    from racer.sitting.start import StartConfig

app = typer.Typer(help="Record sittings and look after the recordings.", no_args_is_help=True)


@app.command("start", epilog="Example: racer session start --study demo, or racer session start pilot01")
def session_start(
    context: typer.Context,
    participant: Annotated[
        str | None, typer.Argument(help="Letters, digits, - and _. Default with --study: the next free name.")
    ] = None,
    study: Annotated[
        Path | None, typer.Option(help="Run the next sitting of a study: its folder, or its study.toml.")
    ] = None,
    no_study: Annotated[bool, typer.Option("--no-study", help="Ignore the study in whose folder you are.")] = False,
    protocol: Annotated[
        Protocol | None,
        typer.Option(
            help=(
                "`pilot` gathers what training needs; `evaluation` compares conditions. Default: `pilot`, or with "
                "--study what comes next."
            )
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue the unfinished session; give the options that it was started with."),
    ] = False,
    task: TaskOption = "car-racing",
    settings: SetOption = None,
    model: ModelOption = None,
    mask: MaskOption = None,
    driver: DriverOption = "keyboard",
    headless: HeadlessOption = False,
    data: Annotated[Path, typer.Option(help="Folder of the recordings.")] = Path("recordings"),
    trial_run: Annotated[
        bool, typer.Option("--trial", help="Make it a trial run: marked, never trained on and never analysed.")
    ] = False,
    practice: Annotated[int, typer.Option(min=0, help="Practice rounds.")] = 5,
    calibration: Annotated[int, typer.Option(min=0, help="Rounds under `full` (pilot).")] = 10,
    exploration: Annotated[int, typer.Option(min=0, help="Exploration rounds (pilot).")] = 15,
    explore: Annotated[
        str, typer.Option(help="What exploration shows: `random`; in a second round `pico`, with --mask (pilot).")
    ] = "random",
    mixed: Annotated[
        bool, typer.Option("--mixed", help="Let chance decide round by round what a pilot is shown (pilot).")
    ] = False,
    evaluation: Annotated[int, typer.Option(min=0, help="Rounds per condition (evaluation).")] = 15,
    probes: Annotated[
        int, typer.Option(min=0, help="How often a round stops to ask what would be done now (evaluation).")
    ] = 0,
    conditions: Annotated[
        str, typer.Option(help=f"Conditions of the evaluation, comma-separated: {CONDITIONS_HELP}.")
    ] = "random,pico,full",
    steps: Annotated[int | None, typer.Option(min=1, help="Steps per round. Default: the task's.")] = None,
    bits: BitsOption = 85,
    mask_interval: IntervalOption = Interval.episode,
    fill: FillOption = FillChoice.hold,
    noise: NoiseOption = NoiseChoice.none,
    noise_rate: NoiseRateOption = 0.0,
    pace: PaceOption = None,
    seed: SeedOption = 0,
    fullscreen: Annotated[
        bool | None, typer.Option("--fullscreen/--windowed", help="Whether to fill the screen; F11 toggles it.")
    ] = None,
    lsl: Annotated[bool, typer.Option("--lsl", help="Report events on a Lab Streaming Layer stream.")] = False,
    serial: Annotated[str, typer.Option(help="Serial port to which each event sends a byte.")] = "",
    mark_frames: Annotated[
        bool, typer.Option("--mark-frames", help="Report every frame shown as an event, too.")
    ] = False,
    photodiode: Annotated[
        int, typer.Option(help="Side of a square that flips with each frame, pixels, 16 to 400; 0 for none.")
    ] = 0,
    sounds: Annotated[bool, typer.Option("--sounds", help="Play a short tone when a round begins and ends.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Record one sitting of one participant."""
    from racer.errors import ConfigError
    from racer.loop.conditions import ChannelConfig
    from racer.report.wording import counted
    from racer.sitting.markers import MarkersConfig
    from racer.sitting.protocol import ProtocolConfig
    from racer.sitting.start import StartConfig, start_session
    from racer.study.file import STUDY_FILE
    from racer.tasks.registry import make_task, parse_settings

    if study is None and not no_study and Path(STUDY_FILE).is_file():
        raise ConfigError(
            "this folder holds a study, and nothing was recorded: add --study . for its next sitting, with its consent "
            "and settings, or --no-study for a session outside the study"
        )
    if resume and participant is None:
        participant = _whom_to_resume(study, data, trial_run)
    if study is not None:
        config = _study_sitting(context, study, participant, protocol, resume, driver, headless, fullscreen, trial_run)
    else:
        name = participant
        if name is None and not resume:
            name = ask("Participant", "give the participant's name: racer session start NAME")
        made = make_task(task, parse_settings(settings or ()))
        config = StartConfig(
            participant=name,
            protocol=ProtocolConfig(
                protocol=(protocol or Protocol.pilot).value,
                practice=practice,
                calibration=calibration,
                exploration=exploration,
                explore=explore,
                mixed=mixed,
                evaluation=evaluation,
                probes=probes,
                steps=made.spec.steps if steps is None else steps,
                conditions=tuple(name.strip() for name in conditions.split(",")),
            ),
            task=made,
            model=model,
            channel=ChannelConfig(bits, mask_interval.value, fill.value, noise.value, noise_rate),
            driver=driver,
            masks=tuple(mask or ()),
            data=data,
            seed=seed,
            pace=pace,
            headless=headless,
            fullscreen=bool(fullscreen),
            trial_run=trial_run,
            resume=resume,
            markers=MarkersConfig(lsl, mark_frames, serial, photodiode, sounds),
        )
    maintenance.finish_begun_or_say(config.data)
    with progress_bar("episodes", shown=headless and not as_json) as advance:
        result = start_session(
            config,
            on_briefing=quiet if as_json else lambda seated: print(seated, flush=True),
            on_ready=lambda path, episodes: advance(0, episodes),
            on_episode=lambda episode: advance(1, None),
            on_trouble=lambda line: print(f"racer: {line}", file=sys.stderr),
        )
    assert result.path is not None
    if as_json:
        print_json(
            {
                "recording": str(result.path),
                "complete": result.complete,
                "declined": result.declined,
                "episodes": [episode_json(episode) for episode in result.episodes],
                "overruns": result.pace.overruns if result.pace else None,
            }
        )
        return
    if result.declined:
        print(f"The participant declined to take part; {result.path} records that and nothing else.")
    else:
        print(f"{'Recorded' if result.complete else 'Ended early; saved'} {result.path}")
        timed = f"; pace: {result.pace}" if result.pace and result.pace.steps else ""
        print(counted(len(result.episodes), "round") + timed)
    print(_next_after(config, study, result, result.path))


def _study_sitting(
    context: typer.Context,
    study: Path,
    participant: str | None,
    protocol: Protocol | None,
    resume: bool,
    driver: str,
    headless: bool,
    fullscreen: bool | None,
    trial_run: bool,
) -> StartConfig:
    """Return the configuration of a study's next sitting; what the study file says cannot be given as an option."""
    from racer.errors import ConfigError
    from racer.study.file import load_study
    from racer.study.sitting import next_protocol, protocol_to_resume, remarks, sitting_config

    own = {
        "participant",
        "study",
        "no_study",
        "protocol",
        "resume",
        "driver",
        "headless",
        "fullscreen",
        "trial_run",
        "as_json",
    }
    written = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    for name in context.params:
        source = context.get_parameter_source(name)
        if name not in own and source is not None and source.name == "COMMANDLINE":
            raise ConfigError(
                f"{written[name]} cannot be given with --study, whose file decides it; nothing was "
                f"recorded: leave it out, or change {study}"
            )
    loaded = load_study(study)
    next_one = protocol_to_resume(loaded, participant, trial_run) if resume else next_protocol(loaded)
    kind = protocol.value if protocol else next_one
    if not resume and not trial_run:
        for remark in remarks(loaded, kind, driver):
            print(f"racer: {remark}", file=sys.stderr)
    return sitting_config(
        loaded,
        kind,
        participant,
        driver=driver,
        headless=headless,
        fullscreen=fullscreen,
        trial_run=trial_run,
        resume=resume,
    )


def _whom_to_resume(study: Path | None, data: Path, trial_run: bool) -> str | None:
    """Return whose sitting to go on with, asked for where several are unfinished; None leaves it to what there is."""
    import sessions
    from racer.errors import ConfigError
    from racer.sitting.resume import running_sessions, unfinished
    from racer.study.file import load_study

    folder = load_study(study).recordings if study is not None else data
    running = running_sessions(folder)
    sittings, _ = sessions.find_sittings(sessions.find_recordings(folder))
    left = [sitting for sitting in unfinished(sittings, None, None) if sitting.infos[-1].session_id not in running]
    names = list(dict.fromkeys(each.info.participant for each in left if each.info.trial_run == trial_run))
    if len(names) < 2:
        return names[0] if names else None
    told = f"the sittings of {', '.join(names[:-1])} and {names[-1]} are unfinished"
    if not sys.stdin.isatty():
        raise ConfigError(f"{told}; nothing was recorded: say whose to continue: racer session start NAME --resume")
    print(f"{told[0].upper()}{told[1:]}.")
    return ask("Whose sitting to continue", "name the participant")


def _next_after(config: StartConfig, study: Path | None, result: SittingResult, path: Path) -> str:
    """Return what to do after a sitting."""
    if config.trial_run:
        return f"A trial run is never trained on or analysed. Next: racer session show {shlex.quote(str(path))}"
    if study is not None:
        return f"Next: racer study status {shlex.quote(str(study))}"
    if result.declined:
        return "Next: racer session start NAME"
    if not result.complete:
        return "Next: the same command with --resume continues where it ended"
    if config.protocol.protocol == "pilot":
        through = f" --model {shlex.quote(str(config.model))}" if config.model else ""
        mask = f"masks/{path.name.partition('_pilot_')[0]}.safetensors"
        return f"Next: racer train {shlex.quote(str(path))}{through} --out {mask}"
    return f"Next: racer study report {shlex.quote(str(config.data))}"


@app.command("list", epilog="Example: racer session list recordings --json")
def session_list(
    data: Annotated[Path, typer.Argument(help="A folder of recordings, or a study.")] = Path("recordings"),
    as_json: JsonOption = False,
) -> None:
    """List the recordings in a folder."""
    from racer.recordings.listing import list_sessions, print_sessions
    from racer.recordings.places import existing_folder

    data = existing_folder(data)
    maintenance.finish_begun_or_say(data)
    rows = list_sessions(data)
    if as_json:
        print_json({"sessions": rows})
    else:
        print_sessions(data, rows)


@app.command("show", epilog="Example: racer session show recordings/p01_pilot_*.h5")
def session_show(
    recording: Annotated[
        list[Path], typer.Argument(help="A recording, or several, such as those of a resumed sitting; or folders.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Show recordings episode by episode, with answers and notes."""
    from racer.recordings.listing import describe_session, print_session
    from racer.recordings.places import find_files

    shown = [describe_session(path) for path in find_files(recording)]
    if as_json:
        print_json(shown[0] if len(shown) == 1 else {"sessions": shown})
        return
    for description in shown:
        print_session(description)


app.command("verify", epilog=maintenance.VERIFY_EPILOG)(maintenance.verify)
app.command("repair", epilog=maintenance.REPAIR_EPILOG)(maintenance.repair)
app.command(epilog="Example: racer session replay recordings/p01_*.h5 --speed 2")(replay)
app.command(epilog="Example: racer session video recordings/p01_*.h5 --out p01.mp4")(video)
app.command(epilog="Example: racer session export recordings --to csv --out tables")(export)
app.command("merge", epilog=maintenance.MERGE_EPILOG)(maintenance.merge)
app.command("withdraw", epilog=maintenance.WITHDRAW_EPILOG)(maintenance.withdraw)
