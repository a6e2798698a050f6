"""Tables for people, and the same as JSON objects for machines."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape as escape_markup
from rich.table import Table

import sessions


def list_sessions(folder: Path) -> list[dict[str, Any]]:
    """Return one object per recording in a folder, oldest first; unreadable ones carry an `error`.

    Raises:
        RecordingError: If the folder cannot be listed.
    """
    rows: list[dict[str, Any]] = []
    for path in sessions.find_recordings(folder):
        try:
            with sessions.open(path) as session:
                rows.append(
                    {
                        "recording": str(path),
                        "participant": session.info.participant,
                        "protocol": session.info.protocol,
                        "driver": session.info.driver,
                        "created_utc": session.info.created_utc,
                        "status": session.status,
                        "pilot": session.info.pilot,
                        "episodes": len(session.episodes),
                        "steps": session.count_steps(),
                    }
                )
        except sessions.RecordingError as error:
            rows.append({"recording": str(path), "error": str(error)})
    return rows


def print_sessions(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Print the recordings of a folder as a table."""
    console = _console()
    if not rows:
        console.print(f"No recordings in {folder}. Record one: racer session start NAME --data {folder}")
        return
    table = _table("participant", "protocol", "driver", "started (UTC)", "status", "episodes", "steps", "recording")
    for row in rows:
        name = escape(Path(row["recording"]).name)
        if "error" in row:
            table.add_row("-", "-", "-", "-", "unreadable", "-", "-", name)
            continue
        status = row["status"] + (", trial run" if row["pilot"] else "")
        table.add_row(
            escape(row["participant"]),
            escape(row["protocol"]),
            escape(row["driver"]),
            escape(row["created_utc"]),
            status,
            str(row["episodes"]),
            str(row["steps"]),
            name,
        )
    console.print(table)
    for row in rows:
        if "error" in row:
            console.print(escape(row["error"]))
    console.print(f"Next: racer session show {escape(shlex.quote(rows[-1]['recording']))}")


def describe_session(path: Path) -> dict[str, Any]:
    """Return what a recording holds, episode by episode.

    Raises:
        RecordingError: If it cannot be read.
    """
    with sessions.open(path) as session:
        info = session.info
        return {
            "recording": str(path),
            "session_id": info.session_id,
            "participant": info.participant,
            "protocol": info.protocol,
            "study": info.study,
            "status": session.status,
            "pilot": info.pilot,
            "driver": info.driver,
            "created_utc": info.created_utc,
            "codec_sha256": info.codec_sha256,
            "mask_sha256": info.mask_sha256,
            "software": info.software,
            "config": info.config,
            "events": len(session.events()),
            "answers": len(session.answers()),
            "episodes": [
                {
                    "phase": episode.info.phase,
                    "condition": episode.info.condition,
                    "track_seed": episode.info.track_seed,
                    "bits_per_step": episode.info.bits_per_step,
                    "mask_interval": episode.info.mask_interval,
                    "fill": episode.info.fill,
                    "status": episode.status,
                    "steps": episode.n_steps,
                    "progress": float(episode.progress[-1]) if episode.n_steps else None,
                    "off_road": float(episode.off_road.mean()) if episode.n_steps else None,
                }
                for episode in session.episodes
            ],
        }


def print_session(description: dict[str, Any]) -> None:
    """Print what a recording holds."""
    console = _console()
    head = _table("", "")
    head.show_header = False
    for key in (
        "recording",
        "participant",
        "protocol",
        "status",
        "driver",
        "created_utc",
        "codec_sha256",
        "mask_sha256",
    ):
        head.add_row(key.replace("_", " "), escape(str(description[key])))
    console.print(head)
    table = _table("episode", "phase", "condition", "track", "bits", "steps", "road", "off road", "status")
    for index, episode in enumerate(description["episodes"]):
        table.add_row(
            str(index),
            escape(episode["phase"]),
            escape(episode["condition"]),
            str(episode["track_seed"]),
            str(episode["bits_per_step"]),
            str(episode["steps"]),
            _percent(episode["progress"]),
            _percent(episode["off_road"]),
            episode["status"],
        )
    console.print(table)
    following = "train" if description["protocol"] == "pilot" else "study report"
    argument = description["recording"] if following == "train" else str(Path(description["recording"]).parent)
    out = f" --out masks/{description['participant']}.safetensors" if following == "train" else ""
    console.print(f"Next: racer {following} {escape(shlex.quote(argument) + out)}")


def escape(text: str) -> str:
    """Return text from a file so that it is shown as it is and cannot steer the terminal."""
    return escape_markup("".join(character if character.isprintable() else "?" for character in text))


def _console() -> Console:
    # Wide enough for every row: a table that is cut off or folded can neither be read nor searched.
    return Console(width=10_000, highlight=False, emoji=False)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column)
    return table


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
