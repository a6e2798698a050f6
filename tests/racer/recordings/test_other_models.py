"""A latent model that somebody names is the one that is used, and a task that is missing is told by its package."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from footage_builders import Walk, copy_recording, record, walk_model
from task_builders import COUNTING, installing
from tiny_models import write_tiny_model
from typer.testing import CliRunner, Result

import sessions
from racer.cli import make_app
from racer.errors import ConfigError
from racer.recordings.models import refuse_other_model
from racer.recordings.study_file import study_model
from racer.report.study import NothingToReportError
from racer.software import TASK_PACKAGE, software
from racer.tasks.registry import GROUP, make_task

COMMANDS = {
    "train": ("train", "RECORDING", "--out", "OUT/q.st"),
    "train an interaction model": ("train", "RECORDING", "--objective", "interaction", "--out", "OUT/q.st"),
    "verify": ("session", "verify", "RECORDING"),
    "minari": ("session", "export", "RECORDING", "--to", "minari", "--out", "OUT/q-v0"),
    "lerobot": ("session", "export", "RECORDING", "--to", "lerobot", "--out", "OUT/q"),
    "video": ("session", "video", "RECORDING", "--out", "OUT/q.mp4"),
    "replay": ("session", "replay", "RECORDING"),
    "driver fit": ("driver", "fit", "RECORDING", "--out", "OUT/q.json"),
    "tune": ("model", "tune", "RECORDING", "--out", "OUT/q"),
    "report": ("study", "report", "FOLDER", "--out", "OUT/q.html"),
}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("recordings"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a latent model that no recording was made with."""
    return write_tiny_model(tmp_path_factory.mktemp("other") / "model")


def run(*words: object) -> Result:
    return CliRunner().invoke(make_app(), [str(word) for word in words])


@pytest.mark.parametrize("command", COMMANDS)
def test_another_model_than_the_recording_s_is_refused_and_nothing_written(
    command: str, recording: Path, other: Path, tmp_path: Path
) -> None:
    stands_for = {"RECORDING": str(recording), "FOLDER": str(recording.parent)}
    words = [stands_for.get(word, word).replace("OUT", str(tmp_path)) for word in COMMANDS[command]]
    error = run(*words, "--model", other).exception
    assert isinstance(error, ConfigError)
    (line,) = str(error).splitlines()
    assert str(recording) in line and str(other) in line and "nothing was done: name the folder" in line
    assert list(tmp_path.iterdir()) == []


def test_of_several_recordings_those_with_another_model_are_named(recording: Path, walk: Walk) -> None:
    refuse_other_model(walk.model, [walk.path])
    with pytest.raises(ConfigError) as error:
        refuse_other_model(walk.model, [walk.path, recording])
    assert str(error.value).startswith(f"{recording} (1 of 2 recordings): recorded with another latent model")
    assert str(walk.path) not in str(error.value)
    refuse_other_model(walk.model, [walk.path, recording], all_of_them=False)


def test_recordings_of_several_models_are_verified_with_the_folder_of_one(
    recording: Path, walk: Walk, tmp_path: Path
) -> None:
    for path in (recording, walk.path):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    result = run("session", "verify", tmp_path, "--model", walk.model)
    assert result.exit_code in (0, 3) and "weights" not in result.stdout


def test_a_report_of_nothing_says_so_whatever_is_named(other: Path, tmp_path: Path) -> None:
    error = run("study", "report", tmp_path, "--out", tmp_path / "report.html", "--model", other).exception
    assert isinstance(error, NothingToReportError)
    assert list(tmp_path.iterdir()) == []


def test_a_study_s_model_is_taken_only_for_what_was_recorded_with_it(
    recording: Path, walk: Walk, tmp_path: Path
) -> None:
    model = walk_model(tmp_path / "study" / "own")
    (model.parent / "study.toml").write_text(
        f'title = "Walks"\nconditions = ["raw", "random"]\n[task]\nname = "grey-walk"\nmodel = "{model.name}"\n'
    )
    (model.parent / "recordings").mkdir()
    for path, expected in ((walk.path, model), (recording, None)):
        laid = model.parent / "recordings" / path.name
        laid.write_bytes(path.read_bytes())
        assert study_model(laid) == expected


def test_a_task_that_is_not_installed_is_told_by_the_package_that_had_it(walk: Walk, tmp_path: Path) -> None:
    path = copy_recording(
        walk.path,
        tmp_path / "copies",
        lambda info: replace(info, software={**info.software, TASK_PACKAGE: "grey-walks 1.2"}),
    )
    walk.uninstall()
    wanted = "task grey-walk is not installed: install the package that has it (grey-walks 1.2)"
    named = ", or name the folder of its latent model with --model"
    lines = run("session", "verify", path).stdout.splitlines()
    assert [line for line in lines if line.startswith("not checked") and "ledger" not in line] == [
        f"not checked  weights, received of 1 recording: {wanted}{named}",
        f"not checked  replay of 1 recording: {wanted}",
    ]
    for form in ("minari", "lerobot"):
        words = ("session", "export", path, "--to", form, "--out", tmp_path / f"{form}-v0")
        assert f"{wanted}{named}" in str(run(*words).exception)
        result = run(*words, "--model", walk.model)
        assert result.exit_code == 0 and f"left out {path}, episode 2: {wanted}\n" in result.stdout


def test_a_recording_keeps_the_package_that_its_task_came_from(tmp_path: Path, recording: Path) -> None:
    with installing(tmp_path) as install:
        install("their_task", COUNTING, GROUP, "counting = their_task:Counting")
        assert software(make_task("counting").spec)[TASK_PACKAGE] == "their-task 1.0"
    with sessions.open(recording) as session:
        assert TASK_PACKAGE not in session.info.software, "Racer's own version is there already"
