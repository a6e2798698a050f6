"""Schema version 1, which knew one task, read as if it were version 2.

Its actions were -1, 0 and 1; what the car was told lay in one column; and where its packets crossed a noisy channel, a
byte before each said whether it had arrived.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from sessions.attributes import read_attribute, read_info, read_json
from sessions.schema import Column, EpisodeInfo, SessionInfo
from sessions.task_record import Metric, TaskRecord

_CONTROLS = ("steer", "gas", "brake")
"""Parts of the column `control`."""
_METRICS = (
    Metric(
        "progress",
        "road progress after the step: share of the track's road patches visited",
        "fraction",
        "higher",
        0.0,
        1.0,
        label="road progress",
    ),
    Metric(
        "off_road",
        "whether no wheel touches the road after the step",
        "fraction",
        "lower",
        0.0,
        1.0,
        "mean",
        True,
        "time off the road",
    ),
    Metric("speed", "speed after the step; a second is simulated, 50 steps", "units/s", low=0.0, trial="mean"),
    Metric("reward", "CarRacing's own reward for the step", "points", trial="mean"),
    Metric("steer", "steering command sent to CarRacing, negative is left", "share of full", "", -1.0, 1.0),
    Metric("gas", "gas sent to CarRacing", "share of full", "", 0.0, 1.0),
    Metric("brake", "brake sent to CarRacing", "share of full", "", 0.0, 1.0),
)
_SETTINGS = {"handling": "handling", "speed": "target_speed", "skip_zoom": "skip_zoom"}
"""Settings of the task, and what they were called."""
_UPLINK_BITS = 2


def session_info(file: h5py.Group) -> SessionInfo:
    """Read the attributes of a recording; raises what `read_info` does."""
    track = read_json(file, "config").get("track")
    task = TaskRecord(
        name="car-racing",
        settings={new: track[old] for new, old in _SETTINGS.items() if old in track} if isinstance(track, dict) else {},
        frame=(64, 64, 3),
        actions=("left", "straight", "right"),
        neutral=1,
        metrics=_METRICS,
        latents=32,
        blocks=8,
        paced=True,
        step_seconds=0.02,
    )
    names = {"trial_run": "pilot", "model_sha256": "codec_sha256", "fitted_sha256": "mask_sha256"}
    return read_info(SessionInfo, file, names, task=task)


def episode_info(group: h5py.Group, session: SessionInfo) -> EpisodeInfo:
    """Read the attributes of an episode; raises what `read_info` does."""
    channel = session.config.get("channel")
    stored = read_attribute(group, "packet_bytes", int)
    noisy = isinstance(channel, dict) and channel.get("noise", "none") != "none" and stored > 0
    known = {"packet_bytes": stored - noisy, "noisy": noisy, "linked": False}
    return read_info(EpisodeInfo, group, {"seed": "track_seed"}, **known)


def stored_columns(columns: Mapping[str, Column], info: EpisodeInfo) -> dict[str, Column]:
    """Return the columns that lie in the file, given those of version 2."""
    new = {"response_ns", "stimulus", "uplink_bits", "arrived", *_CONTROLS}
    changed = (
        Column("action", np.dtype("<i1"), (), "", ""),
        Column("control", np.dtype("<f4"), (len(_CONTROLS),), "", ""),
        Column("packet", np.dtype("<u1"), (info.packet_bytes + info.noisy,), "", ""),
    )
    kept = {name: column for name, column in columns.items() if name not in new}
    return kept | {column.name: column for column in changed}


def column(name: str, load: Callable[[str], NDArray[Any]], info: EpisodeInfo) -> NDArray[Any]:
    """Return rows of a column as version 2 holds them.

    Args:
        name: Of the column.
        load: Gives the same rows of a stored column.
        info: Of the episode.

    Raises:
        ValueError: If a packet does not say whether it has arrived.
    """
    if name == "action":
        return (load(name) + np.int8(1)).view(np.uint8)
    if name == "response_ns":
        return load("time_ns")
    if name == "stimulus":
        return np.full(len(load("time_ns")), info.seed, np.int64)
    if name == "uplink_bits":
        return np.full(len(load("time_ns")), _UPLINK_BITS, np.uint16)
    if name in _CONTROLS:
        return load("control")[:, _CONTROLS.index(name)]
    if name == "arrived":
        said = load("packet")[:, 0] if info.noisy else np.ones(len(load("time_ns")), np.uint8)
        if said.max(initial=0) > 1:
            raise ValueError("a packet does not say whether it has arrived")
        return said.astype(np.bool_)
    values = load(name)
    return values[:, 1:] if name == "packet" and info.noisy else values
