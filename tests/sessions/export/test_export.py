from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow.parquet
import pytest
from session_builders import EPISODE, SESSION, SMALL_TASK, TASK, random_step, random_steps, write_recording

import sessions
from sessions import Metric, UnreadableRecordingError
from sessions.export import ExportError, export_arrays, export_tables, formats, text_of
from sessions.export.dictionary import DESCRIPTION_NAME
from sessions.export.folder import new_file, new_folder
from sessions.export.formats import CsvWriter
from sessions.export.tables import TableColumn, TableSchema, parts, tables_of
from sessions.schema import episode_columns

TABLES = tables_of([TASK])
NAMES = [table.name for table in TABLES]


def read_csv(folder: Path, name: str, tables: tuple[TableSchema, ...] = TABLES) -> pandas.DataFrame:
    (table,) = [table for table in tables if table.name == name]
    nullable = {"text": "str", "int64": "Int64", "bool": "boolean"}
    kinds: dict[str, Any] = {column.name: nullable.get(column.kind, column.kind) for column in table.columns}
    return pandas.read_csv(
        folder / "data" / f"description-{name}_data.csv",
        dtype=kinds,
        na_values={column.name: [""] for column in table.columns if column.kind != "text"},
        keep_default_na=False,
        **({} if int(pandas.__version__.split(".")[0]) >= 3 else {"float_precision": "round_trip"}),
    )


def read_parquet(folder: Path, name: str, tables: tuple[TableSchema, ...] = TABLES) -> pandas.DataFrame:
    return pyarrow.parquet.read_table(folder / "data" / f"description-{name}_data.parquet").to_pandas()


READERS = {"csv": read_csv, "parquet": read_parquet}


def assert_same_bits(found: Any, expected: np.ndarray[Any, Any]) -> None:
    values = np.asarray(found).astype(expected.dtype)
    assert values.tobytes() == np.ascontiguousarray(expected).tobytes()


@pytest.mark.parametrize("form", READERS)
def test_every_number_of_every_step_comes_back_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(formats, "_BLOCK_ROWS", 64)
    monkeypatch.setattr(formats, "_GROUP_ROWS", 64)
    path = write_recording(tmp_path, lengths=(150, 0, 3))
    export_tables([path], tmp_path / "out", form)
    steps = READERS[form](tmp_path / "out", "steps")
    with sessions.open(path) as session:
        for episode in session.episodes:
            rows = steps[steps["episode"] == episode.index]
            assert rows["step"].tolist() == list(range(episode.n_steps))
            for name, column in episode.columns.items():
                if name != "packet":
                    names = list(parts(column)) if column.shape else name
                    assert_same_bits(rows[names].to_numpy(), episode[name])
            assert rows["packet"].tolist() == [row.tobytes().hex() for row in episode.packet]


@pytest.mark.parametrize("form", READERS)
def test_extreme_floats_come_back_bit_for_bit(tmp_path: Path, form: str) -> None:
    info = np.finfo(np.float32)
    extremes = np.array([0.1, 1 / 3, info.max, info.tiny, info.smallest_subnormal, -0.0, 16777217.0, 1e-5], np.float32)
    step = random_steps(1)[0]
    steps = [replace(step, metrics={**step.metrics, "reward": float(value)}) for value in extremes]
    with sessions.Recorder(tmp_path, SESSION) as recorder:
        recorder.begin_episode(EPISODE)
        for step in steps:
            recorder.append(step)
        recorder.end_episode("complete")
        path = recorder.close("complete")
    export_tables([path], tmp_path / "out", form)
    assert_same_bits(READERS[form](tmp_path / "out", "steps")["reward"], extremes)


def test_floats_are_written_no_longer_than_they_need_to_be(tmp_path: Path) -> None:
    writer = CsvWriter(tmp_path / "x.csv", TableSchema("x", (TableColumn("a", "float32", ""),)))
    writer.write({"session_id": ["x"] * 3, "a": np.array([0.1, 1e-9, 2.0], np.float32)})
    writer.close()
    assert (tmp_path / "x.csv").read_bytes() == b"a\r\n0.1\r\n1e-09\r\n2.0\r\n"


@pytest.mark.parametrize("form", READERS)
def test_sessions_episodes_events_and_answers_come_back_with_what_became_of_them(tmp_path: Path, form: str) -> None:
    write_recording(tmp_path, lengths=(5,))
    with sessions.Recorder(tmp_path, replace(SESSION, session_id="0e1234", participant="p02", resumes="0a1b2c")) as r:
        for status in ("complete", "aborted"):
            r.begin_episode(EPISODE)
            r.append(random_steps(1)[0])
            r.end_episode(status)  # type: ignore[arg-type]
        r.close("aborted")
    summary = export_tables([tmp_path], tmp_path / "out", form)
    assert (summary.recordings, summary.episodes, summary.left_out) == (2, 3, {})
    tables = {name: READERS[form](tmp_path / "out", name) for name in NAMES}
    assert tables["sessions"]["session_id"].tolist() == ["0a1b2c", "0e1234"]
    assert tables["sessions"]["session_status"].tolist() == ["complete", "aborted"]
    assert tables["sessions"]["resumes"].tolist() == ["", "0a1b2c"]
    assert json.loads(tables["sessions"]["config"][0]) == SESSION.config
    assert tables["sessions"]["task"].tolist() == [TASK.name] * 2
    assert json.loads(tables["sessions"]["task_settings"][0]) == TASK.settings
    assert tables["episodes"]["episode_status"].tolist() == ["complete", "complete", "aborted"]
    assert tables["episodes"]["accepted"].tolist() == [True, True, False]
    assert tables["episodes"]["n_steps"].tolist() == [5, 1, 1]
    assert tables["events"][["episode", "step", "time_ns", "kind", "detail"]].values.tolist() == [
        [0, 1, 17, "key_down", "left"]
    ]
    assert tables["answers"][["item", "answer", "time_ns"]].values.tolist() == [["control", "fünf", 99]]


def test_the_dictionary_describes_every_column_and_no_other_as_psych_ds_wants_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_tables([write_recording(tmp_path)], out, "csv")
    description = json.loads((out / DESCRIPTION_NAME).read_text())
    assert (description["@context"], description["@type"]) == ("https://schema.org/", "Dataset")
    assert description["name"] and description["description"]
    files = list((out / "data").iterdir())
    columns: set[str] = set()
    for file in files:
        assert re.fullmatch(r"([a-z]+-[a-zA-Z0-9]+)(_[a-z]+-[a-zA-Z0-9]+)*_data\.csv", file.name)
        header = file.read_text().splitlines()[0].split(",")
        assert len(set(header)) == len(header)
        columns.update(header)
    measured = description["variableMeasured"]
    assert [entry["@type"] for entry in measured] == ["PropertyValue"] * len(measured)
    assert len(measured) == len(columns)
    assert {entry["name"] for entry in measured} == columns
    assert all(entry["description"] for entry in measured)
    assert "row_id" not in columns


def test_a_column_means_the_same_in_every_table() -> None:
    meanings = {(column.name, column) for table in TABLES for column in table.columns}
    assert len(meanings) == len({name for name, _ in meanings})


@pytest.mark.parametrize("form", READERS)
def test_an_episode_comes_to_what_its_metrics_do_and_one_without_a_step_to_nothing(tmp_path: Path, form: str) -> None:
    path = write_recording(tmp_path, lengths=(5, 0))
    export_tables([path], tmp_path / "out", form)
    episodes = READERS[form](tmp_path / "out", "episodes")
    with sessions.open(path) as session:
        for name, value in session.episodes[0].metrics.items():
            assert episodes[f"trial_{name}"].tolist()[0] == value
            assert episodes[f"trial_{name}"].isna().tolist() == [False, True]


@pytest.mark.parametrize("form", READERS)
def test_tasks_share_the_metrics_that_they_call_the_same_and_leave_the_others_empty(tmp_path: Path, form: str) -> None:
    wide = Metric("wet", "how wet everything is", "litres", "lower", low=-1.0)
    other = replace(SMALL_TASK, metrics=(*SMALL_TASK.metrics, wide))
    mine = write_recording(tmp_path, lengths=(2,))
    steps = [random_step(np.random.default_rng(seed), task=other) for seed in range(2)]
    with sessions.Recorder(tmp_path, replace(SESSION, session_id="0a1b2d", task=other)) as recorder:
        recorder.begin_episode(EPISODE)
        for step in steps:
            recorder.append(step)
        recorder.end_episode("complete")
    export_tables([mine, recorder.final_path], tmp_path / "out", form)
    rows = READERS[form](tmp_path / "out", "steps", tables_of([TASK, other]))
    assert_same_bits(rows["wet"], np.array([step.metrics["wet"] for step in (*random_steps(2), *steps)], np.float32))
    assert rows["progress"].isna().tolist() == [False, False, True, True]
    assert rows["correct"].isna().tolist() == [True, True, False, False]
    assert rows[f"latent_{TASK.latents - 1}"].isna().tolist() == [False, False, True, True]
    described = json.loads((tmp_path / "out" / DESCRIPTION_NAME).read_text())
    (wet,) = [entry for entry in described["variableMeasured"] if entry["name"] == "wet"]
    assert "Crossing: whether feet are wet; digits: how wet everything is" in wet["description"]
    assert (wet["unitText"], "minValue" in wet) == ("digits: litres", False)
    assert f"did {TASK.name}, {other.name} by what" in described["description"]


def test_a_column_of_a_table_belongs_to_one_column_of_the_recording() -> None:
    names = [name for column in episode_columns(TASK).values() for name in parts(column)]
    assert len(set(names)) == len(names)


def test_a_hostile_recording_cannot_write_formulas_rows_or_paths(tmp_path: Path) -> None:
    evil = '=cmd|"/c calc"!A1\n../../x,1\r=2+2'
    config = {"titled": 'Größe "A"; -b', "evil": evil}
    with sessions.Recorder(tmp_path, replace(SESSION, study=evil, driver=evil, config=config)) as recorder:
        recorder.begin_episode(replace(EPISODE, phase=evil, condition=evil))
        recorder.append(random_steps(1)[0])
        recorder.event("@kind", "-", 0, 0, 0)
        recorder.end_episode("complete")
        recorder.answer("+item", evil, 0)
        path = recorder.close("complete")
    for form, out in (("csv", tmp_path / "a" / "out"), ("parquet", tmp_path / "b" / "out")):
        export_tables([path], out, form)
        read = text_of if form == "csv" else str
        assert [read(text) for text in READERS[form](out, "steps")["condition"]] == [evil]
        assert [read(text) for text in READERS[form](out, "answers")["answer"]] == [evil]
        assert [read(text) for text in READERS[form](out, "events")["detail"]] == ["-"]
        assert [json.loads(text) for text in READERS[form](out, "sessions")["config"]] == [config]
        assert sorted(item.name for item in out.iterdir()) == ["README.md", "data", DESCRIPTION_NAME]
    export_arrays([path], tmp_path / "c" / "out")
    (file,) = (tmp_path / "c" / "out").iterdir()
    assert file.name == f"{path.stem}_000.npz"
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a", "b", "c", path.name]


@pytest.mark.parametrize("frames", [False, True])
def test_arrays_hold_every_column_and_all_attributes(tmp_path: Path, frames: bool) -> None:
    path = write_recording(tmp_path, lengths=(5, 0), frames=frames)
    summary = export_arrays([path], tmp_path / "out")
    assert summary.episodes == 2
    with sessions.open(path) as session:
        for episode in session.episodes:
            with np.load(tmp_path / "out" / f"{path.stem}_{episode.index:03d}.npz", allow_pickle=False) as arrays:
                assert set(arrays) == {*episode.columns, "attributes"}
                for name in episode.columns:
                    assert arrays[name].dtype == episode[name].dtype
                    assert arrays[name].shape == episode[name].shape
                    assert_same_bits(arrays[name], episode[name])
                attributes = json.loads(str(arrays["attributes"]))
            assert attributes["session"]["config"] == SESSION.config
            assert attributes["episode"]["seed"] == EPISODE.seed
            assert set(attributes["columns"]) == set(episode.columns)


def test_one_episode_can_be_exported_alone_and_one_that_is_not_there_cannot(tmp_path: Path) -> None:
    path = write_recording(tmp_path)
    export_arrays([path], tmp_path / "out", index=1)
    assert [file.name for file in (tmp_path / "out").iterdir()] == [f"{path.stem}_001.npz"]
    with pytest.raises(ExportError, match="no episode 2"):
        export_arrays([path], tmp_path / "more", index=2)
    assert not (tmp_path / "more").exists()


def test_exporting_never_touches_what_is_there(tmp_path: Path) -> None:
    path = write_recording(tmp_path)
    (tmp_path / "out").mkdir()
    for export in (lambda: export_tables([path], tmp_path / "out", "csv"), lambda: export_arrays([path], path)):
        with pytest.raises(ExportError, match="exists already"):
            export()
    assert list((tmp_path / "out").iterdir()) == []


def test_a_damaged_recording_among_others_leaves_nothing_half_made(tmp_path: Path) -> None:
    whole = write_recording(tmp_path / "whole")
    other = write_recording(tmp_path / "damaged", session_id="0a1b2d", lengths=(100,))
    data = bytearray(other.read_bytes())
    # A truth value that is none: found only when its column is loaded.
    with sessions.open(other) as session:
        at = data.index(session.episodes[0]["wet"].tobytes())
    data[at] = 7
    other.write_bytes(data)
    with pytest.raises(UnreadableRecordingError):
        export_tables([whole, other], tmp_path / "out", "csv")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["damaged", "whole"]


def test_unreadable_files_in_a_folder_are_left_out_and_named_and_a_named_one_is_refused(tmp_path: Path) -> None:
    write_recording(tmp_path)
    broken = tmp_path / "broken.h5"
    broken.write_bytes(b"nonsense")
    summary = export_tables([tmp_path], tmp_path / "out", "csv")
    assert summary.recordings == 1
    assert list(summary.left_out) == [broken]
    with pytest.raises(UnreadableRecordingError):
        export_tables([broken], tmp_path / "more", "csv")


def test_a_session_in_two_files_is_refused_and_a_file_named_twice_counts_once(tmp_path: Path) -> None:
    path = write_recording(tmp_path)
    assert export_tables([path, tmp_path], tmp_path / "once", "csv").recordings == 1
    (tmp_path / "folder").symlink_to(tmp_path)
    assert export_tables([path, tmp_path / "folder"], tmp_path / "linked", "csv").recordings == 1
    (tmp_path / "copy.h5").write_bytes(path.read_bytes())
    with pytest.raises(ExportError, match="both hold session 0a1b2c"):
        export_tables([tmp_path], tmp_path / "twice", "csv")


@pytest.mark.parametrize("name", NAMES)
def test_a_data_frame_has_the_columns_and_rows_of_the_export(tmp_path: Path, name: Any) -> None:
    path = write_recording(tmp_path, lengths=(5, 0, 3))
    export_tables([path], tmp_path / "out", "parquet")
    frame, exported = sessions.to_frame(path, name), read_parquet(tmp_path / "out", name)
    assert list(frame.columns) == list(exported.columns) and len(frame) == len(exported) > 0
    for column in frame:
        if frame[column].dtype.kind == "f":
            assert_same_bits(frame[column], exported[column].to_numpy())
        else:
            assert frame[column].isna().tolist() == exported[column].isna().tolist(), column
            assert frame[column].dropna().tolist() == exported[column].dropna().tolist(), column


def test_a_data_frame_of_several_tasks_misses_what_one_has_not_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    write_recording(tmp_path, lengths=(2,))
    with sessions.Recorder(tmp_path, replace(SESSION, session_id="0a1b2d", task=SMALL_TASK)) as recorder:
        recorder.begin_episode(EPISODE)
        recorder.append(random_step(np.random.default_rng(0), task=SMALL_TASK))
        recorder.end_episode("complete")
    (tmp_path / "broken.h5").write_bytes(b"nothing")
    with pytest.warns(UserWarning, match=r"broken\.h5 was left out"):
        frame = sessions.to_frame(str(tmp_path), "steps")
    assert frame.groupby("session_id").correct.count().tolist() == [0, 1]
    assert frame[f"latent_{TASK.latents - 1}"].isna().sum() == 1


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no recording"):
        export_tables([tmp_path], tmp_path / "out", "csv")


def test_progress_ends_with_all_recordings_done(tmp_path: Path) -> None:
    for session_id in ("00000a", "00000b"):
        write_recording(tmp_path, session_id=session_id)
    told: list[tuple[int, int]] = []
    export_tables([tmp_path], tmp_path / "out", "csv", progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interruption_or_a_full_disk_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    for fill in (new_folder, new_file):
        with pytest.raises((KeyboardInterrupt, ExportError)), fill(tmp_path / "out.mp4") as unfinished:
            if unfinished.is_dir():
                (unfinished / "part").touch()
            else:
                unfinished.touch()
            raise error
    assert list(tmp_path.iterdir()) == []


def test_a_new_file_does_not_replace_one_that_appeared_meanwhile(tmp_path: Path) -> None:
    out = tmp_path / "x.mp4"
    with pytest.raises(ExportError, match="exists already"), new_file(out) as unfinished:
        unfinished.write_bytes(b"mine")
        out.write_bytes(b"theirs")
    assert out.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [out]
