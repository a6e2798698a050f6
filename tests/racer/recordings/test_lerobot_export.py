from __future__ import annotations

import io
import json
import shutil
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow.parquet as parquet
import pytest
from footage_builders import CONDITIONS, STEPS, copy_recording, other_progress, record
from PIL import Image

import sessions
from compression.model.latent_model import LatentModel
from racer.errors import ConfigError
from racer.recordings.lerobot_export import export_lerobot
from racer.recordings.rerun import Rerun
from racer.recordings.withdrawal import find_traces
from sessions.export.folder import ExportError
from sessions.extras import MissingPackageError
from sessions.maintenance.withdraw import plan_withdrawal

FRAMES = len(CONDITIONS) * STEPS


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("recordings"))


@pytest.fixture(scope="module")
def dataset(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("datasets") / "driving"
    summary = export_lerobot([recording], out)
    assert (summary.recordings, summary.episodes, summary.steps, summary.left_out) == (1, 3, FRAMES, {})
    return out


def info_of(dataset: Path) -> dict[str, Any]:
    return dict(json.loads((dataset / "meta/info.json").read_text()))


def test_the_files_are_where_the_format_has_them_and_hold_what_the_info_says(dataset: Path) -> None:
    info = info_of(dataset)
    assert (info["codebase_version"], info["fps"], info["video_path"]) == ("v3.0", 10, None)
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (3, FRAMES, 1)
    rows = []
    episodes = parquet.read_table(dataset / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    for episode in episodes:
        place = {"chunk_index": episode["data/chunk_index"], "file_index": episode["data/file_index"]}
        table = parquet.read_table(dataset / info["data_path"].format(**place))
        assert table.column_names == list(info["features"])
        first, end = episode["dataset_from_index"], episode["dataset_to_index"]
        assert end - first == episode["length"] == STEPS
        rows += table.slice(first, end - first).to_pylist()
    assert [row["index"] for row in rows] == list(range(FRAMES))
    assert [row["episode_index"] for row in rows] == [episode for episode in range(3) for _ in range(STEPS)]
    for row in rows:
        assert row["timestamp"] == pytest.approx(row["frame_index"] / info["fps"])
        for name, feature in info["features"].items():
            if feature["dtype"] != "image" and feature["shape"] != [1]:
                assert len(row[name]) == feature["shape"][0]
    # As LeRobot reads it: the words are the index.
    tasks = pandas.read_parquet(dataset / "meta/tasks.parquet")
    assert tasks.index.tolist() == ["car-racing"] and tasks["task_index"].tolist() == [0]
    assert {tuple(episode["tasks"]) for episode in episodes} == {("car-racing",)}


def test_the_rows_are_the_recording_and_the_frames_what_the_driver_saw(
    recording: Path, dataset: Path, model: LatentModel
) -> None:
    rows = parquet.read_table(dataset / "data/chunk-000/file-000.parquet").to_pylist()
    with sessions.open(recording) as session:
        for episode in session.episodes:
            own = rows[episode.index * STEPS : (episode.index + 1) * STEPS]
            assert [row["action"] for row in own] == episode.action.tolist()
            assert [row["channel.bits"] for row in own] == episode.bits.tolist()
            assert np.array_equal([row["channel.mask"] for row in own], episode.mask)
            assert np.array_equal([row["next.reward"] for row in own], episode["reward"])
            assert np.array_equal([row["next.progress"] for row in own], episode["progress"])
            assert [row["next.done"] for row in own] == [False] * (STEPS - 1) + [True]
            assert [row["recorded_time"] for row in own] == pytest.approx((episode.time_ns - episode.time_ns[0]) / 1e9)
            with closing(Rerun(session.info, episode)) as again:
                for step in range(STEPS):
                    raw = episode.info.condition == "raw"
                    seen = again.frame(step) if raw else model.decode_latent(episode.received[step])
                    found = np.array(Image.open(io.BytesIO(own[step]["observation.image"]["bytes"])))
                    assert np.array_equal(found, seen)


def test_the_statistics_are_those_of_the_rows(dataset: Path) -> None:
    found = json.loads((dataset / "meta/stats.json").read_text())
    table = parquet.read_table(dataset / "data/chunk-000/file-000.parquet").to_pydict()
    images = np.array([np.array(Image.open(io.BytesIO(each["bytes"]))) for each in table["observation.image"]]) / 255
    for name, values in {**table, "observation.image": images}.items():
        numbers = np.asarray(values, np.float64)
        axes = (0, 1, 2) if name == "observation.image" else 0
        assert np.shape(found[name]["mean"]) == (
            (3, 1, 1) if name == "observation.image" else np.shape(numbers[0]) or (1,)
        )
        for kind, expected in (("mean", numbers.mean(axes)), ("std", numbers.std(axes)), ("max", numbers.max(axes))):
            assert np.ravel(found[name][kind]) == pytest.approx(np.ravel(expected), abs=1e-6)
        assert found[name]["count"] == [FRAMES]


def test_a_dataset_says_whom_it_holds_so_that_a_withdrawal_finds_it(
    recording: Path, dataset: Path, tmp_path: Path
) -> None:
    desk = tmp_path / "desk"
    data = desk / "recordings"
    data.mkdir(parents=True)
    (desk / "study.toml").touch()
    shutil.copy(recording, data)
    shutil.copytree(dataset, desk / "sets" / "driving")
    with sessions.open(recording) as session:
        participant = session.info.participant
    (trace,) = find_traces(plan_withdrawal(participant, data))
    assert (trace.path, trace.kind) == (desk / "sets" / "driving", "export")
    assert find_traces(plan_withdrawal("p99", data)) == []


def test_what_cannot_be_one_dataset_is_refused_and_nothing_is_written(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faster = copy_recording(
        recording, tmp_path, lambda info: replace(info, session_id="00000a", config={**info.config, "pace": 20.0})
    )
    with pytest.raises(ConfigError, match="one pace; these recordings have 10, 20"):
        export_lerobot([recording, faster], tmp_path / "out")
    aborted = copy_recording(recording, tmp_path / "b", lambda info: replace(info, session_id="00000b"), end="aborted")
    with pytest.raises(ExportError, match="none of the episodes"):
        export_lerobot([aborted], tmp_path / "out")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingPackageError, match="LeRobot"):
        export_lerobot([recording], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_episode_that_cannot_be_drawn_again_is_left_out(recording: Path, tmp_path: Path) -> None:
    path = copy_recording(recording, tmp_path, step=other_progress)
    summary = export_lerobot([path], tmp_path / "out")
    assert summary.episodes == 2 and len(summary.left_out) == 1
    assert info_of(tmp_path / "out")["total_episodes"] == 2
