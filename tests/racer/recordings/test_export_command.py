from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from footage_builders import CONDITIONS, STEPS, Walk, golden, record
from typer.testing import CliRunner, Result

from compression.errors import WeightsError
from racer.commands import export
from racer.errors import ConfigError
from racer.recordings.footage import FootageError


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("recordings"))


def run(*words: object) -> Result:
    app = typer.Typer()
    for command in (export.export, export.replay, export.video):
        app.command()(command)
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.parametrize(
    ("form", "name"), [("csv", "out"), ("parquet", "out"), ("npz", "out"), ("minari", "out-v0"), ("lerobot", "out")]
)
def test_every_format_is_written_and_described(recording: Path, tmp_path: Path, form: str, name: str) -> None:
    result = run("export", recording, "--to", form, "--out", tmp_path / name, "--json")
    written = json.loads(result.stdout)
    assert (written["recordings"], written["episodes"], written["left_out"]) == (1, len(CONDITIONS), {})
    assert any((tmp_path / name).iterdir())
    text = run("export", recording.parent, "--to", form, "--out", tmp_path / "again" / name).stdout
    assert f"Wrote {len(CONDITIONS)} episodes" in text
    assert "Next: " in text


def test_options_that_belong_to_another_format_are_refused(recording: Path, tmp_path: Path) -> None:
    for words in (("--to", "csv", "--episode", 1), ("--to", "npz", "--original"), ("--to", "csv", "--model", tmp_path)):
        with pytest.raises(ConfigError):
            run("export", recording, "--out", tmp_path / "out", *words)


@pytest.mark.parametrize(
    ("form", "name"), [("csv", "out"), ("parquet", "out"), ("npz", "out"), ("minari", "out-v0"), ("lerobot", "out")]
)
def test_recordings_of_version_0_1_0_are_exported_to_every_format(tmp_path: Path, form: str, name: str) -> None:
    path = golden("eval01", tmp_path / "old")
    written = json.loads(run("export", path, "--to", form, "--out", tmp_path / name, "--json").stdout)
    assert (written["recordings"], written["episodes"], written["left_out"]) == (1, 6, {})


def test_a_recording_of_a_task_that_is_not_installed_is_exported_all_the_same(walk: Walk, tmp_path: Path) -> None:
    walk.uninstall()
    for form in ("csv", "npz"):
        written = json.loads(run("export", walk.path, "--to", form, "--out", tmp_path / form, "--json").stdout)
        assert (written["episodes"], written["left_out"]) == (len(CONDITIONS), {})
    (steps,) = (tmp_path / "csv").rglob("*steps*.csv")
    assert "distance" in steps.read_text().partition("\n")[0]


def test_other_tasks_are_exported_and_filmed_with_their_model(walk: Walk, tmp_path: Path) -> None:
    out = tmp_path / "walk-v0"
    written = json.loads(
        run("export", walk.path, "--to", "minari", "--out", out, "--model", walk.model, "--json").stdout
    )
    assert (written["episodes"], written["left_out"]) == (len(CONDITIONS), {})
    film = tmp_path / "walk.mp4"
    assert "Wrote" in run("video", walk.path, "--out", film, "--model", walk.model).stdout
    walk.uninstall()
    for command in (("video", walk.path, "--out", tmp_path / "other.mp4"), ("replay", walk.path)):
        with pytest.raises(FootageError, match="task grey-walk is not installed: install the package that has it"):
            run(*command)


def test_a_folder_that_holds_no_model_is_said_to(walk: Walk, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="check the folder"):
        run("video", walk.path, "--out", tmp_path / "out.mp4", "--model", tmp_path)


def test_what_is_left_out_is_said_and_steers_no_terminal(recording: Path, tmp_path: Path) -> None:
    (tmp_path / recording.name).write_bytes(recording.read_bytes())
    (tmp_path / "broken\x1b[31m.h5").write_bytes(b"nonsense")
    text = run("export", tmp_path, "--to", "csv", "--out", tmp_path / "out").stdout
    assert "left out" in text
    assert "\x1b" not in text


def test_a_video_is_written_and_described(recording: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    written = json.loads(run("video", recording, "--out", out, "--episode", 1, "--scale", 2, "--json").stdout)
    assert written["pictures"] == STEPS
    assert out.stat().st_size > 0
