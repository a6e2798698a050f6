from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from session_builders import EPISODE, SESSION, random_steps, write_recording

from sessions import ParticipantNameError, Recorder
from sessions.schema import BLOCK_ROWS, COLUMNS, MOST_CHUNK_BYTES, MOST_PACKET_BYTES, episode_columns

GOLDEN_COLUMNS = {
    "time_ns": ("<i8", ()),
    "action": ("|i1", ()),
    "control": ("<f4", (3,)),
    "progress": ("<f4", ()),
    "off_road": ("|b1", ()),
    "speed": ("<f4", ()),
    "reward": ("<f4", ()),
    "latent": ("<f4", (32,)),
    "received": ("<f4", (32,)),
    "mask": ("|b1", (8,)),
    "packet": ("|u1", (11,)),
    "bits": ("<u2", ()),
    "frame": ("|u1", (64, 64, 3)),
    "stage_us": ("<u4", (4,)),
}
GOLDEN_ROOT = {
    "schema_version": 1,
    "session_id": "0a1b2c",
    "participant": "p01",
    "protocol": "pilot",
    "study": "steering",
    "status": "complete",
    "pilot": True,
    "config": '{"bits": 85, "speeds": [40.0, 60.0], "fill": null}',
    "created_utc": "2026-01-31T14:05:09Z",
    "software": '{"racer": "0.1.0", "python": "3.11"}',
    "codec_sha256": "ab" * 32,
    "mask_sha256": "",
    "driver": "keyboard",
    "resumes": "",
}
GOLDEN_EPISODE = {
    "phase": "calibration",
    "condition": "full",
    "track_seed": 7,
    "bits_per_step": 85,
    "mask_interval": "episode",
    "fill": "hold",
    "road_patches": 300,
    "packet_bytes": 11,
    "started_ns": 5,
    "status": "complete",
    "rejected": False,
    "n_steps": 5,
}
GOLDEN_TABLES = {
    "events": {"time_ns": "<i8", "episode": "<i4", "step": "<i4", "kind": "|S32", "detail": "|S128"},
    "answers": {"time_ns": "<i8", "item": "|S256", "answer": "|S4096"},
}


@pytest.mark.parametrize("frames", [False, True])
def test_plain_h5py_finds_exactly_the_schema(tmp_path: Path, frames: bool) -> None:
    path = write_recording(tmp_path, frames=frames)
    expected = {name: column for name, column in GOLDEN_COLUMNS.items() if frames or name != "frame"}
    with h5py.File(path) as file:
        assert dict(file.attrs) == GOLDEN_ROOT
        assert set(file) == {"episodes", "events", "answers"}
        assert list(file["episodes"]) == ["000", "001"]
        group = file["episodes/000"]
        assert dict(group.attrs) == GOLDEN_EPISODE
        assert {name: (data.dtype.str, data.shape[1:]) for name, data in group.items()} == expected
        assert {len(data) for data in group.values()} == {5}
        for name, fields in GOLDEN_TABLES.items():
            dtype = file[name].dtype
            assert {field: dtype[field].str for field in dtype.names} == fields
            assert {text.encoding for field in dtype.names if (text := h5py.check_string_dtype(dtype[field]))} == {
                "utf-8"
            }
        assert file["events"]["kind"].tolist() == [b"key_down", b"key_down"]


def test_file_says_what_a_row_and_a_column_mean(tmp_path: Path) -> None:
    with h5py.File(write_recording(tmp_path)) as file:
        attributes = file["episodes"].attrs
        assert "frame shown at step t, the action taken on seeing it" in attributes["row"]
        assert "received equals latent" in attributes["row"]
        assert list(json.loads(attributes["columns"])) == [column.name for column in COLUMNS]


def test_raw_episodes_have_packets_without_bytes(tmp_path: Path) -> None:
    with Recorder(tmp_path, SESSION) as recorder:
        recorder.begin_episode(replace(EPISODE, condition="raw", packet_bytes=0, bits_per_step=0))
        for step in random_steps(3, packet_bytes=0):
            recorder.append(replace(step, bits=0, received=step.latent))
    with h5py.File(recorder.final_path) as file:
        assert file["episodes/000/packet"].shape == (3, 0)
        assert file["episodes/000/packet"].dtype == np.uint8


@pytest.mark.parametrize(
    "changes",
    [
        {"created_utc": "2026-01-31T14:05:09"},
        {"created_utc": "2026-01-31T14:05:09+01:00"},
        {"created_utc": "todayZ"},
        {"session_id": "0A1B2C"},
        {"software": {"racer": 1}},
    ],
)
def test_malformed_session_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        replace(SESSION, **changes)


@pytest.mark.parametrize("changes", [{"participant": "../x"}, {"protocol": "a/b"}])
def test_session_whose_names_leave_the_folder_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ParticipantNameError, match="use 1 to 64 letters"):
        replace(SESSION, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"track_seed": -1},
        {"track_seed": 2**63},
        {"bits_per_step": -1},
        {"road_patches": -1},
        {"packet_bytes": 2**13 + 1},
        {"started_ns": 2**63},
        {"condition": "raw"},
    ],
)
def test_malformed_episode_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        replace(EPISODE, **changes)


@pytest.mark.parametrize("packet_bytes", [0, 1, 22, 512, 513, 4097, MOST_PACKET_BYTES])
def test_no_chunk_is_larger_than_a_reader_takes_at_once(packet_bytes: int) -> None:
    for column in episode_columns(packet_bytes):
        assert 1 <= column.chunk[0] <= BLOCK_ROWS
        assert column.chunk[0] * column.dtype.itemsize * math.prod(column.shape) <= MOST_CHUNK_BYTES
