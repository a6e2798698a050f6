"""Recordings as five tidy tables: sessions, episodes, steps, events and answers.

One row per session, episode, step, event and answer; a column has one name and one meaning in every table it is in.
Which columns episodes and steps have follows from the tasks that were recorded. Every episode is there, whatever became
of it: `accepted` tells those that training and analysis use. Frames are not: a table is no place for pictures, and they
can be recomputed (or exported to npz where they were kept).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from sessions.schema import Column, episode_columns
from sessions.task_record import TaskRecord

Kind = Literal["int64", "float32", "float64", "bool", "text"]


@dataclass(frozen=True)
class TableColumn:
    """One column of one or more tables."""

    name: str
    kind: Kind
    meaning: str
    unit: str = ""
    """Empty for texts, numbers of order, and truth values."""
    least: float | None = None
    """Smallest value possible; None where there is no limit."""
    most: float | None = None


@dataclass(frozen=True)
class TableSchema:
    """A table: its name and its columns in order."""

    name: str
    columns: tuple[TableColumn, ...]


def _text(name: str, meaning: str) -> TableColumn:
    return TableColumn(name, "text", meaning)


def _flag(name: str, meaning: str) -> TableColumn:
    return TableColumn(name, "bool", f"{meaning} (True or False)")


def _count(name: str, meaning: str, unit: str = "") -> TableColumn:
    return TableColumn(name, "int64", meaning, unit, 0)


_SESSION = (
    _text("session_id", "identity of the session: 6 hexadecimal digits"),
    _text("participant", "who took part"),
)
_SITTING = (
    *_SESSION,
    _text("protocol", "pilot (gathers what training needs) or evaluation (compares conditions)"),
    _flag("trial_run", "somebody only tried things out: kept out of training and analysis"),
)
_EPISODE = TableColumn("episode", "int64", "number of the episode in its session, from 0")
_STEP = TableColumn("step", "int64", "number of the step in its episode, from 0")
_DRIVE = (
    *_SITTING,
    _EPISODE,
    _text("phase", "practice, calibration, exploration or evaluation"),
    _text("condition", "what the participant saw: raw, full, or the name of a coder"),
    _text("episode_status", "complete, aborted, or running (its session was killed, or still runs)"),
    _flag("rejected", "the experimenter had the episode driven again"),
    _flag("accepted", "complete and not rejected: what training and analysis use"),
)
_TIME = TableColumn("time_ns", "int64", "when it happened (of a step: when its frame was shown), monotonic clock", "ns")

SESSIONS = TableSchema(
    "sessions",
    (
        *_SITTING,
        _text("study", "title of the study; empty where there is none"),
        _text("task", "name of the task"),
        _text("task_settings", "the task's settings, JSON"),
        _text("driver", "keyboard (a person), a family of simulated people, or package.module:factory"),
        _text("created_utc", "when the session began, ISO 8601"),
        _text("session_status", "complete, aborted, or running (killed, or still under way)"),
        _text("resumes", "session_id of the session that this one continues; empty where it begins a sitting"),
        _count("episodes", "number of episodes, whatever became of them", "episodes"),
        _count("schema_version", "version of the recording's schema"),
        _text("model_sha256", "hash of the latent model"),
        _text("fitted_sha256", "hashes of what was fitted for the conditions; empty where there is nothing"),
        _text("config", "the session's whole configuration, JSON"),
        _text("software", "versions of the software that recorded it, JSON"),
        _text("recording", "name of the recording's file"),
    ),
)
_EPISODES = (
    *_DRIVE,
    _count("seed", "seed of the episode's trial, or of its first"),
    _count("bits_per_step", "bits that a packet may be charged; 0 in condition raw", "bits"),
    _text("mask_interval", "how often a mask is chosen: episode or step"),
    _text("fill", "where features that are not sent come from: prior, hold or predict"),
    _count("packet_bytes", "bytes of each packet", "bytes"),
    _flag("noisy", "packets may be lost or changed on their way"),
    _flag("linked", "a link lies between the person and the task"),
    TableColumn("started_ns", "int64", "when the episode started, on the clock of time_ns", "ns"),
    _count("n_steps", "steps recorded", "steps"),
)
EVENTS = TableSchema(
    "events",
    (
        *_SESSION,
        _EPISODE,
        _STEP,
        _TIME,
        _text("kind", "what happened: key_down, key_up, focus_lost, pause and so on"),
        _text("detail", "which key, what began the pause, and so on"),
    ),
)
ANSWERS = TableSchema(
    "answers",
    (
        *_SESSION,
        _TIME,
        _text("item", "the question: phase/block/condition/questionnaire/item; the last answer to an item counts"),
        _text("answer", "the answer: a point of a scale, names of options with spaces between, a number, or words"),
    ),
)

_STAGES = ("environment", "sender", "receiver", "display")
"""Parts of `stage_us`."""
_KINDS: dict[str, Kind] = {"i": "int64", "u": "int64", "f": "float32", "b": "bool"}


def tables_of(tasks: Iterable[TaskRecord]) -> tuple[TableSchema, ...]:
    """Return the tables of recordings of some tasks; a metric that only some of them have is empty for the others."""
    episodes: dict[str, dict[str, TableColumn]] = {}
    steps: dict[str, dict[str, TableColumn]] = {}
    for task in tasks:
        for metric in task.metrics:
            comes_to = "after the last step" if metric.trial == "last" else "mean over the steps"
            column = TableColumn(
                f"trial_{metric.name}", "float64", f"{metric.title}: {comes_to}", metric.unit, metric.low, metric.high
            )
            episodes.setdefault(column.name, {})[task.name] = column
        for column in _step_columns(task):
            steps.setdefault(column.name, {})[task.name] = column
    return (
        SESSIONS,
        TableSchema("episodes", (*_EPISODES, *map(_together, episodes.values()))),
        TableSchema("steps", (*_DRIVE, _STEP, *map(_together, steps.values()))),
        EVENTS,
        ANSWERS,
    )


def parts(column: Column) -> tuple[str, ...]:
    """Return the names of the columns of a table that a column of a recording becomes."""
    if column.name == "stage_us":
        return tuple(f"stage_{stage}_us" for stage in _STAGES)
    if column.name == "packet" or not column.shape:
        return (column.name,)
    return tuple(f"{column.name}_{index}" for index in range(column.shape[0]))


def _step_columns(task: TaskRecord) -> Iterator[TableColumn]:
    for column in episode_columns(task, frames=False).values():
        kind, names = _KINDS[column.dtype.kind], parts(column)
        if column.name == "packet":
            yield _text("packet", f"{column.meaning}, in hexadecimal; empty in condition raw")
        elif column.name == _TIME.name:
            yield _TIME
        else:
            for index, name in enumerate(names):
                meaning = f"{column.meaning}: number {index}" if len(names) > 1 else column.meaning
                unit = "" if kind == "bool" else column.unit
                yield TableColumn(name, kind, meaning, unit, column.low, column.high)


def _together(found: dict[str, TableColumn]) -> TableColumn:
    """Return one column for what is called the same in several tasks, given by the names of these."""
    first, *others = found.values()
    if all(column == first for column in others):
        return first

    def told(what: dict[str, str]) -> str:
        texts = set(what.values())
        return texts.pop() if len(texts) == 1 else "; ".join(f"{task}: {text}" for task, text in what.items() if text)

    least = [column.least for column in found.values() if column.least is not None]
    most = [column.most for column in found.values() if column.most is not None]
    return TableColumn(
        first.name,
        first.kind if all(column.kind == first.kind for column in others) else "float32",
        told({task: column.meaning for task, column in found.items()}),
        told({task: column.unit for task, column in found.items()}),
        min(least) if len(least) == len(found) else None,
        max(most) if len(most) == len(found) else None,
    )
