"""Tables for people, and the same as JSON objects for machines."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape as escape_markup
from rich.table import Table

import sessions
from racer.plain_text import plain
from racer.sitting.answers import NOTE
from racer.study.file import STUDY_FILE
from sessions import Metric


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
                        "task": session.info.task.name,
                        "driver": session.info.driver,
                        "created_utc": session.info.created_utc,
                        "status": session.status,
                        "trial_run": session.info.trial_run,
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
    table = _table(
        "participant", "protocol", "task", "driver", "started (UTC)", "status", "episodes", "steps", "recording"
    )
    for row in rows:
        name = escape(Path(row["recording"]).name)
        if "error" in row:
            table.add_row("-", "-", "-", "-", "-", "unreadable", "-", "-", name)
            continue
        table.add_row(
            escape(row["participant"]),
            escape(row["protocol"]),
            escape(row["task"]),
            escape(row["driver"]),
            escape(row["created_utc"]),
            _status(row),
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
        answers = session.answers()
        notes = [answer.answer for answer in answers if answer.item == NOTE]
        return {
            "recording": str(path),
            "session_id": info.session_id,
            "participant": info.participant,
            "protocol": info.protocol,
            "study": info.study,
            "status": session.status,
            "trial_run": info.trial_run,
            "task": {"name": info.task.name, "settings": info.task.settings},
            "driver": info.driver,
            "created_utc": info.created_utc,
            "model_sha256": info.model_sha256,
            "fitted_sha256": info.fitted_sha256,
            "software": info.software,
            "config": info.config,
            "events": len(session.events()),
            "answers": [{"item": answer.item, "answer": answer.answer} for answer in answers if answer.item != NOTE],
            "notes": notes,
            "metrics": [
                {"name": metric.name, "title": metric.title, "unit": metric.unit, "better": metric.better}
                for metric in _compared(info.task)
            ],
            "episodes": [_describe(episode) for episode in session.episodes],
        }


def print_session(description: dict[str, Any]) -> None:
    """Print what a recording holds."""
    console = _console()
    head = _table("", "")
    head.show_header = False
    settings = ", ".join(f"{name} {value}" for name, value in description["task"]["settings"].items())
    for name, value in (
        ("recording", description["recording"]),
        ("participant", description["participant"]),
        ("protocol", description["protocol"]),
        ("task", description["task"]["name"] + (f" ({settings})" if settings else "")),
        ("status", _status(description)),
        ("driver", description["driver"]),
        ("created utc", description["created_utc"]),
        ("model sha256", description["model_sha256"]),
        ("fitted sha256", description["fitted_sha256"]),
    ):
        head.add_row(name, escape(str(value)))
    console.print(head)
    metrics = description["metrics"]
    titles = [escape(metric["title"]) for metric in metrics]
    table = _table("episode", "phase", "condition", "seed", "bits", "steps", *titles, "status")
    for index, episode in enumerate(description["episodes"]):
        table.add_row(
            str(index),
            escape(episode["phase"]),
            escape(episode["condition"]),
            str(episode["seed"]),
            str(episode["bits_per_step"]),
            str(episode["steps"]),
            *(escape(_told(metric["unit"], episode["metrics"][metric["name"]])) for metric in metrics),
            "rejected" if episode["rejected"] else episode["status"],
        )
    console.print(table)
    for answer in description["answers"]:
        console.print(f"{escape(answer['item'])}: {escape(answer['answer']) or '(empty)'}")
    for note in description["notes"]:
        console.print(f"note: {escape(note)}")
    console.print(f"Next: racer {escape(_next(description))}")


def _next(description: dict[str, Any]) -> str:
    """Return the command that follows on looking at a recording, without `racer`."""
    path = Path(description["recording"])
    recording, folder = shlex.quote(str(path)), shlex.quote(str(path.parent))
    if description["trial_run"]:
        return f"session replay {recording} (a trial run is never trained on or analysed)"
    if description["study"] and (path.parent.parent / STUDY_FILE).is_file():
        return f"study status {shlex.quote(str(path.parent.parent))}"
    if description["status"] != "complete":
        return f"session start {description['participant']} --data {folder} --resume (with its first options)"
    if description["protocol"] == "pilot":
        return f"train {recording} --out masks/{description['participant']}.safetensors"
    return f"study report {folder}"


def in_words(metric: Metric, value: float) -> str:
    """Return a value with its unit, fractions in percent."""
    return _told(metric.unit, value)


def escape(text: str) -> str:
    """Return text from a file so that it is shown as it is and cannot steer the terminal."""
    return escape_markup(plain(text))


def _console() -> Console:
    # Wide enough for every row: a table that is cut off or folded can neither be read nor searched.
    return Console(width=10_000, highlight=False, emoji=False)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column)
    return table


def _compared(task: sessions.TaskRecord) -> list[Metric]:
    return [metric for metric in task.metrics if metric.better]


def _describe(episode: sessions.Episode) -> dict[str, Any]:
    info = episode.info
    values = {metric.name: episode.trial_value(metric.name) for metric in _compared(episode.task)}
    return {
        "phase": info.phase,
        "condition": info.condition,
        "seed": info.seed,
        "bits_per_step": info.bits_per_step,
        "mask_interval": info.mask_interval,
        "fill": info.fill,
        "status": episode.status,
        "rejected": episode.rejected,
        "steps": episode.n_steps,
        "metrics": {name: value if math.isfinite(value) else None for name, value in values.items()},
    }


def _status(row: dict[str, Any]) -> str:
    return str(row["status"]) + (", trial run" if row["trial_run"] else "")


def _told(unit: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.1f} %" if unit == "fraction" else f"{value:.4g} {unit}".rstrip()
