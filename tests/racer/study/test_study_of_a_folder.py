"""A study about pictures of the user's own: they lie in its folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from picture_folders import draw_folder
from tiny_models import write_tiny_model

from compression.model.sizes import Sizes
from racer.errors import ConfigError
from racer.study.file import Study, StudyFileError, load_study
from racer.study.init import init_study
from racer.tasks.pictures.folder import Folder

QUESTION = """[[task.questions]]
column = "colour"
text = "Which colour is it?"
answers = [{ value = "red", keys = ["r"] }, { value = "green", keys = ["g"] }, { value = "blue", keys = ["b"] }]
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """A new study with a folder of pictures and a model, read from elsewhere."""
    draw_folder(tmp_path / "pets" / "pictures")
    write_tiny_model(tmp_path / "pets" / "model", Sizes((64, 64, 3), 8, 4, 2, 0, 16))
    path = init_study("pets", "default", tmp_path, "en", images="pictures")
    monkeypatch.chdir(os.sep)
    return load_study(path)


def edited(study: Study, old: str, new: str) -> Study:
    text = study.path.read_text()
    assert old in text
    study.path.write_text(text.replace(old, new))
    return load_study(study.path)


def test_a_new_study_finds_its_pictures_wherever_it_is_read(study: Study) -> None:
    task = study.file.make_task()
    assert isinstance(task, Folder) and task.images == "pictures" and task.question == "side"
    assert task.start(1).frame().shape == (64, 64, 3)
    assert study.settings["task"]["images"] == "pictures"


def test_a_study_asks_in_its_own_words(study: Study) -> None:
    asked = study.path.read_text().replace("\n\n[episodes]", f"\n{QUESTION}\n[episodes]")
    study.path.write_text(asked)
    with pytest.raises(StudyFileError, match="no action 'left' has keys in task folder; there are red, green, blue"):
        load_study(study.path)
    spec = edited(study, 'left = ["left", "f"]\nright = ["right", "j"]', 'red = ["1"]').file.make_task().spec
    assert [action.name for action in spec.actions] == ["red", "green", "blue"]
    assert spec.texts["en"].title == "Which colour is it?"


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ("../elsewhere", "must lie in the study's folder"),
        ("/tmp", "must lie in the study's folder"),
        ("linked", "a link out of the study's folder"),
        ("gone", "there is no folder"),
    ],
)
def test_pictures_outside_of_the_study_are_refused(images: str, said: str, study: Study, tmp_path: Path) -> None:
    draw_folder(tmp_path / "elsewhere")
    (study.folder / "linked").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StudyFileError) as refusal:
        edited(study, 'images = "pictures"', f'images = "{images}"')
    assert said in str(refusal.value) and "\n" not in str(refusal.value)


def test_no_study_is_made_of_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no folder"):
        init_study("pets", "default", tmp_path, "en", images="pictures")
    assert not (tmp_path / "pets").exists()


def test_pictures_that_lie_beside_the_study_are_to_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw_folder(tmp_path / "pictures")
    with pytest.raises(ConfigError, match=r"pictures is here, .*: move it to pets/pictures"):
        init_study("pets", "default", Path(), "en", images="pictures")
    assert not (tmp_path / "pets").exists()


def test_no_study_is_made_that_could_not_be_read(tmp_path: Path) -> None:
    draw_folder(tmp_path / "elsewhere")
    for images in (str(tmp_path / "elsewhere"), "../elsewhere"):
        with pytest.raises(ConfigError, match="images must lie in the study's folder"):
            init_study("pets", "default", tmp_path, "en", images=images)
    assert not (tmp_path / "pets").exists()
