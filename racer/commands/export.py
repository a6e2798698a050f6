"""`racer session export`, `racer session replay` and `racer session video`."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from racer.commands.options import JsonOption, ModelOption
from racer.commands.output import print_json, progress_bar
from racer.plain_text import plain


class ExportFormat(StrEnum):
    """What recordings can be exported to."""

    csv = "csv"
    parquet = "parquet"
    npz = "npz"
    minari = "minari"
    lerobot = "lerobot"


_DATASETS = (ExportFormat.minari, ExportFormat.lerobot)
"""Those that hold accepted episodes alone, and the frames."""


EpisodeOption = Annotated[
    int | None, typer.Option(min=0, help="Number of the episode, as `racer session show` lists it.")
]
NoOriginalOption = Annotated[bool, typer.Option("--no-original", help="Do not show the original.")]


def export(
    recording: Annotated[list[Path], typer.Argument(help="Recordings, folders of them, or studies.")],
    to: Annotated[
        ExportFormat,
        typer.Option(
            help="`csv` or `parquet`: tables with a data dictionary (Psych-DS); `npz`: a file of arrays per episode; "
            "`minari` or `lerobot`: a dataset of the accepted episodes, for offline learning."
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder to create; it must not exist yet. For Minari its name is like `driving-v0`.")
    ],
    episode: EpisodeOption = None,
    original: Annotated[
        bool, typer.Option("--original", help="Original frames instead of those the driver saw (minari, lerobot).")
    ] = False,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Export recordings for other programs, all of it or nothing.

    Tables and arrays hold every episode and flag those that were cut short or rejected; datasets get the accepted ones.
    """
    from racer.errors import ConfigError

    if episode is not None and to is not ExportFormat.npz:
        raise ConfigError(f"--episode goes with --to npz; {to} takes whole recordings: leave it out")
    if original and to not in _DATASETS:
        raise ConfigError(f"--original goes with --to minari or lerobot; {to} holds no frames: leave it out")
    if model is not None and to not in _DATASETS:
        raise ConfigError(f"--model goes with --to minari or lerobot; {to} holds no frames to decode: leave it out")
    from racer.recordings.places import data_folder

    recording = [data_folder(place) for place in recording]
    if to in _DATASETS:
        _export_dataset(recording, to, out, original, model, as_json)
    else:
        _export_files(recording, to, out, episode, as_json)


def _export_files(recordings: list[Path], to: ExportFormat, out: Path, episode: int | None, as_json: bool) -> None:
    from racer.report.wording import counted
    from sessions.export import export_arrays, export_tables

    with progress_bar("recordings", shown=not as_json) as advance:
        progress = _telling(advance)
        if to is ExportFormat.npz:
            summary = export_arrays(recordings, out, episode, progress)
        else:
            summary = export_tables(recordings, out, to.value, progress)
    left_out = {str(path): reason for path, reason in summary.left_out.items()}
    if as_json:
        print_json(
            {
                "out": str(out),
                "format": to.value,
                "recordings": summary.recordings,
                "episodes": summary.episodes,
                "left_out": left_out,
            }
        )
        return
    _print_left_out(left_out)
    print(f"Wrote {counted(summary.episodes, 'episode')} of {counted(summary.recordings, 'recording')} to {out}")
    if to is ExportFormat.npz:
        print("Next: open one in Python with numpy.load(file); its `attributes` say what the columns mean")
    else:
        print(f"Next: read {out / 'README.md'}; {out / 'dataset_description.json'} describes every column")


def _export_dataset(
    recordings: list[Path], to: ExportFormat, out: Path, original: bool, model: Path | None, as_json: bool
) -> None:
    from racer.recordings.lerobot_export import export_lerobot
    from racer.recordings.minari_export import MinariSummary, export_minari
    from racer.report.wording import counted
    from sessions.export.dictionary import DESCRIPTION_NAME

    write = export_minari if to is ExportFormat.minari else export_lerobot
    with progress_bar("episodes", shown=not as_json) as advance:
        summary = write(recordings, out, original, _telling(advance), model)
    told = (
        {"dataset_id": summary.dataset_id, "last_repeated": summary.last_repeated}
        if isinstance(summary, MinariSummary)
        else {}
    )
    if as_json:
        print_json(
            {
                "out": str(out),
                "format": to.value,
                **told,
                "recordings": summary.recordings,
                "episodes": summary.episodes,
                "steps": summary.steps,
                "left_out": summary.left_out,
            }
        )
        return
    _print_left_out(summary.left_out)
    if repeated := summary.last_repeated if isinstance(summary, MinariSummary) else 0:
        differ = f"{counted(repeated, 'episode')} went differently when replayed here"
        print(f"{differ}: the last observation repeats the one before")
    print(f"Wrote {counted(summary.episodes, 'episode')} ({counted(summary.steps, 'step')}) to {out}")
    if to is ExportFormat.lerobot:
        print(f"Next: LeRobotDataset({out.name!r}, root={str(out)!r}) in Python opens it; {DESCRIPTION_NAME} says more")
        return
    load = f"import minari; print(minari.load_dataset('{told['dataset_id']}').spec)"
    print(f'Next: MINARI_DATASETS_PATH="{out.resolve().parent}" python -c "{load}"')


def replay(
    recording: Annotated[
        list[Path], typer.Argument(help="Recordings, played one after the other; or folders of them.")
    ],
    episode: EpisodeOption = None,
    speed: Annotated[float, typer.Option(help="Multiple of the recorded pace, 0.125 to 16.")] = 1.0,
    no_original: NoOriginalOption = False,
    model: ModelOption = None,
    fullscreen: Annotated[bool, typer.Option("--fullscreen", help="Start in full screen (F11 toggles it).")] = False,
) -> None:
    """Play a recording in a window: what the driver saw beside the original, and what they did."""
    from contextlib import closing

    from racer.recordings.places import find_files
    from racer.recordings.replay import KEYS, ReplayWindow

    paths = find_files(recording)
    for place, path in enumerate(paths, 1):
        window = ReplayWindow(
            path, episode, speed, beside=not no_original, folder=model, fullscreen=fullscreen, on_note=_note
        )
        with closing(window):
            if place == 1:
                print(f"{KEYS}.")
            if len(paths) > 1:
                _note(f"{place} of {len(paths)}: {path.name}")
            window.run()


def video(
    recording: Annotated[
        list[Path], typer.Argument(help="Recordings, or folders of them; several are shown beside each other.")
    ],
    out: Annotated[Path, typer.Option(help="Video to write, ending in .mp4; it must not exist yet.")],
    episode: EpisodeOption = None,
    fps: Annotated[float | None, typer.Option(help="Steps per second. Default: the recorded pace.")] = None,
    scale: Annotated[int, typer.Option(help="Pixels of the video per pixel of a frame, 2 to 16.")] = 4,
    no_original: NoOriginalOption = False,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a video of recordings: what the driver saw beside the original, and what they did."""
    from racer.recordings.places import find_files
    from racer.recordings.video import VideoConfig, make_video

    config = VideoConfig(tuple(find_files(recording)), out, episode, fps, scale, beside=not no_original, model=model)
    with progress_bar("pictures", shown=not as_json) as advance:
        summary = make_video(config, _telling(advance))
    if as_json:
        print_json(
            {
                "out": str(out),
                "pictures": summary.pictures,
                "size": list(summary.size),
                "fps": summary.fps,
                "without_original": {str(path): reason for path, reason in summary.without_original.items()},
            }
        )
        return
    for path, reason in summary.without_original.items():
        _note(f"{path}: the original is left out: {reason}")
    print(f"Wrote {summary.pictures} pictures of {summary.size[0]} x {summary.size[1]} pixels to {out}")


def _telling(advance: Any) -> Callable[[int, int], None]:
    """Return what is told (done, total) of a progress bar that is told how much more is done."""
    before = 0

    def progress(done: int, total: int) -> None:
        nonlocal before
        advance(done - before, total)
        before = done

    return progress


def _print_left_out(left_out: dict[str, str]) -> None:
    for name, reason in left_out.items():
        _note(f"left out {name}: {reason}")


def _note(line: str) -> None:
    """Print a line that may hold what a file says: nothing in it steers the terminal."""
    print(plain(line))
