"""Recordings as five tidy tables: sessions, episodes, steps, events and answers.

One row per session, episode, step, event and answer; a column has one name and one meaning in every table it is in.
Every episode is there, whatever became of it: `accepted` tells those that training and analysis use. Frames are not:
a table is no place for pictures, and they can be recomputed (or exported to npz where they were kept).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sessions.schema import BLOCKS, COLUMNS, LATENTS

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
class Table:
    """A table: its name and its columns in order."""

    name: str
    columns: tuple[TableColumn, ...]


def _text(name: str, meaning: str) -> TableColumn:
    return TableColumn(name, "text", meaning)


def _flag(name: str, meaning: str) -> TableColumn:
    return TableColumn(name, "bool", f"{meaning} (True or False)")


def _count(name: str, meaning: str, unit: str = "", most: float | None = None) -> TableColumn:
    return TableColumn(name, "int64", meaning, unit, 0, most)


_SESSION_ID = _text("session_id", "identity of the session: 6 hexadecimal digits")
_PARTICIPANT = _text("participant", "who drove")
_PROTOCOL = _text("protocol", "pilot (gathers what training needs) or evaluation (compares conditions)")
_PILOT = _flag("pilot", "a trial run, kept out of training and analysis")
_EPISODE = TableColumn("episode", "int64", "number of the episode in its session, from 0")
_STEP = TableColumn("step", "int64", "number of the step in its episode, from 0")
_PHASE = _text("phase", "practice, calibration, exploration or evaluation")
_CONDITION = _text("condition", "what the participant saw: raw, full, random, perceptual or pico")
_EPISODE_STATUS = _text("episode_status", "complete, aborted, or running (its session was killed, or still runs)")
_REJECTED = _flag("rejected", "the experimenter had the episode driven again")
_ACCEPTED = _flag("accepted", "complete and not rejected: what training and analysis use")
_TIME = TableColumn("time_ns", "int64", "when it happened (of a step: when its frame was shown), monotonic clock", "ns")

_LIMITS: dict[str, tuple[float | None, float | None]] = {
    "action": (-1, 1),
    "progress": (0, 1),
    "bits": (0, 2**16 - 1),
    "speed": (0, None),
}
CONTROLS = (("control_steer", -1.0), ("control_gas", 0.0), ("control_brake", 0.0))
"""Names, and smallest values, of the parts of `control`."""
STAGES = ("environment", "sender", "receiver", "display")
"""Names of the parts of `stage_us`."""
_KINDS: dict[str, Kind] = {"i": "int64", "u": "int64", "f": "float32", "b": "bool"}


def _step_columns() -> Iterator[TableColumn]:
    """Yield the columns of a recording's episodes, those that hold several numbers a step as one column each."""
    for column in COLUMNS:
        kind, meaning = _KINDS[column.dtype.kind], column.meaning
        if column.optional:
            continue
        if column.name == "time_ns":
            yield _TIME
        elif column.name == "control":
            for name, least in CONTROLS:
                part = name.removeprefix("control_")
                yield TableColumn(name, kind, f"{part} sent to the environment", "fraction of full", least, 1)
        elif column.name == "stage_us":
            for stage in STAGES:
                yield _count(f"stage_{stage}_us", f"time spent in the step's {stage} stage", "microseconds")
        elif column.name == "packet":
            yield _text("packet", f"{meaning.partition(';')[0]}, in hexadecimal; empty in condition raw")
        elif column.shape == (LATENTS,):
            for index in range(LATENTS):
                yield TableColumn(f"{column.name}_{index}", kind, f"{meaning}: feature {index}", "latent units")
        elif column.shape == (BLOCKS,):
            for index in range(BLOCKS):
                yield _flag(f"{column.name}_{index}", f"block {index} (features {4 * index} to {4 * index + 3}) sent")
        else:
            unit = "" if kind == "bool" else column.unit
            yield TableColumn(column.name, kind, meaning, unit, *_LIMITS.get(column.name, (None, None)))


SESSIONS = Table(
    "sessions",
    (
        _SESSION_ID,
        _PARTICIPANT,
        _PROTOCOL,
        _text("study", "title of the study; empty where there is none"),
        _PILOT,
        _text("driver", "keyboard (a person), a simulated participant, or package.module:factory"),
        _text("created_utc", "when the session began, ISO 8601"),
        _text("session_status", "complete, aborted, or running (killed, or still under way)"),
        _text("resumes", "session_id of the session that this one continues; empty where it begins a sitting"),
        _count("episodes", "number of episodes, whatever became of them", "episodes"),
        _count("schema_version", "version of the recording's schema"),
        _text("codec_sha256", "hash of the codec's weights"),
        _text("mask_sha256", "hash of the mask file; empty where there is none"),
        _text("config", "the session's whole configuration, JSON"),
        _text("software", "versions of the software that recorded it, JSON"),
        _text("recording", "name of the recording's file"),
    ),
)
EPISODES = Table(
    "episodes",
    (
        _SESSION_ID,
        _PARTICIPANT,
        _PROTOCOL,
        _PILOT,
        _EPISODE,
        _PHASE,
        _CONDITION,
        _EPISODE_STATUS,
        _REJECTED,
        _ACCEPTED,
        _count("track_seed", "seed of the track, as of CarRacing's reset"),
        _count("bits_per_step", "bits that may cross per step; 0 in condition raw", "bits"),
        _text("mask_interval", "how often a mask is chosen: episode or step"),
        _text("fill", "where features that are not sent come from: prior, hold or predict"),
        _count("road_patches", "road patches of the track", "patches"),
        _count("packet_bytes", "bytes of each packet", "bytes"),
        TableColumn("started_ns", "int64", "when the episode started, on the clock of time_ns", "ns"),
        _count("n_steps", "steps recorded", "steps"),
        TableColumn(
            "final_progress", "float32", "road progress after the last step", "fraction of road patches, [0, 1]", 0, 1
        ),
        TableColumn("off_road_fraction", "float64", "fraction of the steps off the road", "fraction of steps", 0, 1),
    ),
)
STEPS = Table(
    "steps",
    (
        _SESSION_ID,
        _PARTICIPANT,
        _PROTOCOL,
        _PILOT,
        _EPISODE,
        _PHASE,
        _CONDITION,
        _EPISODE_STATUS,
        _REJECTED,
        _ACCEPTED,
        _STEP,
        *_step_columns(),
    ),
)
EVENTS = Table(
    "events",
    (
        _SESSION_ID,
        _PARTICIPANT,
        _EPISODE,
        _STEP,
        _TIME,
        _text("kind", "what happened: key_down, key_up, focus_lost, pause and so on"),
        _text("detail", "which key, what began the pause, and so on"),
    ),
)
ANSWERS = Table(
    "answers",
    (
        _SESSION_ID,
        _PARTICIPANT,
        _TIME,
        _text("item", "the question: phase/block/condition/questionnaire/item; the last answer to an item counts"),
        _text("answer", "the answer: a point of the item's scale, or words"),
    ),
)
TABLES = (SESSIONS, EPISODES, STEPS, EVENTS, ANSWERS)
