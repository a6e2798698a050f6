"""Recordings outlive the software: what was written by an earlier schema reads as it did, value by value."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas
import pytest
from golden import everything_in
from make_version2 import record

import sessions
from sessions.comparison import first_difference
from sessions.export import export_arrays, export_tables
from sessions.maintenance.merge import merge
from sessions.maintenance.repair import repair
from sessions.maintenance.withdraw import plan_withdrawal
from sessions.verify import structure_checks, verify

DATA = Path(__file__).parent / "data"
NAMES = {1: "p01_evaluation_20260131T140509Z_0a1b2c.h5", 2: "p02_evaluation_20260131T140509Z_0a1b2d.h5"}


def unpack(folder: Path, version: int) -> Path:
    path = folder / NAMES[version]
    path.write_bytes(gzip.decompress((DATA / f"version{version}.h5.gz").read_bytes()))
    return path


def golden(version: int) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((DATA / f"version{version}.json").read_text(encoding="utf-8"))
    assert read["schema_version"] == version
    return read


@pytest.fixture
def version1(tmp_path: Path) -> Path:
    return unpack(tmp_path, 1)


@pytest.fixture(params=NAMES)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A recording of either version."""
    return unpack(tmp_path, request.param)


def in_terms_of_version_2(told: dict[str, Any]) -> dict[str, Any]:
    """Return what was told of a recording of version 1 as version 2 says it."""
    info = told["info"]
    for new, name in (("trial_run", "pilot"), ("model_sha256", "codec_sha256"), ("fitted_sha256", "mask_sha256")):
        info[new] = info.pop(name)
    for episode in told["episodes"]:
        episode["info"]["seed"] = episode["info"].pop("track_seed")
        del episode["info"]["road_patches"]
        columns, steps = episode["columns"], episode["n_steps"]
        control = columns.pop("control")
        for part, name in enumerate(("steer", "gas", "brake")):
            columns[name] = {"dtype": "<f4", "rows": [row[part] for row in control["rows"]]}
        columns["action"] = {"dtype": "|u1", "rows": [action + 1 for action in columns["action"]["rows"]]}
        columns["response_ns"] = columns["time_ns"]
        columns["stimulus"] = {"dtype": "<i8", "rows": [episode["info"]["seed"]] * steps}
        columns["uplink_bits"] = {"dtype": "<u2", "rows": [2] * steps}
        columns["arrived"] = {"dtype": "|b1", "rows": [True] * steps}
    return told


def without_what_is_new(read: Any, expected: Any) -> Any:
    """Return what was read without the keys that later versions have added."""
    if isinstance(expected, dict):
        return {key: without_what_is_new(read[key], value) for key, value in expected.items()}
    if isinstance(expected, list) and len(expected) == len(read):
        return [without_what_is_new(one, other) for one, other in zip(read, expected, strict=True)]
    return read


def test_every_value_of_a_version_1_recording_reads_as_it_did(version1: Path) -> None:
    expected = in_terms_of_version_2(golden(1))
    assert {episode["info"]["condition"] for episode in expected["episodes"]} >= {"raw", "full", "pico"}
    assert any(episode["rejected"] for episode in expected["episodes"])
    assert expected["events"] and expected["answers"]
    read = json.loads(json.dumps(everything_in(version1)))
    assert without_what_is_new(read, expected) == expected
    assert {frozenset(episode["columns"]) for episode in read["episodes"]} == {
        frozenset(episode["columns"]) for episode in expected["episodes"]
    }


def test_every_value_of_a_version_2_recording_reads_as_it_did(tmp_path: Path) -> None:
    expected = golden(2)
    read = json.loads(json.dumps(everything_in(unpack(tmp_path, 2))))
    assert without_what_is_new(read, expected) == expected


def test_the_recorder_still_writes_what_the_version_2_recording_holds(tmp_path: Path) -> None:
    assert json.loads(json.dumps(everything_in(record(tmp_path)))) == golden(2)


def test_a_version_1_recording_is_of_a_task_with_everything_that_version_2_wants(version1: Path) -> None:
    set_attribute(version1, "config", json.dumps({"track": {"handling": "forgiving", "target_speed": 60, "x": 1}}))
    with sessions.open(version1) as session:
        task = session.info.task
        assert (task.name, task.settings) == ("car-racing", {"handling": "forgiving", "speed": 60})
        assert (task.frame, task.latents, task.blocks, task.paced) == ((64, 64, 3), 32, 8, True)
        assert task.actions[task.neutral or 0] == "straight"
        assert [metric.name for metric in task.metrics if metric.better] == ["progress", "off_road"]
        episode = session.episodes[0]
        assert (episode.info.noisy, episode.info.linked) == (False, False)
        assert episode.trial_value("progress") == episode["progress"][-1]
        assert episode.trial_value("off_road") == 0


def set_attribute(path: Path, name: str, value: object) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs[name] = value


def make_noisy(path: Path, lost: int) -> dict[str, np.ndarray[Any, Any]]:
    """Let a noisy channel have lost every packet of this row, and return what else was sent in each episode."""
    set_attribute(path, "config", '{"channel": {"noise": "erasures"}}')
    packets = {}
    with h5py.File(path, "r+") as file:
        for name, group in file["episodes"].items():
            packet = group["packet"][:]
            if width := packet.shape[1]:
                packet[lost] = 0
                arrived = (np.arange(len(packet)) != lost).astype(np.uint8)
                del group["packet"]
                rows, chunk = np.hstack([arrived[:, None], packet]), (128, width + 1)
                group.create_dataset("packet", data=rows, chunks=chunk, maxshape=(None, width + 1))
                group.attrs["packet_bytes"] = width + 1
            packets[name] = packet
    return packets


def test_the_byte_before_a_version_1_packet_says_whether_it_arrived(version1: Path) -> None:
    packets = make_noisy(version1, lost=1)
    assert {finding.check for finding in verify(version1) if finding.outcome != "ok"} == {"seal"}
    with sessions.open(version1) as session:
        for episode, packet in zip(session.episodes, packets.values(), strict=True):
            noisy = episode.info.condition != "raw"
            assert (episode.info.noisy, episode.info.packet_bytes) == (noisy, packet.shape[1])
            assert np.array_equal(episode.packet, packet)
            assert episode.arrived.tolist() == [row != 1 or not noisy for row in range(episode.n_steps)]
    with h5py.File(version1, "r+") as file:
        file["episodes/000/packet"][0, 0] = 2
    with (
        sessions.open(version1) as session,
        pytest.raises(sessions.UnreadableRecordingError, match="does not say whether it has arrived"),
    ):
        _ = session.episodes[0].arrived


@pytest.mark.parametrize("action", [-128, -2, 2, 127])
def test_actions_that_version_1_did_not_have_are_found(version1: Path, action: int) -> None:
    with h5py.File(version1, "r+") as file:
        file["episodes/000/action"][1] = action
    assert {finding.check for finding in verify(version1) if finding.outcome != "ok"} == {"values", "seal"}


def test_old_recordings_pass_their_checks(old: Path) -> None:
    found = {finding.check: finding.outcome for finding in verify(old, structure_checks())}
    assert found.pop("seal") == "skipped"
    assert set(found.values()) == {"ok"}


def test_old_recordings_of_killed_sessions_are_repaired_into_the_present_schema(old: Path) -> None:
    set_attribute(old, "status", "running")
    killed = old.rename(f"{old}.partial")
    before = killed.read_bytes()
    repaired = repair(killed)
    assert killed.read_bytes() == before
    assert {finding.outcome for finding in verify(repaired)} == {"ok"}
    with sessions.open(killed) as one, sessions.open(repaired) as other:
        assert other.schema_version == sessions.SCHEMA_VERSION
        assert first_difference(one, other) == ""
    (merged,) = merge([killed], repaired.parent / "elsewhere").recordings
    (again,) = merge([repaired], repaired.parent / "elsewhere").recordings
    assert (merged.fate, again.fate) == ("copied", "copied")
    (contained,) = merge([killed], repair(killed, repaired.parent / "repaired").parent).recordings
    assert contained.fate == "contained"


def test_old_recordings_are_merged_and_withdrawn(old: Path, tmp_path: Path) -> None:
    (merged,) = merge([old], tmp_path / "all").recordings
    assert merged.fate == "copied"
    participant = old.name.partition("_")[0]
    assert plan_withdrawal(participant, tmp_path / "all").files == (merged.target,)


def test_recordings_of_both_versions_and_different_tasks_are_exported_together(tmp_path: Path) -> None:
    paths = [unpack(tmp_path, version) for version in NAMES]
    export_tables(paths, tmp_path / "out", "csv")
    tables = {
        name: pandas.read_csv(tmp_path / "out" / "data" / f"description-{name}_data.csv")
        for name in ("sessions", "episodes", "steps")
    }
    assert tables["sessions"][["task", "schema_version"]].values.tolist() == [["car-racing", 1], ["ferry", 2]]
    for version, path in zip(NAMES, paths, strict=True):
        with sessions.open(path) as session:
            rows = tables["steps"][tables["steps"]["session_id"] == session.info.session_id]
            metrics = {metric.name for metric in session.info.task.metrics}
            for other in {"off_road", "height"} - metrics:
                assert rows[other].isna().all(), version
            for name in metrics:
                expected = np.concatenate([episode[name] for episode in session.episodes])
                assert np.array_equal(rows[name].astype(np.float32), expected.astype(np.float32))
    assert export_arrays(paths, tmp_path / "arrays").episodes == len(tables["episodes"])


def test_a_later_schema_is_refused_with_what_to_do(version1: Path) -> None:
    with h5py.File(version1, "r+") as file:
        file.attrs.modify("schema_version", 3)
    before = version1.read_bytes()
    with pytest.raises(sessions.UnreadableRecordingError) as refused:
        sessions.open(version1)
    assert str(refused.value) == (
        f"{version1} has recording schema 3 and this Racer reads 1 and 2; "
        "it was not changed: open it with the Racer that made it or a newer one"
    )
    assert version1.read_bytes() == before
