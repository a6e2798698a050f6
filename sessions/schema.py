"""What a recording holds: schema version 1, in one place for the recorder and the reader.

    /                  attributes: `SessionInfo`, schema_version, status
    /episodes/000/     attributes: `EpisodeInfo`, status, rejected, n_steps; one dataset per `Column`, one row per step
    /events            one row per `Event`
    /answers           one row per `Answer`

Row t of an episode holds the frame shown at step t, the action taken on seeing it, and the progress after it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from math import prod
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from sessions.names import check_name, check_session_id

SCHEMA_VERSION = 1

Status = Literal["running", "complete", "aborted"]
"""`running` is also what a killed session leaves behind."""

ROW_MEANING = (
    "Row t holds the frame shown at step t, the action taken on seeing it, and the outcome of that action (control, "
    "progress, off_road, speed, reward). In condition raw the frame is shown as it is: nothing crosses the channel, "
    "the packet has no bytes, bits is 0 and received equals latent. Where the session's channel has noise, the packet "
    "has a byte more in front: 1, and the bytes follow as they arrived, or 0, and zeros follow, for it was lost."
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

LATENTS = 32
BLOCKS = 8


@dataclass(frozen=True)
class Column:
    """One dataset of an episode, shape [n_steps, *shape]."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    """Of one row."""
    meaning: str
    unit: str
    """Unit, range or set of values."""
    optional: bool = False

    @property
    def chunk(self) -> tuple[int, ...]:
        """Shape of an HDF5 chunk: one frame, which is compressed as a whole each time it is written, or many rows.

        HDF5 wants chunks of at least one byte, also where packets have none; of wide packets fewer make a chunk, which
        is read at once.
        """
        row = tuple(max(1, size) for size in self.shape)
        fitting = max(1, MOST_CHUNK_BYTES // (self.dtype.itemsize * prod(row)))
        return (1 if self.name == "frame" else min(BLOCK_ROWS, fitting), *row)


COLUMNS = (
    Column("time_ns", np.dtype("<i8"), (), "when the frame was shown", "ns of a monotonic clock"),
    Column("action", np.dtype("<i1"), (), "action taken on seeing the frame", "-1 left, 0 straight, 1 right"),
    Column("control", np.dtype("<f4"), (3,), "steer, gas, brake sent to the environment", "[-1, 1], [0, 1], [0, 1]"),
    Column("progress", np.dtype("<f4"), (), "road progress after the step", "fraction of road patches, [0, 1]"),
    Column("off_road", np.dtype("?"), (), "no wheel touches the road after the step", "bool"),
    Column("speed", np.dtype("<f4"), (), "speed after the step", "track units per simulated second"),
    Column("reward", np.dtype("<f4"), (), "CarRacing's reward for the step", "points"),
    Column("latent", np.dtype("<f4"), (LATENTS,), "encoder mean of the original frame", "latent features"),
    Column("received", np.dtype("<f4"), (LATENTS,), "receiver's latent, decoded and shown", "latent features"),
    Column("mask", np.dtype("?"), (BLOCKS,), "blocks sent", "bool"),
    Column("packet", np.dtype("<u1"), (0,), "the bytes that crossed; as many per row as the episode says", "bytes"),
    Column("bits", np.dtype("<u2"), (), "bits charged for the step", "bits"),
    Column("stage_us", np.dtype("<u4"), (4,), "time in environment, sender, receiver, display", "microseconds"),
    Column("frame", np.dtype("<u1"), (64, 64, 3), "original frame, lossless", "RGB, 0 to 255", optional=True),
)
"""Every column; the packet's width is that of the episode, see `episode_columns`."""

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
    pilot: bool
    """Whether to keep the session out of analyses."""
    config: dict[str, Any]
    """The resolved configuration; must be JSON (tuples come back as lists)."""
    created_utc: str
    """ISO 8601 ending in `Z`, such as 2026-01-31T14:05:09Z."""
    software: dict[str, str]
    """Versions, git commit, platform."""
    codec_sha256: str
    """Of the codec's weights, hexadecimal."""
    mask_sha256: str
    """Of the mask file, hexadecimal; empty where there is none."""
    driver: str
    """`keyboard`, a simulated participant, or `package.module:factory`."""
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
    track_seed: int
    """As of CarRacing's `reset(seed=...)`."""
    bits_per_step: int
    """The most bits that a step may be charged; 0 for `raw`."""
    mask_interval: str
    """`episode` or `step`."""
    fill: str
    """`prior`, `hold` or `predict`."""
    road_patches: int
    """Road patches of the track."""
    packet_bytes: int
    """Bytes recorded of each packet: the width of column `packet`; 0 for `raw`."""
    started_ns: int
    """When the episode started, on the clock of `time_ns`."""

    def __post_init__(self) -> None:
        for name in ("track_seed", "bits_per_step", "road_patches", "packet_bytes"):
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
    """One row; units and ranges as in `COLUMNS`."""

    time_ns: int
    action: int
    """-1, 0 or 1."""
    control: tuple[float, float, float]
    progress: float
    off_road: bool
    speed: float
    reward: float
    latent: NDArray[np.float32]
    """float32[32]."""
    received: NDArray[np.float32]
    """float32[32]; equals `latent` in condition `raw`."""
    mask: NDArray[np.bool_]
    """bool[8]."""
    packet: bytes
    """`EpisodeInfo.packet_bytes` bytes: none in condition `raw`."""
    bits: int
    """0 to 65,535; 0 in condition `raw`."""
    stage_us: tuple[int, int, int, int]
    frame: NDArray[np.uint8] | None = None
    """uint8[64, 64, 3]; needed only where frames are kept."""


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


def episode_columns(packet_bytes: int, frames: bool = True) -> tuple[Column, ...]:
    """Return the columns of an episode whose packets have `packet_bytes` bytes, with or without the optional ones."""
    return tuple(
        replace(column, shape=(packet_bytes,)) if column.name == "packet" else column
        for column in COLUMNS
        if frames or not column.optional
    )


def episode_name(index: int) -> str:
    """Return the group name of episode `index`: `000`, `001`, ..."""
    return f"{index:03d}"
