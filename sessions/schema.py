"""What a recording holds: schema version 2, in one place for the recorder and the reader.

    /                  attributes: `SessionInfo`, schema_version, status
    /episodes/000/     attributes: `EpisodeInfo`, status, rejected, n_steps; one dataset per column, one row per step
    /events            one row per `Event`
    /answers           one row per `Answer`

The columns of an episode follow from its task and its attributes: `episode_columns` is the one place that says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import prod
from typing import Any, Literal, get_args

import h5py
import numpy as np
from numpy.typing import NDArray

from sessions.names import check_name, check_session_id
from sessions.task_record import TaskRecord

SCHEMA_VERSION = 2

Status = Literal["running", "complete", "aborted"]
"""`running` is also what a killed session leaves behind."""
EndStatus = Literal["complete", "aborted"]

ROW_MEANING = (
    "Row t holds the frame shown at step t, the action taken on seeing it, and the metrics after it. In condition raw "
    "the frame is shown as it is: nothing crosses the channel, the packet has no bytes, bits is 0 and received equals "
    "latent. Where a packet was lost on its way, arrived is false and its bytes are zeros. Where a link lay between, "
    "applied is the action that the task was given."
)

MOST_EPISODES = 10_000
"""Episodes per recording."""
MOST_STEPS = 2**17
"""Steps per episode: 44 minutes at 50 Hz."""
MOST_TABLE_ROWS = 2**20
"""Rows of /events and of /answers."""
MOST_PACKET_BYTES = 2**13
"""Bytes of a packet: 65,535 bits, the most that column `bits` can charge, and the rounding."""
MOST_TEXT_BYTES = 2**17
"""UTF-8 bytes of one attribute, the configuration included."""
KIND_BYTES, DETAIL_BYTES, ITEM_BYTES, ANSWER_BYTES = 32, 128, 256, 4096
"""UTF-8 bytes of the texts of events and answers. Fixed lengths: a row of a damaged or hostile file then takes no more
memory than the same row of an honest one, and no text lies outside its row."""

BLOCK_ROWS = 128
"""Rows per HDF5 chunk of a column, and held in memory at most."""
MOST_CHUNK_BYTES = 2**16
"""Bytes of a chunk of rows."""
EVENT_CHUNK, ANSWER_CHUNK = (128,), (8,)

FRAME = "frame"
"""Name of the one column that not every recording keeps, and that is compressed."""
_TIME, _BYTE, _COUNT, _REAL, _TRUTH = (np.dtype(code) for code in ("<i8", "<u1", "<u2", "<f4", "?"))

EVENT_DTYPE = np.dtype(
    [
        ("time_ns", "<i8"),
        ("episode", "<i4"),
        ("step", "<i4"),
        ("kind", h5py.string_dtype("utf-8", KIND_BYTES)),
        ("detail", h5py.string_dtype("utf-8", DETAIL_BYTES)),
    ]
)
ANSWER_DTYPE = np.dtype(
    [
        ("time_ns", "<i8"),
        ("item", h5py.string_dtype("utf-8", ITEM_BYTES)),
        ("answer", h5py.string_dtype("utf-8", ANSWER_BYTES)),
    ]
)


@dataclass(frozen=True)
class Column:
    """One dataset of an episode, shape [n_steps, *shape]."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    """Shape of one row."""
    meaning: str
    unit: str
    """Unit, range or set of values."""
    low: float | None = None
    """The least that a number in it can be, where that is more than its type says."""
    high: float | None = None
    better: str | None = None
    """Which direction of a metric is better: `higher`, `lower` or empty; None for a column that is not a metric."""

    @property
    def chunk(self) -> tuple[int, ...]:
        """Shape of an HDF5 chunk: one frame, which is compressed as a whole each time it is written, or many rows.

        HDF5 wants chunks of at least one byte, also where packets have none; of wide packets fewer make a chunk, which
        is read at once.
        """
        row = tuple(max(1, size) for size in self.shape)
        fitting = max(1, MOST_CHUNK_BYTES // (self.dtype.itemsize * prod(row)))
        return (1 if self.deflated else min(BLOCK_ROWS, fitting), *row)

    @property
    def deflated(self) -> bool:
        """Whether each chunk is compressed."""
        return self.name == FRAME

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the most that a number in it can be, each as it was said or as its type rounds it."""
        if self.dtype.kind != "f":
            of_type = (0, 1) if self.dtype.kind == "b" else (np.iinfo(self.dtype).min, np.iinfo(self.dtype).max)
            return of_type[0] if self.low is None else self.low, of_type[1] if self.high is None else self.high
        most = float(np.finfo(self.dtype).max)
        low, high = -most if self.low is None else self.low, most if self.high is None else self.high
        return min(low, float(self.dtype.type(low))), max(high, float(self.dtype.type(high)))


def episode_columns(
    task: TaskRecord, packet_bytes: int = 0, linked: bool = True, frames: bool = True
) -> dict[str, Column]:
    """Return the columns of an episode by name, in their order.

    Args:
        task: Names the metrics and gives the sizes.
        packet_bytes: As in `EpisodeInfo`.
        linked: As in `EpisodeInfo`.
        frames: Whether original frames are kept.
    """
    last = len(task.actions) - 1
    actions = ", ".join(f"{index} {name}" for index, name in enumerate(task.actions))
    columns = (
        Column("time_ns", _TIME, (), "when the frame was shown", "ns of a monotonic clock"),
        Column("response_ns", _TIME, (), "when the person acted", "ns of a monotonic clock"),
        Column("action", _BYTE, (), "action taken on seeing the frame", actions, high=last),
        Column("applied", _BYTE, (), "action that the task was given", actions, high=last),
        Column("stimulus", _TIME, (), "seed of the trial that the step belongs to", "seed"),
        *(
            Column(
                metric.name,
                _TRUTH if metric.boolean else _REAL,
                (),
                metric.meaning,
                metric.unit,
                None if metric.boolean else metric.low,
                None if metric.boolean else metric.high,
                metric.better,
            )
            for metric in task.metrics
        ),
        Column("latent", _REAL, (task.latents,), "encoder mean of the original frame", "latent features"),
        Column("received", _REAL, (task.latents,), "receiver's latent, decoded and shown", "latent features"),
        Column("mask", _TRUTH, (task.blocks,), "blocks sent", "bool"),
        Column("packet", _BYTE, (packet_bytes,), "the bytes that crossed", "bytes"),
        Column("bits", _COUNT, (), "bits charged for the packet", "bits"),
        Column("uplink_bits", _COUNT, (), "bits charged for the action on its way back", "bits"),
        Column("arrived", _TRUTH, (), "whether the packet came through", "bool"),
        Column("stage_us", np.dtype("<u4"), (4,), "time in environment, sender, receiver, display", "microseconds"),
        Column(FRAME, _BYTE, task.frame, "original frame, lossless", "grey or RGB, 0 to 255"),
    )
    absent = {"applied": not linked, FRAME: not frames}
    return {column.name: column for column in columns if not absent.get(column.name)}


@dataclass(frozen=True)
class SessionInfo:
    """Attributes of the root: known before the first episode. Malformed ones raise ValueError."""

    session_id: str
    """6 hexadecimal digits."""
    participant: str
    """See `names.check_name`."""
    protocol: str
    """`pilot` or `evaluation`; see `names.check_name`."""
    study: str
    """Name of the study; empty where there is none."""
    trial_run: bool
    """Whether somebody only tried things out: the session stays out of analyses."""
    config: dict[str, Any]
    """The resolved configuration; must be JSON (tuples come back as lists)."""
    created_utc: str
    """ISO 8601 ending in `Z`, such as 2026-01-31T14:05:09Z."""
    software: dict[str, str]
    """Versions, git commit, platform."""
    model_sha256: str
    """SHA-256 of the latent model's file, hexadecimal."""
    fitted_sha256: str
    """SHA-256 of the files fitted for the conditions, hexadecimal, with spaces between; empty where there are none."""
    driver: str
    """`keyboard`, a family of simulated people, or `package.module:factory`."""
    task: TaskRecord
    resumes: str = ""
    """Session id of the recording that this one continues; empty where it begins a sitting."""

    def __post_init__(self) -> None:
        check_session_id(self.session_id)
        if self.resumes:
            check_session_id(self.resumes)
        check_name("participant", self.participant)
        check_name("protocol", self.protocol)
        if not self.created_utc.endswith("Z"):
            raise ValueError(f"created_utc must end in Z; got {self.created_utc[:80]!r}")
        datetime.fromisoformat(self.created_utc)
        if not all(isinstance(value, str) for value in self.software.values()):
            raise ValueError("software must map names to text")

    @property
    def created(self) -> datetime:
        """`created_utc` as a time that knows its zone."""
        return datetime.fromisoformat(self.created_utc)


@dataclass(frozen=True)
class EpisodeInfo:
    """Attributes of an episode: known before its first step. Malformed ones raise ValueError."""

    phase: str
    """`practice`, `calibration`, `exploration` or `evaluation`."""
    condition: str
    """What the participant sees: `raw`, `full`, or the name of a coder, such as `random`, `perceptual`, `pico`."""
    seed: int
    """Seed of the trial, or of the first in a block of several."""
    bits_per_step: int
    """The most bits that a packet may be charged; 0 for `raw`."""
    mask_interval: str
    """`episode` or `step`."""
    fill: str
    """`prior`, `hold` or `predict`."""
    packet_bytes: int
    """Bytes recorded of each packet: the width of column `packet`; 0 for `raw`."""
    started_ns: int
    """When the episode started, on the clock of `time_ns`."""
    noisy: bool = False
    """Whether packets may be lost or changed on their way."""
    linked: bool = False
    """Whether a link lies between the person and the task: column `applied` is there."""

    def __post_init__(self) -> None:
        for name in ("seed", "bits_per_step", "packet_bytes"):
            if not 0 <= getattr(self, name) < 2**63:
                raise ValueError(f"{name} must lie between 0 and 2**63; got {getattr(self, name)}")
        if not -(2**63) <= self.started_ns < 2**63:
            raise ValueError(f"started_ns must fit 64 bits; got {self.started_ns}")
        if self.packet_bytes > MOST_PACKET_BYTES:
            raise ValueError(f"packet_bytes must be {MOST_PACKET_BYTES} or less; got {self.packet_bytes}")
        if self.condition == "raw" and self.packet_bytes:
            raise ValueError(f"condition raw sends no packets; got {self.packet_bytes} bytes")


@dataclass(frozen=True, slots=True)
class Step:
    """One row; units and ranges as in `episode_columns`, sizes as in the session's `TaskRecord`."""

    time_ns: int
    action: int
    """Index into the task's actions."""
    metrics: Mapping[str, float]
    """Every metric of the task after the step, by name, within its limits."""
    latent: NDArray[np.float32]
    """float32[L]."""
    received: NDArray[np.float32]
    """float32[L]; equals `latent` in condition `raw`."""
    mask: NDArray[np.bool_]
    """bool[B]."""
    packet: bytes
    """`EpisodeInfo.packet_bytes` bytes: none in condition `raw`, zeros where it was lost."""
    bits: int
    """0 to 65,535; 0 in condition `raw`."""
    uplink_bits: int
    """0 to 65,535."""
    arrived: bool
    stage_us: tuple[int, int, int, int]
    response_ns: int
    """When the person acted; of simulated people the same as `time_ns`."""
    stimulus: int
    """Seed of the trial that the step belongs to."""
    applied: int | None = None
    """Index of the action that the task was given; needed only where the episode is `linked`."""
    frame: NDArray[np.uint8] | None = None
    """uint8[H, W, C]; needed only where frames are kept."""


def check_end(status: str) -> None:
    """Raise ValueError unless an episode or a recording can end with this status."""
    if status not in get_args(EndStatus):
        raise ValueError(f"status must be {' or '.join(get_args(EndStatus))}; got {status!r}")


MENDED = "mended"
"""Kind of the recorder's own events: what others had done to the file, which is whole again."""


@dataclass(frozen=True)
class Event:
    """Something that happened besides the steps: a key went down or up, focus was lost, a pause."""

    time_ns: int
    """On the clock of `Step.time_ns`."""
    episode: int
    step: int
    kind: str
    """At most 32 bytes of UTF-8, no NUL."""
    detail: str
    """At most 128 bytes of UTF-8, no NUL."""


@dataclass(frozen=True)
class Answer:
    """One answered questionnaire item."""

    time_ns: int
    """On the clock of `Step.time_ns`."""
    item: str
    """At most 256 bytes of UTF-8, no NUL."""
    answer: str
    """At most 4096 bytes of UTF-8, no NUL."""


def episode_name(index: int) -> str:
    """Return the group name of episode `index`: `000`, `001`, ..."""
    return f"{index:03d}"
