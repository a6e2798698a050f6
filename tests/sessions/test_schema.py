from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from session_builders import EPISODE, SESSION, TASK, random_steps, write_recording

from sessions import ParticipantNameError, Recorder
from sessions.schema import BLOCK_ROWS, MOST_CHUNK_BYTES, MOST_PACKET_BYTES, episode_columns
from sessions.task_record import MOST_LATENTS

GOLDEN_COLUMNS = {
    "time_ns": ("<i8", ()),
    "response_ns": ("<i8", ()),
    "action": ("|u1", ()),
    "stimulus": ("<i8", ()),
    "progress": ("<f4", ()),
    "wet": ("|b1", ()),
    "speed": ("<f4", ()),
    "reward": ("<f4", ()),
    "latent": ("<f4", (TASK.latents,)),
    "received": ("<f4", (TASK.latents,)),
    "mask": ("|b1", (TASK.blocks,)),
    "packet": ("|u1", (EPISODE.packet_bytes,)),
    "bits": ("<u2", ()),
    "uplink_bits": ("<u2", ()),
    "arrived": ("|b1", ()),
    "frame": ("|u1", TASK.frame),
    "stage_us": ("<u4", (4,)),
}
GOLDEN_ROOT = {
    "schema_version": 2,
    "session_id": "0a1b2c",
    "participant": "p01",
    "protocol": "pilot",
    "study": "steering",
    "status": "complete",
    "trial_run": True,
    "config": '{"bits": 85, "speeds": [40.0, 60.0], "fill": null}',
    "created_utc": "2026-01-31T14:05:09Z",
    "software": '{"racer": "0.1.0", "python": "3.11"}',
    "model_sha256": "ab" * 32,
    "fitted_sha256": "",
    "driver": "keyboard",
    "task": (
        '{"name": "crossing", "settings": {"speed": 1.5, "weather": "fog"}, "frame": [64, 64, 3], "actions": ["left", '
        '"straight", "right"], "neutral": 1, "metrics": [{"name": "progress", "meaning": "way across", "unit": '
        '"fraction", "better": "higher", "low": 0.0, "high": 1.0, "trial": "last", "boolean": false, "label": "way '
        'across"}, {"name": "wet", "meaning": "whether feet are wet", "unit": "fraction", "better": "lower", "low": '
        '0.0, "high": 1.0, "trial": "mean", "boolean": true, "label": "time in the water"}, {"name": "speed", '
        '"meaning": "speed of the boat", "unit": "m/s", "better": "", "low": 0.0, "high": null, "trial": "last", '
        '"boolean": false, "label": ""}, {"name": "reward", "meaning": "points for the step", "unit": "points", '
        '"better": "", "low": null, "high": null, "trial": "mean", "boolean": false, "label": ""}], "latents": 32, '
        '"blocks": 8, "paced": true, "step_seconds": 0.02}'
    ),
    "resumes": "",
}
GOLDEN_EPISODE = {
    "phase": "calibration",
    "condition": "full",
    "seed": 7,
    "bits_per_step": 85,
    "mask_interval": "episode",
    "fill": "hold",
    "packet_bytes": 11,
    "started_ns": 5,
    "noisy": False,
    "linked": False,
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
        root = dict(file.attrs)
        assert re.fullmatch("[0-9a-f]{64}", root.pop("seal"))
        assert root == GOLDEN_ROOT
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
    with h5py.File(write_recording(tmp_path, frames=True)) as file:
        row = file["episodes"].attrs["row"]
        assert "frame shown at step t, the action taken on seeing it" in row
        assert "received equals latent" in row
        said = {name: dict(data.attrs) for name, data in file["episodes/000"].items()}
    assert said["action"]["unit"] == "0 left, 1 straight, 2 right"
    assert all(attributes["meaning"] and attributes["unit"] for attributes in said.values())
    better = {name: attributes["better"] for name, attributes in said.items() if "better" in attributes}
    assert better == {metric.name: metric.better for metric in TASK.metrics}


@pytest.mark.parametrize("linked", [False, True])
def test_the_action_that_was_applied_is_a_column_where_a_link_lies_between(tmp_path: Path, linked: bool) -> None:
    with Recorder(tmp_path, SESSION) as recorder:
        recorder.begin_episode(replace(EPISODE, linked=linked))
    with h5py.File(recorder.final_path) as file:
        assert ("applied" in file["episodes/000"]) == linked


def test_raw_episodes_have_packets_without_bytes(tmp_path: Path) -> None:
    with Recorder(tmp_path, SESSION) as recorder:
        info = replace(EPISODE, condition="raw", packet_bytes=0, bits_per_step=0)
        recorder.begin_episode(info)
        for step in random_steps(3, info=info):
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
        {"seed": -1},
        {"seed": 2**63},
        {"bits_per_step": -1},
        {"packet_bytes": 2**13 + 1},
        {"started_ns": 2**63},
        {"condition": "raw"},
    ],
)
def test_malformed_episode_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        replace(EPISODE, **changes)


@pytest.mark.parametrize("latents", [1, 512, 513, MOST_LATENTS])
@pytest.mark.parametrize("packet_bytes", [0, 1, 22, 512, 513, 4097, MOST_PACKET_BYTES])
def test_no_chunk_is_larger_than_a_reader_takes_at_once(packet_bytes: int, latents: int) -> None:
    for column in episode_columns(replace(TASK, latents=latents, blocks=1), packet_bytes).values():
        assert 1 <= column.chunk[0] <= BLOCK_ROWS
        assert column.chunk[0] * column.dtype.itemsize * math.prod(column.shape) <= MOST_CHUNK_BYTES
